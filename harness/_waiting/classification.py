"""What an error means for who waits: try again, wait longer, or give up at once."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore import exceptions as boto

if TYPE_CHECKING:
    from collections.abc import Mapping


class Outcome(enum.Enum):
    """What one attempt came to."""

    DONE = "done"
    """It gave the value that was waited for."""
    PENDING = "pending"
    """It gave a value that isn't yet the one that was waited for."""
    NOT_YET = "not yet"
    """It failed because something that is on its way hasn't arrived, such as a role that IAM still propagates."""
    THROTTLED = "throttled"
    """The service refused it because of too many requests."""
    TRANSIENT = "transient"
    """It failed for a reason that goes away, such as a dropped connection or a 503."""
    FATAL = "fatal"
    """It failed for a reason that stays, such as a refused permission."""


# botocore's own list (botocore.retries.standard.ThrottledRetryableChecker) plus its legacy names.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)

_TRANSIENT_CODES = frozenset({"InternalError", "InternalFailure", "RequestTimeout", "RequestTimeoutException"})
_TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})

# Lambda answers these with 502 although the caller's own settings are at fault and no retry mends them.
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
_FATAL_CODES = frozenset(
    {
        "EC2AccessDeniedException",
        "ENILimitReachedException",
        "InvalidRuntimeException",
        "InvalidSecurityGroupIDException",
        "InvalidSubnetIDException",
        "InvalidZipFileException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "SubnetIPAddressLimitReachedException",
    }
)
_NOT_YET_CODES = frozenset({"ENINotReadyException", "ResourceNotReadyException", "SnapStartNotReadyException"})

# The connection broke, or never came about. A certificate that doesn't verify is a setting, and stays.
_TRANSIENT_ERRORS: tuple[type[Exception], ...] = (
    boto.ConnectionClosedError,
    boto.ConnectionError,
    boto.EndpointConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ReadTimeoutError,
    boto.ResponseStreamingError,
    ConnectionError,
)
_FATAL_ERRORS: tuple[type[Exception], ...] = (boto.SSLError, boto.InvalidProxiesConfigError)

# What AWS says while a role, a policy or a grant that exists isn't known everywhere yet.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency
# The provider retries the same family for five minutes (internal/service/lambda/function.go).
_PROPAGATION = {
    r"cannot be assumed by (AWS )?Lambda": "Lambda can't assume the role yet",
    r"(execution )?role does not have permissions": "the role's policy hasn't reached Lambda yet",
    r"(Lambda was |request was )?throttled by EC2": "EC2 throttled Lambda while it set up the function",
    r"KMS.{0,80}CreateGrant|CreateGrant.{0,80}KMS": "Lambda can't make its KMS grant yet",
    r"\b(an )?update is in progress\b": "an update of the function is still in progress",
    r"currently in the following state: '?Pending": "the function is still being created",
}

# What Terraform or a provider says when the next try may well succeed.
# https://developer.hashicorp.com/terraform/internals/provider-registry-protocol
_TERRAFORM = {
    r"connection reset by peer": "a connection was reset",
    r"transport is closing": "the connection to a provider's process closed",
    r"registry service is unreachable": "the provider registry can't be reached",
    r"failed to query available provider packages": "the provider registry didn't answer",
    r"timeout while waiting for plugin to start": "a provider's process didn't start in time",
    r"timed out waiting for server handshake": "a provider's process didn't answer in time",
    r"provider produced inconsistent result after apply": "the provider read a resource back before it was consistent",
    r"unable to verify (signature|checksum)": "a provider's package arrived damaged",
}

# Terraform wraps its messages in a box as wide as the terminal, which breaks sentences apart.
_DECORATION = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[│╷╵]")


def terraform_transient(text: str) -> str | None:
    """Why Terraform's output speaks of a failure that the next try may not meet again, or None.

    Args:
        text: Terraform's output as it came: colours, boxes and line breaks don't matter.
    """
    return _explain(_TERRAFORM, text)


def iam_propagating(text: str) -> str | None:
    """Why an error's text speaks of a role, policy or grant that is still propagating, or None.

    Args:
        text: An AWS error message, or Terraform's output around one.
    """
    return _explain(_PROPAGATION, text)


