"""retry_recovery: each kind of error with its own retries, and its own way on when they are exhausted."""

from __future__ import annotations

from typing import Any

import pytest

from harness.assertions import assert_that, between, regex
from harness.durable import DurableFunction, ExecutionResult

pytestmark = pytest.mark.integration

FOR_GOOD = 99
"""More attempts than any step makes."""

RECOVERIES = ("TryFallbackService", "HandleThrottle", "RetryAfterThrottle", "HandleBadData", "CriticalFailure")

# Full jitter is a whole number of seconds from 1 to the delay without jitter.
TRANSIENT_DELAYS = [between(1, 1), between(1, 2), between(1, 4)]
RATE_LIMIT_DELAYS = [5, 8, 12, 17, 26]
TIMEOUT_DELAYS = [10, 30]
AFTER_THROTTLE_DELAYS = [between(1, 30), between(1, 60), between(1, 120)]


def call(amount: object = 21, **simulate: Any) -> dict[str, Any]:
    return {"amount": amount, "simulate": simulate} if simulate else {"amount": amount}


def execution(amount: object = 21, **simulate: Any) -> pytest.MarkDecorator:
    return pytest.mark.execution(call(amount, **simulate))


def case(test_id: str, error: str, times: int, delays: list[Any]) -> Any:
    return pytest.param(error, times, delays, id=test_id, marks=execution(error=error, times=times))


@execution()
def test_without_a_failure_the_primary_service_answers_at_once(run: ExecutionResult) -> None:
    (
        assert_that(run)
        .succeeded({"status": "ok", "source": "primary", "value": 42})
        .ran_in_order("CallPrimaryService", "VerifyResult")
        .never_ran(*RECOVERIES)
    )
    assert_that(run).step("CallPrimaryService").succeeded(attempts=1)


@pytest.mark.parametrize(
    ("error", "times", "delays"),
    [
        case("transient-once", "TransientError", 1, TRANSIENT_DELAYS[:1]),
        case("transient-to-the-last-retry", "TransientError", 3, TRANSIENT_DELAYS),
        case("rate-limit-once", "RateLimitError", 1, RATE_LIMIT_DELAYS[:1]),
        case("rate-limit-to-the-last-retry", "RateLimitError", 5, RATE_LIMIT_DELAYS),
        case("timeout-once", "TimeoutError", 1, TIMEOUT_DELAYS[:1]),
        case("timeout-to-the-last-retry", "TimeoutError", 2, TIMEOUT_DELAYS),
    ],
)
def test_an_error_that_passes_within_its_retries_needs_no_recovery(
    run: ExecutionResult, error: str, times: int, delays: list[object]
) -> None:
    (
        assert_that(run)
        .succeeded({"status": "ok", "source": "primary", "value": 42})
        .never_ran(*RECOVERIES)
        .step("CallPrimaryService")
        .succeeded(attempts=times + 1, delays=delays, errors=[error] * times)
    )


@pytest.mark.parametrize(
    ("error", "times", "delays"),
    [
        case("transient", "TransientError", FOR_GOOD, TRANSIENT_DELAYS),
        case("timeout", "TimeoutError", FOR_GOOD, TIMEOUT_DELAYS),
        case("unknown", "OutOfPaperError", FOR_GOOD, []),
        case("unknown-that-would-pass", "OutOfPaperError", 1, []),
    ],
)
def test_an_error_without_a_recovery_is_critical_once_its_retries_are_exhausted(
    run: ExecutionResult, error: str, times: int, delays: list[object]
) -> None:
    attempts = len(delays) + 1

    assert_that(run).failed("CriticalFailure", regex(f"^{error}: ")).never_ran(*RECOVERIES[:-1], "VerifyResult")
    assert_that(run).ran_in_order("CallPrimaryService", "CriticalFailure")
    assert_that(run).step("CallPrimaryService").failed(
        error, attempts=attempts, delays=delays, errors=[error] * attempts
    )
    assert_that(run).step("CriticalFailure").failed("CriticalFailure", attempts=1)


