"""Throttles, server errors, dropped connections and latency, as boto3 and the harness's classifier see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from harness.waiters import Failure, Outcome, classify

from .conftest import World

Refused = Callable[..., Any]


def _call(world: World, operation: str, access_key: str = "test") -> Any:
    service, _, method = operation.partition(".")
    return getattr(world.client(service, access_key), method)()


CALLS = [
    "dynamodb.list_tables",
    "iam.list_roles",
    "lambda.list_functions",
    "logs.describe_log_groups",
    "resourcegroupstaggingapi.get_resources",
    "s3.list_buckets",
    "sqs.list_queues",
    "sts.get_caller_identity",
]


def test_a_throttled_lambda_call_says_why_and_how_long_to_wait(world: World, refused: Refused) -> None:
    rule = {"operations": ["lambda.ListFunctions"], "first": 1, "retry_after": 5}
    world.plan({"throttle": [{**rule, "reason": "ConcurrentInvocationLimitExceeded"}]})

    error = refused("TooManyRequestsException", world.client("lambda").list_functions)

    assert type(error).__name__ == "TooManyRequestsException"
    failure = Failure.of(error)
    assert (failure.status, failure.reason) == (429, "ConcurrentInvocationLimitExceeded")
    assert failure.retry_after == 0.5, "5 s of AWS's time at a time scale of 10"


@pytest.mark.parametrize("call", CALLS)
def test_every_service_throttles_in_its_own_words_and_clients_know_them(world: World, call: str) -> None:
    world.plan({"throttle": [{"first": 1}]})
    with pytest.raises(ClientError) as caught:
        _call(world, call)
    assert classify(caught.value) is Outcome.THROTTLED
    _call(world, call)


@pytest.mark.parametrize(
    ("call", "code"),
    [("logs.describe_log_groups", "ThrottlingException"), ("dynamodb.list_tables", "ThrottlingException")],
)
def test_json_services_raise_their_typed_throttle(world: World, refused: Refused, call: str, code: str) -> None:
    world.plan({"throttle": [{"first": 1}]})
    assert type(refused(code, lambda: _call(world, call))).__name__ == code


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("call", CALLS)
def test_a_server_error_has_its_status_and_passes(world: World, call: str, status: int) -> None:
    world.plan({"error": [{"first": 1, "status": status}]})
    with pytest.raises(ClientError) as caught:
        _call(world, call)
    assert Failure.of(caught.value).status == status
    assert classify(caught.value) is Outcome.TRANSIENT
    _call(world, call)


def test_a_dropped_request_has_no_answer_and_no_effect(world: World) -> None:
    world.plan({"drop": [{"operations": ["logs.CreateLogGroup"], "first": 1}]})
    with pytest.raises(ConnectionClosedError) as caught:
        world.client("logs").create_log_group(logGroupName="/dropped")
    assert classify(caught.value) is Outcome.TRANSIENT
    world.client("logs").create_log_group(logGroupName="/dropped")


def test_a_dropped_answer_has_had_its_effect(world: World, refused: Refused) -> None:
    world.plan({"drop": [{"operations": ["logs.CreateLogGroup"], "first": 1, "moment": "answer"}]})
    with pytest.raises(ConnectionClosedError):
        world.client("logs").create_log_group(logGroupName="/answer-dropped")
    refused("ResourceAlreadyExists", world.client("logs").create_log_group, logGroupName="/answer-dropped")


def test_latency_passes_on_the_clouds_clock_before_the_answer(world: World) -> None:
    world.plan({"latency": [{"operations": ["iam.ListRoles"], "rate": 1, "seconds": 30}]})
    before = world.clock.monotonic()
    world.client("lambda").list_functions()
    assert world.clock.monotonic() == before
    world.client("iam").list_roles()
    assert world.clock.monotonic() == before + 3, "30 s of AWS's time at a time scale of 10"


def test_the_first_so_many_calls_of_each_operation_are_met_and_no_other(world: World) -> None:
    world.plan({"throttle": [{"operations": ["iam.List*"], "first": 2}]})
    iam = world.client("iam")

    def ends(call: Callable[[], Any]) -> bool:
        try:
            call()
        except ClientError:
            return False
        return True

    assert [ends(iam.list_roles) for _ in range(4)] == [False, False, True, True]
    assert [ends(iam.list_users) for _ in range(4)] == [False, False, True, True]
    assert ends(iam.get_account_summary)


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (1, 20)])
def test_a_rate_is_a_part_of_the_calls(world: World, rate: int, expected: int) -> None:
    world.plan({"throttle": [{"operations": ["iam.ListRoles"], "rate": rate}]})
    before = world.injected("throttle")
    for _ in range(20):
        try:
            world.client("iam").list_roles()
        except ClientError:
            continue
    assert world.injected("throttle") - before == expected


@pytest.mark.parametrize(("callers", "met"), [("client", [True, False]), ("function", [False, True])])
def test_a_rule_can_spare_the_tests_or_the_functions_calls(world: World, callers: str, met: list[bool]) -> None:
    role = world.role()
    world.plan({"throttle": [{"operations": ["sqs.ListQueues"], "rate": 1, "callers": callers}]})
    found = []
    for client in (world.client("sqs"), world.functions_own("sqs", role)):
        try:
            client.list_queues()
            found.append(False)
        except ClientError:
            found.append(True)
    assert found == met


def test_a_calm_plan_changes_nothing(world: World) -> None:
    before = world.cloud.faults.injected()
    for call in CALLS:
        _call(world, call)
    assert world.cloud.faults.injected() == before
