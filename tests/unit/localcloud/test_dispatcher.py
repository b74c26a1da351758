"""One socket for all of AWS: who is let in, how it speaks HTTP, and where faults can be put."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from harness.localcloud.api import ApiError, ResolvedFunction, Response
from harness.localcloud.dispatcher import Call, ConnectionDropped

from .conftest import Lab

Refused = Callable[..., Any]


def _connect(lab: Lab) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", int(lab.cloud.endpoint_url.rpartition(":")[2]), timeout=30)


def _status(lab: Lab, path: str, **headers: str) -> int:
    connection = _connect(lab)
    connection.request("GET", path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


# Who is let in


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""])
def test_another_host_name_is_refused(lab: Lab, host: str) -> None:
    assert _status(lab, "/", Host=host.format(port=lab.cloud.endpoint_url.rpartition(":")[2])) == 403


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "bucket.localhost:{port}"])
def test_the_clouds_own_names_are_let_in(lab: Lab, host: str) -> None:
    lab.client("s3").create_bucket(Bucket="bucket")
    assert _status(lab, "/", Host=host.format(port=lab.cloud.endpoint_url.rpartition(":")[2])) == 200
    lab.client("s3").delete_bucket(Bucket="bucket")


def test_a_web_page_is_refused(lab: Lab) -> None:
    assert _status(lab, "/", Origin="https://evil.example") == 403


def test_motos_own_api_is_closed(lab: Lab) -> None:
    name = lab.function()
    assert _status(lab, "/moto-api/reset") == 403
    assert lab.functions.get_function(FunctionName=name)["Configuration"]["FunctionName"] == name


# HTTP


def test_a_connection_is_kept_for_many_requests(lab: Lab) -> None:
    connection = _connect(lab)
    connection.connect()
    before = connection.sock
    for _ in range(3):
        connection.request("GET", "/2025-12-01/functions/f/durable-executions")
        response = connection.getresponse()
        assert (response.status, response.version) == (200, 11)
        assert int(response.headers["Content-Length"]) == len(response.read())
    assert connection.sock is before
    connection.close()


def test_the_engine_gets_the_path_as_it_was_sent(lab: Lab) -> None:
    arn = quote("arn:aws:lambda:us-east-1:123456789012:function:f:1/durable-execution/n/id", safe="")
    connection = _connect(lab)
    connection.request("GET", f"/2025-12-01/durable-executions/{arn}/history?MaxItems=5&Statuses=A&Statuses=B")
    assert json.load(connection.getresponse())["raw_path"] == f"/2025-12-01/durable-executions/{arn}/history"
    request = lab.durable.requests[-1]
    assert (request.arg("MaxItems"), list(request.query["Statuses"])) == ("5", ["A", "B"])
    connection.close()


def test_a_chunked_body_arrives_whole_and_the_connection_lives_on(lab: Lab) -> None:
    connection, parts = _connect(lab), [b'{"a":', b"1", b"}"]
    for _ in range(2):
        connection.request("POST", "/2025-12-01/durable-executions/x/checkpoint", body=iter(parts), encode_chunked=True)
        assert connection.getresponse().read()
        assert lab.durable.requests[-1].body == b'{"a":1}'
    connection.close()


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(lab: Lab) -> None:
    port = int(lab.cloud.endpoint_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        head = "POST /2025-12-01/durable-executions/x/stop HTTP/1.1\r\n"
        head += f"Host: 127.0.0.1:{port}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        stream = client.makefile("rb")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        client.sendall(b"{}")
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"


def test_a_head_request_tells_the_length_and_sends_nothing(lab: Lab) -> None:
    s3 = lab.client("s3")
    s3.create_bucket(Bucket="head-bucket")
    s3.put_object(Bucket="head-bucket", Key="key", Body=b"x" * 1000, Metadata={"with_underscore": "kept"})
    head = s3.head_object(Bucket="head-bucket", Key="key")
    assert (head["ContentLength"], head["Metadata"]) == (1000, {"with_underscore": "kept"})
    assert s3.get_object(Bucket="head-bucket", Key="key")["Body"].read() == b"x" * 1000


def test_long_requests_leave_room_for_any_number_of_others(lab: Lab) -> None:
    name, everybody_is_in = lab.function(), threading.Barrier(121)

    def meet(function: ResolvedFunction, payload: bytes) -> Any:
        everybody_is_in.wait(30)
        return "met"

    lab.runner.behaviours[name] = meet
    with ThreadPoolExecutor(120) as pool:
        calls = [pool.submit(lab.functions.invoke, FunctionName=name) for _ in range(120)]
        lab.runner.wait_for(name, 120)
        # 120 invokes hang, and the cloud still answers.
        assert lab.functions.get_function_configuration(FunctionName=name)["FunctionName"] == name
        everybody_is_in.wait(30)
        assert [json.load(call.result(30)["Payload"]) for call in calls] == ["met"] * 120


# AWS around Lambda


def test_sts_tells_the_account(lab: Lab) -> None:
    assert lab.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_tags_of_functions_are_found_by_the_tagging_api(lab: Lab) -> None:
    name = lab.function(Tags={"durable-harness:run": "run-7"})
    found = lab.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "durable-harness:run", "Values": ["run-7"]}]
    )["ResourceTagMappingList"]
    assert [item["ResourceARN"].rpartition(":")[2] for item in found] == [name]


def test_a_table_keeps_its_items(lab: Lab) -> None:
    table = lab.client("dynamodb")
    table.create_table(
        TableName="items",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    table.put_item(TableName="items", Item={"id": {"S": "1"}})
    assert table.get_item(TableName="items", Key={"id": {"S": "1"}})["Item"] == {"id": {"S": "1"}}


@pytest.mark.parametrize(
    ("service", "operation"), [("lambda", "GetAccountSettings"), ("iam", "ListOrganizationsFeatures")]
)
def test_what_is_not_emulated_says_so(lab: Lab, service: str, operation: str) -> None:
    with pytest.raises(ClientError, match="does not emulate this call") as caught:
        getattr(lab.client(service), xform_name(operation))()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


# Middlewares


class _Fault:
    """Does one thing to one operation."""

    def __init__(self, operation: str, action: Callable[[], Response | None]) -> None:
        self._operation = operation
        self._action = action
        self.calls: list[Call] = []

    def before(self, call: Call) -> Response | None:
        self.calls.append(call)
        return self._action() if str(call.operation) == self._operation else None


@pytest.fixture
def inject(lab: Lab) -> Iterator[Callable[[str, Callable[[], Response | None]], _Fault]]:
    def add(operation: str, action: Callable[[], Response | None]) -> _Fault:
        fault = _Fault(operation, action)
        lab.cloud.dispatcher.middlewares.append(fault)
        return fault

    yield add
    lab.cloud.dispatcher.middlewares.clear()


def _throttle() -> Response | None:
    raise ApiError("TooManyRequestsException", "Rate Exceeded.", 429, headers={"Retry-After": "2"})


def _throttle_json() -> Response | None:
    raise ApiError("ThrottlingException", "Rate exceeded", 400)


def _drop() -> Response | None:
    raise ConnectionDropped


def test_a_middleware_can_throttle_one_operation(lab: Lab, inject: Any, refused: Refused) -> None:
    name = lab.function()
    inject("lambda.Invoke", _throttle)
    error = refused("TooManyRequestsException", lab.functions.invoke, FunctionName=name)
    assert error.response["retryAfterSeconds"] == "2"
    assert lab.runner.of(name) == []
    assert lab.functions.get_function(FunctionName=name)


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("lambda", "ListFunctions"),
        ("logs", "DescribeLogGroups"),
        ("dynamodb", "ListTables"),
        ("sqs", "ListQueues"),
        ("iam", "ListRoles"),
        ("sts", "GetCallerIdentity"),
        ("s3", "ListBuckets"),
    ],
)
def test_an_injected_error_is_understood_in_every_protocol(lab: Lab, inject: Any, service: str, operation: str) -> None:
    inject(f"{service}.{operation}", _throttle_json)
    with pytest.raises(ClientError) as caught:
        getattr(lab.client(service), xform_name(operation))()
    assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"} | {
        key: value for key, value in caught.value.response["Error"].items() if key == "Type"
    }


def test_a_middleware_can_drop_the_connection(lab: Lab, inject: Any) -> None:
    inject("lambda.ListFunctions", _drop)
    with pytest.raises(BotoCoreError, match="Connection was closed"):
        lab.functions.list_functions()


def test_a_middleware_that_answers_keeps_the_others_out(lab: Lab, inject: Any) -> None:
    inject("lambda.ListFunctions", lambda: Response.of_json({"Functions": []}))
    later = inject("lambda.ListFunctions", lambda: None)
    lab.function()
    assert lab.functions.list_functions()["Functions"] == []
    assert [str(call.operation) for call in later.calls if call.operation.name == "ListFunctions"] == []


def test_a_part_that_breaks_is_a_500_with_its_reason(lab: Lab, inject: Any, refused: Refused) -> None:
    inject("lambda.ListFunctions", lambda: 1 / 0)
    error = refused("ServiceException", lab.functions.list_functions)
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert "ZeroDivisionError" in str(error)
