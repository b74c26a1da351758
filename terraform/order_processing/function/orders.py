"""What an order is, and what is decided about it: plain functions of their arguments, without any AWS call."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from failures import Failure

APPROVAL_LIMIT = 1000
DENIAL_LIMIT = 10000
MAX_APPROVAL_SECONDS = 3600
FIRST_APPROVAL_DELAY = 60


class InvalidOrderError(Failure):
    """The input isn't an order."""


class OrderRejected(Failure):
    """The order is well-formed, but there is nothing to order."""


class ApprovalDenied(Failure):
    """The order is too large to be approved."""


class ApprovalTimedOut(Failure):
    """Nobody decided within the time allowed."""


class ValidationTimeout(Failure):
    """The validation service didn't answer in time; trying again may help."""


class PaymentGatewayError(Failure):
    """The payment gateway failed; trying again may help."""


class InventoryLockError(Failure):
    """The inventory is locked by another order; trying again may help."""


@dataclass(frozen=True)
class Simulation:
    """How often each simulated service fails before it works.

    Attributes:
        validation_timeouts: Attempts of ValidateOrder that end in ValidationTimeout.
        approval_pending: Checks of RequireApproval that find no decision yet.
        payment_failures: Attempts of ProcessPayment that end in PaymentGatewayError.
        inventory_failures: Attempts of ReserveInventory that end in InventoryLockError.
    """

    validation_timeouts: int = 0
    approval_pending: int = 0
    payment_failures: int = 0
    inventory_failures: int = 0


@dataclass(frozen=True)
class Order:
    """A valid order."""

    order_id: str
    items: list[dict[str, Any]]
    total: float

    @property
    def needs_approval(self) -> bool:
        """Whether somebody has to approve it first."""
        return self.total > APPROVAL_LIMIT


def parse_order(event: Any) -> Order:
    """The order in an execution's input.

    Raises:
        InvalidOrderError: Something is missing or of the wrong type; the message says what.
        OrderRejected: There are no items.
    """
    if not isinstance(event, dict):
        raise InvalidOrderError(f"the input must be an object, not {_kind(event)}")
    order_id = event.get("order_id")
    if not isinstance(order_id, str) or not order_id:
        raise InvalidOrderError(f"order_id must be a non-empty string, not {_kind(order_id)}")
    items = event.get("items")
    if not isinstance(items, list):
        raise InvalidOrderError(f"items must be a list, not {_kind(items)}")
    if not all(isinstance(item, dict) for item in items):
        raise InvalidOrderError("every item must be an object")
    total = event.get("total")
    if isinstance(total, bool) or not isinstance(total, (int, float)) or not math.isfinite(total):
        raise InvalidOrderError(f"total must be a number, not {_kind(total)}")
    if total < 0:
        raise InvalidOrderError(f"total must not be negative, but is {total}")
    if not items:
        raise OrderRejected(f"order {order_id} has no items")
    return Order(order_id=order_id, items=items, total=total)


def parse_simulation(event: Any) -> Simulation:
    """The simulated failures in an execution's input; none when it names none.

    Raises:
        InvalidOrderError: A name is unknown or a count isn't a whole number of at least 0.
    """
    counts = event.get("simulate", {}) if isinstance(event, dict) else {}
    if not isinstance(counts, dict):
        raise InvalidOrderError(f"simulate must be an object, not {_kind(counts)}")
    for name, count in counts.items():
        if name not in Simulation.__dataclass_fields__:
            raise InvalidOrderError(f"simulate.{name} is unknown")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise InvalidOrderError(f"simulate.{name} must be a whole number of at least 0")
    return Simulation(**counts)


def parse_approval_seconds(event: Any) -> int:
    """How long an approval may take, in seconds.

    Raises:
        InvalidOrderError: It isn't a whole number between 1 and 3600.
    """
    seconds = event.get("approval_timeout", MAX_APPROVAL_SECONDS) if isinstance(event, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= MAX_APPROVAL_SECONDS:
        raise InvalidOrderError(f"approval_timeout must be 1 to {MAX_APPROVAL_SECONDS} whole seconds")
    return seconds


def decide_approval(order: Order, *, check: int, pending_checks: int, waited: int, limit: int) -> str:
    """The decision on an order: ``approved``, or ``pending`` while there is none.

    Args:
        order: What is to be approved.
        check: Which check this is, from 1.
        pending_checks: How many checks find no decision yet.
        waited: Seconds waited before this check.
        limit: Seconds after which no decision counts as none at all.

    Raises:
        ApprovalDenied: The decision is no.
        ApprovalTimedOut: There is no decision, and no time left to wait for one.
    """
    if check <= pending_checks:
        if waited >= limit:
            raise ApprovalTimedOut(f"order {order.order_id} was not approved within {limit} s")
        return "pending"
    if order.total > DENIAL_LIMIT:
        raise ApprovalDenied(f"order {order.order_id} over {order.total} exceeds {DENIAL_LIMIT}")
    return "approved"


def approval_delays(limit: int) -> list[int]:
    """The waits between checks in seconds: a minute, doubling, and the last one such that all add up to the limit."""
    delays: list[int] = []
    while (left := limit - sum(delays)) > 0:
        delays.append(min(FIRST_APPROVAL_DELAY * 2 ** len(delays), left))
    return delays


def fail_first(attempt: int, failures: int, error: type[Failure], message: str) -> None:
    """Raise ``error`` on the first ``failures`` attempts, counted from 1."""
    if attempt <= failures:
        raise error(f"{message} (attempt {attempt})")


def reference(kind: str, order_id: str) -> str:
    """An id such as ``pay-1f0c3a7e9b2d``: the same for the same order, so that asking twice can't pay twice."""
    return f"{kind}-{hashlib.sha256(f'{kind}:{order_id}'.encode()).hexdigest()[:12]}"


def to_record(order: Order, payment_id: str, reservation_id: str) -> dict[str, Any]:
    """The order as the table stores it; numbers as decimals, which is all that DynamoDB takes."""
    return {
        "order_id": order.order_id,
        "items": [_decimals(item) for item in order.items],
        "total": _decimals(order.total),
        "payment_id": payment_id,
        "reservation_id": reservation_id,
        "status": "CONFIRMED",
    }


def _decimals(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, dict):
        return {key: _decimals(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_decimals(member) for member in value]
    return value


def _kind(value: Any) -> str:
    names = {type(None): "nothing", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
