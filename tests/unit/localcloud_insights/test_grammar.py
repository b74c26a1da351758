"""What the parser takes, and what it says about the rest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.localcloud.api import ApiError
from harness.localcloud.insights import parse_query, run_query
from tests.unit.localcloud_insights.support import NOW, log_events, malformed, rows


@pytest.mark.parametrize(
    "query",
    [
        "fields @timestamp, @message | sort @timestamp desc | limit 20",
        "FILTER @message LIKE /x/ AND NOT b IN [1] | SORT a DESC",
        "fields `foo-bar`, action, abs(f3-f4)",
        "filter @message like /(?i)exception/ # only these\n| limit 3",
        "stats avg (f1) by f2",
        "stats count(*) as n by bin(5m) as t, @logStream | sort t, n desc",
        "stats max(@memorySize / 1000 / 1000) as provisonedMemoryMB",
        "filter a =~ /b\\/c/ or a not like 'x' and not ispresent(b)",
        "parse /(?<eni>eni-.*?) / | display eni",
        "fields strcontains(@message, 'a|b') as has | filter has = 1",
        "fields limit, count, by, stats",
        "filter `not` = 1 and index = 2 and order = 3",
    ],
)
def test_it_takes(query: str) -> None:
    assert parse_query(query).commands


def test_an_error_names_line_position_symbol_and_what_was_expected() -> None:
    message, start, end = malformed("fields @message\n| filter a like 3")

    assert message == (
        "unexpected symbol '3' found at line 2 and position 17: expected a 'string' or a /regular expression/"
    )
    assert (start, end) == (32, 33)


def test_an_error_at_the_end_points_behind_the_query() -> None:
    message, start, end = malformed("filter (a = 1")

    assert message == "unexpected end of query found at line 1 and position 14: expected ')'"
    assert (start, end) == (13, 13)


@pytest.mark.parametrize("command", ["pattern", "diff", "unmask", "anomaly", "SOURCE", "head"])
def test_a_command_that_only_aws_runs_is_named(command: str) -> None:
    message, start, end = malformed(f"fields a | {command} b")

    assert f"the local cloud doesn't run the command '{command.lower()}'" in message
    assert (start, end) == (11, 11 + len(command))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "expected 'dedup' or 'display' or 'fields'"),
        ("fields a b", "unexpected symbol 'b'"),
        ("fields a |", "unexpected end of query"),
        ("fields a | | fields b", "unexpected symbol '|'"),
        ("filter a = 'x", "unexpected symbol '''"),
        ("filter a = b = c", "unexpected symbol '='"),
        ("filter @message like /(/", "invalid regular expression"),
        ("limit 0", "limit must be a whole number from 1 to 100000"),
        ("limit 1.5", "limit must be a whole number"),
        ("limit 100001", "limit must be a whole number"),
        ("fields nope(a)", "the function 'nope' is unknown"),
        ("fields substr(a)", "substr takes 2 to 3 arguments, not 1"),
        ("fields coalesce()", "coalesce takes at least 1 arguments"),
        ("fields abs(5m)", "argument 1 of abs must be a value"),
        ("fields datefloor(@timestamp, 5)", "argument 2 of datefloor must be a period"),
        ("fields sum(*)", "only count takes *"),
        ("fields bin(0m)", "its amount must be 1"),
        ("fields bin(@timestamp, 5m)", "bin takes one period"),
        ("fields now(1)", "now takes no arguments"),
        ("fields count(*)", "count is an aggregation function: only stats takes it"),
        ("filter sum(a) > 3", "sum is an aggregation function"),
        ("stats a", "expected an aggregation function"),
        ("stats count(*) + a", "expected an aggregation function"),
        ("stats sum(avg(a))", "can't contain another"),
        ("stats sum(a, b)", "sum takes 1 arguments, not 2"),
        ("stats pct(a, 101)", "a percentage from 0 to 100"),
        ("stats count(*) by a | sort b", "Unknown symbols found in or after stats: b"),
        ("stats count(*) as a | filter @message like 'x'", "Unknown symbols found in or after stats: @message"),
        ("stats count(*) by a | stats latest(a)", "no @timestamp to order by"),
        ("stats count(*) as n | stats max(n) as m | stats max(m)", "at most 2 stats commands"),
        ("stats count(*) as n, sum(a) as n", "Ephemeral field is already defined: n"),
        ("fields a as x | fields b as x", "Ephemeral field is already defined: x"),
        ("dedup a | sort b", "the only command after dedup is limit"),
        ("dedup a | limit 1 | sort b", "the only command after dedup is limit"),
        ("filter a", "expected a condition, found the field 'a'"),
        ("filter a = 1 and b + 1", "expected a condition such as"),
        ("parse @message 'a*b*' as x", "the glob has 2 wildcards for 1 names"),
        ("parse @message /a(b)/", "no named group"),
        ("parse @message /(?<a>b)/ as c", "'as' belongs to globs"),
    ],
)
def test_it_refuses(query: str, expected: str) -> None:
    assert expected in malformed(query)[0]


def test_it_refuses_a_query_of_more_than_10000_characters() -> None:
    assert "longer than 10000" in malformed("fields a #" + "x" * 9_991)[0]


@pytest.mark.parametrize("query", ["fields " + "(" * 4000 + "a" + ")" * 4000, "filter " + "not " * 2000 + "a = 1"])
def test_it_refuses_endless_nesting(query: str) -> None:
    assert "nests deeper" in malformed(query)[0]


def test_a_long_chain_of_alternatives_is_not_nesting() -> None:
    query = "filter " + " or ".join(f"a = {number}" for number in range(500))

    assert rows(query, '{"a": 499}', '{"a": 500}') == rows("filter a = 499", '{"a": 499}')


_WORDS = """
    fields display filter parse stats sort limit dedup | , as by ( ) [ ] = != < <= > >= =~ like not in and or + - * / %
    ^ asc desc a b.0 @message @timestamp `x` 'text' "a*b" /re/ /(?<n>.)/ 1 2.5 5m count(*) sum( avg( bin( strlen( now()
    substr( ispresent( coalesce( #
"""
_QUERIES = st.lists(st.sampled_from(_WORDS.split()), max_size=25).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | _QUERIES)
def test_whatever_the_text_it_is_parsed_and_runs_or_is_malformed(text: str) -> None:
    error = None
    try:
        run_query(parse_query(text), log_events('{"a": 1, "b": [2]}', "text"), now=NOW)
    except ApiError as caught:
        error = caught
    if error is not None:
        assert error.code == "MalformedQueryException"
        location = error.members["queryCompileError"]["location"]
        assert 0 <= location["startCharOffset"] <= location["endCharOffset"]
