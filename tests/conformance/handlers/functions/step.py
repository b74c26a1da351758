"""Functions for the requirements 1-x: steps."""

from __future__ import annotations

import os
from typing import Any

from aws_durable_execution_sdk_python import DurableContext, StepContext, StepError, durable_execution
from aws_durable_execution_sdk_python.config import Duration, JitterStrategy, StepConfig, StepSemantics
from aws_durable_execution_sdk_python.retries import RetryPresets, RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext

_NO_RETRY = StepConfig(retry_strategy=RetryPresets.none())


class TransientError(Exception):
    """What a retry may help against."""


class Uppercase(SerDes[str]):
    def serialize(self, value: str, serdes_context: SerDesContext) -> str:
        return value.upper()

    def deserialize(self, data: str, serdes_context: SerDesContext) -> str:
        return data


def _retries(attempts: int, delay: int = 1, rate: float = 1, types: list[type[Exception]] | None = None) -> Any:
    return create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=attempts,
            initial_delay=Duration.from_seconds(delay),
            backoff_rate=rate,
            jitter_strategy=JitterStrategy.NONE,
            retryable_error_types=types,
        )
    )


def _fails_until(attempt: int, result: str) -> Any:
    def step(context: StepContext) -> str:
        if context.attempt < attempt:
            raise TransientError(f"attempt {context.attempt}")
        return result

    return step


def _fail(context: StepContext) -> None:
    raise TransientError("it always fails")


@durable_execution
def basic(event: str, context: DurableContext) -> Any:
    return context.step(lambda _: f"Hello, {event}!")


@durable_execution
def named(event: str, context: DurableContext) -> Any:
    return context.step(lambda _: f"Hello, {event}!", name="custom_step_name")


@durable_execution
def dependent(event: Any, context: DurableContext) -> Any:
    first = context.step(lambda _: "first")
    return context.step(lambda _: f"{first}_second")


@durable_execution
def complex_result(event: dict[str, Any], context: DurableContext) -> Any:
    def build(_: StepContext) -> dict[str, Any]:
        return {"user": {"name": event["name"], "tags": event["tags"]}, "count": len(event["tags"])}

    return context.step(build)


@durable_execution
def null_result(event: Any, context: DurableContext) -> Any:
    return context.step(lambda _: None)


@durable_execution
def custom_serdes(event: str, context: DurableContext) -> Any:
    return context.step(lambda _: event, config=StepConfig(serdes=Uppercase()))


@durable_execution
def logging(event: str, context: DurableContext) -> Any:
    def greet(step: StepContext) -> str:
        step.logger.info("Greeting step started for: %s", event)
        step.logger.info("Greeting step completed with: Hello, %s!", event)
        return f"Hello, {event}!"

    return context.step(greet)


@durable_execution
def step_then_wait(event: Any, context: DurableContext) -> Any:
    result = context.step(lambda _: "computed")
    context.wait(Duration.from_seconds(2))
    return result


@durable_execution
def replay_skips_succeeded(event: Any, context: DurableContext) -> Any:
    def step(step: StepContext) -> str:
        step.logger.info("step executed")
        return "cached_value"

    result = context.step(step)
    context.wait(Duration.from_seconds(1))
    return result


@durable_execution
def replay_rethrows_failed(event: Any, context: DurableContext) -> Any:
    try:
        context.step(_fail, config=_NO_RETRY)
    except StepError as error:
        context.wait(Duration.from_seconds(1))
        return str(error)
    return "the step didn't fail"


@durable_execution
def retried(event: Any, context: DurableContext) -> Any:
    return context.step(_fails_until(2, "Operation succeeded"), config=StepConfig(retry_strategy=_retries(3)))


@durable_execution
def exhausted(event: Any, context: DurableContext) -> Any:
    context.step(_fail, config=StepConfig(retry_strategy=_retries(4)))


@durable_execution
def default_retries(event: Any, context: DurableContext) -> Any:
    return context.step(_fails_until(3, "done"))


@durable_execution
def custom_retries(event: Any, context: DurableContext) -> Any:
    return context.step(_fails_until(3, "done"), config=StepConfig(retry_strategy=_retries(5, delay=2, rate=3)))


@durable_execution
def retried_by_type(event: Any, context: DurableContext) -> Any:
    strategy = _retries(3, types=[TransientError])
    return context.step(_fails_until(2, "done"), config=StepConfig(retry_strategy=strategy))


@durable_execution
def not_retried_by_type(event: Any, context: DurableContext) -> Any:
    context.step(_fail, config=StepConfig(retry_strategy=_retries(3, types=[ValueError])))


def _crashing(event: str, crashes: int) -> Any:
    def step(step: StepContext) -> str:
        step.logger.info("attempt for %s", event)
        if step.attempt <= crashes:
            os._exit(1)
        return "succeeded on second attempt"

    return step


@durable_execution
def at_most_once(event: str, context: DurableContext) -> Any:
    config = StepConfig(retry_strategy=RetryPresets.none(), step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)
    return context.step(_crashing(event, crashes=9), name="at_most_once_flaky_step", config=config)


@durable_execution
def at_most_once_retried(event: str, context: DurableContext) -> Any:
    config = StepConfig(retry_strategy=_retries(3), step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)
    return context.step(_crashing(event, crashes=1), name="at_most_once_flaky_step", config=config)


@durable_execution
def failing(event: Any, context: DurableContext) -> Any:
    context.step(_fail, config=_NO_RETRY)


@durable_execution
def caught(event: Any, context: DurableContext) -> Any:
    try:
        context.step(_fail, config=_NO_RETRY)
    except StepError:
        fallback = "fallback_result"
    return context.step(lambda _: fallback)
