"""What handlers do, and the histories that come of it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_durable_execution_sdk_python import BatchResult, StepError
from aws_durable_execution_sdk_python.config import Duration, JitterStrategy, StepConfig, StepSemantics
from aws_durable_execution_sdk_python.context import DurableContext
from aws_durable_execution_sdk_python.retries import RetryPresets, RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.waits import WaitForConditionConfig, WaitStrategyConfig, create_wait_strategy

from tests.unit.localcloud_durable.support import Crash, Stage, events, types

NO_RETRY = StepConfig(retry_strategy=RetryPresets.none())


def retrying(attempts: int, *, first: int = 2, rate: float = 3) -> StepConfig:
    """A retry strategy without jitter."""
    strategy = RetryStrategyConfig(
        max_attempts=attempts,
        initial_delay=Duration.from_seconds(first),
        backoff_rate=rate,
        jitter_strategy=JitterStrategy.NONE,
    )
    return StepConfig(retry_strategy=create_retry_strategy(strategy))


class InvalidOrderError(Exception):
    """An error of the user's own."""


def test_a_step_and_its_result(stage: Stage) -> None:
    def handler(event: Any, context: DurableContext) -> Any:
        return context.step(lambda _: f"Hello, {event['name']}!", name="greet")

    stage.functions.add_durable("f", handler)
    described, history = stage.run("f", {"name": "World"})
    assert described["Status"] == "SUCCEEDED"
    assert json.loads(described["Result"]) == "Hello, World!"
    assert types(history) == [
        "ExecutionStarted",
        "StepStarted",
        "StepSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]
    started, step_started, succeeded, invocation, ended = history
    assert started["ExecutionStartedDetails"] == {
        "Input": {"Payload": '{"name": "World"}', "Truncated": False},
        "ExecutionTimeout": 86_400,
    }
    assert step_started["StepStartedDetails"] == {}
    assert step_started["Name"] == "greet"
    assert step_started["SubType"] == "Step"
    assert succeeded["Id"] == step_started["Id"]
    assert succeeded["StepSucceededDetails"] == {
        "Result": {"Payload": '"Hello, World!"', "Truncated": False},
        "RetryDetails": {"CurrentAttempt": 1},
    }
    details = invocation["InvocationCompletedDetails"]
    assert details["RequestId"]
    assert details["StartTimestamp"] <= details["EndTimestamp"]
    assert "Error" not in details
    assert ended["ExecutionSucceededDetails"]["Result"]["Payload"] == '"Hello, World!"'
    assert [event["EventId"] for event in history] == [1, 2, 3, 4, 5]


def test_the_handlers_event_is_as_the_service_sends_it(stage: Stage) -> None:
    stage.functions.add_durable("f", lambda _, context: context.wait(Duration.from_seconds(2)))
    before = datetime.now(UTC)
    arn = stage.start("f", {"a": 1})
    stage.finish(arn)
    first, second = stage.functions.payloads
    assert set(first) == {"DurableExecutionArn", "CheckpointToken", "InitialExecutionState", "UpdatedOperationIds"}
    assert first["DurableExecutionArn"] == arn
    execution = first["InitialExecutionState"]["Operations"][0]
    assert execution["Type"] == "EXECUTION"
    assert json.loads(execution["ExecutionDetails"]["InputPayload"]) == {"a": 1}
    assert isinstance(execution["StartTimestamp"], int)
    assert abs(execution["StartTimestamp"] - before.timestamp() * 1000) < 60_000
    wait = second["InitialExecutionState"]["Operations"][1]
    assert wait["Type"] == "WAIT"
    assert isinstance(wait["WaitDetails"]["ScheduledEndTimestamp"], int)
    assert second["UpdatedOperationIds"] == [wait["Id"]]


def test_a_retried_step_records_its_attempts_and_delays(stage: Stage) -> None:
    attempts = iter([RuntimeError("one"), RuntimeError("two"), None])

    def work(_: Any) -> str:
        if error := next(attempts):
            raise error
        return "done"

    stage.functions.add_durable("f", lambda _, context: context.step(work, config=retrying(5)))
    described, history = stage.run("f")
    assert described["Status"] == "SUCCEEDED"
    failed = [event["StepFailedDetails"] for event in events(history, "StepFailed")]
    assert [details["RetryDetails"] for details in failed] == [
        {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 2},
        {"CurrentAttempt": 2, "NextAttemptDelaySeconds": 6},
    ]
    assert [details["Error"]["Payload"]["ErrorMessage"] for details in failed] == ["one", "two"]
    [succeeded] = events(history, "StepSucceeded")
    assert succeeded["StepSucceededDetails"]["RetryDetails"] == {"CurrentAttempt": 3}
    assert types(history)[1:] == [
        *["StepStarted", "StepFailed", "InvocationCompleted"] * 2,
        *["StepStarted", "StepSucceeded", "InvocationCompleted", "ExecutionSucceeded"],
    ]


def test_an_exhausted_step_fails_the_execution_with_the_recorded_type(stage: Stage) -> None:
    def work(_: Any) -> None:
        raise InvalidOrderError("no items")

    stage.functions.add_durable("f", lambda _, context: context.step(work, config=retrying(2, first=1)))
    described, history = stage.run("f")
    assert described["Status"] == "FAILED"
    # The caller of a step sees the SDK's StepError; what the step itself raised is in its event.
    assert described["Error"]["ErrorType"].endswith("StepError")
    last = events(history, "StepFailed")[-1]["StepFailedDetails"]
    assert last["RetryDetails"] == {"CurrentAttempt": 2}
    assert last["Error"]["Payload"]["ErrorMessage"] == "no items"
    assert last["Error"]["Payload"]["ErrorType"].endswith("InvalidOrderError")
    [ended] = events(history, "ExecutionFailed")
    assert ended["ExecutionFailedDetails"]["Error"]["Payload"] == described["Error"]


def test_an_error_that_the_handler_raises_keeps_its_type(stage: Stage) -> None:
    def handler(event: Any, context: DurableContext) -> None:
        raise InvalidOrderError("bad")

    stage.functions.add_durable("f", handler)
    described, history = stage.run("f")
    assert described["Error"]["ErrorType"].endswith("InvalidOrderError")
    assert described["Error"]["ErrorMessage"] == "bad"
    # The SDK answered for its handler: the invocation itself was fine, and isn't repeated.
    [invocation] = events(history, "InvocationCompleted")
    assert "Error" not in invocation["InvocationCompletedDetails"]


def test_a_caught_failure_and_what_follows(stage: Stage) -> None:
    def fail(_: Any) -> None:
        raise ValueError("x")

    def handler(event: Any, context: DurableContext) -> Any:
        try:
            context.step(fail, config=NO_RETRY)
        except StepError:
            return context.step(lambda _: "fallback")

    stage.functions.add_durable("f", handler)
    described, history = stage.run("f")
    assert json.loads(described["Result"]) == "fallback"
    assert types(history)[1:5] == ["StepStarted", "StepFailed", "StepStarted", "StepSucceeded"]


def test_a_wait_is_recorded_with_its_modeled_length(stage: Stage) -> None:
    stage.functions.add_durable("f", lambda _, context: context.wait(Duration.from_minutes(10), name="cool down"))
    described, history = stage.run("f")
    assert described["Status"] == "SUCCEEDED"
    assert types(history)[1:5] == ["WaitStarted", "InvocationCompleted", "WaitSucceeded", "InvocationCompleted"]
    [started], [succeeded] = events(history, "WaitStarted"), events(history, "WaitSucceeded")
    assert started["WaitStartedDetails"]["Duration"] == 600
    assert succeeded["WaitSucceededDetails"]["Duration"] == 600
    # The clock on the wall tells when the wait really ends: 0.6 s later at this scale.
    scheduled = started["WaitStartedDetails"]["ScheduledEndTimestamp"]
    assert round((scheduled - started["EventTimestamp"]).total_seconds(), 1) == 0.6
    # Scheduled ends are rounded up to whole milliseconds.
    assert succeeded["EventTimestamp"] > scheduled - timedelta(milliseconds=1)


def test_a_child_context_is_its_operations_parent(stage: Stage) -> None:
    def handler(event: Any, context: DurableContext) -> Any:
        return context.run_in_child_context(lambda child: child.step(lambda _: 1, name="inner"), name="outer")

    stage.functions.add_durable("f", handler)
    _, history = stage.run("f")
    assert types(history)[1:5] == ["ContextStarted", "StepStarted", "StepSucceeded", "ContextSucceeded"]
    context_started, step_started, _, succeeded = history[1:5]
    assert step_started["ParentId"] == context_started["Id"]
    assert context_started["ContextStartedDetails"] == {}
    assert succeeded["ContextSucceededDetails"]["Result"]["Payload"] == "1"


def test_a_failed_child_context(stage: Stage) -> None:
    def inner(child: DurableContext) -> None:
        raise InvalidOrderError("inside")

    stage.functions.add_durable("f", lambda _, context: context.run_in_child_context(inner, name="outer"))
    described, history = stage.run("f")
    assert described["Status"] == "FAILED"
    [failed] = events(history, "ContextFailed")
    assert failed["ContextFailedDetails"]["Error"]["Payload"]["ErrorType"].endswith("InvalidOrderError")


def test_parallel_branches_wait_at_the_same_time(stage: Stage) -> None:
    def branch(number: int) -> Any:
        def run(child: DurableContext) -> int:
            child.wait(Duration.from_minutes(10))
            return int(child.step(lambda _: number))

        return run

    def handler(event: Any, context: DurableContext) -> Any:
        results: BatchResult[int] = context.parallel([branch(1), branch(2), branch(3)], name="all")
        return sorted(results.get_results())

    stage.functions.add_durable("f", handler)
    described, history = stage.run("f")
    assert json.loads(described["Result"]) == [1, 2, 3]
    waits = [index for index, kind in enumerate(types(history)) if kind.startswith("Wait")]
    assert [history[index]["EventType"] for index in waits[:3]] == ["WaitStarted"] * 3
    assert len(events(history, "WaitSucceeded")) == 3


def test_map_over_many_items(stage: Stage) -> None:
    def handler(event: Any, context: DurableContext) -> Any:
        def square(child: DurableContext, item: int, index: int, items: Any) -> int:
            return int(child.step(lambda _: item * item))

        return sum(context.map(event, square, name="squares").get_results())

    stage.functions.add_durable("f", handler)
    described, history = stage.run("f", list(range(25)))
    assert json.loads(described["Result"]) == sum(n * n for n in range(25))
    assert len(events(history, "StepSucceeded")) == 25


def test_wait_for_condition_shows_each_polls_state(stage: Stage) -> None:
    config: WaitForConditionConfig[int] = WaitForConditionConfig(
        wait_strategy=create_wait_strategy(
            WaitStrategyConfig(
                should_continue_polling=lambda state: state < 3,
                initial_delay=Duration.from_seconds(2),
                backoff_rate=1,
                jitter_strategy=JitterStrategy.NONE,
            )
        ),
        initial_state=0,
    )
    stage.functions.add_durable("f", lambda _, context: context.wait_for_condition(lambda n, _: n + 1, config))
    described, history = stage.run("f")
    assert json.loads(described["Result"]) == 3
    polls = [event["StepSucceededDetails"] for event in events(history, "StepSucceeded")]
    assert [poll["Result"]["Payload"] for poll in polls] == ["1", "2", "3"]
    assert [poll["RetryDetails"] for poll in polls] == [
        {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 2},
        {"CurrentAttempt": 2, "NextAttemptDelaySeconds": 2},
        {"CurrentAttempt": 3},
    ]
    assert {event["SubType"] for event in events(history, "StepStarted")} == {"WaitForCondition"}


def test_a_crash_is_recorded_and_the_invocation_repeated(stage: Stage) -> None:
    crashes = iter([True, False])

    def handler(event: Any, context: DurableContext) -> Any:
        def work(_: Any) -> str:
            if next(crashes):
                raise Crash
            return "survived"

        semantics = StepConfig(
            retry_strategy=retrying(3, first=1).retry_strategy,
            step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY,
        )
        return context.step(work, config=semantics)

    stage.functions.add_durable("f", handler)
    described, history = stage.run("f")
    assert json.loads(described["Result"]) == "survived"
    # As AWS's conformance requirement 1-8 has it.
    assert types(history)[1:] == [
        "StepStarted",
        "InvocationCompleted",
        "StepFailed",
        "InvocationCompleted",
        "StepStarted",
        "StepSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]
    error = events(history, "InvocationCompleted")[0]["InvocationCompletedDetails"]["Error"]["Payload"]
    assert error["ErrorType"] == "Runtime.ExitError"
    assert "exited" in error["ErrorMessage"]


def test_five_crashes_in_a_row_fail_the_execution(stage: Stage) -> None:
    def handler(event: Any, context: DurableContext) -> None:
        raise Crash

    stage.functions.add_durable("f", handler)
    described, history = stage.run("f")
    assert described["Status"] == "FAILED"
    assert described["Error"]["ErrorType"] == "Runtime.ExitError"
    invocations = [event["InvocationCompletedDetails"] for event in events(history, "InvocationCompleted")]
    assert [details["Error"]["Payload"]["ErrorType"] for details in invocations] == ["Runtime.ExitError"] * 5
    assert len({details["RequestId"] for details in invocations}) == 5


def test_an_unhandled_error_outside_the_sdk_is_repeated_too(stage: Stage) -> None:
    def handler(event: Any, context: Any) -> Any:
        raise ImportError("No module named 'x'")

    stage.functions.add_raw("f", handler, durable=True)
    described, history = stage.run("f")
    assert described["Error"]["ErrorType"] == "ImportError"
    assert described["Error"]["ErrorMessage"] == "No module named 'x'"
    assert described["Error"]["StackTrace"] == ["  File f, line 1"]
    assert len(events(history, "InvocationCompleted")) == 5


def test_an_answer_that_is_none_fails_at_once(stage: Stage) -> None:
    stage.functions.add_raw("f", lambda *_: {"hello": "world"}, durable=True)
    described, history = stage.run("f")
    assert described["Status"] == "FAILED"
    assert described["Error"]["ErrorType"] == "InvalidParameterValueException"
    assert types(history)[1:] == ["InvocationCompleted", "ExecutionFailed"]


def test_a_throttled_invocation_costs_no_attempt(stage: Stage) -> None:
    stage.functions.add_durable("f", lambda *_: "ok")
    stage.functions.throttles = 7
    described, history = stage.run("f")
    assert described["Status"] == "SUCCEEDED"
    assert len(events(history, "InvocationCompleted")) == 1


def test_a_function_that_is_gone_fails_its_execution(stage: Stage) -> None:
    stage.functions.add_durable("f", lambda _, context: context.wait(Duration.from_hours(1)))
    arn = stage.start("f")
    stage.wait_until_idle(arn)
    stage.functions.remove("f")
    assert stage.finish(arn)["Error"]["ErrorType"] == "ResourceNotFoundException"


def test_an_execution_that_takes_too_long_times_out(stage: Stage) -> None:
    stage.functions.add_durable("f", lambda _, context: context.wait(Duration.from_days(2)), timeout=600)
    described, history = stage.run("f")
    assert described["Status"] == "TIMED_OUT"
    assert "600 seconds" in described["Error"]["ErrorMessage"]
    assert types(history)[-1] == "ExecutionTimedOut"
    assert history[-1]["ExecutionTimedOutDetails"]["Error"]["Payload"] == described["Error"]


def test_running_code_uses_up_its_own_time_only(stage: Stage) -> None:
    """At this scale a timeout of ten minutes is 0.6 s of waiting, but ten minutes of work."""

    def handler(event: Any, context: DurableContext) -> Any:
        def work(_: Any) -> str:
            threading.Event().wait(0.9)
            return "done"

        return context.step(work)

    stage.functions.add_durable("f", handler, timeout=600)
    described, _ = stage.run("f")
    assert described["Status"] == "SUCCEEDED"


def test_work_that_takes_longer_than_the_execution_may(real_time: Stage) -> None:
    stage = real_time
    release = threading.Event()

    def handler(event: Any, context: DurableContext) -> Any:
        return context.step(lambda _: release.wait(60))

    stage.functions.add_durable("f", handler, timeout=1)
    arn = stage.start("f")
    assert stage.finish(arn)["Status"] == "TIMED_OUT"
    release.set()
    # What the handler answers afterwards changes nothing.
    stage.wait_until_idle(arn)
    assert stage.finish(arn)["Status"] == "TIMED_OUT"


def test_an_execution_stays_on_the_version_it_started_on(stage: Stage) -> None:
    def version(number: int) -> Any:
        def handler(event: Any, context: DurableContext) -> int:
            context.wait(Duration.from_hours(1))
            return number

        return handler

    stage.functions.add_durable("f", version(1), version="1")
    arn = stage.start("f")
    stage.wait_until_idle(arn)
    stage.functions.add_durable("f", version(2), version="2")
    described = stage.finish(arn)
    assert json.loads(described["Result"]) == 1
    assert described["Version"] == "1"
    assert ":function:f:1/durable-execution/" in arn
    assert {function.version for function in stage.functions.invoked} == {"1"}
    assert ":function:f:2/durable-execution/" in stage.start("f")


def test_events_are_in_causal_order_with_rising_times(stage: Stage) -> None:
    def handler(event: Any, context: DurableContext) -> Any:
        def item(child: DurableContext, number: int, index: int, items: Any) -> int:
            child.step(lambda _: number)
            child.wait(Duration.from_seconds(1 + number % 3))
            return int(child.step(lambda _: number))

        return len(context.map(list(range(12)), item).get_results())

    stage.functions.add_durable("f", handler)
    _, history = stage.run("f")
    times = [event["EventTimestamp"] for event in history]
    assert times == sorted(times)
    started: set[str] = set()
    for event in history:
        if event["EventType"].endswith("Started"):
            assert event.get("ParentId") is None or event["ParentId"] in started
            started.add(event["Id"])
        elif "Id" in event:
            assert event["Id"] in started


def test_waiting_executions_hold_no_thread(real_time: Stage) -> None:
    real_time.functions.add_durable("f", lambda _, context: context.wait(Duration.from_hours(1)))
    arns = [real_time.start("f") for _ in range(150)]
    for arn in arns:
        real_time.wait_until_idle(arn)
    mine = [thread.name for thread in threading.enumerate() if thread.name.startswith(("durable-lane", "execution-"))]
    assert len(mine) <= 32


@pytest.mark.parametrize("scale", [3600.0])
def test_hours_pass_in_seconds(scale: float) -> None:
    stage = Stage(time_scale=scale)
    try:

        def handler(event: Any, context: DurableContext) -> str:
            context.wait(Duration.from_hours(1))
            return "late"

        stage.functions.add_durable("f", handler, timeout=86_400)
        described, _ = stage.run("f")
        assert json.loads(described["Result"]) == "late"
        # What leaves the engine is the time on the wall.
        assert (described["EndTimestamp"] - described["StartTimestamp"]).total_seconds() < 1800
        assert abs((described["StartTimestamp"] - datetime.now(UTC)).total_seconds()) < 1800
    finally:
        stage.close()
