"""approval_workflow: a decision that is asked for again and again, or that calls back."""

from __future__ import annotations

from typing import Any

import pytest

from harness.assertions import ANY, Capture, assert_that, including, regex
from harness.durable import (
    CallbackClosedError,
    DurableFunction,
    ErrorInfo,
    ExecutionResult,
    send_callback_failure,
    send_callback_heartbeat,
    send_callback_success,
)

pytestmark = pytest.mark.integration

ENDS = ("ProcessApproval", "RequestDenied", "EscalateRequest")

LONG = 3600
"""A timeout in seconds that the test's answer beats."""
SHORT = 30
"""A timeout in seconds that nobody beats."""
HEARTBEAT = 180
"""A heartbeat timeout in seconds: many times the pace at which heartbeats are sent."""

APPROVED = {"decision": "approved", "by": "ada"}
DENIED = {"decision": "denied", "by": "ada"}


def poll(**simulate: Any) -> dict[str, Any]:
    return {"mode": "poll", "request_id": "r-1", "simulate": simulate}


def callback(timeout: int = LONG, **changes: Any) -> dict[str, Any]:
    return {"mode": "callback", "request_id": "r-1", "timeout": timeout, **changes}


def ended_only_by(run: ExecutionResult, end: str) -> None:
    assert_that(run).never_ran(*(other for other in ENDS if other != end)).operation(end).ran(1)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, marks=pytest.mark.execution(poll(decision="approved", on_check=check)))
        for check in (1, 2, 4)
    ],
)
def test_a_decision_is_asked_for_every_5_seconds_until_it_is_approved(run: ExecutionResult, check: int) -> None:
    assert_that(run).succeeded({"status": "approved", "request_id": "r-1", "by": f"check {check}"})
    assert_that(run).waited(*[5] * check)
    assert_that(run).ran_in_order("SubmitRequest", *["Wait", "CheckApprovalStatus"] * check, "ProcessApproval")
    assert_that(run).each_step("CheckApprovalStatus", count=check).succeeded(attempts=1)
    assert_that(run).step("CheckApprovalStatus", nth=-1).succeeded("approved")
    ended_only_by(run, "ProcessApproval")


@pytest.mark.execution(poll(decision="denied", on_check=2))
def test_a_poll_that_finds_a_denial_fails_the_execution(run: ExecutionResult) -> None:
    assert_that(run).failed("RequestDenied", "request r-1: denied at check 2").waited(5, 5)
    assert_that(run).step("CheckApprovalStatus", nth=0).succeeded("pending")
    assert_that(run).step("CheckApprovalStatus", nth=1).succeeded("denied")
    assert_that(run).step("RequestDenied").failed("RequestDenied", attempts=1)
    ended_only_by(run, "RequestDenied")


@pytest.mark.parametrize(
    "simulate",
    [
        pytest.param(simulate, id=name, marks=pytest.mark.execution(poll(**simulate)))
        for name, simulate in {"never-decided": {}, "decided-too-late": {"decision": "approved", "on_check": 5}}.items()
    ],
)
def test_a_request_that_is_undecided_after_more_than_3_checks_is_escalated(
    run: ExecutionResult, simulate: dict[str, Any]
) -> None:
    assert_that(run).succeeded(
        {"status": "escalated", "request_id": "r-1", "reason": "no decision after 4 checks"}
    ).waited(5, 5, 5, 5)
    assert_that(run).each_step("CheckApprovalStatus", count=4).succeeded("pending", attempts=1)
    assert_that(run).ran_in_order(*["Wait", "CheckApprovalStatus"] * 4, "EscalateRequest")
    ended_only_by(run, "EscalateRequest")


def test_an_approver_who_calls_back_approves(durable: DurableFunction) -> None:
    running = durable.start(callback())

    running.succeed_callback("AwaitDecision", APPROVED)

    run = running.wait()
    assert_that(run).succeeded({"status": "approved", "request_id": "r-1", "by": "ada"})
    assert_that(run).ran_in_order("SubmitRequest", "AwaitDecision", "ProcessApproval")
    assert_that(run).callback("AwaitDecision").succeeded(APPROVED)
    ended_only_by(run, "ProcessApproval")


def test_an_approver_who_calls_back_denies(durable: DurableFunction) -> None:
    running = durable.start(callback())

    running.succeed_callback("AwaitDecision", DENIED)

    run = running.wait()
    assert_that(run).failed("RequestDenied", "request r-1: denied by ada")
    assert_that(run).callback("AwaitDecision").succeeded(DENIED)
    assert_that(run).step("RequestDenied").failed("RequestDenied", attempts=1)
    ended_only_by(run, "RequestDenied")


def test_a_callback_that_is_failed_is_a_denial(durable: DurableFunction) -> None:
    running = durable.start(callback())

    running.fail_callback("AwaitDecision", ErrorInfo("BudgetExceeded", "there is no money left"))

    run = running.wait()
    assert_that(run).failed("RequestDenied", regex("^request r-1: .*there is no money left"))
    assert_that(run).callback("AwaitDecision").failed("BudgetExceeded", "there is no money left")
    ended_only_by(run, "RequestDenied")


@pytest.mark.execution(callback(timeout=SHORT))
def test_a_callback_that_nobody_answers_in_time_is_escalated(run: ExecutionResult) -> None:
    assert_that(run).succeeded({"status": "escalated", "request_id": "r-1", "reason": ANY})
    assert_that(run).callback("AwaitDecision").timed_out()
    ended_only_by(run, "EscalateRequest")


