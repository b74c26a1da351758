"""The Invoke call: synchronous, asynchronous with retries, dry runs, and durable executions.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote
from uuid import uuid4

from .api import ApiError, DurableService, FunctionRunner, InvokeOutcome, Request, ResolvedFunction, Response
from .functions import FunctionRegistry, bad_parameter
from .operations import Operation

_log = logging.getLogger(__name__)

SYNC_LIMIT = 6 * 1024 * 1024
ASYNC_LIMIT = 1024 * 1024
#: Bytes of response that a synchronous invoke carries.
RESPONSE_LIMIT = 6_291_556
#: Seconds before the first and the second retry of an asynchronous invoke that failed.
RETRY_DELAYS = (60.0, 120.0)
# A throttled asynchronous invoke goes back to the queue for up to six hours, after 1 s doubling to 5 min.
_THROTTLE_AGE, _THROTTLE_LONGEST = 6 * 3600.0, 300.0


class Invoker:
    """Answers Invoke and InvokeAsync.

    Args:
        registry: Finds the function.
        runner: Runs plain functions.
        durable: Runs durable ones.
        time_scale: Gives the factor that delays between retries are divided by.
        retries: Gives the number of retries that a function's EventInvokeConfig allows, by its name.
    """

    def __init__(
        self,
        registry: FunctionRegistry,
        runner: FunctionRunner,
        durable: DurableService,
        *,
        time_scale: Callable[[], float],
        retries: Callable[[ResolvedFunction], int] = lambda _: len(RETRY_DELAYS),
    ) -> None:
        self._registry = registry
        self._runner = runner
        self._durable = durable
        self._retries = retries
        self._later = _Timers(time_scale)

    def handle(self, request: Request, operation: Operation) -> Response:
        """Answer one call.

        Raises:
            ApiError: The call is refused.
        """
        reference = self._registry.parse(
            unquote(request.raw_path.split("/")[3]), request.arg("Qualifier"), operation.region
        )
        kind = request.headers.get("x-amz-invocation-type") or "RequestResponse"
        if operation.name == "InvokeAsync":
            kind = "Event"
        if kind not in ("RequestResponse", "Event", "DryRun"):
            raise ApiError(
                "ValidationException",
                f"1 validation error detected: Value '{kind}' at 'invocationType' failed to satisfy constraint: "
                "Member must satisfy enum value set: [RequestResponse, Event, DryRun]",
            )
        function = self._registry.resolve(reference.qualified_arn)
        if kind == "DryRun":
            return Response(204)
        payload = _checked_payload(request.body, SYNC_LIMIT if kind == "RequestResponse" else ASYNC_LIMIT)
        name = request.headers.get("x-amz-durable-execution-name")
        context = request.headers.get("x-amz-client-context")
        tenant = request.headers.get("x-amz-tenant-id")
        if function.durable is not None:
            if function.qualifier is None:
                raise bad_parameter(
                    "You cannot invoke a durable function using an unqualified ARN. Invoke it through a published "
                    f"version or an alias, such as {function.arn}:1, or through $LATEST by name."
                )
            invocation_type: Literal["RequestResponse", "Event"] = "Event" if kind == "Event" else "RequestResponse"
            return self._durable.invoke(
                function,
                payload,
                invocation_type=invocation_type,
                execution_name=name,
                client_context=context,
                tenant_id=tenant,
            )
        if name is not None:
            raise bad_parameter(
                "DurableExecutionName is only supported for durable functions, and "
                f"{function.invoked_arn} has no DurableConfig."
            )
        if kind == "Event":
            work = _Asynchronous(function, payload, str(uuid4()), context, tenant)
            self._later.start(0, lambda: self._run(work))
            return Response.of_json({"Status": 202}, 202) if operation.name == "InvokeAsync" else Response(202)
        outcome = self._runner.invoke(function, payload, client_context=context, tenant_id=tenant)
        return _answer(outcome, tail=request.headers.get("x-amz-log-type") == "Tail")

    def run_event(self, function: ResolvedFunction, payload: bytes) -> bool:
        """Hand a function an event of another service's, such as a queue's, and say whether it took it."""
        if function.durable is not None:
            answer = self._durable.invoke(function, payload, invocation_type="Event")
            return answer.status < 400
        return self._runner.invoke(function, payload).function_error is None

    def close(self) -> None:
        """Drop what waits for a retry; nothing is started afterwards."""
        self._later.close()

    def _run(self, work: _Asynchronous) -> None:
        """Run an asynchronous invoke once, and see to its retry."""
        try:
            outcome = self._runner.invoke(
                work.function,
                work.payload,
                # Lambda keeps the request id over the retries of one event.
                request_id=work.request_id,
                client_context=work.client_context,
                tenant_id=work.tenant_id,
            )
        except ApiError as error:
            if error.status != 429:
                _log.warning("An asynchronous invoke of %s was refused: %s", work.function.invoked_arn, error)
                return
            delay = min(2.0**work.throttles, _THROTTLE_LONGEST)
            work.throttles += 1
            work.waited += delay
            if work.waited <= _THROTTLE_AGE:
                self._later.start(delay, lambda: self._run(work))
            return
        if outcome.function_error is None:
            return
        if work.failures < min(self._retries(work.function), len(RETRY_DELAYS)):
            delay = RETRY_DELAYS[work.failures]
            work.failures += 1
            self._later.start(delay, lambda: self._run(work))


@dataclass
class _Asynchronous:
    """An event on Lambda's queue."""

    function: ResolvedFunction
    payload: bytes
    request_id: str
    client_context: str | None
    tenant_id: str | None
    failures: int = 0
    throttles: int = 0
    waited: float = 0.0


