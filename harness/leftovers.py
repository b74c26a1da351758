"""Finds and removes what Terraform's state doesn't know.

A resource that was being created when a process was killed is in no state, and exit code 0 of a destroy proves
nothing. Every name in a workspace carries its suffix, and what can be tagged carries its name: both are looked for.
The tagging API doesn't cover IAM, and goes on listing what was deleted for a while, so a listing by name decides
wherever there is one.
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

from harness.targets import Target
from harness.waiters import THROTTLE, Failure, Outcome, Policy, call, classify, is_not_found

_log = logging.getLogger(__name__)

WORKSPACE_TAG = "durable-harness:workspace"
EXPIRES_TAG = "durable-harness:expires-at"
# How each service spells "the next page": in the request, in the response.
_TOKENS = {
    "dynamodb": ("ExclusiveStartTableName", "LastEvaluatedTableName"),
    "iam": ("Marker", "Marker"),
    "lambda": ("Marker", "NextMarker"),
    "logs": ("nextToken", "nextToken"),
    "resourcegroupstaggingapi": ("PaginationToken", "PaginationToken"),
    "s3": ("ContinuationToken", "ContinuationToken"),
    "sqs": ("NextToken", "NextToken"),
}
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")


@dataclass(frozen=True)
class Leftover:
    """Something that is still there.

    Attributes:
        kind: Such as ``lambda function``, or ``tagged resource`` for what only the tags tell.
        name: Its name, URL or ARN.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Findings:
    """What a search found.

    Attributes:
        leftovers: What is still there.
        unverified: What couldn't be searched, because the credentials may not.
    """

    leftovers: tuple[Leftover, ...]
    unverified: tuple[str, ...]


@dataclass(frozen=True)
class _Kind:
    kind: str
    service: str
    operation: str
    result: str
    key: str | None
    arguments: tuple[tuple[str, Any], ...] = ()

    def name(self, item: Any) -> str:
        return str(item if self.key is None else item[self.key])


# Functions first and roles last: what uses something goes before it.
_KINDS = (
    _Kind("lambda function", "lambda", "list_functions", "Functions", "FunctionName"),
    _Kind("log group", "logs", "describe_log_groups", "logGroups", "logGroupName"),
    _Kind("dynamodb table", "dynamodb", "list_tables", "TableNames", None),
    # Without MaxResults SQS gives the first 1,000 and no token for the rest.
    _Kind("sqs queue", "sqs", "list_queues", "QueueUrls", None, (("MaxResults", 1000),)),
    _Kind("s3 bucket", "s3", "list_buckets", "Buckets", "Name"),
    _Kind("iam role", "iam", "list_roles", "Roles", "RoleName"),
    _Kind("iam policy", "iam", "list_policies", "Policies", "Arn", (("Scope", "Local"),)),
)

LISTED_TYPES = frozenset(
    {
        "aws_cloudwatch_log_group",
        "aws_dynamodb_table",
        "aws_iam_policy",
        "aws_iam_role",
        "aws_iam_role_policy",
        "aws_iam_role_policy_attachment",
        "aws_lambda_alias",
        "aws_lambda_function",
        "aws_lambda_function_event_invoke_config",
        "aws_lambda_permission",
        "aws_s3_bucket",
        "aws_s3_object",
        "aws_sqs_queue",
        "aws_sqs_queue_policy",
    }
)
"""Terraform's types that a search by name covers: listed themselves, or gone with what they belong to."""


