"""The same seed and the same calls give the same faults."""

from __future__ import annotations

from botocore.exceptions import ClientError

from harness.localcloud.faults import Span, parse_plan
from harness.localcloud.faults.state import Faults

from .conftest import World

PLAN = {"throttle": [{"rate": 0.5}]}


def _sequence(world: World, *, between: bool = False) -> list[bool]:
    """Which of 30 calls are throttled; ``between`` makes calls of another operation in between."""
    found = []
    for _ in range(30):
        try:
            world.client("iam").list_roles()
            found.append(False)
        except ClientError:
            found.append(True)
        if between:
            try:
                world.client("sts").get_caller_identity()
            except ClientError:
                continue
    return found


def test_a_seed_gives_the_same_faults_again(world: World) -> None:
    world.plan(PLAN, seed=1)
    first = _sequence(world)
    world.plan(PLAN, seed=1)
    assert _sequence(world) == first
    assert set(first) == {True, False}


def test_another_seed_gives_others(world: World) -> None:
    world.plan(PLAN, seed=1)
    first = _sequence(world)
    world.plan(PLAN, seed=2)
    assert _sequence(world) != first


def test_calls_of_other_operations_in_between_change_nothing(world: World) -> None:
    world.plan(PLAN, seed=1)
    alone = _sequence(world)
    world.plan(PLAN, seed=1)
    assert _sequence(world, between=True) == alone


def test_without_a_seed_one_is_drawn_and_can_be_read() -> None:
    first, second = Faults(parse_plan({})), Faults(parse_plan({}))
    assert first.seed != second.seed
    again = Faults(parse_plan({}), first.seed)
    span = Span(0, 1000)
    drawn = [first.seconds(span, "x") for _ in range(5)]
    assert [again.seconds(span, "x") for _ in range(5)] == drawn
    assert len(set(drawn)) == 5


def test_a_duration_is_drawn_between_its_bounds_and_divided_by_the_time_scale() -> None:
    faults = Faults(parse_plan({}), 3, time_scale=lambda: 60.0)
    drawn = [faults.seconds(Span(30, 120), "x") for _ in range(200)]
    assert 0.5 <= min(drawn) < 0.7
    assert 1.8 < max(drawn) <= 2.0


def test_a_changed_plan_keeps_the_seed_unless_told_otherwise() -> None:
    faults = Faults(parse_plan({}), 3)
    faults.set(parse_plan(PLAN))
    assert faults.seed == 3
    faults.set(parse_plan(PLAN), 4)
    assert faults.seed == 4
