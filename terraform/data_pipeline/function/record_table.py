"""The table that records are stored in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import boto3

from records import UnprocessedItemsError, batches


@cache
def _dynamodb() -> Any:
    # Made on first use, inside a step: importing the handler needs no region, no credentials and no time.
    return boto3.resource("dynamodb")


def table_name() -> str:
    """The table's name."""
    return os.environ["TABLE_NAME"]


def store(pipeline_id: str, items: Sequence[dict[str, Any]], *, hold_back: int = 0) -> int:
    """Write records in batches of 25; writing a record again replaces it by the same.

    Args:
        pipeline_id: The run that they belong to.
        items: The records.
        hold_back: How many of the last ones to leave unprocessed, as a table under load does.

    Returns:
        How many were written.

    Raises:
        UnprocessedItemsError: The table didn't take all of them.
    """
    taken = items[: len(items) - hold_back] if hold_back else items
    unprocessed = len(items) - len(taken)
    for batch in batches(taken):
        requests = [{"PutRequest": {"Item": _to_item(pipeline_id, item)}} for item in batch]
        response = _dynamodb().batch_write_item(RequestItems={table_name(): requests})
        unprocessed += len(response.get("UnprocessedItems", {}).get(table_name(), []))
    if unprocessed:
        raise UnprocessedItemsError(f"{unprocessed} of {len(items)} items are unprocessed")
    return len(items)


def _to_item(pipeline_id: str, record: dict[str, Any]) -> dict[str, Any]:
    return {
        "pipeline_id": pipeline_id,
        "record_id": record["id"],
        "value": Decimal(str(record["value"])),
        "enrichedAt": record["enrichedAt"],
        "hash": record["hash"],
    }