class Clients:
    """boto3 clients of one target, each made once; shared by threads."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.throttle: Policy = target.policy(THROTTLE)
        self._made: dict[str, Any] = {}
        self._session: boto3.Session | None = None
        # Making clients isn't safe in threads, and one session parses AWS's common data once.
        self._lock = threading.Lock()

    def __getitem__(self, service: str) -> Any:
        """The client of a service."""
        with self._lock:
            if service not in self._made:
                self._session = self._session or self.target.session()
                self._made[service] = self.target.client(service, session=self._session)
            return self._made[service]

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """One call, retried on throttling."""
        method: Callable[..., Any] = getattr(self[service], operation)
        return call(lambda: method(**arguments), policy=self.throttle, what=f"{service} {operation}")

    def pages(self, service: str, operation: str, **arguments: Any) -> Iterator[Any]:
        """Every page of a listing, each fetched under the throttling policy.

        Not boto3's paginator: after an error in the middle it ends as if that had been the last page.
        """
        request_key, response_key = _TOKENS[service]
        while True:
            page = self.call(service, operation, **arguments)
            yield page
            token = page.get(response_key)
            if not token:
                return
            arguments[request_key] = token


def find(clients: Clients, workspace: str, suffix: str) -> Findings:
    """What still carries a workspace's mark, by name and by tag.

    Args:
        clients: The target's clients.
        workspace: The workspace's name, which is the value of its tag.
        suffix: Its suffix.
    """
    with ThreadPoolExecutor(max_workers=len(_KINDS) + 1, thread_name_prefix="leftovers") as pool:
        tagged = pool.submit(_allowed, "tags", lambda: _by_tag(clients, workspace))
        named = list(pool.map(lambda kind: _allowed(kind.kind, lambda: _by_name(clients, kind, suffix)), _KINDS))
    searches = [*named, tagged.result()]
    unverified = tuple(text for _, denied in searches for text in denied)
    found = [leftover for leftovers, _ in named for leftover in leftovers]
    # A tagged ARN with the suffix is of a kind that the listings know, or it isn't there any more; another one, such as
    # an event source mapping's, has no name of its own to look for.
    for leftover in tagged.result()[0]:
        listed = leftover.name.split(":")[2] in {kind.service for kind in _KINDS} and suffix in leftover.name
        if not listed:
            found.append(leftover)
    return Findings(tuple(found), unverified)


def listed(clients: Clients) -> Iterator[tuple[Leftover, Callable[[], datetime | None]]]:
    """Everything that the listings know, whoever made it, and what tells when it was created.

    What may not be listed is left out.
    """

    def one(kind: _Kind) -> list[tuple[Leftover, Callable[[], datetime | None]]]:
        try:
            return [
                (Leftover(kind.kind, kind.name(item)), functools.partial(_created, clients, kind, item))
                for item in _items(clients, kind)
            ]
        except ClientError as error:
            if Failure.of(error).code in _DENIED:
                _log.warning("%s can't be listed: %s", kind.kind, Failure.of(error).code)
                return []
            raise

    with ThreadPoolExecutor(max_workers=len(_KINDS), thread_name_prefix="listed") as pool:
        for found in pool.map(one, _KINDS):
            yield from found


def remove(clients: Clients, leftovers: Iterable[Leftover]) -> tuple[Leftover, ...]:
    """Delete what can be deleted without Terraform; what fails is logged and found by the next search.

    Returns:
        What was deleted.
    """
    removed: list[Leftover] = []
    for leftover in leftovers:
        delete = _DELETE.get(leftover.kind)
        if delete is None:
            continue
        try:
            delete(clients, leftover.name)
        except ClientError as error:
            if not is_not_found(error):
                _log.warning("Can't delete %s: %s", leftover, Failure.of(error).code)
                continue
        removed.append(leftover)
    return tuple(removed)


def stop_executions(clients: Clients, function: str) -> int:
    """Stop every running durable execution of a function, so that deleting it needn't wait for them.

    Only speeds the destroy up: an endpoint without durable executions, or a plain function, is no error.
    https://docs.aws.amazon.com/lambda/latest/api/API_StopDurableExecution.html

    Returns:
        How many were stopped.
    """
    stopped = 0
    try:
        for qualifier in _qualifiers(clients, function):
            pages = clients.pages(
                "lambda",
                "list_durable_executions_by_function",
                FunctionName=function,
                Qualifier=qualifier,
                Statuses=["RUNNING"],
            )
            for page in pages:
                for execution in page.get("DurableExecutions", []):
                    with contextlib.suppress(ClientError):
                        clients.call(
                            "lambda",
                            "stop_durable_execution",
                            DurableExecutionArn=execution["DurableExecutionArn"],
                            Error={"ErrorType": "HarnessTeardown", "ErrorMessage": "The workspace is being destroyed"},
                        )
                        stopped += 1
    except ClientError as error:
        if not is_not_found(error):
            _log.info("Executions of %s aren't stopped: %s", function, Failure.of(error).code)
    return stopped


def exists(clients: Clients, function: str) -> bool:
    """Whether a function is there."""
    try:
        clients.call("lambda", "get_function_configuration", FunctionName=function)
    except ClientError as error:
        if is_not_found(error):
            return False
        raise
    return True


def delete_log_group(logs_client: Any, name: str, policy: Policy = THROTTLE) -> bool:
    """Delete a log group; one that isn't there is no error.

    Returns:
        Whether it was there.
    """
    try:
        call(lambda: logs_client.delete_log_group(logGroupName=name), policy=policy, what="logs delete_log_group")
    except ClientError as error:
        if is_not_found(error):
            return False
        raise
    return True


def _qualifiers(clients: Clients, function: str) -> list[str]:
    """Every version: without a qualifier the listing speaks for one version only."""
    pages = clients.pages("lambda", "list_versions_by_function", FunctionName=function)
    return [version["Version"] for page in pages for version in page["Versions"]]


def _allowed(what: str, search: Callable[[], list[Leftover]]) -> tuple[list[Leftover], list[str]]:
    try:
        return search(), []
    except ClientError as error:
        code = Failure.of(error).code
        if classify(error) is Outcome.FATAL and code in _DENIED:
            return [], [f"{what} ({code})"]
        raise


def _items(clients: Clients, kind: _Kind) -> Iterator[Any]:
    for page in clients.pages(kind.service, kind.operation, **dict(kind.arguments)):
        yield from page.get(kind.result, [])


def _by_name(clients: Clients, kind: _Kind, suffix: str) -> list[Leftover]:
    return [Leftover(kind.kind, kind.name(item)) for item in _items(clients, kind) if suffix in kind.name(item)]


def _created(clients: Clients, kind: _Kind, item: Any) -> datetime | None:
    """When something was created, UTC; None when its service doesn't say, or it is gone."""
    try:
        match kind.service:
            case "lambda":
                # Its last change; a function doesn't tell when it was created.
                return datetime.strptime(item["LastModified"], "%Y-%m-%dT%H:%M:%S.%f%z")
            case "logs":
                return datetime.fromtimestamp(item["creationTime"] / 1000, UTC)
            case "dynamodb":
                created: datetime = clients.call("dynamodb", "describe_table", TableName=item)["Table"][
                    "CreationDateTime"
                ]
                return created
            case "sqs":
                answer = clients.call("sqs", "get_queue_attributes", QueueUrl=item, AttributeNames=["CreatedTimestamp"])
                return datetime.fromtimestamp(float(answer["Attributes"]["CreatedTimestamp"]), UTC)
            case _:
                dated: datetime = item["CreationDate" if kind.service == "s3" else "CreateDate"]
                return dated
    except (ClientError, KeyError, ValueError):
        return None


