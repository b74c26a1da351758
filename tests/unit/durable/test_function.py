from __future__ import annotations

import io
from typing import Any

import pytest

from harness.durable import (
    CallbackClosedError,
    DurableError,
    DurableFunction,
    ErrorInfo,
    ExecutionPollTimeout,
    RunningExecution,
    Waiting,
)
from harness.events import Event, EventBus
from harness.waiters import FakeClock, WaitTimeout
from tests.unit.durable.samples import ARN, EVENTS, NAME, NOT_FOUND, START, got, summary
from tests.unit.fakes_boto import FakeClient
from tests.unit.waiters.errors import client_error, throttle

ACCEPTED = {"StatusCode": 202, "DurableExecutionArn": ARN, "Payload": io.BytesIO()}
UNTIL_CALLBACK, UNTIL_CHARGE, ALL = {"Events": EVENTS[:10]}, {"Events": EVENTS[:3]}, {"Events": EVENTS}
ROWS = {"status": "Complete", "results": [[{"field": "@message", "value": "hello"}]]}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def function(clock: FakeClock, logs: FakeClient | None = None, **script: Any) -> Any:
    client: Any = FakeClient("lambda", **script)
    logs_client: Any = logs or FakeClient("logs")
    return DurableFunction(client, logs_client, "orders", "live", "/logs/orders", clock=clock)


def running(clock: FakeClock, **script: Any) -> RunningExecution:
    return RunningExecution(function(clock, **script), ARN, NAME)


def test_run_starts_waits_and_gives_execution_and_history(clock: FakeClock) -> None:
    orders = function(
        clock,
        invoke=[ACCEPTED],
        get_durable_execution=[
            NOT_FOUND,
            got("RUNNING"),
            got("FAILED"),
            got("FAILED", Error={"ErrorType": "ShipError"}),
        ],
        get_durable_execution_history=[ALL],
    )
    ended = orders.run({"order": 1})
    assert (ended.status, ended.succeeded, ended.error) == ("FAILED", False, ErrorInfo("ShipError"))
    assert len(ended.history.attempts("charge")) == 3
    assert "ShipError" in ended.timeline
    assert clock.sleeps == [5, 5]


def test_a_run_that_takes_too_long_is_stopped(clock: FakeClock) -> None:
    orders = function(
        clock,
        invoke=[ACCEPTED],
        get_durable_execution=[got("RUNNING")],
        get_durable_execution_history=[UNTIL_CHARGE],
        stop_durable_execution=[{"StopTimestamp": START}],
    )
    with pytest.raises(ExecutionPollTimeout, match="logs: group /logs/orders") as caught:
        orders.run(1, timeout=20)
    assert (caught.value.stopped, caught.value.elapsed) == (True, 20.0)


def test_events_of_start_polls_and_end_are_published(clock: FakeClock) -> None:
    published: list[Event] = []
    bus = EventBus()
    bus.subscribe(published.append)
    client: Any = FakeClient(
        "lambda", invoke=[ACCEPTED], get_durable_execution=[got("SUCCEEDED")], get_durable_execution_history=[ALL]
    )
    logs: Any = FakeClient("logs")
    DurableFunction(client, logs, "orders", clock=clock, events=bus).run("hunter2")
    assert [type(event).__name__ for event in published] == ["ExecutionStarted", "ExecutionPolled", "ExecutionFinished"]
    assert "hunter2" not in repr(published)


def test_a_callbacks_id_is_waited_for_by_the_name_in_the_code(clock: FakeClock) -> None:
    execution = running(clock, get_durable_execution_history=[NOT_FOUND, UNTIL_CHARGE, throttle(), UNTIL_CALLBACK])
    assert execution.callback_id("approval") == "Y2I="
    assert clock.sleeps == [5, 5, 5]


def test_a_callback_that_never_opens_since_the_execution_ended_is_told_at_once(clock: FakeClock) -> None:
    with pytest.raises(DurableError, match="is FAILED and will never come to the callback 'refund'") as caught:
        running(clock, get_durable_execution_history=[ALL]).callback_id("refund")
    assert "StepFailed 'ship' (ShipError)" in str(caught.value)
    assert clock.sleeps == []


def test_a_callback_that_does_not_open_in_time_is_a_timeout_on_the_second(clock: FakeClock) -> None:
    with pytest.raises(WaitTimeout, match="the callback 'refund'") as caught:
        running(clock, get_durable_execution_history=[UNTIL_CHARGE]).callback_id("refund", timeout=12)
    assert (clock.monotonic(), caught.value.attempts) == (12.0, 4)


def test_a_throttled_look_does_not_outlast_the_wait(clock: FakeClock) -> None:
    with pytest.raises(WaitTimeout):
        running(clock, get_durable_execution_history=[throttle()]).callback_id("refund", timeout=12)
    assert clock.monotonic() == 12.0


