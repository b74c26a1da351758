"""Which environment an invocation gets: warm reuse, concurrency, eviction, replacement."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.localcloud.api import ApiError, ResolvedFunction
from harness.localcloud.runtime import RuntimePool

from .conftest import MakeFunction, MakePool
from .support import Background, eventually, is_running, value_of

COUNTING = """
import os, pathlib, time

count = 0

def handler(event, context):
    global count
    count += 1
    if "gate" in event:
        gate = pathlib.Path(event["gate"])
        (gate / f"entered-{os.getpid()}").touch()
        while not (gate / "open").exists():
            time.sleep(0.01)
    return {"pid": os.getpid(), "count": count}
"""


class Gate:
    """Keeps handlers of `COUNTING` inside their invocation until it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @property
    def event(self) -> bytes:
        return b'{"gate": "%s"}' % str(self.folder).encode()

    def wait_for(self, count: int) -> None:
        assert eventually(lambda: len(list(self.folder.glob("entered-*"))) >= count)

    def open(self) -> None:
        (self.folder / "open").touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def run(pool: RuntimePool, function: ResolvedFunction, payload: bytes = b"{}", **options: Any) -> dict[str, int]:
    result: dict[str, int] = value_of(pool.invoke(function, payload, **options))
    return result


def test_a_warm_environment_is_reused_and_keeps_its_state(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function(COUNTING)
    first = pool.invoke(function, b"{}")
    second = pool.invoke(function, b"{}")
    assert first.init_ms is not None
    assert second.init_ms is None
    assert value_of(second) == {"pid": value_of(first)["pid"], "count": 2}


def test_a_function_error_leaves_its_environment_warm(make_pool: MakePool, make_function: MakeFunction) -> None:
    pool = make_pool()
    function = make_function("import os\ndef handler(event, context): raise ValueError(os.getpid())")
    assert pool.invoke(function, b"{}").error_message == pool.invoke(function, b"{}").error_message


def test_invocations_at_once_have_an_environment_each(
    make_pool: MakePool, make_function: MakeFunction, gate: Gate
) -> None:
    pool = make_pool()
    function = make_function(COUNTING)
    calls = [Background(lambda: pool.invoke(function, gate.event)) for _ in range(3)]
    gate.wait_for(3)
    gate.open()
    assert len({value_of(call.outcome())["pid"] for call in calls}) == 3


def test_the_environment_used_last_is_used_next(make_pool: MakePool, make_function: MakeFunction, gate: Gate) -> None:
    pool = make_pool()
    function = make_function(COUNTING)
    calls = [Background(lambda: pool.invoke(function, gate.event)) for _ in range(2)]
    gate.wait_for(2)
    gate.open()
    for call in calls:
        call.outcome()
    last = run(pool, function)["pid"]
    assert [run(pool, function)["pid"] for _ in range(3)] == [last] * 3


def test_many_invocations_at_once_all_end(make_pool: MakePool, make_function: MakeFunction) -> None:
    pool = make_pool()
    function = make_function("def handler(event, context): return event")
    calls = [Background(lambda n=n: pool.invoke(function, b"%d" % n)) for n in range(60)]  # type: ignore[misc]
    assert [value_of(call.outcome()) for call in calls] == list(range(60))


def test_a_burst_of_short_invocations_is_served_by_a_few_environments(
    make_pool: MakePool, make_function: MakeFunction
) -> None:
    pool = make_pool(plenty=2)
    function = make_function("import os\ndef handler(event, context): return os.getpid()")
    calls = [Background(lambda: pool.invoke(function, b"{}")) for _ in range(40)]
    assert len({value_of(call.outcome()) for call in calls}) <= 2


def test_invocations_that_keep_their_environments_busy_run_side_by_side_all_the_same(
    make_pool: MakePool, make_function: MakeFunction, gate: Gate
) -> None:
    pool = make_pool(plenty=2)
    function = make_function(COUNTING)
    calls = [Background(lambda: pool.invoke(function, gate.event)) for _ in range(5)]
    gate.wait_for(5)
    gate.open()
    assert len({value_of(call.outcome())["pid"] for call in calls}) == 5


def test_a_function_that_has_no_environment_does_not_wait_for_others(
    make_pool: MakePool, make_function: MakeFunction, gate: Gate
) -> None:
    pool = make_pool(plenty=1)
    busy, other = make_function(COUNTING), make_function(COUNTING)
    call = Background(lambda: pool.invoke(busy, gate.event))
    gate.wait_for(1)
    assert run(pool, other)["count"] == 1
    gate.open()
    call.outcome()


def test_versions_and_tenants_do_not_share_environments(make_pool: MakePool, make_function: MakeFunction) -> None:
    pool = make_pool()
    one = make_function(COUNTING, name="one", version="1")
    two = make_function(COUNTING, name="one", version="2")
    pids = [run(pool, one)["pid"], run(pool, two)["pid"], run(pool, one, tenant_id="blue")["pid"]]
    assert len(set(pids)) == 3
    again = [run(pool, one)["pid"], run(pool, two)["pid"], run(pool, one, tenant_id="blue")["pid"]]
    assert again == pids


def test_an_alias_runs_in_its_versions_environment(make_pool: MakePool, make_function: MakeFunction) -> None:
    pool = make_pool()
    plain = make_function(COUNTING, name="one", version="1")
    alias = ResolvedFunction(**{**vars(plain), "qualifier": "live", "invoked_arn": f"{plain.arn}:live"})
    assert run(pool, plain)["pid"] == run(pool, alias)["pid"]


def test_a_changed_configuration_replaces_the_environment(make_pool: MakePool, make_function: MakeFunction) -> None:
    pool = make_pool()
    before = make_function(COUNTING)
    old = run(pool, before)["pid"]
    after = ResolvedFunction(**{**vars(before), "environment": {"MODE": "new"}})
    assert run(pool, after) != {"pid": old, "count": 2}
    assert eventually(lambda: not is_running(old))


def test_idle_environments_over_the_cap_are_let_go_oldest_first(
    make_pool: MakePool, make_function: MakeFunction
) -> None:
    pool = make_pool(max_idle=2)
    functions = [make_function(COUNTING) for _ in range(3)]
    pids = [run(pool, function)["pid"] for function in functions]
    assert eventually(lambda: not is_running(pids[0]))
    assert eventually(lambda: sorted(pool.environments()) == sorted(pids[1:]))


def test_reserved_concurrency_throttles_one_function(
    make_pool: MakePool, make_function: MakeFunction, gate: Gate
) -> None:
    pool = make_pool()
    function, other = make_function(COUNTING), make_function(COUNTING)
    pool.set_concurrency(function.name, 1)
    call = Background(lambda: pool.invoke(function, gate.event))
    gate.wait_for(1)
    with pytest.raises(ApiError) as refused:
        pool.invoke(function, b"{}")
    assert (refused.value.code, refused.value.status) == ("TooManyRequestsException", 429)
    assert refused.value.members["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert run(pool, other)["count"] == 1
    gate.open()
    call.outcome()
    assert run(pool, function)["count"] == 2


def test_a_reserved_concurrency_of_zero_stops_a_function(make_pool: MakePool, make_function: MakeFunction) -> None:
    pool = make_pool()
    function = make_function(COUNTING)
    pool.set_concurrency(function.name, 0)
    with pytest.raises(ApiError, match="TooManyRequestsException"):
        pool.invoke(function, b"{}")
    pool.set_concurrency(function.name, None)
    assert run(pool, function)["count"] == 1


def test_the_pools_concurrency_throttles_every_function(
    make_pool: MakePool, make_function: MakeFunction, gate: Gate
) -> None:
    pool = make_pool(max_concurrency=2)
    busy, other = make_function(COUNTING), make_function(COUNTING)
    calls = [Background(lambda: pool.invoke(busy, gate.event)) for _ in range(2)]
    gate.wait_for(2)
    with pytest.raises(ApiError) as refused:
        pool.invoke(other, b"{}")
    assert refused.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"
    gate.open()
    for call in calls:
        call.outcome()
    assert run(pool, other)["count"] == 1


def test_an_environment_that_died_while_idle_is_replaced(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function(COUNTING)
    old = run(pool, function)["pid"]
    os.kill(old, signal.SIGKILL)
    assert eventually(lambda: not is_running(old))
    again = run(pool, function)
    assert again["count"] == 1
    assert again["pid"] != old


def test_a_fork_server_that_died_is_replaced_and_its_environments_with_it(
    make_pool: MakePool, make_function: MakeFunction
) -> None:
    pool = make_pool()
    function = make_function(COUNTING)
    old = run(pool, function)["pid"]
    (server,) = pool.fork_servers()
    os.kill(server, signal.SIGKILL)
    assert eventually(lambda: not is_running(old))
    assert eventually(lambda: not is_running(server))
    assert run(pool, function)["count"] == 1
    assert pool.fork_servers() != [server]


def test_stopping_a_function_kills_its_environments_and_no_others(
    make_pool: MakePool, make_function: MakeFunction, gate: Gate
) -> None:
    pool = make_pool()
    doomed, other = make_function(COUNTING, name="doomed"), make_function(COUNTING, name="other")
    kept = run(pool, other)["pid"]
    idle = run(pool, doomed)["pid"]
    busy = Background(lambda: pool.invoke(ResolvedFunction(**{**vars(doomed), "version": "1"}), gate.event))
    gate.wait_for(1)
    pool.stop_function("doomed")
    assert busy.outcome().error_type == "Runtime.ExitError"
    assert not is_running(idle)
    assert pool.environments() == [kept]


def test_a_broken_work_folder_is_a_service_error(
    make_pool: MakePool, make_function: MakeFunction, tmp_path: Path
) -> None:
    pool = make_pool()
    (tmp_path / "work-0" / "environments").write_text("in the way")
    with pytest.raises(ApiError, match="ServiceException: No environment can be started"):
        pool.invoke(make_function(COUNTING), b"{}")
