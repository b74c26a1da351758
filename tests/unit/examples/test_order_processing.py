"""order_processing: its logic, and its whole handler without any cloud."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.examples.conftest import CreateTable
from tests.unit.examples.loading import Example
from tests.unit.examples.running import Run, run

ORDER: dict[str, Any] = {
    "order_id": "o-1",
    "items": [{"sku": "a", "quantity": 2, "price": 29.99}],
    "total": 59.98,
}


@pytest.fixture(scope="module")
def example() -> Example:
    return Example("order_processing")


@pytest.fixture
def table(create_table: CreateTable) -> Any:
    return create_table("order_id")


@pytest.fixture
def process(table: Any) -> Any:
    handler = Example("order_processing").handler.handler

    def process_order(**changes: Any) -> Run:
        return run(handler, {**ORDER, **changes})

    return process_order


class TestParseOrder:
    def test_takes_a_whole_order(self, example: Example) -> None:
        order = example.orders.parse_order(ORDER)
        assert (order.order_id, order.items, order.total) == ("o-1", ORDER["items"], 59.98)

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"order_id": None}, "order_id must be a non-empty string, not nothing"),
            ({"order_id": ""}, "order_id must be a non-empty string"),
            ({"items": "a"}, "items must be a list, not a string"),
            ({"items": None}, "items must be a list, not nothing"),
            ({"items": ["a"]}, "every item must be an object"),
            ({"total": "abc"}, "total must be a number, not a string"),
            ({"total": None}, "total must be a number, not nothing"),
            ({"total": True}, "total must be a number, not a boolean"),
            ({"total": float("nan")}, "total must be a number"),
            ({"total": -1}, "total must not be negative, but is -1"),
        ],
    )
    def test_names_what_is_wrong(self, example: Example, change: dict[str, Any], complaint: str) -> None:
        with pytest.raises(example.orders.InvalidOrderError, match=complaint):
            example.orders.parse_order({**ORDER, **change})

    @pytest.mark.parametrize("event", [None, [], "order", 1])
    def test_refuses_what_isnt_an_object(self, example: Example, event: Any) -> None:
        with pytest.raises(example.orders.InvalidOrderError, match="the input must be an object"):
            example.orders.parse_order(event)

    def test_rejects_an_order_of_nothing(self, example: Example) -> None:
        with pytest.raises(example.orders.OrderRejected, match="o-1 has no items"):
            example.orders.parse_order({**ORDER, "items": []})

    @pytest.mark.parametrize(("total", "needed"), [(0, False), (1000, False), (1000.01, True)])
    def test_large_orders_need_approval(self, example: Example, total: float, needed: bool) -> None:
        assert example.orders.parse_order({**ORDER, "total": total}).needs_approval is needed


class TestParseSimulation:
    def test_nothing_fails_unless_told_to(self, example: Example) -> None:
        assert example.orders.parse_simulation(ORDER) == example.orders.Simulation()

    @pytest.mark.parametrize("counts", [[], {"payment_failures": -1}, {"payment_failures": True}, {"typo": 1}])
    def test_refuses_what_it_doesnt_understand(self, example: Example, counts: Any) -> None:
        with pytest.raises(example.orders.InvalidOrderError, match="simulate"):
            example.orders.parse_simulation({**ORDER, "simulate": counts})


class TestApproval:
    @pytest.mark.parametrize(
        ("limit", "delays"),
        [(1, [1]), (60, [60]), (200, [60, 120, 20]), (3600, [60, 120, 240, 480, 960, 1740])],
    )
    def test_waits_double_and_add_up_to_the_limit(self, example: Example, limit: int, delays: list[int]) -> None:
        assert example.orders.approval_delays(limit) == delays

    @pytest.mark.parametrize("seconds", [0, 3601, 1.5, "60", True, None])
    def test_the_limit_is_at_most_an_hour(self, example: Example, seconds: Any) -> None:
        with pytest.raises(example.orders.InvalidOrderError, match="1 to 3600"):
            example.orders.parse_approval_seconds({**ORDER, "approval_timeout": seconds})

    def test_an_hour_is_the_default(self, example: Example) -> None:
        assert example.orders.parse_approval_seconds(ORDER) == 3600

    @pytest.mark.parametrize(("total", "approved"), [(1001, True), (10000, True), (10000.01, False)])
    def test_the_total_decides(self, example: Example, total: float, approved: bool) -> None:
        order = example.orders.parse_order({**ORDER, "total": total})
        if approved:
            decision = example.orders.decide_approval(order, check=1, pending_checks=0, waited=0, limit=60)
            assert decision == "approved"
        else:
            with pytest.raises(example.orders.ApprovalDenied, match="exceeds 10000"):
                example.orders.decide_approval(order, check=1, pending_checks=0, waited=0, limit=60)


class TestRecord:
    def test_numbers_are_decimals(self, example: Example) -> None:
        record = example.orders.to_record(example.orders.parse_order(ORDER), "pay-1", "res-1")
        assert record["total"] == Decimal("59.98")
        assert record["items"] == [{"sku": "a", "quantity": 2, "price": Decimal("29.99")}]

    def test_references_depend_on_the_order_alone(self, example: Example) -> None:
        reference = example.orders.reference
        assert reference("pay", "o-1") == reference("pay", "o-1")
        assert len({reference("pay", "o-1"), reference("pay", "o-2"), reference("res", "o-1")}) == 3


class TestTheWholeOrder:
    def test_is_confirmed_and_recorded(self, process: Any, table: Any) -> None:
        done = process()
        assert done.status == "SUCCEEDED"
        assert done.result["status"] == "CONFIRMED"
        assert done.result["approval"] == "not-required"
        assert done.result["recorded"] is True
        stored = table.get_item(Key={"order_id": "o-1"})["Item"]
        assert stored["total"] == Decimal("59.98")
        assert stored["payment_id"] == done.result["payment_id"]
        assert stored["reservation_id"] == done.result["reservation_id"]

    def test_takes_its_steps_in_order(self, process: Any) -> None:
        names = process().names()
        assert sorted(names[1:3]) == ["ProcessPayment", "ReserveInventory"]
        assert [*names[:1], *names[3:]] == ["ValidateOrder", "RecordOrder", "SendConfirmation"]

    def test_is_approved_when_it_is_large(self, process: Any) -> None:
        done = process(total=1500)
        assert done.result["approval"] == "approved"
        assert done.names()[:2] == ["ValidateOrder", "RequireApproval"]

    def test_waits_for_its_approval(self, process: Any) -> None:
        done = process(total=1500, simulate={"approval_pending": 2})
        assert done.status == "SUCCEEDED"
        assert done.delays("RequireApproval") == [60, 120]

    def test_is_denied_when_it_is_too_large(self, process: Any) -> None:
        done = process(total=15000)
        assert (done.status, done.error_type) == ("FAILED", "ApprovalDenied")
        assert done.names() == ["ValidateOrder", "RequireApproval"]

    def test_gives_up_on_its_approval_in_time(self, process: Any) -> None:
        done = process(total=1500, approval_timeout=200, simulate={"approval_pending": 99})
        assert (done.status, done.error_type) == ("FAILED", "ApprovalTimedOut")
        assert done.delays("RequireApproval") == [60, 120, 20]

    @pytest.mark.parametrize(
        ("change", "error_type"),
        [
            ({"items": []}, "OrderRejected"),
            ({"total": -1}, "InvalidOrderError"),
            ({"total": "abc"}, "InvalidOrderError"),
            ({"items": {}}, "InvalidOrderError"),
            ({"approval_timeout": 0}, "InvalidOrderError"),
            ({"simulate": {"typo": 1}}, "InvalidOrderError"),
        ],
    )
    def test_that_is_wrong_fails_at_once(self, process: Any, change: dict[str, Any], error_type: str) -> None:
        done = process(**change)
        assert (done.status, done.error_type) == ("FAILED", error_type)
        assert done.attempts("ValidateOrder") == 1
        assert done.names() == ["ValidateOrder"]

    @pytest.mark.parametrize(
        ("simulate", "step", "delays"),
        [
            ({"validation_timeouts": 3}, "ValidateOrder", [2, 4, 8]),
            ({"payment_failures": 2}, "ProcessPayment", [1, 2]),
            ({"payment_failures": 3}, "ProcessPayment", [1, 2, 4]),
            ({"inventory_failures": 2}, "ReserveInventory", [1, 2]),
        ],
    )
    def test_recovers_within_the_retries(
        self, process: Any, simulate: dict[str, int], step: str, delays: list[int]
    ) -> None:
        done = process(simulate=simulate)
        assert done.status == "SUCCEEDED"
        assert done.delays(step) == delays
        assert done.attempts(step) == len(delays) + 1

    def test_fails_when_validation_never_answers(self, process: Any) -> None:
        done = process(simulate={"validation_timeouts": 4})
        assert (done.status, done.error_type) == ("FAILED", "ValidationTimeout")
        assert done.attempts("ValidateOrder") == 4

    def test_releases_the_inventory_when_payment_fails_for_good(self, process: Any, table: Any) -> None:
        done = process(simulate={"payment_failures": 4})
        assert (done.status, done.error_type) == ("FAILED", "PaymentGatewayError")
        assert done.failures("ProcessPayment") == ["PaymentGatewayError"] * 4
        assert done.names()[-1] == "ReleaseInventory"
        assert "Item" not in table.get_item(Key={"order_id": "o-1"})

    def test_refunds_the_payment_when_reservation_fails_for_good(self, process: Any, table: Any) -> None:
        done = process(simulate={"inventory_failures": 3})
        assert (done.status, done.error_type) == ("FAILED", "InventoryLockError")
        assert done.names()[-1] == "RefundPayment"
        assert "Item" not in table.get_item(Key={"order_id": "o-1"})

    def test_undoes_nothing_when_both_fail(self, process: Any) -> None:
        done = process(simulate={"payment_failures": 4, "inventory_failures": 3})
        assert (done.status, done.error_type) == ("FAILED", "PaymentGatewayError")
        assert not {"ReleaseInventory", "RefundPayment", "RecordOrder"} & set(done.names())

    def test_is_recorded_once(self, process: Any, table: Any) -> None:
        first = process()
        second = process(total=12)
        assert (first.result["recorded"], second.result["recorded"]) == (True, False)
        assert [item["total"] for item in table.scan()["Items"]] == [Decimal("59.98")]

    def test_recording_again_after_a_lost_checkpoint_finds_its_own_record(self, table: Any) -> None:
        record_once = Example("order_processing").order_table.record_once
        record = {"order_id": "o-1", "status": "CONFIRMED"}
        assert [record_once(record, execution) for execution in ("arn:1", "arn:1", "arn:2", "arn:1")] == [
            True,
            True,
            False,
            True,
        ]
        assert table.scan()["Count"] == 1

    def test_keeps_the_type_of_an_error_of_aws(self, process: Any, table: Any) -> None:
        table.delete()
        done = process()
        assert done.status == "FAILED"
        assert done.error_type == "botocore.errorfactory.ResourceNotFoundException"
