from __future__ import annotations

import logging

import pytest

from harness.waiters import (
    EXECUTION,
    THROTTLE,
    Attempt,
    CountingObserver,
    Counts,
    FakeClock,
    Outcome,
    WaitTimeout,
    call,
    wait_until,
)
from tests.unit.waiters.errors import client_error, throttle
from tests.unit.waiters.test_policies import script


def test_an_observer_is_told_of_every_attempt_before_the_sleep() -> None:
    clock = FakeClock()
    told: list[tuple[int, str, float, int]] = []

    def observe(attempt: Attempt) -> None:
        told.append((attempt.number, attempt.state, attempt.sleep, len(clock.sleeps)))

    call(script(throttle(), throttle(), 1), policy=THROTTLE.with_clock(clock).with_observer(observe))
    assert told == [(1, "retrying", 5.0, 0), (2, "retrying", 10.0, 1), (3, "done", 0.0, 2)]


def test_an_observer_is_told_of_the_attempt_whose_value_ends_the_wait() -> None:
    clock = FakeClock()
    counting = CountingObserver()
    told: list[tuple[int, str, Outcome]] = []
    policy = EXECUTION.with_clock(clock).with_observers(
        [counting, lambda attempt: told.append((attempt.number, attempt.state, attempt.outcome))]
    )

    with pytest.raises(RuntimeError, match="it broke"):
        wait_until(
            script("no", "broken"),
            lambda v: v == "done",
            policy=policy,
            fail_fast=lambda v: RuntimeError("it broke") if v == "broken" else None,
        )

    assert told == [(1, "retrying", Outcome.PENDING), (2, "failed", Outcome.FATAL)]
    assert (counting.total().waits, counting.total().attempts) == (1, 2)


def test_an_observer_that_fails_breaks_neither_the_wait_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    counting = CountingObserver()

    def broken(attempt: Attempt) -> None:
        raise RuntimeError("observer")

    policy = THROTTLE.with_clock(clock).with_observers([broken, counting])
    assert call(script(throttle(), 1), policy=policy) == 1
    assert counting.total().attempts == 2
    assert "An observer of THROTTLE failed" in caplog.text


def test_the_counting_observer_counts_by_policy() -> None:
    clock = FakeClock()
    counting = CountingObserver()
    one = THROTTLE.with_clock(clock).with_observers([counting])
    two = EXECUTION.with_clock(clock).with_observers([counting])
    call(script(throttle(), ConnectionResetError(), 1), policy=one)
    wait_until(script("no", "no", "done"), lambda v: v == "done", policy=two)
    with pytest.raises(type(throttle())):
        call(script(throttle(), client_error("AccessDenied", 403)), policy=two)
    with pytest.raises(WaitTimeout):
        call(script(throttle()), policy=one.with_timeout(5))
    assert counting.by_policy() == {
        "THROTTLE": Counts(waits=2, attempts=5, sleeps=3, slept=20.0, throttles=3, transients=1, gave_up=1),
        "EXECUTION": Counts(waits=2, attempts=5, sleeps=3, slept=15.0, throttles=1, transients=0, gave_up=0),
    }
    assert counting.total() == Counts(waits=4, attempts=10, sleeps=6, slept=35.0, throttles=4, transients=1, gave_up=1)
    assert sum(clock.sleeps) == counting.total().slept


def test_by_default_a_throttle_is_logged_with_its_reason_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    with caplog.at_level(logging.DEBUG, logger="harness.waiters"):
        call(
            script(throttle(Reason="CallerRateLimitExceeded"), {"secret": "hunter2"}),
            policy=THROTTLE.with_clock(clock),
            what="Invoke",
        )
    first, second = caplog.records
    assert (first.levelname, second.levelname) == ("INFO", "DEBUG")
    assert "THROTTLE: Invoke #1 at 0.0 s: throttled, TooManyRequestsException (CallerRateLimitExceeded), slept 5 s" in (
        first.getMessage()
    )
    fields = {key: value for key, value in vars(first).items() if key.startswith("wait_")}
    assert fields == {
        "wait_policy": "THROTTLE",
        "wait_what": "Invoke",
        "wait_attempt": 1,
        "wait_elapsed": 0.0,
        "wait_outcome": "throttled",
        "wait_sleep": 5.0,
        "wait_state": "retrying",
        "wait_reason": "CallerRateLimitExceeded",
    }
    assert "hunter2" not in caplog.text


def test_giving_up_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="harness.waiters"), pytest.raises(WaitTimeout):
        call(script(throttle()), policy=THROTTLE.with_clock(FakeClock()))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
