"""data_pipeline: its logic, and its whole handler without any cloud."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.examples.conftest import CreateTable
from tests.unit.examples.loading import Example
from tests.unit.examples.running import Run, run


@pytest.fixture(scope="module")
def records() -> Any:
    return Example("data_pipeline").records


@pytest.fixture
def table(create_table: CreateTable) -> Any:
    return create_table("pipeline_id", "record_id")


@pytest.fixture
def pipeline(table: Any) -> Any:
    handler = Example("data_pipeline").handler.handler

    def run_pipeline(**event: Any) -> Run:
        return run(handler, {"pipeline_id": "p-1", **event})

    return run_pipeline


class TestInput:
    def test_everything_has_a_default(self, records: Any) -> None:
        parsed = records.parse_input({})
        assert (parsed.pipeline_id, parsed.count, parsed.tolerated_failures) == (None, 6, 1)

    @pytest.mark.parametrize(
        "event",
        [
            None,
            [],
            {"pipeline_id": 1},
            {"pipeline_id": ""},
            {"count": -1},
            {"count": 1001},
            {"count": "6"},
            {"count": True},
            {"tolerated_failures": None},
            {"simulate": 1},
            {"simulate": {"typo": 1}},
            {"simulate": {"bad_records": 1}},
            {"simulate": {"bad_records": ["rec-1"]}},
        ],
    )
    def test_refuses_what_it_doesnt_understand(self, records: Any, event: Any) -> None:
        with pytest.raises(records.InvalidPipelineInput):
            records.parse_input(event)


class TestRecords:
    def test_values_are_their_number_times_ten(self, records: Any) -> None:
        assert records.fetch(2) == [{"id": "rec-1", "value": 10}, {"id": "rec-2", "value": 20}]

    def test_bad_ones_have_no_value(self, records: Any) -> None:
        assert records.fetch(2, frozenset({2}))[1] == {"id": "rec-2", "value": None}

    @pytest.mark.parametrize(
        "record", [{}, {"id": "a"}, {"id": "", "value": 1}, {"id": 1, "value": 1}, {"id": "a", "value": "1"}]
    )
    def test_without_id_or_value_are_invalid(self, records: Any, record: dict[str, Any]) -> None:
        with pytest.raises(records.InvalidRecordError):
            records.validate(record)

    def test_are_enriched_by_time_and_hash(self, records: Any) -> None:
        digest = hashlib.sha256(b'{"id": "rec-1", "value": 10}').hexdigest()[:16]
        enriched = records.enrich({"value": 10, "id": "rec-1"}, "2026-01-01T00:00:00+00:00")
        assert enriched == {"id": "rec-1", "value": 10, "enrichedAt": "2026-01-01T00:00:00+00:00", "hash": digest}

    @pytest.mark.parametrize(("count", "sizes"), [(0, []), (25, [25]), (26, [25, 1]), (60, [25, 25, 10])])
    def test_are_batched_by_25(self, records: Any, count: int, sizes: list[int]) -> None:
        assert [len(batch) for batch in records.batches(range(count))] == sizes

    def test_are_tolerated_up_to_a_number(self, records: Any) -> None:
        records.check_tolerance(1, 6, 1)
        with pytest.raises(records.PipelineFailed, match="2 of 6 records failed, 1 tolerated"):
            records.check_tolerance(2, 6, 1)


class TestTheWholePipeline:
    @pytest.mark.parametrize("count", [0, 6, 60])
    def test_stores_every_record(self, pipeline: Any, table: Any, count: int) -> None:
        done = pipeline(count=count)
        assert done.result == {"itemsWritten": count, "failed": 0, "tableName": "the-table"}
        stored = {item["record_id"]: item["value"] for item in table.scan()["Items"]}
        assert stored == {f"rec-{number}": Decimal(number * 10) for number in range(1, count + 1)}

    def test_stores_what_it_computed(self, pipeline: Any, table: Any) -> None:
        before = datetime.now(UTC)
        pipeline(count=1)
        [item] = table.scan()["Items"]
        assert item["pipeline_id"] == "p-1"
        assert item["hash"] == hashlib.sha256(json.dumps({"id": "rec-1", "value": 10}).encode()).hexdigest()[:16]
        assert before <= datetime.fromisoformat(item["enrichedAt"]) <= datetime.now(UTC)

    def test_makes_an_id_when_it_has_none(self, pipeline: Any, table: Any) -> None:
        pipeline(pipeline_id=None, count=1)
        [item] = table.scan()["Items"]
        assert len(item["pipeline_id"]) == 36

    def test_takes_its_steps_in_order(self, pipeline: Any) -> None:
        done = pipeline()
        names = done.names()
        assert (names[:2], names[-1]) == (["InitPipeline", "FetchRecords"], "StoreResults")
        assert sorted(names[2:-1]) == ["EnrichRecord"] * 6 + ["ValidateRecord"] * 6
        assert done.names("ContextStarted")[0] == "ProcessRecords"

    def test_counts_a_bad_record_and_stores_the_rest(self, pipeline: Any, table: Any) -> None:
        done = pipeline(simulate={"bad_records": [2]})
        assert done.result == {"itemsWritten": 5, "failed": 1, "tableName": "the-table"}
        assert done.failures("ValidateRecord") == ["InvalidRecordError"]
        assert sorted(item["record_id"] for item in table.scan()["Items"]) == [
            "rec-1", "rec-3", "rec-4", "rec-5", "rec-6",
        ]  # fmt: skip

    def test_fails_on_too_many_bad_records_and_says_how_many(self, pipeline: Any, table: Any) -> None:
        done = pipeline(simulate={"bad_records": [1, 2, 3, 4, 5, 6]}, tolerated_failures=2)
        assert (done.status, done.error_type) == ("FAILED", "PipelineFailed")
        assert done.error_message == "6 of 6 records failed, 2 tolerated"
        assert table.scan()["Items"] == []

    def test_writes_unprocessed_items_again(self, pipeline: Any, table: Any) -> None:
        done = pipeline(simulate={"unprocessed_attempts": 2})
        assert done.result["itemsWritten"] == 6
        assert done.delays("StoreResults") == [1, 2]
        assert len(table.scan()["Items"]) == 6

    def test_fails_when_items_stay_unprocessed(self, pipeline: Any) -> None:
        done = pipeline(simulate={"unprocessed_attempts": 5})
        assert (done.status, done.error_type) == ("FAILED", "UnprocessedItemsError")
        assert done.delays("StoreResults") == [1, 2, 4, 8]

    def test_keeps_the_type_of_an_error_of_aws(self, pipeline: Any, table: Any) -> None:
        table.delete()
        done = pipeline()
        assert done.error_type == "botocore.errorfactory.ResourceNotFoundException"
        assert done.delays("StoreResults") == [1, 2, 4, 8]

    def test_refuses_a_bad_input_at_once(self, pipeline: Any) -> None:
        done = pipeline(count="many")
        assert (done.status, done.error_type) == ("FAILED", "InvalidPipelineInput")
        assert done.attempts("InitPipeline") == 1
