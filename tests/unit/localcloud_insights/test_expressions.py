"""What conditions hold for and what functions give."""

from __future__ import annotations

import json

import pytest

from tests.unit.localcloud_insights.support import NOW, rows, value_of

EVENT = json.dumps({"n": 5, "text": "Hello 42", "zero": 0, "yes": True, "no": False, "nothing": None, "code": "200"})


@pytest.mark.parametrize(
    "condition",
    [
        *("n = 5", "n = '5'", "n != 4", "n < 10", "n <= 5", "n > 4.9", "n >= 5", "code = 200", "code < 1000"),
        *("text = 'Hello 42'", 'text != "hello 42"', "text > 'Hallo'", "yes = 1", "no = 0"),
        *("text like 'llo 4'", "text like /^H.*\\d+$/", "text =~ /(?i)HELLO/", "text like /^(?i)hello 42$/"),
        *("text not like 'x'", "text not like /x/", "missing not like 'x'", "missing != 5", "nothing != 5"),
        *("n in [1, 5]", "text in ['a', 'Hello 42']", "n not in [1, 2]", "missing not in [1]", "code in [200]"),
        *("not n = 4", "n = 4 or n = 5 and yes = 1", "(n = 5 or n = 4) and not (no = 1)"),
        *("ispresent(n)", "not ispresent(nothing)", "isPresent(zero)", "isempty(missing)", "isblank(trim('  '))"),
        *("strcontains(text, '42')", "strcontains(text, 'x') = 0", "@message like 'Hello'", "`text` like 'H'"),
        *("@timestamp = 1700000000000", "n + 1 = 6", "abs(0 - n) = n"),
    ],
)
def test_the_condition_holds(condition: str) -> None:
    assert len(rows(f"filter {condition}", EVENT)) == 1


@pytest.mark.parametrize(
    "condition",
    [
        *("n = 6", "n != 5", "n > 5", "n < 5", "text = 'hello 42'", "text > 3", "text < 3", "text <= 3"),
        *("missing = 5", "missing < 5", "missing >= 5", "nothing = 'null'", "missing like /.*/", "missing in ['']"),
        *("text like 'HELLO'", "text like /^Hello$/", "n in [1, 2]", "not n = 5", "n = 5 and n = 4", "ispresent(x)"),
        *("strcontains(text, 'x')", "n = 4 and yes = 1 or no = 1", "n = yes"),
    ],
)
def test_the_condition_does_not_hold(condition: str) -> None:
    assert rows(f"filter {condition}", EVENT) == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        *(("1 + 2 * 3", "7"), ("(1 + 2) * 3", "9"), ("10 % 3", "1"), ("-7 % 3", "-1"), ("2 ^ 3", "8")),
        *(
            ("2 ^ 3 ^ 2", "512"),
            ("7 / 2", "3.5"),
            ("6 / 2", "3"),
            ("1 - 2 - 3", "-4"),
            ("-n", "-5"),
            ("n * 0.1", "0.5"),
        ),
        *(
            ("1 / 0", None),
            ("1 % 0", None),
            ("1.5 % 0", None),
            ("9 ^ 9 ^ 9", None),
            ("text + 1", None),
            ("x + 1", None),
        ),
        *(("(0 - 8) ^ 0.5", None), ("0 ^ (0 - 1)", None), ("code + 1", "201"), ("n = 5", "1"), ("n = 4", "0")),
        *(("abs(0-2)", "2"), ("ceil(1.2)", "2"), ("floor(1.8)", "1"), ("sqrt(9)", "3"), ("sqrt(0-1)", None)),
        *(("log(1)", "0"), ("greatest(1, n, 3)", "5"), ("least(1, n, 3)", "1"), ("greatest(1, x)", None)),
        *(("strlen(text)", "8"), ("strlen('é')", "1"), ("tolower(text)", "hello 42"), ("toUpper(text)", "HELLO 42")),
        *(('trim("xyZfooxyZ","xyZ")', "foo"), ('ltrim("xyZfooxyZ","xyZ")', "fooxyZ"), ("rtrim(' a ')", " a")),
        *(('substr("xyZfooxyZ",3)', "fooxyZ"), ('substr("xyZfooxyZ",3,3)', "foo"), ("substr('ab', 5)", "")),
        *(('replace("foo","o","0")', "f00"), ("strcontains(text, 'lo')", "1"), ("strcontains(text, 'x')", "0")),
        *(("concat('a', n, missing, 'b')", "a5b"), ("coalesce(missing, nothing, n)", "5"), ("coalesce(x)", None)),
        *(("isempty('')", "1"), ("isblank(' ')", "1"), ("ispresent(n)", "1"), ("strlen(missing)", None)),
        *(("fromMillis(1700000000123)", "2023-11-14 22:13:20.123"), ("toMillis(@timestamp)", "1700000000000")),
        *(("bin(1h)", "2023-11-14 22:00:00.000"), ("datefloor(@timestamp, 1d)", "2023-11-14 00:00:00.000")),
        *(("dateceil(@timestamp, 1h)", "2023-11-14 23:00:00.000"), ("bin(30s)", "2023-11-14 22:13:00.000")),
        *(("bin(1mo)", "2023-11-01 00:00:00.000"), ("bin(1q)", "2023-10-01 00:00:00.000")),
        *(("bin(1y)", "2023-01-01 00:00:00.000"), ("bin(1w)", "2023-11-13 00:00:00.000")),
        *(("dateceil(@timestamp, 1month)", "2023-12-01 00:00:00.000"), ("bin(500ms)", "2023-11-14 22:13:20.000")),
        *(("now()", str(int(NOW.timestamp()))), (r"'a\'b\\d'", "a'b\\d"), (r'"\d|x"', r"\d|x")),
        *(("1000000000000000000000", "1e+21"), ("0.1 + 0.2", "0.30000000000000004")),
    ],
)
def test_the_expression_gives(expression: str, expected: str | None) -> None:
    assert value_of(expression, EVENT) == expected


def test_a_search_that_backtracks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.localcloud.insights.evaluate.REGEX_SECONDS", 0.01)

    with pytest.raises(TimeoutError):
        rows(r"filter @message like /^(a|aa)+$/", "a" * 40 + "!")
