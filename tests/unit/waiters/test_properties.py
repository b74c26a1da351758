"""What holds for any policy and any world."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.waiters import (
    Attempt,
    CountingObserver,
    Deadline,
    Delay,
    FakeClock,
    Outcome,
    Policy,
    WaitTimeout,
    wait_until,
    wait_until_async,
)
from tests.unit.waiters.errors import client_error, throttle


@dataclass(frozen=True)
class Step:
    """What one probe does: how long it takes, and how it ends."""

    kind: str
    takes: float
    retry_after: float | None = None

    def end(self) -> str:
        match self.kind:
            case "throttled":
                members = {} if self.retry_after is None else {"retryAfterSeconds": str(self.retry_after)}
                raise throttle(**members)
            case "transient":
                raise client_error("ServiceException", 500)
            case "not yet":
                raise client_error("InvalidParameterValueException", message="role cannot be assumed by Lambda")
            case "fatal":
                raise client_error("AccessDeniedException", 403)
        return self.kind


seconds = st.floats(0, 100, allow_nan=False)
delays = st.builds(
    lambda first, factor, more, jitter: Delay(first, factor, first + more, jitter),
    st.floats(0.1, 20),
    st.floats(1, 4),
    st.floats(0, 60),
    st.floats(0, 1),
)
policies = st.builds(
    Policy,
    name=st.just("ANY"),
    interval=delays,
    backoff=delays,
    retry_on=st.sets(st.sampled_from([Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.NOT_YET])).map(frozenset),
    max_attempts=st.none() | st.integers(1, 12),
    timeout=st.floats(0, 200),
    observers=st.just(()),
    seed=st.integers(0, 2**32),
)
steps = st.builds(
    Step,
    kind=st.sampled_from(["pending", "throttled", "transient", "not yet", "fatal", "done"]),
    takes=st.just(0.0) | st.floats(0, 20),
    retry_after=st.none() | st.floats(0, 500),
)
worlds = st.lists(steps, min_size=1, max_size=40)


@dataclass
class Run:
    """How a wait in a world went."""

    made: list[Step]
    ended: str
    clock: FakeClock
    started: list[float]
    trail: list[Attempt]


def run(policy: Policy, world: list[Step], *, in_a_loop: bool = False) -> Run:
    clock = FakeClock()
    made: list[Step] = []
    started: list[float] = []
    trail: list[Attempt] = []

    def probe() -> str:
        # After the world's end it stays pending.
        step = world[len(made)] if len(made) < len(world) else Step("pending", 0.0)
        made.append(step)
        started.append(clock.monotonic())
        clock.advance(step.takes)
        return step.end()

    async def probe_async() -> str:
        return probe()

    policy = policy.with_clock(clock).with_observer(trail.append)
    try:
        if in_a_loop:
            ended = asyncio.run(wait_until_async(probe_async, lambda v: v == "done", policy=policy))
        else:
            ended = wait_until(probe, lambda v: v == "done", policy=policy)
    except WaitTimeout as error:
        ended = error.because if list(error.trail) == trail else "another trail than was observed"
    except Exception:  # noqa: BLE001 - which error it is, is judged by what the world did last
        ended = "error"
    return Run(made, ended, clock, started, trail)


@given(policies, worlds)
def test_total_sleep_never_passes_the_deadline(policy: Policy, world: list[Step]) -> None:
    result = run(policy, world)
    assert policy.timeout is not None
    assert sum(result.clock.sleeps) <= policy.timeout + 1e-6
    # Nor does any attempt begin after it.
    assert all(moment <= policy.timeout + 1e-6 for moment in result.started)


@given(policies, worlds)
def test_a_fatal_error_is_never_retried(policy: Policy, world: list[Step]) -> None:
    result = run(policy, world)
    retried = {outcome.value for outcome in policy.retry_on}
    for step in result.made[:-1]:
        assert step.kind == "pending" or step.kind in retried
    if result.ended == "error":
        assert result.made[-1].kind not in retried | {"pending", "done"}


@given(policies, worlds)
def test_a_success_is_never_dropped(policy: Policy, world: list[Step]) -> None:
    result = run(policy, world)
    assert (result.made[-1].kind == "done") == (result.ended == "done")
    assert all(step.kind != "done" for step in result.made[:-1])


@given(policies, worlds)
def test_the_trail_adds_up(policy: Policy, world: list[Step]) -> None:
    result = run(policy, world)
    trail = result.trail
    assert [attempt.number for attempt in trail] == list(range(1, len(result.made) + 1))
    assert [attempt.outcome.value for attempt in trail] == [step.kind for step in result.made]
    assert [attempt.sleep for attempt in trail if attempt.state == "retrying"] == result.clock.sleeps
    assert [attempt.state for attempt in trail[:-1]] == ["retrying"] * (len(trail) - 1)
    for attempt, moment, step in zip(trail, result.started, result.made, strict=True):
        assert attempt.started == pytest.approx(moment)
        assert attempt.ended - attempt.started == pytest.approx(step.takes, abs=1e-6)
    total = sum(a.ended - a.started for a in trail) + sum(a.sleep for a in trail)
    assert total == pytest.approx(result.clock.monotonic(), abs=1e-6 * len(trail))
    counting = CountingObserver()
    for attempt in trail:
        counting(attempt)
    assert counting.total().attempts == len(result.made)
    assert counting.total().waits == 1


@given(policies, worlds)
def test_giving_up_means_that_time_or_attempts_are_used_up(policy: Policy, world: list[Step]) -> None:
    result = run(policy, world)
    assert policy.timeout is not None
    assert result.ended in {"done", "error", "attempts", "deadline"}
    if result.ended == "attempts":
        assert len(result.made) == policy.max_attempts
    if result.ended == "deadline":
        assert result.clock.monotonic() >= policy.timeout - 1e-6
        # A wait that didn't lose the deadline inside an attempt makes its last one exactly there.
        if result.started[-1] + result.made[-1].takes <= policy.timeout + 1e-6:
            assert result.clock.monotonic() == pytest.approx(policy.timeout, abs=1e-6)


@given(policies, worlds)
def test_a_coroutine_waits_as_a_function_does(policy: Policy, world: list[Step]) -> None:
    one, other = run(policy, world), run(policy, world, in_a_loop=True)
    assert (one.ended, one.started, one.clock.sleeps) == (other.ended, other.started, other.clock.sleeps)


@given(st.lists(seconds, min_size=1, max_size=6), seconds)
def test_nested_deadlines_never_outlive_an_outer_one(budgets: list[float], passes: float) -> None:
    clock = FakeClock()
    chain = [Deadline.after(budgets[0], clock)]
    for budget in budgets[1:]:
        clock.advance(passes)
        chain.append(chain[-1].child(at_most=budget))
    for outer, inner in itertools.pairwise(chain):
        assert inner.remaining() <= outer.remaining()
        assert inner.budget >= 0 or outer.expired
