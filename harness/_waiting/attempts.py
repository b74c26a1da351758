"""What a wait tells about itself: its attempts, who observes them, and the error that ends it."""

from __future__ import annotations

import enum
import logging
import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from harness._waiting.classification import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger("harness.waiters")

_SHOWN_ATTEMPTS = 8
_SHOWN_MESSAGE = 300


@dataclass(frozen=True)
class Attempt:
    """One attempt of a wait, as observers and trails have it. It carries no values and no payloads.

    Attributes:
        policy: The policy's name.
        what: What is waited for.
        number: From 1.
        started: Seconds from the wait's start to this attempt's.
        ended: Seconds from the wait's start to this attempt's end.
        outcome: What it came to.
        sleep: Seconds slept after it, 0.0 after the last one.
        state: ``retrying`` if another attempt follows; ``done``; ``failed`` (the error goes to the caller);
            ``gave up`` (out of time or attempts).
        note: The seen value, described, or the error's code.
        reason: Lambda's reason for a throttle, or None.
        retry_after: Seconds that the service asked to wait, or None.
    """

    policy: str
    what: str
    number: int
    started: float
    ended: float
    outcome: Outcome
    sleep: float
    state: Literal["retrying", "done", "failed", "gave up"]
    note: str = ""
    reason: str | None = None
    retry_after: float | None = None

    def __str__(self) -> str:
        told = " ".join(part for part in (self.note, f"({self.reason})" if self.reason else "") if part)
        slept = f", slept {self.sleep:g} s" if self.state == "retrying" else ""
        return f"#{self.number} at {self.started:.1f} s: {self.outcome.value}{f', {told}' if told else ''}{slept}"


class Observer(Protocol):
    """Is told of every attempt, in the waiting thread, before the sleep that follows it.

    What it raises is logged and changes nothing for the wait.
    """

    def __call__(self, attempt: Attempt, /) -> object:
        """Take note of ``attempt``."""
        ...


_LEVELS = {
    Outcome.DONE: logging.DEBUG,
    Outcome.PENDING: logging.DEBUG,
    Outcome.FATAL: logging.DEBUG,  # it reaches the caller as an exception; saying it twice helps nobody
}


def log_attempt(attempt: Attempt) -> None:
    """The default observer: logs to ``harness.waiters``, with the attempt's fields in ``extra``.

    A healthy poll is DEBUG, an attempt that failed and is repeated INFO, giving up WARNING.
    """
    level = logging.WARNING if attempt.state == "gave up" else _LEVELS.get(attempt.outcome, logging.INFO)
    _log.log(
        level,
        "%s: %s %s [%s]",
        attempt.policy,
        attempt.what,
        attempt,
        attempt.state,
        extra={
            "wait_policy": attempt.policy,
            "wait_what": attempt.what,
            "wait_attempt": attempt.number,
            "wait_elapsed": round(attempt.ended, 3),
            "wait_outcome": attempt.outcome.value,
            "wait_sleep": round(attempt.sleep, 3),
            "wait_state": attempt.state,
            "wait_reason": attempt.reason,
        },
    )


def notify(observers: Sequence[Observer], attempt: Attempt) -> None:
    """Tell every observer, whatever any of them does."""
    for observer in observers:
        try:
            observer(attempt)
        except Exception:  # noqa: BLE001 - whatever an observer raises is its own affair
            _log.exception("An observer of %s failed", attempt.policy)


@dataclass(frozen=True)
class Counts:
    """What waits have cost.

    Attributes:
        waits: Waits that ended, however they ended.
        attempts: Attempts of all of them.
        sleeps: How often one slept.
        slept: Seconds slept.
        throttles: Attempts that were throttled.
        transients: Attempts that failed for a passing reason.
        gave_up: Waits that ended out of time or attempts.
    """

    waits: int = 0
    attempts: int = 0
    sleeps: int = 0
    slept: float = 0.0
    throttles: int = 0
    transients: int = 0
    gave_up: int = 0


