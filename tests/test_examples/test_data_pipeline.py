"""data_pipeline: records are validated and enriched five at a time, the good ones stored in batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from harness.assertions import assert_that, including, regex
from harness.durable import DurableFunction, ExecutionResult, Operation
from harness.infra import Deployment

pytestmark = pytest.mark.integration

Items = Callable[[], list[dict[str, Any]]]

FOR_GOOD = 99
"""More attempts than any step makes."""


def execution(**payload: Any) -> pytest.MarkDecorator:
    return pytest.mark.execution(payload)


def stored(items: Items, run: ExecutionResult) -> dict[str, dict[str, Any]]:
    """What a run stored, by record id; its InitPipeline says which run it is."""
    pipeline_id = run.history.operation("InitPipeline").result
    return {item["record_id"]: item for item in items() if item["pipeline_id"] == pipeline_id}


def values(records: dict[str, dict[str, Any]]) -> dict[str, int]:
    return {record_id: int(record["value"]) for record_id, record in records.items()}


def expected_values(*numbers: int) -> dict[str, int]:
    return {f"rec-{number}": number * 10 for number in numbers}


@execution()
def test_six_records_are_validated_enriched_and_stored(
    run: ExecutionResult, table_items: Items, deployment: Deployment
) -> None:
    table_name = deployment.outputs["table_name"]

    assert_that(run).succeeded({"itemsWritten": 6, "failed": 0, "tableName": table_name})
    assert_that(run).ran_in_order("InitPipeline", "FetchRecords", "ProcessRecords", "StoreResults")
    assert_that(run).each_step("ValidateRecord", count=6).succeeded(attempts=1)
    assert_that(run).each_step("EnrichRecord", count=6).succeeded(attempts=1)
    assert values(stored(table_items, run)) == expected_values(1, 2, 3, 4, 5, 6)


@execution()
def test_each_record_is_stored_with_a_hash_of_itself_and_the_time_of_its_enrichment(
    run: ExecutionResult, table_items: Items
) -> None:
    records = stored(table_items, run)

    enriched = {step.result["id"]: step.result for step in run.history.operations(name="EnrichRecord")}
    assert records.keys() == enriched.keys()
    for record_id, record in records.items():
        plain = json.dumps({"id": record_id, "value": int(record["value"])}, sort_keys=True)
        assert record["hash"] == enriched[record_id]["hash"] == hashlib.sha256(plain.encode()).hexdigest()[:16]
        assert record["enrichedAt"] == enriched[record_id]["enrichedAt"]
        assert datetime.fromisoformat(record["enrichedAt"]).tzinfo is not None


@execution(count=20)
def test_records_are_processed_side_by_side_but_never_more_than_five_at_once(run: ExecutionResult) -> None:
    assert_that(run).succeeded(including({"itemsWritten": 20}))
    assert_that(run).ran_in_parallel("rec-1", "rec-2", "rec-3", "rec-4", "rec-5")
    assert_that(run).ran_at_once("ValidateRecord", at_most=5).ran_at_once("EnrichRecord", at_most=5)
    records = run.history.children(run.history.operation("ProcessRecords"))
    assert len(records) == 20
    for record in records:
        going_on = [other for other in records if other.started <= record.started and _ended(other) > record.started]
        assert len(going_on) <= 5


def _ended(operation: Operation) -> datetime:
    assert operation.ended is not None
    return operation.ended


@execution(count=0)
def test_without_records_nothing_is_processed_or_stored(run: ExecutionResult, table_items: Items) -> None:
    assert_that(run).succeeded(including({"itemsWritten": 0, "failed": 0})).never_ran("ValidateRecord", "EnrichRecord")
    assert_that(run).step("FetchRecords").succeeded([])
    assert stored(table_items, run) == {}


@execution(count=60)
def test_more_records_than_one_batch_write_takes_are_all_stored(run: ExecutionResult, table_items: Items) -> None:
    # DynamoDB refuses a batch of more than 25, so that 60 can only have come in several.
    assert_that(run).succeeded(including({"itemsWritten": 60, "failed": 0}))
    assert_that(run).step("StoreResults").succeeded(60, attempts=1)
    assert values(stored(table_items, run)) == expected_values(*range(1, 61))


@execution(simulate={"bad_records": [3]})
def test_a_bad_record_is_counted_and_the_rest_is_stored(run: ExecutionResult, table_items: Items) -> None:
    assert_that(run).succeeded(including({"itemsWritten": 5, "failed": 1}))
    assert_that(run).context("rec-3").failed("InvalidRecordError", regex("rec-3"))
    assert_that(run).each_step("EnrichRecord", count=5).succeeded()
    (validation,) = run.history.children(run.history.operation("rec-3"))
    assert (validation.name, validation.status, len(validation.attempts)) == ("ValidateRecord", "FAILED", 1)
    assert values(stored(table_items, run)) == expected_values(1, 2, 4, 5, 6)


@execution(simulate={"bad_records": [1, 2, 5]})
def test_more_bad_records_than_tolerated_fail_the_pipeline_and_nothing_is_stored(
    run: ExecutionResult, table_items: Items
) -> None:
    assert_that(run).failed("PipelineFailed", "3 of 6 records failed, 1 tolerated").never_ran("StoreResults")
    assert_that(run).each_step("ValidateRecord", count=6).ran()
    assert stored(table_items, run) == {}


@execution(tolerated_failures=3, simulate={"bad_records": [1, 2, 5]})
def test_as_many_bad_records_as_tolerated_do_not_fail_the_pipeline(run: ExecutionResult, table_items: Items) -> None:
    assert_that(run).succeeded(including({"itemsWritten": 3, "failed": 3}))
    assert values(stored(table_items, run)) == expected_values(3, 4, 6)


@execution(simulate={"unprocessed_attempts": 2})
def test_items_that_the_table_leaves_unprocessed_are_written_again(run: ExecutionResult, table_items: Items) -> None:
    assert_that(run).succeeded(including({"itemsWritten": 6}))
    assert_that(run).step("StoreResults").succeeded(
        6, attempts=3, delays=[1, 2], errors=["UnprocessedItemsError", "UnprocessedItemsError"]
    )
    assert values(stored(table_items, run)) == expected_values(1, 2, 3, 4, 5, 6)


@execution(simulate={"unprocessed_attempts": FOR_GOOD})
def test_items_that_stay_unprocessed_fail_the_pipeline_after_four_retries(
    run: ExecutionResult, table_items: Items
) -> None:
    assert_that(run).failed("UnprocessedItemsError", regex("^1 of 6 items"))
    assert_that(run).step("StoreResults").failed(
        "UnprocessedItemsError", attempts=5, delays=[1, 2, 4, 8], errors=["UnprocessedItemsError"] * 5
    )
    assert values(stored(table_items, run)) == expected_values(1, 2, 3, 4, 5)


# A partition key has at most 2048 bytes: the table refuses these records.
@execution(pipeline_id="p" * 2049)
def test_an_error_of_the_table_fails_the_pipeline_after_four_retries(run: ExecutionResult, table_items: Items) -> None:
    assert_that(run).failed(regex(r"\b(ClientError|ValidationException)$"), regex("2048 bytes"))
    assert_that(run).step("StoreResults").failed(attempts=5, delays=[1, 2, 4, 8])
    assert stored(table_items, run) == {}


@execution(pipeline_id="nightly")
def test_a_pipeline_may_bring_its_own_id(run: ExecutionResult, table_items: Items) -> None:
    assert_that(run).succeeded().step("InitPipeline").succeeded("nightly")
    assert sum(item["pipeline_id"] == "nightly" for item in table_items()) == 6


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ([], "object"),
        ({"pipeline_id": ""}, "pipeline_id"),
        ({"count": "6"}, "count"),
        ({"count": -1}, "count"),
        ({"count": 1001}, "count"),
        ({"tolerated_failures": True}, "tolerated_failures"),
        ({"simulate": "bad"}, "simulate"),
        ({"simulate": {"bad_records": 3}}, r"simulate\.bad_records"),
        ({"simulate": {"unprocessed_attempts": -1}}, "unprocessed_attempts"),
        ({"simulate": {"bad_record": [3]}}, r"simulate\.bad_record"),
    ],
    ids=["list", "empty-id", "text-count", "negative-count", "large-count", "boolean-tolerance", "text-simulate",
         "number-bad", "negative-attempts", "unknown-key"],
)  # fmt: skip
def test_a_malformed_input_is_invalid_and_never_retried(
    durable: DurableFunction, payload: object, complaint: str
) -> None:
    run = durable.run(payload)

    assert_that(run).failed("InvalidPipelineInput", regex(complaint)).never_ran("FetchRecords", "StoreResults")
    assert_that(run).step("InitPipeline").failed("InvalidPipelineInput", attempts=1)


def test_the_logs_tell_of_the_pipeline_and_of_this_execution_only(durable: DurableFunction) -> None:
    durable.run({"count": 1, "pipeline_id": "another"})
    running = durable.start({"count": 3, "pipeline_id": "logged"})
    running.wait()

    expected = ["Pipeline logged starts", "3 records fetched", "3 records of pipeline logged stored"]
    rows = running.logs(
        "fields @message | filter @message like /(?i)pipeline|records/",
        until=lambda rows: all(any(message in row.message for row in rows) for message in expected),
    )

    assert sorted(str(row.record["message"]) for row in rows) == sorted(expected)
    assert {row.record["executionArn"] for row in rows} == {running.arn}