@execution(error="ServiceDownError", times=FOR_GOOD)
def test_when_the_service_is_down_the_fallback_answers_without_a_retry(run: ExecutionResult) -> None:
    (
        assert_that(run)
        .succeeded({"status": "ok", "source": "fallback", "value": 0})
        .ran_in_order("CallPrimaryService", "TryFallbackService", "VerifyResult")
        .never_ran("HandleThrottle", "RetryAfterThrottle", "HandleBadData", "CriticalFailure")
    )
    assert_that(run).step("CallPrimaryService").failed("ServiceDownError", attempts=1)
    assert_that(run).step("TryFallbackService").succeeded(attempts=1)


@execution(error="ServiceDownError", times=FOR_GOOD, fallback_fails=True)
def test_when_the_fallback_is_down_as_well_its_error_ends_the_execution(run: ExecutionResult) -> None:
    assert_that(run).failed("FallbackError").never_ran("CriticalFailure", "VerifyResult")
    assert_that(run).step("TryFallbackService").failed("FallbackError", attempts=1)


@execution(error="RateLimitError", times=FOR_GOOD)
def test_a_rate_limit_that_outlasts_its_retries_is_handled_and_the_call_repeated(run: ExecutionResult) -> None:
    (
        assert_that(run)
        .succeeded({"status": "ok", "source": "retry", "value": 42})
        .ran_in_order("CallPrimaryService", "HandleThrottle", "RetryAfterThrottle", "VerifyResult")
        .never_ran("TryFallbackService", "HandleBadData", "CriticalFailure")
    )
    assert_that(run).step("CallPrimaryService").failed(
        "RateLimitError", attempts=6, delays=RATE_LIMIT_DELAYS, errors=["RateLimitError"] * 6
    )
    assert_that(run).step("HandleThrottle").succeeded(attempts=1)
    assert_that(run).step("RetryAfterThrottle").succeeded(attempts=1)


@execution(error="RateLimitError", times=FOR_GOOD, throttled_again=3)
def test_after_a_throttle_the_call_is_repeated_up_to_three_more_times(run: ExecutionResult) -> None:
    assert_that(run).succeeded({"status": "ok", "source": "retry", "value": 42})
    assert_that(run).step("RetryAfterThrottle").succeeded(
        attempts=4, delays=AFTER_THROTTLE_DELAYS, errors=["RateLimitError"] * 3
    )


@execution(error="RateLimitError", times=FOR_GOOD, throttled_again=FOR_GOOD)
def test_a_throttle_that_never_ends_ends_the_execution(run: ExecutionResult) -> None:
    assert_that(run).failed("RateLimitError").never_ran("CriticalFailure", "VerifyResult")
    assert_that(run).step("RetryAfterThrottle").failed(
        "RateLimitError", attempts=4, delays=AFTER_THROTTLE_DELAYS, errors=["RateLimitError"] * 4
    )


@execution("21.5")
def test_bad_data_is_repaired_and_the_call_repeated(run: ExecutionResult) -> None:
    (
        assert_that(run)
        .succeeded({"status": "ok", "source": "primary", "value": 43})
        .ran_in_order("CallPrimaryService", "HandleBadData", "CallPrimaryService", "VerifyResult")
        .never_ran("TryFallbackService", "HandleThrottle", "RetryAfterThrottle", "CriticalFailure")
    )
    assert_that(run).step("CallPrimaryService", nth=0).failed("DataValidationError", attempts=1)
    assert_that(run).step("HandleBadData").succeeded(21.5, attempts=1)
    assert_that(run).step("CallPrimaryService", nth=1).succeeded(attempts=1)


