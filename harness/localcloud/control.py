"""Lambda's control plane: moto's, with what it drops, ignores or gets wrong put right.

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from .api import ApiError, DurableService, FunctionRunner, Request, Response
from .backends import Moto
from .codestore import CodeStore
from .functions import (
    FunctionRegistry,
    bad_parameter,
    check_logging_config,
    durable_config,
    durable_config_of_tags,
    extend_configuration,
    extra_configuration,
    logging_config,
    parse_durable_config,
)
from .operations import Operation
from .references import FunctionReference

#: Answers a request as moto would.
Forward = Callable[[Request], Response]

# Request members that moto forgets and that Lambda gives back as they came.
_ECHOED = ("DeadLetterConfig", "FileSystemConfigs")
_MAX_REQUEST = 69_905_067


class LambdaControl:
    """Answers every Lambda call but Invoke and those of durable executions.

    Args:
        moto: Where functions are kept.
        registry: Finds them.
        store: Unpacks, and so checks, their code.
        runner: Told when a function goes.
        durable: Told when a function goes.
    """

    def __init__(
        self, moto: Moto, registry: FunctionRegistry, store: CodeStore, runner: FunctionRunner, durable: DurableService
    ) -> None:
        self._moto = moto
        self._registry = registry
        self._store = store
        self._runner = runner
        self._durable = durable
        self._special: dict[str, Callable[[Request, Operation, Forward], Response]] = {
            "CreateFunction": self._create,
            "UpdateFunctionCode": self._update_code,
            "UpdateFunctionConfiguration": self._update_configuration,
            "DeleteFunction": self._delete,
            "TagResource": self._tag,
            "GetFunction": self._get_function,
            "GetFunctionConfiguration": self._get_function,
            "PublishVersion": self._publish,
            "CreateEventSourceMapping": self._mapping,
            "UpdateEventSourceMapping": self._mapping,
            "PutFunctionConcurrency": self._concurrency,
            "DeleteFunctionConcurrency": self._concurrency,
        }

    def handle(self, request: Request, operation: Operation, forward: Forward) -> Response:
        """Answer one call.

        Raises:
            ApiError: The call is refused.
        """
        special = self._special.get(operation.name)
        response = special(request, operation, forward) if special else forward(request)
        if response.status >= 400:
            return _typed(response)
        body = _json(response.body)
        if isinstance(body, dict):
            for config in _configurations(body):
                self._complete(config, operation)
            response = replace(response, body=json.dumps(body).encode())
        return response

    # What is answered differently from moto

    def _create(self, request: Request, operation: Operation, forward: Forward) -> Response:
        body = _members(request)
        if len(request.body) > _MAX_REQUEST:
            message = f"Request must be smaller than {_MAX_REQUEST} bytes for the CreateFunction operation"
            raise ApiError("RequestEntityTooLargeException", message, 413)
        reference = self._registry.parse(str(body.get("FunctionName", "")), region=operation.region)
        if body.get("PackageType", "Zip") != "Zip":
            raise bad_parameter("The local cloud runs functions from zips only: PackageType must be Zip.")
        for member in ("Handler", "Runtime", "Role"):
            if not body.get(member):
                raise bad_parameter(f"{member} is mandatory for functions created with deployment packages.")
        extra = self._checked_extra(body)
        if "DurableConfig" in body:
            parse_durable_config(body["DurableConfig"] or {})
            extra["DurableConfig"] = body["DurableConfig"]
        durable_config_of_tags(body.get("Tags") or {})
        code = self._code(body.get("Code") or {})
        self._store.unpack(code)
        # moto reads S3 objects without their version; the bytes are at hand anyway.
        plain = {**body, "FunctionName": reference.name, "Publish": False}
        plain["Code"] = {"ZipFile": base64.b64encode(code).decode()}
        response = forward(replace(request, body=json.dumps(plain).encode()))
        if response.status >= 400:
            return response
        record = self._registry.record(replace(reference, qualifier="$LATEST"))
        extend_configuration(record, extra)
        self._registry.unpack_layers(record)
        if body.get("Publish"):
            # Only now has the record everything that the version must keep.
            record = self._published(reference)
        config = record.get_configuration(on_create=True)
        config["FunctionArn"] = reference.arn
        # Lambda answers before the function can be invoked; https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
        config |= {"State": "Pending", "StateReason": "The function is being created.", "StateReasonCode": "Creating"}
        return Response.of_json(config, 201)

    def _update_code(self, request: Request, operation: Operation, forward: Forward) -> Response:
        body = _members(request)
        reference = self._path_reference(request, operation)
        record = self._registry.record(reference)
        code = self._code(body)
        self._store.unpack(code)
        if body.get("DryRun"):
            return Response.of_json(record.get_configuration())
        if architectures := body.get("Architectures"):
            record.architectures = architectures
        plain = {"ZipFile": base64.b64encode(code).decode()}
        response = forward(replace(request, body=json.dumps(plain).encode()))
        if response.status >= 400 or not body.get("Publish"):
            return _in_progress(response)
        return Response.of_json(self._published(reference).get_configuration())

    def _update_configuration(self, request: Request, operation: Operation, forward: Forward) -> Response:
        body = _members(request)
        record = self._registry.record(self._path_reference(request, operation))
        extra = self._checked_extra(body)
        if "DurableConfig" in body:
            current = durable_config(record)
            if current is None:
                raise bad_parameter(
                    "DurableConfig can't be added to an existing function that was created without it. "
                    "Create a new function with DurableConfig."
                )
            # Members that are left out keep their values.
            merged = {
                "ExecutionTimeout": current.execution_timeout,
                "RetentionPeriodInDays": current.retention_period_in_days,
                **(body["DurableConfig"] or {}),
            }
            parse_durable_config(merged)
            extra["DurableConfig"] = merged
        if "Environment" in body:
            body["Environment"] = {"Variables": (body["Environment"] or {}).get("Variables") or {}}
        response = forward(replace(request, body=json.dumps(body).encode()))
        if response.status < 400:
            extend_configuration(record, extra)
            if "Layers" in body:
                self._registry.unpack_layers(record)
            if storage := body.get("EphemeralStorage"):
                record.ephemeral_storage = storage["Size"]
            if tracing := body.get("TracingConfig"):
                record.tracing_config = tracing
            response = Response.of_json(record.get_configuration())
        return _in_progress(response)

    def _publish(self, request: Request, operation: Operation, forward: Forward) -> Response:
        reference = self._path_reference(request, operation)
        record = self._registry.record(reference)
        wanted = (_json(request.body) or {}).get("CodeSha256")
        if wanted and wanted != record.code_sha_256:
            raise bad_parameter(
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({record.code_sha_256}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
        response = forward(request)
        record.code_or_config_updated = False
        return response

    def _delete(self, request: Request, operation: Operation, forward: Forward) -> Response:
        reference = self._path_reference(request, operation)
        self._registry.record(reference)
        if reference.qualifier == "$LATEST":
            raise bad_parameter("$LATEST version cannot be deleted without deleting the function.")
        aliases = self._moto.aliases(reference.name, operation.region)
        if reference.qualifier:
            users = sorted(name for name, alias in aliases.items() if alias.function_version == reference.qualifier)
            if users:
                message = f"Version {reference.qualifier} is still referenced by alias {', '.join(users)}."
                raise ApiError("ResourceConflictException", message, 409, members={"Type": "User"})
            return forward(request)
        self._durable.delete_function(reference.name)
        self._runner.stop_function(reference.name)
        response = forward(request)
        # An invoke that had found the function before it went may have started it once more.
        self._runner.stop_function(reference.name)
        return response

    def _tag(self, request: Request, operation: Operation, forward: Forward) -> Response:
        arn = unquote(request.raw_path.rstrip("/").rpartition("/")[2])
        if ":function:" in arn:
            record = self._registry.record(self._registry.parse(arn, region=operation.region))
            durable_config_of_tags({**record.tags, **(_members(request).get("Tags") or {})})
        return forward(request)

    def _get_function(self, request: Request, operation: Operation, _: Forward) -> Response:
        # Answered here: clients poll it, and moto's own way takes four times as long.
        reference = self._path_reference(request, operation)
        record = self._registry.record(reference)
        whole = operation.name == "GetFunction"
        answer = record.get_code() if whole else record.get_configuration()
        config = answer["Configuration"] if whole else answer
        config["FunctionArn"] = reference.qualified_arn
        return Response.of_json(answer)

    def _concurrency(self, request: Request, operation: Operation, forward: Forward) -> Response:
        response = forward(request)
        reference = self._path_reference(request, operation)
        limit = self._registry.record(reference).reserved_concurrency
        # Not every runner has limits: a test's needs none.
        apply = getattr(self._runner, "set_concurrency", None)
        if response.status < 400 and apply is not None:
            apply(reference.name, None if limit is None else int(limit))
        return response

    def _mapping(self, request: Request, operation: Operation, forward: Forward) -> Response:
        """Have an event source mapping name the alias it was given; moto turns it into the version."""
        response, body = forward(request), _members(request)
        if response.status >= 400 or "FunctionName" not in body:
            return response
        answer = json.loads(response.body)
        arn = self._registry.parse(str(body["FunctionName"]), region=operation.region).qualified_arn
        mapping = self._moto.functions(operation.region).get_event_source_mapping(answer["UUID"])
        mapping.function_arn = answer["FunctionArn"] = arn
        return replace(response, body=json.dumps(answer).encode())

    # Helpers

    def _published(self, reference: FunctionReference) -> Any:
        published = self._moto.functions(reference.region).publish_version(reference.name)
        # moto clears it from the second version on only, and would publish the first one twice.
        self._registry.record(replace(reference, qualifier="$LATEST")).code_or_config_updated = False
        return published

    def _path_reference(self, request: Request, operation: Operation) -> FunctionReference:
        name = unquote(request.raw_path.split("/")[3])
        return self._registry.parse(name, request.arg("Qualifier"), operation.region)

    def _checked_extra(self, body: Mapping[str, Any]) -> dict[str, Any]:
        for member, low, high in (("Timeout", 1, 900), ("MemorySize", 128, 10_240)):
            value = body.get(member)
            if value is not None and not low <= value <= high:
                bound = f"less than or equal to {high}" if value > high else f"greater than or equal to {low}"
                raise ApiError(
                    "ValidationException",
                    f"1 validation error detected: Value '{value}' at '{member[0].lower()}{member[1:]}' failed to "
                    f"satisfy constraint: Member must have value {bound}",
                )
        if body.get("LoggingConfig"):
            check_logging_config(body["LoggingConfig"])
        return {member: body[member] for member in ("LoggingConfig", *_ECHOED) if body.get(member) is not None}

    def _code(self, code: Mapping[str, Any]) -> bytes:
        if code.get("ZipFile"):
            try:
                return base64.b64decode(code["ZipFile"], validate=True)
            except binascii.Error as error:
                raise bad_parameter("Could not unzip uploaded file: ZipFile is not base64.") from error
        if code.get("S3Bucket") and code.get("S3Key"):
            return self._moto.object_content(code["S3Bucket"], code["S3Key"], code.get("S3ObjectVersion"))
        raise bad_parameter("Please provide a source for function code.")

    def _complete(self, config: dict[str, Any], operation: Operation) -> None:
        """Add to a FunctionConfiguration what moto leaves out."""
        versions = self._moto.function_versions(config["FunctionName"], operation.region)
        record = versions.get(str(config.get("Version")))
        if record is None:
            return
        config["LoggingConfig"] = logging_config(record)
        durable = durable_config(record)
        if durable is not None:
            config["DurableConfig"] = {
                "ExecutionTimeout": durable.execution_timeout,
                "RetentionPeriodInDays": durable.retention_period_in_days,
            }
        extra = extra_configuration(record)
        config |= {member: extra[member] for member in _ECHOED if member in extra}
        for member in [member for member, value in config.items() if value is None]:
            del config[member]


def _configurations(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every FunctionConfiguration in a response."""
    for candidate in (body, body.get("Configuration"), *(body.get("Functions") or ()), *(body.get("Versions") or ())):
        if isinstance(candidate, dict) and {"FunctionName", "CodeSha256", "Version"} <= candidate.keys():
            yield candidate


def _in_progress(response: Response) -> Response:
    if response.status >= 400:
        return response
    config = json.loads(response.body)
    config |= {
        "LastUpdateStatus": "InProgress",
        "LastUpdateStatusReason": "The function is being updated.",
        "LastUpdateStatusReasonCode": "Updating",
    }
    return replace(response, body=json.dumps(config).encode())


def _members(request: Request) -> dict[str, Any]:
    body = _json(request.body)
    if not isinstance(body, dict):
        raise ApiError("InvalidRequestContentException", "Could not parse request body into json.")
    return body


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _typed(response: Response) -> Response:
    """An error of moto's with the header that makes boto3 raise the typed exception."""
    headers = {key.lower(): value for key, value in response.headers.items()}
    body = _json(response.body)
    members = body if isinstance(body, dict) else {}
    code = headers.get("x-amzn-errortype") or members.get("__type") or members.get("code")
    if not code:
        code = "ResourceNotFoundException" if response.status == 404 else "ServiceException"
    message = members.get("message") or members.get("Message") or "The resource you requested does not exist."
    return ApiError(str(code).rpartition("#")[2], str(message), response.status, members={"Type": "User"}).to_response()
