"""Functions for the requirements 2-x: waits."""

from __future__ import annotations

from typing import Any

from aws_durable_execution_sdk_python import DurableContext, durable_execution
from aws_durable_execution_sdk_python.config import Duration


@durable_execution
def basic(event: Any, context: DurableContext) -> str:
    context.wait(Duration.from_seconds(2))
    return "waited"


@durable_execution
def named(event: Any, context: DurableContext) -> str:
    context.wait(Duration.from_seconds(2), name="custom_wait_name")
    return "waited"


@durable_execution
def sequential(event: Any, context: DurableContext) -> dict[str, int]:
    context.wait(Duration.from_seconds(2), name="wait-1")
    context.wait(Duration.from_seconds(2), name="wait-2")
    return {"completedWaits": 2}


@durable_execution
def minutes(event: Any, context: DurableContext) -> str:
    context.wait(Duration.from_minutes(1))
    return "waited"


@durable_execution
def hours(event: Any, context: DurableContext) -> str:
    context.wait(Duration.from_hours(1))
    return "waited"
