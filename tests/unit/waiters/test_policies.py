from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pytest
import tenacity

from harness.errors import TerraformError
from harness.waiters import (
    EXECUTION,
    FUNCTION_GONE,
    IAM_READY,
    LOGS,
    TERRAFORM,
    THROTTLE,
    Deadline,
    Delay,
    FakeClock,
    Outcome,
    Policy,
    WaitTimeout,
    call,
    call_async,
    iam_propagation_wait,
    wait_until,
    wait_until_async,
    wait_until_gone,
    wait_until_role_assumable,
)
from tests.unit.waiters.errors import client_error, throttle

ASSUME = client_error("InvalidParameterValueException", message="The role cannot be assumed by Lambda.")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def script(*outcomes: object) -> Callable[[], object]:
    """A function that returns, or raises, one outcome after the other, and the last one for ever."""
    left: Iterator[object] = iter(outcomes)
    last = outcomes[-1]

    def fn() -> object:
        outcome = next(left, last)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return fn


def poll(clock: FakeClock, *outcomes: object, policy: Policy = EXECUTION, **options: object) -> object:
    probe = script(*outcomes)
    return wait_until(probe, lambda v: v == "done", policy=policy.with_clock(clock), **options)  # type: ignore[arg-type]


class TestPace:
    def test_a_healthy_poll_comes_every_five_seconds(self, clock: FakeClock) -> None:
        assert poll(clock, "no", "no", "no", "done") == "done"
        assert clock.sleeps == [5, 5, 5]

    def test_throttles_back_off_from_5_doubling_to_30_seconds(self, clock: FakeClock) -> None:
        assert poll(clock, *[throttle()] * 6, "done") == "done"
        assert clock.sleeps == [5, 10, 20, 30, 30, 30]

    def test_a_success_resets_the_backoff(self, clock: FakeClock) -> None:
        poll(clock, throttle(), throttle(), "no", throttle(), throttle(), "done")
        assert clock.sleeps == [5, 10, 5, 5, 10]

    def test_dropped_connections_and_5xx_back_off_as_throttles_do(self, clock: FakeClock) -> None:
        poll(clock, ConnectionResetError(), client_error("ServiceException", 500), throttle(), "done")
        assert clock.sleeps == [5, 10, 20]

    def test_the_service_is_not_asked_sooner_than_it_wants(self, clock: FakeClock) -> None:
        poll(clock, throttle(retryAfterSeconds="17"), throttle(retryAfterSeconds="1"), "done")
        assert clock.sleeps == [17, 10]

    def test_the_first_probe_is_made_at_once(self, clock: FakeClock) -> None:
        assert poll(clock, "done") == "done"
        assert clock.sleeps == []

    def test_an_interval_may_grow(self, clock: FakeClock) -> None:
        policy = EXECUTION.with_interval(Delay(1, factor=2, maximum=5))
        poll(clock, "no", "no", throttle(), "no", "no", "done", policy=policy)
        assert clock.sleeps == [1, 2, 5, 4, 5]


