"""The durable execution API, one function a call: typed, paged through, retried where that is safe."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from botocore.exceptions import ClientError

from harness._durable.history import History
from harness._durable.naming import check_execution_name, is_execution_arn, make_execution_id
from harness._durable.problems import (
    DurableError,
    ExecutionNameTakenError,
    ExecutionNotFoundError,
    FunctionNotFoundError,
    InvocationFailedError,
    NotDurableError,
    PayloadError,
    UnqualifiedInvokeError,
)
from harness._durable.values import ErrorInfo, Execution, decode_payload, encode_payload
from harness.events import ExecutionStarted
from harness.waiters import THROTTLE, Deadline, Failure, Policy, call, is_not_found

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_lambda import LambdaClient

    from harness.events import EventBus

T = TypeVar("T")

# GetDurableExecutionHistory and ListDurableExecutionsByFunction give at most so many items a page.
_PAGE = 1000


@dataclass(frozen=True)
class StartedExecution:
    """An execution that was started, or that was there already under this name with this payload.

    Attributes:
        arn: Its ARN.
        name: Its name.
        function_name: The function, as it was named.
        qualifier: The alias or version it was invoked through, or None.
        payload: What a synchronous invoke answered, as bytes; None for ``Event``. Not shown.
        function_error: ``Unhandled`` or ``Handled`` if a synchronous invoke's execution failed.
    """

    arn: str
    name: str
    function_name: str
    qualifier: str | None
    payload: bytes | None = field(default=None, repr=False)
    function_error: str | None = None

    @property
    def result(self) -> Any:
        """What a synchronous invoke answered, parsed."""
        return None if self.payload is None else decode_payload(self.payload.decode())


def start_execution(  # noqa: PLR0917 - the public signature, in the order of Invoke's own arguments
    lambda_client: LambdaClient,
    function_name: str,
    payload: object,
    name: str | None = None,
    qualifier: str | None = "live",
    invocation_type: Literal["Event", "RequestResponse"] = "Event",
    *,
    policy: Policy = THROTTLE,
    deadline: Deadline | None = None,
    events: EventBus | None = None,
) -> StartedExecution:
    """Start an execution. A retry can't start a second one, since the name stays the same.

    https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html

    Args:
        lambda_client: boto3's.
        function_name: The function's name or ARN; a qualifier in it goes with ``qualifier=None``.
        payload: What JSON can express, or bytes that are JSON already.
        name: The execution's name, by default one of `make_execution_id`.
        qualifier: An alias or a version; a durable function can't be invoked without.
        invocation_type: ``Event`` starts it; ``RequestResponse`` also waits for its end.
        policy: What is retried, and after how long.
        deadline: Takes the place of the policy's timeout.
        events: Told that it started.

    Raises:
        ValueError: ``name`` isn't a valid one.
        PayloadError: JSON can't express the payload, or it is too large.
        FunctionNotFoundError: There is no such function, alias or version.
        UnqualifiedInvokeError: There is no qualifier.
        NotDurableError: The function isn't durable. It ran nevertheless.
        ExecutionNameTakenError: The name was used with another payload.
        InvocationFailedError: A synchronous invoke failed before there was an execution.
        WaitTimeout: Throttled or cut off until time was up.
    """
    bare_name = function_name.rpartition(":function:")[2].partition(":")[0]
    name = make_execution_id(bare_name, clock=policy.clock) if name is None else check_execution_name(name)
    arguments: dict[str, Any] = {
        "FunctionName": function_name,
        "InvocationType": invocation_type,
        "DurableExecutionName": name,
        # Encoded once: a retry is the same execution only if its payload is the same to the byte.
        "Payload": encode_payload(payload),
    }
    if qualifier is not None:
        arguments["Qualifier"] = qualifier
    where = f"{function_name}{f':{qualifier}' if qualifier else ''}, execution {name}"

    def invoke() -> tuple[Mapping[str, Any], bytes | None]:
        answer = lambda_client.invoke(**arguments)
        # Read here, so that a connection that breaks in the middle of the body is retried as well.
        return answer, answer["Payload"].read() if invocation_type == "RequestResponse" else None

    try:
        answer, body = call(invoke, policy=policy, deadline=deadline, what=f"the start of {name}")
    except ClientError as error:
        raise _start_error(error, where, function_name, qualifier) from error
    arn = answer.get("DurableExecutionArn")
    function_error = answer.get("FunctionError")
    if not arn and function_error:
        raise InvocationFailedError(
            f"The invocation failed ({function_error}) before there was an execution",
            where=where,
            hint="the function's log has the error",
        )
    if not arn:
        raise NotDurableError(
            "The function was invoked, but it isn't a durable function: no execution came of it",
            where=where,
            hint="give it a durable_config; one can't be added to an existing function, it has to be replaced",
        )
    if events is not None:
        events.publish(ExecutionStarted(function_name=bare_name, execution_name=name, arn=arn))
    return StartedExecution(arn, name, function_name, qualifier, body, function_error)


def _start_error(
    error: ClientError, where: str, function_name: str, qualifier: str | None
) -> DurableError | ClientError:
    failure = Failure.of(error)
    unqualified = qualifier is None and ":" not in function_name.rpartition(":function:")[2]
    if failure.code == "DurableExecutionAlreadyStartedException":
        return ExecutionNameTakenError(
            "An execution of this name was already started with another payload",
            where=where,
            hint="leave the name out, or make a new one with make_execution_id()",
        )
    if is_not_found(error):
        return FunctionNotFoundError(
            f"There is no such function, alias or version: {failure.message}",
            where=where,
            hint="compare with the deployment's outputs function_name and alias_name, and the client's region",
        )
    if failure.code.startswith("InvalidParameterValue") and unqualified:
        return UnqualifiedInvokeError(
            f"A durable function can't be invoked without a qualifier: {failure.message}",
            where=where,
            hint='pass qualifier="live", the alias, or a version number',
        )
    if failure.code in ("RequestTooLargeException", "InvalidRequestContentException"):
        return PayloadError(
            f"Lambda refused the payload: {failure.code}: {failure.message}",
            where=where,
            hint="an Event payload is at most 1 MB, a RequestResponse one 6 MB; send a reference to what is larger",
        )
    return error


def get_execution(
    lambda_client: LambdaClient,
    arn: str,
    *,
    include_data: bool = True,
    grace: float = 0.0,
    policy: Policy = THROTTLE,
    deadline: Deadline | None = None,
) -> Execution:
    """An execution as it is now.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetDurableExecution.html

    Args:
        lambda_client: boto3's.
        arn: The execution's ARN.
        include_data: Whether to ask for input, result and error.
        grace: Seconds for which "not found" is put down to an execution too new to be seen.
        policy: What is retried, and after how long.
        deadline: Takes the place of the policy's timeout.

    Raises:
        ExecutionNotFoundError: There is no such execution.
        WaitTimeout: Throttled or cut off until time was up.
    """
    fetch = functools.partial(
        lambda_client.get_durable_execution, DurableExecutionArn=arn, IncludeExecutionData=include_data
    )
    with _execution_errors(arn):
        patient = tolerating_not_found(policy, grace, deadline)
        return Execution.of(call(fetch, policy=patient, deadline=deadline, what=f"GetDurableExecution of {arn}"))


def get_history(
    lambda_client: LambdaClient,
    arn: str,
    *,
    include_data: bool = True,
    grace: float = 0.0,
    policy: Policy = THROTTLE,
    deadline: Deadline | None = None,
) -> History:
    """All events of an execution so far, oldest first, every page of them.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetDurableExecutionHistory.html

    Args and errors are those of `get_execution`; each page has the policy's timeout of its own.
    """
    patient = tolerating_not_found(policy, grace, deadline)
    fetch = functools.partial(
        lambda_client.get_durable_execution_history,
        DurableExecutionArn=arn,
        IncludeExecutionData=include_data,
        MaxItems=_PAGE,
    )
    with _execution_errors(arn):
        pages = _pages(fetch, patient, deadline, f"GetDurableExecutionHistory of {arn}")
        return History.of(event for page in pages for event in page["Events"])


def list_executions(
    lambda_client: LambdaClient,
    function_name: str,
    *,
    qualifier: str | None = None,
    name: str | None = None,
    statuses: Sequence[str] = (),
    started_after: datetime | None = None,
    started_before: datetime | None = None,
    oldest_first: bool = False,
    limit: int | None = None,
    policy: Policy = THROTTLE,
    deadline: Deadline | None = None,
) -> list[Execution]:
    """The executions of a function, without their data, every page of them.

    https://docs.aws.amazon.com/lambda/latest/api/API_ListDurableExecutionsByFunction.html

    Args:
        lambda_client: boto3's.
        function_name: The function's name or ARN.
        qualifier: Only of this alias or version.
        name: Only of this name.
        statuses: Only of these statuses.
        started_after: Only those started after this moment.
        started_before: Only those started before this moment.
        oldest_first: Rather than newest first.
        limit: At most so many.
        policy: What is retried, and after how long.
        deadline: Takes the place of the policy's timeout.

    Raises:
        FunctionNotFoundError: There is no such function, alias or version.
        WaitTimeout: Throttled or cut off until time was up.
    """
    asked: dict[str, Any] = {
        "Qualifier": qualifier,
        "DurableExecutionName": name,
        "Statuses": list(statuses) or None,
        "StartedAfter": started_after,
        "StartedBefore": started_before,
        "ReverseOrder": oldest_first or None,
        "MaxItems": None if limit is None else max(1, min(limit, _PAGE)),
    }
    given = {key: value for key, value in asked.items() if value is not None}
    fetch: Callable[..., Any] = functools.partial(
        lambda_client.list_durable_executions_by_function, FunctionName=function_name, **given
    )
    found: list[Execution] = []
    with function_errors(function_name):
        for page in _pages(fetch, policy, deadline, f"ListDurableExecutionsByFunction of {function_name}"):
            found.extend(Execution.of(item) for item in page.get("DurableExecutions", ()))
            if limit is not None and len(found) >= limit:
                return found[:limit]
    return found


def stop_execution(
    lambda_client: LambdaClient,
    arn: str,
    error: ErrorInfo | None = None,
    *,
    policy: Policy = THROTTLE,
    deadline: Deadline | None = None,
) -> datetime:
    """Stop an execution and return when it stopped. One that has ended already is left as it is.

    https://docs.aws.amazon.com/lambda/latest/api/API_StopDurableExecution.html

    Args:
        lambda_client: boto3's.
        arn: The execution's ARN.
        error: The error to record as the reason.
        policy: What is retried, and after how long.
        deadline: Takes the place of the policy's timeout.

    Raises:
        ExecutionNotFoundError: There is no such execution.
        WaitTimeout: Throttled or cut off until time was up.
    """
    stop: Callable[[], Any] = functools.partial(
        lambda_client.stop_durable_execution,
        DurableExecutionArn=arn,
        Error=(error or ErrorInfo("StoppedByHarness", "Stopped by the test harness")).to_boto(),  # type: ignore[arg-type]
    )
    with _execution_errors(arn):
        try:
            stopped: datetime = call(stop, policy=policy, deadline=deadline, what=f"the stop of {arn}")["StopTimestamp"]
        except ClientError as refusal:
            if Failure.of(refusal).code not in ("InvalidParameterValueException", "ResourceConflictException"):
                raise
            # Whether it has ended, is known only by looking: between a look beforehand and the call it may end.
            now = get_execution(lambda_client, arn, include_data=False, policy=policy, deadline=deadline)
            if now.ended is None:
                raise
            return now.ended
    return stopped


def tolerating_not_found(policy: Policy, grace: float, deadline: Deadline | None) -> Policy:
    """``policy``, for which "not found" is NOT_YET during the next ``grace`` seconds."""
    if grace <= 0:
        return policy
    clock = policy.clock if deadline is None else deadline.clock
    window = Deadline.after(grace, clock)
    return policy.with_not_yet(lambda error: is_not_found(error) and not window.expired)


def _pages(
    fetch: Callable[..., Any], policy: Policy, deadline: Deadline | None, what: str
) -> Iterator[Mapping[str, Any]]:
    page: Mapping[str, Any] = call(fetch, policy=policy, deadline=deadline, what=what)
    yield page
    while marker := page.get("NextMarker"):
        page = call(functools.partial(fetch, Marker=marker), policy=policy, deadline=deadline, what=what)
        if page.get("NextMarker") == marker:
            raise DurableError(
                f"{what}: the service gave the same page marker twice, so that the pages would never end",
                hint="report it: with the harness for its local cloud, with AWS otherwise",
            )
        yield page


@contextmanager
def _execution_errors(arn: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if not is_not_found(error):
            raise
        odd = "" if is_execution_arn(arn) else "; this isn't the ARN of an execution"
        raise ExecutionNotFoundError(
            "There is no such execution",
            where=arn,
            hint=f"it may have been deleted, or its retention period is over{odd}",
        ) from error


@contextmanager
def function_errors(function_name: str) -> Iterator[None]:
    """Turn "not found" from a call about a function into FunctionNotFoundError."""
    try:
        yield
    except ClientError as error:
        if not is_not_found(error):
            raise
        raise FunctionNotFoundError(
            f"There is no such function, alias or version: {Failure.of(error).message}",
            where=function_name,
            hint="compare with the deployment's output function_name, and the client's region",
        ) from error
