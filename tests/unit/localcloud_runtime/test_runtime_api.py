"""The Runtime API as its client sees it: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from harness.localcloud.runtime.runtime_api import Posted, RuntimeApi

T = TypeVar("T")
PREFIX = "/2018-06-01/runtime"


def with_api(client: Callable[[RuntimeApi, str], Any]) -> Any:
    """Run an async client against a fresh API."""

    async def main() -> Any:
        api = RuntimeApi(lambda: None)
        address = await api.start()
        try:
            return await asyncio.wait_for(client(api, address), 30)
        finally:
            api.close()

    return asyncio.run(main())


def ask(address: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_next_waits_for_an_invocation_and_response_ends_it() -> None:
    async def client(api: RuntimeApi, address: str) -> None:
        polling = asyncio.create_task(asyncio.to_thread(ask, address, "GET", f"{PREFIX}/invocation/next"))
        await api.wait_for_next()
        posted = api.deliver("r-1", [("Lambda-Runtime-Deadline-Ms", "5")], b'{"a": 1}')
        status, headers, body = await polling
        assert (status, body) == (200, b'{"a": 1}')
        assert (headers["Lambda-Runtime-Aws-Request-Id"], headers["Lambda-Runtime-Deadline-Ms"]) == ("r-1", "5")
        status, _, _ = await asyncio.to_thread(ask, address, "POST", f"{PREFIX}/invocation/r-1/response", b'"done"')
        assert (status, await posted) == (202, Posted(b'"done"'))

    with_api(client)


def test_an_error_is_posted_with_its_type() -> None:
    async def client(api: RuntimeApi, address: str) -> None:
        polling = asyncio.create_task(asyncio.to_thread(ask, address, "GET", f"{PREFIX}/invocation/next"))
        await api.wait_for_next()
        posted = api.deliver("r-1", [], b"{}")
        await polling
        path = f"{PREFIX}/invocation/r-1/error"
        kind = {"Lambda_Runtime_Function_Error_Type": "Shop.Closed"}
        status, _, _ = await asyncio.to_thread(lambda: ask(address, "POST", path, b"{}", **kind))
        assert (status, await posted) == (202, Posted(b"{}", "Shop.Closed"))

    with_api(client)


def test_what_was_logged_is_collected_before_an_end_counts() -> None:
    seen: list[bool] = []

    async def main() -> None:
        api = RuntimeApi(lambda: seen.append(posted.done()))
        address = await api.start()
        polling = asyncio.create_task(asyncio.to_thread(ask, address, "GET", f"{PREFIX}/invocation/next"))
        await api.wait_for_next()
        posted = api.deliver("r-1", [], b"{}")
        await polling
        await asyncio.to_thread(ask, address, "POST", f"{PREFIX}/invocation/r-1/response", b"1")
        api.close()

    asyncio.run(main())
    assert seen == [False]


def test_an_initialization_error_is_kept() -> None:
    async def client(api: RuntimeApi, address: str) -> None:
        kind = {"Lambda_Runtime_Function_Error_Type": "Runtime.ImportModuleError"}
        status, _, _ = await asyncio.to_thread(lambda: ask(address, "POST", f"{PREFIX}/init/error", b"{}", **kind))
        assert (status, api.init_error.result()) == (202, Posted(b"{}", "Runtime.ImportModuleError"))

    with_api(client)


@pytest.mark.parametrize(
    ("method", "path", "status", "error_type"),
    [
        ("POST", f"{PREFIX}/invocation/unknown/response", 400, "InvalidRequestID"),
        ("POST", f"{PREFIX}/invocation/unknown/error", 400, "InvalidRequestID"),
        ("GET", f"{PREFIX}/elsewhere", 404, "InvalidPath"),
        ("POST", "/2018-06-01/", 404, "InvalidPath"),
    ],
)
def test_what_does_not_fit_is_refused(method: str, path: str, status: int, error_type: str) -> None:
    async def client(api: RuntimeApi, address: str) -> None:
        answer, _, body = await asyncio.to_thread(ask, address, method, path, b"")
        assert (answer, json.loads(body)["errorType"]) == (status, error_type)

    with_api(client)


def test_an_invocation_is_answered_once() -> None:
    async def client(api: RuntimeApi, address: str) -> None:
        polling = asyncio.create_task(asyncio.to_thread(ask, address, "GET", f"{PREFIX}/invocation/next"))
        await api.wait_for_next()
        posted = api.deliver("r-1", [], b"{}")
        await polling
        path = f"{PREFIX}/invocation/r-1/response"
        statuses = [(await asyncio.to_thread(ask, address, "POST", path, body))[0] for body in (b"1", b"2")]
        assert (statuses, await posted) == ([202, 400], Posted(b"1"))

    with_api(client)


def test_a_client_that_waits_for_permission_to_send_gets_it() -> None:
    async def client(api: RuntimeApi, address: str) -> None:
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {PREFIX}/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"{}")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
        writer.close()

    with_api(client)


def test_nonsense_ends_the_connection() -> None:
    async def client(api: RuntimeApi, address: str) -> None:
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x00\x01\x02 nonsense\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()

    with_api(client)
