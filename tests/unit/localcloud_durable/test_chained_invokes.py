"""Functions that a durable function invokes."""

from __future__ import annotations

import json
from typing import Any

from aws_durable_execution_sdk_python import InvokeError
from aws_durable_execution_sdk_python.config import Duration, InvokeConfig
from aws_durable_execution_sdk_python.context import DurableContext

from tests.unit.localcloud_durable.support import Stage, events, types


def add_parent(stage: Stage, target: str, **config: Any) -> None:
    def handler(event: Any, context: DurableContext) -> Any:
        return context.invoke(target, event, name="call", config=InvokeConfig(**config))

    stage.functions.add_durable("parent", handler)


def test_a_durable_target_gets_an_execution_of_its_own(stage: Stage) -> None:
    def child(event: Any, context: DurableContext) -> Any:
        context.wait(Duration.from_minutes(5))
        return event["n"] + 1

    stage.functions.add_durable("child", child, version="3")
    add_parent(stage, "child:live", tenant_id="blue")
    described, history = stage.run("parent", {"n": 1})
    assert json.loads(described["Result"]) == 2
    assert types(history)[1:] == [
        "ChainedInvokeStarted",
        "InvocationCompleted",
        "ChainedInvokeSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]
    details = history[1]["ChainedInvokeStartedDetails"]
    assert details["FunctionName"] == "child:live"
    assert details["TenantId"] == "blue"
    assert details["ExecutedVersion"] == "3"
    assert json.loads(details["Input"]["Payload"]) == {"n": 1}
    child_arn = details["DurableExecutionArn"]
    assert ":function:child:3/durable-execution/" in child_arn
    assert stage.finish(child_arn)["Status"] == "SUCCEEDED"
    [listed] = stage.client.list_durable_executions_by_function(FunctionName="child")["DurableExecutions"]
    assert listed["DurableExecutionArn"] == child_arn
    assert history[3]["ChainedInvokeSucceededDetails"]["Result"]["Payload"] == "2"


def test_a_plain_target_runs_once(stage: Stage) -> None:
    stage.functions.add_raw("plain", lambda event, _: event["n"] * 2, durable=False)
    add_parent(stage, "plain")
    described, history = stage.run("parent", {"n": 21})
    assert json.loads(described["Result"]) == 42
    [started] = events(history, "ChainedInvokeStarted")
    assert started["ChainedInvokeStartedDetails"]["ExecutedVersion"] == "1"
    assert "DurableExecutionArn" not in started["ChainedInvokeStartedDetails"]


def test_a_plain_target_that_fails(stage: Stage) -> None:
    def target(event: Any, context: Any) -> None:
        raise KeyError("sku")

    stage.functions.add_raw("plain", target, durable=False)

    def handler(event: Any, context: DurableContext) -> Any:
        try:
            return context.invoke("plain", event)
        except InvokeError as error:
            return str(error)

    stage.functions.add_durable("parent", handler)
    described, history = stage.run("parent", {})
    assert "sku" in json.loads(described["Result"])
    [failed] = events(history, "ChainedInvokeFailed")
    error = failed["ChainedInvokeFailedDetails"]["Error"]["Payload"]
    assert error["ErrorType"] == "KeyError"
    assert error["StackTrace"]


def test_a_durable_target_that_fails_stops_or_times_out(stage: Stage) -> None:
    def failing(event: Any, context: DurableContext) -> None:
        raise ValueError("child failed")

    stage.functions.add_durable("failing", failing)
    stage.functions.add_durable("slow", lambda _, context: context.wait(Duration.from_days(1)), timeout=300)
    stage.functions.add_durable(
        "stoppable", lambda _, context: context.wait(Duration.from_days(300)), timeout=31_622_400
    )

    add_parent(stage, "failing:live")
    _, history = stage.run("parent")
    assert events(history, "ChainedInvokeFailed")[0]["ChainedInvokeFailedDetails"]["Error"]["Payload"][
        "ErrorMessage"
    ] == ("child failed")

    add_parent(stage, "slow:live")
    _, history = stage.run("parent")
    error = events(history, "ChainedInvokeTimedOut")[0]["ChainedInvokeTimedOutDetails"]["Error"]["Payload"]
    assert error["ErrorType"] == "ChainedInvoke.Timeout"

    add_parent(stage, "stoppable:live")
    arn = stage.start("parent")
    child_arn = stage.wait_until(
        lambda: next(iter(stage.execution(arn).chained_invoke_children.values()), None), "the child"
    )
    stage.client.stop_durable_execution(DurableExecutionArn=child_arn, Error={"ErrorMessage": "by hand"})
    stage.finish(arn)
    error = events(stage.history(arn), "ChainedInvokeStopped")[0]["ChainedInvokeStoppedDetails"]["Error"]["Payload"]
    assert error == {"ErrorMessage": "by hand"}


def test_targets_that_cant_be_invoked_fail_at_their_checkpoint(stage: Stage) -> None:
    stage.functions.add_durable("child", lambda *_: None)
    for target, code in (("nothing", "ResourceNotFoundException"), ("child", "InvalidParameterValueException")):
        add_parent(stage, target)
        described, history = stage.run("parent", {"a": 1})
        assert described["Status"] == "FAILED"
        # One invocation: the handler learns of it in the answer to its own checkpoint.
        assert types(history)[1:4] == ["ChainedInvokeStarted", "ChainedInvokeFailed", "InvocationCompleted"]
        assert "Input" not in history[1]["ChainedInvokeStartedDetails"]
        assert history[2]["ChainedInvokeFailedDetails"]["Error"]["Payload"]["ErrorType"] == code
