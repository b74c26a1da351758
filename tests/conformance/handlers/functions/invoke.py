"""Functions for the requirements 5-x: chained invokes; the environment names their targets."""

from __future__ import annotations

import json
import os
from typing import Any

from aws_durable_execution_sdk_python import DurableContext, InvokeError, durable_execution
from aws_durable_execution_sdk_python.config import Duration, InvokeConfig
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext

# Close to what an asynchronous invoke takes.
_LARGE = 200 * 1024


class Uppercase(SerDes[Any]):
    """JSON in capitals, both ways."""

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        return json.dumps(value).upper()

    def deserialize(self, data: str, serdes_context: SerDesContext) -> str:
        return data.upper()


def _target(number: str = "") -> str:
    return os.environ[f"TARGET_FUNCTION_NAME{number}"]


@durable_execution
def echo(event: Any, context: DurableContext) -> Any:
    return event


@durable_execution
def error(event: Any, context: DurableContext) -> None:
    raise ValueError("the target fails")


@durable_execution
def basic(event: Any, context: DurableContext) -> Any:
    return context.invoke(_target(), event)


@durable_execution
def named(event: dict[str, str], context: DurableContext) -> Any:
    return context.invoke(_target(), event["payload"], name=event["name"])


@durable_execution
def caught(event: Any, context: DurableContext) -> Any:
    try:
        return context.invoke(_target(), event)
    except InvokeError:
        return "fallback"


@durable_execution
def large(event: Any, context: DurableContext) -> int:
    return len(context.invoke(_target(), "x" * _LARGE))


@durable_execution
def tenant(event: dict[str, str], context: DurableContext) -> Any:
    return context.invoke(_target(), event["payload"], config=InvokeConfig(tenant_id=event["tenantId"]))


@durable_execution
def replayed(event: Any, context: DurableContext) -> Any:
    result: Any = context.invoke(_target(), event)
    context.wait(Duration.from_seconds(1))
    return result


@durable_execution
def failure_replayed(event: Any, context: DurableContext) -> str:
    try:
        context.invoke(_target(), event)
    except InvokeError as failure:
        context.wait(Duration.from_seconds(1))
        return str(failure)
    return "the target didn't fail"


@durable_execution
def step_then_invoke(event: Any, context: DurableContext) -> Any:
    return context.invoke(_target(), context.step(lambda _: "from the step"))


@durable_execution
def invoke_then_step(event: Any, context: DurableContext) -> Any:
    result: Any = context.invoke(_target(), "to the step")
    return context.step(lambda _: result)


@durable_execution
def in_child(event: Any, context: DurableContext) -> Any:
    return context.run_in_child_context(lambda child: child.invoke(_target(), "from the child"))


@durable_execution
def sequential(event: Any, context: DurableContext) -> list[Any]:
    return [context.invoke(_target("_1"), 1), context.invoke(_target("_2"), 2)]


@durable_execution
def payload_serdes(event: Any, context: DurableContext) -> Any:
    return context.invoke(_target(), event, config=InvokeConfig(serdes_payload=Uppercase()))


@durable_execution
def result_serdes(event: Any, context: DurableContext) -> Any:
    return context.invoke(_target(), event, config=InvokeConfig(serdes_result=Uppercase()))
