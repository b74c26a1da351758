"""A deployed durable function and its executions as handles: what fixtures give to tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness._durable import calls
from harness._durable.naming import make_execution_id
from harness._durable.polling import GRACE_SECONDS, poll_execution
from harness._durable.running import DEFAULT_QUERY, ExecutionResult, RunningExecution
from harness.logs import query_logs
from harness.waiters import EXECUTION, LOGS, THROTTLE, Clock, Deadline, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient

    from harness._durable.history import History
    from harness._durable.values import ErrorInfo, Execution
    from harness.events import EventBus
    from harness.logs import Row


@dataclass(frozen=True)
class Waiting:
    """How a `DurableFunction` waits; what differs between AWS and a local cloud.

    Attributes:
        execution: Polling an execution or its history.
        throttle: Single calls.
        logs: Asking for logs.
        timeout: Seconds that an execution may take unless the call says otherwise.
        grace: Seconds for which a new execution may be not found.
        log_buffer: Seconds that logs take to arrive.
    """

    execution: Policy = EXECUTION
    throttle: Policy = THROTTLE
    logs: Policy = LOGS
    timeout: float = 300.0
    grace: float = GRACE_SECONDS
    log_buffer: float = 15.0

    def with_clock(self, clock: Clock) -> Waiting:
        """A copy whose policies all run on ``clock``."""
        return Waiting(
            self.execution.with_clock(clock),
            self.throttle.with_clock(clock),
            self.logs.with_clock(clock),
            self.timeout,
            self.grace,
            self.log_buffer,
        )


class DurableFunction:
    """A deployed durable function: start, wait, history, logs, callbacks.

    Threads may share it, as they may share its clients.

    Args:
        lambda_client: boto3's, made without retries of its own.
        logs_client: boto3's, likewise.
        function_name: The function's name.
        alias: The alias or version that it is invoked through.
        log_group: Where it logs; by default Lambda's default group.
        waiting: How to wait.
        clock: Where time comes from, rather than the policies' own.
        events: Told of executions that start, are polled, and end.
    """

    def __init__(
        self,
        lambda_client: LambdaClient,
        logs_client: CloudWatchLogsClient,
        function_name: str,
        alias: str | None = "live",
        log_group: str | None = None,
        *,
        waiting: Waiting | None = None,
        clock: Clock | None = None,
        events: EventBus | None = None,
    ) -> None:
        waiting = waiting or Waiting()
        self.lambda_client = lambda_client
        self.logs_client = logs_client
        self.function_name = function_name
        self.alias = alias
        self.log_group = log_group or f"/aws/lambda/{function_name}"
        self.waiting = waiting if clock is None else waiting.with_clock(clock)
        self.events = events

    def __repr__(self) -> str:
        return f"<DurableFunction {self.function_name}:{self.alias}>"

    def start(self, payload: object = None, name: str | None = None) -> RunningExecution:
        """Start an execution and come back at once.

        Args:
            payload: What JSON can express, or bytes that are JSON already.
            name: The execution's name; by default a unique one made of the function's.

        Raises:
            harness.durable.DurableError: See `harness.durable.start_execution`.
        """
        started = calls.start_execution(
            self.lambda_client,
            self.function_name,
            payload,
            name or make_execution_id(self.function_name, clock=self.waiting.throttle.clock),
            self.alias,
            policy=self.waiting.throttle,
            events=self.events,
        )
        return RunningExecution(self, started.arn, started.name)

    def run(
        self,
        payload: object = None,
        name: str | None = None,
        *,
        timeout: float | None = None,
        stop_on_timeout: bool = True,
    ) -> ExecutionResult:
        """Start an execution, wait until it ends, and return it with its history.

        Args:
            payload: What JSON can express, or bytes that are JSON already.
            name: The execution's name; by default a unique one made of the function's.
            timeout: Seconds that it may take, rather than `Waiting.timeout`.
            stop_on_timeout: Whether to stop it when time is up.

        Raises:
            ExecutionPollTimeout: It didn't end in time.
            harness.durable.DurableError: It couldn't be started.
        """
        return self.start(payload, name).wait(timeout, stop_on_timeout=stop_on_timeout)

    def attach(self, arn: str) -> RunningExecution:
        """The handle of an execution that somebody else started.

        Raises:
            ExecutionNotFoundError: There is no such execution.
        """
        found = calls.get_execution(self.lambda_client, arn, include_data=False, policy=self.waiting.throttle)
        return RunningExecution(self, arn, found.name)

    def poll(self, execution: str, timeout: float | None = None, *, stop_on_timeout: bool = False) -> dict[str, Any]:
        """Wait until the execution of that name or ARN ends, and return its summary, see `poll_execution`."""
        return poll_execution(
            self.lambda_client,
            self.function_name,
            execution,
            self.waiting.timeout if timeout is None else timeout,
            policy=self.waiting.execution,
            grace=self.waiting.grace,
            stop_on_timeout=stop_on_timeout,
            events=self.events,
            log_group=self.log_group,
        )

    def executions(self, *, name: str | None = None, statuses: Sequence[str] = ()) -> list[Execution]:
        """The function's executions, newest first, without their data."""
        return calls.list_executions(
            self.lambda_client, self.function_name, name=name, statuses=statuses, policy=self.waiting.throttle
        )

    def stop_all(self, error: ErrorInfo | None = None) -> list[Execution]:
        """Stop every execution that hasn't ended, and return what there was to stop."""
        running = [execution for execution in self.executions() if not execution.is_terminal]
        for execution in running:
            calls.stop_execution(self.lambda_client, execution.arn, error, policy=self.waiting.throttle)
        return running

    def history(self, arn: str) -> History:
        """All events so far of the execution with that ARN."""
        waiting = self.waiting
        return calls.get_history(self.lambda_client, arn, grace=waiting.grace, policy=waiting.throttle)

    def logs(
        self,
        query: str = DEFAULT_QUERY,
        *,
        since: datetime,
        until: Callable[[Sequence[Row]], bool] | None = None,
        execution_arn: str | None = None,
        wait_seconds: float | None = None,
        deadline: Deadline | None = None,
    ) -> list[Row]:
        """Rows of Logs Insights from the function's log group, see `harness.logs.query_logs`.

        Args:
            query: In Logs Insights QL.
            since: From when on.
            until: What the rows must fulfil; by default that there are any.
            execution_arn: Only records of this execution.
            wait_seconds: Seconds before the first try, rather than `Waiting.log_buffer`.
            deadline: By when it must be over.
        """
        logs = self.waiting.logs
        return query_logs(
            self.logs_client,
            self.log_group,
            query,
            since,
            wait_seconds=self.waiting.log_buffer if wait_seconds is None else wait_seconds,
            execution_arn=execution_arn,
            until=until,
            tries=logs.max_attempts or 5,
            interval=logs.interval,
            policy=logs,
            throttle=self.waiting.throttle,
            deadline=deadline,
        )
