"""An execution as a handle: wait for it, read what happened, answer its callbacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from harness._durable import callbacks, calls
from harness._durable.problems import DurableError
from harness._durable.values import TERMINAL_STATUSES, ErrorInfo, Execution
from harness.waiters import Deadline, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from harness._durable.function import DurableFunction
    from harness._durable.history import History
    from harness.logs import Row

DEFAULT_QUERY = "fields @timestamp, @message | sort @timestamp asc"

# Clocks of the two sides differ: logs are asked for from a little before the execution's start.
_CLOCK_SKEW = timedelta(seconds=5)


@dataclass(frozen=True)
class ExecutionResult:
    """An execution that ended, and its history.

    Attributes:
        execution: The execution, with its data.
        history: All its events.
    """

    execution: Execution
    history: History

    @property
    def status(self) -> str:
        """SUCCEEDED, FAILED, TIMED_OUT or STOPPED."""
        return self.execution.status

    @property
    def succeeded(self) -> bool:
        """Whether the status is SUCCEEDED."""
        return self.execution.succeeded

    @property
    def result(self) -> Any:
        """The result, parsed; None unless it succeeded."""
        return self.execution.result

    @property
    def error(self) -> ErrorInfo | None:
        """The error, unless it succeeded."""
        return self.execution.error

    @property
    def timeline(self) -> str:
        """The history as text, without payloads."""
        return self.history.timeline()


@dataclass(frozen=True)
class RunningExecution:
    """An execution that was started, whether it still runs or not.

    Attributes:
        function: The function that runs it.
        arn: Its ARN.
        name: Its name.
    """

    function: DurableFunction = field(repr=False)
    arn: str
    name: str

    def wait(self, timeout: float | None = None, *, stop_on_timeout: bool = False) -> ExecutionResult:
        """Wait until it ends, and return it with its history.

        Args:
            timeout: Seconds from now, rather than `Waiting.timeout`.
            stop_on_timeout: Whether to stop it when time is up.

        Raises:
            ExecutionPollTimeout: It didn't end in time.
        """
        self.function.poll(self.arn, timeout, stop_on_timeout=stop_on_timeout)
        return ExecutionResult(self.execution(), self.history())

    def execution(self) -> Execution:
        """It as it is now, with its data."""
        waiting = self.function.waiting
        client = self.function.lambda_client
        return calls.get_execution(client, self.arn, grace=waiting.grace, policy=waiting.throttle)

    def history(self) -> History:
        """All its events so far."""
        return self.function.history(self.arn)

    def wait_for(self, condition: Callable[[History], bool], timeout: float | None = None) -> History:
        """Wait until its history fulfils a condition, and return the history.

        Args:
            condition: Whether a history is the one waited for.
            timeout: Seconds from now, rather than `Waiting.timeout`.

        Raises:
            WaitTimeout: It didn't in time.
            DurableError: The execution ended first.
        """
        return self._wait_for(condition, timeout, f"a certain history of {self.name}")

    def callback_id(self, name: str, timeout: float | None = None) -> str:
        """Wait until the callback of that name is open, and return the id to answer it by.

        Args:
            name: As the function's code names it: ``create_callback(name=...)`` or ``wait_for_callback(name=...)``.
            timeout: Seconds from now, rather than `Waiting.timeout`.

        Raises:
            WaitTimeout: It isn't open in time.
            DurableError: The execution ended first.
        """

        def is_open(history: History) -> bool:
            callback = history.callback(name)
            return callback is not None and callback.status == "STARTED"

        callback = self._wait_for(is_open, timeout, f"the callback {name!r} of {self.name}").callback(name)
        if callback is None or callback.callback_id is None:
            raise DurableError(
                f"The callback {name!r} started without an id", where=self.arn, hint="look at its event CallbackStarted"
            )
        return callback.callback_id

    def _wait_for(self, condition: Callable[[History], bool], timeout: float | None, what: str) -> History:
        waiting = self.function.waiting

        def over(history: History) -> Exception | None:
            ends = [e for e in history if e.kind == "Execution" and e.status in TERMINAL_STATUSES]
            if not ends:
                return None
            return DurableError(
                f"The execution is {ends[-1].status} and will never come to {what}",
                where=self.arn,
                hint=f"this is what happened:\n{history.timeline(last=20)}",
            )

        deadline = Deadline.after(waiting.timeout if timeout is None else timeout, waiting.execution.clock)

        def look() -> History:
            # Under the same deadline: a throttled look must not outlast the wait it belongs to.
            return calls.get_history(
                self.function.lambda_client,
                self.arn,
                grace=waiting.grace,
                policy=waiting.throttle,
                deadline=deadline,
            )

        return wait_until(
            look,
            condition,
            policy=waiting.execution,
            deadline=deadline,
            fail_fast=over,
            what=what,
            describe=lambda history: f"{len(history)} events",
        )

    def succeed_callback(self, name: str, result: object = None, *, timeout: float | None = None) -> None:
        """Wait until the callback of that name is open, and answer it, see `harness.durable.send_callback_success`."""
        callback_id = self.callback_id(name, timeout)
        callbacks.send_callback_success(
            self.function.lambda_client, callback_id, result, policy=self.function.waiting.throttle
        )

    def fail_callback(self, name: str, error: ErrorInfo | None = None, *, timeout: float | None = None) -> None:
        """Wait until the callback of that name is open, and answer it with an error."""
        callback_id = self.callback_id(name, timeout)
        callbacks.send_callback_failure(
            self.function.lambda_client, callback_id, error, policy=self.function.waiting.throttle
        )

    def heartbeat_callback(self, name: str, *, timeout: float | None = None) -> None:
        """Wait until the callback of that name is open, and send it a heartbeat."""
        callback_id = self.callback_id(name, timeout)
        callbacks.send_callback_heartbeat(
            self.function.lambda_client, callback_id, policy=self.function.waiting.throttle
        )

    def keep_alive(self, name: str, until: Callable[[], bool], *, timeout: float | None = None) -> None:
        """Send heartbeats to the callback of that name until a condition holds.

        One is sent at every poll, at the pace of `Waiting.execution`: every 5 s on AWS, and in a local cloud as much
        faster as durable time passes there. So a heartbeat timeout of many times 5 s isn't missed in either.

        Args:
            name: As in `callback_id`; waited for if it isn't open yet.
            until: Asked after every heartbeat.
            timeout: Seconds from now, rather than `Waiting.timeout`.

        Raises:
            CallbackClosedError: It was answered or timed out before the condition held.
            WaitTimeout: The callback isn't open, or the condition doesn't hold, in time.
            DurableError: The execution ended before the callback was open.
        """
        waiting = self.function.waiting
        deadline = Deadline.after(waiting.timeout if timeout is None else timeout, waiting.execution.clock)
        callback_id = self.callback_id(name, deadline.remaining())

        def beat() -> bool:
            callbacks.send_callback_heartbeat(
                self.function.lambda_client, callback_id, policy=waiting.throttle, deadline=deadline
            )
            return until()

        wait_until(
            beat,
            bool,
            policy=waiting.execution,
            deadline=deadline,
            what=f"the end of heartbeats to {name!r} of {self.name}",
        )

    def logs(
        self,
        query: str = DEFAULT_QUERY,
        *,
        until: Callable[[Sequence[Row]], bool] | None = None,
        wait_seconds: float | None = None,
    ) -> list[Row]:
        """Its records in the function's log group, see `harness.logs.query_logs`.

        Args:
            query: In Logs Insights QL, within the execution's records.
            until: What the rows must fulfil; by default that there are any.
            wait_seconds: Seconds before the first try, rather than `Waiting.log_buffer`.
        """
        since = self.execution().started - _CLOCK_SKEW
        return self.function.logs(query, since=since, until=until, execution_arn=self.arn, wait_seconds=wait_seconds)

    def stop(self, error: ErrorInfo | None = None) -> datetime:
        """Stop it and return when it stopped; one that has ended already is left as it is."""
        return calls.stop_execution(self.function.lambda_client, self.arn, error, policy=self.function.waiting.throttle)
