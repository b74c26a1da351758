"""order_processing: approval, parallel payment and reservation, compensation, recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from harness.assertions import assert_that, including, regex
from harness.durable import (
    DurableFunction,
    ExecutionNameTakenError,
    FunctionNotFoundError,
    UnqualifiedInvokeError,
    start_execution,
)

pytestmark = pytest.mark.integration

Items = Callable[[], list[dict[str, Any]]]


def order(total: object = 59.98, **changes: Any) -> dict[str, Any]:
    return {
        "order_id": f"order-{uuid4().hex[:8]}",
        "items": [{"sku": "book", "quantity": 2, "price": 29.99}],
        "total": total,
        **changes,
    }


def recorded(items: Items, placed: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in items() if item["order_id"] == placed["order_id"]]


def test_a_small_order_is_paid_reserved_recorded_and_confirmed(durable: DurableFunction, table_items: Items) -> None:
    placed = order(59.98)

    run = durable.run(placed)

    (
        assert_that(run)
        .succeeded(including({"status": "CONFIRMED", "approval": "not-required", "recorded": True}))
        .ran_in_order("ValidateOrder", "ProcessOrder", "RecordOrder", "SendConfirmation")
        .ran_in_parallel("ProcessPayment", "ReserveInventory")
        .never_ran("RequireApproval", "ReleaseInventory", "RefundPayment")
    )
    (item,) = recorded(table_items, placed)
    assert float(item["total"]) == 59.98
    assert item["payment_id"] == run.result["payment_id"]
    assert item["reservation_id"] == run.result["reservation_id"]


def test_a_large_order_is_approved_before_it_is_processed(durable: DurableFunction, table_items: Items) -> None:
    placed = order(1500)

    run = durable.run(placed)

    (
        assert_that(run)
        .succeeded(including({"approval": "approved"}))
        .ran_in_order("ValidateOrder", "RequireApproval", "ProcessOrder", "RecordOrder", "SendConfirmation")
        .step("RequireApproval")
        .succeeded(attempts=1)
    )
    assert len(recorded(table_items, placed)) == 1


def test_an_undecided_approval_is_asked_for_less_and_less_often(durable: DurableFunction) -> None:
    run = durable.run(order(1500, simulate={"approval_pending": 2}))

    (
        assert_that(run)
        .succeeded(including({"approval": "approved"}))
        .step("RequireApproval")
        .succeeded(attempts=3, delays=[60, 120])
    )


def test_an_approval_that_nobody_gives_times_out(durable: DurableFunction, table_items: Items) -> None:
    placed = order(1500, approval_timeout=90, simulate={"approval_pending": 9})

    run = durable.run(placed)

    assert_that(run).failed("ApprovalTimedOut").never_ran("ProcessOrder", "RecordOrder")
    assert_that(run).step("RequireApproval").failed("ApprovalTimedOut", attempts=3, delays=[60, 30])
    assert recorded(table_items, placed) == []


def test_an_order_over_the_limit_is_denied(durable: DurableFunction, table_items: Items) -> None:
    placed = order(15000)

    run = durable.run(placed)

    assert_that(run).failed("ApprovalDenied", regex("10000")).never_ran("ProcessOrder", "RecordOrder")
    assert_that(run).step("RequireApproval").failed("ApprovalDenied")
    assert recorded(table_items, placed) == []


def test_an_order_without_items_is_rejected(durable: DurableFunction, table_items: Items) -> None:
    placed = order(items=[])

    run = durable.run(placed)

    assert_that(run).failed("OrderRejected").never_ran("RequireApproval", "ProcessOrder", "RecordOrder")
    assert_that(run).step("ValidateOrder").failed("OrderRejected", attempts=1)
    assert recorded(table_items, placed) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"total": -1}, "total"),
        ({"total": "abc"}, "total"),
        ({"items": "book"}, "items"),
        ({"items": None}, "items"),
        ({"order_id": None}, "order_id"),
        ({"simulate": {"payment_failures": -1}}, "payment_failures"),
    ],
    ids=["negative-total", "text-total", "text-items", "no-items", "no-id", "negative-failures"],
)
def test_a_malformed_order_is_invalid_and_never_retried(
    durable: DurableFunction, changes: dict[str, Any], complaint: str
) -> None:
    run = durable.run(order() | changes)

    assert_that(run).failed("InvalidOrderError", regex(complaint)).never_ran("RequireApproval", "ProcessOrder")
    assert_that(run).step("ValidateOrder").failed("InvalidOrderError", attempts=1)


def test_a_slow_validation_is_tried_again_after_2_and_4_seconds(durable: DurableFunction) -> None:
    run = durable.run(order(simulate={"validation_timeouts": 2}))

    assert_that(run).succeeded().step("ValidateOrder").succeeded(attempts=3, delays=[2, 4])


def test_a_validation_that_never_answers_fails_after_three_retries(durable: DurableFunction) -> None:
    run = durable.run(order(simulate={"validation_timeouts": 9}))

    assert_that(run).failed("ValidationTimeout").never_ran("ProcessOrder", "RecordOrder")
    assert_that(run).step("ValidateOrder").failed("ValidationTimeout", attempts=4, delays=[2, 4, 8])


def test_a_payment_that_fails_twice_is_paid_at_the_third_attempt(durable: DurableFunction, table_items: Items) -> None:
    placed = order(simulate={"payment_failures": 2})

    run = durable.run(placed)

    assert_that(run).succeeded().never_ran("ReleaseInventory")
    assert_that(run).step("ProcessPayment").succeeded(attempts=3, delays=[1, 2])
    assert len(recorded(table_items, placed)) == 1


def test_a_payment_that_fails_for_good_releases_the_reservation(durable: DurableFunction, table_items: Items) -> None:
    placed = order(simulate={"payment_failures": 9})

    run = durable.run(placed)

    assert_that(run).failed("PaymentGatewayError").never_ran("RecordOrder", "SendConfirmation", "RefundPayment")
    assert_that(run).step("ProcessPayment").failed("PaymentGatewayError", attempts=4, delays=[1, 2, 4])
    assert_that(run).ran_in_order("ReserveInventory", "ReleaseInventory")
    released = run.history.operation("ReleaseInventory").result
    assert released == run.history.operation("ReserveInventory").result
    assert recorded(table_items, placed) == []


def test_a_reservation_that_fails_once_is_tried_again(durable: DurableFunction) -> None:
    run = durable.run(order(simulate={"inventory_failures": 1}))

    assert_that(run).succeeded().step("ReserveInventory").succeeded(attempts=2, delays=[1])


def test_a_reservation_that_fails_for_good_refunds_the_payment(durable: DurableFunction, table_items: Items) -> None:
    placed = order(simulate={"inventory_failures": 9})

    run = durable.run(placed)

    assert_that(run).failed("InventoryLockError").never_ran("RecordOrder", "SendConfirmation", "ReleaseInventory")
    assert_that(run).step("ReserveInventory").failed("InventoryLockError", attempts=3, delays=[1, 2])
    assert_that(run).ran_in_order("ProcessPayment", "RefundPayment")
    assert run.history.operation("RefundPayment").result == run.history.operation("ProcessPayment").result
    assert recorded(table_items, placed) == []


def test_when_payment_and_reservation_fail_nothing_is_undone(durable: DurableFunction, table_items: Items) -> None:
    placed = order(simulate={"payment_failures": 9, "inventory_failures": 9})

    run = durable.run(placed)

    assert_that(run).failed("PaymentGatewayError").never_ran("ReleaseInventory", "RefundPayment", "RecordOrder")
    assert recorded(table_items, placed) == []


def test_an_order_id_is_recorded_once_and_the_first_order_stays(durable: DurableFunction, table_items: Items) -> None:
    placed = order(59.98)
    durable.run(placed)

    again = durable.run(placed | {"total": 70})

    assert_that(again).succeeded(including({"recorded": False}))
    (item,) = recorded(table_items, placed)
    assert float(item["total"]) == 59.98


def test_an_execution_name_starts_one_execution_however_often_it_is_used(
    durable: DurableFunction, table_items: Items
) -> None:
    placed = order()
    first = durable.start(placed)

    second = durable.start(placed, name=first.name)

    assert second.arn == first.arn
    assert first.wait().succeeded
    assert len(recorded(table_items, placed)) == 1


def test_an_execution_name_cannot_be_used_again_for_another_order(durable: DurableFunction) -> None:
    first = durable.start(order())

    with pytest.raises(ExecutionNameTakenError, match=first.name):
        durable.start(order(), name=first.name)

    assert first.wait().succeeded


def test_a_durable_function_is_invoked_through_an_alias_or_a_version(
    durable: DurableFunction, lambda_client: Any
) -> None:
    with pytest.raises(UnqualifiedInvokeError, match="alias"):
        start_execution(lambda_client, durable.function_name, order(), qualifier=None)


def test_a_function_that_does_not_exist_is_named_in_the_error(durable: DurableFunction, lambda_client: Any) -> None:
    with pytest.raises(FunctionNotFoundError, match=f"{durable.function_name}-x"):
        start_execution(lambda_client, f"{durable.function_name}-x", order())


def test_the_logs_tell_of_the_order_and_of_this_execution_only(durable: DurableFunction) -> None:
    placed, other = order(), order()
    durable.run(other)
    running = durable.start(placed)
    running.wait()

    rows = running.logs(
        "fields @message | filter @message like /(?i)order/",
        until=lambda rows: any("Confirmation" in row["@message"] for row in rows),
    )

    text = "\n".join(row["@message"] for row in rows)
    for message in ("is valid", "paid", "reserved", "recorded", "Confirmation of order"):
        assert message in text
    assert placed["order_id"] in text
    assert other["order_id"] not in text
