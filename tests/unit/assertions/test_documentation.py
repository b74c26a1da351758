"""docs/assertions.md says what is so."""

from __future__ import annotations

import doctest
from pathlib import Path

from tests.unit.assertions.support import Story, result_details

DOCUMENT = Path(__file__).parents[3] / "docs" / "assertions.md"


def test_every_example_of_the_document_holds() -> None:
    order = (
        Story()
        .step("ValidateOrder", failures=[("ValidationTimeout", 2), ("ValidationTimeout", 4)], result={"total": 59.98})
        .branches("Parallel", "ProcessPayment", "ReserveInventory")
        .step("RecordOrder", result={"orderId": "o-1"})
        .succeeded({"orderId": "o-1", "status": "confirmed", "total": 59.98, "confirmedAt": "2026-01-02T03:04:05Z"})
    )
    approval = (
        Story()
        .step("SubmitRequest", result={"requestId": "r-7"})
        .wait(5)
        .step("CheckApprovalStatus")
        .wait(5)
        .step("CheckApprovalStatus")
        .callback("AwaitDecision", "Succeeded", **result_details({"approved": True, "by": "bob"}))
        .succeeded({"requestId": "r-7"})
    )
    refused = Story().step("ValidateOrder", error="InvalidOrderError").failed("InvalidOrderError", "total is 'abc'")
    pipeline = Story().branches("Map", *["EnrichRecord"] * 6).succeeded({"itemsWritten": 6})

    outcome = doctest.testfile(
        str(DOCUMENT),
        module_relative=False,
        globs={"order": order, "approval": approval, "refused": refused, "pipeline": pipeline},
        optionflags=doctest.ELLIPSIS,
    )

    assert outcome.attempted > 20
    assert outcome.failed == 0
