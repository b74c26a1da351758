"""Drives AWS's SDK through one recorded execution; runs in the worker's process only.

The SDK has no replay of its own that could be asked, so its handler is called as Lambda calls it, with a service
client that knows the record and takes nothing new. A few of the SDK's internals are wrapped to see what is asked for
before the SDK acts on it; `Engine` checks at the start that they are there.
"""

from __future__ import annotations

import inspect
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aws_durable_execution_sdk_python.context as sdk_context
import aws_durable_execution_sdk_python.execution as sdk_execution
import aws_durable_execution_sdk_python.state as sdk_state
from aws_durable_execution_sdk_python.exceptions import NonDeterministicExecutionError, SuspendExecution
from aws_durable_execution_sdk_python.identifier import OperationIdentifier
from aws_durable_execution_sdk_python.lambda_service import (
    CheckpointOutput,
    CheckpointUpdatedExecutionState,
    ContextDetails,
    Operation,
    OperationAction,
    OperationStatus,
    OperationType,
    OperationUpdate,
    StateOutput,
)
from aws_durable_execution_sdk_python.operation.step import StepOperationExecutor
from aws_durable_execution_sdk_python.operation.wait_for_condition import WaitForConditionOperationExecutor
from aws_durable_execution_sdk_python.types import StepContext, WaitForConditionCheckContext

from harness._replay.steps import EffectError, EffectGuard, Rerun
from harness._replay.tracing import Trace, tracing

if TYPE_CHECKING:
    from pathlib import Path

METHODS = (
    "step",
    "wait",
    "wait_for_condition",
    "wait_for_callback",
    "create_callback",
    "map",
    "parallel",
    "invoke",
    "run_in_child_context",
)
# An end that comes from outside: at any moment, also between two operations.
_CUT_SHORT = frozenset({"TIMED_OUT", "STOPPED"})


class DivergenceError(Exception):
    """The handler did something that the record doesn't have."""


