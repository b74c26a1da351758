"""The service as boto3 sees it: shapes, paging and typed errors, without a socket."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from harness.localcloud.api import ApiError
from harness.localcloud.insights import InsightsService
from tests.unit.localcloud_insights.support import START_MS, log_events


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]


def _client(service: InsightsService) -> Any:
    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        target, content = request.headers["X-Amz-Target"], request.body
        assert isinstance(target, bytes)
        assert isinstance(content, bytes)
        try:
            status, body = (
                200,
                json.dumps(service.handle(target.decode().rpartition(".")[2], json.loads(content))).encode(),
            )
        except ApiError as error:
            response = error.to_response()
            status, body = response.status, response.body
        return AWSResponse(request.url, status, HTTPHeaders(), _Raw(body))

    client: Any = boto3.client(
        "logs", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    client.meta.events.register("before-send.logs", answer)
    return client


@pytest.fixture
def client() -> Any:
    events = log_events('{"level": "INFO"}', '{"level": "ERROR"}')
    return _client(InsightsService(lambda *_: events, running_polls=0))


def _start(client: Any, query: str) -> str:
    answer = client.start_query(
        logGroupName="/app", startTime=START_MS // 1000, endTime=START_MS // 1000 + 60, queryString=query
    )
    query_id: str = answer["queryId"]
    return query_id


def test_rows_come_back_as_fields_and_values(client: Any) -> None:
    answer = client.get_query_results(queryId=_start(client, "stats count(*) as n by level | sort level asc"))

    assert answer["status"] == "Complete"
    assert answer["results"] == [
        [{"field": "level", "value": "ERROR"}, {"field": "n", "value": "1"}],
        [{"field": "level", "value": "INFO"}, {"field": "n", "value": "1"}],
    ]
    assert answer["statistics"]["recordsScanned"] == 2.0


def test_a_malformed_query_is_a_typed_error_with_its_place(client: Any) -> None:
    with pytest.raises(client.exceptions.MalformedQueryException) as caught:
        _start(client, "fields a b")

    assert "unexpected symbol 'b'" in caught.value.response["Error"]["Message"]
    location = caught.value.response["queryCompileError"]["location"]
    assert location == {"startCharOffset": 9, "endCharOffset": 10}


def test_an_unknown_query_is_a_typed_error(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_query_results(queryId="none")


def test_stopping_an_ended_query_is_a_typed_error(client: Any) -> None:
    query_id = _start(client, "limit 1")

    with pytest.raises(client.exceptions.InvalidParameterException, match="is not running"):
        client.stop_query(queryId=query_id)


def test_queries_are_described(client: Any) -> None:
    query_id = _start(client, "limit 1")

    assert [query["queryId"] for query in client.describe_queries()["queries"]] == [query_id]
