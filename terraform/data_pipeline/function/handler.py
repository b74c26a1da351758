"""Data pipeline: fetch records, validate and enrich each, store the good ones, sum up."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aws_durable_execution_sdk_python import BatchResult, DurableContext, StepContext, durable_execution
from aws_durable_execution_sdk_python.config import CompletionConfig, MapConfig
from botocore.exceptions import ClientError

import record_table
import records
from failures import keep_types
from retry_policies import Retry, no_retry, retry_on

Record = dict[str, Any]

STORE = retry_on(Retry(records.UnprocessedItemsError, delay=1, retries=4), Retry(ClientError, delay=1, retries=4))


@durable_execution
def handler(event: Any, context: DurableContext) -> dict[str, Any]:
    """Run the pipeline on ``event``; the README says what it may hold and what comes back."""
    with keep_types():
        return run_pipeline(event, context)


def run_pipeline(event: Any, context: DurableContext) -> dict[str, Any]:
    """The workflow from the first step to the last."""

    def init(step: StepContext) -> str:
        pipeline_id = records.parse_input(event).pipeline_id or str(uuid.uuid4())
        step.logger.info("Pipeline %s starts", pipeline_id)
        return pipeline_id

    pipeline_id = context.step(init, name="InitPipeline", config=no_retry())
    parsed = records.parse_input(event)

    def fetch(step: StepContext) -> list[Record]:
        fetched = records.fetch(parsed.count, parsed.bad_records)
        step.logger.info("%d records fetched", len(fetched))
        return fetched

    fetched = context.step(fetch, name="FetchRecords", config=no_retry())

    batch: BatchResult[Record] = context.map(
        fetched,
        process_record,
        name="ProcessRecords",
        config=MapConfig(
            max_concurrency=5,
            # All records are looked at, however many are bad: the failure then says how many, the same on every run.
            completion_config=CompletionConfig(tolerated_failure_percentage=100),
            item_namer=lambda record, _index: str(record["id"]),
        ),
    )
    records.check_tolerance(batch.failure_count, len(fetched), parsed.tolerated_failures)
    good = batch.get_results()

    def store(step: StepContext) -> int:
        hold_back = 1 if step.attempt <= parsed.unprocessed_attempts else 0
        written = record_table.store(pipeline_id, good, hold_back=hold_back)
        step.logger.info("%d records of pipeline %s stored", written, pipeline_id)
        return written

    written = context.step(store, name="StoreResults", config=STORE)
    return {"itemsWritten": written, "failed": batch.failure_count, "tableName": record_table.table_name()}


def process_record(context: DurableContext, record: Record, _index: int, _records: Sequence[Record]) -> Record:
    """One record's way through the pipeline."""

    def validate(_step: StepContext) -> Record:
        return records.validate(record)

    def enrich(_step: StepContext) -> Record:
        return records.enrich(valid, datetime.now(UTC).isoformat())

    # The item's error is recorded by its type as well, so it has to be the step's own before it leaves.
    with keep_types():
        valid = context.step(validate, name="ValidateRecord", config=no_retry())
        return context.step(enrich, name="EnrichRecord", config=no_retry())
