from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.logs import (
    MAX_ROWS,
    LogGroupNotFoundError,
    QueryFailedError,
    QueryRejectedError,
    QueryTooLargeError,
    Row,
    query_logs,
)
from harness.waiters import Deadline, FakeClock, WaitTimeout
from tests.unit.durable.samples import ARN, NOT_FOUND
from tests.unit.fakes_boto import FakeClient
from tests.unit.waiters.errors import client_error, throttle

START = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = int(START.timestamp())
STARTED = {"queryId": "q"}
LIMIT = client_error("LimitExceededException", 400, "too many concurrent queries")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(start=START)


def complete(*messages: str) -> dict[str, Any]:
    return {"status": "Complete", "results": [[{"field": "@message", "value": message}] for message in messages]}


def client_of(*answers: Any, starts: list[Any] | None = None) -> FakeClient:
    return FakeClient("logs", start_query=starts or [STARTED], get_query_results=list(answers), stop_query=[{}])


def query(clock: FakeClock, client: Any, text: str = "fields @message", **options: Any) -> list[Row]:
    return query_logs(client, "/aws/lambda/orders", text, options.pop("start", START), clock=clock, **options)


class TestSchedule:
    def test_rows_that_are_there_come_after_the_buffer_of_15_seconds(self, clock: FakeClock) -> None:
        assert [row.message for row in query(clock, client_of(complete("a", "b")))] == ["a", "b"]
        assert clock.sleeps == [15]

    def test_it_asks_up_to_5_times_5_seconds_apart_until_rows_come(self, clock: FakeClock) -> None:
        client = client_of(complete(), complete(), complete(), complete(), complete("late"))
        assert [row.message for row in query(clock, client)] == ["late"]
        assert clock.sleeps == [15, 5, 5, 5, 5]

    def test_none_in_all_tries_is_an_empty_list(self, clock: FakeClock) -> None:
        client = client_of(complete())
        assert query(clock, client) == []
        assert clock.sleeps == [15, 5, 5, 5, 5]
        assert len(client.requests("start_query")) == 5

    def test_buffer_tries_and_interval_may_be_given(self, clock: FakeClock) -> None:
        assert query(clock, client_of(complete()), wait_seconds=0, tries=3, interval=0.5) == []
        assert clock.sleeps == [0.5, 0.5]

    def test_an_answer_is_waited_for_at_its_own_pace(self, clock: FakeClock) -> None:
        client = client_of({"status": "Scheduled"}, {"status": "Running", "results": []}, complete("a"))
        assert len(query(clock, client, wait_seconds=0)) == 1
        assert clock.sleeps == [0.5, 0.75]

    def test_a_deadline_cuts_everything(self, clock: FakeClock) -> None:
        assert query(clock, client_of(complete()), deadline=Deadline.after(18, clock)) == []
        assert clock.sleeps == [15, 3]
        again = FakeClock(start=START)
        assert query(again, client_of(complete()), deadline=Deadline.after(4, again)) == []
        assert again.sleeps == [4]


