"""What the pytest plugin prints: what will be created, what happens to workspaces, where the time went."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from harness.events import Event, ExecutionFinished, PhaseFinished
from harness.infra import DestroyReport
from harness.session import SessionReport
from harness.targets import Target
from harness.terraform.stage import reach


class Reporter:
    """Prints through pytest's terminal reporter, so that captured output and ``-q`` are respected."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._phases: dict[str, dict[str, float]] = defaultdict(dict)
        self._executions: Counter[str] = Counter()

    def _write(self, line: str, **markup: bool) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and terminal.verbosity >= 0:
            terminal.write_line(line, **markup)

    def _insist(self, line: str) -> None:
        """Print a line that ``-q`` must not hide, nor pytest-xdist, whose workers have no terminal reporter."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal.write_line(line, bold=True)
            return
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        with contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled():
            # Workers speak to xdist through their standard output; standard error is the user's.
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def announce(self, target: Target, example_dirs: tuple[Path, ...]) -> None:
        """Say where and what, before anything is created."""
        if target.kind == "local":
            self._write(f"harness: local cloud at {target.endpoint_url} ({target.region}, time x{target.time_scale:g})")
            if target.conditions:
                self._write(f"harness: {target.conditions}", bold=True)
            return
        self._insist(f"harness: AWS account {target.account_id}, region {target.region}; about to create")
        for directory in example_dirs:
            counts = Counter(kind for module in reach(directory).values() for kind in module.resources)
            listing = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            self._insist(f"harness:   {directory.name}: {listing}")

    def on_event(self, event: Event) -> None:
        """Keep what the summary needs."""
        with self._lock:
            if isinstance(event, PhaseFinished):
                phases = self._phases[event.example]
                phases[event.phase] = phases.get(event.phase, 0.0) + event.seconds
            elif isinstance(event, ExecutionFinished):
                self._executions[event.status] += 1

    def summary(self, report: SessionReport) -> None:
        """Print the session's closing lines."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        terminal.section("durable harness", sep="-")
        order = ("package", "stage", "init", "apply", "destroy", "verify")
        for example, phases in sorted(self._phases.items()):
            spent = "  ".join(f"{phase} {phases[phase]:.1f}s" for phase in order if phase in phases)
            terminal.write_line(f"{example:<24} {spent}")
        if self._executions:
            counts = ", ".join(f"{count} {status}" for status, count in sorted(self._executions.items()))
            terminal.write_line(f"executions: {counts}")
        if report.conditions:
            # Here too: with -q the announcement isn't printed, and the seed gives the same faults again.
            terminal.write_line(report.conditions)
        if report.faults:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(report.faults.items()))
            terminal.write_line(f"injected: {counts}")
        for deployment in report.kept:
            name = deployment.workspace.name
            terminal.write_line(f"kept: {name}; remove it with: python -m harness.infra destroy {name}")
        for line in problems(report):
            terminal.write_line(line, red=True, bold=True)
        if report.clean and not report.kept:
            terminal.write_line("nothing is left behind")


def problems(report: SessionReport) -> list[str]:
    """What a session left behind, each with the command that finishes the job."""
    lines = []
    for destroyed in report.destroyed:
        if not destroyed.clean:
            lines.append(f"LEFT BEHIND by {destroyed.workspace}: {destroyed.what_is_left}")
            lines.append(f"  finish with: {destroyed.command}")
    for workspace, error in report.failures:
        lines.append(f"NOT DESTROYED: {workspace}: {error}")
        lines.append(f"  finish with: {DestroyReport(workspace, '').command}")
    return lines