def _by_tag(clients: Clients, workspace: str) -> list[Leftover]:
    filters = [{"Key": WORKSPACE_TAG, "Values": [workspace]}]
    return [
        Leftover("tagged resource", item["ResourceARN"])
        for page in clients.pages("resourcegroupstaggingapi", "get_resources", TagFilters=filters)
        for item in page["ResourceTagMappingList"]
    ]


def _delete_function(clients: Clients, name: str) -> None:
    stop_executions(clients, name)
    for page in clients.pages("lambda", "list_event_source_mappings", FunctionName=name):
        for mapping in page["EventSourceMappings"]:
            clients.call("lambda", "delete_event_source_mapping", UUID=mapping["UUID"])
    clients.call("lambda", "delete_function", FunctionName=name)


def _delete_role(clients: Clients, name: str) -> None:
    for page in clients.pages("iam", "list_attached_role_policies", RoleName=name):
        for policy in page["AttachedPolicies"]:
            clients.call("iam", "detach_role_policy", RoleName=name, PolicyArn=policy["PolicyArn"])
    for page in clients.pages("iam", "list_role_policies", RoleName=name):
        for policy_name in page["PolicyNames"]:
            clients.call("iam", "delete_role_policy", RoleName=name, PolicyName=policy_name)
    clients.call("iam", "delete_role", RoleName=name)


def _delete_policy(clients: Clients, arn: str) -> None:
    for page in clients.pages("iam", "list_entities_for_policy", PolicyArn=arn, EntityFilter="Role"):
        for role in page["PolicyRoles"]:
            clients.call("iam", "detach_role_policy", RoleName=role["RoleName"], PolicyArn=arn)
    for page in clients.pages("iam", "list_policy_versions", PolicyArn=arn):
        for version in page["Versions"]:
            if not version["IsDefaultVersion"]:
                clients.call("iam", "delete_policy_version", PolicyArn=arn, VersionId=version["VersionId"])
    clients.call("iam", "delete_policy", PolicyArn=arn)


def _delete_bucket(clients: Clients, name: str) -> None:
    while True:
        page = clients.call("s3", "list_object_versions", Bucket=name)
        objects = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        ]
        if not objects:
            break
        answer = clients.call("s3", "delete_objects", Bucket=name, Delete={"Objects": objects, "Quiet": True})
        if answer.get("Errors"):
            break  # the bucket's own error, below, says that it isn't empty
    clients.call("s3", "delete_bucket", Bucket=name)


_DELETE: dict[str, Callable[[Clients, str], object]] = {
    "lambda function": _delete_function,
    "log group": lambda clients, name: clients.call("logs", "delete_log_group", logGroupName=name),
    "dynamodb table": lambda clients, name: clients.call("dynamodb", "delete_table", TableName=name),
    "sqs queue": lambda clients, url: clients.call("sqs", "delete_queue", QueueUrl=url),
    "s3 bucket": _delete_bucket,
    "iam role": _delete_role,
    "iam policy": _delete_policy,
}
