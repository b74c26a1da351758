"""Which paths of a source the executions of a run reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness._paths.source import Arm, Call, Catch, Named, SourcePaths

if TYPE_CHECKING:
    from harness._paths.modules import Module
    from harness.durable import History
    from harness.replay import ReplayReport

# botocore makes these classes at run time, one per client and error code; all are ClientErrors.
_CLIENT_ERROR = "botocore.exceptions.ClientError"
_MODELED_ERRORS = "botocore.errorfactory."


@dataclass(frozen=True)
class Path:
    """One path of a function's source.

    Attributes:
        kind: ``operation``, ``retry``, ``exhausted``, ``catch`` or ``branch``.
        label: What it is, such as a step's name.
        file: Relative to the function's folder.
        line: From 1.
        executions: How many executions of the run reached it.
        opt_out: What a comment in the source says about why none has to; None without one.
    """

    kind: str
    label: str
    file: str
    line: int
    executions: int
    opt_out: str | None = None

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"

    @property
    def dead(self) -> bool:
        """Whether no execution reached it and no comment says why."""
        return self.executions == 0 and self.opt_out is None


@dataclass(frozen=True)
class Seen:
    """One execution, as far as it is evidence."""

    history: History
    replay: ReplayReport | None


def rule_requests(paths: SourcePaths) -> list[dict[str, Any]]:
    """The calls whose retry strategies a replay's worker should look at."""
    return [
        {
            "file": call.module.file,
            "line": call.line,
            "end_line": call.end_line,
            "names": [
                {"module": r.module, "dotted": r.dotted, "file": r.file, "line": r.line} for r in call.references
            ],
        }
        for call in paths.calls
    ]


def weigh(
    paths: SourcePaths, modules: Mapping[str, Module], rules: Sequence[Mapping[str, Any]], seen: Sequence[Seen]
) -> tuple[Path, ...]:
    """Count, for every path, the executions that reached it.

    Args:
        paths: The source's.
        modules: The source's modules by file.
        rules: The worker's answer to `rule_requests`.
        seen: The executions.
    """
    found: list[Path] = []
    for call, rule in zip(paths.calls, rules, strict=True):
        executions = sum(_called(call, execution) for execution in seen)
        found.append(_path("operation", call.label, call.module, call.line, executions))
        found.extend(_retries(call, rule, seen, modules))
    for named in paths.named:
        executions = sum(_is_named(named, execution) for execution in seen)
        found.append(_path("operation", named.label, named.module, named.line, executions))
    for catch in paths.catches:
        executions = sum(_caught(catch, execution) for execution in seen)
        found.append(_path("catch", catch.label, catch.module, catch.line, executions))
    for arm in paths.arms:
        executions = sum(_went(arm, execution) for execution in seen)
        found.append(_path("branch", arm.label, arm.module, arm.line, executions))
    return tuple(dict.fromkeys(found))


def _path(kind: str, label: str, module: Module, line: int, executions: int) -> Path:
    opt_out = module.opt_out(line)
    return Path(
        kind, label, module.file, line, executions, None if opt_out is None else f"{opt_out.kind}: {opt_out.reason}"
    )


def _called(call: Call, execution: Seen) -> bool:
    if execution.replay is None or execution.replay.skipped is not None:
        # Without a replay, the name is all there is.
        return call.name is not None and bool(execution.history.operations(name=call.name))
    return any(
        site.file == call.module.file and call.line <= site.line <= call.end_line and site.method == call.method
        for site in execution.replay.sites
    )


def _is_named(named: Named, execution: Seen) -> bool:
    if named.name is not None:
        return bool(execution.history.operations(name=named.name))
    return execution.replay is not None and _runs(execution.replay.arcs, named.module, (named.line, named.line))


def _caught(catch: Catch, execution: Seen) -> bool:
    replayed = execution.replay
    return replayed is not None and (
        _runs(replayed.arcs, catch.module, catch.body) or _runs(replayed.step_arcs, catch.module, catch.body)
    )


def _runs(arcs: Mapping[str, Iterable[tuple[int, int]]], module: Module, lines: tuple[int, int]) -> bool:
    return any(lines[0] <= line <= lines[1] for _, line in arcs.get(module.file, ()))


def _went(arm: Arm, execution: Seen) -> bool:
    if execution.replay is None:
        return False

    def within(line: int, span: tuple[int, int]) -> bool:
        return span[0] <= line <= span[1]

    arcs = execution.replay.arcs.get(arm.module.file, frozenset())
    if not arm.label.startswith("if "):
        return any(within(line, arm.body) for _, line in arcs)
    return any(
        within(before, arm.test)
        and (within(after, arm.body) if arm.taken else not within(after, arm.body) and not within(after, arm.test))
        for before, after in arcs
    )


def _retries(
    call: Call, rule: Mapping[str, Any], seen: Sequence[Seen], modules: Mapping[str, Module]
) -> Iterable[Path]:
    errors = list(rule["errors"])
    if not errors and rule["any"] and call.references:
        # A strategy that takes any error: which one it is doesn't matter.
        place = {"file": call.module.file, "line": call.line, "dotted": "any error"}
        errors = [{**place, "types": None, "finite": rule["finite"]}]
    names: set[str | None] = {call.name} if call.name is not None else _observed_names(call, seen)
    for error in errors:
        attempts = [_attempts(execution.history, names, error["types"]) for execution in seen]
        label = f"{call.label} on {error['dotted'].rpartition('.')[2]}"
        retried = sum(retried for retried, _ in attempts)
        exhausted = sum(exhausted for _, exhausted in attempts)
        # The rule's own line is where a reader looks, and where an opt-out stands; it may be in another file.
        module = modules.get(error["file"], call.module)
        yield _path("retry", label, module, error["line"], retried)
        if error["finite"]:
            yield _path("exhausted", label, module, error["line"], exhausted)


def _observed_names(call: Call, seen: Sequence[Seen]) -> set[str | None]:
    return {
        site.name
        for execution in seen
        if execution.replay is not None
        for site in execution.replay.sites
        if site.file == call.module.file and call.line <= site.line <= call.end_line
    }


def _attempts(history: History, names: set[str | None], types: Sequence[str] | None) -> tuple[bool, bool]:
    """Whether a step of these names was retried on an error of these types, and whether it gave up on one."""
    retried = exhausted = False
    for step in history.operations(kind="Step"):
        # The step inside a wait_for_callback has the callback's name and more.
        if step.name not in names and (step.name or "").removesuffix(" submitter") not in names:
            continue
        if step.sub_type == "WaitForCondition":
            continue
        for attempt in step.attempts:
            if attempt.error is None or not _matches(attempt.error.type, types):
                continue
            if attempt.next_delay is not None:
                retried = True
            elif attempt.number > 1:
                exhausted = True
    return retried, exhausted


def _matches(recorded: str | None, types: Sequence[str] | None) -> bool:
    if types is None or recorded in types:
        return True
    return _CLIENT_ERROR in types and (recorded or "").startswith(_MODELED_ERRORS)
