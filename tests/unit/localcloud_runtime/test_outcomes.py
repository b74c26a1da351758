"""How an invocation ends, and what its caller is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.localcloud.runtime import RuntimePool, environment

from .conftest import MakeFunction, MakePool
from .support import RecordingSink, eventually, is_running, value_of

ECHO = "def handler(event, context): return event"


def test_a_handler_returns_its_result(pool: RuntimePool, make_function: MakeFunction) -> None:
    outcome = pool.invoke(make_function(ECHO, version="7"), b'{"total": 3, "name": "\xc3\xa9"}')
    assert value_of(outcome) == {"total": 3, "name": "é"}
    assert (outcome.error_type, outcome.error_message, outcome.executed_version) == (None, None, "7")


def test_the_context_describes_the_invocation(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function(
        """
        def handler(event, context):
            return {
                "id": context.aws_request_id,
                "arn": context.invoked_function_arn,
                "name": context.function_name,
                "version": context.function_version,
                "memory": context.memory_limit_in_mb,
                "group": context.log_group_name,
                "custom": context.client_context.custom,
                "tenant": context.tenant_id,
                "in time": 0 < context.get_remaining_time_in_millis() <= 30_000,
            }
        """,
        name="orders",
        version="3",
        invoked_arn="arn:aws:lambda:eu-west-1:123456789012:function:orders:live",
        memory_size=256,
    )
    outcome = pool.invoke(
        function,
        b"{}",
        request_id="11111111-2222-3333-4444-555555555555",
        client_context='{"custom":\n {"who": "m\u00fcller"}}',
        tenant_id="blue",
    )
    assert outcome.request_id == "11111111-2222-3333-4444-555555555555"
    assert value_of(outcome) == {
        "id": "11111111-2222-3333-4444-555555555555",
        "arn": "arn:aws:lambda:eu-west-1:123456789012:function:orders:live",
        "name": "orders",
        "version": "3",
        "memory": "256",
        "group": "/aws/lambda/orders",
        "custom": {"who": "müller"},
        "tenant": "blue",
        "in time": True,
    }


def test_an_exception_is_an_unhandled_error_with_its_stack(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function("def handler(event, context):\n    raise ValueError('no stock')")
    outcome = pool.invoke(function, b"{}")
    assert (outcome.function_error, outcome.error_type, outcome.error_message) == (
        "Unhandled",
        "ValueError",
        "no stock",
    )
    error = json.loads(outcome.payload)
    assert error["requestId"] == outcome.request_id
    assert len(error["stackTrace"]) == 1
    assert f"{function.code_directory}/app.py" in error["stackTrace"][0]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("sys.exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("os.abort()", "Runtime exited with error: signal: aborted"),
    ],
)
def test_a_process_that_dies_is_an_exit_error(
    pool: RuntimePool, make_function: MakeFunction, statement: str, message: str
) -> None:
    function = make_function(f"import os, signal, sys\ndef handler(event, context):\n    {statement}")
    outcome = pool.invoke(function, b"{}")
    assert (outcome.function_error, outcome.error_type) == ("Unhandled", "Runtime.ExitError")
    assert json.loads(outcome.payload) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {outcome.request_id} Error: {message}",
    }


def test_what_a_process_started_ends_with_it(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    function = make_function(
        """
        import os, subprocess

        def handler(event, context):
            print("pid", subprocess.Popen(["sleep", "1000"]).pid)
            os._exit(1)
        """
    )
    assert pool.invoke(function, b"{}").error_type == "Runtime.ExitError"
    (line,) = [message for message in sink.messages if message.startswith("pid")]
    assert eventually(lambda: not is_running(int(line.split()[1])))


def test_a_timeout_kills_the_function_and_all_that_it_started(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    function = make_function(
        """
        import os, subprocess, time

        def handler(event, context):
            print("pids", os.getpid(), subprocess.Popen(["sleep", "1000"]).pid)
            time.sleep(1000)
        """,
        timeout=1,
    )
    outcome = pool.invoke(function, b"{}")
    assert outcome.error_type == "Sandbox.Timedout"
    assert json.loads(outcome.payload) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {outcome.request_id} Error: Task timed out after 1.00 seconds",
    }
    (line,) = [message for message in sink.messages if message.startswith("pids")]
    own, child = (int(word) for word in line.split()[1:])
    assert not is_running(own)
    assert eventually(lambda: not is_running(child))


@pytest.mark.parametrize(
    ("source", "handler", "error"),
    [
        ("import nothing_like_it", "app.handler", "Runtime.ImportModuleError: .* No module named 'nothing_like_it'"),
        ("", "missing.handler", "Runtime.ImportModuleError: Unable to import module 'missing'"),
        ("", "app.handler", "Runtime.HandlerNotFound: Handler 'handler' missing on module 'app'"),
        ("def handler(:", "app.handler", "Runtime.UserCodeSyntaxError: Syntax error in module 'app'"),
        ("", "handler", "Runtime.MalformedHandlerName: Bad handler 'handler'"),
        ("raise KeyError('table')", "app.handler", "KeyError: 'table'"),
        ("import os; os._exit(2)", "app.handler", "Runtime.ExitError: .* exit status 2"),
    ],
)
def test_an_initialization_that_fails_fails_the_invocation(
    pool: RuntimePool, make_function: MakeFunction, source: str, handler: str, error: str
) -> None:
    function = make_function(source, handler=handler)
    outcome = pool.invoke(function, b"{}")
    assert outcome.function_error == "Unhandled"
    assert re.match(error, f"{outcome.error_type}: {outcome.error_message}")
    assert json.loads(outcome.payload)["errorType"] == outcome.error_type
    assert pool.environments(function.name) == []


def test_code_that_is_not_there_is_an_exit_error_that_names_it(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink, tmp_path: Path
) -> None:
    outcome = pool.invoke(make_function(code_directory=tmp_path / "gone"), b"{}")
    assert outcome.error_type == "Runtime.ExitError"
    assert f"No such file or directory: '{tmp_path / 'gone'}'" in "".join(sink.messages)


def test_an_initialization_that_never_ends_times_out(
    make_pool: MakePool, make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "INIT_SECONDS", 0.1)
    pool = make_pool()
    outcome = pool.invoke(make_function("import time\ntime.sleep(1000)", timeout=1), b"{}")
    assert outcome.error_type == "Sandbox.Timedout"
    assert pool.environments() == []


def test_a_result_that_is_no_json_is_a_marshal_error(pool: RuntimePool, make_function: MakeFunction) -> None:
    outcome = pool.invoke(make_function("def handler(event, context): return object()"), b"{}")
    assert outcome.error_type == "Runtime.MarshalError"


def test_a_response_may_be_as_large_as_lambda_takes_and_no_larger(
    make_pool: MakePool, make_function: MakeFunction
) -> None:
    pool = make_pool()
    function = make_function("def handler(event, context): return 'x' * (event - 2)")
    fits = pool.invoke(function, b"6291556")
    assert (fits.function_error, len(fits.payload)) == (None, 6_291_556)
    too_large = pool.invoke(function, b"6291557")
    assert (too_large.function_error, too_large.error_type) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert json.loads(too_large.payload)["errorMessage"] == (
        "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    )
    assert value_of(pool.invoke(function, b"5")) == "xxx"


def test_an_error_with_a_huge_message_arrives_whole(make_pool: MakePool, make_function: MakeFunction) -> None:
    function = make_function("def handler(event, context): raise RuntimeError('y' * 500_000)")
    outcome = make_pool().invoke(function, b"{}")
    assert outcome.error_message == "y" * 500_000
