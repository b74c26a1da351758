"""The plan that holds now, and the seeded chance that it is carried out with."""

from __future__ import annotations

import random
import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from harness.waiters import SYSTEM_CLOCK, Clock

from .plan import FaultPlan, Rule, Span
from .vocabulary import check_operations


def new_seed() -> int:
    """A seed, drawn; short enough to be typed."""
    return secrets.randbelow(2**32)


@dataclass(frozen=True)
class Settings:
    """What holds from one change of the plan to the next.

    Attributes:
        plan: The plan.
        seed: What chance starts from.
    """

    plan: FaultPlan
    seed: int


class Faults:
    """What the parts that make faults share. Safe for threads.

    Every kind of fault draws from a sequence of its own for every operation, so the same seed and the same calls of
    an operation give the same faults, whatever happens to other operations in between.

    Args:
        plan: What goes wrong.
        seed: What chance starts from; None draws one.
        time_scale: Gives what durations are divided by.
        clock: Where time comes from.

    Raises:
        ConfigurationError: A rule names an operation that AWS doesn't have.
    """

    def __init__(
        self,
        plan: FaultPlan,
        seed: int | None = None,
        *,
        time_scale: Callable[[], float] = lambda: 1.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.clock = clock
        self.time_scale = time_scale
        self._lock = threading.Lock()
        self._injected: dict[str, Counter[str]] = defaultdict(Counter)
        check_operations(plan)
        self._settings = Settings(plan, new_seed() if seed is None else seed)
        self._streams: dict[str, random.Random] = {}
        self._calls: Counter[str] = Counter()

    @property
    def plan(self) -> FaultPlan:
        """What goes wrong now."""
        return self._settings.plan

    @property
    def seed(self) -> int:
        """What chance started from when the plan was set."""
        return self._settings.seed

    def set(self, plan: FaultPlan, seed: int | None = None) -> None:
        """Change the plan. Counts of "first so many" begin anew, and so does chance, from ``seed``.

        What is already on its way, such as a role's propagation, arrives as it was drawn.

        Args:
            plan: What goes wrong from now on.
            seed: What chance starts from; None starts again from the last one.

        Raises:
            ConfigurationError: A rule names an operation that AWS doesn't have.
        """
        check_operations(plan)
        with self._lock:
            self._settings = Settings(plan, self._settings.seed if seed is None else seed)
            self._streams.clear()
            self._calls.clear()

    def seconds(self, span: Span, stream: str) -> float:
        """A duration, drawn, in wall-clock seconds of this cloud."""
        if span.high == 0:
            return 0.0
        with self._lock:
            return self._stream(stream).uniform(span.low, span.high) / self.time_scale()

    def chance(self, rate: float, stream: str) -> bool:
        """Whether something happens that happens so often."""
        with self._lock:
            return self._stream(stream).random() < rate

    def meets(self, rule: Rule, place: str, operation: str) -> bool:
        """Whether a rule meets a call that its pattern and callers fit.

        Args:
            rule: The rule.
            place: Its place in the plan.
            operation: The call's operation.
        """
        stream = f"{place} {operation}"
        if rule.first is None:
            return self.chance(rule.rate or 0.0, stream)
        with self._lock:
            self._calls[stream] += 1
            return self._calls[stream] <= rule.first

    def count(self, kind: str, what: str) -> None:
        """Count a fault that was made."""
        with self._lock:
            self._injected[kind][what] += 1

    def injected(self) -> dict[str, dict[str, int]]:
        """The faults made since the cloud's start: ``{"throttle": {"lambda.Invoke": 2}}``."""
        with self._lock:
            return {kind: dict(sorted(counts.items())) for kind, counts in sorted(self._injected.items())}

    def _stream(self, name: str) -> random.Random:
        if name not in self._streams:
            # Simulated faults need no secrecy, and the same texts give the same numbers in every process.
            self._streams[name] = random.Random(f"{self._settings.seed} {name}")  # noqa: S311
        return self._streams[name]
