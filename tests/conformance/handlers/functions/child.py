"""Functions for the requirements 3-x: child contexts."""

from __future__ import annotations

import os
import threading
from typing import Any

import boto3
from aws_durable_execution_sdk_python import (
    ChildContextError,
    DurableContext,
    StepContext,
    durable_execution,
)
from aws_durable_execution_sdk_python.config import ChildConfig, Duration, JitterStrategy, StepConfig
from aws_durable_execution_sdk_python.retries import RetryPresets, RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext

_NO_RETRY = StepConfig(retry_strategy=RetryPresets.none())
_ONE_SECOND = Duration.from_seconds(1)
_LARGER_THAN_A_CHECKPOINT = 300 * 1024


class Uppercase(SerDes[str]):
    def serialize(self, value: str, serdes_context: SerDesContext) -> str:
        return value.upper()

    def deserialize(self, data: str, serdes_context: SerDesContext) -> str:
        return data


def _retries(attempts: int) -> StepConfig:
    config = RetryStrategyConfig(max_attempts=attempts, initial_delay=_ONE_SECOND, jitter_strategy=JitterStrategy.NONE)
    return StepConfig(retry_strategy=create_retry_strategy(config))


def _fail(context: StepContext) -> None:
    raise ValueError("it always fails")


def _always(context: DurableContext) -> Any:
    """A logger that also writes on replay, so that what shouldn't run again would be seen."""
    return context.logger.with_is_replaying(lambda: False)


@durable_execution
def basic(event: str, context: DurableContext) -> str:
    return context.run_in_child_context(lambda child: child.step(lambda _: event))


@durable_execution
def named(event: dict[str, str], context: DurableContext) -> str:
    return context.run_in_child_context(lambda child: child.step(lambda _: event["value"]), name=event["name"])


@durable_execution
def two_steps(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        first = child.step(lambda _: event)
        return child.step(lambda _: first)

    return context.run_in_child_context(body, name="child")


@durable_execution
def failing(event: Any, context: DurableContext) -> None:
    context.run_in_child_context(lambda child: child.step(_fail, config=_NO_RETRY), name="child")


@durable_execution
def caught(event: str, context: DurableContext) -> str:
    try:
        context.run_in_child_context(lambda child: child.step(_fail, config=_NO_RETRY), name="child")
    except ChildContextError:
        return context.step(lambda _: event)
    return "the child context didn't fail"


@durable_execution
def nested(event: str, context: DurableContext) -> str:
    def outer(child: DurableContext) -> str:
        child.step(lambda _: event)
        return child.run_in_child_context(lambda inner: inner.step(lambda _: event), name="inner")

    return context.run_in_child_context(outer, name="outer")


@durable_execution
def retried(event: str, context: DurableContext) -> str:
    def step(step: StepContext) -> str:
        if step.attempt < 2:
            raise ValueError("the first attempt fails")
        return event

    return context.run_in_child_context(lambda child: child.step(step, config=_retries(3)), name="child")


@durable_execution
def exhausted(event: Any, context: DurableContext) -> None:
    context.run_in_child_context(lambda child: child.step(_fail, config=_retries(2)), name="child")


@durable_execution
def replayed(event: str, context: DurableContext) -> str:
    result = context.run_in_child_context(lambda child: child.step(lambda _: event))
    context.wait(_ONE_SECOND)
    return result


@durable_execution
def step_and_wait(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        result = child.step(lambda _: event)
        child.wait(_ONE_SECOND)
        return result

    return context.run_in_child_context(body, name="child")


@durable_execution
def large(event: str, context: DurableContext) -> int:
    def body(child: DurableContext) -> str:
        _always(child).info("building from %s", event)
        return child.step(lambda _: "x") * _LARGER_THAN_A_CHECKPOINT

    result = context.run_in_child_context(body, name="child")
    context.wait(_ONE_SECOND)
    return len(result)


@durable_execution
def interrupted(event: str, context: DurableContext) -> str:
    arn = context.execution_context.durable_execution_arn
    history = boto3.client("lambda").get_durable_execution_history

    def step(_: StepContext) -> str:
        pause = threading.Event()
        # The start of an at-least-once step is checkpointed while the step runs already.
        while "StepStarted" not in (
            types := [event["EventType"] for event in history(DurableExecutionArn=arn)["Events"]]
        ):
            pause.wait(0.02)
        if "InvocationCompleted" not in types:
            os._exit(1)
        return event

    return context.run_in_child_context(lambda child: child.step(step), name="child")


@durable_execution
def only_wait(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        child.wait(_ONE_SECOND)
        return event

    result = context.run_in_child_context(body, name="child")
    return context.step(lambda _: result)


@durable_execution
def custom_serdes(event: str, context: DurableContext) -> str:
    return context.run_in_child_context(
        lambda child: child.step(lambda _: event), name="child", config=ChildConfig(serdes=Uppercase())
    )


@durable_execution
def throwing(event: Any, context: DurableContext) -> None:
    def body(child: DurableContext) -> None:
        raise ValueError("thrown without an operation")

    context.run_in_child_context(body, name="child")


@durable_execution
def null_result(event: Any, context: DurableContext) -> None:
    return context.run_in_child_context(lambda _: None, name="child")


@durable_execution
def logging(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        _always(child).info("the child runs for %s", event)
        return event

    result = context.run_in_child_context(body, name="child")
    context.wait(_ONE_SECOND)
    return result


@durable_execution
def mixed(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        result = child.step(lambda _: event)
        child.wait(_ONE_SECOND)
        return result

    inner = context.run_in_child_context(body, name="child")
    outer = context.step(lambda _: inner)
    context.wait(_ONE_SECOND)
    return outer
