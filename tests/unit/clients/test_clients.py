"""boto3 clients as the harness makes them."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from harness.clients import make_client


class Refuses(BaseHTTPRequestHandler):
    """Answers every request with a throttle, and counts them."""

    protocol_version = "HTTP/1.1"
    seen = 0

    def do_GET(self) -> None:
        type(self).seen += 1
        body = b'{"message": "slow down", "Reason": "CallerRateLimitExceeded"}'
        self.send_response(429)
        self.send_header("x-amzn-ErrorType", "TooManyRequestsException")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


@pytest.fixture
def refusing() -> Any:
    Refuses.seen = 0
    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")


def test_a_throttle_reaches_the_caller_at_the_first_request(refusing: str) -> None:
    client = make_client("lambda", session=session(), endpoint_url=refusing)

    with pytest.raises(ClientError, match="slow down"):
        client.list_functions()

    assert Refuses.seen == 1


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    client = make_client("lambda", session=session(), endpoint_url=refusing)

    with pytest.raises(ClientError, match="slow down"):
        client.list_functions()
