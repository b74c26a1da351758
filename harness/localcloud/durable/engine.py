"""Durable executions of the local cloud: the parts put together, and the Invoke of a durable function.

https://docs.aws.amazon.com/lambda/latest/dg/durable-invoking.html
"""

from __future__ import annotations

import json
import logging
import threading
from typing import Literal

from aws_durable_execution_sdk_python.lambda_service import ErrorObject
from aws_durable_execution_sdk_python_testing.exceptions import AwsApiException
from aws_durable_execution_sdk_python_testing.model import StartDurableExecutionInput

from harness.errors import LocalCloudError
from harness.localcloud.api import (
    ApiError,
    DurableConfig,
    FunctionResolver,
    FunctionRunner,
    Request,
    ResolvedFunction,
    Response,
)
from harness.localcloud.durable.children import UNQUALIFIED_MESSAGE
from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.execution import JournaledExecution
from harness.localcloud.durable.executor import LocalExecutor
from harness.localcloud.durable.names import invalid, require_execution_name, service_failure
from harness.localcloud.durable.operations import Operations
from harness.localcloud.durable.routes import Routes
from harness.localcloud.durable.scheduling import PooledRegistry, ScaledScheduler
from harness.localcloud.durable.store import IndexedStore

_log = logging.getLogger(__name__)
# The engine reports every failed execution and every retried invocation, as errors and warnings. Here those are
# results like others; the history has them.
_ENGINE_LOGGER = logging.getLogger("aws_durable_execution_sdk_python_testing")

SYNCHRONOUS_LIMIT_SECONDS = 900
DEFAULT_INVOCATIONS = 256


