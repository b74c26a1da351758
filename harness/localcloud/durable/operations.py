"""The operations of the ``/2025-12-01/`` API, as values in and values out.

Members and defaults are those of https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html, durable execution
operations, and of botocore 1.44.5's service model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws_durable_execution_sdk_python.lambda_service import ErrorObject, OperationUpdate
from aws_durable_execution_sdk_python_testing.exceptions import InvalidParameterValueException

from harness.localcloud.api import FunctionResolver
from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.execution import JournaledExecution
from harness.localcloud.durable.executor import LocalExecutor
from harness.localcloud.durable.names import invalid, not_found, require_execution_arn
from harness.localcloud.durable.serialize import operations, to_json

STATUSES = frozenset({"RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED", "DELETING", "PAUSING", "PAUSED"})
DEFAULT_MAX_ITEMS = 100
LARGEST_MAX_ITEMS = 1000
LARGEST_CALLBACK_RESULT = 1_048_576
# The prefix that the SDK recognizes as "invoke me again with a fresh token".
INVALID_TOKEN_MESSAGE = "Invalid checkpoint token"  # noqa: S105 - a message


@dataclass(frozen=True)
class ListFilter:
    """What ListDurableExecutionsByFunction was asked for.

    Attributes:
        name: The execution's name, or None for any.
        statuses: Acceptable statuses; empty for any.
        started_after: Wall-clock time, inclusive.
        started_before: Wall-clock time, inclusive.
    """

    name: str | None = None
    statuses: Collection[str] = ()
    started_after: datetime | None = None
    started_before: datetime | None = None


class Operations:
    """The API over one engine.

    Args:
        executor: The engine.
        resolver: Finds functions by whatever a client calls them.
        clock: Maps engine time to wall-clock time.
    """

    def __init__(self, executor: LocalExecutor, resolver: FunctionResolver, clock: ScaledClock) -> None:
        self._executor = executor
        self._resolver = resolver
        self._clock = clock

    def execution(self, arn: str) -> JournaledExecution:
        """The execution with this ARN.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException.
        """
        execution = self._executor.executions.find(require_execution_arn(arn))
        if execution is None:
            raise not_found(f"The durable execution does not exist: {arn}")
        return execution

    def list_executions(
        self,
        function: str,
        qualifier: str | None,
        wanted: ListFilter,
        *,
        reverse: bool,
        marker: str | None,
        max_items: int,
    ) -> dict[str, Any]:
        """ListDurableExecutionsByFunction: newest first unless reversed.

        Raises:
            ApiError: ResourceNotFoundException for an unknown function or qualifier; InvalidParameterValueException.
        """
        unknown = sorted(set(wanted.statuses) - STATUSES)
        if unknown or len(wanted.statuses) > 10:
            raise invalid(f"Statuses must be 1 to 10 of {', '.join(sorted(STATUSES))}, not: {', '.join(unknown)}")
        resolved = self._resolver.resolve(function, qualifier)
        version = resolved.version if resolved.qualifier is not None else None
        after = _number(marker)
        found = []
        for execution in self._executor.executions.of_function(resolved.name):
            started = self._clock.to_wall(execution.started)
            status = execution.status
            if (
                (version is None or execution.executed_version() == version)
                and (wanted.name is None or execution.name == wanted.name)
                and (not wanted.statuses or status in wanted.statuses)
                and (wanted.started_after is None or started >= wanted.started_after)
                and (wanted.started_before is None or started <= wanted.started_before)
            ):
                found.append((execution, status))
        if not reverse:
            found.reverse()
        if after:
            found = [pair for pair in found if (pair[0].sequence > after if reverse else pair[0].sequence < after)]
        page = found[:max_items]
        return {
            "DurableExecutions": [self._summary(execution) for execution, _status in page],
            **({"NextMarker": str(page[-1][0].sequence)} if len(found) > max_items else {}),
        }

    def get(self, arn: str, *, include_data: bool) -> dict[str, Any]:
        """GetDurableExecution.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException.
        """
        execution = self.execution(arn)
        with execution.view:
            described = {
                **self._described(execution),
                "Version": execution.executed_version(),
                "ExecutionDataIncluded": include_data,
                "DurableConfig": {
                    "ExecutionTimeout": execution.start_input.execution_timeout_seconds,
                    "RetentionPeriodInDays": execution.start_input.execution_retention_period_days,
                },
            }
            pause = execution.requested_pause
            if not execution.is_complete:
                described["ExpectedExecutionTimeoutTimestamp"] = self._executor.deadlines.shown(execution)
                if pause is not None:
                    described["PauseDetails"] = {
                        "PauseRequestTimestamp": pause.requested,
                        "ExecutionTimeoutPaused": pause.timeout_paused,
                        "Reason": pause.reason if include_data else None,
                    }
            if include_data:
                details = execution.get_operation_execution_started().execution_details
                described["InputPayload"] = details.input_payload if details else None
                outcome = execution.result
                if outcome is not None and execution.status == "SUCCEEDED":
                    described["Result"] = outcome.result
                elif outcome is not None and outcome.error is not None:
                    described["Error"] = outcome.error.to_dict()
        answer: dict[str, Any] = to_json(described, self._clock)
        return answer

    def history(
        self, arn: str, *, include_data: bool, reverse: bool, marker: str | None, max_items: int
    ) -> dict[str, Any]:
        """GetDurableExecutionHistory: oldest first unless reversed.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException.
        """
        events, following = self.execution(arn).journal.page(_number(marker), max_items, reverse=reverse)
        return {
            "Events": [event.render(self._clock, include_data=include_data) for event in events],
            **({"NextMarker": str(following)} if following is not None else {}),
        }

    def state(self, arn: str, token: str, marker: str | None, max_items: int) -> dict[str, Any]:
        """GetDurableExecutionState: what the running invocation may know.

        Raises:
            ApiError: InvalidParameterValueException, also for an execution that doesn't exist.
        """
        pace = self._require_for_token(arn).pace
        page = self._executor.get_execution_state(arn, token, marker or None, max_items)
        return {
            "Operations": operations(page.operations, self._clock, pace),
            **({"NextMarker": page.next_marker} if page.next_marker else {}),
        }

    def checkpoint(
        self, arn: str, token: str, updates: Sequence[Mapping[str, Any]], client_token: str | None
    ) -> dict[str, Any]:
        """CheckpointDurableExecution; the answer of a paused execution has no token.

        Raises:
            ApiError: InvalidParameterValueException, also for an execution that doesn't exist.
        """
        pace = self._require_for_token(arn).pace
        try:
            parsed = [OperationUpdate.from_dict(dict(update)) for update in updates]
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise invalid(f"Invalid operation update: {error}") from error
        answer = self._executor.checkpoint_execution(arn, token, parsed, client_token)
        state = answer.new_execution_state
        return {
            **({"CheckpointToken": answer.checkpoint_token} if answer.checkpoint_token else {}),
            "NewExecutionState": {"Operations": operations(state.operations, self._clock, pace) if state else []},
        }

    def stop(self, arn: str, error: ErrorObject | None) -> dict[str, Any]:
        """StopDurableExecution; one that has ended stays as it ended.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException.
        """
        self.execution(arn)
        stopped = self._executor.stop_execution(arn, error)
        answer: dict[str, Any] = to_json({"StopTimestamp": stopped.stop_timestamp}, self._clock)
        return answer

    def pause(self, arn: str, *, reason: str | None, timeout_paused: bool, client_token: str | None) -> dict[str, Any]:
        """PauseDurableExecution.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException, ResourceConflictException.
        """
        self._executor.request_pause(
            self.execution(arn), reason=reason, timeout_paused=timeout_paused, client_token=client_token
        )
        return {}

    def resume(self, arn: str, *, reason: str | None, client_token: str | None) -> dict[str, Any]:
        """ResumeDurableExecution.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException, ResourceConflictException.
        """
        self._executor.request_resume(self.execution(arn), reason=reason, client_token=client_token)
        return {}

    def delete(self, arn: str) -> dict[str, Any]:
        """DeleteDurableExecution.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException, ResourceConflictException.
        """
        requested = self._executor.delete(self.execution(arn))
        answer: dict[str, Any] = to_json({"DeletionRequestTimestamp": requested}, self._clock)
        return answer

    def callback_success(self, callback_id: str, result: bytes) -> dict[str, Any]:
        """SendDurableExecutionCallbackSuccess.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException, CallbackTimeoutException.
        """
        if len(result) > LARGEST_CALLBACK_RESULT:
            raise invalid(f"The callback's result must have {LARGEST_CALLBACK_RESULT} bytes at most.")
        self._executor.complete_callback(callback_id, result)
        return {}

    def callback_failure(self, callback_id: str, error: ErrorObject | None) -> dict[str, Any]:
        """SendDurableExecutionCallbackFailure.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException, CallbackTimeoutException.
        """
        self._executor.complete_callback(callback_id, error)
        return {}

    def callback_heartbeat(self, callback_id: str) -> dict[str, Any]:
        """SendDurableExecutionCallbackHeartbeat.

        Raises:
            ApiError: InvalidParameterValueException, ResourceNotFoundException, CallbackTimeoutException.
        """
        self._executor.heartbeat_callback(callback_id)
        return {}

    def _require_for_token(self, arn: str) -> JournaledExecution:
        # Neither operation declares a ResourceNotFoundException: no token is valid for what isn't there.
        execution = self._executor.executions.find(require_execution_arn(arn))
        if execution is None:
            raise InvalidParameterValueException(INVALID_TOKEN_MESSAGE)
        return execution

    def _described(self, execution: JournaledExecution) -> dict[str, Any]:
        """What list and get have in common, with engine times."""
        arn, _, _ = execution.durable_execution_arn.partition("/durable-execution/")
        return {
            "DurableExecutionArn": execution.durable_execution_arn,
            "DurableExecutionName": execution.name,
            "FunctionArn": arn,
            "Status": execution.status,
            "StartTimestamp": execution.started,
            "EndTimestamp": execution.get_operation_execution_started().end_timestamp,
        }

    def _summary(self, execution: JournaledExecution) -> dict[str, Any]:
        with execution.view:
            summary: dict[str, Any] = to_json(self._described(execution), self._clock)
        return summary


def _number(marker: str | None) -> int:
    if not marker:
        return 0
    if not marker.isdecimal() or int(marker) < 1:
        raise invalid("Invalid Marker")
    return int(marker)
