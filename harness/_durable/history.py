"""An execution's history: its events, the operations they belong to, and their attempts.

https://docs.aws.amazon.com/lambda/latest/api/API_GetDurableExecutionHistory.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, overload

from harness._durable.values import ErrorInfo, decode_operation_payload

if TYPE_CHECKING:
    from collections.abc import Iterable

_TYPE = re.compile(r"(?P<kind>Execution|Context|Wait|Step|ChainedInvoke|Callback|Invocation)(?P<status>[A-Z]\w*)")
_STATUSES = {"Started": "STARTED", "Succeeded": "SUCCEEDED", "Failed": "FAILED", "TimedOut": "TIMED_OUT"}


@dataclass(frozen=True)
class HistoryEvent:
    """One event of a history.

    Attributes:
        id: Its number in the history, from 1.
        type: Such as ``StepSucceeded``.
        timestamp: When it happened, aware.
        name: The operation's name, or None.
        operation_id: The operation's id, or None.
        parent_id: The id of the operation around it, or None at the top.
        sub_type: What the SDK calls the operation, such as ``WaitForCondition`` or ``MapIteration``.
        details: The details of its type as boto3 has them; may hold payloads, so not shown.
    """

    id: int
    type: str
    timestamp: datetime
    name: str | None = None
    operation_id: str | None = None
    parent_id: str | None = None
    sub_type: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> HistoryEvent:
        """Read an event as boto3 has it."""
        kind = str(event["EventType"])
        return cls(
            id=int(event.get("EventId", 0)),
            type=kind,
            timestamp=event["EventTimestamp"],
            name=event.get("Name"),
            operation_id=event.get("Id"),
            parent_id=event.get("ParentId"),
            sub_type=event.get("SubType"),
            details=event.get(f"{kind}Details") or {},
        )

    @property
    def kind(self) -> str:
        """What it is about: Execution, Context, Wait, Step, ChainedInvoke, Callback, Invocation; else its type."""
        match = _TYPE.fullmatch(self.type)
        return match["kind"] if match else self.type

    @property
    def status(self) -> str:
        """What it says about that: STARTED, SUCCEEDED, FAILED, TIMED_OUT, STOPPED, CANCELLED, ..."""
        match = _TYPE.fullmatch(self.type)
        return _STATUSES.get(match["status"], match["status"].upper()) if match else ""

    @property
    def error(self) -> ErrorInfo | None:
        """The error that it reports, if any."""
        return ErrorInfo.of((self.details.get("Error") or {}).get("Payload"))

    @functools.cached_property
    def result(self) -> Any:
        """The result that it reports, parsed, the SDK's type envelope taken off; None if there is none."""
        return decode_operation_payload((self.details.get("Result") or {}).get("Payload"))

    @property
    def attempt(self) -> int | None:
        """Which attempt of its step it ends, from 1, or None."""
        return (self.details.get("RetryDetails") or {}).get("CurrentAttempt") or None

    @property
    def next_delay(self) -> float | None:
        """Seconds until the next attempt of its step, or None if there is none."""
        delay = (self.details.get("RetryDetails") or {}).get("NextAttemptDelaySeconds")
        return float(delay) if delay else None

    def __str__(self) -> str:
        parts = [f"#{self.id}", self.type, *([repr(self.name)] if self.name else [])]
        if self.error is not None and self.error.type:
            parts.append(f"({self.error.type})")
        if self.next_delay is not None:
            parts.append(f"attempt {self.attempt}, next in {self.next_delay:g} s")
        return " ".join(parts)


@dataclass(frozen=True)
class StepAttempt:
    """One attempt of a step, or one check of a wait for a condition.

    Attributes:
        number: From 1.
        status: STARTED, SUCCEEDED or FAILED.
        started: When, aware, or None if its start isn't in the history.
        ended: When, aware, or None while it runs.
        error: What it failed with.
        next_delay: Seconds until the next attempt, or None if it was the last.
    """

    number: int
    status: str
    started: datetime | None
    ended: datetime | None
    error: ErrorInfo | None = None
    next_delay: float | None = None


@dataclass(frozen=True)
class Operation:
    """All events of one operation.

    Attributes:
        id: Its id.
        kind: Execution, Context, Wait, Step, ChainedInvoke or Callback.
        name: Its name, or None.
        parent_id: The id of the operation around it, or None at the top.
        sub_type: What the SDK calls it, such as ``WaitForCondition``.
        events: Its events, oldest first; never empty.
    """

    id: str
    kind: str
    name: str | None
    parent_id: str | None
    sub_type: str | None
    events: tuple[HistoryEvent, ...]

    @property
    def started(self) -> datetime:
        """When its first event happened."""
        return self.events[0].timestamp

    @property
    def ended(self) -> datetime | None:
        """When it ended, or None while it goes on."""
        return None if self.status == "STARTED" else self.events[-1].timestamp

    @property
    def status(self) -> str:
        """STARTED while it goes on (between two attempts too), else how it ended: SUCCEEDED, FAILED, ..."""
        last = self.events[-1]
        return "STARTED" if last.next_delay is not None else last.status

    @property
    def result(self) -> Any:
        """Its result, parsed, the SDK's type envelope taken off; None if there is none."""
        return self.events[-1].result if self.status == "SUCCEEDED" else None

    @property
    def error(self) -> ErrorInfo | None:
        """The error it ended with, if any."""
        return self.events[-1].error if self.status not in ("STARTED", "SUCCEEDED") else None

    @property
    def callback_id(self) -> str | None:
        """The id by which a callback is answered; None for other operations."""
        return next((e.details["CallbackId"] for e in self.events if e.type == "CallbackStarted"), None)

    @property
    def attempts(self) -> tuple[StepAttempt, ...]:
        """Its attempts, oldest first; for what isn't a step, one."""
        attempts: list[StepAttempt] = []
        started: datetime | None = None
        for event in self.events:
            if event.status == "STARTED":
                started = event.timestamp
                continue
            number = event.attempt or len(attempts) + 1
            attempts.append(StepAttempt(number, event.status, started, event.timestamp, event.error, event.next_delay))
            started = None
        if started is not None:
            attempts.append(StepAttempt(len(attempts) + 1, "STARTED", started, None))
        return tuple(attempts)


