"""The engine's clockwork at each execution's own pace: waits, retries, callback timeouts, ends of invoked functions.

Private attributes of the testing SDK 1.4.0's ``Executor`` that this module uses: ``_store``, ``_registry``,
``_scheduler``, ``_callback_timeouts``, ``_callback_heartbeats``, ``_invocation_gate``, ``_invoke_execution``,
``_schedule_earliest_pending``, ``_fire_due_operations``, ``_apply_callback_timeout``, and the methods that it
overrides.
"""

from __future__ import annotations

from datetime import datetime

from aws_durable_execution_sdk_python.lambda_service import (
    CallbackOptions,
    ErrorObject,
    OperationStatus,
    OperationUpdate,
)
from aws_durable_execution_sdk_python_testing.checkpoint.processor import CheckpointProcessor
from aws_durable_execution_sdk_python_testing.execution import Execution
from aws_durable_execution_sdk_python_testing.executor import Executor
from aws_durable_execution_sdk_python_testing.model import CheckpointDurableExecutionResponse
from aws_durable_execution_sdk_python_testing.worker.checkpoint_tasks import CallableTask
from aws_durable_execution_sdk_python_testing.worker.status import InvocationState

from harness.localcloud.durable.callback_timers import HEARTBEAT, TIMEOUT, CallbackTimers, timeout_error
from harness.localcloud.durable.children import LocalChildDispatcher
from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.deadlines import LONGEST_INVOCATION
from harness.localcloud.durable.execution import JournaledExecution
from harness.localcloud.durable.invoker import RunnerInvoker
from harness.localcloud.durable.names import parse_callback_id
from harness.localcloud.durable.pace import pending
from harness.localcloud.durable.scheduling import PooledRegistry, ScaledScheduler
from harness.localcloud.durable.store import IndexedStore

# On AWS an invoked function's result takes longer than the return of the invocation that invoked it, which waits for
# it. Here it can be the other way round; so the result is held back until that return, but not longer than this
# (wall-clock time), in case that the invocation has more to do.
OUTCOME_PATIENCE_SECONDS = 1.0


class PacedExecutor(Executor):
    """The engine whose time passes at the pace of each execution (`harness.localcloud.durable.pace`).

    Args:
        store: Holds the executions.
        scheduler: The engine's timers, started.
        clock: The engine's clock.
        registry: The executions' lanes.
        invoker: Runs handlers.
        children: Runs invoked functions.
        region: The region of every execution.
    """

    def __init__(
        self,
        *,
        store: IndexedStore,
        scheduler: ScaledScheduler,
        clock: ScaledClock,
        registry: PooledRegistry,
        invoker: RunnerInvoker,
        children: LocalChildDispatcher,
        region: str,
    ) -> None:
        self.executions = store
        self.clock = clock
        super().__init__(
            store,
            scheduler,
            invoker,
            CheckpointProcessor(store, scheduler, clock),
            invocation_timeout_seconds=int(LONGEST_INVOCATION.total_seconds()),
            registry=registry,
            clock=clock,
            child_dispatcher=children,
            region=region,
        )
        self._callback_timers = CallbackTimers(
            scheduler,
            clock,
            {TIMEOUT: self._callback_timeouts, HEARTBEAT: self._callback_heartbeats},
            self._callback_timer_fired,
        )

    def _pace_changed(self, execution: JournaledExecution) -> None:
        """Set every timer of an execution whose code doesn't run any more."""
        if not execution.is_complete:
            self._schedule_earliest_pending(execution.durable_execution_arn)
            self._callback_timers.pace_changed(execution)

    def _earliest_pending_timestamp(self, execution: Execution) -> datetime | None:  # type: ignore[override]
        if not isinstance(execution, JournaledExecution):
            return None
        now, pace = self.clock.now(), execution.pace
        moments = [moment for one in pending(execution.operations) if (moment := pace.due(one, now)) is not None]
        return now + pace.engine_delay(min(moments), now) if moments else None

    def _checkpoint_execution(
        self,
        execution_arn: str,
        checkpoint_token: str,
        updates: list[OperationUpdate] | None = None,
        client_token: str | None = None,
    ) -> CheckpointDurableExecutionResponse:
        # Code asks at the very moment at which a wait is over; its timer may come a moment later.
        if self._fire_due_operations(execution_arn):
            self._store.load(execution_arn).needs_reinvoke = True
        return super()._checkpoint_execution(execution_arn, checkpoint_token, updates, client_token)

    # -- invoked functions

    def _apply_chained_invoke_completion(
        self,
        parent_arn: str,
        operation_id: str,
        status: OperationStatus,
        result: str | None,
        error: ErrorObject | None,
    ) -> None:
        def apply() -> None:
            super(PacedExecutor, self)._apply_chained_invoke_completion(parent_arn, operation_id, status, result, error)

        parent = self.executions.find(parent_arn)
        if parent is None or self._invocation_gate(parent_arn) is not InvocationState.INVOKING:
            apply()
            return
        parent.held_outcomes.append(apply)
        self._scheduler.call_later(
            lambda: self._release_held_outcomes(parent), delay=OUTCOME_PATIENCE_SECONDS * self.clock.scale
        )

    def _apply_held_outcomes(self, execution: JournaledExecution) -> bool:
        held, execution.held_outcomes = execution.held_outcomes, []
        if execution.is_complete:
            return False
        for apply in held:
            apply()
        return bool(held)

    def _release_held_outcomes(self, execution: JournaledExecution) -> None:
        arn = execution.durable_execution_arn
        if self._registry.submit(arn, CallableTask(lambda: self._apply_held_outcomes(execution))).result():
            self._invoke_execution(arn)

    # -- callbacks

    def _schedule_callback_timeouts(
        self, execution_arn: str, callback_options: CallbackOptions | None, callback_id: str
    ) -> None:
        execution = self.executions.find(execution_arn)
        if execution is not None and callback_options is not None:
            self._callback_timers.begin(execution, callback_id, callback_options)

    def _reset_callback_heartbeat_timeout(self, callback_id: str, execution_arn: str) -> None:
        execution = self.executions.find(execution_arn)
        if execution is not None:
            self._callback_timers.heartbeat(execution, callback_id)

    def _cleanup_callback_timeouts(self, callback_id: str) -> None:
        super()._cleanup_callback_timeouts(callback_id)
        execution = self.executions.find(parse_callback_id(callback_id).execution_arn)
        if execution is not None:
            execution.pace.drop_limits(callback_id)

    def _callback_timer_fired(self, execution_arn: str, callback_id: str, kind: str) -> None:
        def apply() -> bool:
            execution = self.executions.find(execution_arn)
            if execution is None or execution.is_complete:
                return False
            if not self._callback_timers.is_due(execution, callback_id, kind):
                return False
            self._apply_callback_timeout(callback_id, timeout_error(kind))
            self._cleanup_callback_timeouts(callback_id)
            return True

        # An ended execution must not get a lane again.
        execution = self.executions.find(execution_arn)
        if execution is None or execution.is_complete:
            return
        if self._registry.submit(execution_arn, CallableTask(apply)).result():
            self._invoke_execution(execution_arn)
