"""The values and protocols that the local cloud's parts exchange.

The parts: `functions` (Lambda's control plane, over moto), `runtime` (processes that run function code), `durable`
(durable executions), `insights` (CloudWatch Logs), and `server` (the dispatcher that binds them to one socket).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol


class ApiError(Exception):
    """An error that leaves as AWS's REST-JSON error, which boto3 raises as its typed exception.

    Args:
        code: The exception's name, such as ``ResourceNotFoundException``.
        message: Its message.
        status: The HTTP status.
        members: Further members of the error's shape, such as ``{"Type": "User"}``.
        headers: Further response headers, such as ``Retry-After``.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        *,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})
        self.headers = dict(headers or {})

    def to_response(self) -> Response:
        """This error as an HTTP response."""
        # Lambda's shapes spell it both ways; clients read whichever their model names.
        body = {"message": self.message, "Message": self.message, **self.members}
        headers = {"x-amzn-ErrorType": self.code, **self.headers}
        return Response.of_json(body, self.status, headers)


@dataclass(frozen=True)
class Request:
    """An HTTP request as the dispatcher hands it on.

    Attributes:
        method: The HTTP method, in capitals.
        raw_path: The path, still percent-encoded, without the query. Durable execution ARNs contain slashes,
            which clients encode: route on this one.
        query: Every query key with all its values, decoded.
        headers: The headers, keys in lower case.
        body: The whole body.
    """

    method: str
    raw_path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes

    def arg(self, key: str) -> str | None:
        """The first value of a query key, or None."""
        values = self.query.get(key)
        return values[0] if values else None


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """A JSON response."""
        return cls(
            status,
            json.dumps(value, separators=(",", ":")).encode(),
            {"Content-Type": "application/json", **(headers or {})},
        )


@dataclass(frozen=True)
class DurableConfig:
    """Lambda's DurableConfig.

    Attributes:
        execution_timeout: Seconds that an execution may take, 1-31622400.
        retention_period_in_days: Days that its history is kept, 1-90.
    """

    execution_timeout: int
    retention_period_in_days: int = 14


@dataclass(frozen=True)
class ResolvedFunction:
    """One version of one function, as an invoke found it.

    Attributes:
        name: The function's bare name.
        version: ``$LATEST`` or a published version's number.
        qualifier: The qualifier that the caller gave (an alias, a version, ``$LATEST``), or None.
        arn: The unqualified function ARN.
        invoked_arn: The ARN as invoked, with the qualifier if one was given.
        code_directory: The unpacked zip of this version, read-only; shared by versions with the same code.
        code_sha256: Base64 SHA-256 of the zip, as Lambda's CodeSha256.
        durable: Set when the function is a durable function.
        timeout: Seconds that one invocation may take.
        memory_size: MiB.
        log_format: ``Text`` or ``JSON``.
    """

    name: str
    version: str
    qualifier: str | None
    arn: str
    invoked_arn: str
    region: str
    account_id: str
    role_arn: str
    runtime: str
    handler: str
    code_directory: Path
    code_sha256: str
    environment: Mapping[str, str]
    timeout: int
    memory_size: int
    log_group: str
    log_format: Literal["Text", "JSON"]
    durable: DurableConfig | None
    layer_directories: tuple[Path, ...] = ()
    application_log_level: str | None = None
    system_log_level: str | None = None


@dataclass(frozen=True)
class InvokeOutcome:
    """How one invocation of function code ended.

    Attributes:
        request_id: The invocation's request id, as in its logs.
        payload: What the function returned, or the error's JSON (errorMessage, errorType, stackTrace).
        function_error: None when the handler returned, else ``Unhandled`` (or ``Handled``).
        error_type: The error's type, such as ``ValueError``, ``Runtime.ExitError`` (the process died) or
            ``Sandbox.Timedout``.
        error_message: The error's message.
        executed_version: The version that ran.
        log_tail: The last 4 KiB of the invocation's log, for LogType=Tail.
        duration_ms: Time in the handler.
        init_ms: Time to start the environment, None on a warm one.
    """

    request_id: str
    payload: bytes
    function_error: str | None
    error_type: str | None
    error_message: str | None
    executed_version: str
    log_tail: bytes
    duration_ms: float
    init_ms: float | None


class FunctionResolver(Protocol):
    """Finds functions; implemented by `harness.localcloud.functions`."""

    def resolve(self, reference: str, qualifier: str | None = None) -> ResolvedFunction:
        """Resolve a name, ``name:qualifier``, partial ARN or ARN.

        Raises:
            ApiError: ResourceNotFoundException (404) when there is no such function, version or alias;
                InvalidParameterValueException (400) when reference and qualifier contradict each other.
        """
        ...


class FunctionRunner(Protocol):
    """Runs function code; implemented by `harness.localcloud.runtime`."""

    def invoke(
        self,
        function: ResolvedFunction,
        payload: bytes,
        *,
        request_id: str | None = None,
        client_context: str | None = None,
        tenant_id: str | None = None,
    ) -> InvokeOutcome:
        """Run one invocation and wait for its end.

        Never raises for what the function does; raises ApiError (TooManyRequestsException, 429) when the
        function's concurrency is used up.
        """
        ...

    def stop_function(self, name: str) -> None:
        """Kill every environment of a function and wait until they are gone."""
        ...


class LogSink(Protocol):
    """Takes what functions log; implemented by `harness.localcloud.server` over moto's CloudWatch Logs."""

    def put(self, function: ResolvedFunction, log_stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Append ``(epoch milliseconds, message)`` records to a stream of the function's log group.

        Never raises for a missing group: on AWS a function whose role may not create it loses its logs silently.
        """
        ...


class DurableService(Protocol):
    """Durable executions; implemented by `harness.localcloud.durable`."""

    def invoke(
        self,
        function: ResolvedFunction,
        payload: bytes,
        *,
        invocation_type: Literal["RequestResponse", "Event"],
        execution_name: str | None = None,
        client_context: str | None = None,
        tenant_id: str | None = None,
    ) -> Response:
        """Start an execution, or find the one that already has this name and payload, and answer the Invoke call.

        ``RequestResponse`` waits for the execution's end. Raises ApiError for a bad or taken name.
        """
        ...

    def handle(self, request: Request) -> Response:
        """Answer any request below ``/2025-12-01/``; errors as responses."""
        ...

    def delete_function(self, name: str) -> None:
        """Stop every running execution of a function and forget nothing of their history."""
        ...

    def close(self) -> None:
        """Stop everything; nothing runs afterwards."""
        ...
