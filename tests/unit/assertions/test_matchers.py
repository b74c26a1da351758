"""What each matcher matches, and how a difference is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness._assertions.matchers import mismatch
from harness.assertions import ANY, Capture, approx, between, including, is_a, one_of, regex


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        *((1, 1), (1, 1.0), ("a", "a"), (None, None), (True, True), ([1, "a"], [1, "a"]), ((1, 2), [1, 2])),
        *(({"a": {"b": [ANY]}}, {"a": {"b": [None]}}), (ANY, None), (ANY, {"x": 1})),
        *((regex("^a.c$"), "abc"), (regex("B", 2), "abc"), (between(0, 2), 0), (between(0, 2), 2.0)),
        *((approx(59.98), 59.98000000001), (approx(100, rel=0.1), 109), (approx(0, abs=0.5), -0.5)),
        *((pytest.approx(0.3), 0.1 + 0.2), (one_of("A", regex("^B")), "Bc"), (one_of(None, 1), None)),
        *((is_a(str), ""), (is_a(int, float), 2.5), (is_a(bool), True), (including({"a": 1}), {"a": 1, "b": 2})),
        *((including({"a": including({"b": ANY})}), {"a": {"b": 1, "c": 2}}), (including([2, ANY]), [1, 2, 3])),
    ],
)
def test_it_matches(expected: object, value: object) -> None:
    assert mismatch(expected, value, "result") is None


@pytest.mark.parametrize(
    ("expected", "value", "reason"),
    [
        (1, 2, "result: expected 1, found 2"),
        (1, "1", "result: expected 1, found '1'"),
        (True, 1, "result: expected True, found 1"),
        (0, False, "result: expected 0, found False"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "result.a[1].b: expected 2, found 3"),
        ({"a": ANY}, {}, "result.a: expected ANY, but there is no such key"),
        ({"a": 1}, {"a": 1, "b": 2}, "result: found further keys b (expect a part with including(...))"),
        ([1], [1, 2], "result: expected 1 items, found 2: [1, 2]"),
        ({"a": 1}, [1], "result: expected {'a': 1}, found [1]"),
        (regex("x"), "abc", "result: expected regex('x'), found 'abc'"),
        (regex("1"), 1, "result: expected regex('1'), found 1"),
        (between(1, 2), 3, "result: expected between(1, 2), found 3"),
        (between(0, 2), True, "result: expected between(0, 2), found True"),
        (approx(1.0), 1.1, "result: expected approx(1.0), found 1.1"),
        (one_of(1, 2), 3, "result: expected one_of(1, 2), found 3"),
        (is_a(int), True, "result: expected is_a(int), found True"),
        (including({"a": 1}), {"a": 2, "b": 3}, "result.a: expected 1, found 2"),
        (including({"a": 1}), {"b": 3}, "result.a: expected 1, but there is no such key"),
        (including({"a": 1}), None, "result: expected including({'a': 1}), found None"),
        (including([4]), [1, 2], "result: expected an item 4, found none in [1, 2]"),
        (including([4]), 4, "result: expected including([4]), found 4"),
    ],
)
def test_it_tells_the_first_difference(expected: object, value: object, reason: str) -> None:
    assert mismatch(expected, value, "result") == reason


def test_a_long_value_is_cut() -> None:
    reason = mismatch("a", "b" * 1000, "result")

    assert reason is not None
    assert reason.endswith("bbb... (1002 characters)")
    assert len(reason) < 400


def test_a_range_the_wrong_way_round_is_an_error() -> None:
    with pytest.raises(ValueError, match="lower bound comes first"):
        between(2, 1)


def test_a_capture_keeps_what_it_matched() -> None:
    order_id = Capture("order id")

    assert mismatch({"id": order_id}, {"id": 7}, "result") is None
    assert order_id.captured
    assert order_id.value == 7


def test_a_capture_used_twice_demands_the_same_value() -> None:
    same = Capture("id")

    assert mismatch([same, same], [1, 1], "result") is None
    assert mismatch([same], [2], "result") == "result[0]: expected 1, found 2"


def test_a_capture_matches_its_pattern_only() -> None:
    assert mismatch(Capture("id", regex("^rec-")), "other", "id") == "id: expected regex('^rec-'), found 'other'"


@pytest.mark.parametrize("wrap", [lambda c: [c, 1], lambda c: including({"a": c, "b": 1}), lambda c: one_of([c, 1])])
def test_a_comparison_that_fails_captures_nothing(wrap: object) -> None:
    capture = Capture()
    assert callable(wrap)
    expected = wrap(capture)

    assert mismatch(expected, {"a": 5, "b": 2} if not isinstance(expected, list) else [5, 2], "result") is not None
    assert not capture.captured


def test_a_capture_without_a_value_says_so() -> None:
    with pytest.raises(LookupError, match=r"Capture\('id'\) has captured nothing"):
        _ = Capture("id").value


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON)
def test_every_json_value_matches_itself_any_and_a_capture(value: object) -> None:
    capture = Capture()

    assert mismatch(value, value, "result") is None
    assert mismatch(ANY, value, "result") is None
    assert mismatch([capture, capture], [value, value], "result") is None
    assert capture.value == value


@given(_JSON, _JSON)
def test_matching_is_symmetric_for_plain_values(one: object, other: object) -> None:
    assert (mismatch(one, other, "x") is None) == (mismatch(other, one, "x") is None)
