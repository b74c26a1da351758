"""Executions as values.

https://docs.aws.amazon.com/lambda/latest/api/API_GetDurableExecution.html
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from harness._durable.naming import parts_of_arn
from harness._durable.problems import PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable

TERMINAL_STATUSES = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"})
RUNNING_STATUSES = frozenset({"RUNNING", "PAUSING", "PAUSED", "DELETING"})


def encode_payload(payload: object, *, what: str = "payload") -> bytes:
    """A payload as the bytes of its JSON; bytes are taken for JSON already.

    Raises:
        PayloadError: JSON can't express it.
    """
    if isinstance(payload, bytes):
        return payload
    try:
        return json.dumps(payload, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise PayloadError(
            f"The {what} can't be written as JSON: {error}",
            hint="pass dicts, lists, strings, numbers, booleans and None, or bytes that are JSON already",
        ) from error


def decode_payload(text: str | None) -> Any:
    """A payload's JSON parsed, None for none; text that isn't JSON as it is, as callbacks may send it."""
    if text is None or text == "":
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


_TAGS: dict[str, Callable[[Any], Any]] = {
    "n": lambda _: None,
    "s": str,
    "i": int,
    "f": float,
    "b": bool,
    "B": base64.b64decode,
    "u": UUID,
    "d": Decimal,
    "dt": datetime.fromisoformat,
    "D": date.fromisoformat,
    "l": lambda value: [_untag(item) for item in value],
    "t": lambda value: tuple(_untag(item) for item in value),
    "m": lambda value: {key: _untag(item) for key, item in value.items()},
    "br": lambda value: {key: _untag(item) for key, item in value.items()},
}


def _untag(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"t", "v"} and value["t"] in _TAGS:
        return _TAGS[value["t"]](value["v"])
    return value


def decode_operation_payload(text: str | None) -> Any:
    """An operation's payload with the SDK's type envelope taken off.

    The SDK for Python checkpoints what isn't a plain value as ``{"t": tag, "v": value}``, nested; here a step's
    result reads as the step returned it. The result of a map or parallel is a dict (``all``, ``completionReason``).
    """
    return _untag(decode_payload(text))


@dataclass(frozen=True)
class ErrorInfo:
    """Lambda's ErrorObject.

    https://docs.aws.amazon.com/lambda/latest/api/API_ErrorObject.html

    Attributes:
        type: The error's type, such as ``ValueError``, as it was recorded.
        message: Its message.
        data: What else the function attached, as text; not shown.
        stack_trace: Its stack trace; not shown.
    """

    type: str | None = None
    message: str | None = None
    data: str | None = field(default=None, repr=False)
    stack_trace: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, error: Mapping[str, Any] | None) -> ErrorInfo | None:
        """Read boto3's ErrorObject; None for none."""
        if not error:
            return None
        return cls(
            error.get("ErrorType"),
            error.get("ErrorMessage"),
            error.get("ErrorData"),
            tuple(error.get("StackTrace") or ()),
        )

    def to_boto(self) -> dict[str, Any]:
        """As boto3 takes it, members that are absent left out."""
        members = {
            "ErrorType": self.type,
            "ErrorMessage": self.message,
            "ErrorData": self.data,
            "StackTrace": list(self.stack_trace) or None,
        }
        return {name: value for name, value in members.items() if value is not None}

    def __str__(self) -> str:
        return ": ".join(part for part in (self.type, self.message) if part)


@dataclass(frozen=True)
class Execution:
    """A durable execution at one moment.

    Attributes:
        arn: Its ARN.
        name: Its name.
        status: RUNNING, SUCCEEDED, FAILED, TIMED_OUT, STOPPED, PAUSING, PAUSED, DELETING, or one that is newer.
        function_arn: The function's ARN.
        version: The version of the function that it runs.
        started: When it started, aware.
        ended: When it ended, aware, or None.
        raw_input: Its input as JSON text; None if it wasn't asked for. Not shown.
        raw_result: Its result as JSON text; None if there is none or it wasn't asked for. Not shown.
        error: Its error, if it has one and it was asked for.
    """

    arn: str
    name: str
    status: str
    function_arn: str
    version: str
    started: datetime
    ended: datetime | None = None
    raw_input: str | None = field(default=None, repr=False)
    raw_result: str | None = field(default=None, repr=False)
    error: ErrorInfo | None = None

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> Execution:
        """Read what GetDurableExecution answers, or an item of ListDurableExecutionsByFunction."""
        arn = str(members["DurableExecutionArn"])
        return cls(
            arn=arn,
            name=str(members["DurableExecutionName"]),
            status=str(members["Status"]),
            function_arn=str(members["FunctionArn"]),
            version=str(members.get("Version") or parts_of_arn(arn)[1]),
            started=members["StartTimestamp"],
            ended=members.get("EndTimestamp"),
            raw_input=members.get("InputPayload"),
            raw_result=members.get("Result"),
            error=ErrorInfo.of(members.get("Error")),
        )

    @functools.cached_property
    def input(self) -> Any:
        """The input, parsed; None if it wasn't asked for."""
        return decode_payload(self.raw_input)

    @functools.cached_property
    def result(self) -> Any:
        """The result, parsed; None if there is none or it wasn't asked for."""
        return decode_payload(self.raw_result)

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended: SUCCEEDED, FAILED, TIMED_OUT or STOPPED."""
        return self.status in TERMINAL_STATUSES

    @property
    def succeeded(self) -> bool:
        """Whether its status is SUCCEEDED."""
        return self.status == "SUCCEEDED"

    @property
    def seconds(self) -> float | None:
        """From its start to its end, as the service reports them; None while it runs."""
        return None if self.ended is None else (self.ended - self.started).total_seconds()


def summary_of(members: Mapping[str, Any]) -> dict[str, Any]:
    """What GetDurableExecution answers, cut to an item of ListDurableExecutionsByFunction."""
    keys = ("DurableExecutionArn", "DurableExecutionName", "FunctionArn", "Status", "StartTimestamp", "EndTimestamp")
    summary = {key: members[key] for key in keys if key in members}
    kms_key = members.get("DurableConfig", {}).get("KMSKeyArn")
    return summary | ({"KMSKeyArn": kms_key} if kms_key else {})
