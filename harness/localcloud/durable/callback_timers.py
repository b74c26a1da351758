"""The timers of callbacks' timeouts and heartbeat timeouts, at their execution's pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Future
from typing import Any

from aws_durable_execution_sdk_python.lambda_service import CallbackOptions, CallbackTimeoutType, ErrorObject

from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.execution import JournaledExecution
from harness.localcloud.durable.scheduling import ScaledScheduler

TIMEOUT = CallbackTimeoutType.TIMEOUT.value
HEARTBEAT = CallbackTimeoutType.HEARTBEAT.value
_MESSAGES = {TIMEOUT: "Callback timed out", HEARTBEAT: "Callback timed out on heartbeat"}


def timeout_error(kind: str) -> ErrorObject:
    """What a callback that timed out fails with."""
    return ErrorObject(message=_MESSAGES[kind], type=kind, data=None, stack_trace=None)


class CallbackTimers:
    """The callback timers of one engine. Methods run on the lane of their execution.

    Args:
        scheduler: Runs the timers.
        clock: The engine's clock.
        timers: The timers by kind and callback; the engine cancels what it finds there when a callback is closed.
        fired: Is told the execution's ARN, the callback and the kind when a timer fires, on any thread.
    """

    def __init__(
        self,
        scheduler: ScaledScheduler,
        clock: ScaledClock,
        timers: Mapping[str, MutableMapping[str, Future[Any]]],
        fired: Callable[[str, str, str], None],
    ) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._timers = timers
        self._fired = fired

    def begin(self, execution: JournaledExecution, callback_id: str, options: CallbackOptions) -> None:
        """A callback has been created."""
        # 0 means that there is none.
        for kind, seconds in ((TIMEOUT, options.timeout_seconds), (HEARTBEAT, options.heartbeat_timeout_seconds)):
            if seconds > 0:
                execution.pace.limit_callback(callback_id, kind, seconds)
                self._arm(execution, callback_id, kind)

    def heartbeat(self, execution: JournaledExecution, callback_id: str) -> None:
        """A heartbeat has come."""
        limit = execution.pace.limits.get((callback_id, HEARTBEAT))
        if limit is not None:
            execution.pace.limit_callback(callback_id, HEARTBEAT, limit.seconds)
            self._arm(execution, callback_id, HEARTBEAT)

    def is_due(self, execution: JournaledExecution, callback_id: str, kind: str) -> bool:
        """Whether a callback has timed out; if it hasn't, its timer is set again."""
        now = self._clock.now()
        due = execution.pace.limit_due(callback_id, kind, now)
        if due is None:
            return False
        if due > now:
            self._arm(execution, callback_id, kind)
            return False
        return True

    def pace_changed(self, execution: JournaledExecution) -> None:
        """The execution's time passes faster than its timers were set for."""
        for callback_id, kind in list(execution.pace.limits):
            self._arm(execution, callback_id, kind)

    def _arm(self, execution: JournaledExecution, callback_id: str, kind: str) -> None:
        armed = self._timers[kind].pop(callback_id, None)
        if armed is not None:
            armed.cancel()
        now = self._clock.now()
        due = execution.pace.limit_due(callback_id, kind, now)
        if due is not None:
            arn = execution.durable_execution_arn
            self._timers[kind][callback_id] = self._scheduler.call_later(
                lambda: self._fired(arn, callback_id, kind),
                delay=execution.pace.engine_delay(due, now).total_seconds(),
            )
