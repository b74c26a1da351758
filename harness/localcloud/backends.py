"""moto: the only module that knows its insides.

moto's state belongs to the process, one set of backends per account and region, so a cloud is a process. Lambda's
backend without Docker has to be chosen before anything else of moto is imported: toggled later, moto swaps the
backends and every function vanishes. Everything here is read from the release that pyproject.toml names.
"""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from moto.core.config import default_user_config

default_user_config["lambda"] = {"use_docker": False}
# Without it no role can be given AWSLambdaBasicExecutionRole.
default_user_config["iam"] = {"load_aws_managed_policies": True}

from moto.awslambda_simple.models import lambda_simple_backends  # noqa: E402 - see above
from moto.dynamodb.models import dynamodb_backends  # noqa: E402
from moto.iam.access_control import IAMPolicy, PermissionResult  # noqa: E402
from moto.iam.models import iam_backends  # noqa: E402
from moto.logs.models import logs_backends  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from moto.s3.models import s3_backends  # noqa: E402
from moto.sqs.models import sqs_backends  # noqa: E402

from .api import ApiError, Request, Response  # noqa: E402

_log = logging.getLogger(__name__)
_PARTITION = "aws"


class Moto:
    """moto's backends and its HTTP application, for one account.

    Args:
        account_id: The account that the backends belong to.
        region: The region that functions live in.
    """

    def __init__(self, account_id: str, region: str) -> None:
        self.account_id = account_id
        self.region = region
        self._application = DomainDispatcherApplication(create_backend_app)
        self._log_lock = threading.Lock()
        self._permissions: dict[tuple[object, ...], bool] = {}

    # The HTTP application

    def call(self, environ: Mapping[str, Any], request: Request) -> Response:
        """Let moto answer a request.

        Args:
            environ: The WSGI environment that the request came in; not changed.
            request: Method, headers and body come from here.

        Raises:
            ApiError: NotImplemented (501): moto has no such operation; InternalFailure (500): moto itself failed, its
                traceback is in the log.
        """
        inner = dict(environ)
        inner.pop("HTTP_TRANSFER_ENCODING", None)
        inner["CONTENT_LENGTH"] = str(len(request.body))
        inner["wsgi.input"] = io.BytesIO(request.body)
        head: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            head.append((status, headers))

        try:
            answer: Iterable[bytes] = self._application(inner, start_response)
            body = b"".join(answer)
        except NotImplementedError as error:
            raise _not_emulated(request) from error
        except Exception as error:
            _log.exception("moto failed on %s %s", request.method, request.raw_path)
            message = f"The local cloud's emulation of this call failed: {type(error).__name__}: {error}"
            raise ApiError("InternalFailure", message, 500) from error
        status, pairs = head[-1]
        headers = dict(pairs)
        # Flask's own page: no route of moto's is for this request.
        if status.startswith(("404", "405")) and body.startswith(b"<!doctype html>"):
            raise _not_emulated(request)
        return Response(int(status.split(" ", 1)[0]), body, headers)

    # Lambda

    def functions(self, region: str | None = None) -> Any:
        """The Lambda backend of a region, which is moto's."""
        return lambda_simple_backends[self.account_id][region or self.region]

    def function_versions(self, name: str, region: str | None = None) -> dict[str, Any]:
        """Every version of a function by its number, ``$LATEST`` included; empty when there is no such function."""
        group = self.functions(region)._lambdas._functions.get(name)  # noqa: SLF001 - the lookups copy everything
        if group is None or group["latest"] is None:
            return {}
        return {"$LATEST": group["latest"], **{str(function.version): function for function in group["versions"]}}

    def function_names(self, region: str | None = None) -> list[str]:
        """The names of all functions of a region."""
        return sorted(self.functions(region)._lambdas._functions)  # noqa: SLF001 - as above

    def aliases(self, name: str, region: str | None = None) -> dict[str, Any]:
        """A function's aliases by name."""
        return {alias.name: alias for alias in self.functions(region).list_aliases(name)}

    def layer_content(self, arn: str, region: str | None = None) -> bytes | None:
        """The zip of a layer version, or None when it is gone."""
        layer = self.functions(region).layers_versions_by_arn(arn)
        return None if layer is None else bytes(layer.code_bytes)

    def event_retries(self, name: str, region: str, default: int) -> int:
        """How often a function's EventInvokeConfig lets an asynchronous invoke be repeated."""
        record = self.function_versions(name, region).get("$LATEST")
        configs = record.event_invoke_config if record is not None else []
        # moto appends what replaces the last one.
        return int(configs[-1].config.get("MaximumRetryAttempts", default)) if configs else default

    def deliver_events_to(self, deliver: Callable[[str, bytes], bool]) -> None:
        """Run functions for moto's event sources; by itself it takes messages off a queue and runs nothing.

        Args:
            deliver: Given a function ARN and an event, runs it and says whether it succeeded.
        """

        def invoke(
            function_name: str, qualifier: str | None, body: Any, headers: Any, response_headers: dict[str, str]
        ) -> bytes:
            del headers
            arn = f"{function_name}:{qualifier}" if qualifier else function_name
            if not deliver(arn, str(body).encode()):
                response_headers["x-amz-function-error"] = "Unhandled"
            return b"null"

        self.functions().invoke = invoke

    # S3

    def object_content(self, bucket: str, key: str, version: str | None) -> bytes:
        """An object's bytes.

        Raises:
            ApiError: InvalidParameterValueException (400), as Lambda reports it, when there is no such object.
        """
        s3 = s3_backends[self.account_id][_PARTITION]
        if bucket not in s3.buckets:
            code, message = "NoSuchBucket", "The specified bucket does not exist"
        else:
            found = s3.get_object(bucket, key, version_id=version)
            if found is not None:
                return bytes(found.value)
            code, message = "NoSuchKey", "The specified key does not exist."
        raise ApiError(
            "InvalidParameterValueException",
            f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}",
            members={"Type": "User"},
        )

    # IAM

    def role_allows(self, role_arn: str, action: str, resources: Sequence[str]) -> bool:
        """Whether a role's inline and attached policies allow an action on any of some resources.

        False for a role that doesn't exist. Permission boundaries and conditions are not looked at.
        """
        documents = list(self.role_policies(role_arn).values())
        # The documents are the key: any change of the role's policies is a new question.
        key = (action, *resources, *documents)
        if key not in self._permissions:
            self._permissions[key] = any(_permitted(documents, action, resource) for resource in resources)
        return self._permissions[key]

    def role_policies(self, role_arn: str) -> dict[tuple[str, str], str]:
        """A role's policy documents by ``("inline", name)`` or ``("managed", ARN)``; empty for no such role."""
        role = next((role for role in self._roles() if role.arn == role_arn), None)
        if role is None:
            return {}
        inline = {("inline", str(name)): str(text) for name, text in list(role.policies.items())}
        managed = {
            ("managed", str(policy.arn)): str(version.document)
            for policy in list(role.managed_policies.values())
            for version in policy.versions
            if version.is_default
        }
        return inline | managed

    def role_arn(self, name: str) -> str | None:
        """The ARN of the role of a name, None when there is none."""
        return next((str(role.arn) for role in self._roles() if role.name == name), None)

    def _roles(self) -> list[Any]:
        return list(iam_backends[self.account_id][_PARTITION].roles.values())

    # CloudWatch Logs

    def has_log_group(self, name: str) -> bool:
        """Whether a log group exists in the cloud's region."""
        return name in logs_backends[self.account_id][self.region].groups

    def create_log_group(self, name: str) -> None:
        """Make a log group unless it exists."""
        with self._log_lock:
            logs_backends[self.account_id][self.region].ensure_log_group(name)

    def append_log(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> bool:
        """Append events to a stream, made on the way; False when the group isn't there.

        Args:
            group: The log group's name.
            stream: The stream's name.
            events: ``(epoch milliseconds, message)``, oldest first.
        """
        logs = logs_backends[self.account_id][self.region]
        # moto's streams aren't safe for threads, and many environments write to one group at once.
        with self._log_lock:
            found = logs.groups.get(group)
            if found is None:
                return False
            if stream not in found.streams:
                found.create_log_stream(stream)
            found.put_log_events(stream, [{"timestamp": at, "message": message} for at, message in events])
        return True

    def log_events(self, group: str, start_ms: int, end_ms: int) -> Iterator[tuple[str, Any]]:
        """Every ``(stream name, event)`` of a group with a timestamp from ``start_ms`` to ``end_ms``, inclusive."""
        with self._log_lock:
            streams = [
                (name, list(stream.events))
                for name, stream in logs_backends[self.account_id][self.region].groups[group].streams.items()
            ]
        for name, events in streams:
            for event in events:
                if start_ms <= event.timestamp <= end_ms:
                    yield name, event

    # What exists

    def inventory(self) -> dict[str, list[str]]:
        """The names of everything that exists, in every region, by kind."""

        def regional(backends: Any, names: Callable[[Any], Iterable[str]]) -> list[str]:
            # Only regions that were used have a backend; asking for others would make one.
            return sorted(name for backend in list(backends[self.account_id].values()) for name in names(backend))

        iam = iam_backends[self.account_id][_PARTITION]
        aws_owned = {policy.arn for policy in iam.aws_managed_policies}
        return {
            "functions": regional(lambda_simple_backends, lambda b: list(b._lambdas._functions)),  # noqa: SLF001
            "layers": regional(lambda_simple_backends, lambda b: [layer["LayerArn"] for layer in b.list_layers()]),
            "event_source_mappings": regional(lambda_simple_backends, lambda b: list(b._event_source_mappings)),  # noqa: SLF001
            "roles": sorted(role.name for role in list(iam.roles.values())),
            "policies": sorted(arn for arn in list(iam.managed_policies) if arn not in aws_owned),
            "log_groups": regional(logs_backends, lambda b: list(b.groups)),
            "tables": regional(dynamodb_backends, lambda b: list(b.tables)),
            "queues": regional(sqs_backends, lambda b: list(b.queues)),
            "buckets": sorted(s3_backends[self.account_id][_PARTITION].buckets),
        }


def _not_emulated(request: Request) -> ApiError:
    message = f"The local cloud does not emulate this call: {request.method} {request.raw_path}"
    return ApiError("NotImplemented", message, 501)


def _permitted(documents: Sequence[str], action: str, resource: str) -> bool:
    permitted = False
    for document in documents:
        try:
            result = IAMPolicy(document).is_action_permitted(action, resource)
        except (json.JSONDecodeError, KeyError):
            continue
        if result is PermissionResult.DENIED:
            return False
        permitted = permitted or result is PermissionResult.PERMITTED
    return permitted