def _explain(patterns: Mapping[str, str], text: str) -> str | None:
    flat = " ".join(_DECORATION.sub(" ", text).split())
    for pattern, explanation in patterns.items():
        if re.search(pattern, flat, re.IGNORECASE):
            return explanation
    return None


@dataclass(frozen=True)
class Failure:
    """What an error says about itself.

    Attributes:
        code: AWS's error code, or the exception's type name.
        message: The error's text.
        status: The HTTP status, or None.
        reason: Lambda's ``Reason`` for a throttle, such as ``CallerRateLimitExceeded``, or None.
        retry_after: Seconds that the service asks to wait, or None.
    """

    code: str
    message: str
    status: int | None = None
    reason: str | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Read an error."""
        response: Any = getattr(error, "response", None)
        if not isinstance(response, dict):
            return cls(type(error).__name__, str(error))
        told = response.get("Error", {})
        metadata = response.get("ResponseMetadata", {})
        headers = metadata.get("HTTPHeaders", {})
        # boto3 puts the members of an error's shape beside "Error"; some services only send the header.
        after = response.get("retryAfterSeconds", headers.get("retry-after"))
        reason = response.get("Reason")
        return cls(
            code=str(told.get("Code", type(error).__name__)),
            message=str(told.get("Message", "")),
            status=metadata.get("HTTPStatusCode"),
            reason=None if reason is None else str(reason),
            retry_after=_seconds(after),
        )


def _seconds(value: object) -> float | None:
    try:
        seconds = float(str(value))
    except ValueError:
        return None  # absent, or an HTTP date, which AWS doesn't send
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def classify(error: BaseException) -> Outcome:
    """What an error means for who waits.

    Not found is FATAL here; only a waiter that knows it asks too early may look past it. So is a ``TimeoutError``,
    by which the code that raised it says that it has given up already. Logs' ``LimitExceededException`` is a quota,
    not a throttle, and FATAL.

    Returns:
        THROTTLED, TRANSIENT, NOT_YET or FATAL.
    """
    if isinstance(error, _FATAL_ERRORS):
        return Outcome.FATAL
    if isinstance(error, _TRANSIENT_ERRORS):
        return Outcome.TRANSIENT
    if not isinstance(getattr(error, "response", None), dict):
        return Outcome.FATAL
    failure = Failure.of(error)
    if failure.code in THROTTLING_CODES:
        return Outcome.THROTTLED
    if failure.code in _FATAL_CODES:
        return Outcome.NOT_YET if iam_propagating(failure.message) else Outcome.FATAL
    if failure.code in _NOT_YET_CODES:
        return Outcome.NOT_YET
    if failure.code.startswith(("InvalidParameterValue", "ResourceConflict")) and iam_propagating(failure.message):
        return Outcome.NOT_YET
    if failure.status == 429:
        return Outcome.THROTTLED
    if failure.code in _TRANSIENT_CODES or failure.status in _TRANSIENT_STATUSES:
        return Outcome.TRANSIENT
    return Outcome.FATAL


def classify_terraform(error: BaseException) -> Outcome:
    """Like `classify`, for what running Terraform raises: `terraform_transient` decides."""
    return Outcome.TRANSIENT if terraform_transient(_text_of(error)) else classify(error)


def classify_propagation(error: BaseException) -> Outcome:
    """Like `classify`, and reads `iam_propagating` out of an error of Terraform's as well as out of one of AWS's."""
    outcome = classify(error)
    if outcome is Outcome.FATAL and not isinstance(getattr(error, "response", None), dict):
        return Outcome.NOT_YET if iam_propagating(_text_of(error)) else outcome
    return outcome


def _text_of(error: BaseException) -> str:
    """An error's text with the output that CalledProcessError and its like carry."""
    parts = [str(error), *(getattr(error, name, None) for name in ("stdout", "stderr", "out", "err"))]
    return "\n".join(
        p.decode(errors="replace") if isinstance(p, bytes) else p for p in parts if isinstance(p, (str, bytes))
    )
