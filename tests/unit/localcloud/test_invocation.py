"""Invoke, as its callers see it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.localcloud.api import ApiError, ResolvedFunction

from .conftest import Lab, make_zip

Refused = Callable[..., Any]


def _always_failing(function: ResolvedFunction, payload: bytes) -> Any:
    raise ValueError("no")


def test_a_synchronous_invoke_returns_the_result_and_the_version_that_ran(lab: Lab) -> None:
    name = lab.function("first", Publish=True)
    lab.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    lab.functions.update_function_code(FunctionName=name, ZipFile=make_zip({"app.py": "second"}))
    for arguments, version, code in (
        ({"FunctionName": name}, "$LATEST", "second"),
        ({"FunctionName": name, "Qualifier": "live"}, "1", "first"),
        ({"FunctionName": f"{name}:1"}, "1", "first"),
        ({"FunctionName": f"arn:aws:lambda:us-east-1:123456789012:function:{name}:live"}, "1", "first"),
    ):
        answer = lab.functions.invoke(**arguments, Payload=b'{"n": 1}')
        assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, version)
        assert "FunctionError" not in answer
        result = json.load(answer["Payload"])
        assert (result["code"], result["payload"]) == (code, {"n": 1})


def test_no_payload_is_an_empty_object(lab: Lab) -> None:
    assert json.load(lab.functions.invoke(FunctionName=lab.function())["Payload"])["payload"] == {}


def test_a_function_error_is_an_answer_with_a_mark(lab: Lab) -> None:
    name = lab.function()
    lab.runner.behaviours[name] = _always_failing
    answer = lab.functions.invoke(FunctionName=name)
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.load(answer["Payload"]) == {"errorType": "ValueError", "errorMessage": "no"}


def test_the_logs_tail_comes_on_request_only(lab: Lab) -> None:
    name = lab.function()
    assert "LogResult" not in lab.functions.invoke(FunctionName=name)
    answer = lab.functions.invoke(FunctionName=name, LogType="Tail")
    assert base64.b64decode(answer["LogResult"]) == b"the end of the log"


def test_a_dry_run_runs_nothing_but_needs_the_function(lab: Lab, refused: Refused) -> None:
    name = lab.function()
    assert lab.functions.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    assert lab.runner.of(name) == []
    refused("ResourceNotFoundException", lab.functions.invoke, FunctionName="nobody", InvocationType="DryRun")


def test_client_context_and_tenant_reach_the_runner(lab: Lab) -> None:
    name, context = lab.function(), base64.b64encode(b"{}").decode()
    lab.functions.invoke(FunctionName=name, ClientContext=context, TenantId="tenant")
    (invocation,) = lab.runner.of(name)
    assert (invocation.client_context, invocation.tenant_id) == (context, "tenant")


def test_an_event_is_accepted_at_once_and_run_once(lab: Lab) -> None:
    name = lab.function()
    assert lab.functions.invoke(FunctionName=name, InvocationType="Event", Payload=b"[1]")["StatusCode"] == 202
    (invocation,) = lab.runner.wait_for(name, 1)
    assert invocation.payload == b"[1]"


def test_a_failed_event_is_retried_twice_under_its_request_id(lab: Lab) -> None:
    name, last = lab.function(), lab.function()
    lab.runner.behaviours[name] = _always_failing
    lab.functions.invoke(FunctionName=name, InvocationType="Event")
    attempts = lab.runner.wait_for(name, 3)
    assert len({attempt.request_id for attempt in attempts}) == 1
    # Another one, with all its retries, begins and ends: a fourth attempt of the first would have come by then.
    lab.runner.behaviours[last] = _always_failing
    lab.functions.invoke(FunctionName=last, InvocationType="Event")
    lab.runner.wait_for(last, 3)
    assert len(lab.runner.of(name)) == 3


def test_an_event_that_succeeds_in_a_retry_is_done(lab: Lab) -> None:
    name = lab.function()

    def fail_once(function: ResolvedFunction, payload: bytes) -> Any:
        if len(lab.runner.of(name)) == 1:
            raise ValueError("not yet")
        return "fine"

    lab.runner.behaviours[name] = fail_once
    lab.functions.invoke(FunctionName=name, InvocationType="Event")
    assert len(lab.runner.wait_for(name, 2)) == 2


def test_the_event_invoke_config_bounds_the_retries(lab: Lab) -> None:
    none, two = lab.function(), lab.function()
    lab.functions.put_function_event_invoke_config(FunctionName=none, MaximumRetryAttempts=0)
    for name in (none, two):
        lab.runner.behaviours[name] = _always_failing
        lab.functions.invoke(FunctionName=name, InvocationType="Event")
    lab.runner.wait_for(two, 3)
    assert len(lab.runner.of(none)) == 1


def test_a_throttled_event_waits_and_is_not_lost(lab: Lab) -> None:
    name = lab.function()

    def throttle_twice(function: ResolvedFunction, payload: bytes) -> Any:
        if len(lab.runner.of(name)) < 3:
            raise ApiError("TooManyRequestsException", "Rate Exceeded.", 429)
        return "fine"

    lab.runner.behaviours[name] = throttle_twice
    lab.functions.invoke(FunctionName=name, InvocationType="Event")
    assert len(lab.runner.wait_for(name, 3)) == 3


def test_a_throttled_synchronous_invoke_is_the_callers_affair(lab: Lab, refused: Refused) -> None:
    name = lab.function()

    def throttle(function: ResolvedFunction, payload: bytes) -> Any:
        raise ApiError("TooManyRequestsException", "Rate Exceeded.", 429, headers={"Retry-After": "1"})

    lab.runner.behaviours[name] = throttle
    error = refused("TooManyRequestsException", lab.functions.invoke, FunctionName=name)
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert error.response["retryAfterSeconds"] == "1"


@pytest.mark.parametrize("payload", [b"{", b"no json", b"[NaN]", b"\xff"])
def test_a_payload_that_is_no_json_is_refused(lab: Lab, refused: Refused, payload: bytes) -> None:
    refused("InvalidRequestContentException", lab.functions.invoke, FunctionName=lab.function(), Payload=payload)


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6 << 20), ("Event", 1 << 20)])
def test_a_payload_over_the_limit_is_refused(lab: Lab, refused: Refused, kind: str, limit: int) -> None:
    name = lab.function()
    largest = b'"' + b"x" * (limit - 2) + b'"'
    assert lab.functions.invoke(FunctionName=name, InvocationType=kind, Payload=largest)["StatusCode"] in (200, 202)
    error = refused(
        "RequestTooLargeException",
        lab.functions.invoke,
        FunctionName=name,
        InvocationType=kind,
        Payload=largest[:-1] + b'x"',
    )
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_result_over_the_limit_is_a_function_error(lab: Lab) -> None:
    name = lab.function()
    lab.runner.behaviours[name] = lambda *_: b'"' + b"x" * 6_291_556 + b'"'
    answer = lab.functions.invoke(FunctionName=name)
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorType"] == "Function.ResponseSizeTooLarge"


def test_an_unknown_invocation_type_is_refused(lab: Lab) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*invocationType"):
        lab.functions.invoke(FunctionName=lab.function(), InvocationType="Later")


# Durable functions


def test_a_durable_functions_invoke_goes_to_the_engine(lab: Lab) -> None:
    name = lab.function(DurableConfig={"ExecutionTimeout": 60}, Publish=True)
    lab.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    answer = lab.functions.invoke(
        FunctionName=name, Qualifier="live", DurableExecutionName="run-1", Payload=b"[1]", TenantId="tenant"
    )
    assert answer["DurableExecutionArn"].endswith(f":function:{name}:1/durable-execution/run-1/1")
    invoke = lab.durable.invokes[-1]
    assert (invoke.function.name, invoke.function.version, invoke.function.qualifier) == (name, "1", "live")
    assert (invoke.payload, invoke.invocation_type, invoke.execution_name) == (b"[1]", "RequestResponse", "run-1")
    assert invoke.tenant_id == "tenant"
    assert lab.runner.of(name) == []


def test_a_durable_event_is_accepted_with_its_arn(lab: Lab) -> None:
    name = lab.function(DurableConfig={"ExecutionTimeout": 60})
    answer = lab.functions.invoke(FunctionName=f"{name}:$LATEST", InvocationType="Event", DurableExecutionName="run-2")
    assert answer["StatusCode"] == 202
    assert "run-2" in answer["DurableExecutionArn"]
    assert lab.durable.invokes[-1].invocation_type == "Event"


def test_an_unqualified_invoke_of_a_durable_function_is_refused_with_the_way_out(lab: Lab, refused: Refused) -> None:
    name = lab.function(DurableConfig={"ExecutionTimeout": 60})
    error = refused("InvalidParameterValueException", lab.functions.invoke, FunctionName=name)
    assert "version or an alias" in str(error)


def test_an_execution_name_needs_a_durable_function(lab: Lab, refused: Refused) -> None:
    name = lab.function()
    refused("InvalidParameterValueException", lab.functions.invoke, FunctionName=name, DurableExecutionName="run")
    assert lab.runner.of(name) == []
