"""Which service and operation a request is for, read off botocore's own service models.

Faults and the access log are written in these names: ``("lambda", "Invoke")``, ``("logs", "PutLogEvents")``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from .api import Request

UNKNOWN = "Unknown"

# The names that requests are signed for, where boto3's name for the service is another.
_SERVICE_OF_SIGNING_NAME = {"tagging": "resourcegroupstaggingapi", "monitoring": "cloudwatch"}
_CREDENTIAL = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")
_LAMBDA_PATH = re.compile(r"/20\d\d-\d\d-\d\d/")


@dataclass(frozen=True)
class Operation:
    """One operation of one service, in one region.

    Attributes:
        service: boto3's name of the service, such as ``lambda``.
        name: The operation's name, such as ``Invoke``, or ``Unknown``.
        region: The region that the request was signed for, or None when it isn't signed.
        protocol: How errors are written: ``json``, ``rest-json``, ``query`` or ``rest-xml``.
    """

    service: str
    name: str
    region: str | None
    protocol: str

    def __str__(self) -> str:
        return f"{self.service}.{self.name}"


def identify(request: Request) -> Operation:
    """Name the operation that a request asks for; never fails, at worst the name is ``Unknown``."""
    service, region = _signed_for(request)
    target = request.headers.get("x-amz-target", "")
    if target:
        return Operation(service or target.split("_")[0].lower(), target.rpartition(".")[2], region, "json")
    action = _action(request)
    if action:
        return Operation(service or "sts", action, region, "query")
    if service is None:
        service = "lambda" if _LAMBDA_PATH.match(request.raw_path) else "s3"
    table = _rest_table(service)
    if table is None:
        return Operation(service, UNKNOWN, region, "json")
    path = request.raw_path
    if service == "s3":
        path = _with_bucket(path, request.headers.get("host", ""))
    return Operation(service, table.match(request.method, path, request) or UNKNOWN, region, table.protocol)


def _signed_for(request: Request) -> tuple[str | None, str | None]:
    found = _CREDENTIAL.search(request.headers.get("authorization", ""))
    if found:
        region, name = found.groups()
    else:
        # A presigned URL carries the same scope in its query.
        scope = (request.arg("X-Amz-Credential") or "").split("/")
        if len(scope) != 5:
            return None, None
        region, name = scope[2], scope[3]
    return _SERVICE_OF_SIGNING_NAME.get(name, name), region


def _action(request: Request) -> str | None:
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        values = parse_qs(request.body.decode("utf-8", "replace")).get("Action")
        if values:
            return values[0]
    return request.arg("Action")


def _with_bucket(raw_path: str, host: str) -> str:
    """A virtual-hosted S3 path as the path-style one that the model describes."""
    bucket, dot, domain = host.partition(".")
    return f"/{bucket}{raw_path}" if dot and domain.split(":")[0].endswith("localhost") else raw_path


@dataclass(frozen=True)
class _Route:
    name: str
    method: str
    path: re.Pattern[str]
    query: tuple[tuple[str, str], ...]
    required_query: tuple[str, ...]
    required_headers: tuple[str, ...]
    rank: tuple[int, int, bool]


class _RestTable:
    """The operations of one REST service, most specific first."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self.protocol = str(model["metadata"]["protocol"])
        routes = [_route(name, spec, model["shapes"]) for name, spec in model["operations"].items()]
        # sorted() is stable: of two equals the model's first wins, such as ListBuckets over ListDirectoryBuckets.
        self._routes = sorted(routes, key=lambda route: route.rank, reverse=True)

    def match(self, method: str, raw_path: str, request: Request) -> str | None:
        path = raw_path.rstrip("/") or "/"
        for route in self._routes:
            if (
                route.method == method
                and route.path.fullmatch(path)
                and all(key in request.query and value in ("", request.arg(key)) for key, value in route.query)
                and all(key in request.query for key in route.required_query)
                and all(key in request.headers for key in route.required_headers)
            ):
                return route.name
        return None


def _route(name: str, spec: Mapping[str, Any], shapes: Mapping[str, Any]) -> _Route:
    path, _, query = spec["http"]["requestUri"].partition("?")
    pattern = "".join(
        (".+" if part.endswith("+}") else "[^/]+") if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{[^}]+\})", path.rstrip("/") or "/")
    )
    shape = shapes[spec["input"]["shape"]] if "input" in spec else {}
    members = {member: shape["members"][member] for member in shape.get("required", ())}

    def located(where: str) -> tuple[str, ...]:
        return tuple(member["locationName"] for member in members.values() if member.get("location") == where)

    static = tuple(parse_qsl(query, keep_blank_values=True))
    required_query, required_headers = located("querystring"), tuple(key.lower() for key in located("header"))
    # More conditions are more specific; so is more literal text, as `.../versions` against `.../{Name}`.
    conditions = len(static) + len(required_query) + len(required_headers)
    literal = len(re.sub(r"\{[^}]+\}", "", path)) + path.count("/")
    return _Route(
        name,
        spec["http"]["method"],
        re.compile(pattern),
        static,
        required_query,
        required_headers,
        # S3 keeps the first, deprecated form of some operations under the same path.
        (literal * 100 - path.count("{"), conditions, not spec.get("deprecated", False)),
    )


@functools.cache
def _rest_table(service: str) -> _RestTable | None:
    # botocore takes a quarter of a second to import with its session; its loader alone doesn't.
    from botocore.exceptions import UnknownServiceError  # noqa: PLC0415
    from botocore.loaders import Loader  # noqa: PLC0415

    try:
        model = Loader().load_service_model(service, "service-2")
    except UnknownServiceError:
        return None
    return _RestTable(model) if str(model["metadata"]["protocol"]).startswith("rest") else None
