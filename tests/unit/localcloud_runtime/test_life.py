"""How a pool ends, and that nothing outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness.localcloud.api import ApiError

from .conftest import MakeFunction, MakePool
from .support import Background, RecordingSink, eventually, is_running, value_of

BUSY = """
import os, subprocess, sys

def handler(event, context):
    child = subprocess.Popen(["sleep", "1000"])
    print(f"pids {os.getpid()} {child.pid}", flush=True)
    if event == "stay":
        while True:
            pass
"""

OWNER = """
import sys, threading
from pathlib import Path
from harness.localcloud.runtime import RuntimePool
from tests.unit.localcloud_runtime.support import ENDPOINT, resolved

class Sink:
    def put(self, function, log_stream, events):
        for _, message in events:
            if message.startswith("pids"):
                print(message, end="", flush=True)

if __name__ == "__main__":
    code, work, method = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    pool = RuntimePool(Sink(), endpoint_url=ENDPOINT, work_dir=work, start_method=method)
    print("pids", *pool.fork_servers(), flush=True)
    pool.invoke(resolved("idle", code), b'"return"')
    threading.Thread(target=pool.invoke, args=(resolved("busy", code, timeout=900), b'"stay"')).start()
"""


@pytest.mark.parametrize("start_method", ["fork", "exec"])
def test_nothing_outlives_an_owner_that_is_killed(
    make_function: MakeFunction, tmp_path: Path, start_method: str
) -> None:
    script = tmp_path / "owner.py"
    script.write_text(textwrap.dedent(OWNER), encoding="utf-8")
    root = Path(__file__).resolve().parents[3]
    owner = subprocess.Popen(
        [sys.executable, str(script), str(make_function(BUSY).code_directory), str(tmp_path / "work"), start_method],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert owner.stdout is not None
        lines = [owner.stdout.readline() for _ in range(3)]
        pids = [int(word) for line in lines for word in line.split()[1:]]
        assert len(pids) == 6
        assert all(is_running(pid) for pid in pids)
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        owner.stdout.close()  # type: ignore[union-attr]
    assert eventually(lambda: not any(is_running(pid) for pid in pids))


def test_closing_kills_what_runs_and_ends_its_invocations(
    make_pool: MakePool, make_function: MakeFunction, sink: RecordingSink
) -> None:
    pool = make_pool()
    function = make_function(BUSY)
    calls = [Background(lambda: pool.invoke(function, b'"stay"')) for _ in range(2)]
    # Logs of what runs are handed on each second.
    assert eventually(lambda: sum(message.startswith("pids") for message in sink.messages) == 2)
    pids = [int(word) for message in sink.messages if message.startswith("pids") for word in message.split()[1:]]
    servers = pool.fork_servers()
    pool.close()
    assert [call.outcome().error_type for call in calls] == ["Runtime.ExitError"] * 2
    assert not any(is_running(pid) for pid in servers)
    assert eventually(lambda: not any(is_running(pid) for pid in pids))


def test_a_closed_pool_refuses_invocations_and_closes_again_without_effect(
    make_pool: MakePool, make_function: MakeFunction
) -> None:
    pool = make_pool()
    function = make_function("def handler(event, context): return event")
    assert value_of(pool.invoke(function, b"1")) == 1
    pool.close()
    pool.close()
    with pytest.raises(ApiError, match="ServiceException: The local cloud is shutting down"):
        pool.invoke(function, b"1")


def test_closing_leaves_no_descriptor_open(make_pool: MakePool, make_function: MakeFunction) -> None:
    function = make_function("def handler(event, context): return event")
    # What the interpreter opens once and keeps is there after the first round.
    counts = []
    for _ in range(3):
        pool = make_pool()
        assert value_of(pool.invoke(function, b"1")) == 1
        pool.close()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[1] == counts[2]
