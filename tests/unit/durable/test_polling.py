from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.durable import ExecutionNotFoundError, ExecutionPollTimeout, FunctionNotFoundError, poll_execution
from harness.events import Event, EventBus, ExecutionFinished, ExecutionPolled
from harness.waiters import EXECUTION, Deadline, FakeClock
from tests.unit.durable.samples import ARN, EVENTS, NAME, NOT_FOUND, START, got, listed, summary
from tests.unit.fakes_boto import FakeClient
from tests.unit.waiters.errors import client_error, throttle

LAST_EVENTS = {"Events": list(reversed(EVENTS[:3]))}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def poll(clock: FakeClock, *answers: Any, name: str = NAME, timeout: float = 300, **options: Any) -> dict[str, Any]:
    client: Any = options.pop("client", None) or FakeClient("lambda", list_durable_executions_by_function=answers)
    return poll_execution(client, "orders", name, timeout, clock=clock, **options)


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"])
def test_each_terminal_status_gives_the_summary_as_listed(clock: FakeClock, status: str) -> None:
    assert poll(clock, listed("RUNNING"), listed(status)) == summary(status)
    assert clock.sleeps == [5]


def test_it_is_found_by_name_through_the_list_call(clock: FakeClock) -> None:
    client = FakeClient("lambda", list_durable_executions_by_function=[listed("SUCCEEDED")])
    poll(clock, client=client)
    assert client.calls == [
        ("list_durable_executions_by_function", {"FunctionName": "orders", "DurableExecutionName": NAME})
    ]


def test_given_an_arn_it_is_asked_for_by_the_get_call_with_the_same_keys(clock: FakeClock) -> None:
    client = FakeClient("lambda", get_durable_execution=[got("RUNNING"), got("SUCCEEDED")])
    found = poll(clock, client=client, name=ARN)
    assert found == summary("SUCCEEDED", KMSKeyArn="arn:key")
    assert client.requests("get_durable_execution") == [{"DurableExecutionArn": ARN, "IncludeExecutionData": False}] * 2


def test_every_5_seconds_and_5_doubling_to_30_on_throttling_anew_after_each_success(clock: FakeClock) -> None:
    poll(
        clock,
        listed("RUNNING"),
        listed("RUNNING"),
        *[throttle()] * 5,
        listed("RUNNING"),
        throttle(),
        listed("SUCCEEDED"),
    )
    assert clock.sleeps == [5, 5, 5, 10, 20, 30, 30, 5, 5]


def test_it_survives_5xx_and_dropped_connections(clock: FakeClock) -> None:
    errors = [client_error("ServiceException", 500), ConnectionResetError(), client_error("X", 503)]
    assert poll(clock, listed("RUNNING"), *errors, listed("SUCCEEDED"))["Status"] == "SUCCEEDED"


def test_a_refused_permission_comes_out_at_once(clock: FakeClock) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        poll(clock, client_error("AccessDeniedException", 403))
    assert clock.sleeps == []


def test_pages_are_followed_also_empty_ones_and_other_names_passed_over(clock: FakeClock) -> None:
    client = FakeClient(
        "lambda",
        list_durable_executions_by_function=[
            {"DurableExecutions": [], "NextMarker": "m1"},
            {"DurableExecutions": [summary("FAILED", name=f"{NAME}x")], "NextMarker": "m2"},
            listed("SUCCEEDED"),
        ],
    )
    assert poll(clock, client=client)["Status"] == "SUCCEEDED"
    assert [request.get("Marker") for _, request in client.calls] == [None, "m1", "m2"]
    assert clock.sleeps == []


