"""Functions for the requirements 7-x: handing a callback out and waiting for it."""

from __future__ import annotations

import json
from typing import Any

from aws_durable_execution_sdk_python import CallbackError, DurableContext, durable_execution
from aws_durable_execution_sdk_python.config import Duration, JitterStrategy, WaitForCallbackConfig
from aws_durable_execution_sdk_python.retries import RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext


class Json(SerDes[Any]):
    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        return json.dumps(value)

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        return json.loads(data)


def _submit(callback_id: str, _: Any) -> None:
    """The outside world finds the callback in the history."""


def _fail(callback_id: str, _: Any) -> None:
    raise ValueError("the submitter fails")


def _seconds(value: int) -> Duration:
    return Duration.from_seconds(value)


@durable_execution
def basic(event: str, context: DurableContext) -> Any:
    return context.wait_for_callback(_submit, name=event)


@durable_execution
def named(event: Any, context: DurableContext) -> Any:
    return context.wait_for_callback(_submit, name="approval")


@durable_execution
def unnamed(event: Any, context: DurableContext) -> Any:
    return context.wait_for_callback(lambda *_: None)


@durable_execution
def timeout(event: str, context: DurableContext) -> Any:
    return context.wait_for_callback(_submit, name=event, config=WaitForCallbackConfig(timeout=_seconds(3)))


@durable_execution
def failure_caught(event: str, context: DurableContext) -> Any:
    try:
        return context.wait_for_callback(_submit, name=event)
    except CallbackError:
        return "recovered"


@durable_execution
def submitter_exhausted(event: str, context: DurableContext) -> Any:
    strategy = create_retry_strategy(
        RetryStrategyConfig(max_attempts=2, initial_delay=_seconds(1), jitter_strategy=JitterStrategy.NONE)
    )
    return context.wait_for_callback(_fail, name=event, config=WaitForCallbackConfig(retry_strategy=strategy))


@durable_execution
def in_child(event: str, context: DurableContext) -> Any:
    return context.run_in_child_context(lambda child: child.wait_for_callback(_submit, name=event), name="wrapper")


@durable_execution
def two(event: Any, context: DurableContext) -> Any:
    context.wait_for_callback(_submit, name="first")
    return context.wait_for_callback(_submit, name="second")


@durable_execution
def after_wait_and_step(event: str, context: DurableContext) -> Any:
    context.wait(_seconds(1))
    context.step(lambda _: "fixed data")
    return context.wait_for_callback(_submit, name=event)


@durable_execution
def json_payload(event: str, context: DurableContext) -> Any:
    return context.wait_for_callback(_submit, name=event, config=WaitForCallbackConfig(serdes=Json()))["status"]


@durable_execution
def heartbeat_timeout(event: str, context: DurableContext) -> Any:
    config = WaitForCallbackConfig(heartbeat_timeout=_seconds(5))
    return context.wait_for_callback(_submit, name=event, config=config)


@durable_execution
def heartbeat(event: str, context: DurableContext) -> Any:
    config = WaitForCallbackConfig(heartbeat_timeout=_seconds(10))
    return context.wait_for_callback(_submit, name=event, config=config)


@durable_execution
def timeout_caught(event: str, context: DurableContext) -> Any:
    try:
        return context.wait_for_callback(_submit, name=event, config=WaitForCallbackConfig(timeout=_seconds(3)))
    except CallbackError:
        return "timed-out-handled"