class TestDeadlines:
    def test_the_last_probe_of_300_seconds_lands_exactly_on_300(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout) as caught:
            poll(clock, "no")
        assert clock.monotonic() == 300.0
        assert caught.value.attempts == 61
        assert caught.value.elapsed == 300.0
        assert caught.value.trail[-1].started == 300.0

    def test_the_last_sleep_is_cut_and_one_last_probe_made(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout) as caught:
            poll(clock, "no", deadline=Deadline.after(12, clock))
        assert clock.sleeps == [5, 5, 2]
        assert caught.value.attempts == 4

    def test_what_comes_with_the_last_probe_is_not_dropped(self, clock: FakeClock) -> None:
        assert poll(clock, "no", "no", "no", "done", deadline=Deadline.after(12, clock)) == "done"

    def test_a_wish_of_the_service_beyond_the_deadline_is_cut_too(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout):
            poll(clock, throttle(retryAfterSeconds="3600"), deadline=Deadline.after(20, clock))
        assert clock.sleeps == [20]

    def test_no_time_is_one_probe(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout) as caught:
            poll(clock, "no", deadline=Deadline.after(0, clock))
        assert caught.value.attempts == 1
        assert poll(clock, "done", deadline=Deadline.after(0, clock)) == "done"

    def test_a_probe_that_outlasts_the_deadline_is_the_last(self, clock: FakeClock) -> None:
        def slow() -> str:
            clock.advance(7)
            return "no"

        with pytest.raises(WaitTimeout) as caught:
            wait_until(slow, lambda v: v == "done", deadline=Deadline.after(10, clock))
        assert caught.value.attempts == 1 + 1
        assert clock.sleeps == [3]

    def test_a_deadline_takes_the_place_of_the_timeout_and_brings_its_clock(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout):
            wait_until(lambda: "no", lambda v: v == "done", policy=EXECUTION, deadline=Deadline.after(1000, clock))
        assert clock.monotonic() == 1000.0

    def test_a_policy_without_any_limit_is_refused(self, clock: FakeClock) -> None:
        endless = Policy("ENDLESS", clock=clock)
        with pytest.raises(ValueError, match="ENDLESS would wait forever"):
            endless.retrying()
        with pytest.raises(ValueError, match="forever"):
            endless.retry(lambda: None)
        assert call(lambda: 1, policy=endless, deadline=Deadline.never(clock)) == 1

    def test_every_use_of_a_policy_has_its_own_time(self, clock: FakeClock) -> None:
        retrying = THROTTLE.with_clock(clock).with_timeout(12).retrying()
        for _ in range(2):
            with pytest.raises(WaitTimeout) as caught:
                retrying(script(throttle()))
            assert caught.value.elapsed == 12.0
        assert clock.sleeps == [5, 7] * 2


class TestErrors:
    def test_a_fatal_error_comes_out_at_once_and_unwrapped(self, clock: FakeClock) -> None:
        fatal = client_error("AccessDeniedException", 403)
        with pytest.raises(type(fatal)) as caught:
            poll(clock, throttle(), fatal, "done")
        assert caught.value is fatal
        assert caught.value.__cause__ is None
        assert clock.sleeps == [5]

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
    def test_an_interrupt_is_never_retried(self, clock: FakeClock, kind: type[BaseException]) -> None:
        with pytest.raises(kind):
            poll(clock, kind(), "done")
        assert clock.sleeps == []

    def test_fail_fast_ends_the_wait_at_once(self, clock: FakeClock) -> None:
        broken = RuntimeError("it broke")
        with pytest.raises(RuntimeError) as caught:
            poll(clock, "no", "broken", fail_fast=lambda v: broken if v == "broken" else None)
        assert caught.value is broken
        assert clock.sleeps == [5]

    def test_an_error_in_the_predicate_is_the_callers(self, clock: FakeClock) -> None:
        with pytest.raises(ZeroDivisionError):
            wait_until(lambda: 0, lambda v: bool(1 / v), policy=EXECUTION.with_clock(clock))

    def test_not_yet_is_fatal_for_a_policy_that_does_not_name_it(self, clock: FakeClock) -> None:
        with pytest.raises(type(ASSUME)):
            call(script(ASSUME, "done"), policy=THROTTLE.with_clock(clock))

    def test_tenacitys_own_try_again_is_honoured(self, clock: FakeClock) -> None:
        assert (
            call(script(tenacity.TryAgain(), throttle(), tenacity.TryAgain(), 1), policy=EXECUTION.with_clock(clock))
            == 1
        )
        assert clock.sleeps == [5, 5, 5]


