"""What lands in CloudWatch Logs: the function's records, whole and in order, and the platform's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.localcloud.api import ResolvedFunction
from harness.localcloud.runtime import RuntimePool

from .conftest import MakeFunction, MakePool
from .support import Background, RecordingSink, value_of

SPEAKING = """
import logging, sys

print("loading")

def handler(event, context):
    print("first")
    logging.getLogger().error("second\\nstill second")
    print("third", file=sys.stderr)
    print("fourth\\nfifth")
    print("an unfinished line", end="")
"""


def own_messages(sink: RecordingSink) -> list[str]:
    platform = ("INIT_START", "START", "END", "REPORT")
    return [message for message in sink.messages if not message.startswith(platform)]


def json_records(sink: RecordingSink) -> list[dict[str, Any]]:
    return [json.loads(message) for message in sink.messages]


def test_records_are_whole_and_in_the_order_they_were_written(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    outcome = pool.invoke(make_function(SPEAKING), b"{}")
    loading, first, second, *rest = own_messages(sink)
    assert (loading, first) == ("loading\n", "first\n")
    pattern = rf"\[ERROR\]\t\d{{4}}-\d\d-\d\dT[\d:.]+Z\t{outcome.request_id}\tsecond\nstill second\n"
    assert re.fullmatch(pattern, second)
    assert rest == ["third\n", "fourth\n", "fifth\n", "an unfinished line"]


def test_the_platform_frames_every_invocation(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    function = make_function(SPEAKING, version="2", memory_size=256)
    cold, warm = (pool.invoke(function, b"{}", request_id=name) for name in ("cold", "warm"))
    marks = [message for message in sink.messages if message not in own_messages(sink)]
    init, start, end, report, start_again, end_again, report_again = marks
    assert init.startswith("INIT_START Runtime Version: python:3.")
    assert (start, end) == ("START RequestId: cold Version: 2\n", "END RequestId: cold\n")
    assert (start_again, end_again) == ("START RequestId: warm Version: 2\n", "END RequestId: warm\n")
    figures = (
        r"REPORT RequestId: {}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB"
        r"\tMax Memory Used: [1-9]\d* MB\t{}\t\n"
    )
    assert re.fullmatch(figures.format("cold", r"Init Duration: \d+\.\d\d ms\t").replace(r"\t\t\n", r"\t\n"), report)
    assert re.fullmatch(figures.format("warm", "").replace(r"\t\t\n", r"\t\n"), report_again)
    assert cold.init_ms is not None
    assert f"Init Duration: {cold.init_ms:.2f} ms" in report
    assert f"Duration: {warm.duration_ms:.2f} ms" in report_again


def test_an_environment_writes_to_one_stream_of_its_own(
    make_pool: MakePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    pool = make_pool()
    function = make_function(SPEAKING, version="12")
    for tenant in (None, None, "other"):
        pool.invoke(function, b"{}", tenant_id=tenant)
    first, second, other = sink.streams
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[12\][0-9a-f]{32}", first)
    assert first == second != other
    times = [at for _, _, events in sink.puts[:2] for at, _ in events]
    assert times == sorted(times)


def test_an_error_is_logged_with_its_traceback(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    pool.invoke(make_function("def handler(event, context): raise ValueError('no stock')"), b"{}")
    (record,) = own_messages(sink)
    assert record.startswith("[ERROR] ValueError: no stock\nTraceback (most recent call last):\n")


@pytest.mark.parametrize(
    ("body", "fault_and_status"),
    [
        ("os._exit(3)", ("exit status 3\nRuntime.ExitError\n", "error\tError Type: Runtime.ExitError")),
        ("time.sleep(1000)", ("Task timed out after 1.00 seconds\n\n", "timeout")),
    ],
)
def test_what_a_lost_process_had_written_is_kept_and_the_loss_reported(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink, body: str, fault_and_status: tuple[str, str]
) -> None:
    source = f"import os, time\ndef handler(event, context):\n    print('last words')\n    {body}"
    pool.invoke(make_function(source, timeout=1), b"{}")
    fault, status = fault_and_status
    words, loss = own_messages(sink)
    assert words == "last words\n"
    assert loss.endswith(fault)
    assert sink.messages[-1].endswith(f"\tStatus: {status}\t\n")


def test_a_failed_initialization_is_reported(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    outcome = pool.invoke(make_function("import nothing_like_it"), b"{}", request_id="r")
    text = "".join(sink.messages)
    assert "[ERROR] Runtime.ImportModuleError: Unable to import module 'app'" in text
    assert re.search(r"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\tStatus: error\tError Type: Runtime.Imp", text)
    assert [message.split()[0] for message in sink.messages[-3:]] == ["START", "END", "REPORT"]
    assert outcome.init_ms is None


def test_output_of_any_size_arrives_whole(
    make_pool: MakePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    source = """
    import logging

    def handler(event, context):
        for number in range(50_000):
            print(f"{number:099d}")
        print("é" * 1_500_000)
        logging.getLogger().error("z" * 2_000_000)
    """
    value_of(make_pool().invoke(make_function(source), b"{}"))
    lines = own_messages(sink)
    assert lines[:50_000] == [f"{number:099d}\n" for number in range(50_000)]
    long = "".join(lines[50_000:])
    assert long.startswith("é" * 1_500_000 + "\n[ERROR]")
    assert long.endswith("\t" + "z" * 2_000_000 + "\n")
    assert max(len(line.encode()) for line in lines) <= 1024 * 1024 - 26


def test_what_other_programs_write_is_logged_too(
    pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    source = """
    import os, subprocess

    def handler(event, context):
        subprocess.run(["sh", "-c", "echo from a program; echo to its error output >&2"], check=True)
        os.write(1, b"from a descriptor")
    """
    pool.invoke(make_function(source), b"{}")
    assert own_messages(sink) == ["from a program\n", "to its error output\n", "from a descriptor"]


def test_the_tail_is_the_last_four_kibibytes(pool: RuntimePool, make_function: MakeFunction) -> None:
    source = "def handler(event, context):\n    for number in range(event): print(f'{number:09d}')"
    function = make_function(source)
    long, short = pool.invoke(function, b"1000"), pool.invoke(function, b"1")
    assert len(long.log_tail) == 4096
    assert b"000000999\nEND RequestId: " in long.log_tail
    assert long.log_tail.endswith(b" MB\t\n") or b"Init Duration" in long.log_tail
    assert short.log_tail.startswith(b"START RequestId: ")


def test_logs_of_a_running_invocation_are_handed_on(
    make_pool: MakePool, make_function: MakeFunction, sink: RecordingSink, tmp_path: Path
) -> None:
    source = """
    import pathlib, time

    def handler(event, context):
        print("still at it")
        while not pathlib.Path(event).exists():
            time.sleep(0.01)
        print("done")
    """
    pool = make_pool()
    gate = tmp_path / "gate"
    call = Background(lambda: pool.invoke(make_function(source), json.dumps(str(gate)).encode()))
    assert sink.wait_for("still at it")
    gate.touch()
    outcome = call.outcome()
    assert own_messages(sink) == ["still at it\n", "done\n"]
    assert b"still at it" in outcome.log_tail


def test_the_json_format_has_json_records(pool: RuntimePool, make_function: MakeFunction, sink: RecordingSink) -> None:
    source = """
    import logging
    logger = logging.getLogger("shop")

    def handler(event, context):
        logger.info("paid", extra={"order": 7})
        logger.debug("unseen")
    """
    function = make_function(source, name="orders", version="5", log_format="JSON")
    pool.invoke(function, b"{}", request_id="r")
    init, start, paid, report = json_records(sink)
    assert (init["type"], init["record"]["functionName"]) == ("platform.initStart", "orders")
    assert (start["type"], start["record"]) == ("platform.start", {"requestId": "r", "version": "5"})
    assert {key: paid[key] for key in ("level", "message", "logger", "requestId", "order")} == {
        "level": "INFO",
        "message": "paid",
        "logger": "shop",
        "requestId": "r",
        "order": 7,
    }
    assert report["type"] == "platform.report"
    assert (report["record"]["requestId"], report["record"]["status"]) == ("r", "success")
    metrics = report["record"]["metrics"]
    assert set(metrics) == {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", report["time"])


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({"application_log_level": "ERROR"}, ["platform.initStart", "platform.start", "ERROR", "platform.report"]),
        (
            {"application_log_level": "DEBUG", "system_log_level": "WARN"},
            ["DEBUG", "WARNING", "ERROR"],
        ),
        (
            {"application_log_level": "FATAL", "system_log_level": "DEBUG"},
            ["platform.initStart", "platform.start", "platform.runtimeDone", "platform.report"],
        ),
    ],
)
def test_log_levels_filter_the_functions_and_the_platforms_records(
    make_pool: MakePool,
    make_function: MakeFunction,
    sink: RecordingSink,
    levels: dict[str, str],
    expected: Sequence[str],
) -> None:
    source = """
    import logging

    def handler(event, context):
        # A function that sets its own level is filtered all the same.
        logging.getLogger().setLevel("DEBUG")
        for level in ("debug", "warning", "error"):
            getattr(logging.getLogger(), level)("a record")
    """
    make_pool().invoke(make_function(source, log_format="JSON", **levels), b"{}")
    assert [record.get("type") or record["level"] for record in json_records(sink)] == expected


def test_a_timeout_in_the_json_format_is_told_by_its_report(
    make_pool: MakePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    source = "import time\ndef handler(event, context): time.sleep(1000)"
    make_pool().invoke(make_function(source, timeout=1, log_format="JSON"), b"{}")
    report = json_records(sink)[-1]
    assert (report["type"], report["record"]["status"]) == ("platform.report", "timeout")
    assert report["record"]["errorType"] == "Sandbox.Timedout"


def test_a_sink_that_fails_does_not_fail_the_invocation(
    make_function: MakeFunction, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenSink:
        def put(self, function: ResolvedFunction, log_stream: str, events: Sequence[tuple[int, str]]) -> None:
            raise OSError("no room")

    pool = RuntimePool(BrokenSink(), endpoint_url="http://127.0.0.1:9", work_dir=tmp_path / "work", fork_servers=1)
    try:
        assert value_of(pool.invoke(make_function("def handler(event, context): return event"), b"1")) == 1
    finally:
        pool.close()
    assert "could not be stored" in caplog.text
