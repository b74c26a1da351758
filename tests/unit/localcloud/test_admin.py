"""The admin endpoint tells what exists, to those who have the token."""

from __future__ import annotations

import pytest

from harness.errors import LocalCloudError
from harness.localcloud.handle import LocalCloud

from .conftest import Lab


@pytest.fixture
def attached(lab: Lab) -> LocalCloud:
    return LocalCloud.attach(lab.cloud.endpoint_url, lab.cloud.settings.token)


def test_health_says_who_it_is(lab: Lab, attached: LocalCloud) -> None:
    assert attached.alive
    assert (attached.endpoint_url, attached.region, attached.account_id) == (
        lab.cloud.endpoint_url,
        "us-east-1",
        "123456789012",
    )


@pytest.mark.parametrize("token", ["", "wrong", "wröng"])
def test_without_the_token_nothing_is_told(lab: Lab, token: str) -> None:
    with pytest.raises(LocalCloudError, match="403"):
        LocalCloud.attach(lab.cloud.endpoint_url, token.encode().decode("latin-1"))


def test_an_unknown_path_lists_the_known_ones(attached: LocalCloud) -> None:
    with pytest.raises(LocalCloudError, match="GET inventory"):
        attached.admin("GET", "nothing")


def test_the_inventory_names_every_kind_and_forgets_what_is_deleted(lab: Lab, attached: LocalCloud) -> None:
    iam, logs, s3, sqs = (lab.client(service) for service in ("iam", "logs", "s3", "sqs"))
    dynamodb = lab.client("dynamodb", "eu-west-1")
    function = lab.function(DurableConfig={"ExecutionTimeout": 60}, Role=lab.role())
    role = lab.functions.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    policy = iam.create_policy(
        PolicyName="inventoried",
        PolicyDocument='{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
    )["Policy"]["Arn"]
    logs.create_log_group(logGroupName="/inventoried")
    s3.create_bucket(Bucket="inventoried")
    queue = sqs.create_queue(QueueName="inventoried")["QueueUrl"]
    dynamodb.create_table(
        TableName="inventoried",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapping = lab.functions.create_event_source_mapping(EventSourceArn=queue_arn, FunctionName=function)["UUID"]
    lab.durable.running[function] = ["arn:of-a-running-execution"]
    mine = {
        "functions": function,
        "roles": role,
        "policies": policy,
        "log_groups": "/inventoried",
        "buckets": "inventoried",
        "queues": "inventoried",
        "tables": "inventoried",
        "event_source_mappings": mapping,
        "running_executions": "arn:of-a-running-execution",
    }
    inventory = attached.inventory()
    assert {kind: name for kind, name in mine.items() if name in inventory[kind]} == mine
    assert not [arn for arn in inventory["policies"] if ":iam::aws:" in arn], "AWS's own policies are nobody's leak"

    lab.functions.delete_event_source_mapping(UUID=mapping)
    lab.functions.delete_function(FunctionName=function)
    iam.delete_role(RoleName=role)
    iam.delete_policy(PolicyArn=policy)
    logs.delete_log_group(logGroupName="/inventoried")
    s3.delete_bucket(Bucket="inventoried")
    sqs.delete_queue(QueueUrl=queue)
    dynamodb.delete_table(TableName="inventoried")
    inventory = attached.inventory()
    assert {kind: name for kind, name in mine.items() if name in inventory[kind]} == {}


def test_operations_are_counted_by_awss_names(lab: Lab, attached: LocalCloud) -> None:
    def counted() -> dict[str, int]:
        return attached.operations().get("lambda.GetAccountSettings", {"calls": 0, "errors": 0})

    before = counted()
    with pytest.raises(Exception, match="GetAccountSettings"):
        lab.functions.get_account_settings()
    assert counted() == {"calls": before["calls"] + 1, "errors": before["errors"] + 1}


def test_the_time_scale_can_be_read_and_changed(lab: Lab, attached: LocalCloud) -> None:
    scale = attached.time_scale
    attached.time_scale = 20_000
    assert attached.time_scale == 20_000
    attached.time_scale = scale
    for wrong in (0, float("nan"), 1e9):
        with pytest.raises(LocalCloudError, match="1 to 100000"):
            attached.time_scale = wrong
    assert attached.time_scale == scale


def test_stopping_an_attached_cloud_leaves_it_to_its_owner(attached: LocalCloud) -> None:
    attached.stop()
    assert attached.alive
