"""Policies: when to try again, and after how long."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import tenacity

from harness._waiting.attempts import Observer, describe, log_attempt
from harness._waiting.classification import Outcome, classify
from harness._waiting.clock import SYSTEM_CLOCK, Clock, Deadline
from harness._waiting.engine import Engine

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

P = ParamSpec("P")
T = TypeVar("T")

# A pause that is shorter is a busy loop, and on a clock that only sleeps move it would never end.
SHORTEST_PAUSE = 0.001

_RETRYABLE = frozenset({Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.NOT_YET})


@dataclass(frozen=True)
class Delay:
    """How long a row of pauses is: the first, growing by a factor, up to a maximum.

    Args:
        first: Seconds of the first pause, at least a millisecond.
        factor: By what each one grows, at least 1.
        maximum: Seconds that none exceeds; by default those of the first, for a constant pause.
        jitter: Which part of each pause is drawn by chance, 0 to 1: uniformly between ``(1 - jitter)`` of it and
            all of it. 1 is AWS's "full jitter".
            https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Raises:
        ValueError: An argument is out of its range.
    """

    first: float
    factor: float = 1.0
    maximum: float | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.first) and self.first >= SHORTEST_PAUSE):
            raise ValueError(f"a pause is at least {SHORTEST_PAUSE} s, or it's a busy loop; got {self.first!r}")
        if not (math.isfinite(self.factor) and self.factor >= 1):
            raise ValueError(f"pauses grow by a factor of 1 or more, got {self.factor!r}")
        if self.maximum is not None and not (math.isfinite(self.maximum) and self.maximum >= self.first):
            raise ValueError(f"the longest pause is at least the first, {self.first} s; got {self.maximum!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is a part between 0 and 1, got {self.jitter!r}")

    def seconds(self, position: int, rng: random.Random) -> float:
        """The pause at ``position``, from 0."""
        longest = self.first if self.maximum is None else self.maximum
        try:
            pause = min(self.first * self.factor**position, longest)
        except OverflowError:
            pause = longest
        if self.jitter:
            pause *= 1 - self.jitter * rng.random()
        return max(pause, SHORTEST_PAUSE)

    def scaled(self, scale: float) -> Delay:
        """A copy with all times multiplied, no pause shorter than a millisecond."""
        first = max(self.first * scale, SHORTEST_PAUSE)
        longest = None if self.maximum is None else max(self.maximum * scale, first)
        return replace(self, first=first, maximum=longest)

    def __str__(self) -> str:
        if self.maximum is None or self.maximum == self.first:
            return f"{self.first:g} s"
        return f"{self.first:g} s x{self.factor:g} to {self.maximum:g} s"


def _delay(value: float | Delay) -> Delay:
    return value if isinstance(value, Delay) else Delay(float(value))


@dataclass(frozen=True)
class Policy:
    """When to try again, and after how long. Values: ``with_...`` makes a changed copy.

    A healthy answer that isn't the one waited for is followed by ``interval``, a throttle or a passing failure by
    ``backoff``; any healthy answer sets the backoff back to its beginning. The last pause is cut to the deadline, and
    one last attempt is made exactly there.

    Attributes:
        name: Stands in logs, counts and errors.
        interval: The pause after a healthy answer, and after NOT_YET.
        backoff: The pauses after THROTTLED and TRANSIENT; never less than what the service asks for.
        retry_on: The kinds of failure that are retried; all others go to the caller at once, as they are.
        max_attempts: Attempts in all, or None for as many as there is time.
        timeout: Seconds in all when the caller gives no deadline of its own, or None.
        reraise: Out of time or attempts, raise the last error itself, with the trail as a note, rather than
            `harness.waiters.WaitTimeout`.
        classifier: Says what an error means.
        clock: Where time comes from.
        observers: Told of every attempt.
        seed: Of the jitter; None draws one, which differs from wait to wait.
    """

    name: str
    interval: Delay = Delay(5.0)
    backoff: Delay = Delay(5.0, factor=2, maximum=30.0)
    retry_on: frozenset[Outcome] = frozenset({Outcome.THROTTLED, Outcome.TRANSIENT})
    max_attempts: int | None = None
    timeout: float | None = None
    reraise: bool = False
    classifier: Callable[[BaseException], Outcome] = classify
    clock: Clock = SYSTEM_CLOCK
    observers: tuple[Observer, ...] = (log_attempt,)
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError(f"{self.name}: at least one attempt is made, got max_attempts={self.max_attempts!r}")
        if self.timeout is not None and not self.timeout >= 0:
            raise ValueError(f"{self.name}: a timeout is 0 or more seconds, got {self.timeout!r}")
        if not self.retry_on <= _RETRYABLE:
            odd = ", ".join(sorted(outcome.name for outcome in self.retry_on - _RETRYABLE))
            raise ValueError(f"{self.name}: {odd} can't be retried; take some of THROTTLED, TRANSIENT and NOT_YET")

    def with_name(self, name: str) -> Policy:
        """A copy under another name."""
        return replace(self, name=name)

    def with_interval(self, interval: float | Delay) -> Policy:
        """A copy that polls at another pace; a number is a constant pause in seconds."""
        return replace(self, interval=_delay(interval))

    def with_backoff(self, backoff: float | Delay) -> Policy:
        """A copy that backs off otherwise; a number is a constant pause in seconds."""
        return replace(self, backoff=_delay(backoff))

    def with_jitter(self, jitter: float, seed: int | None = None) -> Policy:
        """A copy whose backoff is jittered, see `Delay`."""
        return replace(self, backoff=replace(self.backoff, jitter=jitter), seed=seed)

    def with_retry_on(self, *outcomes: Outcome) -> Policy:
        """A copy that retries exactly these kinds of failure."""
        return replace(self, retry_on=frozenset(outcomes))

    def with_not_yet(self, matches: Callable[[BaseException], bool]) -> Policy:
        """A copy that takes errors which ``matches`` accepts for NOT_YET, and retries them."""
        before = self.classifier

        def classifier(error: BaseException) -> Outcome:
            return Outcome.NOT_YET if matches(error) else before(error)

        return replace(self, classifier=classifier, retry_on=self.retry_on | {Outcome.NOT_YET})

    def with_max_attempts(self, attempts: int | None) -> Policy:
        """A copy with another number of attempts, None for no limit."""
        return replace(self, max_attempts=attempts)

    def with_timeout(self, seconds: float | None) -> Policy:
        """A copy with another timeout in seconds, None for no limit."""
        return replace(self, timeout=seconds)

    def with_reraise(self, reraise: bool = True) -> Policy:
        """A copy that gives up by raising the last error itself, or not."""
        return replace(self, reraise=reraise)

    def with_clock(self, clock: Clock) -> Policy:
        """A copy that runs on another clock."""
        return replace(self, clock=clock)

    def with_observer(self, observer: Observer) -> Policy:
        """A copy that tells ``observer`` too."""
        return replace(self, observers=(*self.observers, observer))

    def with_observers(self, observers: Iterable[Observer]) -> Policy:
        """A copy that tells exactly these."""
        return replace(self, observers=tuple(observers))

    def scaled(self, scale: float) -> Policy:
        """A copy with all times multiplied, for a world whose time is compressed, such as the local cloud's."""
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"{self.name}: a time scale is more than 0, got {scale!r}")
        timeout = None if self.timeout is None else self.timeout * scale
        return replace(self, interval=self.interval.scaled(scale), backoff=self.backoff.scaled(scale), timeout=timeout)

    def retrying(
        self,
        deadline: Deadline | None = None,
        *,
        what: str | None = None,
        done: Callable[[Any], bool] | None = None,
        describe: Callable[[Any], str] = describe,
    ) -> tenacity.Retrying:
        """A fresh `tenacity.Retrying` that keeps this policy, on its clock.

        Use it as a callable (``retrying(fn, *args)``) or as an iterator (``for attempt in retrying: with attempt:``).

        Args:
            deadline: Takes the place of the policy's timeout; the wait then runs on the deadline's clock. Without
                it, each call gets a new one of ``timeout`` seconds.
            what: What is waited for, for logs and errors; by default the called function's name.
            done: Whether a returned value is the one waited for; by default any is. What it raises ends the wait.
            describe: A value in few words, for logs and errors: nothing secret.

        Raises:
            ValueError: There is neither a deadline nor a timeout nor a maximum of attempts.
        """
        engine = Engine(self, deadline, what, done, describe)
        return tenacity.Retrying(sleep=engine.clock.sleep, **engine.hooks())

    def retrying_async(
        self,
        deadline: Deadline | None = None,
        *,
        what: str | None = None,
        done: Callable[[Any], bool] | None = None,
        describe: Callable[[Any], str] = describe,
    ) -> tenacity.AsyncRetrying:
        """A fresh `tenacity.AsyncRetrying`, which is to be awaited: the same for coroutine functions."""
        engine = Engine(self, deadline, what, done, describe)
        return tenacity.AsyncRetrying(sleep=engine.clock.sleep_async, **engine.hooks())

    @overload
    def retry(self, function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def retry(self, function: Callable[P, T]) -> Callable[P, T]: ...
    def retry(self, function: Callable[P, Any]) -> Callable[P, Any]:
        """Decorate a function, ``def`` or ``async def``, so that each call of it keeps this policy.

        Only for what may safely run twice. Each call has its own deadline of ``timeout`` seconds.

        Raises:
            TypeError: It's a generator function, whose body runs where no decorator sees it.
            ValueError: The policy has neither a timeout nor a maximum of attempts.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function!r} is a generator function: retry what it calls, not the generator")
        Engine(self, None, None, None, describe)  # an unlimited policy fails here, not at the first call
        name = getattr(function, "__qualname__", repr(function))
        if _is_async(function):

            @functools.wraps(function)
            async def retried_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await self.retrying_async(what=name)(function, *args, **kwargs)

            return retried_async

        @functools.wraps(function)
        def retried(*args: P.args, **kwargs: P.kwargs) -> Any:
            return self.retrying(what=name)(function, *args, **kwargs)

        return retried

    def __str__(self) -> str:
        limits = [
            *([f"{self.max_attempts} attempts"] if self.max_attempts is not None else []),
            *([f"{self.timeout:g} s"] if self.timeout is not None else []),
        ]
        within = f", within {' and '.join(limits)}" if limits else ""
        return f"{self.name}: every {self.interval}, backing off {self.backoff}{within}"


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__ is meant
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
