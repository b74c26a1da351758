"""approval_workflow: its logic, and its whole handler without any cloud."""

from __future__ import annotations

from typing import Any

import pytest
from aws_durable_execution_sdk_python.lambda_service import ErrorObject
from aws_durable_execution_sdk_python_testing.runner import DurableFunctionTestRunner

from tests.unit.examples.loading import Example
from tests.unit.examples.running import Approver, Run, run


@pytest.fixture(scope="module")
def example() -> Example:
    return Example("approval_workflow")


@pytest.fixture(scope="module")
def request_approval(example: Example) -> Any:
    def request(during: Approver | None = None, **event: Any) -> Run:
        return run(example.handler.handler, {"request_id": "r-1", **event}, during=during)

    return request


def answer(payload: bytes) -> Approver:
    def send(runner: DurableFunctionTestRunner, arn: str) -> None:
        runner.send_callback_success(runner.wait_for_callback(arn), payload)

    return send


class TestParseRequest:
    @pytest.mark.parametrize(
        "event",
        [
            None,
            {},
            {"mode": "vote"},
            {"mode": "poll", "request_id": ""},
            {"mode": "poll", "request_id": 1},
            {"mode": "poll", "simulate": []},
            {"mode": "poll", "simulate": {"typo": 1}},
            {"mode": "poll", "simulate": {"decision": "maybe"}},
            {"mode": "poll", "simulate": {"on_check": 0}},
            {"mode": "callback", "timeout": 0},
            {"mode": "callback", "timeout": "60"},
            {"mode": "callback", "heartbeat_timeout": -1},
            {"mode": "callback", "heartbeat_timeout": True},
        ],
    )
    def test_refuses_what_it_doesnt_understand(self, example: Example, event: Any) -> None:
        with pytest.raises(example.approvals.InvalidRequestError):
            example.approvals.parse_request(event)

    def test_the_approver_decides_at_the_check_it_is_told_to(self, example: Example) -> None:
        request = example.approvals.parse_request({"mode": "poll", "simulate": {"decision": "denied", "on_check": 3}})
        answers = [example.approvals.check_status(request, check) for check in range(1, 5)]
        assert answers == ["pending", "pending", "denied", "denied"]


class TestParseDecision:
    def test_takes_decision_and_decider(self, example: Example) -> None:
        parse = example.approvals.parse_decision
        assert parse('{"decision": "approved", "by": "ada"}') == ("approved", "ada")
        assert parse('{"decision": "denied"}') == ("denied", "unknown")

    @pytest.mark.parametrize("payload", [None, "", "yes", "[]", "{}", '{"decision": "maybe"}'])
    def test_refuses_what_isnt_one(self, example: Example, payload: Any) -> None:
        with pytest.raises(example.approvals.InvalidDecisionError):
            example.approvals.parse_decision(payload)


class TestPolling:
    @pytest.mark.parametrize("check", [1, 3, 4])
    def test_approves(self, request_approval: Any, check: int) -> None:
        done = request_approval(mode="poll", simulate={"decision": "approved", "on_check": check})
        assert done.result == {"status": "approved", "request_id": "r-1", "by": f"check {check}"}
        assert done.names("WaitStarted") == ["Wait"] * check
        assert done.names() == ["SubmitRequest", *["CheckApprovalStatus"] * check, "ProcessApproval"]

    def test_denies(self, request_approval: Any) -> None:
        done = request_approval(mode="poll", simulate={"decision": "denied", "on_check": 2})
        assert (done.status, done.error_type) == ("FAILED", "RequestDenied")
        assert done.error_message == "request r-1: denied at check 2"
        assert done.failures("RequestDenied") == ["RequestDenied"]

    def test_escalates_after_more_than_three_checks(self, request_approval: Any) -> None:
        done = request_approval(mode="poll")
        assert done.result == {"status": "escalated", "request_id": "r-1", "reason": "no decision after 4 checks"}
        waits = [
            event["WaitStartedDetails"]["Duration"] for event in done.events if event["EventType"] == "WaitStarted"
        ]
        assert waits == [5, 5, 5, 5]
        assert done.names()[-1] == "EscalateRequest"

    def test_makes_an_id_when_there_is_none(self, request_approval: Any) -> None:
        done = request_approval(mode="poll", request_id=None, simulate={"decision": "approved"})
        assert len(done.result["request_id"]) == 36


class TestCallback:
    def test_approves(self, request_approval: Any) -> None:
        done = request_approval(mode="callback", during=answer(b'{"decision": "approved", "by": "ada"}'))
        assert done.result == {"status": "approved", "request_id": "r-1", "by": "ada"}
        assert done.names("ContextStarted") == ["AwaitDecision"]

    def test_denies_by_a_decision(self, request_approval: Any) -> None:
        done = request_approval(mode="callback", during=answer(b'{"decision": "denied", "by": "ada"}'))
        assert (done.error_type, done.error_message) == ("RequestDenied", "request r-1: denied by ada")

    def test_denies_by_a_failure(self, request_approval: Any) -> None:
        def refuse(runner: DurableFunctionTestRunner, arn: str) -> None:
            error = ErrorObject(message="too dear", type="NoBudget", data=None, stack_trace=None)
            runner.send_callback_failure(runner.wait_for_callback(arn), error)

        done = request_approval(mode="callback", during=refuse)
        assert (done.error_type, done.error_message) == ("RequestDenied", "request r-1: too dear")

    @pytest.mark.parametrize(
        ("limits", "reason"),
        [
            ({"timeout": 1}, "Callback timed out"),
            ({"timeout": 60, "heartbeat_timeout": 1}, "Callback timed out on heartbeat"),
        ],
    )
    def test_escalates_when_nobody_answers(self, request_approval: Any, limits: dict[str, int], reason: str) -> None:
        done = request_approval(mode="callback", **limits)
        assert done.result == {"status": "escalated", "request_id": "r-1", "reason": reason}
        assert done.names()[-1] == "EscalateRequest"

    def test_fails_on_an_answer_that_is_no_decision(self, request_approval: Any) -> None:
        done = request_approval(mode="callback", during=answer(b"yes"))
        assert (done.status, done.error_type) == ("FAILED", "InvalidDecisionError")


def test_a_bad_request_fails_at_once(request_approval: Any) -> None:
    done = request_approval(mode="vote")
    assert (done.status, done.error_type) == ("FAILED", "InvalidRequestError")
    assert done.attempts("SubmitRequest") == 1
