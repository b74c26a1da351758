from __future__ import annotations

import subprocess

import pytest
from botocore import exceptions as boto

from harness.errors import TerraformError
from harness.waiters import (
    Failure,
    Outcome,
    WaitTimeout,
    classify,
    classify_propagation,
    classify_terraform,
    iam_propagating,
    is_not_found,
    terraform_transient,
)
from tests.unit.waiters.errors import client_error, throttle

THROTTLES = [
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "TooManyRequestsException",
    "ProvisionedThroughputExceededException", "TransactionInProgressException", "RequestLimitExceeded",
    "BandwidthLimitExceeded", "RequestThrottled", "SlowDown", "PriorRequestNotComplete", "EC2ThrottledException",
]  # fmt: skip


@pytest.mark.parametrize("code", THROTTLES)
def test_every_throttling_code_of_botocore_is_a_throttle(code: str) -> None:
    # 503 as S3 answers SlowDown, 502 as Lambda answers EC2ThrottledException: the code counts, not the status.
    assert {classify(client_error(code, status)) for status in (400, 429, 502, 503)} == {Outcome.THROTTLED}


def test_an_unknown_code_with_status_429_is_a_throttle() -> None:
    assert classify(client_error("Newfangled", 429)) is Outcome.THROTTLED


def test_the_limit_of_logs_is_a_quota_and_no_throttle() -> None:
    assert classify(client_error("LimitExceededException")) is Outcome.FATAL


@pytest.mark.parametrize(
    "error",
    [
        client_error("RequestTimeout"),
        client_error("RequestTimeoutException"),
        client_error("ServiceException", 500),
        client_error("BadGateway", 502),
        client_error("ServiceUnavailableException", 503),
        client_error("GatewayTimeout", 504),
        boto.ConnectionClosedError(endpoint_url="http://127.0.0.1"),
        boto.EndpointConnectionError(endpoint_url="http://127.0.0.1"),
        boto.ReadTimeoutError(endpoint_url="http://127.0.0.1"),
        boto.ConnectTimeoutError(endpoint_url="http://127.0.0.1"),
        boto.HTTPClientError(error="broken"),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
    ids=lambda error: Failure.of(error).code,
)
def test_what_goes_away_is_transient(error: Exception) -> None:
    assert classify(error) is Outcome.TRANSIENT


@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDeniedException", 403),
        client_error("UnrecognizedClientException", 403),
        client_error("ExpiredTokenException", 403),
        client_error("ValidationException"),
        client_error("ResourceNotFoundException", 404),
        client_error("InvalidParameterValueException", message="Memory size is too small"),
        client_error("KMSAccessDeniedException", 502, "no decrypt"),
        client_error("InvalidZipFileException", 502),
        boto.SSLError(endpoint_url="https://x", error=Exception("certificate verify failed")),
        boto.NoCredentialsError(),
        boto.ParamValidationError(report="x"),
        ValueError("a bug"),
        AssertionError("a test"),
        TimeoutError("somebody else gave up"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: Failure.of(error).code,
)
def test_what_stays_is_fatal(error: Exception) -> None:
    assert classify(error) is Outcome.FATAL


def test_a_nested_timeout_is_fatal() -> None:
    error = WaitTimeout(policy="P", what="x", because="deadline", elapsed=1, last_value=None, last_error=None, trail=())
    assert classify(error) is Outcome.FATAL


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."),
        ("InvalidParameterValueException", "The provided execution role does not have permissions to call EC2"),
        ("InvalidParameterValueException", "Lambda was throttled by EC2 during function setup"),
        ("InvalidParameterValueException", "KMS key is invalid for CreateGrant"),
        ("ResourceConflictException", "An update is in progress for resource: arn:aws:lambda:eu-west-1:1:function:f"),
        ("ResourceConflictException", "The function is currently in the following state: Pending"),
    ],
)
def test_the_role_family_is_not_yet(code: str, message: str) -> None:
    error = client_error(code, 409 if "Conflict" in code else 400, message)
    assert classify(error) is Outcome.NOT_YET
    assert iam_propagating(message)


def test_the_propagation_words_in_another_kind_of_error_mean_nothing() -> None:
    assert classify(client_error("AccessDeniedException", 403, "cannot be assumed by Lambda")) is Outcome.FATAL


def test_a_failure_reads_reason_and_retry_after_from_the_members() -> None:
    failure = Failure.of(throttle(Reason="CallerRateLimitExceeded", retryAfterSeconds="12"))
    assert (failure.code, failure.status) == ("TooManyRequestsException", 429)
    assert (failure.reason, failure.retry_after) == ("CallerRateLimitExceeded", 12.0)


def test_a_failure_reads_retry_after_from_the_header() -> None:
    assert Failure.of(throttle(headers={"retry-after": "7"})).retry_after == 7.0


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT", None])
def test_a_retry_after_that_is_no_number_of_seconds_is_ignored(value: object) -> None:
    assert Failure.of(throttle(retryAfterSeconds=value)).retry_after is None


def test_a_failure_of_any_other_error_has_its_type_for_a_code() -> None:
    assert Failure.of(ConnectionResetError("x")).code == "ConnectionResetError"


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "NoSuchEntity", "NoSuchBucket", "404"])
def test_not_found_is_recognized(code: str) -> None:
    assert is_not_found(client_error(code, 404))
    assert not is_not_found(throttle())


TRANSIENT_OUTPUT = [
    "read tcp 10.0.0.1:443: connection reset by peer",
    "rpc error: code = Unavailable desc = transport is closing",
    "Error: Failed to query available provider packages",
    "the registry service is unreachable",
    "timeout while waiting for plugin to start",
    "timed out waiting for server handshake",
    "Error: Provider produced inconsistent result after apply",
    "unable to verify signature",
    "unable to verify checksum",
]


@pytest.mark.parametrize("output", TRANSIENT_OUTPUT)
def test_terraforms_passing_failures_are_explained(output: str) -> None:
    assert terraform_transient(output)
    assert classify_terraform(TerraformError(output)) is Outcome.TRANSIENT


def test_terraforms_box_and_line_breaks_do_not_hide_a_failure() -> None:
    output = "\x1b[31m╷\x1b[0m\n│ Error: Failed to query available\n│ provider packages\n│\n╵\n"
    assert terraform_transient(output)


def test_other_failures_of_terraform_are_fatal() -> None:
    assert terraform_transient("Error: Unsupported argument\n  on main.tf line 3") is None
    assert classify_terraform(TerraformError("Unsupported argument")) is Outcome.FATAL


def test_terraforms_failure_is_read_from_the_output_of_a_process_too() -> None:
    error = subprocess.CalledProcessError(1, ["terraform", "apply"], output=b"", stderr=b"transport is closing")
    assert classify_terraform(error) is Outcome.TRANSIENT


def test_a_role_that_propagates_is_seen_through_terraform() -> None:
    error = TerraformError(
        "│ Error: creating Lambda Function (f): InvalidParameterValueException: The role defined for the\n"
        "│ function cannot be assumed by Lambda."
    )
    assert classify_propagation(error) is Outcome.NOT_YET
    assert classify_terraform(error) is Outcome.FATAL
    assert classify_propagation(TerraformError("Unsupported argument")) is Outcome.FATAL
    assert classify_propagation(throttle()) is Outcome.THROTTLED