class _Timers:
    """Runs things later, each on a daemon thread of its own; a long handler keeps nobody waiting."""

    def __init__(self, time_scale: Callable[[], float]) -> None:
        self._time_scale = time_scale
        self._lock = threading.Lock()
        self._waiting: set[threading.Timer] = set()
        self._closed = False

    def start(self, delay: float, work: Callable[[], None]) -> None:
        """Run ``work`` after ``delay`` seconds, divided by the time scale."""

        def run() -> None:
            with self._lock:
                self._waiting.discard(timer)
                if self._closed:
                    return
            try:
                work()
            except Exception:  # noqa: BLE001 - nobody waits for it; the log is all there is
                _log.exception("An asynchronous invoke failed")

        timer = threading.Timer(delay / self._time_scale(), run)
        timer.daemon = True
        with self._lock:
            if self._closed:
                return
            self._waiting.add(timer)
        timer.start()

    def close(self) -> None:
        """Start nothing any more."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, set()
        for timer in waiting:
            timer.cancel()


def _checked_payload(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise ApiError(
            "RequestTooLargeException",
            f"Request must be smaller than {limit} bytes for the InvokeFunction operation",
            413,
            members={"Type": "User"},
        )
    payload = body or b"{}"
    try:
        json.loads(payload, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(
            "InvalidRequestContentException",
            f"Could not parse request body into json: {error}",
            members={"Type": "User"},
        ) from error
    return payload


def _no_constant(name: str) -> Any:
    # Python's reader takes NaN and Infinity, which are no JSON.
    raise ValueError(f"unrecognized token {name!r}")


def _answer(outcome: InvokeOutcome, *, tail: bool) -> Response:
    headers = {
        "Content-Type": "application/json",
        "X-Amz-Executed-Version": outcome.executed_version,
        "x-amzn-RequestId": outcome.request_id,
    }
    payload, function_error = outcome.payload, outcome.function_error
    if len(payload) > RESPONSE_LIMIT:
        message = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
        payload = json.dumps({"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}).encode()
        function_error = "Unhandled"
    if function_error:
        headers["X-Amz-Function-Error"] = function_error
    if tail:
        headers["X-Amz-Log-Result"] = base64.b64encode(outcome.log_tail).decode()
    return Response(200, payload, headers)
