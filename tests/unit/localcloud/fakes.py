"""Stand-ins for the parts that other tests are about: code that runs, and durable executions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from harness.localcloud.api import DurableConfig, InvokeOutcome, Request, ResolvedFunction, Response

Behaviour = Callable[[ResolvedFunction, bytes], Any]


def show_code(function: ResolvedFunction, payload: bytes) -> dict[str, Any]:
    """What a function "returns" by default: which code and configuration it would have run."""
    return {
        "code": (function.code_directory / "app.py").read_text(),
        "version": function.version,
        "environment": dict(function.environment),
        "payload": json.loads(payload),
    }


@dataclass(frozen=True)
class Invocation:
    function: ResolvedFunction
    payload: bytes
    request_id: str | None
    client_context: str | None
    tenant_id: str | None


class FakeRunner:
    """A `FunctionRunner` whose functions do what a test says; an exception is a function error."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.invocations: list[Invocation] = []
        self.stopped: list[str] = []
        self._changed = threading.Condition()

    def invoke(
        self,
        function: ResolvedFunction,
        payload: bytes,
        *,
        request_id: str | None = None,
        client_context: str | None = None,
        tenant_id: str | None = None,
    ) -> InvokeOutcome:
        with self._changed:
            self.invocations.append(Invocation(function, payload, request_id, client_context, tenant_id))
            self._changed.notify_all()
        error: Exception | None = None
        behave: Behaviour = self.behaviours.get(function.name, show_code)
        try:
            result = behave(function, payload)
        except ValueError as raised:
            error, result = raised, {"errorType": "ValueError", "errorMessage": str(raised)}
        return InvokeOutcome(
            request_id=request_id or "request-1",
            payload=result if isinstance(result, bytes) else json.dumps(result).encode(),
            function_error="Unhandled" if error else None,
            error_type="ValueError" if error else None,
            error_message=str(error) if error else None,
            executed_version=function.version,
            log_tail=b"the end of the log",
            duration_ms=1.0,
            init_ms=None,
        )

    def stop_function(self, name: str) -> None:
        self.stopped.append(name)

    def of(self, name: str) -> list[Invocation]:
        return [invocation for invocation in self.invocations if invocation.function.name == name]

    def wait_for(self, name: str, count: int) -> list[Invocation]:
        """Wait until a function has been invoked so often."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(name)) >= count, 30), (
                f"{name} was not invoked {count} times"
            )
            return self.of(name)


@dataclass(frozen=True)
class DurableInvoke:
    function: ResolvedFunction
    payload: bytes
    invocation_type: Literal["RequestResponse", "Event"]
    execution_name: str | None
    client_context: str | None
    tenant_id: str | None

    @property
    def config(self) -> DurableConfig | None:
        return self.function.durable


class FakeDurable:
    """A `DurableService` that writes down what reaches it."""

    def __init__(self) -> None:
        self.invokes: list[DurableInvoke] = []
        self.requests: list[Request] = []
        self.deleted: list[str] = []
        self.running: dict[str, list[str]] = {}
        self.closed = False
        self.on_delete: Callable[[], None] | None = None

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
        self.invokes.append(
            DurableInvoke(function, payload, invocation_type, execution_name, client_context, tenant_id)
        )
        arn = f"{function.arn}:{function.version}/durable-execution/{execution_name}/1"
        status = 202 if invocation_type == "Event" else 200
        return Response(status, b'"done"', {"X-Amz-Durable-Execution-Arn": arn})

    def handle(self, request: Request) -> Response:
        self.requests.append(request)
        name = request.raw_path.split("/")[3]
        executions = [{"DurableExecutionArn": arn} for arn in self.running.get(name, [])]
        return Response.of_json({"DurableExecutions": executions, "Events": [], "raw_path": request.raw_path})

    def delete_function(self, name: str) -> None:
        self.deleted.append(name)
        if self.on_delete:
            self.on_delete()

    def close(self) -> None:
        self.closed = True
