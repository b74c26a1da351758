from __future__ import annotations

import asyncio
import math
import threading
from datetime import UTC, datetime, timedelta

import pytest

from harness.waiters import Clock, Deadline, FakeClock, SystemClock


def test_both_clocks_are_clocks() -> None:
    assert isinstance(FakeClock(), Clock)
    assert isinstance(SystemClock(), Clock)


def test_fake_time_passes_by_sleeping_and_advancing_only() -> None:
    clock = FakeClock(start=datetime(2026, 3, 1, 12, tzinfo=UTC))
    clock.sleep(5)
    clock.advance(2.5)
    assert clock.monotonic() == 7.5
    assert clock.now() == datetime(2026, 3, 1, 12, 0, 7, 500_000, tzinfo=UTC)
    assert clock.sleeps == [5]


def test_sums_of_fake_sleeps_are_exact() -> None:
    clock = FakeClock()
    for _ in range(10):
        clock.sleep(0.1)
    assert clock.monotonic() == 1.0
    assert sum([0.1] * 10) != 1.0


def test_a_fake_async_sleep_lets_others_run() -> None:
    clock = FakeClock()
    order: list[str] = []

    async def sleeper() -> None:
        await clock.sleep_async(60)
        order.append("slept")

    async def other() -> None:
        order.append("other")

    async def both() -> None:
        await asyncio.gather(sleeper(), other())

    asyncio.run(both())
    assert order == ["other", "slept"]
    assert clock.monotonic() == 60


def test_actions_happen_at_their_moment_in_order() -> None:
    clock = FakeClock()
    seen: list[tuple[str, float]] = []
    clock.at(20, lambda: seen.append(("late", clock.monotonic())))
    clock.at(7, lambda: seen.append(("early", clock.monotonic())))
    clock.sleep(5)
    assert seen == []
    clock.sleep(50)
    assert seen == [("early", 7.0), ("late", 20.0)]
    assert clock.monotonic() == 55


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_a_span_that_cannot_pass_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        FakeClock().sleep(seconds)


def test_a_fake_clock_needs_an_aware_start() -> None:
    with pytest.raises(ValueError, match="aware"):
        FakeClock(start=datetime(2026, 1, 1))  # noqa: DTZ001 - that it is naive is the point


def test_threads_share_fake_time() -> None:
    clock = FakeClock()
    threads = [threading.Thread(target=clock.sleep, args=(1,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() == 20
    assert clock.sleeps == [1] * 20


def test_the_system_clock_tells_aware_utc_and_never_goes_back() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    first = clock.monotonic()
    clock.sleep(0)
    asyncio.run(clock.sleep_async(0))
    assert clock.monotonic() >= first
    assert SystemClock() == clock


class TestDeadline:
    def test_it_runs_out_on_its_clock(self) -> None:
        clock = FakeClock()
        clock.advance(100)
        deadline = Deadline.after(30, clock)
        clock.advance(12)
        assert (deadline.remaining(), deadline.elapsed(), deadline.budget) == (18, 12, 30)
        clock.advance(17.5)
        assert (deadline.remaining(), deadline.expired) == (0.5, False)
        clock.advance(0.5)
        assert (deadline.remaining(), deadline.expired) == (0, True)
        clock.advance(1)
        assert deadline.remaining() == 0

    def test_a_child_never_outlives_its_parent(self) -> None:
        clock = FakeClock()
        whole = Deadline.after(100, clock)
        clock.advance(80)
        assert whole.child(at_most=60).remaining() == 20
        assert whole.child(at_most=5).remaining() == 5
        assert whole.child().remaining() == 20
        assert whole.child(at_most=5).child(at_most=50).remaining() == 5

    def test_never_never_comes(self) -> None:
        clock = FakeClock()
        deadline = Deadline.never(clock)
        clock.advance(10**9)
        assert not deadline.expired
        assert deadline.child(at_most=3).remaining() == 3

    def test_less_than_a_microsecond_counts_as_nothing(self) -> None:
        clock = FakeClock()
        assert Deadline.after(1e-7, clock).expired

    @pytest.mark.parametrize("seconds", [-0.1, math.nan])
    def test_it_lies_ahead(self, seconds: float) -> None:
        with pytest.raises(ValueError, match="0 or more seconds ahead"):
            Deadline.after(seconds, FakeClock())
