"""An execution that was just started isn't found for a while, and then for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import World

Refused = Callable[..., Any]


@pytest.fixture
def function(world: World) -> str:
    return world.function(world.role(), DurableConfig={"ExecutionTimeout": 60}, Publish=True)


def _start(world: World, function: str, name: str, invocation_type: str = "Event") -> str:
    started = world.client("lambda").invoke(
        FunctionName=function, Qualifier="1", InvocationType=invocation_type, DurableExecutionName=name
    )
    arn: str = started["DurableExecutionArn"]
    running = world.durable.running.setdefault(function, [])
    if arn not in running:
        running.append(arn)
    return arn


def _listed(world: World, function: str) -> list[str]:
    found = world.client("lambda").list_durable_executions_by_function(FunctionName=function)
    return [item["DurableExecutionArn"] for item in found["DurableExecutions"]]


def test_it_is_neither_listed_nor_found_at_first(world: World, function: str, refused: Refused) -> None:
    world.plan({"executions": {"visibility": 10}})
    arn = _start(world, function, "hidden")
    client = world.client("lambda")

    assert _listed(world, function) == []
    for call in (client.get_durable_execution_history, client.get_durable_execution, client.stop_durable_execution):
        error = refused("ResourceNotFoundException", call, DurableExecutionArn=arn)
        assert type(error).__name__ == "ResourceNotFoundException"

    world.clock.advance(1)
    assert _listed(world, function) == [arn]
    assert client.get_durable_execution_history(DurableExecutionArn=arn)["Events"] == []


def test_others_are_listed_meanwhile(world: World, function: str) -> None:
    old = _start(world, function, "old")
    world.plan({"executions": {"visibility": 10}})
    new = _start(world, function, "new")
    assert _listed(world, function) == [old]
    world.clock.advance(1)
    assert _listed(world, function) == [old, new]


def test_a_repeated_start_does_not_hide_it_again(world: World, function: str) -> None:
    world.plan({"executions": {"visibility": 10}})
    arn = _start(world, function, "twice")
    world.clock.advance(1)
    assert _start(world, function, "twice") == arn
    assert _listed(world, function) == [arn]


def test_a_synchronous_invoke_has_seen_its_execution_end(world: World, function: str) -> None:
    world.plan({"executions": {"visibility": 10}})
    arn = _start(world, function, "synchronous", "RequestResponse")
    assert _listed(world, function) == [arn]
