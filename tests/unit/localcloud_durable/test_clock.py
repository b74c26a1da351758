"""Engine time and wall-clock time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from harness.localcloud.durable.clock import MAX_TIME_SCALE, ScaledClock

START = datetime(2026, 1, 1, tzinfo=UTC)


class Wall:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_engine_time_runs_faster() -> None:
    wall = Wall()
    clock = ScaledClock(3600, wall)
    wall.advance(2)
    assert clock.now() == START + timedelta(hours=2)
    assert clock.to_wall(clock.now()) == wall.now


def test_a_future_moment_maps_to_when_it_will_be() -> None:
    wall = Wall()
    clock = ScaledClock(60, wall)
    wall.advance(5)
    wake = clock.now() + timedelta(minutes=10)
    assert clock.to_wall(wake) == wall.now + timedelta(seconds=10)
    assert clock.arm(wake) == 600.0
    wall.advance(11)
    assert clock.arm(wake) == 0.0


def test_a_new_scale_leaves_what_was_given_out() -> None:
    wall = Wall()
    clock = ScaledClock(10, wall)
    wall.advance(7)
    then, on_the_wall = clock.now(), wall.now
    wall.advance(1)
    clock.set_scale(1000)
    wall.advance(1)
    assert clock.scale == 1000
    assert clock.to_wall(then) == on_the_wall
    assert clock.to_wall(clock.now()) == wall.now
    assert clock.now() == START + timedelta(seconds=80 + 1000)


@pytest.mark.parametrize("scale", [1.0, 7.3, 3600.0, MAX_TIME_SCALE])
def test_the_mapping_loses_nothing(scale: float) -> None:
    wall = Wall()
    clock = ScaledClock(scale, wall)
    for seconds in (0.000001, 0.123457, 12.5, 86_400):
        wall.advance(seconds)
        assert clock.to_wall(clock.now()) == wall.now


def test_time_never_steps_back() -> None:
    wall = Wall()
    clock = ScaledClock(1, wall)
    wall.advance(10)
    before = clock.now()
    wall.advance(-60)
    assert clock.now() == before


@pytest.mark.parametrize("scale", [0, -1, 0.5, float("nan"), float("inf"), MAX_TIME_SCALE * 2])
def test_scales_out_of_range_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="time scale"):
        ScaledClock(scale)