class TestGrace:
    def test_an_execution_may_not_be_visible_yet(self, clock: FakeClock) -> None:
        assert poll(clock, listed(), listed(), listed("SUCCEEDED"))["Status"] == "SUCCEEDED"
        assert clock.sleeps == [5, 5]

    def test_nor_may_an_arn(self, clock: FakeClock) -> None:
        client = FakeClient("lambda", get_durable_execution=[NOT_FOUND, NOT_FOUND, got("SUCCEEDED")])
        assert poll(clock, client=client, name=ARN)["Status"] == "SUCCEEDED"

    def test_after_the_grace_it_does_not_exist(self, clock: FakeClock) -> None:
        with pytest.raises(ExecutionNotFoundError, match="hasn't been found for 30 s") as caught:
            poll(clock, listed())
        assert clock.monotonic() == 30.0
        assert NAME in str(caught.value)
        assert "list_executions" in str(caught.value)

    def test_it_may_vanish_for_a_moment_but_not_for_good(self, clock: FakeClock) -> None:
        with pytest.raises(ExecutionNotFoundError, match="it was seen before, DELETING"):
            poll(clock, listed("RUNNING"), listed(), listed("DELETING"), listed(), grace=10)
        assert clock.monotonic() == 20.0

    def test_an_unknown_function_is_told_at_once(self, clock: FakeClock) -> None:
        with pytest.raises(FunctionNotFoundError, match="orders") as caught:
            poll(clock, NOT_FOUND)
        assert caught.value.__cause__ is NOT_FOUND
        assert clock.sleeps == []


class TestTimeout:
    def client(self, **more: Any) -> FakeClient:
        script: dict[str, Any] = {
            "list_durable_executions_by_function": [throttle(), listed("RUNNING")],
            "get_durable_execution_history": [LAST_EVENTS],
        }
        return FakeClient("lambda", **(script | more))

    def test_the_last_look_is_exactly_at_the_timeout(self, clock: FakeClock) -> None:
        with pytest.raises(TimeoutError) as caught:
            poll(clock, client=self.client(), timeout=12)
        assert isinstance(caught.value, ExecutionPollTimeout)
        assert clock.sleeps == [5, 5, 2]
        assert caught.value.elapsed == 12.0

    def test_300_seconds_of_polling_take_no_real_time(self, clock: FakeClock) -> None:
        with pytest.raises(ExecutionPollTimeout) as caught:
            poll(clock, client=self.client(list_durable_executions_by_function=[listed("RUNNING")]))
        assert (caught.value.polls, caught.value.elapsed, clock.monotonic()) == (61, 300.0, 300.0)

    def test_the_error_says_status_polls_throttles_last_events_and_where_the_logs_are(self, clock: FakeClock) -> None:
        client = self.client()
        with pytest.raises(ExecutionPollTimeout) as caught:
            poll(clock, client=client, timeout=10)
        error = caught.value
        assert (error.status, error.polls, error.throttles, error.arn) == ("RUNNING", 3, 1, ARN)
        assert [e.type for e in error.recent_events] == ["ExecutionStarted", "StepStarted", "StepFailed"]
        text = str(error)
        assert f"execution {NAME} of orders" in text
        assert "last status: RUNNING" in text
        assert "polls: 3, 1 of them throttled" in text
        assert "#3 StepFailed 'charge' (CardError) attempt 1, next in 5 s" in text
        assert f"logs: group /aws/lambda/orders, execution ARN {ARN}" in text
        assert "hunter2" not in text
        assert client.requests("get_durable_execution_history") == [
            {"DurableExecutionArn": ARN, "IncludeExecutionData": False, "ReverseOrder": True, "MaxItems": 10}
        ]
        assert client.requests("stop_durable_execution") == []

    def test_a_history_that_cannot_be_read_hides_nothing_else(self, clock: FakeClock) -> None:
        denied = client_error("AccessDeniedException", 403)
        with pytest.raises(
            ExecutionPollTimeout, match=r"history: could not be read \(AccessDeniedException\)"
        ) as caught:
            poll(clock, client=self.client(get_durable_execution_history=[denied]), timeout=10, log_group="/mine")
        assert "logs: group /mine" in str(caught.value)

    def test_one_that_was_never_seen_says_so(self, clock: FakeClock) -> None:
        with pytest.raises(ExecutionPollTimeout, match="last status: never seen") as caught:
            poll(clock, listed(), timeout=10, stop_on_timeout=True)
        assert (caught.value.status, caught.value.stopped) == (None, False)

    def test_it_is_stopped_on_request_despite_a_throttle(self, clock: FakeClock) -> None:
        client = self.client(stop_durable_execution=[throttle(), {"StopTimestamp": START}])
        with pytest.raises(ExecutionPollTimeout, match="it was stopped") as caught:
            poll(clock, client=client, timeout=10, stop_on_timeout=True)
        assert caught.value.stopped
        assert client.requests("stop_durable_execution")[0]["Error"]["ErrorType"] == "PollTimeout"

    def test_a_stop_that_fails_is_told(self, clock: FakeClock) -> None:
        denied = client_error("AccessDeniedException", 403)
        client = self.client(stop_durable_execution=[denied])
        with pytest.raises(
            ExecutionPollTimeout, match="NOT stopped, it may still run: AccessDeniedException"
        ) as caught:
            poll(clock, client=client, timeout=10, stop_on_timeout=True)
        assert not caught.value.stopped

    def test_no_time_looks_once(self, clock: FakeClock) -> None:
        with pytest.raises(ExecutionPollTimeout) as caught:
            poll(clock, client=self.client(list_durable_executions_by_function=[listed("RUNNING")]), timeout=0)
        assert caught.value.polls == 1

    def test_it_never_outlives_the_deadline_it_is_part_of(self, clock: FakeClock) -> None:
        whole = Deadline.after(7, clock)
        with pytest.raises(ExecutionPollTimeout):
            poll(clock, client=self.client(), timeout=300, deadline=whole)
        assert clock.sleeps == [5, 2]