class CountingObserver:
    """An observer that counts, for reports. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counts] = {}

    def __call__(self, attempt: Attempt) -> None:
        """Count ``attempt``."""
        with self._lock:
            old = self._counts.get(attempt.policy, Counts())
            self._counts[attempt.policy] = Counts(
                waits=old.waits + (attempt.state != "retrying"),
                attempts=old.attempts + 1,
                sleeps=old.sleeps + (attempt.sleep > 0),
                slept=old.slept + attempt.sleep,
                throttles=old.throttles + (attempt.outcome is Outcome.THROTTLED),
                transients=old.transients + (attempt.outcome is Outcome.TRANSIENT),
                gave_up=old.gave_up + (attempt.state == "gave up"),
            )

    def by_policy(self) -> dict[str, Counts]:
        """The counts so far, by the policy's name."""
        with self._lock:
            return dict(self._counts)

    def total(self) -> Counts:
        """The counts so far of all policies together."""
        total = Counts()
        for counts in self.by_policy().values():
            total = replace(
                total, **{name: getattr(total, name) + getattr(counts, name) for name in Counts.__dataclass_fields__}
            )
        return total


class WaitTimeout(TimeoutError):  # noqa: N818 - the name callers know; TimeoutError isn't called an Error twice either
    """A wait ended without what it waited for.

    If the very last attempt failed, its error is the ``__cause__``.

    Attributes:
        policy: The policy's name.
        what: What was waited for.
        because: ``deadline`` or ``attempts``: what was used up.
        attempts: How many were made.
        elapsed: Seconds from the first attempt's start to the last one's end.
        last_value: The last value that an attempt gave, or None. It may be a payload: it's not part of the message.
        last_error: The last error that any attempt met, or None.
        trail: Every attempt, in order.
        details: Further lines of the message.
    """

    def __init__(
        self,
        *,
        policy: str,
        what: str,
        because: Literal["deadline", "attempts"],
        elapsed: float,
        last_value: object,
        last_error: BaseException | None,
        trail: tuple[Attempt, ...],
        details: tuple[str, ...] = (),
    ) -> None:
        self.policy = policy
        self.what = what
        self.because = because
        self.attempts = len(trail)
        self.elapsed = elapsed
        self.last_value = last_value
        self.last_error = last_error
        self.trail = trail
        self.details = details
        super().__init__(self._message())

    @property
    def throttles(self) -> int:
        """How many attempts were throttled."""
        return sum(attempt.outcome is Outcome.THROTTLED for attempt in self.trail)

    def _message(self) -> str:
        lines = [f"{self.policy} gave up on {self.what}: {summarize(self.trail)}."]
        if self.because == "attempts":
            lines.append("  It has no more attempts.")
        lines.extend(f"  {detail}" for detail in self.details)
        if self.last_error is not None:
            text = " ".join(str(self.last_error).split())
            shown = text if len(text) <= _SHOWN_MESSAGE else f"{text[:_SHOWN_MESSAGE]}..."
            lines.append(f"  last error: {type(self.last_error).__name__}: {shown}")
        hidden = len(self.trail) - _SHOWN_ATTEMPTS
        lines.append("  attempts:" if hidden <= 0 else f"  last {_SHOWN_ATTEMPTS} attempts ({hidden} before them):")
        lines.extend(f"    {attempt}" for attempt in self.trail[-_SHOWN_ATTEMPTS:])
        return "\n".join(lines)


def summarize(trail: Sequence[Attempt]) -> str:
    """A trail in one line: ``61 attempts in 300.0 s (59 pending, 2 throttled), slept 300.0 s``."""
    kinds = Counter(attempt.outcome.value for attempt in trail)
    by_kind = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    elapsed = trail[-1].ended if trail else 0.0
    slept = sum(attempt.sleep for attempt in trail)
    plural = "" if len(trail) == 1 else "s"
    return f"{len(trail)} attempt{plural} in {elapsed:.1f} s ({by_kind}), slept {slept:.1f} s"


def describe(value: object) -> str:
    """A value for a trail: plain numbers and enumerations as they are, of anything else the type alone.

    A value may be a payload, and trails are logged.
    """
    if value is None or isinstance(value, (bool, int, float, enum.Enum)):
        return str(value)
    return type(value).__name__
