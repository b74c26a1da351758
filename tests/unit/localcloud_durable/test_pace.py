"""Time is compressed while nothing runs; while a function's code runs, a second is a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration
from aws_durable_execution_sdk_python.lambda_service import Operation, OperationStatus, OperationType, WaitDetails

from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.pace import Pace

from .support import PATIENCE, Stage

START = datetime(2026, 1, 1, tzinfo=UTC)


class Wall:
    """A wall clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def _wait(clock: ScaledClock, seconds: float) -> Operation:
    return Operation(
        operation_id="w",
        operation_type=OperationType.WAIT,
        status=OperationStatus.STARTED,
        start_timestamp=clock.now(),
        wait_details=WaitDetails(scheduled_end_timestamp=clock.now() + timedelta(seconds=seconds)),
    )


def _wall_seconds_left(pace: Pace, clock: ScaledClock, wait: Operation) -> float:
    due = pace.due(wait, clock.now())
    assert due is not None
    return pace.engine_delay(due, clock.now()).total_seconds() / clock.scale


def test_a_wait_is_compressed_while_nothing_runs() -> None:
    clock = ScaledClock(60, Wall())
    assert _wall_seconds_left(Pace(clock), clock, _wait(clock, 120)) == 2


def test_a_wait_that_begins_in_running_code_is_compressed_from_the_end_of_that_code_on() -> None:
    wall = Wall()
    clock = ScaledClock(60, wall)
    pace = Pace(clock)
    pace.code_begins()
    wall.passes(5)
    wait = _wait(clock, 130)
    pace.begins("w", clock.now())
    assert _wall_seconds_left(pace, clock, wait) == 130
    wall.passes(10)
    assert _wall_seconds_left(pace, clock, wait) == 120
    pace.code_ends()
    assert _wall_seconds_left(pace, clock, wait) == 2
    wall.passes(1)
    assert _wall_seconds_left(pace, clock, wait) == 1


def test_a_wait_goes_on_at_the_pace_of_an_invocation_that_comes_in_between() -> None:
    wall = Wall()
    clock = ScaledClock(60, wall)
    pace = Pace(clock)
    wait = _wait(clock, 180)
    wall.passes(1)
    pace.code_begins()
    assert _wall_seconds_left(pace, clock, wait) == 120
    wall.passes(60)
    pace.code_ends()
    assert _wall_seconds_left(pace, clock, wait) == 1


def test_running_code_is_told_the_moment_at_which_a_wait_is_over_if_it_keeps_running() -> None:
    wall = Wall()
    clock = ScaledClock(60, wall)
    pace = Pace(clock)
    pace.code_begins()
    wait = _wait(clock, 30)
    pace.begins("w", clock.now())
    wall.passes(10)
    assert pace.shown(wait) == START + timedelta(seconds=30)


def test_a_heartbeat_lets_the_limit_run_anew_from_its_own_moment() -> None:
    wall = Wall()
    clock = ScaledClock(60, wall)
    pace = Pace(clock)
    pace.code_begins()
    pace.limit_callback("c", "Callback.Heartbeat", 30)
    wall.passes(20)
    pace.limit_callback("c", "Callback.Heartbeat", 30)
    pace.code_ends()
    assert pace.limit_due("c", "Callback.Heartbeat", clock.now()) == clock.now() + timedelta(seconds=30)


class Held:
    """A durable function whose invocations return only when they may, though all its work is done."""

    def __init__(self, stage: Stage, name: str, body: Callable[[Any, Any], Any]) -> None:
        self.may_return = threading.Event()
        inner = durable_execution(body, boto3_client=stage.client)

        def handler(event: Any, context: Any) -> Any:
            answer = inner(event, context)
            assert self.may_return.wait(PATIENCE)
            return answer

        stage.functions.add_raw(name, handler, durable=True)


def _let_time_pass(stage: Stage) -> None:
    """Half an hour, as seen by an execution whose code doesn't run."""
    stage.functions.add_durable("clock", lambda _event, context: context.wait(Duration.from_minutes(30)))
    stage.run("clock")


def test_a_wait_does_not_end_before_the_invocation_that_began_it_returns(compressed: Stage) -> None:
    held = Held(compressed, "f", lambda _event, context: context.wait(Duration.from_minutes(5)))
    arn = compressed.start("f")
    compressed.wait_for_event(arn, "WaitStarted")
    _let_time_pass(compressed)
    assert "WaitSucceeded" not in compressed.event_types(arn)
    held.may_return.set()
    assert compressed.finish(arn)["Status"] == "SUCCEEDED"
    assert compressed.event_types(arn)[1:5] == [
        "WaitStarted",
        "InvocationCompleted",
        "WaitSucceeded",
        "InvocationCompleted",
    ]


def test_a_callback_does_not_time_out_while_the_function_still_hands_it_out(compressed: Stage) -> None:
    def body(_event: Any, context: Any) -> Any:
        return context.create_callback(config=CallbackConfig(timeout=Duration.from_minutes(5))).result()

    held = Held(compressed, "f", body)
    arn = compressed.start("f")
    compressed.wait_for_event(arn, "CallbackStarted")
    _let_time_pass(compressed)
    assert "CallbackTimedOut" not in compressed.event_types(arn)
    held.may_return.set()
    assert compressed.finish(arn)["Status"] == "FAILED"
    assert compressed.event_types(arn)[1:4] == ["CallbackStarted", "InvocationCompleted", "CallbackTimedOut"]


def test_an_invoked_functions_result_comes_after_the_return_of_the_invocation_that_invoked_it(stage: Stage) -> None:
    stage.functions.add_durable("target", lambda event, _context: event)
    held = Held(stage, "f", lambda _event, context: context.invoke("target:live", "x"))
    arn = stage.start("f")
    started = stage.wait_for_event(arn, "ChainedInvokeStarted")[0]
    child = started["ChainedInvokeStartedDetails"].get("DurableExecutionArn") or stage.wait_until(
        lambda: stage.history(arn)[1]["ChainedInvokeStartedDetails"].get("DurableExecutionArn"), "the child's ARN"
    )
    stage.finish(child)
    held.may_return.set()
    stage.finish(arn)
    assert stage.event_types(arn)[1:4] == ["ChainedInvokeStarted", "InvocationCompleted", "ChainedInvokeSucceeded"]


def test_an_invoked_functions_result_is_not_held_back_for_an_invocation_that_keeps_running(stage: Stage) -> None:
    stage.functions.add_durable("target", lambda event, _context: event)
    held = Held(stage, "f", lambda _event, context: context.invoke("target:live", "x"))
    arn = stage.start("f")
    stage.wait_for_event(arn, "ChainedInvokeSucceeded")
    assert "InvocationCompleted" not in stage.event_types(arn)
    held.may_return.set()
    assert stage.finish(arn)["Result"] == '"x"'
