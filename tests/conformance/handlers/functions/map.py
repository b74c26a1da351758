"""Functions for the requirements 9-x: one function over many items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aws_durable_execution_sdk_python import BatchResult, DurableContext, durable_execution
from aws_durable_execution_sdk_python.concurrency.models import BatchItem, CompletionReason
from aws_durable_execution_sdk_python.config import (
    BatchItemStatus,
    CompletionConfig,
    Duration,
    MapConfig,
    NestingType,
)
from aws_durable_execution_sdk_python.serdes import DEFAULT_JSON_SERDES, SerDes, SerDesContext

_LARGE = 70 * 1024
_ONE_SECOND = Duration.from_seconds(1)


class Marked(SerDes[str]):
    def serialize(self, value: str, serdes_context: SerDesContext) -> str:
        return f"wrapped:{value}"

    def deserialize(self, data: str, serdes_context: SerDesContext) -> str:
        return data.removeprefix("wrapped:")


class Joined(SerDes[Any]):
    """A whole map's results in one text; every item is taken to have succeeded."""

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        return "OPSERDE:" + ",".join(value.get_results())

    def deserialize(self, data: str, serdes_context: SerDesContext) -> BatchResult[str]:
        results = data.removeprefix("OPSERDE:").split(",")
        items = [BatchItem(at, BatchItemStatus.SUCCEEDED, result) for at, result in enumerate(results)]
        return BatchResult(items, CompletionReason.ALL_COMPLETED)


def _run(
    context: DurableContext, name: str | None, items: Sequence[Any], func: Callable[..., Any], **config: Any
) -> BatchResult[Any]:
    # In order, unless the function is about what happens at once.
    return context.map(items, func, name=name, config=MapConfig(**{"max_concurrency": 1, **config}))


def _itself(iteration: DurableContext, item: Any, *_: Any) -> Any:
    """Gives the item, or fails if it says so."""
    if item == "fail":
        raise ValueError("the item fails")
    return item


def _upper(iteration: DurableContext, item: str, *_: Any) -> str:
    return item.upper()


def _step(iteration: DurableContext, item: Any, *_: Any) -> Any:
    return iteration.step(lambda _: item)


def _projection(batch: BatchResult[Any]) -> dict[str, Any]:
    return {
        "completionReason": batch.completion_reason.value,
        "successCount": batch.success_count,
        "totalCount": batch.total_count,
    }


def _with_failures(batch: BatchResult[Any]) -> dict[str, Any]:
    return {**_projection(batch), "failureCount": batch.failure_count}


def _with_status(batch: BatchResult[Any]) -> dict[str, Any]:
    return {**_with_failures(batch), "status": batch.status.value}


@durable_execution
def basic(event: list[str], context: DurableContext) -> list[Any]:
    def greet(iteration: DurableContext, item: str, *_: Any) -> str:
        return iteration.step(lambda _: f"Hello, {item}!")

    return _run(context, "map", event, greet).get_results()


@durable_execution
def unnamed(event: list[int], context: DurableContext) -> list[Any]:
    return _run(context, None, event, lambda _, item, *__: item * 2).get_results()


@durable_execution
def indexed(event: list[int], context: DurableContext) -> list[Any]:
    return _run(context, "indexed", event, lambda _, item, index, *__: item + index).get_results()


@durable_execution
def empty(event: list[Any], context: DurableContext) -> list[Any]:
    return _run(context, "empty", event, _itself).get_results()


@durable_execution
def fail_fast(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=0)
    return _with_status(_run(context, "failfast", ["ok", "fail", "never"], _itself, completion_config=config))


@durable_execution
def throwing(event: Any, context: DurableContext) -> None:
    config = CompletionConfig(tolerated_failure_count=0)
    _run(context, "throwing", ["fail", "never"], _itself, completion_config=config).throw_if_error()


@durable_execution
def min_successful(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(min_successful=2)
    return _projection(_run(context, "min-successful", ["a", "b", "c", "d"], _itself, completion_config=config))


@durable_execution
def tolerated(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=1)
    return _with_status(_run(context, "tolerated", ["a", "fail", "c"], _itself, completion_config=config))


@durable_execution
def tolerance_exceeded(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=1)
    items = ["fail", "fail", "never"]
    return _with_failures(_run(context, "tolerated-exceeded", items, _itself, completion_config=config))


@durable_execution
def percentage_exceeded(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_percentage=25)
    items = ["fail", "fail", "never", "never"]
    return _with_failures(_run(context, "tolerated-pct", items, _itself, completion_config=config))


@durable_execution
def concurrent(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "concurrent", ["r0", "r1", "r2"], _itself, max_concurrency=2).get_results()


@durable_execution
def flat(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "flat", ["fa", "fb"], _step, nesting_type=NestingType.FLAT).get_results()


@durable_execution
def named_items(event: list[int], context: DurableContext) -> list[Any]:
    return _run(
        context, "named-items", event, lambda _, item, *__: item * 10, item_namer=lambda item, _: f"item-{item}"
    ).get_results()


@durable_execution
def item_serdes(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "serdes", ["x", "y"], _upper, item_serdes=Marked()).get_results()


@durable_execution
def suspended(event: Any, context: DurableContext) -> list[Any]:
    def work(iteration: DurableContext, item: str, index: int, *_: Any) -> str:
        if index:
            iteration.wait(_ONE_SECOND)
        return iteration.step(lambda _: item)

    return _run(context, "suspend", ["r0", "r1"], work).get_results()


@durable_execution
def large(event: Any, context: DurableContext) -> dict[str, Any]:
    batch = _run(context, "large", list("abcd"), lambda _, item, *__: item * _LARGE)
    return {"successCount": batch.success_count, "totalCount": batch.total_count}


@durable_execution
def then_wait(event: Any, context: DurableContext) -> list[Any]:
    batch = _run(context, "then-wait", ["a", "b"], _upper)
    context.wait(_ONE_SECOND)
    return batch.get_results()


@durable_execution
def failure_then_wait(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=1)
    batch = _run(context, "fail-then-wait", ["ok", "fail"], _itself, completion_config=config)
    context.wait(_ONE_SECOND)
    return _with_status(batch)


@durable_execution
def whole_serdes(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "op-serde", ["x", "y"], _upper, serdes=Joined(), item_serdes=DEFAULT_JSON_SERDES).get_results()


@durable_execution
def whole_serdes_replayed(event: Any, context: DurableContext) -> list[Any]:
    batch = _run(context, "op-serde-replay", ["x", "y"], _upper, serdes=Joined(), item_serdes=DEFAULT_JSON_SERDES)
    context.wait(_ONE_SECOND)
    return batch.get_results()
