"""Functions that a durable function invokes: children with executions of their own, or single invocations."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from aws_durable_execution_sdk_python.lambda_service import ErrorObject
from aws_durable_execution_sdk_python_testing.child_dispatcher import (
    CHAINED_INVOKE_UTF8_DECODING_MESSAGE,
    ChainedInvokeRequest,
    ChildOutcome,
    DispatchResult,
    FunctionTarget,
    RunInvocation,
    StartChild,
    failed_to_start,
    result_outcome,
)
from aws_durable_execution_sdk_python_testing.model import StartDurableExecutionInput

from harness.localcloud.api import ApiError, FunctionResolver, FunctionRunner, ResolvedFunction
from harness.localcloud.durable.invoker import outcome_error

UNQUALIFIED_MESSAGE = "You cannot invoke a durable function using an unqualified ARN."


class LocalChildDispatcher:
    """The engine's ``ChildDispatcher`` over the local cloud's own functions.

    Args:
        resolver: Finds the target.
        runner: Runs a target that isn't durable.
        on_resolved: Is told the parent's ARN, the operation's id and the version that runs.
    """

    def __init__(
        self,
        resolver: FunctionResolver,
        runner: FunctionRunner,
        on_resolved: Callable[[str, str, str], None],
    ) -> None:
        self._resolver = resolver
        self._runner = runner
        self._on_resolved = on_resolved

    def preflight(self, target: FunctionTarget) -> ChildOutcome | None:
        """What is wrong with a target, so that its checkpoint can say so; None when it can be invoked."""
        try:
            self._resolve(target.name, target.qualifier)
        except ApiError as error:
            return failed_to_start(error.message, error.code).outcome
        return None

    def dispatch(self, request: ChainedInvokeRequest) -> DispatchResult:
        """How a target is to be run."""
        try:
            function = self._resolve(request.function_name, request.qualifier)
        except ApiError as error:
            return failed_to_start(error.message, error.code)
        self._on_resolved(request.parent_execution_arn, request.operation_id, function.version)
        if function.durable is None:
            return RunInvocation(invocation=lambda: self._run(function, request))
        return StartChild(
            child_start=StartDurableExecutionInput(
                account_id=request.account_id,
                function_name=function.name,
                function_qualifier=function.version,
                execution_name=str(uuid.uuid4()),
                execution_timeout_seconds=function.durable.execution_timeout,
                execution_retention_period_days=function.durable.retention_period_in_days,
                trace_fields=request.trace_fields,
                tenant_id=request.tenant_id,
                input=request.payload,
            )
        )

    def _resolve(self, name: str, qualifier: str | None) -> ResolvedFunction:
        function = self._resolver.resolve(name, qualifier)
        if function.durable is not None and function.qualifier is None:
            raise ApiError("InvalidParameterValueException", UNQUALIFIED_MESSAGE, 400)
        return function

    def _run(self, function: ResolvedFunction, request: ChainedInvokeRequest) -> ChildOutcome:
        payload = (request.payload if request.payload is not None else "{}").encode()
        try:
            outcome = self._runner.invoke(function, payload, tenant_id=request.tenant_id)
        except ApiError as error:
            return failed_to_start(error.message, error.code).outcome
        if outcome.function_error is not None:
            return ChildOutcome(error=outcome_error(outcome))
        try:
            return result_outcome(outcome.payload.decode() or None)
        except UnicodeDecodeError:
            return ChildOutcome(error=ErrorObject.from_message(CHAINED_INVOKE_UTF8_DECODING_MESSAGE))
