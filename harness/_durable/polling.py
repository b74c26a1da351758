"""Polling an execution until it ends."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from harness._durable.calls import function_errors, stop_execution
from harness._durable.history import History
from harness._durable.naming import check_execution_name, is_execution_arn, parts_of_arn
from harness._durable.problems import DurableError, ExecutionNotFoundError
from harness._durable.values import RUNNING_STATUSES, TERMINAL_STATUSES, ErrorInfo, summary_of
from harness.events import ExecutionFinished, ExecutionPolled
from harness.waiters import EXECUTION, Deadline, Failure, Outcome, WaitTimeout, call, is_not_found, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient

    from harness.events import EventBus
    from harness.waiters import Clock, Delay, Policy

_log = logging.getLogger("harness.durable")

GRACE_SECONDS = 30.0
"""For how long an execution that can't be found is put down to one too new to be seen."""

_SHOWN_EVENTS = 10


class ExecutionPollTimeout(WaitTimeout):
    """An execution didn't end in time.

    Attributes:
        function_name: The function.
        execution_name: The execution's name.
        arn: Its ARN, or None if it was never seen.
        status: The last status that was seen, or None.
        polls: How often it was looked for.
        recent_events: Its last events, as far as they could be read.
        log_group: Where its logs are.
        stopped: Whether it was stopped because of the timeout.
    """

    def __init__(
        self,
        timeout: WaitTimeout,
        *,
        function_name: str,
        execution_name: str,
        arn: str | None,
        status: str | None,
        recent_events: History,
        log_group: str,
        stopped: bool,
        details: tuple[str, ...],
    ) -> None:
        self.function_name = function_name
        self.execution_name = execution_name
        self.arn = arn
        self.status = status
        self.polls = timeout.attempts
        self.recent_events = recent_events
        self.log_group = log_group
        self.stopped = stopped
        super().__init__(
            policy=timeout.policy,
            what=timeout.what,
            because=timeout.because,
            elapsed=timeout.elapsed,
            last_value=timeout.last_value,
            last_error=timeout.last_error,
            trail=timeout.trail,
            details=details,
        )


def poll_execution(
    lambda_client: LambdaClient,
    function_name: str,
    execution_name: str,
    timeout: float = 300,
    *,
    policy: Policy = EXECUTION,
    clock: Clock | None = None,
    interval: float | Delay | None = None,
    deadline: Deadline | None = None,
    grace: float = GRACE_SECONDS,
    stop_on_timeout: bool = False,
    on_status: Callable[[str], object] | None = None,
    events: EventBus | None = None,
    log_group: str | None = None,
) -> dict[str, Any]:
    """Poll an execution until it is SUCCEEDED, FAILED, TIMED_OUT or STOPPED, and return its summary.

    It is looked for every 5 s; on throttling, a 5xx or a dropped connection again after 5 s, doubling to 30 s until
    an answer comes. The last look is exactly at the timeout. An unknown status is logged and taken for a running one.

    Args:
        lambda_client: boto3's, made without retries of its own (``Config(retries={"total_max_attempts": 1})``).
        function_name: The function's name or ARN.
        execution_name: The execution's name, which is looked for by the list call, or its ARN, by the get call.
        timeout: Seconds; 0 looks once.
        policy: The pace, and what is retried.
        clock: Where time comes from, rather than the policy's.
        interval: Seconds between two polls, rather than the policy's.
        deadline: Of something larger that this is a part of; ``timeout`` is cut to it.
        grace: Seconds since the first poll, or since it was last seen, for which an execution may be not found.
        stop_on_timeout: Whether to stop the execution when time is up.
        on_status: Called with each status that differs from the one before, and first with the first.
        events: Told of every poll and of the end.
        log_group: Where the logs are, for the error; by default Lambda's default group of the function.

    Returns:
        The execution as ListDurableExecutionsByFunction lists it: DurableExecutionArn, DurableExecutionName,
        FunctionArn, Status, StartTimestamp, EndTimestamp. By ARN, the same keys.
        https://docs.aws.amazon.com/lambda/latest/api/API_ListDurableExecutionsByFunction.html

    Raises:
        ExecutionPollTimeout: A TimeoutError: it didn't end in time.
        ExecutionNotFoundError: It couldn't be found for longer than ``grace``.
        FunctionNotFoundError: There is no such function.
        ValueError: ``execution_name`` is neither a valid name nor an ARN, or ``timeout`` is negative.
    """
    by_arn = is_execution_arn(execution_name)
    name = parts_of_arn(execution_name)[0] if by_arn else check_execution_name(execution_name)
    if clock is not None:
        policy = policy.with_clock(clock)
    if interval is not None:
        policy = policy.with_interval(interval)
    own = Deadline.after(timeout, policy.clock) if deadline is None else deadline.child(at_most=timeout)
    looker = _Looker(lambda_client, function_name, name, execution_name if by_arn else None, own.clock, grace, policy)
    looker.on_status, looker.events = on_status, events
    try:
        with function_errors(function_name):
            found = wait_until(
                looker.look,
                lambda summary: summary is not None and summary["Status"] in TERMINAL_STATUSES,
                policy=policy,
                deadline=own,
                what=f"execution {name} of {function_name}",
                describe=lambda summary: "not found yet" if summary is None else str(summary["Status"]),
            )
    except WaitTimeout as timed_out:
        raise looker.explain(timed_out, stop_on_timeout, log_group) from timed_out.__cause__
    if found is None:  # pragma: no cover - wait_until only returns what was accepted
        raise RuntimeError("a wait ended on an execution that wasn't found")
    looker.publish_end(found)
    return found


