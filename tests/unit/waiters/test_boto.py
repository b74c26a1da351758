"""What boto3 really raises is read rightly: against a server on 127.0.0.1."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import pytest

from harness.clients import make_client
from harness.durable import poll_execution
from harness.waiters import EXECUTION, CountingObserver, Failure, FakeClock, Outcome, classify, is_not_found


@dataclass
class Answer:
    """What the server does with one request."""

    status: int = 200
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def error(status: int, code: str, *, headers: dict[str, str] | None = None, **members: str) -> Answer:
    body = json.dumps({"message": "m", **members})
    return Answer(status, body, {"x-amzn-ErrorType": code, "Content-Type": "application/json", **(headers or {})})


class Server:
    """Answers from a list, one answer a request."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        answers = self.answers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = answers.pop(0)
                if answer.drop:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()
        session = boto3.Session("x", "y", region_name="eu-west-1")
        self.client = make_client("lambda", session=session, endpoint_url=f"http://127.0.0.1:{self.http.server_port}")

    def error_of(self, answer: Answer) -> Exception:
        self.answers[:] = [answer]
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is what the tests ask
            self.client.list_durable_executions_by_function(FunctionName="f")
        assert self.answers == []
        return caught.value

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def test_a_throttle_with_its_reason_and_the_time_to_wait(server: Server) -> None:
    headers = {"Retry-After": "9"}
    raised = server.error_of(error(429, "TooManyRequestsException", headers=headers, Reason="CallerRateLimitExceeded"))
    failure = Failure.of(raised)
    assert classify(raised) is Outcome.THROTTLED
    assert (failure.reason, failure.retry_after, failure.status) == ("CallerRateLimitExceeded", 9.0, 429)


@pytest.mark.parametrize(
    "answer",
    [
        error(500, "ServiceException"),
        Answer(503, "<html>oops</html>"),
        Answer(502, ""),
        Answer(504, ""),
        Answer(drop=True),
    ],
)
def test_5xx_of_any_shape_and_a_dropped_connection_are_transient(server: Server, answer: Answer) -> None:
    assert classify(server.error_of(answer)) is Outcome.TRANSIENT


def test_not_found_and_refusals_are_fatal(server: Server) -> None:
    missing = server.error_of(error(404, "ResourceNotFoundException"))
    assert is_not_found(missing)
    assert classify(missing) is Outcome.FATAL
    assert classify(server.error_of(error(403, "AccessDeniedException"))) is Outcome.FATAL


def test_nobody_listening_is_transient() -> None:
    gone = Server()
    gone.close()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is what the test asks
        gone.client.list_durable_executions_by_function(FunctionName="f")
    assert classify(caught.value) is Outcome.TRANSIENT


def test_the_clients_of_the_harness_do_not_retry_so_that_the_policy_sees_each_failure(server: Server) -> None:
    done = {
        "DurableExecutionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable-execution/n/i",
        "DurableExecutionName": "n",
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
        "Status": "SUCCEEDED",
        "StartTimestamp": 1767225600,
        "EndTimestamp": 1767225601,
    }
    server.answers[:] = [
        error(429, "TooManyRequestsException"),
        Answer(drop=True),
        error(500, "ServiceException"),
        Answer(200, json.dumps({"DurableExecutions": [done]})),
    ]
    clock, counting = FakeClock(), CountingObserver()
    found = poll_execution(server.client, "f", "n", clock=clock, policy=EXECUTION.with_observer(counting))
    assert found["Status"] == "SUCCEEDED"
    assert clock.sleeps == [5, 10, 20]
    assert (counting.total().attempts, counting.total().throttles, counting.total().transients) == (4, 1, 2)
