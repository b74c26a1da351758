"""One durable execution: the engine's state plus its journal, its pause and its place in the lists.

Private attributes of the testing SDK 1.4.0 that this module uses: none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws_durable_execution_sdk_python.lambda_service import (
    ErrorObject,
    Operation,
    OperationAction,
    OperationStatus,
    OperationType,
    OperationUpdate,
)
from aws_durable_execution_sdk_python_testing.checkpoint.effects import CheckpointEffect
from aws_durable_execution_sdk_python_testing.checkpoint.transformer import CheckpointRequestDispatcher
from aws_durable_execution_sdk_python_testing.execution import Execution
from aws_durable_execution_sdk_python_testing.model import StartDurableExecutionInput

from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.history import Journal, journal_outcome, journal_update
from harness.localcloud.durable.pace import Pace, pending


@dataclass
class Pause:
    """A pause that was asked for.

    Attributes:
        requested: When, on the engine's clock.
        reason: The caller's reason, or None.
        timeout_paused: Whether the execution's timeout stands still meanwhile.
        client_token: What makes a repeated request the same request.
        effective: When no invocation ran any more, None while one still does.
    """

    requested: datetime
    reason: str | None
    timeout_paused: bool
    client_token: str | None
    effective: datetime | None = None


class JournaledExecution(Execution):
    """The engine's execution, which journals each of its transitions.

    Transitions run on the execution's lane. `view` guards the few that readers on other threads must see whole.

    Args:
        arn: Its ARN.
        start_input: What it was started with; the qualifier is the version that it is pinned to.
        sequence: Its place among all executions in the order of their starts.
        clock: The engine's clock.
    """

    def __init__(self, arn: str, start_input: StartDurableExecutionInput, sequence: int, clock: ScaledClock) -> None:
        super().__init__(arn, start_input, [])
        self.pace = Pace(clock)
        self.sequence = sequence
        self.journal = Journal()
        self.view = threading.RLock()
        self.done = threading.Event()
        self.requested_pause: Pause | None = None
        self.last_resume_token: str | None = None
        # When it times out if nothing runs meanwhile, on the engine's clock.
        self.times_out_at: datetime | None = None
        # Ends of invoked functions that came while the invocation that invoked them still ran.
        self.held_outcomes: list[Callable[[], None]] = []
        self.client_context: str | None = None

    @property
    def function_name(self) -> str:
        """The bare name of its function."""
        return self.start_input.function_name

    @property
    def name(self) -> str:
        """Its name, given or generated."""
        return self.start_input.execution_name

    @property
    def status(self) -> str:
        """Its status as the API names it."""
        with self.view:
            if self.is_complete:
                return self.current_status().value
            if self.requested_pause is not None:
                return "PAUSED" if self.requested_pause.effective else "PAUSING"
            return "RUNNING"

    @property
    def started(self) -> datetime:
        """When it started, on the engine's clock."""
        started = self.get_operation_execution_started().start_timestamp
        if started is None:
            raise ValueError("The execution has not been started.")
        return started

    def start(self, now: datetime | None = None) -> None:
        """Begin the execution."""
        super().start(now)
        operation = self.get_operation_execution_started()
        self.journal.append(
            "ExecutionStarted",
            self.started,
            operation,
            details={"ExecutionTimeout": self.start_input.execution_timeout_seconds},
            data={"Input": operation.execution_details.input_payload if operation.execution_details else None},
        )

    def complete_due_operations(self, now: datetime) -> bool:
        """End every wait and retry delay whose time has come at this execution's pace; whether there were any."""
        moments = [(self.pace.due(operation, now), operation) for operation in pending(self.operations)]
        due = [(moment, operation) for moment, operation in moments if moment is not None and moment <= now]
        for _moment, operation in sorted(due, key=lambda pair: pair[0]):
            if operation.operation_type is OperationType.WAIT:
                self.complete_wait(operation.operation_id, now=now)
            else:
                self.complete_retry(operation.operation_id)
        return bool(due)

    def complete_wait(self, operation_id: str, now: datetime | None = None) -> Operation:
        """A wait's time has come."""
        return self._journaled(super().complete_wait(operation_id, now))

    def complete_callback_success(
        self, callback_id: str, result: bytes | None = None, now: datetime | None = None
    ) -> Operation:
        """An external system reported success."""
        return self._journaled(super().complete_callback_success(callback_id, result, now))

    def complete_callback_failure(self, callback_id: str, error: ErrorObject, now: datetime | None = None) -> Operation:
        """An external system reported failure."""
        return self._journaled(super().complete_callback_failure(callback_id, error, now))

    def complete_callback_timeout(self, callback_id: str, error: ErrorObject, now: datetime | None = None) -> Operation:
        """No external system reported in time."""
        return self._journaled(super().complete_callback_timeout(callback_id, error, now))

    def complete_chained_invoke(
        self,
        operation_id: str,
        status: OperationStatus,
        result: str | None = None,
        error: ErrorObject | None = None,
        now: datetime | None = None,
    ) -> Operation:
        """An invoked function ended."""
        return self._journaled(super().complete_chained_invoke(operation_id, status, result, error, now))

    def record_chained_invoke_child(self, operation_id: str, child_execution_arn: str) -> None:
        """An invoked durable function got its execution."""
        super().record_chained_invoke_child(operation_id, child_execution_arn)
        self.journal.amend("ChainedInvokeStarted", operation_id, DurableExecutionArn=child_execution_arn)

    def record_chained_invoke_version(self, operation_id: str, version: str) -> None:
        """An invoked function's version was resolved."""
        self.journal.amend("ChainedInvokeStarted", operation_id, ExecutedVersion=version)

    def record_invocation_completion(
        self,
        start_timestamp: datetime,
        end_timestamp: datetime,
        request_id: str,
        error: ErrorObject | None = None,
    ) -> None:
        """An invocation of the function ended, by itself or with ``error``."""
        super().record_invocation_completion(start_timestamp, end_timestamp, request_id)
        self.journal.append(
            "InvocationCompleted",
            end_timestamp,
            details={"StartTimestamp": start_timestamp, "EndTimestamp": end_timestamp, "RequestId": request_id},
            data={} if error is None else {"Error": error},
        )

    def complete_success(self, result: str | None, now: datetime | None = None) -> None:
        """The function returned its result."""
        self._end(lambda: super(JournaledExecution, self).complete_success(result, now), result=result)

    def complete_fail(self, error: ErrorObject | None, now: datetime | None = None) -> None:
        """The function, or its invocation, failed."""
        self._end(lambda: super(JournaledExecution, self).complete_fail(error, now), error=error)

    def complete_timeout(self, error: ErrorObject, now: datetime | None = None) -> None:
        """The execution took longer than its configuration allows."""
        self._end(lambda: super(JournaledExecution, self).complete_timeout(error, now), error=error)

    def complete_stopped(self, error: ErrorObject, now: datetime | None = None) -> None:
        """Somebody stopped the execution."""
        self._end(lambda: super(JournaledExecution, self).complete_stopped(error, now), error=error)

    def journal_pause(self, now: datetime) -> None:
        """The pause that was asked for holds from now on: no invocation runs."""
        pause = self.requested_pause
        if pause is None or pause.effective is not None:
            return
        with self.view:
            self.journal.append(
                "ExecutionPaused",
                now,
                self.get_operation_execution_started(),
                details={"PauseRequestTimestamp": pause.requested, "ExecutionTimeoutPaused": pause.timeout_paused},
                data={} if pause.reason is None else {"Reason": pause.reason},
            )
            pause.effective = now

    def journal_resume(self, now: datetime, reason: str | None) -> None:
        """The execution goes on."""
        self.journal.append(
            "ExecutionResumed",
            now,
            self.get_operation_execution_started(),
            details={"ResumeRequestTimestamp": now},
            data={} if reason is None else {"Reason": reason},
        )

    def _journaled(self, operation: Operation) -> Operation:
        if operation.end_timestamp is not None:
            journal_outcome(self.journal, operation, now=operation.end_timestamp)
        return operation

    def _end(
        self, transition: Callable[[], None], *, result: str | None = None, error: ErrorObject | None = None
    ) -> None:
        # One piece for readers: a terminal status comes with its end time and its last event.
        with self.view:
            transition()
            operation = self.get_operation_execution_started()
            if operation.end_timestamp is not None:
                journal_outcome(self.journal, operation, now=operation.end_timestamp, result=result, error=error)


class JournalingDispatcher(CheckpointRequestDispatcher):
    """The engine's dispatcher of checkpointed updates, which journals each update that it applied."""

    def apply_updates(
        self,
        execution: Execution,
        updates: list[OperationUpdate],
        client_token: str | None,
        touch: Callable[[str], None],
        now: datetime,
    ) -> list[CheckpointEffect]:
        """Apply ``updates`` and journal them."""
        before = len(execution.updates)
        effects = super().apply_updates(execution, updates, client_token, touch, now)
        if isinstance(execution, JournaledExecution):
            current: dict[str, Any] = {operation.operation_id: operation for operation in execution.operations}
            for update in execution.updates[before:]:
                operation = current.get(update.operation_id)
                if update.action is OperationAction.RETRY or (
                    update.operation_type is OperationType.WAIT and update.action is OperationAction.START
                ):
                    execution.pace.begins(update.operation_id, now)
                if operation is not None:
                    journal_update(execution.journal, update, operation, now=now)
        return effects