class TestWatching:
    def test_each_change_of_status_is_told_and_an_unknown_one_reported(
        self, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen: list[str] = []
        answers = [listed(), listed("RUNNING"), listed("RUNNING"), listed("LEVITATING"), listed("SUCCEEDED")]
        with caplog.at_level(logging.WARNING, logger="harness.durable"):
            poll(clock, *answers, on_status=seen.append)
        assert seen == ["RUNNING", "LEVITATING", "SUCCEEDED"]
        assert "unknown status LEVITATING" in caplog.text

    def test_a_watcher_that_fails_breaks_nothing(self, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
        def watch(status: str) -> None:
            raise RuntimeError(status)

        assert poll(clock, listed("SUCCEEDED"), on_status=watch)["Status"] == "SUCCEEDED"
        assert "on_status failed" in caplog.text

    def test_polls_and_the_end_are_published(self, clock: FakeClock) -> None:
        published: list[Event] = []
        bus = EventBus()
        bus.subscribe(published.append)
        poll(clock, listed(), listed("RUNNING"), throttle(), listed("FAILED"), events=bus)
        first, second, last = published
        assert isinstance(first, ExecutionPolled)
        assert isinstance(second, ExecutionPolled)
        assert isinstance(last, ExecutionFinished)
        assert (first.status, second.status) == ("RUNNING", "FAILED")
        assert (last.function_name, last.execution_name, last.arn) == ("orders", NAME, ARN)
        assert (last.status, last.seconds) == ("FAILED", 42.0)


def test_pace_and_policy_may_be_given(clock: FakeClock) -> None:
    poll(clock, listed("RUNNING"), throttle(), listed("SUCCEEDED"), interval=1, policy=EXECUTION.with_backoff(2))
    assert clock.sleeps == [1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"name": "no good"}, "1-64 of"), ({"timeout": -1}, "0 or more seconds"), ({"interval": 0}, "busy loop")],
)
def test_bad_arguments_are_told_before_any_call(clock: FakeClock, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        poll(clock, **options)


def test_timestamps_are_boto3s(clock: FakeClock) -> None:
    found = poll(clock, listed("SUCCEEDED"))
    assert found["EndTimestamp"] - found["StartTimestamp"] == timedelta(seconds=42)
