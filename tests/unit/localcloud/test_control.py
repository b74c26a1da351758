"""Lambda's control plane answers as AWS's does, where moto alone doesn't."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Lab, make_zip

Refused = Callable[..., Any]
DURABLE = {"ExecutionTimeout": 600, "RetentionPeriodInDays": 3}


def test_durable_config_is_given_back_by_every_call(lab: Lab) -> None:
    name = lab.function(DurableConfig=DURABLE, Publish=True)
    functions = lab.functions
    listed = next(item for item in functions.list_functions()["Functions"] if item["FunctionName"] == name)
    answers = [
        functions.get_function(FunctionName=name)["Configuration"],
        functions.get_function(FunctionName=name, Qualifier="1")["Configuration"],
        functions.get_function_configuration(FunctionName=name),
        functions.update_function_configuration(FunctionName=name, Timeout=9),
        functions.publish_version(FunctionName=name),
        listed,
        *functions.list_versions_by_function(FunctionName=name)["Versions"],
    ]
    assert [answer["DurableConfig"] for answer in answers] == [DURABLE] * len(answers)


def test_retention_defaults_to_14_days(lab: Lab) -> None:
    name = lab.function(DurableConfig={"ExecutionTimeout": 60})
    config = lab.functions.get_function_configuration(FunctionName=name)["DurableConfig"]
    assert config == {"ExecutionTimeout": 60, "RetentionPeriodInDays": 14}


def test_a_plain_function_has_no_durable_config(lab: Lab) -> None:
    assert "DurableConfig" not in lab.functions.get_function_configuration(FunctionName=lab.function())


def test_tags_stand_for_durable_config_at_creation_and_later(lab: Lab) -> None:
    tags = {"durable:execution-timeout": "600", "durable:retention-period": "3"}
    created = lab.function(Tags=tags)
    assert lab.functions.get_function_configuration(FunctionName=created)["DurableConfig"] == DURABLE
    later = lab.function(Publish=True)
    arn = lab.functions.get_function_configuration(FunctionName=later)["FunctionArn"]
    lab.functions.tag_resource(Resource=arn, Tags=tags)
    assert lab.functions.get_function_configuration(FunctionName=later, Qualifier="1")["DurableConfig"] == DURABLE


@pytest.mark.parametrize(
    "tags",
    [
        {"durable:execution-timeout": "0"},
        {"durable:execution-timeout": "31622401"},
        {"durable:execution-timeout": "ten"},
        {"durable:execution-timeout": "10", "durable:retention-period": "91"},
        {"durable:retention-period": "3"},
    ],
)
def test_tags_out_of_bounds_are_refused(lab: Lab, refused: Refused, tags: dict[str, str]) -> None:
    refused("InvalidParameterValueException", lab.function, Tags=tags)
    arn = lab.functions.get_function_configuration(FunctionName=lab.function())["FunctionArn"]
    refused("InvalidParameterValueException", lab.functions.tag_resource, Resource=arn, Tags=tags)


@pytest.mark.parametrize(
    "config",
    [
        {"ExecutionTimeout": 31_622_401},
        {"ExecutionTimeout": 60, "RetentionPeriodInDays": 91},
    ],
)
def test_durable_config_out_of_bounds_creates_nothing(lab: Lab, refused: Refused, config: dict[str, int]) -> None:
    before = lab.cloud.registry._moto.function_names()
    refused("InvalidParameterValueException", lab.function, DurableConfig=config)
    assert lab.cloud.registry._moto.function_names() == before


def test_durable_config_can_be_changed_but_never_added(lab: Lab, refused: Refused) -> None:
    update = lab.functions.update_function_configuration
    durable = lab.function(DurableConfig=DURABLE)
    assert update(FunctionName=durable, DurableConfig={"ExecutionTimeout": 30})["DurableConfig"] == {
        "ExecutionTimeout": 30,
        "RetentionPeriodInDays": 3,
    }
    error = refused(
        "InvalidParameterValueException", update, FunctionName=lab.function(), DurableConfig={"ExecutionTimeout": 30}
    )
    assert "can't be added to an existing function" in str(error)


def test_logging_config_is_kept_with_lambdas_defaults(lab: Lab) -> None:
    get = lab.functions.get_function_configuration
    name = lab.function(LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"})
    assert get(FunctionName=name)["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "DEBUG",
        "SystemLogLevel": "INFO",
        "LogGroup": f"/aws/lambda/{name}",
    }
    lab.functions.update_function_configuration(
        FunctionName=name, LoggingConfig={"LogFormat": "Text", "LogGroup": "/x"}
    )
    assert get(FunctionName=name)["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/x"}


def test_a_log_level_needs_json(lab: Lab, refused: Refused) -> None:
    refused(
        "InvalidParameterValueException",
        lab.function,
        LoggingConfig={"LogFormat": "Text", "ApplicationLogLevel": "DEBUG"},
    )


def test_a_new_function_is_pending_and_then_active(lab: Lab) -> None:
    created = lab.functions.create_function(
        FunctionName="states",
        Role=lab.role(),
        Handler="app.handler",
        Runtime="python3.13",
        Code={"ZipFile": make_zip({"app.py": ""})},
    )
    assert (created["State"], created["StateReasonCode"]) == ("Pending", "Creating")
    assert lab.functions.get_function_configuration(FunctionName="states")["State"] == "Active"
    updated = lab.functions.update_function_configuration(FunctionName="states", Timeout=5)
    assert updated["LastUpdateStatus"] == "InProgress"
    assert lab.functions.get_function_configuration(FunctionName="states")["LastUpdateStatus"] == "Successful"


def test_code_may_come_from_s3_in_the_version_asked_for(lab: Lab, refused: Refused) -> None:
    s3, code = lab.client("s3"), make_zip({"app.py": "from s3"})
    s3.create_bucket(Bucket="code-bucket")
    s3.put_bucket_versioning(Bucket="code-bucket", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="code-bucket", Key="f.zip", Body=code)["VersionId"]
    s3.put_object(Bucket="code-bucket", Key="f.zip", Body=make_zip({"app.py": "newer"}))
    where = {"S3Bucket": "code-bucket", "S3Key": "f.zip", "S3ObjectVersion": version}
    name = lab.function(Code=where)
    sha = lab.functions.get_function_configuration(FunctionName=name)["CodeSha256"]
    assert sha == base64.b64encode(hashlib.sha256(code).digest()).decode()
    for missing in ({**where, "S3Key": "none", "S3ObjectVersion": "1"}, {**where, "S3Bucket": "no-such-bucket"}):
        error = refused("InvalidParameterValueException", lab.function, Code=missing)
        assert "Error occurred while GetObject. S3 Error Code: NoSuch" in str(error)


@pytest.mark.parametrize(
    "members",
    [
        {"Code": {"ZipFile": b"no zip"}},
        {"Code": {"ZipFile": make_zip({"../x": ""})}},
        {"Code": {}},
        {"Role": "arn:aws:iam::123456789012:role/nobody"},
        {"PackageType": "Image"},
    ],
)
def test_what_lambda_refuses_is_refused(lab: Lab, refused: Refused, members: dict[str, Any]) -> None:
    refused("InvalidParameterValueException", lab.function, **members)


@pytest.mark.parametrize("members", [{"Timeout": 901}, {"MemorySize": 10_241}])
def test_settings_out_of_bounds_are_refused(lab: Lab, members: dict[str, Any]) -> None:
    # Lambda's service model doesn't declare this error: boto3 has no class for it on AWS either.
    with pytest.raises(ClientError, match=f"ValidationException.*'{next(iter(members.values()))}'"):
        lab.function(**members)


def test_a_taken_name_is_a_conflict(lab: Lab, refused: Refused) -> None:
    refused("ResourceConflictException", lab.function, FunctionName=lab.function())


def test_errors_of_motos_are_typed_too(lab: Lab, refused: Refused) -> None:
    refused("ResourceNotFoundException", lab.functions.get_function, FunctionName="nobody")
    refused("ResourceNotFoundException", lab.functions.get_alias, FunctionName=lab.function(), Name="nobody")
    refused("ResourceNotFoundException", lab.functions.get_event_source_mapping, UUID="0" * 36)


def test_publishing_without_a_change_makes_no_version(lab: Lab) -> None:
    publish, name = lab.functions.publish_version, lab.function(Publish=True)
    assert publish(FunctionName=name)["Version"] == "1"
    lab.functions.update_function_configuration(FunctionName=name, Description="changed")
    assert publish(FunctionName=name)["Version"] == "2"
    assert publish(FunctionName=name)["Version"] == "2"


def test_deleting_a_function_stops_its_executions_and_environments_first(lab: Lab) -> None:
    name = lab.function()
    seen: list[bool] = []
    lab.durable.on_delete = lambda: seen.append(name in lab.cloud.registry._moto.function_names())
    lab.functions.delete_function(FunctionName=name)
    lab.durable.on_delete = None
    assert seen == [True]
    assert name in lab.runner.stopped
    assert name not in lab.cloud.registry._moto.function_names()


def test_a_version_that_an_alias_points_to_stays(lab: Lab, refused: Refused) -> None:
    name = lab.function(Publish=True)
    lab.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    error = refused("ResourceConflictException", lab.functions.delete_function, FunctionName=name, Qualifier="1")
    assert "referenced by alias live" in str(error)
    lab.functions.delete_alias(FunctionName=name, Name="live")
    lab.functions.delete_function(FunctionName=name, Qualifier="1")
    assert name not in lab.durable.deleted, "only a whole function takes its executions with it"


def test_an_event_source_mapping_keeps_the_alias_and_runs_the_function(lab: Lab) -> None:
    name = lab.function("consumer", Publish=True)
    alias = lab.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")["AliasArn"]
    sqs = lab.client("sqs")
    queue = sqs.create_queue(QueueName=f"queue-{name}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapping = lab.functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=alias, BatchSize=1)
    assert mapping["FunctionArn"] == alias
    assert lab.functions.get_event_source_mapping(UUID=mapping["UUID"])["FunctionArn"] == alias
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    (invocation,) = lab.runner.wait_for(name, 1)
    assert b'"body": "hello"' in invocation.payload
    assert invocation.function.version == "1"


def test_a_message_for_a_function_that_is_gone_stays_in_its_queue(lab: Lab) -> None:
    name, sqs = lab.function("consumer"), lab.client("sqs")
    queue = sqs.create_queue(QueueName=f"queue-{name}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    lab.functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=name, BatchSize=1)
    lab.functions.delete_function(FunctionName=name)
    sqs.send_message(QueueUrl=queue, MessageBody="kept")
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    waiting = int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])
    assert waiting == 1


def test_reserved_concurrency_reaches_the_runner(lab: Lab) -> None:
    limits: list[tuple[str, int | None]] = []
    lab.runner.set_concurrency = lambda *limit: limits.append(limit)  # type: ignore[attr-defined]
    name = lab.function()
    lab.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    lab.functions.delete_function_concurrency(FunctionName=name)
    assert limits == [(name, 3), (name, None)]
