"""Coverage of paths: is every operation, retry, catch and branch of a durable function reached by some execution?

A suite can be green while every recovery path is dead: a catch that names the wrong error type, a retry that no test
runs into. `examine` compares a function's source with what the executions of a test run did, by their histories, on
AWS as on the local cloud. docs/paths.md says what counts as evidence for what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from harness._paths.evidence import Path, Seen, rule_requests, weigh
from harness._paths.modules import Sources
from harness._paths.source import find_paths
from harness.replay import TIMEOUT_SECONDS, ReplayReport, replay_with_rules

if TYPE_CHECKING:
    from harness.durable import Execution, History

__all__ = ["Path", "PathReport", "examine"]


@dataclass(frozen=True)
class PathReport:
    """What a run's executions reached of a function's source.

    Attributes:
        paths: Every path of the source, by kind, file and line.
        replays: How each execution's replay went.
    """

    paths: tuple[Path, ...]
    replays: tuple[ReplayReport, ...]

    @property
    def dead(self) -> tuple[Path, ...]:
        """The paths that no execution reached and no comment excuses."""
        return tuple(path for path in self.paths if path.dead)

    @property
    def different(self) -> tuple[ReplayReport, ...]:
        """The replays that came to something else than the history."""
        return tuple(report for report in self.replays if report.problems)

    @property
    def skipped(self) -> tuple[ReplayReport, ...]:
        """The executions that couldn't be replayed."""
        return tuple(report for report in self.replays if report.skipped is not None)

    @property
    def passed(self) -> bool:
        """Whether no path is dead and every replay came to the same."""
        return not self.dead and not self.different

    def table(self) -> str:
        """The paths as a table: kind, what, where, and how many executions reached it."""
        rows = [("path", "what", "where", "executions")]
        for path in self.paths:
            count = str(path.executions)
            if path.dead:
                count = "DEAD"
            elif path.opt_out is not None:
                count = f"{path.executions} ({path.opt_out})"
            rows.append((path.kind, path.label, path.where, count))
        widths = [max(len(row[index]) for row in rows) for index in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip()
            for row in rows
        )

    def summary(self) -> str:
        """One line: how many paths were reached, how many executions replayed."""
        reached = sum(path.executions > 0 for path in self.paths)
        excused = sum(path.executions == 0 and not path.dead for path in self.paths)
        replayed = [report for report in self.replays if report.skipped is None]
        same = sum(report.same for report in replayed)
        parts = [f"{reached} of {len(self.paths)} paths reached"]
        if excused:
            parts.append(f"{excused} excused")
        if self.dead:
            parts.append(f"{len(self.dead)} DEAD")
        parts.append(f"replayed {len(replayed)} of {len(self.replays)} executions, {same} with the same operations")
        return "; ".join(parts)

    def problems(self) -> list[str]:
        """What is wrong, a line each: dead paths, and replays that differ."""
        lines = [f"dead path: {path.kind} {path.label} ({path.where})" for path in self.dead]
        lines += [f"not deterministic: {report.execution}: {report.problems[0]}" for report in self.different]
        return lines


def examine(
    function_dir: FilePath | str,
    handler: str,
    executions: Iterable[tuple[Execution, History]],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> PathReport:
    """Compare a function's source with what its executions did.

    Every execution that has ended is replayed against its history, see `harness.replay`, which shows which lines
    between the operations ran; the histories themselves show attempts and their errors.

    Args:
        function_dir: The function's folder.
        handler: As Lambda has it: ``module.function``.
        executions: The executions of the run, with their data and their histories.
        environment: The function's environment variables.
        timeout: Seconds that the replays may take.

    Raises:
        ConfigurationError: The source can't be read, or an opt-out comment in it has no reason.
        ReplayError: The function can't be imported, the SDK isn't there, or time is up.
    """
    root = FilePath(function_dir).resolve()
    sources = Sources(root)
    paths = find_paths(sources)
    known = list(executions)
    reports, rules = replay_with_rules(
        root, handler, known, rule_requests(paths), environment=environment, timeout=timeout
    )
    by_arn = {report.arn: report for report in reports}
    seen = [Seen(history, by_arn[execution.arn]) for execution, history in known]
    modules = {module.file: module for module in sources.modules.values()}
    return PathReport(weigh(paths, modules, rules, seen), tuple(reports))
