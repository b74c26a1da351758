"""Callbacks: completed from outside, kept alive, timed out, closed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration
from aws_durable_execution_sdk_python.context import DurableContext

from tests.unit.localcloud_durable.support import Stage, events, types


def add_approval(stage: Stage, **timeouts: Any) -> None:
    def handler(event: Any, context: DurableContext) -> Any:
        return context.create_callback("approval", CallbackConfig(**timeouts)).result()

    stage.functions.add_durable("f", handler)


def test_success_from_outside(real_time: Stage) -> None:
    add_approval(real_time, timeout=Duration.from_hours(2), heartbeat_timeout=Duration.from_minutes(5))
    arn = real_time.start("f")
    callback_id = real_time.callback_id(arn)
    real_time.wait_until_idle(arn)
    real_time.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b'"yes \xc3\xbc"')
    assert real_time.finish(arn)["Status"] == "SUCCEEDED"
    history = real_time.history(arn)
    assert types(history)[1:] == [
        "CallbackStarted",
        "InvocationCompleted",
        "CallbackSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]
    assert history[1]["CallbackStartedDetails"] == {
        "CallbackId": callback_id,
        "Timeout": 7200,
        "HeartbeatTimeout": 300,
    }
    assert history[1]["Name"] == "approval"
    assert history[3]["CallbackSucceededDetails"]["Result"] == {"Payload": '"yes ü"', "Truncated": False}


def test_no_timeouts_are_shown_as_none(real_time: Stage) -> None:
    add_approval(real_time)
    arn = real_time.start("f")
    [started] = real_time.wait_for_event(arn, "CallbackStarted")
    assert set(started["CallbackStartedDetails"]) == {"CallbackId"}


def test_a_result_of_one_mebibyte_and_no_more(real_time: Stage) -> None:
    add_approval(real_time)
    arn = real_time.start("f")
    callback_id = real_time.callback_id(arn)
    with pytest.raises(real_time.client.exceptions.InvalidParameterValueException):
        real_time.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"x" * 1_048_577)
    with pytest.raises(real_time.client.exceptions.InvalidParameterValueException, match="UTF-8"):
        real_time.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"\xff\xfe")
    payload = json.dumps("y" * (1_048_576 - 2)).encode()
    real_time.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=payload)
    assert real_time.finish(arn)["Status"] == "SUCCEEDED"


def test_failure_from_outside(real_time: Stage) -> None:
    add_approval(real_time)
    arn = real_time.start("f")
    error = {"ErrorType": "RejectedError", "ErrorMessage": "not approved", "ErrorData": "{}", "StackTrace": ["a"]}
    real_time.client.send_durable_execution_callback_failure(CallbackId=real_time.callback_id(arn), Error=error)
    described = real_time.finish(arn)
    assert described["Status"] == "FAILED"
    assert described["Error"]["ErrorMessage"] == "not approved"
    [failed] = events(real_time.history(arn), "CallbackFailed")
    assert failed["CallbackFailedDetails"]["Error"]["Payload"] == error


def test_failure_without_an_error(real_time: Stage) -> None:
    add_approval(real_time)
    arn = real_time.start("f")
    real_time.client.send_durable_execution_callback_failure(CallbackId=real_time.callback_id(arn))
    assert real_time.finish(arn)["Status"] == "FAILED"
    [failed] = events(real_time.history(arn), "CallbackFailed")
    assert failed["CallbackFailedDetails"]["Error"]["Payload"] == {}


def test_nobody_answers(stage: Stage) -> None:
    add_approval(stage, timeout=Duration.from_minutes(5))
    described, history = stage.run("f")
    assert described["Status"] == "FAILED"
    [timed_out] = events(history, "CallbackTimedOut")
    assert timed_out["CallbackTimedOutDetails"]["Error"]["Payload"]["ErrorType"] == "Callback.Timeout"
    callback_id = events(history, "CallbackStarted")[0]["CallbackStartedDetails"]["CallbackId"]
    with pytest.raises(stage.client.exceptions.CallbackTimeoutException, match="timed out") as caught:
        stage.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"1")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_nobody_sends_a_heartbeat(stage: Stage) -> None:
    add_approval(stage, timeout=Duration.from_days(300), heartbeat_timeout=Duration.from_minutes(5))
    _, history = stage.run("f")
    [timed_out] = events(history, "CallbackTimedOut")
    assert timed_out["CallbackTimedOutDetails"]["Error"]["Payload"]["ErrorType"] == "Callback.Heartbeat"


def test_a_heartbeat_starts_its_timeout_anew(stage: Stage) -> None:
    add_approval(stage, heartbeat_timeout=Duration.from_hours(1))
    arn = stage.start("f")
    callback_id = stage.callback_id(arn)
    timer = stage.engine._executor._callback_heartbeats[callback_id]
    stage.client.send_durable_execution_callback_heartbeat(CallbackId=callback_id)
    assert timer.cancelled()
    assert stage.engine._executor._callback_heartbeats[callback_id] is not timer
    stage.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"1")
    assert stage.finish(arn)["Status"] == "SUCCEEDED"
    with pytest.raises(stage.client.exceptions.CallbackTimeoutException):
        stage.client.send_durable_execution_callback_heartbeat(CallbackId=callback_id)


def test_a_callback_is_completed_once(real_time: Stage) -> None:
    def handler(event: Any, context: DurableContext) -> Any:
        first = context.create_callback("first").result()
        context.wait(Duration.from_hours(1))
        return first

    real_time.functions.add_durable("f", handler)
    arn = real_time.start("f")
    callback_id = real_time.callback_id(arn)
    real_time.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"1")
    with pytest.raises(real_time.client.exceptions.CallbackTimeoutException, match="already been closed"):
        real_time.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"2")
    with pytest.raises(real_time.client.exceptions.CallbackTimeoutException):
        real_time.client.send_durable_execution_callback_failure(CallbackId=callback_id)
    assert len(events(real_time.history(arn), "CallbackSucceeded")) == 1


def test_callbacks_of_a_stopped_execution_are_closed(real_time: Stage) -> None:
    add_approval(real_time, timeout=Duration.from_hours(2))
    arn = real_time.start("f")
    callback_id = real_time.callback_id(arn)
    real_time.client.stop_durable_execution(DurableExecutionArn=arn)
    with pytest.raises(real_time.client.exceptions.CallbackTimeoutException):
        real_time.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"1")
    assert not real_time.engine._executor._callback_timeouts


def test_ids_that_nobody_issued(stage: Stage) -> None:
    strange = base64.b64encode(b'{"arn":"arn:x","op":"1"}').decode()
    with pytest.raises(stage.client.exceptions.ResourceNotFoundException):
        stage.client.send_durable_execution_callback_success(CallbackId=strange, Result=b"1")
    for malformed in ("bm90aGluZw==", base64.b64encode(b'{"arn":1,"op":2}').decode()):
        with pytest.raises(stage.client.exceptions.InvalidParameterValueException):
            stage.client.send_durable_execution_callback_heartbeat(CallbackId=malformed)


def test_wait_for_callback_hands_its_id_to_the_submitter(stage: Stage) -> None:
    submitted: list[str] = []

    def handler(event: Any, context: DurableContext) -> Any:
        return context.wait_for_callback(lambda callback_id, _: submitted.append(callback_id), name="ask")

    stage.functions.add_durable("f", handler)
    arn = stage.start("f")
    callback_id = stage.callback_id(arn)
    stage.wait_for_event(arn, "StepSucceeded")
    assert submitted == [callback_id]
    stage.client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b'"granted"')
    assert json.loads(stage.finish(arn)["Result"]) == '"granted"'
    assert types(stage.history(arn))[1:5] == ["ContextStarted", "CallbackStarted", "StepStarted", "StepSucceeded"]