@pytest.mark.execution({"mode": "callback", "request_id": "r-1", "heartbeat_timeout": SHORT})
def test_an_approver_who_falls_silent_is_not_waited_for_until_the_timeout_of_a_day(run: ExecutionResult) -> None:
    assert_that(run).succeeded({"status": "escalated", "request_id": "r-1", "reason": ANY})
    assert_that(run).callback("AwaitDecision").timed_out()
    (opened,) = run.history.by_type("CallbackStarted")
    assert (opened.details["Timeout"], opened.details["HeartbeatTimeout"]) == (86400, SHORT)
    ended_only_by(run, "EscalateRequest")


def test_heartbeats_keep_a_callback_open_past_its_heartbeat_timeout(durable: DurableFunction) -> None:
    alive = durable.start(callback(heartbeat_timeout=HEARTBEAT))
    alive.callback_id("AwaitDecision")
    # Opened later and without heartbeats: once this one has timed out, the other one would have as well.
    silent = durable.start(callback(heartbeat_timeout=HEARTBEAT))

    alive.keep_alive("AwaitDecision", until=lambda: silent.execution().is_terminal, timeout=3 * HEARTBEAT)

    assert_that(silent.wait()).succeeded(including({"status": "escalated"})).callback("AwaitDecision").timed_out()
    assert_that(alive.history()).callback("AwaitDecision").is_open()
    alive.succeed_callback("AwaitDecision", APPROVED)
    assert_that(alive.wait()).succeeded(including({"status": "approved"}))


def test_a_decision_sent_twice_is_refused_the_second_time_and_changes_nothing(
    durable: DurableFunction, lambda_client: Any
) -> None:
    running = durable.start(callback())
    callback_id = running.callback_id("AwaitDecision")
    send_callback_success(lambda_client, callback_id, APPROVED)

    with pytest.raises(CallbackClosedError, match="answered already"):
        send_callback_success(lambda_client, callback_id, DENIED)

    run = running.wait()
    assert_that(run).succeeded(including({"status": "approved"})).callback("AwaitDecision").succeeded(APPROVED)
    ended_only_by(run, "ProcessApproval")


@pytest.mark.execution(callback(timeout=SHORT))
def test_after_its_timeout_a_callback_takes_no_answer_of_any_kind(
    run: ExecutionResult, durable: DurableFunction, lambda_client: Any
) -> None:
    (opened,) = run.history.by_type("CallbackStarted")
    callback_id = opened.details["CallbackId"]

    with pytest.raises(CallbackClosedError):
        send_callback_success(lambda_client, callback_id, APPROVED)
    with pytest.raises(CallbackClosedError):
        send_callback_failure(lambda_client, callback_id, ErrorInfo("TooLate"))
    with pytest.raises(CallbackClosedError):
        send_callback_heartbeat(lambda_client, callback_id)

    assert_that(run).succeeded(including({"status": "escalated"}))
    assert durable.attach(run.execution.arn).wait() == run


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [("yes, go", "JSON"), ({"decision": "maybe"}, "decision"), (["approved"], "decision"), (None, "JSON")],
    ids=["text", "unknown-decision", "list", "nothing"],
)
def test_an_answer_that_is_no_decision_fails_the_execution(
    durable: DurableFunction, answer: object, complaint: str
) -> None:
    running = durable.start(callback())

    running.succeed_callback("AwaitDecision", answer)

    assert_that(running.wait()).failed("InvalidDecisionError", regex(complaint)).never_ran(*ENDS)


@pytest.mark.execution({"mode": "poll", "simulate": {"decision": "approved"}})
def test_a_request_without_an_id_gets_one_that_it_keeps(run: ExecutionResult) -> None:
    request_id = Capture("request id", regex(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))

    assert_that(run).step("SubmitRequest").succeeded(request_id)
    assert_that(run).step("ProcessApproval").succeeded(including({"request_id": request_id}))
    assert_that(run).succeeded(including({"request_id": request_id}))


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ([], "object"),
        ({}, "mode"),
        ({"mode": "mail"}, "mode"),
        ({"mode": "poll", "request_id": 5}, "request_id"),
        ({"mode": "poll", "simulate": "approved"}, "simulate"),
        ({"mode": "poll", "simulate": {"decision": "maybe"}}, r"simulate\.decision"),
        ({"mode": "poll", "simulate": {"on_check": 0}}, "on_check"),
        ({"mode": "poll", "simulate": {"check": 1}}, r"simulate\.check"),
        ({"mode": "callback", "timeout": "1h"}, "timeout"),
        ({"mode": "callback", "heartbeat_timeout": -1}, "heartbeat_timeout"),
    ],
    ids=["list", "empty", "unknown-mode", "number-id", "text-simulate", "unknown-decision", "check-0", "unknown-key",
         "text-timeout", "negative-heartbeat"],
)  # fmt: skip
def test_a_malformed_request_is_invalid_and_never_retried(
    durable: DurableFunction, payload: object, complaint: str
) -> None:
    run = durable.run(payload)

    assert_that(run).failed("InvalidRequestError", regex(complaint)).never_ran("Wait", "AwaitDecision", *ENDS)
    assert_that(run).step("SubmitRequest").failed("InvalidRequestError", attempts=1)


def test_the_logs_tell_of_each_check_once_and_of_this_execution_only(durable: DurableFunction) -> None:
    durable.run(poll(decision="denied"))
    running = durable.start(poll(decision="approved", on_check=2) | {"request_id": "r-2"})
    running.wait()

    expected = [
        "Request r-2 submitted",
        "Check 1 of request r-2: pending",
        "Check 2 of request r-2: approved",
        "Request r-2 approved: check 2",
    ]
    rows = running.logs(until=lambda rows: all(any(message in row.message for row in rows) for message in expected))

    assert sorted(str(row.record["message"]) for row in rows if "r-2" in row.message) == sorted(expected)
    assert not any("r-1" in row.message for row in rows)
