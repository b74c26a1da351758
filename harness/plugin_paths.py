"""The check of paths and of determinism at the end of a test run: collects histories, examines, prints, judges.

An example is judged when all tests of its modules were selected, ran and passed: only then is a path that nothing
reached a path that no test reaches.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.durable import DurableFunction, Execution, History
from harness.paths import PathReport, examine
from harness.waiters import THROTTLE, call

if TYPE_CHECKING:
    from harness.infra import Deployment

Mode = Literal["check", "report", "off"]

MOST_EXECUTIONS = 1000
"""How many executions of a function are looked at, the newest first."""

# Few enough not to be throttled, enough that a hundred histories don't hold up the destroy.
_READERS = 4


@dataclass
class _Tests:
    """How an example's tests went."""

    selected: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    deselected: int = 0
    narrowed: str | None = None
    nothing: str | None = None

    def why_incomplete(self, *, so_far: bool = False) -> str | None:
        """Why the run says nothing about what tests don't reach; None when it does."""
        if self.nothing is not None:
            return self.nothing
        if self.narrowed is not None:
            return f"only a part of {self.narrowed} was selected"
        if self.deselected:
            return f"{_tests(self.deselected)} deselected"
        if self.failed:
            return f"{_tests(len(self.failed))} failed"
        if self.skipped:
            return f"{_tests(len(self.skipped))} skipped"
        missing = len(self.selected - self.passed)
        return f"{_tests(missing)} not run" if missing and not so_far else None


def _tests(count: int) -> str:
    return f"{count} test{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Verdict:
    """What came of one example.

    Attributes:
        example: Its name.
        report: What its executions reached; None when they weren't examined.
        why_not: Why it isn't judged; None when it is.
        error: Why it couldn't be examined although it should have been.
        failing: Whether it fails the session.
        seconds: What reading the histories and examining them took.
    """

    example: str
    report: PathReport | None = None
    why_not: str | None = None
    error: str | None = None
    failing: bool = False
    seconds: float = 0.0


class PathChecks:
    """One test run's checks. Deployments may be handed to it by several threads.

    Args:
        mode: ``check`` fails the run for what is wrong, ``report`` only prints it.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self._lock = threading.Lock()
        self._tests: dict[Path, _Tests] = {}
        self._examined: dict[Path, Future[tuple[PathReport, float]]] = {}
        # One at a time: tests of other examples still run beside it.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="harness-paths")

    def _of(self, example_dir: Path) -> _Tests:
        return self._tests.setdefault(example_dir.resolve(), _Tests())

    def selected(self, example_dir: Path, nodeid: str) -> None:
        """A test is going to run."""
        with self._lock:
            self._of(example_dir).selected.add(nodeid)

    def deselected(self, example_dir: Path) -> None:
        """A test isn't going to run."""
        with self._lock:
            self._of(example_dir).deselected += 1

    def narrowed(self, example_dir: Path, module: str) -> None:
        """Of a module, only some tests were named on the command line."""
        with self._lock:
            self._of(example_dir).narrowed = module

    def outcome(self, example_dir: Path, nodeid: str, outcome: str, *, is_call: bool) -> None:
        """A phase of a test ended: ``passed``, ``failed`` or ``skipped``."""
        with self._lock:
            tests = self._of(example_dir)
            if outcome == "failed":
                tests.failed.add(nodeid)
            elif outcome == "skipped":
                tests.skipped.add(nodeid)
            elif is_call:
                tests.passed.add(nodeid)

    def collect(self, deployment: Deployment) -> None:
        """Read what a deployment's executions did, while it still stands, and examine it in the background."""
        example_dir = deployment.workspace.example_dir.resolve()
        function_dir = example_dir / "function"
        with self._lock:
            tests = self._of(example_dir)
            if "function_name" not in deployment.outputs or not any(function_dir.glob("*.py")):
                tests.nothing = "it has no output function_name, or no Python in its folder function/"
            if tests.why_incomplete(so_far=True) is not None or example_dir in self._examined:
                return
            examined: Future[tuple[PathReport, float]] = Future()
            self._examined[example_dir] = examined
        try:
            began = time.perf_counter()
            known = _Known.read(deployment)
            reading = time.perf_counter() - began
        except BaseException as error:  # noqa: BLE001 - reported with the example; it must not hold up the destroy
            examined.set_exception(error)
            return
        self._pool.submit(_examine, examined, function_dir, known, reading)

    def finish(self) -> list[Verdict]:
        """Wait for what is still being examined, and judge."""
        self._pool.shutdown(wait=True)
        with self._lock:
            return [self._judge(directory, tests) for directory, tests in sorted(self._tests.items())]

    def _judge(self, example_dir: Path, tests: _Tests) -> Verdict:
        example = example_dir.name
        why_not = tests.why_incomplete()
        if why_not is not None:
            return Verdict(example, why_not=why_not)
        examined = self._examined.get(example_dir)
        if examined is None or not examined.done():
            return Verdict(example, why_not="its executions weren't read")
        strict = self.mode == "check"
        error = examined.exception()
        if error is not None:
            return Verdict(example, error=str(error) or type(error).__name__, failing=strict)
        report, seconds = examined.result()
        return Verdict(example, report=report, failing=strict and not report.passed, seconds=seconds)