@dataclass
class Run:
    """One replay on its way.

    Attributes:
        recording: The worker's request for it.
        rerun: Runs bodies of steps again, in the pass that looks at these; None in the pass that compares.
        problems: What differs, first come first.
        seen: Ids of the operations that the handler asked for.
        sites: File, line, method and name of every call of an operation.
    """

    recording: dict[str, Any]
    rerun: Rerun | None
    problems: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    sites: set[tuple[str, int, str, str | None]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    output: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.by_id = {item["operation"]["Id"]: item for item in self.recording["operations"]}
        self.operations = {key: Operation.from_json_dict(dict(item["operation"])) for key, item in self.by_id.items()}

    def differs(self, problem: str) -> None:
        """Note a difference."""
        with self.lock:
            self.problems.append(problem)

    def saw(self, operation_id: str) -> None:
        """Note that the handler came to a recorded operation."""
        with self.lock:
            self.seen.add(operation_id)

    # The SDK's DurableServiceClient.

    def get_execution_state(self, **_arguments: Any) -> StateOutput:
        """Nothing is left on further pages."""
        return StateOutput(operations=[], next_marker=None)

    def checkpoint(
        self,
        durable_execution_arn: str,  # noqa: ARG002 - the SDK's signature
        checkpoint_token: str,
        updates: list[OperationUpdate],
        client_token: str | None = None,  # noqa: ARG002 - the SDK's signature
    ) -> CheckpointOutput:
        """Take the end of a context that ran again, if it is the recorded one, and nothing else."""
        changed = [operation for update in updates if (operation := self._apply(update)) is not None]
        return CheckpointOutput(checkpoint_token, CheckpointUpdatedExecutionState(changed, None))

    def _apply(self, update: OperationUpdate) -> Operation | None:
        if update.operation_type is OperationType.EXECUTION:
            # A result too large to be returned.
            error = None if update.error is None else dict(update.error.to_dict())
            self.output = {"Status": f"{update.action.value}ED", "Result": update.payload, "Error": error}
            return None
        item = self.by_id.get(update.operation_id)
        what = f"{update.operation_type.value} {update.name!r}"
        if item is None:
            self.differs(f"{what}{here()} is not in the history")
            raise DivergenceError(what)
        ends = update.operation_type is OperationType.CONTEXT and update.action in (
            OperationAction.SUCCEED,
            OperationAction.FAIL,
        )
        if not (ends and item["again"]):
            self.differs(f"{what} would be recorded again ({update.action.value}){here()}")
            raise DivergenceError(what)
        self._compare_context(update, item["ended"], what)
        succeeded = update.action is OperationAction.SUCCEED
        done = replace(
            self.operations[update.operation_id],
            status=OperationStatus.SUCCEEDED if succeeded else OperationStatus.FAILED,
            context_details=ContextDetails(result=update.payload, error=update.error),
        )
        self.operations[update.operation_id] = done
        return done

    def _compare_context(self, update: OperationUpdate, ended: dict[str, Any], what: str) -> None:
        if ended["status"] not in ("SUCCEEDED", "FAILED"):
            return
        error = dict(update.error.to_dict()) if update.error is not None else None
        status = "SUCCEEDED" if update.action is OperationAction.SUCCEED else "FAILED"
        now = {"status": status, "result": update.payload, "error": error}
        difference = _difference(ended, now)
        if difference:
            self.differs(f"{what} {difference}")


def _difference(recorded: dict[str, Any], now: dict[str, Any]) -> str | None:
    """How two ends differ, without payloads and messages."""
    if recorded["status"] != now["status"]:
        return f"ended as {now['status']}{_typed(now)}, the history says {recorded['status']}{_typed(recorded)}"
    if _type(recorded) != _type(now):
        return f"failed with {_type(now)}, the history says {_type(recorded)}"
    if _message(recorded) != _message(now):
        return f"failed with {_type(now)} as in the history, but with another message"
    if _parsed(recorded["result"]) != _parsed(now["result"]):
        return "has another result than in the history"
    return None


def _type(end: dict[str, Any]) -> str | None:
    return (end.get("error") or {}).get("ErrorType")


def _message(end: dict[str, Any]) -> str | None:
    return (end.get("error") or {}).get("ErrorMessage")


def _typed(end: dict[str, Any]) -> str:
    return f" ({_type(end)})" if _type(end) else ""


def _parsed(text: str | None) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


_calls = threading.local()


def here() -> str:
    """Where this thread called its last operation, as an addition to a message."""
    place = getattr(_calls, "place", None)
    return f" (at {place[0]}:{place[1]})" if place else ""


class Engine:
    """Replays executions of one handler, one at a time.

    Args:
        root: The function's folder.
        handler: What `durable_execution` made.
    """

    def __init__(self, root: Path, handler: Callable[[Any, Any], Any], guard: EffectGuard) -> None:
        self._root = root
        self._handler = handler
        self._guard = guard
        self._run: Run | None = None
        self.strategies: dict[tuple[str, int], Any] = {}
        self._wrap_sdk()

    def replay(self, recording: dict[str, Any]) -> dict[str, Any]:
        """Replay twice: once to compare, once to see which lines of steps run."""
        run = Run(recording, None)
        trace = Trace(self._root)
        with tracing(trace):
            self._call(run)
        self._compare_end(run)
        rerun = Rerun(self._root, self._guard)
        if any(item["attempts"] for item in recording["operations"]):
            self._call(Run(recording, rerun))
        return {
            "name": recording["name"],
            "problems": run.problems,
            "sites": sorted(run.sites, key=str),
            "arcs": trace.as_json(),
            "step_arcs": rerun.trace.as_json(),
        }

    def _call(self, run: Run) -> None:
        recording = run.recording
        execution = {
            "Id": recording["arn"].split("/")[-1],
            "Type": "EXECUTION",
            "Status": "STARTED",
            "ExecutionDetails": {"InputPayload": recording["input"]},
        }
        operations = [Operation.from_json_dict(execution), *run.operations.values()]
        event = sdk_execution.DurableExecutionInvocationInputWithClient(
            durable_execution_arn=recording["arn"],
            checkpoint_token="replay",  # noqa: S106 - the service's word; no secret
            initial_execution_state=sdk_execution.InitialExecutionState(operations, ""),
            service_client=run,  # type: ignore[arg-type] # the two methods that are called
        )
        self._run = run
        try:
            output = dict(self._handler(event, _LambdaContext()))
        except EffectError as error:
            run.differs(f"the handler reached out of a step ({error}){here()}")
            return
        except BaseException as error:  # noqa: BLE001 - the handler's end, however it ends, is a finding
            if not run.problems:
                run.differs(f"the handler ended in {type(error).__name__}")
            return
        if run.output is None:
            run.output = output

    def _compare_end(self, run: Run) -> None:
        recording, output = run.recording, run.output
        if recording["status"] in _CUT_SHORT:
            # Beyond where it was cut short there is no record to compare with.
            run.problems[:] = [p for p in run.problems if not p.endswith("is not in the history")]
        if run.problems or output is None:
            return
        shallow = {i["operation"]["Id"] for i in recording["operations"] if i["operation"]["Type"] == "CONTEXT"}
        shallow -= {i["operation"]["Id"] for i in recording["operations"] if i["again"]}
        for item in recording["operations"]:
            operation = item["operation"]
            if operation["Id"] not in run.seen and not self._is_inside(operation, shallow, run):
                kind, name = operation["Type"], operation.get("Name")
                run.differs(f"{kind} {name!r} is in the history, but the handler never came to it")
                return
        if recording["status"] in _CUT_SHORT:
            return
        now = {"status": output.get("Status"), "result": output.get("Result"), "error": output.get("Error")}
        recorded = {"status": recording["status"], "result": recording["result"], "error": recording["error"]}
        difference = _difference(recorded, now)
        if difference:
            run.differs(f"the execution {difference}")

    @staticmethod
    def _is_inside(operation: dict[str, Any], contexts: set[str], run: Run) -> bool:
        parent = operation.get("ParentId")
        while parent is not None:
            if parent in contexts:
                return True
            parent = run.by_id[parent]["operation"].get("ParentId") if parent in run.by_id else None
        return False

    def _wrap_sdk(self) -> None:
        # Closing an invocation would wait for this; a hundred replays would take ten seconds.
        if hasattr(sdk_state, "_STOP_SIGNAL_POLL_SECONDS"):
            sdk_state._STOP_SIGNAL_POLL_SECONDS = 0.002  # noqa: SLF001
        self._wrap_identity()
        for executor, rerun in (
            (StepOperationExecutor, self._rerun_step),
            (WaitForConditionOperationExecutor, self._rerun_condition),
        ):
            self._wrap_executor(executor, rerun)
        for method in METHODS:
            self._wrap_method(method)

    def _wrap_identity(self) -> None:
        original = OperationIdentifier.validate_checkpoint

        def validate(identifier: OperationIdentifier, checkpoint: Operation | None) -> None:
            run = self._run
            if run is not None and isinstance(checkpoint, Operation):
                run.saw(identifier.operation_id)
            try:
                original(identifier, checkpoint)
            except NonDeterministicExecutionError:
                if run is not None and checkpoint is not None:
                    run.differs(
                        f"{identifier.type.value} {identifier.name!r}{here()} comes where the history has "
                        f"{checkpoint.operation_type.value} {checkpoint.name!r}"
                    )
                raise

        OperationIdentifier.validate_checkpoint = validate  # type: ignore[method-assign, assignment]

    def _wrap_executor(self, executor: Any, rerun: Callable[[Rerun, Any, dict[str, Any]], None]) -> None:
        check = executor.check_result_status

        def check_result_status(operation: Any) -> Any:
            run = self._run
            identifier = operation.operation_identifier
            if run is not None and identifier.operation_id not in run.by_id:
                # Not left to the checkpoint, which is sent in the background while the body already runs.
                run.differs(f"STEP {identifier.name!r}{here()} is not in the history")
                raise SuspendExecution("not in the history")
            if run is not None and run.rerun is not None:
                rerun(run.rerun, operation, run.by_id[identifier.operation_id])
            return check(operation)

        def execute(operation: Any, _checkpoint: Any) -> Any:
            identifier = operation.operation_identifier
            if self._run is not None:
                self._run.differs(f"STEP {identifier.name!r}{here()} would run again")
            raise SuspendExecution("no step runs in a replay")

        executor.check_result_status = check_result_status
        executor.execute = execute

    @staticmethod
    def _rerun_step(rerun: Rerun, operation: Any, item: dict[str, Any]) -> None:
        rerun.attempts(
            item["attempts"],
            lambda number: operation.func(StepContext(logger=operation.context_logger, attempt=number)),
        )

    @staticmethod
    def _rerun_condition(rerun: Rerun, operation: Any, item: dict[str, Any]) -> None:
        state = operation.config.initial_state

        def check(number: int) -> None:
            nonlocal state
            context = WaitForConditionCheckContext(logger=operation.context_logger, attempt=number)
            state = operation.check(state, context)
            operation.config.wait_strategy(state, number)

        rerun.attempts(item["attempts"], check)

    def _wrap_method(self, method: str) -> None:
        original = getattr(sdk_context.DurableContext, method)
        signature = inspect.signature(original)
        root = f"{self._root}/"

        def call(context: Any, *arguments: Any, **keywords: Any) -> Any:
            frame = sys._getframe(1)  # noqa: SLF001 - the caller's line is what is asked for
            filename = frame.f_code.co_filename
            if self._run is None or not filename.startswith(root):
                return original(context, *arguments, **keywords)
            place = (filename[len(root) :], frame.f_lineno)
            try:
                given = signature.bind(context, *arguments, **keywords).arguments
            except TypeError:
                return original(context, *arguments, **keywords)
            name = given.get("name") or getattr(given.get("func"), "_original_name", None)
            with self._run.lock:
                self._run.sites.add((*place, method, name))
                strategy = getattr(given.get("config"), "retry_strategy", None)
                if strategy is not None:
                    self.strategies.setdefault(place, strategy)
            _calls.place = place
            return original(context, *arguments, **keywords)

        setattr(sdk_context.DurableContext, method, call)


class _LambdaContext:
    """The part of Lambda's context that the SDK and logging look at."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"
    function_name = "replay"
    function_version = "$LATEST"
    invoked_function_arn = ""
    memory_limit_in_mb = "128"
    log_group_name = ""
    log_stream_name = ""
    client_context = None
    identity = None
    tenant_id = None

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 900_000
