"""Which operations AWS has, and which errors its services give: read off botocore's models, or named here."""

from __future__ import annotations

import difflib
import fnmatch
import functools

from harness.errors import ConfigurationError
from harness.localcloud.api import ApiError
from harness.localcloud.operations import Operation

from .plan import FaultPlan, ServerError

# What each service calls it: code and status. https://docs.aws.amazon.com/boto3/latest/guide/retries.html
_THROTTLED = {
    "dynamodb": ("ThrottlingException", 400),
    "iam": ("Throttling", 400),
    "lambda": ("TooManyRequestsException", 429),
    "logs": ("ThrottlingException", 400),
    "resourcegroupstaggingapi": ("ThrottledException", 400),
    "s3": ("SlowDown", 503),
    "sqs": ("RequestThrottled", 403),
    "sts": ("Throttling", 400),
}
_FAILED = {
    "dynamodb": "InternalServerError",
    "iam": "ServiceFailure",
    "lambda": "ServiceException",
    "logs": "ServiceUnavailableException",
    "resourcegroupstaggingapi": "InternalServiceException",
    "s3": "InternalError",
}
_UNAVAILABLE = {"s3": "ServiceUnavailable", "iam": "ServiceUnavailable", "dynamodb": "ServiceUnavailable"}
_XML = ("query", "rest-xml")


def throttled(operation: Operation, reason: str, retry_after: float) -> ApiError:
    """A service's refusal of one call too many.

    Args:
        operation: What was asked for.
        reason: Lambda's ``Reason``.
        retry_after: Seconds that Lambda asks to wait.
    """
    code, status = _THROTTLED.get(operation.service, ("ThrottlingException", 400))
    if operation.service != "lambda":
        return ApiError(code, "Rate exceeded", status)
    # botocore reads the member from the header; other clients look into the body.
    seconds = f"{retry_after:.3f}".rstrip("0").rstrip(".")
    members = {"Reason": reason, "Type": "User", "retryAfterSeconds": seconds}
    return ApiError(code, "Rate Exceeded.", status, members=members, headers={"Retry-After": seconds})


def failed(operation: Operation, rule: ServerError) -> ApiError:
    """A service's failure that isn't the caller's."""
    codes = _UNAVAILABLE if rule.status == 503 and operation.service in _UNAVAILABLE else _FAILED
    code = codes.get(operation.service, "InternalFailure")
    members = {"Type": "Service"} if operation.service == "lambda" else {}
    return ApiError(code, "The local cloud's fault plan made this call fail.", rule.status, members=members)


def denied(operation: Operation, caller: str, action: str) -> ApiError:
    """IAM's refusal of a call for want of a policy.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    """
    code = "AccessDenied" if operation.protocol in _XML else "AccessDeniedException"
    message = (
        f"User: {caller} is not authorized to perform: {action} "
        f"because no identity-based policy allows the {action} action"
    )
    return ApiError(code, message, 400 if operation.protocol == "json" else 403)


def check_operations(plan: FaultPlan) -> None:
    """Refuse a plan with a rule that can never meet a call.

    Raises:
        ConfigurationError: It names an operation that AWS doesn't have.
    """
    for place, rule in plan.rules():
        for pattern in rule.operations:
            if pattern == "*":
                continue
            service, _, name = pattern.partition(".")
            services = fnmatch.filter(_services(), service)
            if not services:
                near = difflib.get_close_matches(service, _services(), 3)
                hint = f"boto3's names of services are meant; near are {', '.join(near) or 'none'}."
            elif any(fnmatch.filter(_operations(found), name) for found in services):
                continue
            else:
                known = [operation for found in services for operation in _operations(found)]
                near = difflib.get_close_matches(name, known, 3)
                hint = f"boto3's model names operations in CamelCase; near are {', '.join(near) or 'none'}."
            raise ConfigurationError(
                f"{place}.operations names {pattern!r}, which AWS doesn't have", where=f"plan {plan.name}", hint=hint
            )


@functools.cache
def _services() -> list[str]:
    # botocore takes a quarter of a second to import with its session; its loader alone doesn't.
    from botocore.loaders import Loader  # noqa: PLC0415

    found: list[str] = Loader().list_available_services("service-2")
    return found


@functools.cache
def _operations(service: str) -> list[str]:
    from botocore.loaders import Loader  # noqa: PLC0415 - as above

    return list(Loader().load_service_model(service, "service-2")["operations"])