@dataclass(frozen=True)
class _Known:
    """What an examination needs, after the deployment is gone."""

    handler: str
    environment: dict[str, str] = field(repr=False)
    executions: list[tuple[Execution, History]]

    @classmethod
    def read(cls, deployment: Deployment) -> _Known:
        lambda_client = deployment.target.client("lambda")
        durable = deployment.function(lambda_client, deployment.target.client("logs"))
        configuration = call(
            lambda: lambda_client.get_function_configuration(
                FunctionName=durable.function_name, Qualifier=durable.alias or "$LATEST"
            ),
            policy=deployment.target.policy(THROTTLE),
            what=f"the configuration of {durable.function_name}",
        )
        ended = [execution for execution in durable.executions()[:MOST_EXECUTIONS] if execution.is_terminal]
        with ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="harness-histories") as readers:
            executions = list(readers.map(lambda execution: _read(durable, execution), ended))
        variables = configuration.get("Environment", {}).get("Variables", {})
        return cls(configuration["Handler"], dict(variables), executions)


def _read(durable: DurableFunction, execution: Execution) -> tuple[Execution, History]:
    history = durable.history(execution.arn)
    # The history has the execution's own data, too: one call for each execution rather than two.
    ends = [event for event in history if event.kind == "Execution"]

    def payload(key: str) -> str | None:
        return next((e.details[key].get("Payload") for e in ends if e.details.get(key)), None)

    error = next((event.error for event in ends if event.error is not None), None)
    return replace(execution, raw_input=payload("Input"), raw_result=payload("Result"), error=error), history


def _examine(examined: Future[tuple[PathReport, float]], function_dir: Path, known: _Known, reading: float) -> None:
    began = time.perf_counter()
    try:
        report = examine(function_dir, known.handler, known.executions, environment=known.environment)
    except BaseException as error:  # noqa: BLE001 - it is the future's
        examined.set_exception(error)
    else:
        examined.set_result((report, reading + time.perf_counter() - began))


def write(terminal: Any, verdicts: Iterable[Verdict]) -> None:
    """Print the tables through pytest's terminal reporter."""
    verdicts = list(verdicts)
    if not verdicts:
        return
    terminal.section("durable paths", sep="-")
    for verdict in verdicts:
        if verdict.why_not is not None:
            terminal.write_line(f"{verdict.example}: paths not checked: {verdict.why_not}")
        elif verdict.error is not None:
            terminal.write_line(f"{verdict.example}: PATHS CAN'T BE CHECKED: {verdict.error}", red=True, bold=True)
        elif verdict.report is not None:
            _write_report(terminal, verdict, verdict.report)


def _write_report(terminal: Any, verdict: Verdict, report: PathReport) -> None:
    terminal.write_line(f"{verdict.example}: {report.summary()} ({verdict.seconds:.1f} s)", bold=True)
    for line in report.table().splitlines():
        terminal.write_line(f"  {line}", red=line.endswith("DEAD"))
    for skipped in report.skipped:
        terminal.write_line(f"  not replayed: {skipped.execution}: {skipped.skipped}")
    for problem in report.problems():
        terminal.write_line(f"  {problem}", red=True, bold=True)
