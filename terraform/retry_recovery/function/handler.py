"""Retry and recovery: every kind of error has its own retries, and its own way on when they are exhausted."""

from __future__ import annotations

from typing import Any, NoReturn

from aws_durable_execution_sdk_python import DurableContext, StepContext, StepError, durable_execution
from aws_durable_execution_sdk_python.config import JitterStrategy

import services
from failures import keep_types
from retry_policies import Retry, no_retry, retry_on
from services import Request

Answer = dict[str, Any]

CALL_PRIMARY = retry_on(
    Retry(services.TransientError, delay=1, retries=3, rate=2, jitter=JitterStrategy.FULL),
    Retry(services.RateLimitError, delay=5, retries=5, rate=1.5, max_delay=30),
    Retry(TimeoutError, delay=10, retries=2, rate=3, max_delay=60),
)
AFTER_THROTTLE = retry_on(
    Retry(services.RateLimitError, delay=30, retries=3, rate=2, max_delay=120, jitter=JitterStrategy.FULL)
)


@durable_execution
def handler(event: Any, context: DurableContext) -> Answer:
    """Get an answer to the request in ``event``; the README says what it may hold and what comes back."""
    with keep_types():
        request = services.parse_request(event)
        answer = recover(context, request)
        return verify_result(context, answer)


def recover(context: DurableContext, request: Request) -> Answer:
    """An answer from the primary service, or from what stands in for it.

    The SDK raises every failed step as StepError; the catches look at the type that the step itself raised.
    """
    try:
        return call_primary_service(context, request, request.amount)
    except StepError as error:
        if error.error_type == "ServiceDownError":
            return try_fallback_service(context, request)
        if error.error_type == "RateLimitError":
            handle_throttle(context)
            return retry_after_throttle(context, request)
        if error.error_type != "DataValidationError":
            critical_failure(context, error)
    try:
        repaired = handle_bad_data(context, request)
        return call_primary_service(context, request, repaired)
    except StepError as error:
        critical_failure(context, error)


def call_primary_service(context: DurableContext, request: Request, amount: float | str) -> Answer:
    """Ask the primary service, with retries by the type of its error."""

    def call(step: StepContext) -> Answer:
        step.logger.info("Calling the primary service, attempt %d", step.attempt)
        return services.call_primary(request, amount, step.attempt)

    return context.step(call, name="CallPrimaryService", config=CALL_PRIMARY)


def try_fallback_service(context: DurableContext, request: Request) -> Answer:
    """Ask the fallback service, once."""

    def fall_back(step: StepContext) -> Answer:
        step.logger.warning("The primary service is down, falling back")
        return services.call_fallback(request)

    return context.step(fall_back, name="TryFallbackService", config=no_retry())


def handle_throttle(context: DurableContext) -> None:
    """Note that the primary service throttles; what slows the other callers down would go here."""

    def note(step: StepContext) -> str:
        step.logger.warning("The primary service throttles")
        return "throttled"

    context.step(note, name="HandleThrottle", config=no_retry())


def retry_after_throttle(context: DurableContext, request: Request) -> Answer:
    """Ask the primary service again, with long pauses."""

    def call_again(step: StepContext) -> Answer:
        return services.call_after_throttle(request, step.attempt)

    return context.step(call_again, name="RetryAfterThrottle", config=AFTER_THROTTLE)


def handle_bad_data(context: DurableContext, request: Request) -> int | float:
    """Repair what the primary service couldn't use."""

    def repair(step: StepContext) -> int | float:
        repaired = services.repair(request.amount)
        step.logger.info("Bad data repaired")
        return repaired

    return context.step(repair, name="HandleBadData", config=no_retry())


def critical_failure(context: DurableContext, cause: StepError) -> NoReturn:
    """Give up: a step that fails, so that the history shows where and why.

    Raises:
        StepError: Always, of the type CriticalFailure.
    """

    def fail(step: StepContext) -> NoReturn:
        step.logger.error("Giving up after %s", cause.error_type)
        raise services.CriticalFailure(f"{cause.error_type}: {cause.message}")

    context.step(fail, name="CriticalFailure", config=no_retry())
    raise AssertionError("a step that raises doesn't return")


def verify_result(context: DurableContext, answer: Answer) -> Answer:
    """Pass on the answer if its status is ok."""

    def verify(step: StepContext) -> Answer:
        step.logger.info("Verifying the %s answer", answer["source"])
        return services.verify(answer)

    return context.step(verify, name="VerifyResult", config=no_retry())
