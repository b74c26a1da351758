"""An execution's history: events journaled as things happen, rendered when somebody asks.

The engine can build a history afterwards, from the timestamps of its operations; ties then come in any order and
what an operation went through between its start and its end is lost. So every change of an execution's state, all of
which happen one after the other on its lane, appends its event here, with everything the service's model has for it.

https://docs.aws.amazon.com/lambda/latest/api/API_Event.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.serialize import to_json

_KIND = {
    OperationType.EXECUTION: "Execution",
    OperationType.CONTEXT: "Context",
    OperationType.STEP: "Step",
    OperationType.WAIT: "Wait",
    OperationType.CALLBACK: "Callback",
    OperationType.CHAINED_INVOKE: "ChainedInvoke",
}
_OUTCOME = {
    OperationStatus.SUCCEEDED: "Succeeded",
    OperationStatus.FAILED: "Failed",
    OperationStatus.TIMED_OUT: "TimedOut",
    OperationStatus.STOPPED: "Stopped",
    OperationStatus.CANCELLED: "Cancelled",
}


@dataclass
class HistoryEvent:
    """One event.

    Attributes:
        event_id: Its place in the history, from 1.
        event_type: Such as ``StepSucceeded``.
        timestamp: When, on the engine's clock.
        operation: The operation that it is about, None for events of the invocation or the pause.
        details: The members of its details that are always shown.
        data: The members that hold execution data (Input, Result, Error, Reason) and are left out on request.
    """

    event_id: int
    event_type: str
    timestamp: datetime
    operation: Operation | None
    details: Mapping[str, Any]
    data: Mapping[str, Any]

    def render(self, clock: ScaledClock, *, include_data: bool) -> dict[str, Any]:
        """This event as GetDurableExecutionHistory gives it.

        Args:
            clock: Maps engine time to wall-clock time.
            include_data: Whether payloads are shown; without, they are marked as truncated.
        """
        details = dict(self.details)
        for member, payload in self.data.items():
            if not include_data:
                details[member] = {"Truncated": True}
            elif payload is None:
                details[member] = {"Truncated": False}
            else:
                shown = payload.to_dict() if isinstance(payload, ErrorObject) else payload
                details[member] = {"Payload": shown, "Truncated": False}
        event: dict[str, Any] = {"EventType": self.event_type, "EventId": self.event_id}
        if self.operation is not None:
            event |= {
                "Id": self.operation.operation_id,
                "Name": self.operation.name,
                "ParentId": self.operation.parent_id,
                "SubType": self.operation.sub_type,
            }
        event |= {"EventTimestamp": self.timestamp, f"{self.event_type}Details": details}
        rendered: dict[str, Any] = to_json(event, clock)
        return rendered


@dataclass
class Journal:
    """The events of one execution, in the order in which they happened."""

    events: list[HistoryEvent] = field(default_factory=list)

    def append(
        self,
        event_type: str,
        timestamp: datetime,
        operation: Operation | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> HistoryEvent:
        """Append an event; its timestamp is never before its predecessor's."""
        if self.events:
            timestamp = max(timestamp, self.events[-1].timestamp)
        event = HistoryEvent(len(self.events) + 1, event_type, timestamp, operation, details or {}, data or {})
        self.events.append(event)
        return event

    def amend(self, event_type: str, operation_id: str, **details: Any) -> None:
        """Add details to an operation's event that became known after it was journaled."""
        for event in reversed(self.events):
            if event.event_type == event_type and event.operation and event.operation.operation_id == operation_id:
                event.details = {**event.details, **details}
                return

    def page(self, after: int, limit: int, *, reverse: bool) -> tuple[list[HistoryEvent], int | None]:
        """Up to ``limit`` events behind the event with id ``after`` (0 for the beginning), in the asked direction.

        Returns:
            The events, and the id to continue behind, None when there are no more now.
        """
        events = self.events[:]
        if reverse:
            events.reverse()
            rest = [event for event in events if not after or event.event_id < after]
        else:
            rest = events[after:]
        shown = rest[:limit]
        return shown, (shown[-1].event_id if len(rest) > limit else None)


