"""Intrinsic showcase: the intrinsic functions of the Amazon States Language as plain Python in durable steps."""

from __future__ import annotations

from typing import Any

from aws_durable_execution_sdk_python import DurableContext, StepContext, durable_execution
from aws_durable_execution_sdk_python.config import Duration

import intrinsics
import showcase
from failures import keep_types
from retry_policies import no_retry


@durable_execution
def handler(event: Any, context: DurableContext) -> dict[str, Any]:
    """Compute everything from ``event``; the README says what it may hold and what comes back."""
    with keep_types():
        return compute(event, context)


def compute(event: Any, context: DurableContext) -> dict[str, Any]:
    """The workflow from the first step to the last."""

    # UUID and MathRandom give another value on every call. In a step that value is kept, and a replay gives it back.
    def prepare(step: StepContext) -> dict[str, Any]:
        prepared = showcase.prepare_data(showcase.parse_input(event))
        step.logger.info("Data %s prepared", prepared["id"])
        return prepared

    prepared = context.step(prepare, name="PrepareData", config=no_retry())
    given = showcase.parse_input(event)

    def strings(_step: StepContext) -> dict[str, Any]:
        return showcase.string_operations(given)

    def arrays(_step: StepContext) -> dict[str, Any]:
        return showcase.array_operations(given)

    def maths(_step: StepContext) -> dict[str, Any]:
        return showcase.math_and_json_operations(given)

    computed = {
        "strings": context.step(strings, name="StringOperations", config=no_retry()),
        "arrays": context.step(arrays, name="ArrayOperations", config=no_retry()),
        "math": context.step(maths, name="MathAndJsonOps", config=no_retry()),
    }
    if given.wait_seconds:
        context.wait(Duration.from_seconds(given.wait_seconds), name="WaitBeforeChoice")

    total = computed["math"]["total"]
    if showcase.is_high(total):

        def high(step: StepContext) -> str:
            step.logger.info("Total %d is high", total)
            return intrinsics.format_text("{} is high", total)

        verdict = context.step(high, name="HighTotal", config=no_retry())
    else:

        def low(step: StepContext) -> str:
            step.logger.info("Total %d is low", total)
            return intrinsics.format_text("{} is low", total)

        verdict = context.step(low, name="LowTotal", config=no_retry())
    return {"prepared": prepared, **computed, "verdict": verdict}
