"""Answering callbacks.

https://docs.aws.amazon.com/lambda/latest/dg/durable-functions.html
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from harness._durable.problems import CallbackClosedError, PayloadError
from harness._durable.values import ErrorInfo, encode_payload
from harness.waiters import THROTTLE, Failure, Policy, call, is_not_found

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient

    from harness.waiters import Deadline


def send_callback_success(
    lambda_client: LambdaClient, callback_id: str, result: object = None, *, policy: Policy = THROTTLE
) -> None:
    """Answer a callback with a result.

    The SDK hands the function the text that was sent unless the callback was made with a serdes of its own: a string
    and bytes are sent as they are, None as nothing, and everything else as its JSON.
    https://docs.aws.amazon.com/lambda/latest/api/API_SendDurableExecutionCallbackSuccess.html

    Raises:
        CallbackClosedError: It is unknown, was answered already, or has timed out.
        PayloadError: JSON can't express the result, or it is larger than 1 MiB.
        WaitTimeout: Throttled or cut off until time was up.
    """
    body = b"" if result is None else result.encode() if isinstance(result, str) else encode_payload(result)
    if len(body) > 1024 * 1024:
        raise PayloadError(
            f"A callback's result is at most 1 MiB, this one has {len(body)} bytes",
            hint="send a reference to what is larger",
        )
    _answer(
        functools.partial(lambda_client.send_durable_execution_callback_success, CallbackId=callback_id, Result=body),
        callback_id,
        policy,
    )


def send_callback_failure(
    lambda_client: LambdaClient, callback_id: str, error: ErrorInfo | None = None, *, policy: Policy = THROTTLE
) -> None:
    """Answer a callback with an error.

    https://docs.aws.amazon.com/lambda/latest/api/API_SendDurableExecutionCallbackFailure.html

    Raises:
        CallbackClosedError: It is unknown, was answered already, or has timed out.
        WaitTimeout: Throttled or cut off until time was up.
    """
    members: Any = (error or ErrorInfo("CallbackFailed", "Failed by the test")).to_boto()
    _answer(
        functools.partial(lambda_client.send_durable_execution_callback_failure, CallbackId=callback_id, Error=members),
        callback_id,
        policy,
    )


def send_callback_heartbeat(
    lambda_client: LambdaClient, callback_id: str, *, policy: Policy = THROTTLE, deadline: Deadline | None = None
) -> None:
    """Tell a callback that its answer is still being worked on.

    https://docs.aws.amazon.com/lambda/latest/api/API_SendDurableExecutionCallbackHeartbeat.html

    Raises:
        CallbackClosedError: It is unknown, was answered already, or has timed out.
        WaitTimeout: Throttled or cut off until time was up.
    """
    _answer(
        functools.partial(lambda_client.send_durable_execution_callback_heartbeat, CallbackId=callback_id),
        callback_id,
        policy,
        deadline,
    )


def _answer(send: Callable[[], object], callback_id: str, policy: Policy, deadline: Deadline | None = None) -> None:
    shown = callback_id if len(callback_id) <= 24 else f"{callback_id[:24]}..."
    attempts = 0

    def attempt() -> None:
        nonlocal attempts
        attempts += 1
        send()

    try:
        call(attempt, policy=policy, deadline=deadline, what=f"the answer to callback {shown}")
    except ClientError as error:
        failure = Failure.of(error)
        if not is_not_found(error) and failure.code not in (
            "CallbackTimeoutException",
            "InvalidParameterValueException",
        ):
            raise
        repeated = "; an earlier try, whose answer was lost, may have been accepted" if attempts > 1 else ""
        raise CallbackClosedError(
            f"The callback can't be answered: {failure.code}: {failure.message}{repeated}",
            where=f"callback {shown}",
            hint="look in the history: it is unknown, answered already, or timed out",
        ) from error
