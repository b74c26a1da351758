"""A stage for the durable engine without processes: real handlers, real boto3 clients, one HTTP server."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote

import boto3
from aws_durable_execution_sdk_python import durable_execution
from botocore.config import Config
from werkzeug.serving import WSGIRequestHandler, make_server

from harness.localcloud.api import ApiError, DurableConfig, InvokeOutcome, Request, ResolvedFunction, Response
from harness.localcloud.durable import DurableEngine
from harness.localcloud.durable.execution import JournaledExecution

REGION = "eu-west-1"
ACCOUNT = "123456789012"
# No wait here depends on it unless something is broken.
PATIENCE = 60.0


class Crash(BaseException):
    """The process that runs the handler dies."""


class FakeFunctions:
    """Resolver and runner in one: functions are Python callables in this process."""

    def __init__(self) -> None:
        self.client: Any = None
        self._functions: dict[str, dict[str, tuple[Callable[[Any, Any], Any], DurableConfig | None]]] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self.payloads: list[dict[str, Any]] = []
        self.invoked: list[ResolvedFunction] = []
        self.throttles = 0

    def add_durable(
        self, name: str, handler: Callable[[Any, Any], Any], *, version: str = "1", timeout: int = 86_400
    ) -> None:
        """Publish a version of a durable function and point the alias ``live`` at it."""
        wrapped = durable_execution(handler, boto3_client=self.client)
        self._functions.setdefault(name, {})[version] = (wrapped, DurableConfig(timeout, 7))
        self._aliases[name, "live"] = version

    def add_raw(self, name: str, handler: Callable[[Any, Any], Any], *, durable: bool) -> None:
        """Publish version 1 of a function as it is, without the SDK around it."""
        self._functions.setdefault(name, {})["1"] = (handler, DurableConfig(900, 7) if durable else None)
        self._aliases[name, "live"] = "1"

    def remove(self, name: str) -> None:
        del self._functions[name]

    def resolve(self, reference: str, qualifier: str | None = None) -> ResolvedFunction:
        name = reference.rpartition(":function:")[2]
        name, _, inline = name.partition(":")
        qualifier = qualifier or inline or None
        versions = self._functions.get(name)
        if versions is None:
            raise ApiError("ResourceNotFoundException", f"Function not found: {reference}", 404)
        version = self._aliases.get((name, qualifier or ""), qualifier or max(versions))
        if version not in versions:
            raise ApiError("ResourceNotFoundException", f"Function not found: {reference}:{qualifier}", 404)
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
        return ResolvedFunction(
            name=name,
            version=version,
            qualifier=qualifier,
            arn=arn,
            invoked_arn=f"{arn}:{qualifier}" if qualifier else arn,
            region=REGION,
            account_id=ACCOUNT,
            role_arn=f"arn:aws:iam::{ACCOUNT}:role/r",
            runtime="python3.13",
            handler="function.handler",
            code_directory=Path(),
            code_sha256="",
            environment={},
            timeout=900,
            memory_size=128,
            log_group=f"/aws/lambda/{name}",
            log_format="JSON",
            durable=versions[version][1],
        )

    def invoke(
        self,
        function: ResolvedFunction,
        payload: bytes,
        *,
        request_id: str | None = None,
        client_context: str | None = None,
        tenant_id: str | None = None,
    ) -> InvokeOutcome:
        if self.throttles:
            self.throttles -= 1
            raise ApiError("TooManyRequestsException", "Rate Exceeded.", 429)
        event = json.loads(payload)
        if function.durable:
            self.payloads.append(event)
        self.invoked.append(function)
        request_id = request_id or str(uuid.uuid4())
        context = SimpleNamespace(
            aws_request_id=request_id,
            function_name=function.name,
            function_version=function.version,
            invoked_function_arn=function.invoked_arn,
            tenant_id=tenant_id,
            client_context=client_context,
            identity=None,
            log_group_name=function.log_group,
            log_stream_name="s",
            memory_limit_in_mb="128",
            get_remaining_time_in_millis=lambda: 900_000,
            log=lambda _message: None,
        )

        def outcome(body: Any, error: tuple[str, str] | None) -> InvokeOutcome:
            return InvokeOutcome(
                request_id=request_id,
                payload=json.dumps(body).encode(),
                function_error="Unhandled" if error else None,
                error_type=error[0] if error else None,
                error_message=error[1] if error else None,
                executed_version=function.version,
                log_tail=b"",
                duration_ms=1.0,
                init_ms=None,
            )

        handler = self._functions[function.name][function.version][0]
        try:
            return outcome(handler(event, context), None)
        except Crash:
            error = ("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: exit status 1")
        except Exception as raised:  # noqa: BLE001 - as the runtime does
            error = (type(raised).__name__, str(raised))
        body = {"errorType": error[0], "errorMessage": error[1], "stackTrace": ["  File f, line 1"]}
        return outcome(body, error)

    def stop_function(self, name: str) -> None:
        """No environments to stop."""


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Tests need no access log."""


