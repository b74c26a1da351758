"""How tenacity keeps a policy, with every decision made on one clock.

tenacity's own stop and wait strategies read ``time.monotonic`` themselves, so that with only its sleep replaced they
neither stop nor end on the deadline. The strategies here read the wait's clock, once per attempt.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from weakref import WeakKeyDictionary

import tenacity

from harness._waiting.attempts import Attempt, WaitTimeout, notify, summarize
from harness._waiting.classification import Failure, Outcome
from harness._waiting.clock import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

    from harness._waiting.clock import Clock
    from harness._waiting.policy import Policy


@dataclass
class _Run:
    """The state of one call under a policy."""

    deadline: Deadline
    began: float
    rng: random.Random
    attempt_began: float = 0.0
    ended: float = 0.0
    polls: int = 0
    setbacks: int = 0
    outcome: Outcome = Outcome.PENDING
    failure: Failure | None = None
    out_of: Literal["deadline", "attempts"] = "deadline"
    last_value: object = None
    last_error: BaseException | None = None
    note: str = ""
    trail: list[Attempt] = field(default_factory=list)


class Engine:
    """A policy's decisions as tenacity's hooks. One engine serves any number of calls, in any threads."""

    def __init__(
        self,
        policy: Policy,
        deadline: Deadline | None,
        what: str | None,
        done: Callable[[Any], bool] | None,
        describe: Callable[[Any], str],
    ) -> None:
        if deadline is None and policy.timeout is None and policy.max_attempts is None:
            raise ValueError(
                f"{policy.name} would wait forever: give it a deadline, a timeout or a maximum of attempts "
                "(Deadline.never() if forever is meant)"
            )
        self._policy = policy
        self._deadline = deadline
        self._what = what
        self._done = done
        self._describe = describe
        self.clock: Clock = policy.clock if deadline is None else deadline.clock
        # Keyed by tenacity's state of one call: a Retrying object may be called twice, or in two threads.
        self._runs: WeakKeyDictionary[RetryCallState, _Run] = WeakKeyDictionary()

    def hooks(self) -> dict[str, Any]:
        """The arguments of `tenacity.Retrying` but for ``sleep``."""
        return {
            "before": self._before,
            "retry": self._retry,
            "wait": self._wait,
            "stop": self._stop,
            "before_sleep": self._before_sleep,
            "retry_error_callback": self._give_up,
        }

    def _before(self, state: RetryCallState) -> None:
        now = self.clock.monotonic()
        run = self._runs.get(state)
        if run is None:
            run = self._runs[state] = _Run(self._new_deadline(), now, random.Random(self._policy.seed))  # noqa: S311
        run.attempt_began = now

    def _new_deadline(self) -> Deadline:
        if self._deadline is not None:
            return self._deadline
        timeout = self._policy.timeout
        return Deadline.never(self.clock) if timeout is None else Deadline.after(timeout, self.clock)

    def _retry(self, state: RetryCallState) -> bool:
        """Judge an attempt; False hands its value or error to the caller."""
        run = self._runs[state]
        run.ended = self.clock.monotonic()
        run.failure = None
        outcome = state.outcome
        if outcome is None:  # pragma: no cover - tenacity always sets it before it asks
            raise RuntimeError("tenacity asked about an attempt that hasn't ended")
        error = outcome.exception()
        if error is None:
            return self._retry_value(state, run, outcome.result())
        if not isinstance(error, Exception):
            return False  # Ctrl-C, cancellation or exit: nothing to judge
        run.last_error, run.failure = error, Failure.of(error)
        run.outcome, run.note = self._policy.classifier(error), run.failure.code
        if run.outcome in self._policy.retry_on:
            return True
        self._record(state, run, "failed")
        return False

    def _retry_value(self, state: RetryCallState, run: _Run, value: object) -> bool:
        run.last_value = value
        run.note = "" if self._done is None else self._describe(value)
        try:
            run.outcome = Outcome.DONE if self._done is None or self._done(value) else Outcome.PENDING
        except Exception as error:
            # It ends the wait, and whoever counts attempts and waits must hear of this one too.
            run.outcome, run.last_error, run.failure = Outcome.FATAL, error, Failure.of(error)
            self._record(state, run, "failed")
            raise
        if run.outcome is Outcome.PENDING:
            return True
        self._record(state, run, "done")
        return False

    def _wait(self, state: RetryCallState) -> float:
        run, policy = self._runs[state], self._policy
        if state.outcome is not None and isinstance(state.outcome.exception(), tenacity.TryAgain):
            # tenacity retries its own TryAgain without asking the retry hook.
            run.ended, run.outcome, run.failure, run.note = self.clock.monotonic(), Outcome.NOT_YET, None, "TryAgain"
        if run.outcome in (Outcome.THROTTLED, Outcome.TRANSIENT):
            pause = policy.backoff.seconds(run.setbacks, run.rng)
            run.setbacks += 1
        else:
            pause = policy.interval.seconds(run.polls, run.rng)
            run.polls += 1
            run.setbacks = 0
        if run.failure is not None and run.failure.retry_after is not None:
            pause = max(pause, run.failure.retry_after)
        left = run.deadline.remaining()
        if policy.max_attempts is not None and state.attempt_number >= policy.max_attempts:
            run.out_of, pause = "attempts", 0.0
        elif left == 0.0:
            run.out_of, pause = "deadline", 0.0
        return min(pause, left)

    def _stop(self, state: RetryCallState) -> bool:
        # _wait has just decided, on one reading of the clock; a second reading here could disagree with it.
        return state.upcoming_sleep <= 0.0

    def _before_sleep(self, state: RetryCallState) -> None:
        self._record(state, self._runs[state], "retrying")

    def _give_up(self, state: RetryCallState) -> NoReturn:
        run = self._runs[state]
        self._record(state, run, "gave up")
        outcome = state.outcome
        error = None if outcome is None else outcome.exception()
        if self._policy.reraise and error is not None:
            error.add_note(f"{self._policy.name} gave up: {summarize(run.trail)}")
            raise error
        raise WaitTimeout(
            policy=self._policy.name,
            what=self._name(state),
            because=run.out_of,
            elapsed=run.ended - run.began,
            last_value=run.last_value,
            last_error=run.last_error,
            trail=tuple(run.trail),
        ) from error

    def _name(self, state: RetryCallState) -> str:
        if self._what is not None:
            return self._what
        return "a block" if state.fn is None else str(getattr(state.fn, "__qualname__", type(state.fn).__name__))

    def _record(self, state: RetryCallState, run: _Run, fate: Literal["retrying", "done", "failed", "gave up"]) -> None:
        attempt = Attempt(
            policy=self._policy.name,
            what=self._name(state),
            number=state.attempt_number,
            started=run.attempt_began - run.began,
            ended=run.ended - run.began,
            outcome=run.outcome,
            sleep=float(state.upcoming_sleep) if fate == "retrying" else 0.0,
            state=fate,
            note=run.note,
            reason=None if run.failure is None else run.failure.reason,
            retry_after=None if run.failure is None else run.failure.retry_after,
        )
        run.trail.append(attempt)
        notify(self._policy.observers, attempt)
