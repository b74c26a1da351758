"""Clocks and deadlines: where all waiting gets its time from."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

# Below what any operating system's sleep resolves. What is left of a deadline that is shorter counts as nothing, or
# floating-point dust would buy another probe.
RESOLUTION = 1e-6

_NANOSECONDS = 1_000_000_000


@runtime_checkable
class Clock(Protocol):
    """Where a wait reads the time and sleeps. One wait uses one clock for everything."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for ``seconds``, which must be finite and not negative."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Like `sleep`, for a coroutine: other coroutines run meanwhile."""
        ...


@dataclass(frozen=True)
class SystemClock:
    """The real time. The only place of the harness that calls ``time.sleep`` and ``time.monotonic``."""

    def monotonic(self) -> float:
        """Seconds of the system's monotonic clock."""
        return time.monotonic()  # noqa: TID251 - this class is the one place

    def now(self) -> datetime:
        """The system's time of day, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Block the thread for ``seconds``."""
        time.sleep(seconds)  # noqa: TID251 - this class is the one place

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the coroutine for ``seconds``."""
        await asyncio.sleep(seconds)


@dataclass
class FakeClock:
    """A clock for tests: time passes only by sleeping on it or by `advance`, and then at once.

    It counts whole nanoseconds, so that sums of sleeps are exact: sixty sleeps of 5 s end on 300.0. It may be shared
    by threads; a sleep of one of them is then time that passes for all.

    Args:
        start: The time of day at which it begins, aware.

    Attributes:
        sleeps: Every sleep in seconds, in order. `advance` isn't a sleep.
    """

    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    sleeps: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError("FakeClock needs an aware start, such as datetime(2026, 1, 1, tzinfo=UTC)")
        self._elapsed = 0
        self._lock = threading.RLock()
        self._alarms: list[tuple[int, Callable[[], object]]] = []

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed / _NANOSECONDS

    def now(self) -> datetime:
        """The start plus what has passed, in UTC, to the microsecond."""
        return (self.start + timedelta(microseconds=self._elapsed // 1000)).astimezone(UTC)

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass without waiting, and note them in `sleeps`."""
        self._check(seconds)
        with self._lock:
            self.sleeps.append(seconds)
            self.advance(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Like `sleep`, and let other coroutines have a turn."""
        self.sleep(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass that nobody slept, such as the time that a call takes."""
        self._check(seconds)
        with self._lock:
            until = self._elapsed + round(seconds * _NANOSECONDS)
            while due := [alarm for alarm in self._alarms if alarm[0] <= until]:
                alarm = min(due, key=lambda candidate: candidate[0])
                self._alarms.remove(alarm)
                self._elapsed = max(self._elapsed, alarm[0])
                alarm[1]()
            self._elapsed = max(self._elapsed, until)

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Call ``action`` once `monotonic` reaches ``seconds``, in the thread whose sleep gets there.

        This is how a test makes the world change while the code under test sleeps.
        """
        self._check(seconds)
        with self._lock:
            self._alarms.append((round(seconds * _NANOSECONDS), action))

    @staticmethod
    def _check(seconds: float) -> None:
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"a span of time is finite and not negative, got {seconds!r} s")


SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True)
class Deadline:
    """A moment by which something must be over.

    Deadlines nest: a part of a job takes ``whole.child(at_most=60)`` and can't outlive the whole.

    Attributes:
        clock: The clock that it is read from.
        started: That clock's `Clock.monotonic` when the deadline was made.
        at: That clock's `Clock.monotonic` when it is over; infinite for `never`.
    """

    clock: Clock
    started: float
    at: float

    @classmethod
    def after(cls, seconds: float, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        """The deadline that is ``seconds`` from now; 0 leaves time for exactly one attempt.

        Raises:
            ValueError: ``seconds`` is negative or not a number.
        """
        if math.isnan(seconds) or seconds < 0:
            raise ValueError(f"a deadline lies 0 or more seconds ahead, got {seconds!r}")
        started = clock.monotonic()
        return cls(clock, started, started + seconds)

    @classmethod
    def never(cls, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        """A deadline that never comes, for who waits without a limit on purpose."""
        return cls.after(math.inf, clock)

    def remaining(self) -> float:
        """Seconds that are left; 0.0 once it is over."""
        left = self.at - self.clock.monotonic()
        return left if left > RESOLUTION else 0.0

    def elapsed(self) -> float:
        """Seconds since the deadline was made."""
        return self.clock.monotonic() - self.started

    @property
    def budget(self) -> float:
        """Seconds between its making and its end."""
        return self.at - self.started

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining() == 0.0

    def child(self, at_most: float | None = None) -> Deadline:
        """The deadline of a part that starts now: ``at_most`` seconds from now, and never later than this one."""
        part = Deadline.after(math.inf if at_most is None else at_most, self.clock)
        return Deadline(self.clock, part.started, min(part.at, self.at))
