"""Simulated services that fail as they are told to, and what is asked of them: without any AWS call."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from failures import Failure, of_type


class InvalidRequestError(Failure):
    """The input isn't a request."""


class TransientError(Failure):
    """The service stumbled; trying again soon may help."""


class RateLimitError(Failure):
    """The service is asked too often; asking more slowly may help."""


class ServiceDownError(Failure):
    """The service is down; asking again doesn't help, asking another one does."""


class DataValidationError(Failure):
    """The service can't use the data; asking again doesn't help, repairing the data may."""


class FallbackError(Failure):
    """The fallback service failed as well."""


class VerificationError(Failure):
    """The result isn't usable."""


class CriticalFailure(Failure):
    """Nothing is known that would help."""


# By the names that the retries and catches know. TimeoutError is Python's own.
KNOWN_ERRORS: dict[str, type[Exception]] = {
    "TransientError": TransientError,
    "RateLimitError": RateLimitError,
    "TimeoutError": TimeoutError,
    "ServiceDownError": ServiceDownError,
    "DataValidationError": DataValidationError,
}


@dataclass(frozen=True)
class Request:
    """A valid request.

    Attributes:
        amount: What is sent to the service. It takes numbers; text is bad data, which HandleBadData may repair.
        error: What the primary service fails with, None for not at all.
        times: On how many attempts of a call it does so.
        throttled_again: Attempts of RetryAfterThrottle that end in RateLimitError.
        fallback_fails: Whether the fallback service fails.
        status: What the answer's status is; anything but ``ok`` doesn't pass VerifyResult.
    """

    amount: int | float | str
    error: str | None = None
    times: int = 0
    throttled_again: int = 0
    fallback_fails: bool = False
    status: str = "ok"


def parse_request(event: Any) -> Request:
    """The request in an execution's input.

    Raises:
        InvalidRequestError: Something is missing or of the wrong type; the message says what.
    """
    if not isinstance(event, dict):
        raise InvalidRequestError("the input must be an object")
    amount = event.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, (int, float, str)) or _is_infinite(amount):
        raise InvalidRequestError("amount must be a number or text")
    simulate = event.get("simulate", {})
    if not isinstance(simulate, dict):
        raise InvalidRequestError("simulate must be an object")
    if unknown := simulate.keys() - {"error", "times", "throttled_again", "fallback_fails", "status"}:
        raise InvalidRequestError(f"simulate.{min(unknown)} is unknown")
    error = simulate.get("error")
    if error is not None and (not isinstance(error, str) or not re.fullmatch(r"[A-Za-z]\w{0,63}", error)):
        raise InvalidRequestError("simulate.error must be the name of an error type")
    fallback_fails = simulate.get("fallback_fails", False)
    if not isinstance(fallback_fails, bool):
        raise InvalidRequestError("simulate.fallback_fails must be true or false")
    status = simulate.get("status", "ok")
    if not isinstance(status, str):
        raise InvalidRequestError("simulate.status must be text")
    return Request(
        amount=amount,
        error=error,
        times=_count(simulate, "times", 1 if error else 0),
        throttled_again=_count(simulate, "throttled_again", 0),
        fallback_fails=fallback_fails,
        status=status,
    )


def call_primary(request: Request, amount: float | str, attempt: int) -> dict[str, Any]:
    """The primary service's answer to one attempt, counted from 1.

    Raises:
        Exception: The simulated error, on the first ``request.times`` attempts.
        DataValidationError: The amount isn't a number.
    """
    if request.error is not None and attempt <= request.times:
        message = f"simulated (attempt {attempt})"
        known = KNOWN_ERRORS.get(request.error)
        raise known(message) if known else of_type(request.error, message)
    if isinstance(amount, str):
        raise DataValidationError(f"amount must be a number, not {amount!r}")
    return {"status": request.status, "source": "primary", "value": amount * 2}


def call_after_throttle(request: Request, attempt: int) -> dict[str, Any]:
    """The primary service's answer once it was left alone for a while.

    Raises:
        RateLimitError: On the first ``request.throttled_again`` attempts.
        DataValidationError: The amount isn't a number.
    """
    if attempt <= request.throttled_again:
        raise RateLimitError(f"still throttled (attempt {attempt})")
    return {**call_primary(Request(amount=request.amount, status=request.status), request.amount, 1), "source": "retry"}


def call_fallback(request: Request) -> dict[str, Any]:
    """The fallback service's answer: a fixed value, whatever is asked.

    Raises:
        FallbackError: If it is told to fail.
    """
    if request.fallback_fails:
        raise FallbackError("the fallback service is down as well")
    return {"status": request.status, "source": "fallback", "value": 0}


def repair(amount: float | str) -> int | float:
    """The number that a text stands for.

    Raises:
        DataValidationError: It stands for none.
    """
    try:
        number = float(amount)
    except ValueError as error:
        raise DataValidationError(f"amount {amount!r} can't be repaired") from error
    if not math.isfinite(number):
        raise DataValidationError(f"amount {amount!r} can't be repaired")
    return int(number) if number.is_integer() else number


def verify(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer itself, if its status is ``ok``.

    Raises:
        VerificationError: It isn't.
    """
    if answer["status"] != "ok":
        raise VerificationError(f"the status of the {answer['source']} answer is {answer['status']}")
    return answer


def _count(values: dict[str, Any], name: str, default: int) -> int:
    value = values.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidRequestError(f"simulate.{name} must be a whole number of at least 0")
    return value


def _is_infinite(value: float | str) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
