"""Functions for the requirements 8-x: branches side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from aws_durable_execution_sdk_python import BatchResult, DurableContext, ParallelBranch, durable_execution
from aws_durable_execution_sdk_python.config import CompletionConfig, Duration, NestingType, ParallelConfig
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext

Branch = Callable[[DurableContext], Any]


class Wrapped(SerDes[Any]):
    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        return json.dumps({"wrapped": value})

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        return json.loads(data)["wrapped"]


def _gives(value: Any) -> Branch:
    return lambda _: value


def _step(value: Any) -> Branch:
    return lambda branch: branch.step(lambda _: value)


def _fails(branch: DurableContext) -> None:
    raise ValueError("the branch fails")


def _run(context: DurableContext, name: str | None, branches: Sequence[Branch], **config: Any) -> BatchResult[Any]:
    # In order, unless the function is about what happens at once.
    return context.parallel(branches, name=name, config=ParallelConfig(**{"max_concurrency": 1, **config}))


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
def basic(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "parallel", [_step("task-1"), _step("task-2")]).get_results()


@durable_execution
def unnamed(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, None, [_gives("alpha"), _gives("beta")]).get_results()


@durable_execution
def named_branches(event: Any, context: DurableContext) -> list[Any]:
    branches: list[Branch] = [ParallelBranch(_gives("one"), name="first"), ParallelBranch(_gives("two"), name="second")]
    return _run(context, "named", branches).get_results()


@durable_execution
def heterogeneous(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "hetero", [_gives("hello"), _gives(42), _gives({"k": "v"})]).get_results()


@durable_execution
def empty(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "empty", []).get_results()


@durable_execution
def fail_fast(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=0)
    branches = [_gives("ok"), _fails, _gives("never")]
    return _with_status(_run(context, "failfast", branches, completion_config=config))


@durable_execution
def throwing(event: Any, context: DurableContext) -> None:
    config = CompletionConfig(tolerated_failure_count=0)
    _run(context, "throwing", [_fails, _gives("never")], completion_config=config).throw_if_error()


@durable_execution
def min_successful(event: Any, context: DurableContext) -> dict[str, Any]:
    branches = [_gives(f"r{number}") for number in range(4)]
    return _projection(_run(context, "min-successful", branches, completion_config=CompletionConfig(min_successful=2)))


@durable_execution
def tolerated(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=1)
    return _with_status(_run(context, "tolerated", [_gives(0), _fails, _gives(2)], completion_config=config))


@durable_execution
def tolerance_exceeded(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=1)
    branches = [_fails, _fails, _gives("never")]
    return _with_failures(_run(context, "tolerated-exceeded", branches, completion_config=config))


@durable_execution
def concurrent(event: Any, context: DurableContext) -> list[Any]:
    branches = [_gives(f"r{number}") for number in range(3)]
    return _run(context, "concurrent", branches, max_concurrency=2).get_results()


@durable_execution
def flat(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "flat", [_step("fa"), _step("fb")], nesting_type=NestingType.FLAT).get_results()


@durable_execution
def percentage_exceeded(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_percentage=25)
    branches = [_fails, _fails, _gives("never"), _gives("never")]
    return _with_failures(_run(context, "tolerated-pct", branches, completion_config=config))


@durable_execution
def replayed(event: Any, context: DurableContext) -> list[Any]:
    def waiting(branch: DurableContext) -> str:
        branch.wait(Duration.from_seconds(2))
        return "b1"

    return _run(context, "replay", [_step("b0"), waiting]).get_results()


@durable_execution
def item_serdes(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "serde", [_gives("x"), _gives("y")], item_serdes=Wrapped()).get_results()


@durable_execution
def all_fail(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=3)
    return _with_status(_run(context, "all-fail", [_fails] * 3, completion_config=config))


@durable_execution
def min_not_reached(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(min_successful=3)
    return _with_status(_run(context, "min-not-reached", [_gives(0), _fails, _gives(2)], completion_config=config))


@durable_execution
def combined(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(min_successful=3, tolerated_failure_count=1)
    branches = [_fails, _fails, _gives("never"), _gives("never")]
    return _with_failures(_run(context, "combined", branches, completion_config=config))


@durable_execution
def bad_concurrency(event: Any, context: DurableContext) -> list[Any]:
    return _run(context, "bad-concurrency", [_gives(0), _gives(1)], max_concurrency=0).get_results()


@durable_execution
def accessors(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_count=1)
    batch = _run(context, "accessors", [_gives(0), _fails, _gives(2)], completion_config=config)
    return {
        "hasFailure": batch.has_failure,
        "successCount": len(batch.succeeded()),
        "failureCount": len(batch.failed()),
        "errorCount": len(batch.get_errors()),
    }


@durable_execution
def nested(event: Any, context: DurableContext) -> list[Any]:
    def branch(outer: DurableContext) -> list[Any]:
        return _run(outer, "inner", [_step("i1"), _step("i2")]).get_results()

    return _run(context, "outer", [branch]).get_results()


@durable_execution
def percentage_boundary(event: Any, context: DurableContext) -> dict[str, Any]:
    config = CompletionConfig(tolerated_failure_percentage=25)
    branches = [_fails, _gives(1), _gives(2), _gives(3)]
    return _with_status(_run(context, "pct-boundary", branches, completion_config=config))
