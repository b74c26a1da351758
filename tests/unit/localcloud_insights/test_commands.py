"""What each command does to the rows."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.localcloud_insights.support import column, rows, run


def _json(**values: object) -> str:
    return json.dumps(values)


ORDERS = (_json(id="a", total=10, level="INFO"), _json(id="b", total=2, level="ERROR"), _json(id="c", level="INFO"))


def test_without_fields_the_time_and_the_message_are_shown() -> None:
    assert rows("limit 1", "hello") == [{"@timestamp": "2023-11-14 22:13:20.000", "@message": "hello"}]


def test_every_event_row_ends_with_its_pointer() -> None:
    first, second = run("fields @message", "one", "two").rows

    assert [name for name, _ in first] == ["@message", "@ptr"]
    assert first[-1] != second[-1]


def test_rows_come_newest_first() -> None:
    assert column("@message", rows("fields @message", "1", "2", "3")) == ["3", "2", "1"]


def test_missing_fields_are_left_out_of_their_row() -> None:
    assert rows("fields id, total | sort id asc", *ORDERS)[2] == {"id": "c"}


def test_several_fields_commands_add_up() -> None:
    assert rows("fields id | fields total | filter id = 'a'", *ORDERS) == [{"id": "a", "total": "10"}]


def test_display_shows_only_its_fields_and_the_last_one_wins() -> None:
    assert rows("fields id, total | display id | display level | limit 1", *ORDERS) == [{"level": "INFO"}]


def test_an_expression_without_alias_is_named_as_it_is_written() -> None:
    assert rows("fields total * 2 | filter id = 'a'", *ORDERS) == [{"total * 2": "20"}]


def test_parse_with_a_glob_adds_the_wildcards_as_fields() -> None:
    found = rows(
        'fields @message | parse @message "user=*, method:*, latency := *" as @user, @method, @latency',
        "user=bob, method:GET, latency := 12",
        "other",
    )

    assert found == [
        {"@message": "other"},
        {"@message": "user=bob, method:GET, latency := 12", "@user": "bob", "@method": "GET", "@latency": "12"},
    ]


def test_parse_with_a_regular_expression_adds_its_named_groups() -> None:
    found = rows(r"parse @message /id=(?<id>\w+) (?<rest>.*)/ | display id, rest", "x id=42 and more")

    assert found == [{"id": "42", "rest": "and more"}]


def test_parsed_fields_can_be_parsed_again() -> None:
    query = 'parse @message "url=*" as url | parse url "/api/*/users/*" as version, user | display version, user'

    assert rows(query, "url=/api/v2/users/7") == [{"version": "v2", "user": "7"}]


def test_stats_counts_all_rows_or_those_that_have_the_field() -> None:
    assert rows("stats count(*), count(total)", *ORDERS) == [{"count(*)": "3", "count(total)": "2"}]


def test_stats_groups_by_fields_and_lists_them_first() -> None:
    found = run("stats count(*) as n by level | sort n desc", *ORDERS).rows

    assert found == ((("level", "INFO"), ("n", "2")), (("level", "ERROR"), ("n", "1")))


def test_stats_computes_over_the_values_present() -> None:
    found = rows("stats sum(total), avg(total), min(total), max(total), stddev(total), pct(total, 50)", *ORDERS)

    assert found == [
        {
            "sum(total)": "12",
            "avg(total)": "6",
            "min(total)": "2",
            "max(total)": "10",
            "stddev(total)": "4",
            "pct(total, 50)": "2",
        }
    ]


def test_stats_counts_different_values_once() -> None:
    assert rows("stats count_distinct(level) as n", *ORDERS) == [{"n": "2"}]


def test_stats_knows_the_earliest_and_the_latest_value_whatever_the_order() -> None:
    assert rows("sort id desc | stats earliest(id) as first, latest(id) as last", *ORDERS) == [
        {"first": "a", "last": "c"}
    ]


def test_stats_computes_with_aggregates() -> None:
    assert rows("stats sum(total) / count(*) * 2 as x", *ORDERS) == [{"x": "8"}]


def test_bin_groups_by_time() -> None:
    found = rows("stats count(*) as n by bin(5m) as t | sort t asc", *"abcd", step_ms=120_000)

    assert found == [{"t": "2023-11-14 22:10:00.000", "n": "1"}, {"t": "2023-11-14 22:15:00.000", "n": "3"}]


def test_a_second_stats_aggregates_the_first_ones_rows() -> None:
    assert rows("stats count(*) as n by level | filter n > 0 | stats max(n) as most", *ORDERS) == [{"most": "2"}]


def test_stats_of_no_rows_is_no_row() -> None:
    assert rows("filter id = 'none' | stats count(*)", *ORDERS) == []


def test_sort_orders_by_its_first_field_and_equals_by_the_next() -> None:
    assert column("id", rows("fields id | sort level asc, id desc", *ORDERS)) == ["b", "c", "a"]


def test_sort_puts_missing_first_then_natural_text_then_numbers() -> None:
    values = ["3", "111A", "2", "a12345hfh", "5A", "01", "A", "2345_", "@_", "*%04", "#", "0", "A9876fghj", "@", "!:"]
    messages = [_json(other=1), *(_json(v=value) for value in values)]

    assert column("v", rows("fields v | sort v asc", *messages)) == [
        *(None, "!:", "#", "*%04", "5A", "111A", "2345_", "@", "@_", "A", "A9876fghj", "a12345hfh"),
        *("0", "01", "2", "3"),
    ]


def test_limit_keeps_the_first_rows_in_order() -> None:
    assert column("id", rows("fields id | sort id asc | limit 2", *ORDERS)) == ["a", "b"]


def test_dedup_keeps_the_newest_of_each_value() -> None:
    assert column("id", rows("fields id | dedup level", *ORDERS)) == ["c", "b"]


def test_dedup_keeps_every_row_that_lacks_the_field() -> None:
    assert len(rows("dedup total", _json(a=1), _json(a=2), _json(total=1), _json(total=1))) == 3


def test_the_statistics_count_what_was_scanned_and_what_matched() -> None:
    outcome = run("filter level = 'INFO' | limit 1", *ORDERS)

    assert (outcome.scanned, outcome.matched, len(outcome.rows)) == (3, 2, 1)
    assert outcome.bytes_scanned == sum(map(len, ORDERS))


def test_a_filter_behind_stats_leaves_the_number_of_matched_events_as_it_is() -> None:
    outcome = run("stats count(*) as n by level | filter n > 1", *ORDERS)

    assert (outcome.matched, len(outcome.rows)) == (3, 1)


def _numbers(values: list[str | None]) -> list[float]:
    return [float(value) for value in values if value is not None and value.lstrip("-").isdecimal()]


_VALUES = st.lists(st.none() | st.integers(-50, 50) | st.text(max_size=4), max_size=30)


@given(_VALUES)
def test_sort_keeps_every_row_and_descending_mirrors_ascending(values: list[int | str | None]) -> None:
    messages = [_json(v=value) for value in values]
    ascending = column("v", rows("fields v | sort v asc", *messages))
    descending = column("v", rows("fields v | sort v desc", *messages))

    shown = sorted(repr(None if value is None else str(value)) for value in values)
    assert sorted(map(repr, ascending)) == shown
    assert _numbers(ascending) == sorted(_numbers(ascending))
    assert _numbers(descending) == _numbers(ascending)[::-1]


@given(_VALUES, st.integers(1, 40))
def test_limit_is_a_prefix(values: list[int | str | None], count: int) -> None:
    messages = [_json(v=value) for value in values]

    assert run(f"sort v asc | limit {count}", *messages).rows == run("sort v asc", *messages).rows[:count]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_dedup_leaves_each_value_once_and_nothing_to_a_second_run(values: list[int]) -> None:
    kept = column("v", rows("fields v | sort v asc | dedup v", *(_json(v=value) for value in values)))

    assert kept == [str(value) for value in sorted(set(values))]


@given(st.lists(st.integers(0, 3), max_size=30))
def test_groups_add_up_to_the_whole(values: list[int]) -> None:
    messages = [_json(v=value) for value in values]
    counts = [int(row["n"]) for row in rows("stats count(*) as n by v", *messages)]

    assert sum(counts) == len(values)
    assert len(counts) == len(set(values))
