"""Order processing: validate, approve if large, pay and reserve in parallel, record, confirm; undo on failure."""

from __future__ import annotations

from typing import Any

from aws_durable_execution_sdk_python import (
    BatchResult,
    DurableContext,
    ParallelBranch,
    StepContext,
    durable_execution,
)
from aws_durable_execution_sdk_python.config import CompletionConfig, Duration, ParallelConfig
from aws_durable_execution_sdk_python.types import WaitForConditionCheckContext
from aws_durable_execution_sdk_python.waits import WaitForConditionConfig, WaitForConditionDecision

import order_table
import orders
from failures import keep_types
from orders import Order, Simulation
from retry_policies import Retry, retry_on

VALIDATE = retry_on(Retry(orders.ValidationTimeout, delay=2, retries=3))
PAY = retry_on(Retry(orders.PaymentGatewayError, delay=1, retries=3))
RESERVE = retry_on(Retry(orders.InventoryLockError, delay=1, retries=2))


@durable_execution
def handler(event: Any, context: DurableContext) -> dict[str, Any]:
    """Process the order in ``event``; the README says what it may hold and what comes back."""
    with keep_types():
        return process(event, context)


def process(event: Any, context: DurableContext) -> dict[str, Any]:
    """The workflow from the first step to the last."""

    def validate(step: StepContext) -> dict[str, Any]:
        simulation = orders.parse_simulation(event)
        orders.fail_first(
            step.attempt, simulation.validation_timeouts, orders.ValidationTimeout, "no answer from validation"
        )
        order = orders.parse_order(event)
        orders.parse_approval_seconds(event)
        step.logger.info("Order %s is valid", order.order_id)
        return {"order_id": order.order_id, "total": order.total}

    context.step(validate, name="ValidateOrder", config=VALIDATE)
    order = orders.parse_order(event)
    simulation = orders.parse_simulation(event)

    if order.needs_approval:
        require_approval(context, order, simulation, orders.parse_approval_seconds(event))

    payment_id, reservation_id = process_order(context, order, simulation)

    def record(step: StepContext) -> dict[str, Any]:
        mine = context.execution_context.durable_execution_arn
        stored = order_table.record_once(orders.to_record(order, payment_id, reservation_id), mine)
        step.logger.info("Order %s %s", order.order_id, "recorded" if stored else "was recorded before")
        return {"recorded": stored}

    # The SDK's default retries suit a call to AWS: six attempts, 5 s to 60 s apart, on any error.
    recorded = context.step(record, name="RecordOrder")

    def confirm(step: StepContext) -> str:
        step.logger.info("Confirmation of order %s sent", order.order_id)
        return orders.reference("conf", order.order_id)

    confirmation_id = context.step(confirm, name="SendConfirmation")
    return {
        "status": "CONFIRMED",
        "order_id": order.order_id,
        "total": order.total,
        "approval": "approved" if order.needs_approval else "not-required",
        "payment_id": payment_id,
        "reservation_id": reservation_id,
        "confirmation_id": confirmation_id,
        "recorded": recorded["recorded"],
    }


def require_approval(context: DurableContext, order: Order, simulation: Simulation, limit: int) -> None:
    """Poll for a decision, less and less often, for at most ``limit`` seconds."""
    delays = orders.approval_delays(limit)

    def check(_state: str, check_context: WaitForConditionCheckContext) -> str:
        decision = orders.decide_approval(
            order,
            check=check_context.attempt,
            pending_checks=simulation.approval_pending,
            waited=sum(delays[: check_context.attempt - 1]),
            limit=limit,
        )
        check_context.logger.info("Approval of order %s: %s", order.order_id, decision)
        return decision

    def next_check(decision: str, checks_made: int) -> WaitForConditionDecision:
        if decision == "pending":
            return WaitForConditionDecision.continue_waiting(Duration.from_seconds(delays[checks_made - 1]))
        return WaitForConditionDecision.stop_polling()

    context.wait_for_condition(
        check, WaitForConditionConfig(wait_strategy=next_check, initial_state="pending"), name="RequireApproval"
    )


def process_order(context: DurableContext, order: Order, simulation: Simulation) -> tuple[str, str]:
    """Pay and reserve in parallel; when one of them fails for good, undo the other and fail with that error.

    Returns:
        The payment's and the reservation's id.
    """

    def process_payment(branch: DurableContext) -> str:
        def pay(step: StepContext) -> str:
            orders.fail_first(
                step.attempt, simulation.payment_failures, orders.PaymentGatewayError, "the gateway refused"
            )
            step.logger.info("Order %s paid", order.order_id)
            return orders.reference("pay", order.order_id)

        # A branch's error is recorded by its type as well, so it has to be the step's own before it leaves.
        with keep_types():
            return branch.step(pay, name="ProcessPayment", config=PAY)

    def reserve_inventory(branch: DurableContext) -> str:
        def reserve(step: StepContext) -> str:
            orders.fail_first(
                step.attempt, simulation.inventory_failures, orders.InventoryLockError, "the inventory is locked"
            )
            step.logger.info("Inventory for order %s reserved", order.order_id)
            return orders.reference("res", order.order_id)

        with keep_types():
            return branch.step(reserve, name="ReserveInventory", config=RESERVE)

    batch: BatchResult[str] = context.parallel(
        [
            ParallelBranch(process_payment, name="PaymentBranch"),
            ParallelBranch(reserve_inventory, name="InventoryBranch"),
        ],
        name="ProcessOrder",
        # Failing fast would leave a branch behind that may still succeed, and nobody would undo it.
        config=ParallelConfig(completion_config=CompletionConfig(tolerated_failure_percentage=100)),
    )
    payment, inventory = batch.all
    if payment.error and inventory.result:
        reservation_id = inventory.result

        def release(step: StepContext) -> str:
            step.logger.info("Reservation %s of order %s released", reservation_id, order.order_id)
            return reservation_id

        context.step(release, name="ReleaseInventory")
    if inventory.error and payment.result:
        payment_id = payment.result

        def refund(step: StepContext) -> str:
            step.logger.info("Payment %s of order %s refunded", payment_id, order.order_id)
            return payment_id

        context.step(refund, name="RefundPayment")
    # Of two errors this raises the first branch's, the payment's.
    batch.throw_if_error()
    paid, reserved = batch.get_results()
    return paid, reserved