class TestRequest:
    def test_times_are_whole_seconds_rounded_outwards(self, clock: FakeClock) -> None:
        client = client_of(complete("a"))
        query(clock, client, start=EPOCH + 0.9, end_time=datetime.fromtimestamp(EPOCH + 9.1, UTC))
        assert client.requests("start_query") == [
            {
                "logGroupName": "/aws/lambda/orders",
                "startTime": EPOCH,
                "endTime": EPOCH + 10,
                "queryString": "fields @message",
                "limit": 10_000,
            }
        ]

    def test_without_an_end_each_try_asks_up_to_its_own_moment(self, clock: FakeClock) -> None:
        client = client_of(complete(), complete(), complete("a"))
        query(clock, client)
        assert [request["endTime"] - EPOCH for request in client.requests("start_query")] == [15, 20, 25]

    def test_it_may_be_scoped_to_an_execution(self, clock: FakeClock) -> None:
        client = client_of(complete("a"))
        query(clock, client, "fields @message | limit 5", execution_arn=ARN)
        assert client.requests("start_query")[0]["queryString"] == (
            f'filter executionArn = "{ARN}" or @message like "{ARN}" | fields @message | limit 5'
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"start": datetime(2026, 1, 1)}, "start_time is naive"),  # noqa: DTZ001 - that it is naive is the point
            ({"end_time": datetime(2026, 1, 1)}, "end_time is naive"),  # noqa: DTZ001
            ({"end_time": EPOCH - 60}, "lies before start_time"),
            ({"execution_arn": 'x" or 1=1'}, "isn't an ARN"),
            ({"text": "  "}, "the query is empty"),
        ],
    )
    def test_bad_arguments_are_told_before_any_wait(
        self, clock: FakeClock, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            query(clock, FakeClient("logs"), **options)
        assert clock.sleeps == []


class TestUntil:
    def test_rows_are_asked_for_until_the_predicate_holds(self, clock: FakeClock) -> None:
        client = client_of(complete("a"), complete("a", "b"), complete("a", "b", "c"))
        rows = query(clock, client, until=lambda rows: len(rows) == 3)
        assert [row.message for row in rows] == ["a", "b", "c"]
        assert clock.sleeps == [15, 5, 5]

    def test_a_predicate_that_never_holds_is_a_timeout_with_the_last_rows(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout, match="logs in /aws/lambda/orders: 5 attempts") as caught:
            query(clock, client_of(complete("hunter2")), until=lambda rows: len(rows) > 1)
        assert caught.value.last_value == [Row({"@message": "hunter2"})]
        assert "1 rows" in str(caught.value)
        assert "hunter2" not in str(caught.value)

    def test_a_predicate_may_want_absence(self, clock: FakeClock) -> None:
        assert query(clock, client_of(complete()), until=lambda rows: not rows) == []
        assert clock.sleeps == [15]


class TestErrors:
    def test_no_such_group_is_told_at_once(self, clock: FakeClock) -> None:
        with pytest.raises(LogGroupNotFoundError, match="log_group_name") as caught:
            query(clock, client_of(starts=[NOT_FOUND]), wait_seconds=0)
        assert caught.value.__cause__ is NOT_FOUND
        assert clock.sleeps == []

    @pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout"])
    def test_a_query_that_failed_is_not_the_same_as_no_rows(self, clock: FakeClock, status: str) -> None:
        client = client_of({"status": "Running"}, {"status": status, "results": []})
        with pytest.raises(QueryFailedError, match=f"ended as {status}"):
            query(clock, client, wait_seconds=0)
        assert client.requests("stop_query") == []

    def test_a_query_that_is_not_understood_is_told_with_its_text(self, clock: FakeClock) -> None:
        error = client_error("MalformedQueryException", message="unexpected symbol found")
        with pytest.raises(QueryRejectedError, match="unexpected symbol") as caught:
            query(clock, client_of(starts=[error]), "feilds @message")
        assert "feilds @message" in str(caught.value)
        assert caught.value.__cause__ is error

    def test_a_refused_permission_comes_out_as_it_is(self, clock: FakeClock) -> None:
        with pytest.raises(ClientError, match="AccessDenied"):
            query(clock, client_of(starts=[client_error("AccessDeniedException")]))

    def test_throttles_are_waited_out_in_both_calls(self, clock: FakeClock) -> None:
        client = client_of(throttle(), throttle(), complete("a"), starts=[client_error("ThrottlingException"), STARTED])
        assert len(query(clock, client, wait_seconds=0)) == 1
        assert clock.sleeps == [5, 5, 10]

    def test_the_limit_of_concurrent_queries_is_waited_out(self, clock: FakeClock) -> None:
        client = client_of(complete("a"), starts=[LIMIT, LIMIT, STARTED])
        assert len(query(clock, client, wait_seconds=0)) == 1
        assert clock.sleeps == [5, 5]

    def test_a_limit_that_stays_is_a_timeout_and_not_no_rows(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout, match="a query on /aws/lambda/orders") as caught:
            query(clock, client_of(starts=[LIMIT]), wait_seconds=0)
        assert caught.value.__cause__ is LIMIT


class TestWayOut:
    @pytest.mark.parametrize("error", [KeyboardInterrupt(), client_error("AccessDeniedException")])
    def test_a_query_that_still_runs_is_stopped(self, clock: FakeClock, error: BaseException) -> None:
        client = client_of({"status": "Running"}, error)
        with pytest.raises(type(error)):
            query(clock, client, wait_seconds=0)
        assert client.requests("stop_query") == [{"queryId": "q"}]

    def test_also_when_its_time_is_up(self, clock: FakeClock) -> None:
        client = client_of({"status": "Running"})
        with pytest.raises(WaitTimeout, match="the answer to a query"):
            query(clock, client, wait_seconds=0, deadline=Deadline.after(3, clock))
        assert client.requests("stop_query") == [{"queryId": "q"}]

    def test_a_stop_that_fails_hides_nothing(self, clock: FakeClock) -> None:
        client: Any = FakeClient(
            "logs", start_query=[STARTED], get_query_results=[client_error("AccessDenied")], stop_query=[throttle()]
        )
        with pytest.raises(ClientError, match="AccessDenied"):
            query(clock, client)

    def test_a_query_that_is_complete_is_left_alone(self, clock: FakeClock) -> None:
        client = client_of(complete("a"))
        query(clock, client)
        assert client.requests("stop_query") == []


class Store:
    """A log group with so many events in each second, which answers a query with at most 10,000 of them."""

    def __init__(self, per_second: list[int], *, ascending: bool = False) -> None:
        self.per_second = per_second
        self.ascending = ascending
        self.asked: dict[str, dict[str, Any]] = {}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        query_id = str(len(self.asked))
        self.asked[query_id] = request
        return {"queryId": query_id}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        asked = self.asked[request["queryId"]]
        seconds = range(asked["startTime"] - EPOCH, asked["endTime"] - EPOCH + 1)
        names = [f"{second:03}.{i:05}" for second in seconds for i in range(self.events_in(second))]
        names.sort(reverse=not self.ascending)
        return complete(*names[:MAX_ROWS])

    def events_in(self, second: int) -> int:
        return self.per_second[second] if 0 <= second < len(self.per_second) else 0

    def client(self) -> Any:
        return FakeClient("logs", start_query=[self.start], get_query_results=[self.answer], stop_query=[{}])


class TestPaging:
    @pytest.mark.parametrize("text", ["fields @message", "fields @message | sort @timestamp desc"])
    def test_more_than_10000_rows_are_fetched_by_splitting_the_time(self, clock: FakeClock, text: str) -> None:
        store = Store([9000, 4000, 0, 7000, 9999])
        rows = query(clock, store.client(), text, end_time=EPOCH + 4)
        assert len(rows) == 29_999
        assert [row.message for row in rows] == sorted({row.message for row in rows}, reverse=True)

    def test_in_the_order_that_the_query_asks_for(self, clock: FakeClock) -> None:
        store = Store([6000, 6000, 6000], ascending=True)
        rows = query(clock, store.client(), "fields @message | sort @timestamp asc", end_time=EPOCH + 2)
        assert [row.message for row in rows] == sorted({row.message for row in rows})
        assert len(rows) == 18_000

    def test_one_second_cannot_be_split(self, clock: FakeClock) -> None:
        with pytest.raises(QueryTooLargeError, match="narrow the time range"):
            query(clock, Store([10_000]).client(), end_time=EPOCH)

    @pytest.mark.parametrize(
        "text",
        ["fields @message | sort @message", "stats count(*) by @message", "fields @message | dedup @message"],
    )
    def test_a_query_whose_parts_do_not_add_up_is_refused(self, clock: FakeClock, text: str) -> None:
        with pytest.raises(QueryTooLargeError):
            query(clock, Store([6000, 6000]).client(), text, end_time=EPOCH + 1)

    @pytest.mark.parametrize("text", ["fields @message | limit 10000", "FIELDS @message\n| LIMIT 10000"])
    def test_a_limit_of_the_querys_own_is_meant(self, clock: FakeClock, text: str) -> None:
        assert len(query(clock, Store([6000, 6000]).client(), text, end_time=EPOCH + 1)) == 10_000

    def test_words_in_quotes_are_no_commands(self, clock: FakeClock) -> None:
        text = 'fields @message | filter @message like "a | limit 5" or @message like /x | stats/'
        assert len(query(clock, Store([6000, 6000]).client(), text, end_time=EPOCH + 1)) == 12_000


class TestRow:
    def test_it_is_a_mapping_of_texts_without_insights_own_pointer(self) -> None:
        row = Row.of(
            [{"field": "@message", "value": "hi"}, {"field": "level", "value": "INFO"}, {"field": "@ptr", "value": "p"}]
        )
        assert dict(row) == {"@message": "hi", "level": "INFO"}
        assert (row["level"], row.get("nothing"), len(row), row.pointer) == ("INFO", None, 2, "p")
        assert row == {"@message": "hi", "level": "INFO"}

    def test_it_reads_the_timestamp_as_utc(self) -> None:
        row = Row({"@timestamp": "2026-01-02 03:04:05.678"})
        assert row.timestamp == datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
        assert Row({}).timestamp is None

    @pytest.mark.parametrize(("message", "record"), [('{"a": 1}', {"a": 1}), ("plain text", {}), ("[1]", {}), ("", {})])
    def test_it_reads_a_json_record(self, message: str, record: dict[str, Any]) -> None:
        assert Row({"@message": message}).record == record


def test_rows_are_never_logged(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        query(clock, client_of(complete("hunter2"), complete("hunter2")), until=_second_time())
    assert caplog.records
    assert "hunter2" not in caplog.text


def _second_time() -> Callable[[object], bool]:
    times: list[object] = []

    def until(rows: object) -> bool:
        times.append(rows)
        return len(times) == 2

    return until
