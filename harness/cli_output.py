"""What the command line prints: tables or JSON on standard output, everything else on standard error."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.duration import parse_duration
from harness.events import DiagnosticReported, Event, PhaseFinished, ResourceProgress

OK, FAILED, USAGE, OWNED, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass
class Output:
    """Where a command writes.

    Args:
        as_json: Results as JSON, not as tables.
        out: For results.
        err: For progress and complaints.
    """

    as_json: bool
    out: Console
    err: Console

    def data(self, value: Any, table: Callable[[], Table | str]) -> None:
        """Print a result."""
        if self.as_json:
            self.out.file.write(json.dumps(value, indent=2, default=str) + "\n")
        else:
            self.out.print(table(), soft_wrap=True, markup=False, highlight=False)

    def say(self, text: str) -> None:
        """Print what isn't a result."""
        self.err.print(text, soft_wrap=True, markup=False, highlight=False)

    def progress(self, event: Event) -> None:
        """Say what an event tells."""
        match event:
            case ResourceProgress(status="complete" | "errored"):
                self.say(f"{event.workspace}: {event.action} {event.address} {event.status}")
            case DiagnosticReported(severity="error"):
                self.say(f"{event.workspace}: error: {event.summary} {event.address or ''}")
            case PhaseFinished():
                self.say(
                    f"{event.workspace}: {event.phase} {'done' if event.ok else 'failed'} in {event.seconds:.1f} s"
                )
            case _:
                pass


Command = Callable[[argparse.Namespace, Output], int]
"""Runs one command and returns its exit code."""


def duration(text: str) -> timedelta:
    """An argument such as ``12h``."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def shown(outputs: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    """Terraform's outputs, without the values that are hidden."""
    return {name: "(sensitive)" if name in hidden else value for name, value in sorted(outputs.items())}


def pairs(values: Mapping[str, Any]) -> Table:
    """A table of names and values."""
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value))
    return table
