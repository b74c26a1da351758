"""The WSGI application of the local cloud: who may ask, what is asked, and which part answers.

Every request is named after AWS's service and operation first. Then each `Middleware` may answer or delay it in the
cloud's place, and the part that is in charge does.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qs
from uuid import uuid4

from .api import ApiError, DurableService, Request, Response
from .backends import Moto
from .control import LambdaControl
from .insights import InsightsService
from .invocation import Invoker
from .operations import Operation, identify
from .wire import error_response

_log = logging.getLogger(__name__)
_INSIGHTS = frozenset({"StartQuery", "GetQueryResults", "StopQuery", "DescribeQueries"})
_ADMIN_PATH = "/_harness/"
_DURABLE_PATH = "/2025-12-01/"

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True)
class Call:
    """One request to AWS, named.

    Attributes:
        request: The request.
        operation: What it asks for.
        request_id: What the answer will carry as its request id.
    """

    request: Request
    operation: Operation
    request_id: str


class ConnectionDropped(ConnectionError):  # noqa: N818 - it is what happens, not what went wrong
    """Raised by a middleware to close the connection without an answer."""


class Middleware(Protocol):
    """Sees every AWS call before the part that answers it."""

    def before(self, call: Call) -> Response | None:
        """Answer in the cloud's place, or None to let the call pass; may wait.

        Raises:
            ApiError: To refuse the call, in its protocol's form.
            ConnectionDropped: To close the connection without an answer.
        """
        ...


@runtime_checkable
class Afterwards(Protocol):
    """A middleware that also sees what a call that it let pass came to, unless that is an error of the cloud's."""

    def after(self, call: Call, response: Response) -> Response:
        """The answer to give.

        Raises:
            ConnectionDropped: To close the connection without an answer, although the call was carried out.
        """
        ...


