"""From an HTTP request to an operation of the ``/2025-12-01/`` API.

Routing is on the raw path: execution ARNs and callback ids contain slashes, which clients percent-encode.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from harness.localcloud.api import ApiError, Request, Response
from harness.localcloud.durable.names import invalid
from harness.localcloud.durable.operations import DEFAULT_MAX_ITEMS, LARGEST_MAX_ITEMS, ListFilter, Operations
from harness.localcloud.durable.serialize import error_object

_PREFIX = "/2025-12-01"
_PATHS = (
    ("GET", re.compile(r"/functions/([^/]+)/durable-executions"), "list"),
    ("GET", re.compile(r"/durable-executions/([^/]+)"), "get"),
    ("DELETE", re.compile(r"/durable-executions/([^/]+)"), "delete"),
    ("GET", re.compile(r"/durable-executions/([^/]+)/(history|state)"), None),
    ("POST", re.compile(r"/durable-executions/([^/]+)/(checkpoint|stop|pause|resume)"), None),
    ("POST", re.compile(r"/durable-execution-callbacks/([^/]+)/(succeed|fail|heartbeat)"), None),
)
# Longest reason of a pause or a resume, as the model has it.
_LONGEST_REASON = 1024


class Routes:
    """Answers requests below ``/2025-12-01/``.

    Args:
        operations: The operations.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._handlers: dict[str, Callable[[str, Request], Response]] = {
            "list": self._list,
            "get": self._get,
            "delete": lambda arn, _: Response.of_json(operations.delete(arn), 202),
            "history": self._history,
            "state": self._state,
            "checkpoint": self._checkpoint,
            "stop": lambda arn, request: Response.of_json(operations.stop(arn, error_object(_body(request)))),
            "pause": self._pause,
            "resume": self._resume,
            "succeed": lambda callback, request: Response.of_json(operations.callback_success(callback, request.body)),
            "fail": lambda callback, request: Response.of_json(
                operations.callback_failure(callback, error_object(_body(request)))
            ),
            "heartbeat": lambda callback, _: Response.of_json(operations.callback_heartbeat(callback)),
        }

    def handle(self, request: Request) -> Response:
        """Answer ``request``.

        Raises:
            ApiError: As the operations raise it; UnknownOperationException (404) when there is no such route.
        """
        path = request.raw_path.removeprefix(_PREFIX).rstrip("/")
        for method, pattern, fixed in _PATHS:
            matched = pattern.fullmatch(path) if method == request.method else None
            if matched is not None:
                return self._handlers[fixed or matched.group(2)](unquote(matched.group(1)), request)
        raise ApiError("UnknownOperationException", f"No operation has {request.method} {request.raw_path}", 404)

    def _list(self, function: str, request: Request) -> Response:
        wanted = ListFilter(
            name=request.arg("DurableExecutionName"),
            statuses=tuple(request.query.get("Statuses", ())),
            started_after=_moment(request, "StartedAfter"),
            started_before=_moment(request, "StartedBefore"),
        )
        return Response.of_json(
            self._operations.list_executions(
                function,
                request.arg("Qualifier"),
                wanted,
                reverse=_flag(request, "ReverseOrder", default=False),
                marker=request.arg("Marker"),
                max_items=_max_items(request),
            )
        )

    def _get(self, arn: str, request: Request) -> Response:
        include = _flag(request, "IncludeExecutionData", default=True)
        return Response.of_json(self._operations.get(arn, include_data=include))

    def _history(self, arn: str, request: Request) -> Response:
        return Response.of_json(
            self._operations.history(
                arn,
                include_data=_flag(request, "IncludeExecutionData", default=True),
                reverse=_flag(request, "ReverseOrder", default=False),
                marker=request.arg("Marker"),
                max_items=_max_items(request),
            )
        )

    def _state(self, arn: str, request: Request) -> Response:
        token = request.arg("CheckpointToken")
        if not token:
            raise invalid("CheckpointToken is required.")
        return Response.of_json(self._operations.state(arn, token, request.arg("Marker"), _max_items(request)))

    def _checkpoint(self, arn: str, request: Request) -> Response:
        body = _mapping(request)
        token, client_token = _text(body, "CheckpointToken"), _text(body, "ClientToken")
        if not token:
            raise invalid("CheckpointToken is required.")
        updates = body.get("Updates") or []
        if not isinstance(updates, list) or not all(isinstance(update, dict) for update in updates):
            raise invalid("Updates must be a list of operation updates.")
        return Response.of_json(self._operations.checkpoint(arn, token, updates, client_token))

    def _pause(self, arn: str, request: Request) -> Response:
        body = _mapping(request)
        timeout_paused = body.get("ExecutionTimeoutPaused", True)
        if not isinstance(timeout_paused, bool):
            raise invalid("ExecutionTimeoutPaused must be a boolean.")
        answer = self._operations.pause(
            arn, reason=_reason(body), timeout_paused=timeout_paused, client_token=_text(body, "ClientToken")
        )
        return Response.of_json(answer, 202)

    def _resume(self, arn: str, request: Request) -> Response:
        body = _mapping(request)
        answer = self._operations.resume(arn, reason=_reason(body), client_token=_text(body, "ClientToken"))
        return Response.of_json(answer, 202)


def _body(request: Request) -> Any:
    """The JSON body, None for an empty one."""
    if not request.body.strip():
        return None
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise invalid("The request's body is not JSON.") from error


def _mapping(request: Request) -> dict[str, Any]:
    body = _body(request)
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise invalid("The request's body must be a JSON object.")
    return body


def _text(body: dict[str, Any], member: str) -> str | None:
    value = body.get(member)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{member} must be a string.")
    return value


def _reason(body: dict[str, Any]) -> str | None:
    reason = _text(body, "Reason")
    if reason is not None and len(reason) > _LONGEST_REASON:
        raise invalid(f"Reason must have {_LONGEST_REASON} characters at most.")
    return reason


def _flag(request: Request, key: str, *, default: bool) -> bool:
    value = request.arg(key)
    if value is None:
        return default
    if value.lower() not in {"true", "false"}:
        raise invalid(f"{key} must be true or false.")
    return value.lower() == "true"


def _max_items(request: Request) -> int:
    value = request.arg("MaxItems")
    if value is None:
        return DEFAULT_MAX_ITEMS
    if not value.isdecimal() or int(value) > LARGEST_MAX_ITEMS:
        raise invalid(f"MaxItems must be a number from 0 to {LARGEST_MAX_ITEMS}.")
    # 0 stands for the default.
    return int(value) or DEFAULT_MAX_ITEMS


def _moment(request: Request, key: str) -> datetime | None:
    """A timestamp of the query: ISO 8601, as boto3 sends it, or epoch seconds."""
    value = request.arg(key)
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise invalid(f"{key} must be a timestamp in ISO 8601 form.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
