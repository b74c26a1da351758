"""A finished execution's history as the operations that a replay is fed with.

https://docs.aws.amazon.com/lambda/latest/api/API_Operation.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness._durable.values import decode_operation_payload

if TYPE_CHECKING:
    from harness.durable import Execution, History, Operation

# The service's names of operation types, by what the names of events begin with.
_TYPES = {
    "Context": "CONTEXT",
    "Wait": "WAIT",
    "Step": "STEP",
    "ChainedInvoke": "CHAINED_INVOKE",
    "Callback": "CALLBACK",
}
_DETAILS = {
    "CONTEXT": "ContextDetails",
    "WAIT": "WaitDetails",
    "STEP": "StepDetails",
    "CHAINED_INVOKE": "ChainedInvokeDetails",
    "CALLBACK": "CallbackDetails",
}
_ENDED = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED", "CANCELLED"})
# Contexts that may end before their branches do: what the rest of them did, no replay can repeat.
_CONCURRENT = frozenset({"Map", "Parallel"})


class UnreplayableError(Exception):
    """The history doesn't hold what a replay needs; the message says what is missing."""


@dataclass(frozen=True)
class Recording:
    """An execution as the worker takes it.

    Attributes:
        arn: The execution's ARN.
        name: Its name.
        message: The worker's request for it, as JSON has it; holds payloads.
        operations: How many operations it has.
    """

    arn: str
    name: str
    message: Mapping[str, Any]
    operations: int


def record(execution: Execution, history: History) -> Recording:
    """Read an execution that has ended.

    Args:
        execution: The execution, with its data.
        history: All its events, with their data.

    Raises:
        UnreplayableError: The execution still runs, or its data isn't there or was truncated.
    """
    if not execution.is_terminal:
        raise UnreplayableError(f"the execution is {execution.status}, it hasn't ended")
    operations = history.operations()
    for event in history:
        for key in ("Result", "Error", "Input"):
            if (event.details.get(key) or {}).get("Truncated"):
                raise UnreplayableError(f"the {key.lower()} of event {event} is truncated in the history")
    children: dict[str, list[Operation]] = {}
    for operation in operations:
        if operation.parent_id is not None:
            children.setdefault(operation.parent_id, []).append(operation)
    described = [_describe(operation, children.get(operation.id, [])) for operation in operations]
    message = {
        "arn": execution.arn,
        "name": execution.name,
        "status": execution.status,
        "input": execution.raw_input,
        "result": execution.raw_result,
        "error": None
        if execution.error is None
        else {"ErrorType": execution.error.type, "ErrorMessage": execution.error.message},
        "operations": described,
    }
    return Recording(execution.arn, execution.name, message, len(operations))


def _describe(operation: Operation, children: list[Operation]) -> dict[str, Any]:
    kind = _TYPES.get(operation.kind)
    if kind is None:
        raise UnreplayableError(f"operation {operation.name!r} is of a kind that is not known: {operation.kind}")
    last = operation.events[-1]
    result = (last.details.get("Result") or {}).get("Payload")
    error = (last.details.get("Error") or {}).get("Payload")
    status = operation.status
    again = kind == "CONTEXT" and _runs_again(operation, children)
    details: dict[str, Any] = {}
    if again:
        # Given as started, the SDK runs its body once more, and what is inside is compared as well.
        status = "STARTED"
    elif status in _ENDED:
        details = {"Result": result, "Error": error}
        if kind == "CONTEXT" and operation.sub_type in _CONCURRENT and _is_summary(result):
            details["ReplayChildren"] = True
    elif kind == "STEP":
        # A pending step suspends its branch; a started one would run.
        status = "PENDING"
    if kind == "STEP":
        details["Attempt"] = max((attempt.number for attempt in operation.attempts), default=0)
    if kind == "CALLBACK":
        details["CallbackId"] = operation.callback_id or ""
    return {
        "operation": {
            "Id": operation.id,
            "Type": kind,
            "Status": status,
            "ParentId": operation.parent_id,
            "Name": operation.name,
            "SubType": operation.sub_type,
            "StartTimestamp": int(operation.started.timestamp() * 1000),
            _DETAILS[kind]: {key: value for key, value in details.items() if value is not None},
        },
        "again": again,
        "ended": {"status": operation.status, "result": result, "error": error},
        "attempts": [
            {"number": attempt.number, "error": None if attempt.error is None else attempt.error.type}
            for attempt in operation.attempts
            if attempt.status in ("SUCCEEDED", "FAILED")
        ]
        if kind == "STEP"
        else [],
    }


def _runs_again(operation: Operation, children: list[Operation]) -> bool:
    """Whether running a context's body again comes to the same end in any case."""
    if operation.status not in ("SUCCEEDED", "FAILED"):
        return True
    if any(child.status not in _ENDED for child in children):
        return False
    if operation.sub_type not in _CONCURRENT:
        return True
    outcome = operation.result
    return isinstance(outcome, dict) and outcome.get("completionReason") == "ALL_COMPLETED"


def _is_summary(result: str | None) -> bool:
    """Whether only a summary of a result that was too large is recorded."""
    outcome = decode_operation_payload(result)
    return not (isinstance(outcome, dict) and "all" in outcome)
