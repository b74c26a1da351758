"""Executions and histories as boto3 has them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.waiters.errors import client_error

NAME = "test-order-20260101T000000-0a1b2c3d"
ARN = f"arn:aws:lambda:eu-west-1:123456789012:function:orders:3/durable-execution/{NAME}/6a1e0000"
FUNCTION_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders:3"
START = datetime(2026, 1, 1, tzinfo=UTC)

NOT_FOUND = client_error("ResourceNotFoundException", 404, "no such thing")


def summary(status: str, name: str = NAME, **members: Any) -> dict[str, Any]:
    ended = {} if status in {"RUNNING", "PAUSED"} else {"EndTimestamp": START + timedelta(seconds=42)}
    return {
        "DurableExecutionArn": ARN,
        "DurableExecutionName": name,
        "FunctionArn": FUNCTION_ARN,
        "Status": status,
        "StartTimestamp": START,
        **ended,
        **members,
    }


def listed(*statuses: str, **members: Any) -> dict[str, Any]:
    return {"DurableExecutions": [summary(status) for status in statuses], **members}


def got(status: str, **members: Any) -> dict[str, Any]:
    return summary(status, Version="3", DurableConfig={"ExecutionTimeout": 60, "KMSKeyArn": "arn:key"}, **members)


def event(
    number: int, kind: str, at: float, *, details: dict[str, Any] | None = None, **members: Any
) -> dict[str, Any]:
    return {
        "EventId": number,
        "EventType": kind,
        "EventTimestamp": START + timedelta(seconds=at),
        f"{kind}Details": details or {},
        **members,
    }


def step(number: int, kind: str, at: float, name: str, *, operation: str = "", **details: Any) -> dict[str, Any]:
    identity = operation or f"id-{name.replace(' ', '-')}"
    return event(number, kind, at, details=details, Name=name, Id=identity, SubType="Step")


def failed(error_type: str, attempt: int, delay: int) -> dict[str, Any]:
    return {
        "Error": {"Payload": {"ErrorType": error_type, "ErrorMessage": "hunter2"}, "Truncated": False},
        "RetryDetails": {"CurrentAttempt": attempt, "NextAttemptDelaySeconds": delay},
    }


def succeeded(result: object, attempt: int = 1) -> dict[str, Any]:
    return {"Result": {"Payload": json.dumps(result)}, "RetryDetails": {"CurrentAttempt": attempt}}


CALLBACK = {"SubType": "Callback", "Id": "cb", "Name": "approval create callback id", "ParentId": "ctx"}

EVENTS: list[dict[str, Any]] = [
    event(1, "ExecutionStarted", 0, Id="exec", Name=NAME, details={"Input": {"Payload": '{"card": "hunter2"}'}}),
    step(2, "StepStarted", 1, "charge"),
    step(3, "StepFailed", 2, "charge", **failed("CardError", 1, 5)),
    event(4, "InvocationCompleted", 2.5, details={"RequestId": "r"}),
    step(5, "StepStarted", 7, "charge"),
    step(6, "StepFailed", 8, "charge", **failed("CardError", 2, 10)),
    step(7, "StepStarted", 18, "charge"),
    step(8, "StepSucceeded", 19, "charge", **succeeded({"t": "m", "v": {"paid": {"t": "d", "v": "9.50"}}}, 3)),
    event(9, "ContextStarted", 20, Id="ctx", Name="approval", SubType="WaitForCallback"),
    event(10, "CallbackStarted", 21, details={"CallbackId": "Y2I=", "Timeout": 60}, **CALLBACK),
    event(11, "CallbackSucceeded", 30, details={"Result": {"Payload": "yes, go"}}, **CALLBACK),
    event(12, "ContextSucceeded", 31, Id="ctx", Name="approval", SubType="WaitForCallback", details=succeeded("ok")),
    step(13, "StepStarted", 32, "ship"),
    step(14, "StepFailed", 33, "ship", **failed("ShipError", 1, 0)),
    event(15, "ExecutionFailed", 42, Id="exec", Name=NAME, details={"Error": {"Payload": {"ErrorType": "ShipError"}}}),
]
