"""What the example tests need beyond the harness's pytest plugin: the table that is read back, and executions that are
started together."""

from typing import Any

import pytest

from harness.durable import DurableFunction, ExecutionResult, RunningExecution
from harness.infra import Deployment


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "execution(payload): the input of the execution that the test gets, ended, as its fixture `run`"
    )


@pytest.fixture(scope="module")
def executions(request: pytest.FixtureRequest, durable: DurableFunction) -> dict[str, RunningExecution]:
    """The executions that the module's tests ask for by their markers, by test.

    All are started before the first is waited for, so that the module takes as long as its longest wait, not as all
    of them together.
    """
    marked = [
        (item.nodeid, marker)
        for item in request.session.items
        if item.path == request.path and (marker := item.get_closest_marker("execution")) is not None
    ]
    return {nodeid: durable.start(*marker.args) for nodeid, marker in marked}


@pytest.fixture
def run(request: pytest.FixtureRequest, executions: dict[str, RunningExecution]) -> ExecutionResult:
    """The execution of the test's `execution` marker, once it has ended."""
    return executions[request.node.nodeid].wait(timeout=600)


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
