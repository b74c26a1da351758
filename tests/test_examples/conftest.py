"""The example tests need only what the harness's pytest plugin brings; this adds the table they read back."""

from typing import Any

import pytest

from harness.infra import Deployment


@pytest.fixture
def table_items(deployment: Deployment, dynamodb_client: Any) -> Any:
    """A function that reads back every item of the example's table, as plain Python values."""
    from boto3.dynamodb.types import TypeDeserializer

    deserializer = TypeDeserializer()

    def read() -> list[dict[str, Any]]:
        pages = dynamodb_client.get_paginator("scan").paginate(
            TableName=deployment.outputs["table_name"], ConsistentRead=True
        )
        return [
            {key: deserializer.deserialize(value) for key, value in item.items()}
            for page in pages
            for item in page["Items"]
        ]

    return read
