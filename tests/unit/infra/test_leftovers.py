from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from harness.leftovers import Clients, Leftover, delete_log_group, find, remove
from harness.targets import Target

WORKSPACE_TAG = {"durable-harness:workspace": "demo-zz98yy76"}
SUFFIX = "zz98yy76"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
        ],
    }
)
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})


@pytest.fixture
def clients(target: Target) -> Iterator[Clients]:
    made = Clients(target)
    yield made
    remove(made, find(made, "demo-zz98yy76", SUFFIX).leftovers)


def found(clients: Clients) -> dict[str, str]:
    return {item.kind: item.name for item in find(clients, "demo-zz98yy76", SUFFIX).leftovers}


def test_nothing_is_found_where_nothing_is(clients: Clients) -> None:
    clients["logs"].create_log_group(logGroupName="/somebody/elses")
    result = find(clients, "demo-zz98yy76", SUFFIX)
    clients["logs"].delete_log_group(logGroupName="/somebody/elses")
    assert (result.leftovers, result.unverified) == ((), ())


def test_every_kind_is_found_by_its_name_and_removed(clients: Clients) -> None:
    iam, s3 = clients["iam"], clients["s3"]
    clients["logs"].create_log_group(logGroupName=f"/aws/lambda/f-{SUFFIX}")
    clients["sqs"].create_queue(QueueName=f"q-{SUFFIX}")
    clients["dynamodb"].create_table(
        TableName=f"t-{SUFFIX}",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )
    s3.create_bucket(Bucket=f"b-{SUFFIX}")
    s3.put_bucket_versioning(Bucket=f"b-{SUFFIX}", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=f"b-{SUFFIX}", Key="k", Body=body)
    s3.delete_object(Bucket=f"b-{SUFFIX}", Key="k")
    iam.create_role(RoleName=f"r-{SUFFIX}", AssumeRolePolicyDocument=TRUST)
    arn = iam.create_policy(PolicyName=f"p-{SUFFIX}", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=POLICY, SetAsDefault=True)
    iam.attach_role_policy(RoleName=f"r-{SUFFIX}", PolicyArn=arn)
    iam.put_role_policy(RoleName=f"r-{SUFFIX}", PolicyName="inline", PolicyDocument=POLICY)

    before = find(clients, "demo-zz98yy76", SUFFIX).leftovers

    assert {item.kind for item in before} == {
        "log group", "sqs queue", "dynamodb table", "s3 bucket", "iam role", "iam policy",
    }  # fmt: skip
    assert len(remove(clients, before)) == 6
    assert find(clients, "demo-zz98yy76", SUFFIX).leftovers == ()


def test_what_only_its_tag_tells_is_found_too(clients: Clients) -> None:
    clients["sqs"].create_queue(QueueName="nameless", tags=WORKSPACE_TAG)
    try:
        assert found(clients)["tagged resource"].endswith(":nameless")
    finally:
        clients["sqs"].delete_queue(QueueUrl=clients["sqs"].get_queue_url(QueueName="nameless")["QueueUrl"])


def test_what_is_both_named_and_tagged_is_reported_once(clients: Clients) -> None:
    clients["sqs"].create_queue(QueueName=f"q-{SUFFIX}", tags=WORKSPACE_TAG)
    assert list(found(clients)) == ["sqs queue"]


def test_a_tagged_resource_isnt_deleted_without_knowing_what_it_is(clients: Clients) -> None:
    assert remove(clients, [Leftover("tagged resource", "arn:aws:sns:us-east-1:123456789012:t")]) == ()


def test_what_has_gone_in_the_meantime_is_no_error(clients: Clients) -> None:
    gone = [Leftover("iam role", f"gone-{SUFFIX}"), Leftover("log group", f"gone-{SUFFIX}")]
    assert remove(clients, gone) == tuple(gone)


def test_what_may_not_be_listed_is_reported_as_unverified(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListBuckets")

    monkeypatch.setattr(clients["s3"], "list_buckets", denied)
    assert find(clients, "demo-zz98yy76", SUFFIX).unverified == ("s3 bucket (AccessDenied)",)


def test_a_search_that_fails_otherwise_is_no_all_clear(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ClientError({"Error": {"Code": "ValidationException", "Message": "?"}}, "ListTables")

    monkeypatch.setattr(clients["dynamodb"], "list_tables", broken)
    with pytest.raises(ClientError, match="ValidationException"):
        find(clients, "demo-zz98yy76", SUFFIX)


def test_every_page_of_a_listing_is_read_also_when_one_was_throttled(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {None: {"Roles": [], "Marker": "m"}, "m": {"Roles": [{"RoleName": f"last-{SUFFIX}"}]}}
    throttles = iter([True, False])

    def list_roles(Marker: str | None = None) -> object:  # noqa: N803 - boto3's spelling
        if Marker and next(throttles):
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "ListRoles")
        return pages[Marker]

    monkeypatch.setattr(clients["iam"], "list_roles", list_roles)
    assert found(clients)["iam role"] == f"last-{SUFFIX}"


def test_deleting_a_log_group_that_isnt_there_is_no_error(clients: Clients) -> None:
    clients["logs"].create_log_group(logGroupName=f"g-{SUFFIX}")
    assert delete_log_group(clients["logs"], f"g-{SUFFIX}") is True
    assert delete_log_group(clients["logs"], f"g-{SUFFIX}") is False
