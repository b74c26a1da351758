"""How fast time passes for one execution.

Waits, retry delays and timeouts pass as fast as the time scale says, but not while the function's code runs: no scale
speeds that up, so there a second is a second. Else the order of things would be another than on AWS. At a scale of
60 a wait of two seconds ends after 33 ms, before the invocation that began it has returned, and a callback times out
while the function still hands it out.

The engine's clock runs at the scale all the time. How far it is ahead of an execution is that execution's *lead*: what
began at a lead of a minute and comes to its end at one of three is due two minutes later than the engine believes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from aws_durable_execution_sdk_python.lambda_service import Operation, OperationStatus, OperationType

from harness.localcloud.durable.clock import ScaledClock

_NOTHING = timedelta(0)


@dataclass
class CallbackLimit:
    """A callback's timeout, or its heartbeat timeout.

    Attributes:
        seconds: How long it is.
        since: When it began to run, on the engine's clock.
        lead: The execution's lead then.
    """

    seconds: float
    since: datetime
    lead: timedelta


class Pace:
    """The time of one execution. Used on the execution's lane.

    Args:
        clock: The engine's clock.
    """

    def __init__(self, clock: ScaledClock) -> None:
        self._clock = clock
        self._ended = _NOTHING
        self._running_since: datetime | None = None
        # The lead at which an operation's scheduled moment was computed.
        self._begun: dict[str, timedelta] = {}
        self.limits: dict[tuple[str, str], CallbackLimit] = {}

    @property
    def running_since(self) -> datetime | None:
        """Since when code runs, on the engine's clock; None when none does."""
        return self._running_since

    def code_begins(self) -> None:
        """From now on a second is a second."""
        self._running_since = self._clock.now()

    def code_ends(self) -> timedelta:
        """From now on time is scaled again; gives by how much the lead has grown."""
        grown = self._growth(self._clock.now())
        self._running_since = None
        self._ended += grown
        return grown

    def lead(self, now: datetime) -> timedelta:
        """How far the engine's clock is ahead of the execution."""
        return self._ended + self._growth(now)

    def begins(self, operation_id: str, now: datetime) -> None:
        """An operation's scheduled moment has just been computed."""
        self._begun[operation_id] = self.lead(now)

    def due(self, operation: Operation, now: datetime) -> datetime | None:
        """When an operation's wait or retry delay is over, as things are, on the engine's clock; None without one."""
        scheduled = scheduled_moment(operation)
        if scheduled is None:
            return None
        return scheduled + self.lead(now) - self._begun.get(operation.operation_id, _NOTHING)

    def limit_callback(self, callback_id: str, kind: str, seconds: float) -> None:
        """A callback's limit begins to run, or begins anew."""
        now = self._clock.now()
        self.limits[callback_id, kind] = CallbackLimit(seconds, now, self.lead(now))

    def limit_due(self, callback_id: str, kind: str, now: datetime) -> datetime | None:
        """When a callback's limit is reached, as things are; None if it has none."""
        limit = self.limits.get((callback_id, kind))
        if limit is None:
            return None
        return limit.since + timedelta(seconds=limit.seconds) + self.lead(now) - limit.lead

    def drop_limits(self, callback_id: str) -> None:
        """A callback is closed."""
        for key in [key for key in self.limits if key[0] == callback_id]:
            del self.limits[key]

    def engine_delay(self, due: datetime, now: datetime) -> timedelta:
        """The time on the engine's clock until ``due``, if things stay as they are."""
        left = max(due - now, _NOTHING)
        return left if self._running_since is None else left * self._clock.scale

    def shown(self, operation: Operation) -> datetime | None:
        """The wall-clock moment at which an operation is due if code keeps running: what that code is to be told."""
        now = self._clock.now()
        due = self.due(operation, now)
        return None if due is None else self._clock.to_wall(now) + max(due - now, _NOTHING)

    def _growth(self, now: datetime) -> timedelta:
        if self._running_since is None:
            return _NOTHING
        ran = now - self._running_since
        return ran - ran / self._clock.scale


def scheduled_moment(operation: Operation) -> datetime | None:
    """When the engine believes that a pending wait or retry delay is over; None for any other operation."""
    if operation.operation_type is OperationType.WAIT and operation.status is OperationStatus.STARTED:
        return operation.wait_details.scheduled_end_timestamp if operation.wait_details else None
    if operation.operation_type is OperationType.STEP and operation.status is OperationStatus.PENDING:
        return operation.step_details.next_attempt_timestamp if operation.step_details else None
    return None


def pending(operations: list[Operation]) -> Iterator[Operation]:
    """The operations that end, or go on, by themselves at some moment."""
    return (operation for operation in operations if scheduled_moment(operation) is not None)
