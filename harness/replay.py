"""Determinism: run a function's handler against the history of an execution, and see that nothing differs.

A durable function runs again from the top after every wait and retry, and what it recorded is given back by position.
So its code must ask for the same operations in the same order every time. `check_replay` proves that for an execution
that has ended: the handler, from its source, is given the recorded results; it must come to the same end, ask for every
recorded operation, and for no other.
https://docs.aws.amazon.com/lambda/latest/dg/durable-best-practices.html

The handler runs in a process of its own, without credentials and without a network. Bodies of steps don't run in the
comparison.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness._replay.recording import Recording, UnreplayableError, record
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.durable import Execution, History

__all__ = ["ReplayError", "ReplayReport", "Site", "check_replay", "replay"]

TIMEOUT_SECONDS = 120.0
"""What all replays of one function may take, its import included."""

Arcs = Mapping[str, frozenset[tuple[int, int]]]
"""By file, relative to the function's folder: pairs of lines that ran one after the other; -1 is a function's end, -2 a
place where an exception was raised."""

# Of this process's environment, what an interpreter needs; no credentials, no profile.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


class ReplayError(HarnessError):
    """The replay itself couldn't be done."""


@dataclass(frozen=True, order=True)
class Site:
    """A call of a durable operation in the function's code, as a replay saw it.

    Attributes:
        file: Relative to the function's folder.
        line: From 1.
        method: ``step``, ``wait``, ...
        name: The operation's name, or None.
    """

    file: str
    line: int
    method: str
    name: str | None = field(compare=False, default=None)


@dataclass(frozen=True)
class ReplayReport:
    """How one execution's replay went.

    Attributes:
        execution: The execution's name.
        arn: Its ARN.
        operations: How many operations its history has.
        problems: What differs, the first difference first; empty if nothing does.
        skipped: Why it couldn't be replayed, or None.
        sites: The calls of operations that it came by.
        arcs: What ran of the function's own code outside of steps.
        step_arcs: What ran of the bodies of steps, in attempts that ended as recorded.
    """

    execution: str
    arn: str
    operations: int
    problems: tuple[str, ...] = ()
    skipped: str | None = None
    sites: frozenset[Site] = frozenset()
    arcs: Arcs = field(default_factory=dict, repr=False)
    step_arcs: Arcs = field(default_factory=dict, repr=False)

    @property
    def same(self) -> bool:
        """Whether it was replayed and nothing differs."""
        return self.skipped is None and not self.problems

    def raise_if_different(self) -> None:
        """Raise what differs.

        Raises:
            AssertionError: The first difference, and how many follow.
        """
        if self.skipped is not None:
            raise AssertionError(f"{self.execution} can't be replayed: {self.skipped}")
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            raise AssertionError(
                f"the handler is not deterministic: replaying {self.execution}, {self.problems[0]}{more}. "
                "Put what may change from run to run (time, random numbers, ids, I/O) into a step."
            )


def check_replay(
    function_dir: Path | str,
    handler: str,
    execution: Execution,
    history: History,
    *,
    environment: Mapping[str, str] | None = None,
) -> ReplayReport:
    """Replay one execution and compare.

    Args:
        function_dir: The function's folder.
        handler: As Lambda has it: ``module.function``.
        execution: The execution, ended, with its data.
        history: All its events, with their data.
        environment: The function's environment variables.

    Raises:
        AssertionError: Something differs; the message names the first operation that does.
        ReplayError: The function can't be imported or the SDK isn't there.
    """
    (report,) = replay(function_dir, handler, [(execution, history)], environment=environment)
    report.raise_if_different()
    return report


def replay(
    function_dir: Path | str,
    handler: str,
    executions: Iterable[tuple[Execution, History]],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> list[ReplayReport]:
    """Replay executions of one function, all in one process, and report on each.

    Args:
        function_dir: The function's folder.
        handler: As Lambda has it: ``module.function``.
        executions: Executions with their data, and their histories.
        environment: The function's environment variables.
        timeout: Seconds that it may take.

    Raises:
        ReplayError: The function can't be imported, the SDK isn't there, or time is up.
    """
    return replay_with_rules(function_dir, handler, executions, (), environment=environment, timeout=timeout)[0]


def replay_with_rules(
    function_dir: Path | str,
    handler: str,
    executions: Iterable[tuple[Execution, History]],
    sites: Sequence[Mapping[str, Any]],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> tuple[list[ReplayReport], list[Mapping[str, Any]]]:
    """As `replay`; also what the retry strategies at these calls do, see `harness._paths.evidence`."""
    root = Path(function_dir).resolve()
    recordings: list[Recording] = []
    reports: dict[str, ReplayReport] = {}
    for execution, history in executions:
        try:
            recording = record(execution, history)
        except UnreplayableError as error:
            reports[execution.arn] = ReplayReport(
                execution.name, execution.arn, len(history.operations()), skipped=str(error)
            )
            continue
        recordings.append(recording)
        reports[execution.arn] = ReplayReport(execution.name, execution.arn, recording.operations)
    request = {
        "root": str(root),
        "handler": handler,
        "environment": dict(environment or {}),
        "recordings": [recording.message for recording in recordings],
        "sites": list(sites),
    }
    answer = _ask_worker(request, root, timeout) if recordings or sites else {"replays": [], "rules": []}
    for recording, replayed in zip(recordings, answer["replays"], strict=True):
        reports[recording.arn] = ReplayReport(
            recording.name,
            recording.arn,
            recording.operations,
            problems=tuple(replayed["problems"]),
            sites=frozenset(Site(*site) for site in replayed["sites"]),
            arcs=_arcs(replayed["arcs"]),
            step_arcs=_arcs(replayed["step_arcs"]),
        )
    return list(reports.values()), answer["rules"]


def _arcs(found: Mapping[str, Iterable[Sequence[int]]]) -> Arcs:
    return {name: frozenset((arc[0], arc[1]) for arc in arcs) for name, arcs in found.items()}


def _environment() -> dict[str, str]:
    package = Path(__file__).resolve().parent.parent
    return {
        **{key: os.environ[key] for key in _INHERITED if key in os.environ},
        "PYTHONPATH": str(package),
        "PYTHONDONTWRITEBYTECODE": "1",
        # A step that makes a client, makes one that can't reach anything.
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _ask_worker(request: Mapping[str, Any], root: Path, timeout: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "harness._replay.worker"]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
            cwd=root,
            start_new_session=True,
        ) as process,
    ):
        timer = threading.Timer(timeout, _kill, [process])
        timer.start()
        try:
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            # The pipe stays open until the answer is there: its end tells the worker that its owner is gone.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
            line = process.stdout.readline()
        finally:
            timer.cancel()
            _kill(process)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    where = f"{root}, handler {request['handler']}"
    if not line:
        raise ReplayError(
            f"The replay ended without an answer, or took more than {timeout:g} s"
            + (f": {said[-500:]}" if said else ""),
            where=where,
            hint="code outside of steps that takes long or ends the process isn't deterministic either",
        )
    answer: dict[str, Any] = json.loads(line)
    if "failed" in answer:
        raise ReplayError(
            f"The function can't be replayed: {answer['failed']}",
            where=where,
            hint="its requirements, aws-durable-execution-sdk-python among them, must be installed here",
        )
    return answer


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
