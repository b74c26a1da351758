"""The testing SDK's engine, as the local cloud runs it.

`LocalExecutor` is AWS's ``Executor`` with the service's ARNs, versions, journal, pauses and typed callback errors.
What it changes of the engine's decisions is only this: a throttled invocation doesn't use up an attempt, a timeout
never overwrites another end, timers of an execution end with it, and its time passes at its own pace
(`harness.localcloud.durable.pace`).

Private attributes of the testing SDK 1.4.0's ``Executor`` that this module uses: ``_store``, ``_registry``, ``_clock``,
``_region``, ``_dispatcher``, ``_invocation_pool``, ``_target_pool``, ``_completion_events``, ``_execution_timeouts``,
``_set_invocation_gate``, ``_invocation_gate``, ``_invoke_execution``, ``_schedule_earliest_pending``,
``_complete_callback_success``, ``_complete_callback_failure``, ``_process_callback_heartbeat``,
``_resume_execution``, and the methods that it overrides.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from aws_durable_execution_sdk_python.execution import DurableExecutionInvocationInput
from aws_durable_execution_sdk_python.lambda_service import ErrorObject, OperationStatus
from aws_durable_execution_sdk_python_testing.exceptions import IllegalStateException
from aws_durable_execution_sdk_python_testing.execution import Execution
from aws_durable_execution_sdk_python_testing.invoker import InvokeResponse
from aws_durable_execution_sdk_python_testing.model import StartDurableExecutionInput
from aws_durable_execution_sdk_python_testing.worker.checkpoint_tasks import CallableTask
from aws_durable_execution_sdk_python_testing.worker.status import InvocationState

from harness.localcloud.api import ApiError, FunctionResolver, FunctionRunner
from harness.localcloud.durable.children import LocalChildDispatcher
from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.deadlines import Deadlines
from harness.localcloud.durable.elastic import ElasticThreadPool
from harness.localcloud.durable.execution import JournaledExecution, JournalingDispatcher, Pause
from harness.localcloud.durable.invoker import RunnerInvoker
from harness.localcloud.durable.names import ExecutionArn, conflict, invalid, not_found, parse_callback_id
from harness.localcloud.durable.paced_executor import PacedExecutor
from harness.localcloud.durable.scheduling import PooledRegistry, ScaledScheduler
from harness.localcloud.durable.store import IndexedStore

# Wall-clock seconds until a throttled invocation is tried again, whatever the time scale.
THROTTLE_BACKOFF_SECONDS = 0.2
SETTLE_SECONDS = 5.0


class LocalExecutor(PacedExecutor):
    """The engine over the local cloud's functions.

    Args:
        store: Holds the executions.
        scheduler: The engine's timers, started.
        registry: The executions' lanes.
        clock: The engine's clock.
        resolver: Finds functions.
        runner: Runs them.
        region: The region of every execution.
        invocations: How many handlers run at once at most.
    """

    def __init__(
        self,
        *,
        store: IndexedStore,
        scheduler: ScaledScheduler,
        registry: PooledRegistry,
        clock: ScaledClock,
        resolver: FunctionResolver,
        runner: FunctionRunner,
        region: str,
        invocations: int,
    ) -> None:
        self._runner_invoker = RunnerInvoker(resolver, runner, clock, store.find)
        super().__init__(
            store=store,
            scheduler=scheduler,
            clock=clock,
            registry=registry,
            invoker=self._runner_invoker,
            children=LocalChildDispatcher(resolver, runner, self._record_version),
            region=region,
        )
        self._dispatcher = JournalingDispatcher(chained_invoke_preflight=self.preflight_chained_invoke)
        self.deadlines = Deadlines(scheduler, clock, self._execution_timeouts, self._expire)
        # The engine's own pools have min(32, cores + 4) threads, behind which a wide run would queue.
        self._invocation_pool = ElasticThreadPool(invocations, "durable-invocation")  # type: ignore[assignment]
        self._target_pool = ElasticThreadPool(invocations, "durable-chained-target")  # type: ignore[assignment]

    # -- starts

    def start(self, given: StartDurableExecutionInput, client_context: str | None = None) -> JournaledExecution:
        """Create an execution and launch it."""
        execution = self._create_execution(given)
        execution.client_context = client_context
        self._launch_execution(execution, given.execution_timeout_seconds)
        return execution

    def _create_execution(
        self,
        input: StartDurableExecutionInput,  # noqa: A002 - the engine's name
        parent_execution_arn: str | None = None,
    ) -> JournaledExecution:
        execution_id = str(uuid.uuid4())
        arn = ExecutionArn(
            self._region,
            input.account_id,
            input.function_name,
            input.function_qualifier,
            input.execution_name,
            execution_id,
        )
        execution = JournaledExecution(
            str(arn), replace(input, invocation_id=execution_id), self.executions.next_sequence(), self.clock
        )
        execution.region = self._region
        execution.parent_execution_arn = parent_execution_arn
        execution.start(now=self._clock.now())
        self._store.save(execution)
        self.executions.register(execution)
        return execution

    def _launch_execution(self, execution: Execution, timeout_seconds: int) -> None:
        if isinstance(execution, JournaledExecution) and timeout_seconds > 0:
            execution.times_out_at = execution.started + timedelta(seconds=timeout_seconds)
        super()._launch_execution(execution, timeout_seconds)

    def _record_version(self, parent_arn: str, operation_id: str, version: str) -> None:
        parent = self.executions.find(parent_arn)
        if parent is not None:
            parent.record_chained_invoke_version(operation_id, version)

    # -- invocations

    def _begin_invocation(self, execution_arn: str) -> tuple[Execution, DurableExecutionInvocationInput, int] | None:
        claim = super()._begin_invocation(execution_arn)
        if claim is not None:
            execution = self.executions.find(execution_arn)
            if execution is not None:
                self.deadlines.invocation_began(execution)
        return claim

    def _finish_invocation(
        self,
        execution_arn: str,
        invoke_response: InvokeResponse,
        invocation_start: datetime,
        invocation_end: datetime,
        invocation_seq: int | None = None,
    ) -> None:
        execution = self.executions.find(execution_arn)
        if execution is None:
            return
        self.deadlines.invocation_ended(execution)
        super()._finish_invocation(execution_arn, invoke_response, invocation_start, invocation_end, invocation_seq)
        self._invocation_over(execution)

    def _retry_after_error(self, execution_arn: str, error: ErrorObject) -> None:
        failure = self._runner_invoker.take_failure(execution_arn)
        execution = self.executions.find(execution_arn)
        if execution is None:
            return
        self.deadlines.invocation_ended(execution)
        if failure is not None:
            error = failure.error
            if not failure.throttled:
                execution.record_invocation_completion(failure.started, failure.ended, failure.request_id, error)
        if execution.is_complete:
            self._set_invocation_gate(execution_arn, InvocationState.COMPLETED)
        elif failure is not None and failure.throttled:
            self._set_invocation_gate(execution_arn, InvocationState.PRE_INVOKE)
            self._invoke_execution(execution_arn, delay=THROTTLE_BACKOFF_SECONDS * self.clock.scale)
        else:
            super()._retry_after_error(execution_arn, error)
        self._invocation_over(execution)

    def _retry_after_timeout(
        self, execution_arn: str, error: ErrorObject, invocation_start: datetime, invocation_end: datetime
    ) -> None:
        execution = self.executions.find(execution_arn)
        if execution is not None:
            self.deadlines.invocation_ended(execution)
            super()._retry_after_timeout(execution_arn, error, invocation_start, invocation_end)
            self._invocation_over(execution)

    def _invocation_over(self, execution: JournaledExecution) -> None:
        """What an invocation's end lets happen: time is fast again, and what was held back comes."""
        arn = execution.durable_execution_arn
        self._pace_changed(execution)
        if self._apply_held_outcomes(execution):
            self._invoke_execution(arn)
        self._settle_pause(arn)

    def _fail_after_invalid_output(
        self,
        execution_arn: str,
        error: ErrorObject,
        invocation_start: datetime,
        invocation_end: datetime,
        request_id: str | None,
    ) -> None:
        if self.executions.find(execution_arn) is not None:
            super()._fail_after_invalid_output(
                execution_arn, error, invocation_start, invocation_end, request_id or str(uuid.uuid4())
            )

    def _fail_invocation_not_found(self, execution_arn: str, error: ErrorObject) -> None:
        execution = self.executions.find(execution_arn)
        if execution is None:
            return
        if execution.is_complete:
            self._set_invocation_gate(execution_arn, InvocationState.COMPLETED)
            return
        super()._fail_invocation_not_found(execution_arn, error)

    # -- ends

    def _apply_timeout(self, execution_arn: str, error: ErrorObject) -> None:
        execution = self.executions.find(execution_arn)
        if execution is None or execution.is_complete:
            return
        if self.deadlines.is_due(execution):
            super()._apply_timeout(execution_arn, error)
        else:
            self.deadlines.arm(execution)

    def on_timed_out(self, execution_arn: str, error: ErrorObject) -> None:
        """An execution's timer fired."""
        # The engine would tell everybody that the execution has ended, even when its deadline has moved meanwhile.
        self._registry.submit(execution_arn, CallableTask(lambda: self._apply_timeout(execution_arn, error))).result()
        execution = self.executions.find(execution_arn)
        if execution is not None and execution.is_complete:
            self._complete_events(execution_arn)

    def _expire(self, execution: JournaledExecution) -> None:
        seconds = execution.start_input.execution_timeout_seconds
        error = ErrorObject.from_message(f"Execution timed out after {seconds} seconds.")
        self.on_timed_out(execution.durable_execution_arn, error)

    def _complete_events(self, execution_arn: str) -> None:
        super()._complete_events(execution_arn)
        self._completion_events.pop(execution_arn, None)
        execution = self.executions.find(execution_arn)
        if execution is None:
            return
        self._schedule_earliest_pending(execution_arn)
        for callback_id, _kind in list(execution.pace.limits):
            self._cleanup_callback_timeouts(callback_id)
        execution.done.set()

    # -- callbacks

    def complete_callback(self, callback_id: str, outcome: bytes | ErrorObject | None) -> None:
        """Complete a callback with a result (bytes) or a failure (ErrorObject or None).

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException, or CallbackTimeoutException when
                the callback has timed out or is closed already.
        """

        def apply() -> None:
            if isinstance(outcome, bytes):
                self._complete_callback_success(callback_id, outcome)
            else:
                absent = ErrorObject(message=None, type=None, data=None, stack_trace=None)
                self._complete_callback_failure(callback_id, outcome or absent)

        if isinstance(outcome, bytes):
            try:
                outcome.decode()
            except UnicodeDecodeError as error:
                raise invalid("The callback's result must be UTF-8.") from error
        self._invoke_execution(self._on_open_callback(callback_id, apply))

    def heartbeat_callback(self, callback_id: str) -> None:
        """Restart a callback's heartbeat timeout.

        Raises:
            ApiError: As `complete_callback`.
        """
        self._on_open_callback(callback_id, lambda: self._process_callback_heartbeat(callback_id))

    def _on_open_callback(self, callback_id: str, apply: Callable[[], None]) -> str:
        """Run ``apply`` on the lane of the callback's execution if the callback is open; give the execution's ARN."""
        arn = parse_callback_id(callback_id).execution_arn

        def checked() -> None:
            execution = self.executions.find(arn)
            if execution is None:
                raise not_found("The callback's durable execution does not exist.")
            try:
                _, operation = execution.find_callback_operation(callback_id)
            except IllegalStateException as error:
                raise not_found("The callback does not exist.") from error
            if execution.is_complete or operation.status is not OperationStatus.STARTED:
                raise ApiError(
                    "CallbackTimeoutException",
                    "The callback has timed out."
                    if operation.status is OperationStatus.TIMED_OUT
                    else "The callback has already been closed.",
                    400,
                    members={"Type": "User"},
                )
            apply()

        # An unknown execution must not get a lane.
        if self.executions.find(arn) is None:
            raise not_found("The callback's durable execution does not exist.")
        self._on_lane(arn, checked)
        return arn

    # -- pauses

    def request_pause(
        self, execution: JournaledExecution, *, reason: str | None, timeout_paused: bool, client_token: str | None
    ) -> None:
        """Pause an execution: at once when no invocation runs, else when the running one reaches its end.

        Raises:
            ApiError: ResourceConflictException when it has ended or is paused already.
        """

        def apply() -> None:
            if execution.is_complete:
                raise conflict(f"The durable execution is {execution.status}; only a running one can be paused.")
            current = execution.requested_pause
            if current is not None:
                if client_token is not None and current.client_token == client_token:
                    return
                raise conflict(f"The durable execution is {execution.status} already.")
            execution.pause()
            execution.requested_pause = Pause(self._clock.now(), reason, timeout_paused, client_token)
            self._settle_pause(execution.durable_execution_arn)

        self._on_lane(execution.durable_execution_arn, apply)

    def request_resume(self, execution: JournaledExecution, *, reason: str | None, client_token: str | None) -> None:
        """Let a paused execution go on, or take back a pause that hasn't taken effect.

        Raises:
            ApiError: ResourceConflictException when it isn't paused.
        """
        arn = execution.durable_execution_arn

        def apply() -> None:
            pause = execution.requested_pause
            if execution.is_complete or pause is None:
                if client_token is not None and execution.last_resume_token == client_token:
                    return
                raise conflict(f"The durable execution is {execution.status}; only a paused one can be resumed.")
            now = self._clock.now()
            execution.last_resume_token = client_token
            execution.requested_pause = None
            if pause.effective is not None:
                execution.journal_resume(now, reason)
                if pause.timeout_paused:
                    self.deadlines.release(execution, pause.effective)
            self._resume_execution(arn)

        self._on_lane(arn, apply)

    def _settle_pause(self, execution_arn: str) -> None:
        """Let a pause take effect if one was asked for and no invocation runs. Runs on the execution's lane."""
        execution = self.executions.find(execution_arn)
        if execution is None or execution.is_complete:
            return
        pause = execution.requested_pause
        if pause is None or pause.effective or self._invocation_gate(execution_arn) is InvocationState.INVOKING:
            return
        execution.journal_pause(self._clock.now())
        self.deadlines.arm(execution)

    # -- deletion

    def delete(self, execution: JournaledExecution) -> datetime:
        """Forget an execution that has ended; gives the time of the request on the engine's clock.

        Raises:
            ApiError: ResourceConflictException when it hasn't ended.
        """
        if not execution.is_complete:
            raise conflict(f"The durable execution is {execution.status}; only one that has ended can be deleted.")
        # Its last event is out; what follows it takes no longer than a turn of its lane.
        execution.done.wait(SETTLE_SECONDS)
        self.executions.remove(execution)
        return self._clock.now()

    def _on_lane(self, arn: str, apply: Callable[[], None]) -> None:
        """Run ``apply`` on an execution's lane and wait for it.

        Raises:
            ApiError: What ``apply`` raised.
        """

        def guarded() -> ApiError | None:
            # A task that raises would leave the worker of an ended execution behind.
            try:
                apply()
            except ApiError as error:
                return error
            return None

        refused = self._registry.submit(arn, CallableTask(guarded)).result()
        if refused is not None:
            raise refused

    def shutdown(self) -> None:
        """Start nothing any more, and let go whoever waits for an execution's end."""
        super().shutdown()
        for execution in self.executions.all():
            execution.done.set()