class DurableEngine:
    """Durable executions; implements `harness.localcloud.api.DurableService`.

    Args:
        resolver: Finds functions, versions and aliases.
        runner: Runs their code.
        region: The region of every execution.
        account_id: The account of every execution.
        time_scale: How many times faster than the wall clock waits, retries and timeouts pass; timeouts of single
            invocations are not scaled.
        invocations: How many handlers run at once at most.

    Raises:
        ValueError: When the time scale is out of range.
    """

    def __init__(
        self,
        resolver: FunctionResolver,
        runner: FunctionRunner,
        *,
        region: str,
        account_id: str,
        time_scale: float = 1.0,
        invocations: int = DEFAULT_INVOCATIONS,
    ) -> None:
        if _ENGINE_LOGGER.level == logging.NOTSET:
            _ENGINE_LOGGER.setLevel(logging.CRITICAL + 1)
        self._account_id = account_id
        self._clock = ScaledClock(time_scale)
        self._store = IndexedStore()
        self._scheduler = ScaledScheduler(self._clock)
        self._registry = PooledRegistry(self._store, self._scheduler)
        self._executor = LocalExecutor(
            store=self._store,
            scheduler=self._scheduler,
            registry=self._registry,
            clock=self._clock,
            resolver=resolver,
            runner=runner,
            region=region,
            invocations=invocations,
        )
        self._routes = Routes(Operations(self._executor, resolver, self._clock))
        self._starts = threading.Lock()
        self._closed = False
        self._scheduler.start()

    @property
    def time_scale(self) -> float:
        """How many times faster than the wall clock waits, retries and timeouts pass."""
        return self._clock.scale

    def set_time_scale(self, scale: float) -> None:
        """Change the time scale while nothing runs.

        Raises:
            LocalCloudError: When an execution runs: its armed timers would keep the old scale.
            ValueError: When the scale is out of range.
        """
        with self._starts:
            running = [execution.name for execution in self._store.all() if not execution.is_complete]
            if running:
                raise LocalCloudError(
                    f"The time scale can't change while {len(running)} durable executions run",
                    where=", ".join(running[:5]),
                    hint="wait for their end or stop them",
                )
            self._clock.set_scale(scale)

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

        Args:
            function: The function as the caller named it; the execution is pinned to its version.
            payload: The function's input, JSON; nothing stands for ``{}``.
            invocation_type: ``RequestResponse`` waits for the execution's end, ``Event`` doesn't.
            execution_name: What makes the start idempotent; generated when None.
            client_context: Handed to each invocation of the handler.
            tenant_id: Handed to each invocation of the handler.

        Raises:
            ApiError: InvalidParameterValueException for a bad name, an unqualified function, or a synchronous
                invoke of a function whose executions may take longer than 15 minutes;
                DurableExecutionAlreadyStartedException (409) when the name was used with another payload;
                InvalidRequestContentException for a payload that isn't JSON.
        """
        if function.durable is None:
            raise invalid(f"The function {function.name} is not a durable function.")
        if function.qualifier is None:
            raise invalid(UNQUALIFIED_MESSAGE)
        synchronous = invocation_type == "RequestResponse"
        if synchronous and function.durable.execution_timeout > SYNCHRONOUS_LIMIT_SECONDS:
            raise invalid(
                "You cannot synchronously invoke a durable function with an executionTimeout greater than 15 minutes."
            )
        name = require_execution_name(execution_name)
        text = _json_text(payload)
        with self._starts:
            if self._closed:
                raise service_failure("The local cloud is shutting down.")
            execution = self._store.named(function.name, name)
            if execution is None:
                execution = self._start(
                    function, function.durable, name, text, client_context=client_context, tenant_id=tenant_id
                )
            elif execution.start_input.input != text:
                raise ApiError(
                    "DurableExecutionAlreadyStartedException",
                    f"A durable execution of {function.name} with the name {name} has already been started with "
                    "another payload.",
                    409,
                    members={"Type": "User"},
                )
        headers = {
            "X-Amz-Durable-Execution-Arn": execution.durable_execution_arn,
            "X-Amz-Executed-Version": execution.executed_version(),
        }
        if not synchronous:
            return Response(202, b"", headers)
        # The execution's own timeout ends it before, unless a pause holds that back.
        execution.done.wait(SYNCHRONOUS_LIMIT_SECONDS)
        return self._answer(execution, headers)

    def handle(self, request: Request) -> Response:
        """Answer any request below ``/2025-12-01/``; errors as responses."""
        try:
            return self._routes.handle(request)
        except ApiError as error:
            return error.to_response()
        except AwsApiException as error:
            return _api_error(error).to_response()
        except Exception as error:  # noqa: BLE001 - a server answers whatever happens; the log has the rest
            if self._closed:
                return service_failure("The local cloud is shutting down.").to_response()
            _log.exception("A durable execution request failed: %s %s", request.method, request.raw_path)
            return service_failure(f"Internal failure: {type(error).__name__}").to_response()

    def delete_function(self, name: str) -> None:
        """Stop every running execution of a function and forget nothing of their history.

        The executions are not listed any more, and their names are free for a function that is created anew.
        """
        error = ErrorObject(
            message=f"The function {name} was deleted.", type="FunctionDeleted", data=None, stack_trace=None
        )
        with self._starts:
            executions = self._store.of_function(name)
            self._store.unlist_function(name)
        for execution in executions:
            if not execution.is_complete:
                self._executor.stop_execution(execution.durable_execution_arn, error)

    def close(self) -> None:
        """Stop everything; nothing runs afterwards."""
        with self._starts:
            if self._closed:
                return
            self._closed = True
        self._executor.shutdown()
        self._scheduler.stop()
        self._registry.shutdown()

    def _start(
        self,
        function: ResolvedFunction,
        config: DurableConfig,
        name: str,
        text: str,
        *,
        client_context: str | None,
        tenant_id: str | None,
    ) -> JournaledExecution:
        return self._executor.start(
            StartDurableExecutionInput(
                account_id=self._account_id,
                function_name=function.name,
                function_qualifier=function.version,
                execution_name=name,
                execution_timeout_seconds=config.execution_timeout,
                execution_retention_period_days=config.retention_period_in_days,
                tenant_id=tenant_id,
                input=text,
            ),
            client_context,
        )

    @staticmethod
    def _answer(execution: JournaledExecution, headers: dict[str, str]) -> Response:
        with execution.view:
            status, outcome = execution.status, execution.result
        if outcome is None:
            raise service_failure(f"The durable execution is still {status} after 15 minutes.")
        if status == "SUCCEEDED":
            return Response(200, (outcome.result or "null").encode(), {"Content-Type": "application/json", **headers})
        error = outcome.error
        body = {
            "errorMessage": error.message if error else None,
            "errorType": error.type if error else None,
            "errorData": error.data if error else None,
            "stackTrace": error.stack_trace if error else None,
        }
        shown = {member: value for member, value in body.items() if value is not None}
        return Response.of_json(shown, 200, {"X-Amz-Function-Error": "Unhandled", **headers})


def _json_text(payload: bytes) -> str:
    if not payload.strip():
        return "{}"
    try:
        text = payload.decode()
        json.loads(text)
    except ValueError as error:
        raise ApiError(
            "InvalidRequestContentException",
            f"Could not parse request body into json: {error}",
            400,
            members={"Type": "User"},
        ) from error
    return text


def _api_error(error: AwsApiException) -> ApiError:
    """An error of the engine as the service's: its class is named as the shape is."""
    if error.http_status_code >= 500:
        return service_failure(str(error))
    return ApiError(type(error).__name__, str(error), error.http_status_code, members={"Type": "User"})
