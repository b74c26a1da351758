"""New roles can't be assumed at once, and new policies don't grant at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.waiters import Outcome as Kind
from harness.waiters import classify_propagation, iam_propagating, is_not_found

from .conftest import World

Refused = Callable[..., Any]
NOT_ASSUMABLE = "The role defined for the function cannot be assumed by Lambda."


def test_a_new_role_cannot_be_assumed_until_it_is_known(world: World, refused: Refused) -> None:
    world.plan({"iam": {"role": 40}})
    role = world.role()

    error = refused("InvalidParameterValueException", lambda: world.function(role))
    assert error.response["Error"]["Message"] == NOT_ASSUMABLE
    assert classify_propagation(error) is Kind.NOT_YET

    world.clock.advance(3.9)
    refused(NOT_ASSUMABLE, lambda: world.function(role))
    world.clock.advance(0.2)
    assert world.function(role)


def test_a_function_is_not_created_by_a_refused_call(world: World, refused: Refused) -> None:
    world.plan({"iam": {"role": 40}})
    role = world.role()
    names = {item["FunctionName"] for item in world.client("lambda").list_functions()["Functions"]}
    refused(NOT_ASSUMABLE, lambda: world.function(role))
    assert {item["FunctionName"] for item in world.client("lambda").list_functions()["Functions"]} == names


def test_a_function_cannot_change_to_a_new_role_nor_run_with_one_that_was_made_anew(
    world: World, refused: Refused
) -> None:
    role = world.role()
    name = world.function(role)
    world.plan({"iam": {"role": 40}})
    functions, iam = world.client("lambda"), world.client("iam")
    other = world.role()
    refused(NOT_ASSUMABLE, functions.update_function_configuration, FunctionName=name, Role=other)
    functions.invoke(FunctionName=name)

    iam.delete_role(RoleName=role.rpartition("/")[2])
    iam.create_role(RoleName=role.rpartition("/")[2], AssumeRolePolicyDocument="{}")
    refused(NOT_ASSUMABLE, functions.invoke, FunctionName=name)
    world.clock.advance(4)
    assert functions.invoke(FunctionName=name)["StatusCode"] == 200


def test_old_roles_are_known(world: World) -> None:
    role = world.role()
    world.plan({"iam": {"role": 40}})
    assert world.function(role)


def test_a_functions_own_calls_are_denied_until_the_policy_is_known(world: World, refused: Refused) -> None:
    world.plan({"iam": {"policy": 40}})
    role = world.role(actions=["dynamodb:ListTables"])
    dynamodb = world.functions_own("dynamodb", role)

    error = refused("AccessDeniedException", dynamodb.list_tables)
    assert "is not authorized to perform: dynamodb:ListTables" in str(error)
    assert ":assumed-role/faulty-role-" in str(error)

    world.clock.advance(4)
    assert "TableNames" in dynamodb.list_tables()


def test_a_checkpoint_is_denied_as_lambda_denies_it(world: World, refused: Refused) -> None:
    world.plan({"iam": {"policy": 40}})
    role = world.role(actions=["lambda:CheckpointDurableExecution"])
    error = refused(
        "AccessDeniedException",
        world.functions_own("lambda", role).checkpoint_durable_execution,
        DurableExecutionArn="arn:aws:lambda:us-east-1:123456789012:function:f:1/durable-execution/n/i",
        CheckpointToken="token",
        Updates=[],
    )
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert not iam_propagating(str(error)), "on AWS nothing tells this from a policy that is missing"


def test_the_tests_own_calls_need_no_policy(world: World) -> None:
    world.plan({"iam": {"policy": 40}})
    world.role(actions=["dynamodb:ListTables"])
    assert "TableNames" in world.client("dynamodb").list_tables()


def test_another_roles_calls_and_other_actions_are_not_affected(world: World) -> None:
    old = world.role(actions=["dynamodb:ListTables"])
    world.plan({"iam": {"policy": 40}})
    new = world.role(actions=["dynamodb:PutItem"])
    assert "TableNames" in world.functions_own("dynamodb", old).list_tables()
    # The local cloud enforces IAM for what is on its way only.
    assert "TableNames" in world.functions_own("dynamodb", new).list_tables()


def test_an_older_policy_goes_on_granting(world: World) -> None:
    role = world.role(actions=["dynamodb:*"])
    world.plan({"iam": {"policy": 40}})
    world.grant(role, ["dynamodb:ListTables"], policy="newer")
    assert "TableNames" in world.functions_own("dynamodb", role).list_tables()


def test_a_managed_policy_takes_its_time_too(world: World, refused: Refused) -> None:
    world.plan({"iam": {"policy": 40}})
    role = world.role()
    world.client("iam").attach_role_policy(
        RoleName=role.rpartition("/")[2], PolicyArn="arn:aws:iam::aws:policy/AmazonDynamoDBFullAccess"
    )
    refused("AccessDenied", world.functions_own("dynamodb", role).list_tables)
    world.clock.advance(4)
    assert "TableNames" in world.functions_own("dynamodb", role).list_tables()


def test_what_a_function_logs_without_permission_yet_is_lost(world: World) -> None:
    world.plan({"iam": {"policy": 40}})
    name = world.logging_function()
    world.log(name, "too early")
    world.clock.advance(4)
    world.log(name, "in time")
    assert world.messages(name) == ["in time"]


@pytest.mark.parametrize("service", ["s3", "sqs"])
def test_other_services_deny_in_their_own_words(world: World, refused: Refused, service: str) -> None:
    world.plan({"iam": {"policy": 40}})
    role = world.role(actions=["s3:*", "sqs:*"])
    client = world.functions_own(service, role)
    error = refused("AccessDenied", client.list_buckets if service == "s3" else client.list_queues)
    assert not is_not_found(error)