class TestTheTimeout:
    def test_it_is_a_timeout_error_that_explains_itself(self, clock: FakeClock) -> None:
        with pytest.raises(TimeoutError) as caught:
            poll(
                clock,
                "no",
                throttle(Reason="CallerRateLimitExceeded"),
                "no",
                what="the thing",
                describe=lambda v: f"<{v}>",
            )
        error = caught.value
        assert isinstance(error, WaitTimeout)
        assert (error.policy, error.what, error.because) == ("EXECUTION", "the thing", "deadline")
        assert error.last_value == "no"
        assert error.throttles == 1
        assert error.last_error is not None
        text = str(error)
        assert "EXECUTION gave up on the thing: 61 attempts in 300.0 s (60 pending, 1 throttled)" in text
        assert "last error: ClientError: An error occurred (TooManyRequestsException)" in text
        assert "#61 at 300.0 s: pending, <no>" in text

    def test_an_error_of_the_last_attempt_is_the_cause(self, clock: FakeClock) -> None:
        last = throttle()
        with pytest.raises(WaitTimeout) as caught:
            poll(clock, "no", last, deadline=Deadline.after(5, clock))
        assert caught.value.__cause__ is last

    def test_an_error_before_a_healthy_last_attempt_is_not_the_cause(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout) as caught:
            poll(clock, throttle(), "no")
        assert caught.value.__cause__ is None

    def test_the_trail_has_reason_wish_and_sleep_of_each_attempt(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout) as caught:
            poll(clock, throttle(Reason="R", retryAfterSeconds="9"), "no", deadline=Deadline.after(10, clock))
        first, second, third = caught.value.trail
        assert (first.outcome, first.reason, first.retry_after, first.sleep) == (Outcome.THROTTLED, "R", 9.0, 9.0)
        assert (second.outcome, second.started, second.sleep) == (Outcome.PENDING, 9.0, 1.0)
        assert (third.state, third.sleep, third.ended) == ("gave up", 0.0, 10.0)

    def test_values_which_may_be_secret_are_not_in_it(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout) as caught:
            poll(clock, {"password": "hunter2"})
        assert "hunter2" not in str(caught.value)
        assert "dict" in str(caught.value)

    def test_running_out_of_attempts_says_so(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout) as caught:
            poll(clock, "no", policy=LOGS)
        assert (caught.value.because, caught.value.attempts) == ("attempts", 5)
        assert clock.sleeps == [5] * 4
        assert "no more attempts" in str(caught.value)

    def test_reraise_gives_the_last_error_itself_with_a_note(self, clock: FakeClock) -> None:
        error = throttle()
        with pytest.raises(type(error)) as caught:
            call(script(error), policy=THROTTLE.with_clock(clock).with_max_attempts(2).with_reraise())
        assert caught.value is error
        assert any("THROTTLE gave up: 2 attempts in 5.0 s" in note for note in error.__notes__)


class TestDecorator:
    def test_any_policy_decorates_a_function(self, clock: FakeClock) -> None:
        attempts = script(throttle(), throttle())

        @THROTTLE.with_clock(clock).with_max_attempts(3).retry
        def put(item: str, *, table: str) -> str:
            """Put it."""
            if len(clock.sleeps) < 2:
                attempts()
            return f"{item} in {table}"

        assert put("apple", table="fruit") == "apple in fruit"
        assert clock.sleeps == [5, 10]
        assert (put.__name__, put.__doc__) == ("put", "Put it.")

    def test_and_an_async_function(self, clock: FakeClock) -> None:
        attempts = script(throttle(), throttle(), "done")

        @THROTTLE.with_clock(clock).retry
        async def put() -> object:
            return attempts()

        assert asyncio.iscoroutinefunction(put)
        assert asyncio.run(put()) == "done"
        assert clock.sleeps == [5, 10]

    def test_and_an_object_whose_call_is_async(self, clock: FakeClock) -> None:
        attempts = script(throttle(), "done")

        class Putter:
            async def __call__(self) -> object:
                return attempts()

        assert asyncio.run(THROTTLE.with_clock(clock).retry(Putter())()) == "done"

    def test_each_call_has_a_fresh_deadline(self, clock: FakeClock) -> None:
        @THROTTLE.with_clock(clock).with_timeout(5).retry
        def fail() -> None:
            raise throttle()

        for expected in (5.0, 10.0):
            with pytest.raises(WaitTimeout):
                fail()
            assert clock.monotonic() == expected

    def test_it_nests(self, clock: FakeClock) -> None:
        inner = THROTTLE.with_clock(clock).with_max_attempts(2).with_reraise().retry(script(throttle()))
        with pytest.raises(type(throttle())):
            THROTTLE.with_clock(clock).with_max_attempts(2).with_reraise().retry(inner)()
        assert clock.sleeps == [5, 5, 5]

    def test_a_generator_function_is_refused(self, clock: FakeClock) -> None:
        def generate() -> Iterable[int]:
            yield 1

        with pytest.raises(TypeError, match="generator function"):
            THROTTLE.retry(generate)

    def test_retrying_is_a_plain_tenacity_iterator_too(self, clock: FakeClock) -> None:
        probe = script(throttle(), "done")
        for attempt in THROTTLE.with_clock(clock).retrying(what="a block"):
            with attempt:
                value = probe()
        assert value == "done"
        assert clock.sleeps == [5]