@dataclass
class _Looker:
    """Looks for one execution and remembers what it saw."""

    client: LambdaClient
    function_name: str
    name: str
    arn: str | None
    clock: Clock
    grace: float
    policy: Policy
    on_status: Callable[[str], object] | None = None
    events: EventBus | None = None
    status: str | None = None
    last_seen: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.by_arn = self.arn is not None
        self.last_seen = self.clock.monotonic()

    def look(self) -> dict[str, Any] | None:
        """The execution's summary, or None if it can't be found for now."""
        summary = self._by_arn() if self.by_arn else self._by_name()
        now = self.clock.monotonic()
        if summary is not None:
            self.last_seen = now
            self.arn = str(summary["DurableExecutionArn"])
            self._report(str(summary["Status"]))
        elif now - self.last_seen >= self.grace:
            seen = f"; it was seen before, {self.status}" if self.status else ""
            raise ExecutionNotFoundError(
                f"The execution hasn't been found for {now - self.last_seen:.0f} s{seen}",
                where=f"{self.function_name}, execution {self.name}",
                hint="compare the name with the one it was started with; list_executions() shows all there are",
            )
        return summary

    def _by_arn(self) -> dict[str, Any] | None:
        try:
            answer = self.client.get_durable_execution(DurableExecutionArn=self.arn or "", IncludeExecutionData=False)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        return summary_of(answer)

    def _by_name(self) -> dict[str, Any] | None:
        asked: dict[str, Any] = {"FunctionName": self.function_name, "DurableExecutionName": self.name}
        while True:
            page = self.client.list_durable_executions_by_function(**asked)
            for item in page.get("DurableExecutions", ()):
                if item["DurableExecutionName"] == self.name:
                    return dict(item)
            # A page may be empty and yet not the last: the service filters after it has paged.
            marker = page.get("NextMarker")
            if not marker or marker == asked.get("Marker"):
                return None
            asked["Marker"] = marker

    def _report(self, status: str) -> None:
        changed, self.status = status != self.status, status
        if self.events is not None:
            self.events.publish(
                ExecutionPolled(function_name=self.function_name, execution_name=self.name, status=status)
            )
        if not changed:
            return
        if status not in TERMINAL_STATUSES | RUNNING_STATUSES:
            _log.warning("Execution %s has the unknown status %s; taken for a running one", self.name, status)
        if self.on_status is not None:
            try:
                self.on_status(status)
            except Exception:  # noqa: BLE001 - who watches must not break what is watched
                _log.exception("on_status failed on %s", status)

    def publish_end(self, summary: dict[str, Any]) -> None:
        """Publish that the execution ended."""
        if self.events is None:
            return
        ended = summary.get("EndTimestamp")
        self.events.publish(
            ExecutionFinished(
                function_name=self.function_name,
                execution_name=self.name,
                arn=str(summary["DurableExecutionArn"]),
                status=str(summary["Status"]),
                seconds=(ended - summary["StartTimestamp"]).total_seconds() if ended else 0.0,
            )
        )

    def explain(self, timeout: WaitTimeout, stop: bool, log_group: str | None) -> ExecutionPollTimeout:
        """The error that says all that helps to see why it didn't end."""
        throttles = timeout.throttles
        transients = sum(attempt.outcome is Outcome.TRANSIENT for attempt in timeout.trail)
        details = [
            f"last status: {self.status or 'never seen'}",
            f"polls: {timeout.attempts}, {throttles} of them throttled, {transients} failed in passing",
        ]
        recent, told = self._recent_events()
        details.extend(told)
        stopped = False
        if stop:
            stopped, outcome = self._stop(timeout.elapsed)
            details.append(outcome)
        bare_name = self.function_name.rpartition(":function:")[2].partition(":")[0]
        group = log_group or f"/aws/lambda/{bare_name}"
        details.append(f"logs: group {group}{f', execution ARN {self.arn}' if self.arn else ''}")
        return ExecutionPollTimeout(
            timeout,
            function_name=self.function_name,
            execution_name=self.name,
            arn=self.arn,
            status=self.status,
            recent_events=recent,
            log_group=group,
            stopped=stopped,
            details=tuple(details),
        )

    def _recent_events(self) -> tuple[History, list[str]]:
        if self.arn is None:
            return History(()), ["history: none, the execution was never seen"]
        fetch = functools.partial(
            self.client.get_durable_execution_history,
            DurableExecutionArn=self.arn,
            IncludeExecutionData=False,
            ReverseOrder=True,
            MaxItems=_SHOWN_EVENTS,
        )
        try:
            page = call(fetch, policy=self._aftermath, what=f"the last events of {self.name}")
        except (ClientError, BotoCoreError, WaitTimeout) as error:
            return History(()), [f"history: could not be read ({_reason(error)})"]
        recent = History.of(reversed(page["Events"]))
        return recent, ["last events:", *(f"  {event}" for event in recent)]

    def _stop(self, elapsed: float) -> tuple[bool, str]:
        if self.arn is None:
            return False, "not stopped: it was never seen"
        reason = ErrorInfo("PollTimeout", f"Stopped by the test harness after {elapsed:g} s")
        try:
            stop_execution(self.client, self.arn, reason, policy=self._aftermath)
        except (ClientError, BotoCoreError, WaitTimeout, DurableError) as error:
            return False, f"NOT stopped, it may still run: {_reason(error)}"
        return True, "it was stopped"

    @property
    def _aftermath(self) -> Policy:
        """Time is up, so what remains to be asked is tried a few times only."""
        return self.policy.with_clock(self.clock).with_max_attempts(3).with_timeout(None)


def _reason(error: Exception) -> str:
    cause = error.last_error if isinstance(error, WaitTimeout) and error.last_error is not None else error
    return Failure.of(cause).code
