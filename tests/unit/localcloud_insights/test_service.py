"""The four operations: validation, life of a query, paging, quotas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from harness.localcloud.api import ApiError
from harness.localcloud.insights import InsightsService, LogEvent
from tests.unit.localcloud_insights.support import NOW, START_MS, log_events

START, END = START_MS // 1000, START_MS // 1000 + 3600


class _Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class _Logs:
    """A log store of two groups that remembers what it was asked."""

    def __init__(self) -> None:
        self.events = {"/app": log_events("one", "two", "three"), "/other": log_events("four", group="/other")}
        self.asked: list[tuple[list[str], int, int]] = []

    def fetch(self, names: list[str], start: int, end: int) -> Iterable[LogEvent]:
        self.asked.append((names, start, end))
        for name in names:
            if name not in self.events:
                raise ApiError("ResourceNotFoundException", f"Log group '{name}' does not exist", 400)
        return [event for name in names for event in self.events[name]]


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def logs() -> _Logs:
    return _Logs()


@pytest.fixture
def make(logs: _Logs, clock: _Clock) -> Callable[..., InsightsService]:
    return lambda **options: InsightsService(logs.fetch, clock=clock, **options)


def _request(**changes: Any) -> dict[str, Any]:
    request = {"logGroupName": "/app", "startTime": START, "endTime": END, "queryString": "fields @message", **changes}
    return {key: value for key, value in request.items() if value is not None}


def _start(service: InsightsService, **changes: Any) -> str:
    query_id: str = service.start_query(_request(**changes))["queryId"]
    return query_id


def _messages(answer: dict[str, Any]) -> list[str]:
    return [field["value"] for row in answer["results"] for field in row if field["field"] == "@message"]


def _error(call: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    assert caught.value.members["__type"] == caught.value.code
    return caught.value


def test_the_first_poll_answers_running_without_rows_and_the_second_complete_with_them(
    make: Callable[..., InsightsService],
) -> None:
    service = make()
    query_id = _start(service)

    first, second = (service.get_query_results({"queryId": query_id}) for _ in range(2))

    assert (first["status"], first["results"]) == ("Running", [])
    assert (second["status"], _messages(second)) == ("Complete", ["three", "two", "one"])


def test_with_more_running_polls_the_first_is_scheduled(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=2)
    query_id = _start(service)

    statuses = [service.get_query_results({"queryId": query_id})["status"] for _ in range(4)]

    assert statuses == ["Scheduled", "Running", "Complete", "Complete"]


def test_without_running_polls_a_query_is_complete_at_once(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=0)

    assert service.get_query_results({"queryId": _start(service)})["status"] == "Complete"


def test_a_query_completes_by_itself_in_time(make: Callable[..., InsightsService], clock: _Clock) -> None:
    service = make()
    query_id = _start(service)
    clock.now += timedelta(seconds=1)

    assert service.get_query_results({"queryId": query_id})["status"] == "Complete"


def test_the_results_are_those_of_the_start(make: Callable[..., InsightsService], logs: _Logs) -> None:
    service = make(running_polls=0)
    query_id = _start(service)
    logs.events["/app"].extend(log_events("late"))

    assert "late" not in _messages(service.get_query_results({"queryId": query_id}))


def test_the_answer_carries_statistics(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=0)
    query_id = _start(
        service, queryString="filter @message like 't' | limit 1", logGroupName=None, logGroupNames=["/app"]
    )

    statistics = service.get_query_results({"queryId": query_id})["statistics"]

    assert statistics == {
        "recordsMatched": 2.0,
        "recordsScanned": 3.0,
        "estimatedRecordsSkipped": 0.0,
        "bytesScanned": 11.0,
        "estimatedBytesSkipped": 0.0,
        "logGroupsScanned": 1.0,
        "resultCount": 1.0,
    }


def test_both_ends_of_the_range_are_inclusive(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=0)
    query_id = _start(service, startTime=START + 1, endTime=START + 2)

    assert _messages(service.get_query_results({"queryId": query_id})) == ["three", "two"]


@pytest.mark.parametrize(
    "groups",
    [
        {"logGroupNames": ["/app", "/other"]},
        {"logGroupIdentifiers": ["/app", "arn:aws:logs:eu-west-1:123456789012:log-group:/other"]},
    ],
)
def test_several_groups_are_named_in_one_of_two_ways(
    make: Callable[..., InsightsService], logs: _Logs, groups: dict[str, list[str]]
) -> None:
    _start(make(), logGroupName=None, **groups)

    assert logs.asked == [(["/app", "/other"], START, END)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logGroupName": None}, "exactly one of"),
        ({"logGroupNames": ["/other"]}, "exactly one of"),
        ({"logGroupName": None, "logGroupNames": "/app"}, "wrong type"),
        ({"logGroupName": None, "logGroupNames": [f"/g{number}" for number in range(51)]}, "more than 50"),
        ({"logGroupName": None, "logGroupIdentifiers": ["arn:aws:logs:r:1:log-group:/app:*"]}, "must not end with :*"),
        ({"startTime": None}, "startTime and endTime are required"),
        ({"startTime": END + 1}, "must not be after endTime"),
        ({"startTime": -1}, "startTime must be a whole number"),
        ({"queryString": None}, "queryString is required"),
        ({"queryString": "x" * 10_001}, "queryString must be a string"),
        ({"limit": 0}, "limit must be a whole number from 1 to 100000"),
        ({"limit": 100_001}, "limit must be a whole number from 1 to 100000"),
        ({"queryLanguage": "SQL"}, "queryLanguage must be CWLI"),
    ],
)
def test_start_refuses(make: Callable[..., InsightsService], changes: dict[str, Any], message: str) -> None:
    error = _error(lambda: make().start_query(_request(**changes)))

    assert error.code == "InvalidParameterException"
    assert message in error.message


def test_start_refuses_a_malformed_query_before_it_reads_a_log(
    make: Callable[..., InsightsService], logs: _Logs
) -> None:
    assert _error(lambda: _start(make(), queryString="count(*)")).code == "MalformedQueryException"
    assert logs.asked == []


def test_start_knows_which_groups_exist(make: Callable[..., InsightsService]) -> None:
    with pytest.raises(ApiError, match="ResourceNotFoundException"):
        _start(make(), logGroupName="/none")


def test_the_query_after_the_last_concurrent_one_is_refused(make: Callable[..., InsightsService]) -> None:
    service = make(max_concurrent=2)
    _start(service)
    _start(service)

    assert _error(lambda: _start(service)).code == "LimitExceededException"


def test_a_query_that_ended_makes_room(make: Callable[..., InsightsService], clock: _Clock) -> None:
    service = make(max_concurrent=1)
    service.stop_query({"queryId": _start(service)})
    _start(service)
    clock.now += timedelta(seconds=2)

    assert _start(service)


def test_a_limit_in_the_request_bounds_the_rows(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=0)
    query_id = _start(service, limit=2, queryString="fields @message | limit 3")

    assert _messages(service.get_query_results({"queryId": query_id})) == ["three", "two"]


def test_ten_thousand_rows_are_the_default_and_one_page(make: Callable[..., InsightsService], logs: _Logs) -> None:
    logs.events["/app"] = log_events(*map(str, range(10_500)), step_ms=1)
    service = make(running_polls=0)
    by_default = service.get_query_results({"queryId": _start(service)})
    query_id = _start(service, limit=20_000)

    first = service.get_query_results({"queryId": query_id})
    second = service.get_query_results({"queryId": query_id, "nextToken": first["nextToken"]})

    assert len(by_default["results"]) == 10_000
    assert "nextToken" not in by_default
    assert (len(first["results"]), len(second["results"])) == (10_000, 500)
    assert "nextToken" not in second
    assert len(set(_messages(first) + _messages(second))) == 10_500


def test_max_items_sets_the_page(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=0)
    query_id = _start(service)

    first = service.get_query_results({"queryId": query_id, "maxItems": 2})
    rest = service.get_query_results({"queryId": query_id, "maxItems": 2, "nextToken": first["nextToken"]})

    assert (_messages(first), _messages(rest)) == (["three", "two"], ["one"])


@pytest.mark.parametrize("token", ["x", "x:1", ":", "other:-1"])
def test_a_token_of_another_call_is_refused(make: Callable[..., InsightsService], token: str) -> None:
    service = make()
    query_id = _start(service)

    error = _error(lambda: service.get_query_results({"queryId": query_id, "nextToken": token}))

    assert error.code == "InvalidParameterException"


@pytest.mark.parametrize("operation", ["GetQueryResults", "StopQuery"])
def test_an_unknown_query_is_not_found(make: Callable[..., InsightsService], operation: str) -> None:
    error = _error(lambda: make().handle(operation, {"queryId": "none"}))

    assert error.code == "ResourceNotFoundException"


def test_a_stopped_query_is_cancelled_and_has_no_rows(make: Callable[..., InsightsService]) -> None:
    service = make()
    query_id = _start(service)

    assert service.stop_query({"queryId": query_id}) == {"success": True}

    answer = service.get_query_results({"queryId": query_id})
    assert (answer["status"], answer["results"]) == ("Cancelled", [])


def test_a_query_that_was_polled_once_can_still_be_stopped(make: Callable[..., InsightsService]) -> None:
    service = make()
    query_id = _start(service)
    service.get_query_results({"queryId": query_id})

    assert service.stop_query({"queryId": query_id}) == {"success": True}


def test_a_query_that_ended_cannot_be_stopped(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=0)
    query_id = _start(service)

    error = _error(lambda: service.stop_query({"queryId": query_id}))

    assert error.code == "InvalidParameterException"
    assert "is not running: it is Complete" in error.message


def test_a_query_whose_regular_expression_never_ends_times_out(
    make: Callable[..., InsightsService], logs: _Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.localcloud.insights.evaluate.REGEX_SECONDS", 0.01)
    logs.events["/app"] = log_events("a" * 40 + "!")
    service = make(running_polls=0)

    query_id = _start(service, queryString=r"filter @message like /^(a|aa)+$/")

    assert service.get_query_results({"queryId": query_id})["status"] == "Timeout"


def test_queries_are_described_newest_first(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=0)
    old = _start(service)
    new = _start(service, logGroupName="/other", queryString="limit 1")

    described = service.describe_queries({})["queries"]

    assert [query["queryId"] for query in described] == [new, old]
    assert described[0] == {
        "queryLanguage": "CWLI",
        "queryId": new,
        "queryString": "limit 1",
        "status": "Complete",
        "createTime": int(NOW.timestamp() * 1000),
        "logGroupName": "/other",
        "queryDuration": 0,
        "bytesScanned": 4.0,
    }


def test_described_queries_are_filtered_by_group_and_status(make: Callable[..., InsightsService]) -> None:
    service = make()
    running = _start(service)
    service.stop_query({"queryId": _start(service)})
    _start(service, logGroupName="/other")

    found = service.describe_queries({"logGroupName": "/app", "status": "Running"})["queries"]

    assert [query["queryId"] for query in found] == [running]


def test_described_queries_come_in_pages(make: Callable[..., InsightsService]) -> None:
    service = make()
    ids = [_start(service) for _ in range(3)]

    first = service.describe_queries({"maxResults": 2})
    rest = service.describe_queries({"maxResults": 2, "nextToken": first["nextToken"]})

    assert [query["queryId"] for query in (*first["queries"], *rest["queries"])] == ids[::-1]


def test_describing_an_unknown_group_is_an_error(make: Callable[..., InsightsService]) -> None:
    with pytest.raises(ApiError, match="ResourceNotFoundException"):
        make().describe_queries({"logGroupName": "/none"})


def test_an_unknown_status_is_an_error(make: Callable[..., InsightsService]) -> None:
    assert _error(lambda: make().describe_queries({"status": "Done"})).code == "InvalidParameterException"


def test_only_the_latest_thousand_ended_queries_are_remembered(make: Callable[..., InsightsService]) -> None:
    service = make(running_polls=0)
    first, *_, last = [_start(service, queryString="limit 1") for _ in range(1001)]

    assert _error(lambda: service.get_query_results({"queryId": first})).code == "ResourceNotFoundException"
    assert service.get_query_results({"queryId": last})["status"] == "Complete"