class History(Sequence[HistoryEvent]):
    """The events of an execution, oldest first."""

    def __init__(self, events: Iterable[HistoryEvent]) -> None:
        self._events = tuple(events)

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> History:
        """Read events as boto3 has them."""
        return cls(HistoryEvent.of(event) for event in events)

    @overload
    def __getitem__(self, index: int) -> HistoryEvent: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: int | slice) -> HistoryEvent | History:
        return History(self._events[index]) if isinstance(index, slice) else self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return f"<History of {len(self)} events>"

    def __eq__(self, other: object) -> bool:
        return self._events == other._events if isinstance(other, History) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(event.id for event in self._events))

    @property
    def types(self) -> tuple[str, ...]:
        """The types of all events, in order."""
        return tuple(event.type for event in self._events)

    def by_name(self, name: str) -> History:
        """The events of the operations of that name."""
        return History(event for event in self._events if event.name == name)

    def by_type(self, *types: str) -> History:
        """The events of these types, such as ``StepFailed``."""
        return History(event for event in self._events if event.type in types)

    @functools.cached_property
    def _operations(self) -> tuple[Operation, ...]:
        grouped: dict[str, list[HistoryEvent]] = {}
        for event in self._events:
            if event.operation_id is not None:
                grouped.setdefault(event.operation_id, []).append(event)
        return tuple(
            Operation(key, es[0].kind, es[0].name, es[0].parent_id, es[0].sub_type, tuple(es))
            for key, es in grouped.items()
        )

    def operations(self, *, kind: str | None = None, name: str | None = None) -> tuple[Operation, ...]:
        """The operations in the order in which they started, the execution itself left out.

        Args:
            kind: Only Context, Wait, Step, ChainedInvoke or Callback.
            name: Only of that name.
        """
        return tuple(
            operation
            for operation in self._operations
            if (operation.kind != "Execution")
            and (kind is None or operation.kind == kind)
            and (name is None or operation.name == name)
        )

    def operation(self, name: str) -> Operation:
        """The one operation of that name.

        Raises:
            LookupError: There is none, or more than one, as in a map; the message says which names there are.
        """
        found = self.operations(name=name)
        if len(found) == 1:
            return found[0]
        if found:
            raise LookupError(f"{len(found)} operations are named {name!r}; take operations(name={name!r})")
        names = ", ".join(dict.fromkeys(repr(o.name) for o in self.operations() if o.name)) or "none"
        raise LookupError(f"no operation is named {name!r}; there are: {names}")

    def steps(self) -> tuple[Operation, ...]:
        """The steps, and the waits for a condition, which are steps with attempts."""
        return self.operations(kind="Step")

    def attempts(self, name: str) -> tuple[StepAttempt, ...]:
        """The attempts of the one operation of that name, each with its outcome and the delay that follows it.

        Raises:
            LookupError: There is none, or more than one.
        """
        return self.operation(name).attempts

    def children(self, operation: Operation) -> tuple[Operation, ...]:
        """The operations directly inside another one."""
        return tuple(child for child in self.operations() if child.parent_id == operation.id)

    def callback(self, name: str) -> Operation | None:
        """The newest callback of that name, or None.

        Name a callback as the function's code does: ``create_callback(name=...)`` or ``wait_for_callback(name=...)``.
        The latter makes a context of that name, with the callback inside.
        """
        contexts = {o.id for o in self.operations(kind="Context", name=name) if o.sub_type == "WaitForCallback"}
        found = [o for o in self.operations(kind="Callback") if o.name == name or o.parent_id in contexts]
        return found[-1] if found else None

    def open_callbacks(self) -> tuple[Operation, ...]:
        """The callbacks that wait for their answer."""
        return tuple(o for o in self.operations(kind="Callback") if o.status == "STARTED")

    def timeline(self, *, last: int | None = None) -> str:
        """The events as lines of text, with the seconds since the first one; no payloads, no error messages.

        Args:
            last: Only so many of the newest.
        """
        if not self._events:
            return "(no events)"
        began = self._events[0].timestamp
        depth = {operation.id: operation.parent_id for operation in self._operations}
        shown = self._events if last is None else self._events[len(self._events) - min(last, len(self._events)) :]
        lines = []
        for event in shown:
            indent = "  " * _depth(event.parent_id, depth)
            lines.append(f"{(event.timestamp - began).total_seconds():9.3f} s  {indent}{event}")
        return "\n".join(lines)


def _depth(parent: str | None, parents: Mapping[str, str | None]) -> int:
    depth = 0
    # The bound holds even if a damaged history names an operation its own ancestor.
    while parent is not None and depth < 32:
        depth += 1
        parent = parents.get(parent)
    return depth
