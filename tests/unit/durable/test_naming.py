from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness._durable.naming import check_execution_name
from harness.durable import make_execution_id
from harness.waiters import FakeClock

CLOCK = FakeClock(start=datetime(2026, 7, 8, 9, 10, 11, tzinfo=UTC))


def test_it_is_test_name_time_and_uuid() -> None:
    assert re.fullmatch(r"test-order_1-20260708T091011-[0-9a-f]{8}", make_execution_id("order_1", clock=CLOCK))


def test_two_are_never_the_same() -> None:
    assert len({make_execution_id("same", clock=CLOCK) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("test_x[a/b-1.5]", "test_x-a-b-1-5"),
        ("Überfällige Größe", "Uberfallige-Groe"),
        ("--a--", "a"),
        ("x" * 300, "x" * 34),
        ("x" * 33 + "-yz", "x" * 33),
    ],
)
def test_the_name_is_cleaned_and_cut(name: str, part: str) -> None:
    assert make_execution_id(name, clock=CLOCK).startswith(f"test-{part}-20260708T")


@given(st.text())
def test_it_is_always_a_valid_name_or_a_clear_error(name: str) -> None:
    try:
        made = make_execution_id(name, clock=CLOCK)
    except ValueError as error:
        assert not re.search(r"[a-zA-Z0-9_]", name)
        assert "at least one letter or digit" in str(error)  # noqa: PT017
    else:
        assert check_execution_name(made) == made


@pytest.mark.parametrize("name", ["", "---", "日本", "   "])
def test_a_name_of_which_nothing_is_left_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at least one letter or digit of ASCII, got "):
        make_execution_id(name)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", "a/b", "a\n"])
def test_a_given_name_is_checked(name: str) -> None:
    with pytest.raises(ValueError, match=r"1-64 of \[a-zA-Z0-9-_\]"):
        check_execution_name(name)
