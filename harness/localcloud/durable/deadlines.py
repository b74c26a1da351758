"""When an execution times out.

A timeout is modeled time, so it passes as fast as the time scale says, but for two stretches: while the function's
code runs, which no scale speeds up, a second is a second (at a scale of 1,000 the start of a process would else use
up ten minutes of the timeout); and while a pause holds the timeout, it stands still.

https://docs.aws.amazon.com/lambda/latest/api/API_PauseDurableExecution.html
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any

from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.execution import JournaledExecution
from harness.localcloud.durable.scheduling import ScaledScheduler

# The runner ends an invocation at its function's own timeout, 900 s at most, and starts of environments take time.
LONGEST_INVOCATION = timedelta(seconds=1200)
# An execution whose timeout is paused still ends this long after its start.
LONGEST_EXECUTION = timedelta(days=366)
# Wall-clock seconds.
LEAST_DELAY_SECONDS = 0.002


class Deadlines:
    """The timeouts of the executions of one engine. Methods run on the lane of their execution.

    Args:
        scheduler: Runs the timers.
        clock: The engine's clock.
        timers: The timers, by the execution's ARN; the engine puts the first one of each execution there and cancels
            what it finds there at the end of the execution.
        expire: Ends an execution by its timeout.
    """

    def __init__(
        self,
        scheduler: ScaledScheduler,
        clock: ScaledClock,
        timers: MutableMapping[str, Future[Any]],
        expire: Callable[[JournaledExecution], None],
    ) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._timers = timers
        self._expire = expire

    def invocation_began(self, execution: JournaledExecution) -> None:
        """From now on a second is a second."""
        execution.pace.code_begins()
        self.arm(execution)

    def invocation_ended(self, execution: JournaledExecution) -> None:
        """From now on time is scaled again."""
        ahead = execution.pace.code_ends()
        if execution.times_out_at is not None and not execution.is_complete:
            execution.times_out_at += ahead
            self.arm(execution)

    def release(self, execution: JournaledExecution, held_since: datetime) -> None:
        """The timeout goes on from where a pause, which is over now, has held it."""
        if execution.times_out_at is not None:
            due = execution.times_out_at + (self._clock.now() - held_since)
            execution.times_out_at = min(due, execution.started + LONGEST_EXECUTION)
            self.arm(execution)

    def arm(self, execution: JournaledExecution) -> None:
        """Set the timer to the execution's deadline, as it is now."""
        armed = self._timers.pop(execution.durable_execution_arn, None)
        if armed is not None:
            armed.cancel()
        remaining = self._remaining(execution)
        if remaining is None:
            return
        scale = self._clock.scale
        if execution.pace.running_since is not None:
            if remaining >= LONGEST_INVOCATION:
                # The invocation ends first, and arms the timer again.
                return
            remaining *= scale
        # A timer may fire a little early; it must not fire again and again until its moment has come.
        delay = max(remaining.total_seconds(), LEAST_DELAY_SECONDS * scale)
        self._timers[execution.durable_execution_arn] = self._scheduler.call_later(
            lambda: self._expire(execution), delay=delay
        )

    def is_due(self, execution: JournaledExecution) -> bool:
        """Whether the execution's time is up: its deadline may have moved when its timer fires."""
        remaining = self._remaining(execution)
        return remaining is not None and remaining <= timedelta(0)

    def shown(self, execution: JournaledExecution) -> datetime | None:
        """When the execution is expected to time out, on the engine's clock; None if never."""
        pause = execution.requested_pause
        if execution.times_out_at is not None and pause and pause.effective and pause.timeout_paused:
            return execution.started + LONGEST_EXECUTION
        return execution.times_out_at

    def _remaining(self, execution: JournaledExecution) -> timedelta | None:
        """The modeled time that is left, None if there is no end to it."""
        deadline = self.shown(execution)
        if deadline is None:
            return None
        now = self._clock.now()
        began = execution.pace.running_since
        return deadline - now if began is None else deadline - began - (now - began) / self._clock.scale