class OperationCounter:
    """Counts calls and errors per operation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = {}

    def add(self, operation: Operation, status: int) -> None:
        """Count one answered call; status 0 stands for a dropped connection."""
        with self._lock:
            entry = self._counts.setdefault(str(operation), {"calls": 0, "errors": 0})
            entry["calls"] += 1
            entry["errors"] += status == 0 or status >= 400

    def snapshot(self) -> dict[str, dict[str, int]]:
        """``{"lambda.Invoke": {"calls": 3, "errors": 1}}``, by name."""
        with self._lock:
            return {name: dict(entry) for name, entry in sorted(self._counts.items())}


class Dispatcher:
    """The local cloud as a WSGI application.

    Args:
        moto: Answers what no other part does.
        control: Lambda's control plane.
        invoker: Lambda's Invoke.
        durable: Everything below ``/2025-12-01/``.
        insights: Logs Insights.
        admin: Everything below ``/_harness/``.
        counter: Counts the calls.
        middlewares: Asked in this order before every AWS call, and those that are `Afterwards` in the opposite order
            after it. The list may change while the cloud runs.
    """

    def __init__(
        self,
        *,
        moto: Moto,
        control: LambdaControl,
        invoker: Invoker,
        durable: DurableService,
        insights: InsightsService,
        admin: Callable[[Request], Response],
        counter: OperationCounter,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self._moto = moto
        self._control = control
        self._invoker = invoker
        self._durable = durable
        self._insights = insights
        self._admin = admin
        self._counter = counter
        self.middlewares = list(middlewares)

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        response = self._answer(environ)
        headers = dict(response.headers)
        if environ["REQUEST_METHOD"] != "HEAD":
            # moto's header counts characters in places.
            headers = {key: value for key, value in headers.items() if key.lower() != "content-length"}
            if response.status not in (204, 304):
                headers["Content-Length"] = str(len(response.body))
        start_response(f"{response.status} {_reason(response.status)}", list(headers.items()))
        return [] if response.status in (204, 304) else [response.body]

    def _answer(self, environ: Mapping[str, Any]) -> Response:
        if refusal := _foreign(environ):
            return refusal
        request = _request(environ)
        if request.raw_path.startswith(_ADMIN_PATH):
            return self._admin(request)
        if request.raw_path.startswith("/moto-api"):
            # It resets and reconfigures every backend, and asks for no token.
            return Response.of_json({"message": "moto's own API is closed in the local cloud."}, 403)
        call = Call(request, identify(request), str(uuid4()))
        status = 0
        try:
            response = self._guarded(call, environ)
            status = response.status
        finally:
            self._counter.add(call.operation, status)
        _log.debug("%s %s -> %d", call.operation, request.raw_path, status)
        if "x-amzn-requestid" not in {key.lower() for key in response.headers}:
            response = Response(
                response.status, response.body, {**response.headers, "x-amzn-RequestId": call.request_id}
            )
        return response

    def _guarded(self, call: Call, environ: Mapping[str, Any]) -> Response:
        try:
            middlewares = list(self.middlewares)
            for middleware in middlewares:
                answer = middleware.before(call)
                if answer is not None:
                    return answer
            response = self._route(call, environ)
            return self._after(middlewares, call, response)
        except ApiError as error:
            return error_response(error, call.operation, call.request_id)
        except ConnectionDropped:
            raise
        except Exception as error:  # noqa: BLE001 - a server answers, whatever breaks in it
            _log.exception("%s failed", call.operation)
            message = f"The local cloud failed on {call.operation}: {type(error).__name__}: {error}"
            code = "ServiceException" if call.operation.service == "lambda" else "InternalFailure"
            return error_response(ApiError(code, message, 500), call.operation, call.request_id)

    @staticmethod
    def _after(middlewares: Sequence[Middleware], call: Call, response: Response) -> Response:
        for middleware in reversed(middlewares):
            if isinstance(middleware, Afterwards):
                response = middleware.after(call, response)
        return response

    def _route(self, call: Call, environ: Mapping[str, Any]) -> Response:
        request, operation = call.request, call.operation
        if request.raw_path.startswith(_DURABLE_PATH):
            return self._durable.handle(request)
        if operation.service == "lambda":
            if operation.name in ("Invoke", "InvokeAsync"):
                return self._invoker.handle(request, operation)
            if operation.name == "InvokeWithResponseStream":
                message = "The local cloud has no response streaming: call Invoke."
                raise ApiError("InvalidRequestContentException", message)
            return self._control.handle(request, operation, lambda inner: self._moto.call(environ, inner))
        if operation.service == "logs" and operation.name in _INSIGHTS:
            members = json.loads(request.body or b"{}")
            answer = self._insights.handle(operation.name, members)
            return Response.of_json(answer, headers={"Content-Type": "application/x-amz-json-1.1"})
        return self._moto.call(environ, request)


_OWN_HOST = re.compile(r"(?:127\.0\.0\.1|(?:[a-z0-9][a-z0-9.-]*\.)?localhost):(?P<port>\d+)", re.IGNORECASE)


def _foreign(environ: Mapping[str, Any]) -> Response | None:
    """The refusal of a request that a web page may have sent, else None.

    A page can reach this socket under a name of its own (DNS rebinding) or by posting to it from its own origin.
    """
    host = _OWN_HOST.fullmatch(environ.get("HTTP_HOST", ""))
    if host is None or host["port"] != environ["SERVER_PORT"]:
        return Response.of_json({"message": "This host name is not the local cloud's."}, 403)
    if "HTTP_ORIGIN" in environ:
        return Response.of_json({"message": "The local cloud takes no requests from web pages."}, 403)
    return None


def _request(environ: Mapping[str, Any]) -> Request:
    raw_path, _, query = environ["REQUEST_URI"].partition("?")
    if raw_path.startswith(("http://", "https://")):
        # An absolute URI in the request line, as a client sends it to a proxy.
        raw_path = "/" + "".join(raw_path.split("/", 3)[3:])
    headers = {
        key[5:].replace("_", "-").lower(): str(value) for key, value in environ.items() if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = str(environ[key])
    if environ.get("wsgi.input_terminated"):
        body = environ["wsgi.input"].read()
    else:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
    return Request(environ["REQUEST_METHOD"], raw_path, parse_qs(query, keep_blank_values=True), headers, body)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