class Stage:
    """An engine behind a server on 127.0.0.1, and a boto3 client of it."""

    def __init__(self, *, time_scale: float = 1000.0) -> None:
        self.functions = FakeFunctions()
        self.engine = DurableEngine(
            self.functions, self.functions, region=REGION, account_id=ACCOUNT, time_scale=time_scale
        )
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True, request_handler=_Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.client: Any = boto3.client(
            "lambda",
            endpoint_url=f"http://127.0.0.1:{self._server.port}",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32, read_timeout=PATIENCE),
        )
        self.functions.client = self.client

    def close(self) -> None:
        self.engine.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)
        self.client.close()

    def start(self, name: str, payload: Any = None, *, execution: str | None = None, qualifier: str = "live") -> str:
        """Start an execution and give its ARN."""
        kwargs: dict[str, Any] = {"DurableExecutionName": execution} if execution else {}
        answer = self.client.invoke(
            FunctionName=name, Qualifier=qualifier, InvocationType="Event", Payload=json.dumps(payload), **kwargs
        )
        return str(answer["DurableExecutionArn"])

    def finish(self, arn: str) -> dict[str, Any]:
        """Wait for an execution's end and describe it."""
        assert self.execution(arn).done.wait(PATIENCE), self.event_types(arn)
        described: dict[str, Any] = self.client.get_durable_execution(DurableExecutionArn=arn)
        return described

    def run(self, name: str, payload: Any = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Start an execution, wait for its end, give its description and its history."""
        arn = self.start(name, payload)
        return self.finish(arn), self.history(arn)

    def execution(self, arn: str) -> JournaledExecution:
        found = self.engine._store.find(arn)
        assert found is not None
        return found

    def history(self, arn: str, **kwargs: Any) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("get_durable_execution_history").paginate(DurableExecutionArn=arn, **kwargs)
        return [event for page in pages for event in page["Events"]]

    def event_types(self, arn: str) -> list[str]:
        return [event.event_type for event in self.execution(arn).journal.events]

    def wait_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Poll until a condition holds."""
        pause = threading.Event()
        for _ in range(int(PATIENCE / 0.005)):
            if value := condition():
                return value
            pause.wait(0.005)
        raise AssertionError(f"Never came: {what}")

    def wait_for_event(self, arn: str, event_type: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until the history has ``count`` events of a type; give them."""
        self.wait_until(
            lambda: self.event_types(arn).count(event_type) >= count, f"{count} x {event_type} in {self.event_types}"
        )
        return [event for event in self.history(arn) if event["EventType"] == event_type]

    def wait_until_idle(self, arn: str, invocations: int = 1) -> None:
        """Wait until so many invocations ended."""
        self.wait_for_event(arn, "InvocationCompleted", invocations)

    def callback_id(self, arn: str) -> str:
        """The id of the execution's first callback, once it is there."""
        event = self.wait_for_event(arn, "CallbackStarted")[0]
        return str(event["CallbackStartedDetails"]["CallbackId"])

    def _app(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        raw_path, _, raw_query = environ["RAW_URI"].partition("?")
        request = Request(
            method=environ["REQUEST_METHOD"],
            raw_path=raw_path,
            query=parse_qs(raw_query, keep_blank_values=True),
            headers={key[5:].replace("_", "-").lower(): v for key, v in environ.items() if key.startswith("HTTP_")},
            body=environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)),
        )
        response = self.engine.handle(request) if raw_path.startswith("/2025-12-01/") else self._invoke(request)
        headers = [("Content-Length", str(len(response.body))), *response.headers.items()]
        start_response(f"{response.status} X", headers)
        return [response.body]

    def _invoke(self, request: Request) -> Response:
        name = unquote(request.raw_path.split("/")[3])
        try:
            return self.engine.invoke(
                self.functions.resolve(name, request.arg("Qualifier")),
                request.body,
                invocation_type="Event"
                if request.headers.get("x-amz-invocation-type") == "Event"
                else "RequestResponse",
                execution_name=request.headers.get("x-amz-durable-execution-name"),
                client_context=request.headers.get("x-amz-client-context"),
            )
        except ApiError as error:
            return error.to_response()


def types(history: list[dict[str, Any]]) -> list[str]:
    """The types of the events of a history."""
    return [event["EventType"] for event in history]


def events(history: list[dict[str, Any]], event_type: str) -> list[dict[str, Any]]:
    """The events of a type."""
    return [event for event in history if event["EventType"] == event_type]
