"""Every request is named after AWS's own operation, by botocore's own service models."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.serialize import create_serializer

from harness.localcloud.api import Request
from harness.localcloud.operations import Operation, identify

# Two names for one request: AWS kept the old name of each.
_SAME_REQUEST = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
}


def _value(shape: Shape) -> Any:
    model: Any = shape
    match shape.type_name:
        case "structure":
            return {name: _value(model.members[name]) for name in model.required_members}
        case "list":
            return [_value(model.member)]
        case "map":
            return {}
        case "string":
            return model.enum[0] if model.enum else "x" * max(3, int(shape.metadata.get("min", 3)))
        case "integer" | "long" | "float" | "double":
            return max(1, int(shape.metadata.get("min", 1)))
        case "boolean":
            return True
        case "blob":
            return b"x"
        case "timestamp":
            return 0
        case other:
            raise AssertionError(other)


@functools.cache
def _model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _sent(service: str, operation: str) -> Request:
    """The request that boto3 would send with an operation's required members."""
    service_model = _model(service)
    model = service_model.operation_model(operation)
    members = _value(model.input_shape) if model.input_shape else {}
    serializer: Any = create_serializer(service_model.resolved_protocol, include_validation=False)
    serialized = serializer.serialize_to_request(members, model)
    url = urlsplit(serialized["url_path"])
    query = parse_qs(url.query, keep_blank_values=True)
    for key, value in (serialized["query_string"] or {}).items():
        query[key] = list(value) if isinstance(value, list) else [str(value)]
    headers = {key.lower(): str(value) for key, value in serialized["headers"].items()}
    signing = service_model.signing_name
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential=a/20260101/eu-west-1/{signing}/aws4_request, Signature=b"
    body = serialized["body"]
    if isinstance(body, dict):
        body = "&".join(f"{key}={value}" for key, value in body.items()).encode()
    return Request(serialized["method"], url.path, query, headers, body or b"")


@pytest.mark.parametrize(
    "service", ["lambda", "s3", "iam", "sts", "logs", "dynamodb", "sqs", "resourcegroupstaggingapi"]
)
def test_every_operation_of_a_service_is_recognized(service: str) -> None:
    wrong = {}
    for name in _model(service).operation_names:
        if name == "WriteGetObjectResponse":
            continue  # sent to a host of its own
        operation = identify(_sent(service, name))
        if (operation.service, operation.name, operation.region) != (
            service,
            _SAME_REQUEST.get(name, name),
            "eu-west-1",
        ):
            wrong[name] = operation
    assert wrong == {}


def _get(path: str, **headers: str) -> Request:
    url = urlsplit(path)
    return Request("GET", url.path, parse_qs(url.query, keep_blank_values=True), headers, b"")


def test_an_arn_in_the_path_stays_one_segment() -> None:
    arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af%3A1%2Fdurable-execution%2Fn%2Fid"
    operation = identify(_get(f"/2025-12-01/durable-executions/{arn}/history"))
    assert (operation.service, operation.name) == ("lambda", "GetDurableExecutionHistory")


def test_a_virtual_hosted_bucket_is_part_of_the_path() -> None:
    assert identify(_get("/key", host="bucket.localhost:4566")).name == "GetObject"
    assert identify(_get("/", host="bucket.localhost:4566")).name == "ListObjects"
    assert identify(_get("/", host="localhost:4566")).name == "ListBuckets"


def test_a_presigned_url_names_its_service_and_region() -> None:
    operation = identify(_get("/bucket/key?X-Amz-Credential=a%2F20260101%2Feu-west-1%2Fs3%2Faws4_request"))
    assert (operation.service, operation.name, operation.region) == ("s3", "GetObject", "eu-west-1")


def test_what_no_model_knows_is_unknown_and_no_failure() -> None:
    assert identify(_get("/2099-01-01/nothing")).name == "Unknown"
    credential = "AWS4-HMAC-SHA256 Credential=a/20260101/eu-west-1/nosuch/aws4_request, Signature=b"
    assert identify(_get("/x", authorization=credential)) == Operation("nosuch", "Unknown", "eu-west-1", "json")
