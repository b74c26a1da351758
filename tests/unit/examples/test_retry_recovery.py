"""retry_recovery: its logic, and its whole handler without any cloud."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.examples.loading import Example
from tests.unit.examples.running import Run, run


@pytest.fixture(scope="module")
def example() -> Example:
    return Example("retry_recovery")


@pytest.fixture(scope="module")
def call(example: Example) -> Any:
    def call_service(amount: Any = 4, **simulate: Any) -> Run:
        return run(example.handler.handler, {"amount": amount, "simulate": simulate})

    return call_service


class TestParseRequest:
    @pytest.mark.parametrize(
        "event",
        [
            None,
            {},
            {"amount": True},
            {"amount": [1]},
            {"amount": float("nan")},
            {"amount": float("inf")},
            {"amount": 1, "simulate": 1},
            {"amount": 1, "simulate": {"typo": 1}},
            {"amount": 1, "simulate": {"error": "no name"}},
            {"amount": 1, "simulate": {"error": 1}},
            {"amount": 1, "simulate": {"times": -1}},
            {"amount": 1, "simulate": {"throttled_again": "1"}},
            {"amount": 1, "simulate": {"fallback_fails": 1}},
            {"amount": 1, "simulate": {"status": None}},
        ],
    )
    def test_refuses_what_it_doesnt_understand(self, example: Example, event: Any) -> None:
        with pytest.raises(example.services.InvalidRequestError):
            example.services.parse_request(event)

    def test_an_error_happens_once_unless_told_otherwise(self, example: Example) -> None:
        assert example.services.parse_request({"amount": 1, "simulate": {"error": "TransientError"}}).times == 1


class TestRepair:
    @pytest.mark.parametrize(("text", "number"), [("42", 42), (" 1.5 ", 1.5), ("-1e3", -1000)])
    def test_reads_numbers(self, example: Example, text: str, number: float) -> None:
        assert example.services.repair(text) == number

    @pytest.mark.parametrize("text", ["", "x", "nan", "inf"])
    def test_refuses_what_isnt_one(self, example: Example, text: str) -> None:
        with pytest.raises(example.services.DataValidationError, match="can't be repaired"):
            example.services.repair(text)


class TestRetries:
    def test_are_not_needed_when_nothing_fails(self, call: Any) -> None:
        done = call(21)
        assert done.result == {"status": "ok", "source": "primary", "value": 42}
        assert done.names() == ["CallPrimaryService", "VerifyResult"]
        assert done.attempts("CallPrimaryService") == 1

    @pytest.mark.parametrize(
        ("error", "delays"),
        [("RateLimitError", [5, 8, 12, 17, 26]), ("TimeoutError", [10, 30])],
    )
    def test_follow_the_errors_schedule(self, call: Any, error: str, delays: list[int]) -> None:
        done = call(error=error, times=len(delays))
        assert done.result["source"] == "primary"
        assert done.delays("CallPrimaryService") == delays
        assert done.failures("CallPrimaryService") == [error] * len(delays)

    def test_of_a_transient_error_have_full_jitter(self, call: Any) -> None:
        done = call(error="TransientError", times=3)
        delays = done.delays("CallPrimaryService")
        assert done.result["source"] == "primary"
        assert [1 <= delay <= most for delay, most in zip(delays, [1, 2, 4], strict=True)] == [True] * 3

    @pytest.mark.parametrize(("error", "attempts"), [("TransientError", 4), ("TimeoutError", 3)])
    def test_end_in_a_critical_failure(self, call: Any, error: str, attempts: int) -> None:
        done = call(error=error, times=99)
        assert (done.status, done.error_type) == ("FAILED", "CriticalFailure")
        assert done.error_message == f"{error}: simulated (attempt {attempts})"
        assert done.attempts("CallPrimaryService") == attempts
        assert done.failures("CriticalFailure") == ["CriticalFailure"]


class TestCatches:
    def test_a_service_that_is_down_has_a_fallback(self, call: Any) -> None:
        done = call(error="ServiceDownError")
        assert done.result == {"status": "ok", "source": "fallback", "value": 0}
        assert done.names() == ["CallPrimaryService", "TryFallbackService", "VerifyResult"]
        assert done.attempts("CallPrimaryService") == 1

    def test_a_fallback_that_fails_ends_it(self, call: Any) -> None:
        done = call(error="ServiceDownError", fallback_fails=True)
        assert (done.status, done.error_type) == ("FAILED", "FallbackError")

    def test_a_throttled_service_is_asked_again_later(self, call: Any) -> None:
        done = call(error="RateLimitError", times=99)
        assert done.result == {"status": "ok", "source": "retry", "value": 8}
        assert done.delays("CallPrimaryService") == [5, 8, 12, 17, 26]
        assert done.names() == ["CallPrimaryService", "HandleThrottle", "RetryAfterThrottle", "VerifyResult"]

    @pytest.mark.parametrize("times", [1, 3])
    def test_and_again_with_long_pauses(self, call: Any, times: int) -> None:
        done = call(error="RateLimitError", times=99, throttled_again=times)
        delays = done.delays("RetryAfterThrottle")
        assert done.result["source"] == "retry"
        assert len(delays) == times
        assert all(1 <= delay <= most for delay, most in zip(delays, [30, 60, 120], strict=False))

    def test_until_that_ends_it(self, call: Any) -> None:
        done = call(error="RateLimitError", times=99, throttled_again=4)
        assert (done.status, done.error_type) == ("FAILED", "RateLimitError")
        assert done.attempts("RetryAfterThrottle") == 4

    def test_bad_data_is_repaired(self, call: Any) -> None:
        done = call("21")
        assert done.result == {"status": "ok", "source": "primary", "value": 42}
        assert done.names() == ["CallPrimaryService", "HandleBadData", "CallPrimaryService", "VerifyResult"]

    def test_bad_data_beyond_repair_is_critical(self, call: Any) -> None:
        done = call("x")
        assert done.error_type == "CriticalFailure"
        assert done.failures("HandleBadData") == ["DataValidationError"]

    def test_data_that_stays_bad_is_critical(self, call: Any) -> None:
        done = call(error="DataValidationError")
        assert done.error_type == "CriticalFailure"
        assert done.names() == ["CallPrimaryService", "HandleBadData", "CallPrimaryService", "CriticalFailure"]

    def test_an_unknown_error_is_critical(self, call: Any) -> None:
        done = call(error="SolarFlareError")
        assert (done.status, done.error_type) == ("FAILED", "CriticalFailure")
        assert done.error_message == "SolarFlareError: simulated (attempt 1)"
        assert done.attempts("CallPrimaryService") == 1


def test_an_answer_that_isnt_ok_fails(call: Any) -> None:
    done = call(status="degraded")
    assert (done.status, done.error_type) == ("FAILED", "VerificationError")
    assert done.failures("VerifyResult") == ["VerificationError"]


def test_a_bad_request_fails_before_the_first_step(example: Example) -> None:
    done = run(example.handler.handler, {"amount": None})
    assert (done.status, done.error_type) == ("FAILED", "InvalidRequestError")
    assert done.names() == []