def journal_update(
    journal: Journal,
    update: OperationUpdate,
    operation: Operation,
    *,
    now: datetime,
) -> None:
    """Append what a checkpointed update of an operation means for the history.

    Args:
        journal: Where to append.
        update: The update as the engine keeps it.
        operation: The operation after the update.
        now: The checkpoint's time on the engine's clock.
    """
    kind = _KIND[update.operation_type]
    if update.operation_type is OperationType.EXECUTION:
        # The execution's own end is journaled by the transition that follows.
        return
    if update.action is OperationAction.START:
        details, data = _start_details(update, operation)
        journal.append(f"{kind}Started", now, operation, details=details, data=data)
        if update.operation_type is OperationType.CHAINED_INVOKE and operation.status is OperationStatus.FAILED:
            # The target couldn't be resolved: it failed within the checkpoint that started it.
            journal_outcome(journal, operation, now=now)
        return
    if update.action is OperationAction.CANCEL:
        journal.append(f"{kind}Cancelled", now, operation, data={"Error": update.error})
        return
    # A RETRY without an error is a poll of wait_for_condition that isn't satisfied yet: the poll itself succeeded.
    failed = update.action is OperationAction.FAIL or update.error is not None
    details = {}
    if update.operation_type is OperationType.STEP:
        retry = {"CurrentAttempt": operation.step_details.attempt if operation.step_details else 1}
        if update.action is OperationAction.RETRY and update.step_options is not None:
            retry["NextAttemptDelaySeconds"] = update.step_options.next_attempt_delay_seconds
        details = {"RetryDetails": retry}
    if failed:
        journal.append(f"{kind}Failed", now, operation, details=details, data={"Error": update.error})
    else:
        journal.append(f"{kind}Succeeded", now, operation, details=details, data={"Result": update.payload})


def journal_outcome(
    journal: Journal,
    operation: Operation,
    *,
    now: datetime,
    result: str | None = None,
    error: ErrorObject | None = None,
) -> None:
    """Append the end of an operation that the service, not the function, brought about.

    Args:
        journal: Where to append.
        operation: The operation in its terminal status.
        now: The time on the engine's clock.
        result: What an execution returned; other operations carry their own.
        error: What an execution failed with; other operations carry their own.
    """
    kind = _KIND[operation.operation_type]
    if operation.operation_type is OperationType.WAIT:
        journal.append(f"{kind}Succeeded", now, operation, details={"Duration": _duration(operation)})
        return
    carried = operation.callback_details or operation.chained_invoke_details
    if carried is not None:
        result, error = carried.result, carried.error
    data = {"Result": result} if operation.status is OperationStatus.SUCCEEDED else {"Error": error}
    journal.append(f"{kind}{_OUTCOME[operation.status]}", now, operation, data=data)


def _start_details(update: OperationUpdate, operation: Operation) -> tuple[dict[str, Any], dict[str, Any]]:
    """The details, shown always and shown on request, of an operation's start."""
    details: dict[str, Any] = {}
    data: dict[str, Any] = {}
    if update.operation_type is OperationType.WAIT and operation.wait_details:
        details["Duration"] = _duration(operation)
        details["ScheduledEndTimestamp"] = operation.wait_details.scheduled_end_timestamp
    elif update.operation_type is OperationType.CALLBACK:
        details["CallbackId"] = operation.callback_details.callback_id if operation.callback_details else None
        options = update.callback_options
        # 0 means that there is none.
        if options and options.timeout_seconds:
            details["Timeout"] = options.timeout_seconds
        if options and options.heartbeat_timeout_seconds:
            details["HeartbeatTimeout"] = options.heartbeat_timeout_seconds
    elif update.operation_type is OperationType.CHAINED_INVOKE and update.chained_invoke_options:
        details["FunctionName"] = update.chained_invoke_options.function_name
        details["TenantId"] = update.chained_invoke_options.tenant_id
        if update.payload is not None:
            data["Input"] = update.payload
    return details, data


def _duration(operation: Operation) -> int | None:
    """The modeled seconds of a wait."""
    scheduled = operation.wait_details.scheduled_end_timestamp if operation.wait_details else None
    if scheduled is None or operation.start_timestamp is None:
        return None
    return round((scheduled - operation.start_timestamp).total_seconds())
