"""Requests and decisions on them: plain functions of their arguments, without any AWS call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from failures import Failure

POLL_SECONDS = 5
MAX_CHECKS = 3
DEFAULT_TIMEOUT = 86400
MAX_TIMEOUT = 31622400

Decision = Literal["approved", "denied"]


class InvalidRequestError(Failure):
    """The input isn't a request."""


class InvalidDecisionError(Failure):
    """What the approver sent isn't a decision."""


class RequestDenied(Failure):
    """The approver said no."""


@dataclass(frozen=True)
class Request:
    """A valid request.

    Attributes:
        mode: How the decision is waited for.
        request_id: Its id, or None to have one made.
        decision: In mode poll, what the simulated approver decides; None for never.
        on_check: In mode poll, the check that finds the decision first, from 1.
        timeout: In mode callback, seconds that the decision may take.
        heartbeat_timeout: In mode callback, seconds between two signs of life; 0 when none are needed.
    """

    mode: Literal["poll", "callback"]
    request_id: str | None
    decision: Decision | None
    on_check: int
    timeout: int
    heartbeat_timeout: int


def parse_request(event: Any) -> Request:
    """The request in an execution's input.

    Raises:
        InvalidRequestError: Something is missing or of the wrong type; the message says what.
    """
    if not isinstance(event, dict):
        raise InvalidRequestError("the input must be an object")
    mode = event.get("mode")
    if mode not in ("poll", "callback"):
        raise InvalidRequestError(f"mode must be poll or callback, not {mode!r}")
    request_id = event.get("request_id")
    if request_id is not None and (not isinstance(request_id, str) or not request_id):
        raise InvalidRequestError("request_id must be a non-empty string")
    simulate = event.get("simulate", {})
    if not isinstance(simulate, dict):
        raise InvalidRequestError("simulate must be an object")
    if unknown := simulate.keys() - {"decision", "on_check"}:
        raise InvalidRequestError(f"simulate.{min(unknown)} is unknown")
    decision = simulate.get("decision")
    if decision not in (None, "approved", "denied"):
        raise InvalidRequestError(f"simulate.decision must be approved or denied, not {decision!r}")
    return Request(
        mode=mode,
        request_id=request_id,
        decision=decision,
        on_check=_whole(simulate, "on_check", 1, least=1),
        timeout=_whole(event, "timeout", DEFAULT_TIMEOUT, least=1),
        heartbeat_timeout=_whole(event, "heartbeat_timeout", 0, least=0),
    )


def check_status(request: Request, check: int) -> str:
    """What the approver's system answers to the ``check``-th question: a decision, or ``pending``."""
    return request.decision if request.decision is not None and check >= request.on_check else "pending"


def parse_decision(payload: Any) -> tuple[Decision, str]:
    """The decision in a callback's result, and who took it.

    Args:
        payload: JSON text such as ``{"decision": "approved", "by": "ada"}``; ``by`` is optional.

    Raises:
        InvalidDecisionError: It isn't that.
    """
    try:
        answer = json.loads(payload)
    except (TypeError, ValueError) as error:
        raise InvalidDecisionError("the callback's result isn't JSON") from error
    if not isinstance(answer, dict) or answer.get("decision") not in ("approved", "denied"):
        raise InvalidDecisionError('the callback\'s result must hold "decision": "approved" or "denied"')
    return answer["decision"], str(answer.get("by", "unknown"))


def _whole(values: dict[str, Any], name: str, default: int, *, least: int) -> int:
    value = values.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_TIMEOUT:
        raise InvalidRequestError(f"{name} must be a whole number between {least} and {MAX_TIMEOUT}")
    return value