def test_a_callback_is_answered_by_its_name(clock: FakeClock) -> None:
    execution = running(
        clock,
        get_durable_execution_history=[UNTIL_CALLBACK],
        send_durable_execution_callback_success=[{}],
        send_durable_execution_callback_failure=[{}],
        send_durable_execution_callback_heartbeat=[{}],
    )
    execution.heartbeat_callback("approval")
    execution.succeed_callback("approval", {"approved": True})
    execution.fail_callback("approval", ErrorInfo("Rejected"))
    client: Any = execution.function.lambda_client
    sent = [(name, request) for name, request in client.calls if name.startswith("send")]
    assert sent == [
        ("send_durable_execution_callback_heartbeat", {"CallbackId": "Y2I="}),
        ("send_durable_execution_callback_success", {"CallbackId": "Y2I=", "Result": b'{"approved":true}'}),
        ("send_durable_execution_callback_failure", {"CallbackId": "Y2I=", "Error": {"ErrorType": "Rejected"}}),
    ]


def test_a_callback_is_kept_alive_by_a_heartbeat_at_every_poll(clock: FakeClock) -> None:
    execution = running(
        clock, get_durable_execution_history=[UNTIL_CALLBACK], send_durable_execution_callback_heartbeat=[{}]
    )
    execution.keep_alive("approval", until=lambda: clock.monotonic() >= 20)
    client: Any = execution.function.lambda_client
    assert client.requests("send_durable_execution_callback_heartbeat") == [{"CallbackId": "Y2I="}] * 5
    assert clock.sleeps == [5, 5, 5, 5]


def test_a_callback_that_closes_is_not_kept_alive_any_longer(clock: FakeClock) -> None:
    execution = running(
        clock,
        get_durable_execution_history=[UNTIL_CALLBACK],
        send_durable_execution_callback_heartbeat=[{}, client_error("CallbackTimeoutException", 400)],
    )
    with pytest.raises(CallbackClosedError):
        execution.keep_alive("approval", until=lambda: False)
    assert clock.sleeps == [5]


def test_heartbeats_end_with_the_timeout_even_if_they_are_throttled(clock: FakeClock) -> None:
    execution = running(
        clock,
        get_durable_execution_history=[UNTIL_CALLBACK],
        send_durable_execution_callback_heartbeat=[{}, throttle()],
    )
    with pytest.raises(WaitTimeout):
        execution.keep_alive("approval", until=lambda: False, timeout=12)
    assert clock.monotonic() == 12.0


def test_a_history_is_waited_for_by_any_condition(clock: FakeClock) -> None:
    execution = running(clock, get_durable_execution_history=[UNTIL_CHARGE, UNTIL_CALLBACK])
    history = execution.wait_for(lambda seen: len(seen.attempts("charge")) == 3)
    assert len(history) == 10
    assert clock.sleeps == [5]


def test_logs_are_those_of_the_execution_from_just_before_its_start(clock: FakeClock) -> None:
    logs = FakeClient("logs", start_query=[{"queryId": "q"}], get_query_results=[ROWS])
    execution = RunningExecution(function(clock, logs, get_durable_execution=[got("SUCCEEDED")]), ARN, NAME)
    assert [row.message for row in execution.logs()] == ["hello"]
    (request,) = logs.requests("start_query")
    assert request["logGroupName"] == "/logs/orders"
    assert request["startTime"] == int(START.timestamp()) - 5
    assert ARN in request["queryString"]
    assert clock.sleeps == [15]


def test_how_to_wait_may_be_given(clock: FakeClock) -> None:
    waiting = Waiting()
    quick = Waiting(waiting.execution.scaled(0.01), waiting.throttle.scaled(0.01), timeout=2, log_buffer=0)
    client: Any = FakeClient("lambda", get_durable_execution=[got("RUNNING"), throttle(), got("SUCCEEDED")])
    logs: Any = FakeClient("logs")
    DurableFunction(client, logs, "orders", waiting=quick, clock=clock).poll(ARN)
    assert clock.sleeps == [0.05, 0.05]


def test_stop_all_stops_what_runs_and_leaves_what_ended(clock: FakeClock) -> None:
    other = ARN.replace("6a1e", "ffff")
    executions = [summary("RUNNING"), summary("SUCCEEDED"), summary("PAUSED", DurableExecutionArn=other)]
    orders = function(
        clock,
        list_durable_executions_by_function=[{"DurableExecutions": executions}],
        stop_durable_execution=[{"StopTimestamp": START}],
    )
    assert [execution.arn for execution in orders.stop_all()] == [ARN, other]
    assert [r["DurableExecutionArn"] for r in orders.lambda_client.requests("stop_durable_execution")] == [ARN, other]


def test_an_execution_that_somebody_else_started_can_be_attached_to(clock: FakeClock) -> None:
    orders = function(clock, get_durable_execution=[got("RUNNING")])
    assert orders.attach(ARN).name == NAME


def test_without_a_log_group_it_is_lambdas_default() -> None:
    client: Any = FakeClient("lambda")
    assert DurableFunction(client, client, "orders").log_group == "/aws/lambda/orders"