class TestAsync:
    def test_polling_awaits_the_probe(self, clock: FakeClock) -> None:
        outcomes = script("no", throttle(), "done")

        async def probe() -> object:
            return outcomes()

        policy = EXECUTION.with_clock(clock)
        assert asyncio.run(wait_until_async(probe, lambda v: v == "done", policy=policy)) == "done"
        assert clock.sleeps == [5, 5]

    def test_a_timeout_lands_on_the_deadline_too(self, clock: FakeClock) -> None:
        async def probe() -> str:
            return "no"

        with pytest.raises(WaitTimeout) as caught:
            asyncio.run(wait_until_async(probe, lambda _: False, policy=EXECUTION.with_clock(clock)))
        assert (clock.monotonic(), caught.value.attempts) == (300.0, 61)

    def test_one_call_is_retried(self, clock: FakeClock) -> None:
        outcomes = script(throttle(), "done")

        async def fn(greeting: str) -> str:
            return f"{greeting} {outcomes()}"

        assert asyncio.run(call_async(partial(fn, "well"), policy=THROTTLE.with_clock(clock))) == "well done"
        assert clock.sleeps == [5]


class TestNamedPolicies:
    def test_throttle_and_execution_have_300_seconds(self, clock: FakeClock) -> None:
        for policy in (THROTTLE, EXECUTION):
            started = clock.monotonic()
            with pytest.raises(WaitTimeout):
                call(script(throttle()), policy=policy.with_clock(clock))
            assert clock.monotonic() - started == 300.0

    def test_iam_ready_probes_until_the_role_can_be_assumed(self, clock: FakeClock) -> None:
        ready = script(ASSUME, ASSUME, throttle(), ASSUME, "arn")
        assert wait_until_role_assumable(ready, policy=IAM_READY.with_clock(clock)) == "arn"
        assert clock.sleeps == [1, 1.5, 5, 2.25]

    def test_iam_ready_gives_up_after_15_minutes_with_the_reason(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout) as caught:
            wait_until_role_assumable(script(ASSUME), policy=IAM_READY.with_clock(clock))
        assert clock.monotonic() == 900.0
        assert caught.value.__cause__ is ASSUME

    def test_iam_ready_raises_what_is_not_propagation_at_once(self, clock: FakeClock) -> None:
        with pytest.raises(TerraformError):
            wait_until_role_assumable(
                script(TerraformError("Unsupported argument")), policy=IAM_READY.with_clock(clock)
            )
        assert clock.sleeps == []

    def test_terraform_is_tried_3_times_5_seconds_apart_then_its_own_error_comes(self, clock: FakeClock) -> None:
        error = TerraformError("connection reset by peer")
        with pytest.raises(TerraformError) as caught:
            call(script(error), policy=TERRAFORM.with_clock(clock))
        assert caught.value is error
        assert clock.sleeps == [5, 5]

    def test_an_apply_is_repeated_on_both_kinds_by_nesting(self, clock: FakeClock) -> None:
        propagating = TerraformError("The role defined for the function cannot be assumed by Lambda.")
        apply = script(TerraformError("transport is closing"), propagating, propagating, "applied")
        once = partial(call, apply, policy=TERRAFORM.with_clock(clock))
        assert wait_until_role_assumable(once, policy=IAM_READY.with_clock(clock)) == "applied"
        assert clock.sleeps == [5, 1, 1.5]

    def test_a_function_is_gone_when_it_is_not_found(self, clock: FakeClock) -> None:
        gone = client_error("ResourceNotFoundException", 404)
        wait_until_gone(script("there", throttle(), "there", gone), policy=FUNCTION_GONE.with_clock(clock))
        assert clock.sleeps == [5, 5, 5]

    def test_a_function_that_stays_is_a_timeout_after_15_minutes(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout, match="still there"):
            wait_until_gone(script("there"), policy=FUNCTION_GONE.with_clock(clock))
        assert clock.monotonic() == 900.0

    def test_looking_for_what_is_gone_may_fail(self, clock: FakeClock) -> None:
        with pytest.raises(type(throttle())):
            wait_until_gone(script(client_error("AccessDenied", 403)), policy=FUNCTION_GONE.with_clock(clock))

    def test_the_plain_buffer_is_15_seconds(self, clock: FakeClock) -> None:
        iam_propagation_wait(clock=clock)
        assert clock.sleeps == [15]
        iam_propagation_wait(0, clock=clock)
        assert clock.sleeps == [15]


