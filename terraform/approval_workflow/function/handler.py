"""Approval workflow: wait for somebody's decision, by asking again and again or by being called back."""

from __future__ import annotations

import uuid
from itertools import count
from typing import Any, NoReturn

from aws_durable_execution_sdk_python import (
    CallbackExternalError,
    CallbackTimeoutError,
    DurableContext,
    StepContext,
    durable_execution,
)
from aws_durable_execution_sdk_python.config import Duration, WaitForCallbackConfig
from aws_durable_execution_sdk_python.types import WaitForCallbackContext

import approvals
from approvals import Request
from failures import keep_types
from retry_policies import no_retry


@durable_execution
def handler(event: Any, context: DurableContext) -> dict[str, Any]:
    """Get the request in ``event`` decided; the README says what it may hold and what comes back."""
    with keep_types():
        return decide(event, context)


def decide(event: Any, context: DurableContext) -> dict[str, Any]:
    """The workflow from the first step to the last."""

    def submit(step: StepContext) -> str:
        request_id = approvals.parse_request(event).request_id or str(uuid.uuid4())
        step.logger.info("Request %s submitted", request_id)
        return request_id

    request_id = context.step(submit, name="SubmitRequest", config=no_retry())
    request = approvals.parse_request(event)
    if request.mode == "poll":
        return poll(context, request, request_id)
    return await_callback(context, request, request_id)


def poll(context: DurableContext, request: Request, request_id: str) -> dict[str, Any]:
    """Ask for the decision every 5 seconds; escalate after more than 3 checks without one."""
    for check in count(1):
        context.wait(Duration.from_seconds(approvals.POLL_SECONDS), name="Wait")

        def ask(step: StepContext, check: int = check) -> str:
            answer = approvals.check_status(request, check)
            step.logger.info("Check %d of request %s: %s", check, request_id, answer)
            return answer

        answer = context.step(ask, name="CheckApprovalStatus", config=no_retry())
        if answer == "approved":
            return approve(context, request_id, by=f"check {check}")
        if answer == "denied":
            deny(context, request_id, f"denied at check {check}")
        if check > approvals.MAX_CHECKS:
            break
    return escalate(context, request_id, f"no decision after {check} checks")


def await_callback(context: DurableContext, request: Request, request_id: str) -> dict[str, Any]:
    """Wait until the approver calls back; escalate when that takes too long or the approver falls silent."""

    def announce(_callback_id: str, callback_context: WaitForCallbackContext) -> None:
        # Here the callback's id goes to the approver, by mail or into a queue. Whoever has it and the permission can
        # decide, so it isn't logged.
        callback_context.logger.info("Request %s awaits a decision", request_id)

    try:
        payload = context.wait_for_callback(
            announce,
            name="AwaitDecision",
            config=WaitForCallbackConfig(
                timeout=Duration.from_seconds(request.timeout),
                heartbeat_timeout=Duration.from_seconds(request.heartbeat_timeout),
            ),
        )
    except CallbackTimeoutError as error:
        return escalate(context, request_id, error.message or "timed out")
    except CallbackExternalError as error:
        deny(context, request_id, error.message or "denied")
    decision, by = approvals.parse_decision(payload)
    if decision == "denied":
        deny(context, request_id, f"denied by {by}")
    return approve(context, request_id, by=by)


def approve(context: DurableContext, request_id: str, by: str) -> dict[str, Any]:
    """End of an approved request."""

    def process_approval(step: StepContext) -> dict[str, Any]:
        step.logger.info("Request %s approved: %s", request_id, by)
        return {"status": "approved", "request_id": request_id, "by": by}

    return context.step(process_approval, name="ProcessApproval", config=no_retry())


def deny(context: DurableContext, request_id: str, reason: str) -> NoReturn:
    """End of a denied request: a step that fails, so that the history shows where and why.

    Raises:
        StepError: Always, of the type RequestDenied.
    """

    def request_denied(step: StepContext) -> NoReturn:
        step.logger.info("Request %s denied", request_id)
        raise approvals.RequestDenied(f"request {request_id}: {reason}")

    context.step(request_denied, name="RequestDenied", config=no_retry())
    raise AssertionError("a step that raises doesn't return")


def escalate(context: DurableContext, request_id: str, reason: str) -> dict[str, Any]:
    """End of a request that nobody decided."""

    def escalate_request(step: StepContext) -> dict[str, Any]:
        step.logger.warning("Request %s escalated: %s", request_id, reason)
        return {"status": "escalated", "request_id": request_id, "reason": reason}

    return context.step(escalate_request, name="EscalateRequest", config=no_retry())
