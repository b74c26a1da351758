"""Terraform's machine-readable output (``-json``), as the harness's events.

https://developer.hashicorp.com/terraform/internals/machine-readable-ui
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.events import DiagnosticReported, EventBus, ResourceProgress
from harness.terraform.redact import Redactor

_STATUS: dict[str, Literal["started", "progress", "complete", "errored"]] = {
    "apply_start": "started",
    "apply_progress": "progress",
    "apply_complete": "complete",
    "apply_errored": "errored",
}


@dataclass(frozen=True)
class Diagnostic:
    """An error or a warning of Terraform's, redacted.

    Attributes:
        severity: Which of the two.
        summary: One line.
        detail: The longer text, may be empty.
        address: The resource's address, if there is one.
        location: ``file:line``, if there is one.
    """

    severity: Literal["error", "warning"]
    summary: str
    detail: str = ""
    address: str | None = None
    location: str | None = None

    def __str__(self) -> str:
        """The diagnostic as one paragraph: where, summary, detail."""
        place = ", ".join(part for part in (self.address, self.location) if part)
        detail = " ".join(self.detail.split())
        text = f"{self.summary}: {detail}" if detail else self.summary
        return f"{text} [{place}]" if place else text


class UiReader:
    """Takes the lines of one command's output, publishes events, and keeps the diagnostics.

    Args:
        bus: Where events go.
        workspace: The workspace's name, for the events.
        example: The example's name, for the events.
        redact: Cleans every text before it leaves.
    """

    def __init__(self, bus: EventBus, workspace: str, example: str, redact: Redactor) -> None:
        self._bus = bus
        self._workspace = workspace
        self._example = example
        self._redact = redact
        self.diagnostics: list[Diagnostic] = []

    @property
    def errors(self) -> list[Diagnostic]:
        """The errors among the diagnostics, in the order they were reported."""
        return [diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error"]

    def line(self, text: str) -> None:
        """Take one line; what isn't a message of Terraform's is passed over."""
        try:
            message = json.loads(text)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        kind = message.get("type")
        if kind in _STATUS:
            self._progress(_STATUS[kind], message.get("hook") or {})
        elif kind == "diagnostic":
            self._diagnostic(message.get("diagnostic") or {})

    def _progress(self, status: Literal["started", "progress", "complete", "errored"], hook: Mapping[str, Any]) -> None:
        self._bus.publish(
            ResourceProgress(
                workspace=self._workspace,
                example=self._example,
                address=self._redact(str((hook.get("resource") or {}).get("addr", ""))),
                action=str(hook.get("action", "")),
                status=status,
                seconds=float(hook.get("elapsed_seconds") or 0.0),
            )
        )

    def _diagnostic(self, fields: Mapping[str, Any]) -> None:
        place = fields.get("range") or {}
        line = (place.get("start") or {}).get("line")
        # The snippet is left out: it quotes values.
        diagnostic = Diagnostic(
            severity="error" if fields.get("severity") == "error" else "warning",
            summary=self._redact(str(fields.get("summary", ""))),
            detail=self._redact(str(fields.get("detail", ""))),
            address=fields.get("address"),
            location=f"{place['filename']}:{line}" if place.get("filename") and line else place.get("filename"),
        )
        self.diagnostics.append(diagnostic)
        self._bus.publish(
            DiagnosticReported(
                workspace=self._workspace,
                example=self._example,
                severity=diagnostic.severity,
                summary=diagnostic.summary,
                detail=diagnostic.detail,
                address=diagnostic.address,
                location=diagnostic.location,
            )
        )
