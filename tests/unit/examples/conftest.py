"""AWS as far as the examples need it: moto's DynamoDB, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

CreateTable = Callable[..., Any]


@pytest.fixture
def create_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[CreateTable]:
    """Creates the table that an example stores in, and tells the function its name as Terraform does."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():

        def create(*keys: str) -> Any:
            monkeypatch.setenv("TABLE_NAME", "the-table")
            kinds = ["HASH", "RANGE"]
            return boto3.resource("dynamodb").create_table(
                TableName="the-table",
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, kinds, strict=False)],  # type: ignore[typeddict-item]
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            )

        yield create
