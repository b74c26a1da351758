"""Histories built by hand, as boto3 would bring them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.assertions import ExecutionAssertionError
from harness.durable import ErrorInfo, Execution, ExecutionResult, History

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Story:
    """Writes a history event by event, one second apart."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._ids = 0
        self.tell("ExecutionStarted", operation_id="execution")

    def tell(
        self,
        event_type: str,
        name: str | None = None,
        *,
        operation_id: str | None = None,
        parent: str | None = None,
        sub_type: str | None = None,
        **details: Any,
    ) -> Story:
        """One event; details as boto3 has them."""
        members = {
            "EventId": len(self._events) + 1,
            "EventType": event_type,
            "EventTimestamp": START + timedelta(seconds=len(self._events)),
            "Name": name,
            "Id": operation_id,
            "ParentId": parent,
            "SubType": sub_type,
            f"{event_type}Details": details,
        }
        self._events.append({key: value for key, value in members.items() if value is not None})
        return self

    def new_id(self) -> str:
        self._ids += 1
        return f"op-{self._ids}"

    def step(
        self,
        name: str,
        *,
        failures: Sequence[tuple[str, int]] = (),
        error: str | None = None,
        result: object = None,
        parent: str | None = None,
    ) -> Story:
        """A whole step: failed attempts as pairs of error type and delay, then its end."""
        key = {"operation_id": self.new_id(), "parent": parent, "sub_type": "Step"}
        for number, (failure, delay) in enumerate(failures, start=1):
            self.tell("StepStarted", name, **key)
            retry = {"CurrentAttempt": number, "NextAttemptDelaySeconds": delay}
            self.tell("StepFailed", name, **key, **error_details(failure), RetryDetails=retry)
        retry = {"CurrentAttempt": len(failures) + 1}
        self.tell("StepStarted", name, **key)
        if error is None:
            return self.tell("StepSucceeded", name, **key, **result_details(result), RetryDetails=retry)
        return self.tell("StepFailed", name, **key, **error_details(error), RetryDetails=retry)

    def wait(self, seconds: int, name: str | None = None, *, status: str = "Succeeded") -> Story:
        key = {"operation_id": self.new_id(), "sub_type": "Wait"}
        self.tell("WaitStarted", name, **key, Duration=seconds)
        details: dict[str, Any] = {"Duration": seconds} if status == "Succeeded" else {}
        return self.tell(f"Wait{status}", name, **key, **details)

    def callback(self, name: str, end: str, **details: Any) -> Story:
        """A wait_for_callback: a context of that name with a nameless callback inside."""
        context, callback = self.new_id(), self.new_id()
        self.tell("ContextStarted", name, operation_id=context, sub_type="WaitForCallback")
        key = {"operation_id": callback, "parent": context, "sub_type": "Callback"}
        self.tell("CallbackStarted", **key, CallbackId="id-1", Timeout=60)
        return self.tell(f"Callback{end}", **key, **details)

    def branches(self, sub_type: str, *names: str) -> Story:
        """A parallel or a map whose branches, one step each, are recorded one after the other."""
        fork = self.new_id()
        self.tell("ContextStarted", "Fork", operation_id=fork, sub_type=sub_type)
        for name in names:
            branch = {"operation_id": self.new_id(), "parent": fork, "sub_type": f"{sub_type}Branch"}
            self.tell("ContextStarted", **branch)
            self.step(name, parent=branch["operation_id"])
            self.tell("ContextSucceeded", **branch)
        return self.tell("ContextSucceeded", "Fork", operation_id=fork, sub_type=sub_type)

    @property
    def history(self) -> History:
        return History.of(self._events)

    def succeeded(self, result: object = None) -> ExecutionResult:
        self.tell("ExecutionSucceeded", operation_id="execution", **result_details(result))
        return self._end("SUCCEEDED", raw_result=json.dumps(result))

    def failed(self, error_type: str, message: str | None = None) -> ExecutionResult:
        self.tell("ExecutionFailed", operation_id="execution", **error_details(error_type, message))
        return self._end("FAILED", error=ErrorInfo(error_type, message))

    def ended(self, status: str, error: ErrorInfo | None = None) -> ExecutionResult:
        return self._end(status, error=error)

    def _end(self, status: str, *, raw_result: str | None = None, error: ErrorInfo | None = None) -> ExecutionResult:
        execution = Execution(
            arn="arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable-execution/order-1/x",
            name="order-1",
            status=status,
            function_arn="arn:aws:lambda:eu-west-1:123456789012:function:f",
            version="1",
            started=START,
            ended=START + timedelta(seconds=len(self._events) - 1),
            raw_result=raw_result,
            error=error,
        )
        return ExecutionResult(execution, self.history)


def error_details(error_type: str, message: str | None = None) -> dict[str, Any]:
    payload = {"ErrorType": error_type, "ErrorMessage": message or f"{error_type} happened"}
    return {"Error": {"Payload": payload}}


def result_details(result: object) -> dict[str, Any]:
    return {"Result": {"Payload": json.dumps(result)}}


def failure(check: Any) -> ExecutionAssertionError:
    """The error of an assertion that must not hold."""
    with pytest.raises(ExecutionAssertionError) as caught:
        check()
    return caught.value
