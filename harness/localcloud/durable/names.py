"""ARNs, names and callback ids of durable executions.

https://docs.aws.amazon.com/lambda/latest/api/API_GetDurableExecution.html and
https://docs.aws.amazon.com/lambda/latest/dg/durable-execution-idempotency.html
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from aws_durable_execution_sdk_python_testing.token import CallbackToken

from harness.localcloud.api import ApiError

_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_ARN = re.compile(
    r"(?P<function_arn>arn:(?P<partition>[a-zA-Z0-9-]+):lambda:(?P<region>[a-zA-Z0-9-]+):(?P<account>\d{12})"
    r":function:(?P<function>[a-zA-Z0-9_-]+)):(?P<version>\$LATEST(?:\.PUBLISHED)?|[0-9]+)"
    r"/durable-execution/(?P<name>[a-zA-Z0-9_-]+)/(?P<id>[a-zA-Z0-9_-]+)"
)
_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}


@dataclass(frozen=True)
class ExecutionArn:
    """The parts of a durable execution's ARN.

    Attributes:
        region: The function's region.
        account_id: The function's account.
        function: The function's bare name.
        version: The version that the execution is pinned to.
        name: The execution's name.
        execution_id: What tells executions of one name apart, such as one that was deleted from its successor.
    """

    region: str
    account_id: str
    function: str
    version: str
    name: str
    execution_id: str

    def __str__(self) -> str:
        partition = next((value for prefix, value in _PARTITIONS.items() if self.region.startswith(prefix)), "aws")
        return (
            f"arn:{partition}:lambda:{self.region}:{self.account_id}:function:{self.function}:{self.version}"
            f"/durable-execution/{self.name}/{self.execution_id}"
        )


def require_execution_arn(text: str) -> str:
    """``text``, which must have the form of a durable execution's ARN.

    Raises:
        ApiError: InvalidParameterValueException.
    """
    if len(text) > 1024 or _ARN.fullmatch(text) is None:
        raise invalid(f"Invalid durable execution ARN: {text[:200]}")
    return text


def require_execution_name(name: str | None) -> str:
    """A valid execution name: the given one, or a generated one for None.

    Raises:
        ApiError: InvalidParameterValueException.
    """
    if name is None:
        return str(uuid.uuid4())
    if _NAME.fullmatch(name) is None:
        raise invalid(
            f"1 validation error detected: Value '{name[:100]}' at 'durableExecutionName' failed to satisfy "
            "constraint: Member must have 1 to 64 characters and satisfy regular expression pattern: [a-zA-Z0-9-_]+"
        )
    return name


def parse_callback_id(callback_id: str) -> CallbackToken:
    """The execution and the operation that a callback id stands for.

    Raises:
        ApiError: InvalidParameterValueException when the service can't have issued this id.
    """
    try:
        token = CallbackToken.from_str(callback_id)
    except (ValueError, KeyError, TypeError) as error:
        raise invalid("Invalid callback id") from error
    # They come from JSON that a client sent, whatever the token class declares.
    parts: tuple[object, ...] = (token.execution_arn, token.operation_id)
    if not all(isinstance(part, str) for part in parts):
        raise invalid("Invalid callback id")
    return token


def invalid(message: str) -> ApiError:
    """An InvalidParameterValueException (400)."""
    return ApiError("InvalidParameterValueException", message, 400, members={"Type": "User"})


def not_found(message: str) -> ApiError:
    """A ResourceNotFoundException (404)."""
    return ApiError("ResourceNotFoundException", message, 404, members={"Type": "User"})


def conflict(message: str) -> ApiError:
    """A ResourceConflictException (409)."""
    return ApiError("ResourceConflictException", message, 409, members={"Type": "User"})


def service_failure(message: str) -> ApiError:
    """A ServiceException (500)."""
    return ApiError("ServiceException", message, 500, members={"Type": "Service"})