@execution("21", error="TransientError", times=2)
def test_the_call_with_repaired_data_has_retries_of_its_own(run: ExecutionResult) -> None:
    assert_that(run).succeeded({"status": "ok", "source": "primary", "value": 42})
    assert_that(run).step("CallPrimaryService", nth=0).failed(
        "DataValidationError", errors=["TransientError", "TransientError", "DataValidationError"]
    )
    assert_that(run).step("CallPrimaryService", nth=1).succeeded(attempts=3, delays=TRANSIENT_DELAYS[:2])


@execution("x")
def test_data_beyond_repair_is_critical(run: ExecutionResult) -> None:
    assert_that(run).failed("CriticalFailure", regex("^DataValidationError: ")).never_ran("VerifyResult")
    assert_that(run).step("CallPrimaryService").failed("DataValidationError", attempts=1)
    assert_that(run).step("HandleBadData").failed("DataValidationError", attempts=1)
    assert_that(run).step("CriticalFailure").failed("CriticalFailure", attempts=1)


@execution(error="DataValidationError", times=FOR_GOOD)
def test_repaired_data_that_is_refused_again_is_critical(run: ExecutionResult) -> None:
    assert_that(run).failed("CriticalFailure", regex("^DataValidationError: ")).never_ran("VerifyResult")
    assert_that(run).ran_in_order("CallPrimaryService", "HandleBadData", "CallPrimaryService", "CriticalFailure")
    assert_that(run).each_step("CallPrimaryService", count=2).failed("DataValidationError", attempts=1)
    assert_that(run).step("HandleBadData").succeeded(21)


@execution("21", error="RateLimitError", times=FOR_GOOD)
def test_bad_data_that_shows_only_after_a_throttle_ends_the_execution(run: ExecutionResult) -> None:
    assert_that(run).failed("DataValidationError").never_ran("HandleBadData", "CriticalFailure", "VerifyResult")
    assert_that(run).step("RetryAfterThrottle").failed("DataValidationError", attempts=1)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("primary", marks=execution(status="degraded")),
        pytest.param("fallback", marks=execution(status="degraded", error="ServiceDownError")),
        pytest.param("retry", marks=execution(status="degraded", error="RateLimitError", times=FOR_GOOD)),
    ],
)
def test_an_answer_whose_status_is_not_ok_does_not_pass(run: ExecutionResult, source: str) -> None:
    assert_that(run).failed("VerificationError", regex(f"{source} answer is degraded"))
    assert_that(run).step("VerifyResult").failed("VerificationError", attempts=1)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ([], "object"),
        ({}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": True}, "amount"),
        (call(simulate={}) | {"simulate": "TransientError"}, "simulate"),
        (call(error=5), r"simulate\.error"),
        (call(times=-1), r"simulate\.times"),
        (call(fallback_fails="yes"), r"simulate\.fallback_fails"),
        (call(status=200), r"simulate\.status"),
        (call(eror="TransientError"), r"simulate\.eror"),
    ],
    ids=[
        "list",
        "empty",
        "null",
        "boolean",
        "text-simulate",
        "number-error",
        "negative-times",
        "text-flag",
        "number-status",
        "unknown-key",
    ],
)
def test_a_malformed_request_is_invalid_before_the_first_step(
    durable: DurableFunction, payload: object, complaint: str
) -> None:
    run = durable.run(payload)

    assert_that(run).failed("InvalidRequestError", regex(complaint)).never_ran("CallPrimaryService", *RECOVERIES)


def test_the_logs_tell_of_each_attempt_once_and_of_this_execution_only(durable: DurableFunction) -> None:
    durable.run(call(error="ServiceDownError"))
    running = durable.start(call(error="TransientError", times=2))
    running.wait()

    expected = [f"Calling the primary service, attempt {attempt}" for attempt in (1, 2, 3)]
    rows = running.logs(until=lambda rows: all(any(message in row.message for row in rows) for message in expected))

    calls = [row.record for row in rows if "Calling the primary service" in row.message]
    assert sorted(str(record["message"]) for record in calls) == expected
    assert {record["executionArn"] for record in calls} == {running.arn}
    assert not any("falling back" in row.message for row in rows)