class TestPolicyValues:
    def test_a_policy_is_frozen_and_with_makes_copies(self) -> None:
        changed = EXECUTION.with_interval(1).with_timeout(10).with_name("MINE").with_backoff(2)
        assert (changed.name, changed.interval, changed.backoff, changed.timeout) == ("MINE", Delay(1), Delay(2), 10)
        assert (EXECUTION.name, EXECUTION.interval, EXECUTION.timeout) == ("EXECUTION", Delay(5), 300)
        with pytest.raises(dataclasses.FrozenInstanceError):
            EXECUTION.timeout = 1  # type: ignore[misc]

    def test_scaled_compresses_every_time(self, clock: FakeClock) -> None:
        policy = EXECUTION.scaled(0.01).with_clock(clock)
        with pytest.raises(WaitTimeout):
            poll(clock, throttle(), throttle(), "no", policy=policy)
        assert clock.sleeps[:3] == [0.05, 0.1, 0.05]
        assert clock.monotonic() == 3.0

    def test_jitter_is_seeded_and_never_lengthens_a_pause(self, clock: FakeClock) -> None:
        def sleeps(seed: int) -> list[float]:
            fake = FakeClock()
            poll(fake, *[throttle()] * 5, "done", policy=EXECUTION.with_jitter(0.5, seed=seed))
            return fake.sleeps

        assert sleeps(1) == sleeps(1) != sleeps(2)
        for slept, most in zip(sleeps(1), [5, 10, 20, 30, 30], strict=True):
            assert most / 2 <= slept <= most

    def test_without_a_seed_two_waits_differ(self) -> None:
        def sleeps() -> list[float]:
            fake = FakeClock()
            poll(fake, *[throttle()] * 5, "done", policy=EXECUTION.with_jitter(1))
            return fake.sleeps

        assert sleeps() != sleeps()

    def test_not_yet_may_be_told_by_a_predicate(self, clock: FakeClock) -> None:
        policy = THROTTLE.with_clock(clock).with_not_yet(lambda error: isinstance(error, LookupError))
        assert call(script(KeyError(), throttle(), KeyError(), 1), policy=policy) == 1
        assert clock.sleeps == [5, 5, 5]

    def test_what_is_retried_may_be_narrowed(self, clock: FakeClock) -> None:
        policy = THROTTLE.with_clock(clock).with_retry_on(Outcome.THROTTLED)
        with pytest.raises(ConnectionResetError):
            call(script(throttle(), ConnectionResetError()), policy=policy)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Delay(0), "busy loop"),
            (lambda: Delay(float("inf")), "busy loop"),
            (lambda: Delay(1, factor=0.5), "factor of 1 or more"),
            (lambda: Delay(5, maximum=1), "at least the first"),
            (lambda: Delay(5, jitter=2), "between 0 and 1"),
            (lambda: EXECUTION.with_max_attempts(0), "at least one attempt"),
            (lambda: EXECUTION.with_timeout(-1), "0 or more seconds"),
            (lambda: EXECUTION.with_timeout(float("nan")), "0 or more seconds"),
            (lambda: EXECUTION.with_retry_on(Outcome.FATAL), "FATAL can't be retried"),
            (lambda: EXECUTION.scaled(0), "more than 0"),
        ],
    )
    def test_a_value_that_makes_no_sense_is_refused(self, make: Callable[[], object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make()

    def test_a_huge_position_does_not_overflow(self) -> None:
        assert Delay(1, factor=10, maximum=30).seconds(10_000, random.Random(0)) == 30

    def test_it_describes_itself(self) -> None:
        assert str(EXECUTION) == "EXECUTION: every 5 s, backing off 5 s x2 to 30 s, within 300 s"
        assert str(LOGS) == "LOGS: every 5 s, backing off 5 s x2 to 30 s, within 5 attempts"
