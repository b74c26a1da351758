"""Typed events: what the harness does, as it does it.

Progress output and reports subscribe to an `EventBus`; nothing in the harness prints by itself. Events are frozen
values that carry no secrets: no variables, no sensitive outputs, no payloads.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        at: When, in UTC.
    """

    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, kw_only=True)
class WorkspaceEvent(Event):
    """Something that happened to one workspace.

    Attributes:
        workspace: The workspace's unique name.
        example: The name of the deployed directory.
    """

    workspace: str
    example: str


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(WorkspaceEvent):
    """A phase of a workspace's life began."""

    phase: Literal["package", "stage", "init", "apply", "destroy", "verify"]


@dataclass(frozen=True, kw_only=True)
class PhaseFinished(WorkspaceEvent):
    """A phase ended.

    Attributes:
        seconds: Wall-clock time that it took.
        ok: Whether it succeeded.
    """

    phase: Literal["package", "stage", "init", "apply", "destroy", "verify"]
    seconds: float
    ok: bool


@dataclass(frozen=True, kw_only=True)
class ResourceProgress(WorkspaceEvent):
    """Terraform reported on one resource.

    Attributes:
        address: The resource's address, such as ``module.function.aws_lambda_function.this``.
        action: What Terraform does to it: ``create``, ``update``, ``delete``, ``read``, ``replace``.
        status: Where it is in doing so.
        seconds: Elapsed time that Terraform reports, in whole seconds.
    """

    address: str
    action: str
    status: Literal["started", "progress", "complete", "errored"]
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DiagnosticReported(WorkspaceEvent):
    """Terraform reported an error or a warning, redacted.

    Attributes:
        severity: ``error`` or ``warning``.
        summary: Terraform's one-line summary.
        detail: Its longer text.
        address: The resource's address, if there is one.
        location: ``file:line`` in the staged copy, if there is one.
    """

    severity: Literal["error", "warning"]
    summary: str
    detail: str = ""
    address: str | None = None
    location: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExecutionEvent(Event):
    """Something that happened to one durable execution.

    Attributes:
        function_name: The function that runs it.
        execution_name: The name it was started with.
    """

    function_name: str
    execution_name: str


@dataclass(frozen=True, kw_only=True)
class ExecutionStarted(ExecutionEvent):
    """An execution was started by the harness."""

    arn: str


@dataclass(frozen=True, kw_only=True)
class ExecutionPolled(ExecutionEvent):
    """A poll saw this status."""

    status: str


@dataclass(frozen=True, kw_only=True)
class ExecutionFinished(ExecutionEvent):
    """A poll saw a terminal status.

    Attributes:
        status: SUCCEEDED, FAILED, TIMED_OUT or STOPPED.
        seconds: From its start to its end, as the service reports them.
    """

    arn: str
    status: str
    seconds: float


class EventBus:
    """Hands every published event to every subscriber, in the publisher's thread.

    A subscriber that raises is logged and never disturbs the publisher or the other subscribers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: list[Callable[[Event], None]] = []

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Add a subscriber and return the function that removes it again."""
        with self._lock:
            self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Hand ``event`` to every subscriber."""
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            try:
                subscriber(event)
            except Exception:  # noqa: BLE001 - whatever a subscriber raises is its own affair
                _log.exception("An event subscriber failed on %s", type(event).__name__)
