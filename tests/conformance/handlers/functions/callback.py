"""Functions for the requirements 4-x: callbacks."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from aws_durable_execution_sdk_python import (
    CallbackError,
    DurableContext,
    durable_execution,
)
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext


def _seconds(value: int) -> Duration:
    return Duration.from_seconds(value)


class Order(SerDes[dict[str, Any]]):
    """JSON whose time is a number inside the function."""

    def serialize(self, value: dict[str, Any], serdes_context: SerDesContext) -> str:
        return json.dumps(value)

    def deserialize(self, data: str, serdes_context: SerDesContext) -> dict[str, Any]:
        order: dict[str, Any] = json.loads(data)
        order["timestamp"] = int(datetime.fromisoformat(order["timestamp"]).timestamp())
        return order


class Number(SerDes[int]):
    def serialize(self, value: int, serdes_context: SerDesContext) -> str:
        return str(value)

    def deserialize(self, data: str, serdes_context: SerDesContext) -> int:
        return int(data)


@durable_execution
def basic(event: str, context: DurableContext) -> Any:
    return context.create_callback(name=event).result()


@durable_execution
def named(event: Any, context: DurableContext) -> Any:
    return context.create_callback(name="approval").result()


@durable_execution
def timeout(event: str, context: DurableContext) -> Any:
    return context.create_callback(name=event, config=CallbackConfig(timeout=_seconds(5))).result()


@durable_execution
def heartbeat_timeout(event: str, context: DurableContext) -> Any:
    return context.create_callback(name=event, config=CallbackConfig(heartbeat_timeout=_seconds(5))).result()


@durable_execution
def heartbeat(event: str, context: DurableContext) -> Any:
    return context.create_callback(name=event, config=CallbackConfig(heartbeat_timeout=_seconds(10))).result()


@durable_execution
def with_step(event: str, context: DurableContext) -> Any:
    callback = context.create_callback(name=event)
    context.step(lambda _: "submitted")
    return callback.result()


@durable_execution
def timeout_with_step(event: str, context: DurableContext) -> Any:
    callback = context.create_callback(name=event, config=CallbackConfig(timeout=_seconds(5)))
    context.step(lambda _: "submitted")
    return callback.result()


@durable_execution
def with_wait(event: str, context: DurableContext) -> Any:
    callback = context.create_callback(name=event)
    context.wait(_seconds(5))
    return callback.result()


@durable_execution
def timeout_within_wait(event: str, context: DurableContext) -> Any:
    callback = context.create_callback(name=event, config=CallbackConfig(timeout=_seconds(3)))
    context.wait(_seconds(6))
    return callback.result()


@durable_execution
def then_wait(event: str, context: DurableContext) -> Any:
    result = context.create_callback(name=event).result()
    context.wait(_seconds(2))
    return result


def _caught_then_wait(event: str, context: DurableContext, config: CallbackConfig) -> Any:
    try:
        result = context.create_callback(name=event, config=config).result()
    except CallbackError as error:
        result = str(error)
    context.wait(_seconds(2))
    return result


@durable_execution
def failure_caught(event: str, context: DurableContext) -> Any:
    return _caught_then_wait(event, context, CallbackConfig())


@durable_execution
def timeout_caught(event: str, context: DurableContext) -> Any:
    return _caught_then_wait(event, context, CallbackConfig(timeout=_seconds(3)))


@durable_execution
def object_serdes(event: str, context: DurableContext) -> dict[str, Any]:
    return {"received": context.create_callback(name=event, config=CallbackConfig(serdes=Order())).result()}


@durable_execution
def number_serdes(event: str, context: DurableContext) -> dict[str, int]:
    count: Any = context.create_callback(name=event, config=CallbackConfig(serdes=Number())).result()
    return {"count": count, "doubled": 2 * count}


@durable_execution
def one_after_the_other(event: list[str], context: DurableContext) -> list[Any]:
    return [context.create_callback(name=name).result() for name in event]


@durable_execution
def side_by_side(event: list[str], context: DurableContext) -> list[Any]:
    first, second = [context.create_callback(name=name) for name in event]
    return [first.result(), second.result()]


@durable_execution
def side_by_side_reversed(event: list[str], context: DurableContext) -> list[Any]:
    first, second = [context.create_callback(name=name) for name in event]
    late = second.result()
    return [first.result(), late]
