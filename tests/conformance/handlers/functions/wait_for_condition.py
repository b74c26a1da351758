"""Functions for the requirements 6-x: polling until a condition holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_durable_execution_sdk_python import DurableContext, WaitForConditionError, durable_execution
from aws_durable_execution_sdk_python.config import Duration, JitterStrategy
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext
from aws_durable_execution_sdk_python.waits import WaitForConditionConfig, WaitStrategyConfig, create_wait_strategy


class Marked(SerDes[str]):
    """Text that is stored with a mark."""

    def serialize(self, value: str, serdes_context: SerDesContext) -> str:
        return f"encoded:{value}"

    def deserialize(self, data: str, serdes_context: SerDesContext) -> str:
        return data.removeprefix("encoded:")


def _until(
    done: Callable[[Any], bool], initial: Any, *, delay: int = 1, attempts: int = 60, serdes: Any = None
) -> WaitForConditionConfig[Any]:
    strategy: Any = create_wait_strategy(
        WaitStrategyConfig(
            should_continue_polling=lambda state: not done(state),
            max_attempts=attempts,
            initial_delay=Duration.from_seconds(delay),
            backoff_rate=1,
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    return WaitForConditionConfig(wait_strategy=strategy, initial_state=initial, serdes=serdes)


def _increment(state: int, _: Any) -> int:
    return state + 1


def _raise(state: Any, _: Any) -> None:
    raise ValueError("the check fails")


@durable_execution
def basic(event: int, context: DurableContext) -> Any:
    return context.wait_for_condition(_increment, _until(lambda state: state >= event, 0))


@durable_execution
def at_once(event: int, context: DurableContext) -> Any:
    return context.wait_for_condition(lambda state, _: state, _until(lambda state: state >= event, 5))


@durable_execution
def named(event: int, context: DurableContext) -> Any:
    return context.wait_for_condition(_increment, _until(lambda state: state >= event, 0), name="poll-status")


@durable_execution
def initial_state(event: int, context: DurableContext) -> Any:
    return context.wait_for_condition(_increment, _until(lambda state: state >= event, 5))


@durable_execution
def fixed_delay(event: int, context: DurableContext) -> Any:
    return context.wait_for_condition(_increment, _until(lambda state: state >= event, 0, delay=2))


@durable_execution
def exhausted(event: int, context: DurableContext) -> Any:
    return context.wait_for_condition(_increment, _until(lambda _: False, event, attempts=3))


@durable_execution
def failing(event: Any, context: DurableContext) -> Any:
    context.wait_for_condition(_raise, _until(lambda _: True, 0))


@durable_execution
def caught(event: Any, context: DurableContext) -> Any:
    try:
        context.wait_for_condition(_raise, _until(lambda _: True, 0))
    except WaitForConditionError:
        return "recovered"
    return "the check didn't fail"


@durable_execution
def structured(event: Any, context: DurableContext) -> Any:
    def check(state: dict[str, Any], _: Any) -> dict[str, Any]:
        attempts = state["attempts"] + 1
        return {"status": "DONE" if attempts >= 2 else "PENDING", "attempts": attempts}

    initial = {"status": "PENDING", "attempts": 0}
    return context.wait_for_condition(check, _until(lambda state: state["status"] == "DONE", initial))


@durable_execution
def null_state(event: Any, context: DurableContext) -> Any:
    return context.wait_for_condition(lambda *_: None, _until(lambda _: True, None))


@durable_execution
def custom_serdes(event: Any, context: DurableContext) -> Any:
    config = _until(lambda state: len(state) >= 2, "", serdes=Marked())
    return context.wait_for_condition(lambda state, _: state + "x", config)


@durable_execution
def then_step(event: int, context: DurableContext) -> Any:
    state = context.wait_for_condition(_increment, _until(lambda state: state >= event, 0))
    return context.step(lambda _: state * 10)


@durable_execution
def two(event: Any, context: DurableContext) -> Any:
    first = context.wait_for_condition(_increment, _until(lambda state: state >= 2, 0))
    return context.wait_for_condition(_increment, _until(lambda state: state >= 4, first))
