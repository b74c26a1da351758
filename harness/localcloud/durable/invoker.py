"""Invocations of a durable function's code, as the engine asks for them.

Private attributes of the testing SDK 1.4.0 that this module uses: none.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws_durable_execution_sdk_python.execution import DurableExecutionInvocationInput, InitialExecutionState
from aws_durable_execution_sdk_python.lambda_service import ErrorObject
from aws_durable_execution_sdk_python_testing.checkpoint.processor import DEFAULT_MAX_INVOCATION_PAGE_BYTES
from aws_durable_execution_sdk_python_testing.exceptions import ResourceNotFoundException
from aws_durable_execution_sdk_python_testing.execution import Execution, OperationPaginatorState
from aws_durable_execution_sdk_python_testing.invoker import Invoker, InvokeResponse

from harness.localcloud.api import ApiError, FunctionResolver, FunctionRunner, InvokeOutcome
from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.execution import JournaledExecution
from harness.localcloud.durable.serialize import epoch_milliseconds, operations


@dataclass(frozen=True)
class FailedInvocation:
    """An invocation that gave the engine nothing to work with.

    Attributes:
        request_id: Its request id.
        started: When it began, on the engine's clock.
        ended: When it ended.
        error: What it failed with.
        throttled: Whether it never ran, for want of concurrency.
    """

    request_id: str
    started: datetime
    ended: datetime
    error: ErrorObject
    throttled: bool = False


class InvocationFailedError(Exception):
    """Tells the engine that an invocation failed; `RunnerInvoker.take_failure` has the particulars."""


class RunnerInvoker(Invoker):
    """Runs a handler through a `FunctionRunner`, always on the version that the execution is pinned to.

    Args:
        resolver: Finds the pinned version's code.
        runner: Runs it.
        clock: The engine's clock.
        find: Finds an execution by its ARN.
    """

    def __init__(
        self,
        resolver: FunctionResolver,
        runner: FunctionRunner,
        clock: ScaledClock,
        find: Callable[[str], JournaledExecution | None],
    ) -> None:
        self._resolver = resolver
        self._runner = runner
        self._clock = clock
        self._find = find
        self._lock = threading.Lock()
        # At most one invocation of an execution is in flight, so its ARN is key enough.
        self._failures: dict[str, FailedInvocation] = {}

    def create_invocation_input(self, execution: Execution) -> DurableExecutionInvocationInput:
        """What the next invocation of an execution gets: its token and the first page of its state."""
        page, next_marker = OperationPaginatorState.pin(execution).page(None, DEFAULT_MAX_INVOCATION_PAGE_BYTES)
        return DurableExecutionInvocationInput(
            durable_execution_arn=execution.durable_execution_arn,
            checkpoint_token=execution.get_new_checkpoint_token(),
            initial_execution_state=InitialExecutionState(operations=page, next_marker=next_marker or ""),
            updated_operation_ids=list(execution.updated_operation_ids),
        )

    def invoke(  # noqa: PLR0917 - the protocol's parameters
        self,
        function_name: str,
        input: DurableExecutionInvocationInput,  # noqa: A002 - the protocol's name
        endpoint_url: str | None = None,  # noqa: ARG002
        tenant_id: str | None = None,
        account_id: str | None = None,  # noqa: ARG002
        region_name: str | None = None,  # noqa: ARG002
    ) -> InvokeResponse:
        """Run the handler once.

        Args:
            function_name: ``name:version``, or the bare name for ``$LATEST``.
            input: As `create_invocation_input` made it.
            endpoint_url: Not used: the runner knows where functions run.
            tenant_id: The execution's tenant.
            account_id: Not used.
            region_name: Not used.

        Raises:
            ResourceNotFoundException: When the function is gone; the execution fails with it.
            InvocationFailedError: When the handler gave no answer; the engine invokes it again.
            InvalidInvocationOutputError: When its answer isn't one of a durable function; the execution fails.
        """
        arn = input.durable_execution_arn
        name, _, version = function_name.partition(":")
        request_id = str(uuid.uuid4())
        started = self._clock.now()
        execution = self._find(arn)
        if execution is None:
            # Deleted since the invocation was begun.
            raise ResourceNotFoundException(f"The durable execution does not exist: {arn}")
        try:
            function = self._resolver.resolve(name, version or "$LATEST")
            outcome = self._runner.invoke(
                function,
                json.dumps(self._event(execution, input), separators=(",", ":")).encode(),
                request_id=request_id,
                client_context=execution.client_context,
                tenant_id=tenant_id,
            )
        except ApiError as error:
            if error.code == "ResourceNotFoundException":
                raise ResourceNotFoundException(error.message) from error
            failure = ErrorObject(message=error.message, type=error.code, data=None, stack_trace=None)
            self._note(arn, FailedInvocation(request_id, started, self._clock.now(), failure, error.status == 429))
            raise InvocationFailedError(error.code) from error
        if outcome.function_error is not None:
            self._note(arn, FailedInvocation(outcome.request_id, started, self._clock.now(), outcome_error(outcome)))
            raise InvocationFailedError(outcome.error_type or outcome.function_error)
        return InvokeResponse.from_payload(outcome.payload, outcome.request_id)

    def take_failure(self, execution_arn: str) -> FailedInvocation | None:
        """How the execution's last invocation failed; told once."""
        with self._lock:
            return self._failures.pop(execution_arn, None)

    def update_endpoint(self, endpoint_url: str, region_name: str) -> None:
        """Nothing to do: the runner knows where functions run."""

    def inherit_endpoint(self, child_execution_arn: str, parent_execution_arn: str) -> None:
        """Nothing to do: the runner knows where functions run."""

    def _note(self, arn: str, failure: FailedInvocation) -> None:
        with self._lock:
            self._failures[arn] = failure

    def _event(self, execution: JournaledExecution, given: DurableExecutionInvocationInput) -> dict[str, Any]:
        """The handler's event, with wall-clock times in epoch milliseconds."""
        state = given.initial_execution_state
        return {
            "DurableExecutionArn": given.durable_execution_arn,
            "CheckpointToken": given.checkpoint_token,
            "InitialExecutionState": {
                "Operations": operations(state.operations, self._clock, execution.pace, epoch_milliseconds),
                "NextMarker": state.next_marker,
            },
            "UpdatedOperationIds": given.updated_operation_ids,
        }


def outcome_error(outcome: InvokeOutcome) -> ErrorObject:
    """What a failed invocation failed with, its stack trace included if it has one."""
    try:
        body = json.loads(outcome.payload)
    except ValueError:
        body = None
    trace = body.get("stackTrace") if isinstance(body, dict) else None
    return ErrorObject(
        message=outcome.error_message,
        type=outcome.error_type,
        data=None,
        stack_trace=[line if isinstance(line, str) else json.dumps(line) for line in trace] if trace else None,
    )
