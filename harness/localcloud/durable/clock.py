"""Time in the durable engine: compressed inside, wall-clock outside.

The engine computes with modeled durations (a wait of an hour, a retry in five seconds). To compress them it lives on a
clock that runs ``scale`` times as fast as the wall clock. Everything that leaves the engine is mapped back, so a
timestamp that a client or a function sees is the wall-clock moment at which the thing happened or will happen.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_TIME_SCALE = 100_000.0


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Segment:
    """A stretch of time with one scale, which begins at ``wall`` and, on the engine's clock, at ``engine``."""

    wall: datetime
    engine: datetime
    scale: float


class ScaledClock:
    """The engine's clock, with the mapping between its time and the wall clock's.

    Implements the engine's ``Clock`` protocol but for one thing: `arm` gives engine seconds, because the scheduler
    that it goes to (`harness.localcloud.durable.scheduling.ScaledScheduler`) divides every delay by the scale, those
    that the engine never takes to its clock included.

    Args:
        scale: Engine seconds per wall-clock second, 1 to `MAX_TIME_SCALE`.
        wall: Where the wall-clock time comes from.

    Raises:
        ValueError: When the scale is out of range.
    """

    def __init__(self, scale: float = 1.0, wall: Callable[[], datetime] = utc_now) -> None:
        self._wall = wall
        self._lock = threading.Lock()
        start = wall()
        self._latest = start
        self._segments: tuple[_Segment, ...] = (_Segment(start, start, checked_scale(scale)),)

    @property
    def scale(self) -> float:
        """Engine seconds per wall-clock second."""
        return self._segments[-1].scale

    def wall_now(self) -> datetime:
        """The wall clock's time; it never steps back, even when the machine's clock is set back."""
        with self._lock:
            self._latest = max(self._latest, self._wall())
            return self._latest

    def now(self) -> datetime:
        """The engine's time."""
        wall = self.wall_now()
        segment = self._segments[-1]
        return segment.engine + (wall - segment.wall) * segment.scale

    def arm(self, wake: datetime) -> float:
        """Engine seconds from now until ``wake``, 0 when it has passed."""
        return max((wake - self.now()).total_seconds(), 0.0)

    def to_wall(self, engine: datetime) -> datetime:
        """The wall-clock moment of an engine time, past or future."""
        segments = self._segments
        segment = next((one for one in reversed(segments) if engine >= one.engine), segments[0])
        return segment.wall + (engine - segment.engine) / segment.scale

    def set_scale(self, scale: float) -> None:
        """Change the scale from now on; times that were given out before keep their wall-clock moments.

        Raises:
            ValueError: When the scale is out of range.
        """
        checked = checked_scale(scale)
        segment = _Segment(self.wall_now(), self.now(), checked)
        self._segments = (*self._segments, segment)


def checked_scale(scale: float) -> float:
    """``scale`` as a float.

    Raises:
        ValueError: When it is not within 1 and `MAX_TIME_SCALE`.
    """
    value = float(scale)
    if not math.isfinite(value) or not 1.0 <= value <= MAX_TIME_SCALE:
        raise ValueError(f"The time scale must be a number from 1 to {MAX_TIME_SCALE:g}, not {scale!r}.")
    return value
