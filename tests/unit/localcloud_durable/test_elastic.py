"""Threads are there while they are needed."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from harness.localcloud.durable import elastic
from harness.localcloud.durable.elastic import ElasticThreadPool

LIMIT = 30.0


def _named(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def _eventually_none(name: str) -> bool:
    pause = threading.Event()
    for _ in range(int(LIMIT / 0.02)):
        if not _named(name):
            return True
        pause.wait(0.02)
    return False


def test_calls_run_side_by_side_up_to_the_limit_and_in_order_beyond_it() -> None:
    pool = ElasticThreadPool(3, "limited")
    barrier = threading.Barrier(3)
    order: list[int] = []
    blocked = [pool.submit(barrier.wait, LIMIT) for _ in range(2)]
    gate = threading.Event()
    held = pool.submit(gate.wait, LIMIT)
    late = [pool.submit(order.append, number) for number in range(5)]
    assert _named("limited") == 3
    assert not any(future.done() for future in late)
    gate.set()
    assert held.result(LIMIT)
    for future in late:
        future.result(LIMIT)
    assert order == sorted(order)
    barrier.wait(LIMIT)
    assert {future.result(LIMIT) for future in blocked} <= {0, 1, 2}
    pool.shutdown()


def test_threads_end_when_nothing_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic, "IDLE_SECONDS", 0.01)
    pool = ElasticThreadPool(8, "shrinking")
    for _ in range(3):
        futures = [pool.submit(int, "7") for _ in range(20)]
        assert [future.result(LIMIT) for future in futures] == [7] * 20
        assert _eventually_none("shrinking")
    pool.shutdown()


def test_an_idle_thread_is_used_again() -> None:
    pool = ElasticThreadPool(8, "reused")
    first = pool.submit(threading.get_ident).result(LIMIT)
    pause = threading.Event()
    for _ in range(int(LIMIT / 0.01)):
        if pool._idle:
            break
        pause.wait(0.01)
    assert pool.submit(threading.get_ident).result(LIMIT) == first
    pool.shutdown()


def test_a_failure_reaches_whoever_asks() -> None:
    pool = ElasticThreadPool(1, "failing")
    with pytest.raises(ValueError, match="invalid literal"):
        pool.submit(int, "x").result(LIMIT)
    pool.shutdown()


def test_after_shutdown_nothing_begins() -> None:
    pool = ElasticThreadPool(1, "closing")
    begun, gate = threading.Event(), threading.Event()

    def run() -> bool:
        begun.set()
        return gate.wait(LIMIT)

    running = pool.submit(run)
    assert begun.wait(LIMIT)
    waiting = pool.submit(int, "7")
    pool.shutdown()
    with pytest.raises(CancelledError):
        waiting.result(LIMIT)
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int, "7")
    gate.set()
    assert running.result(LIMIT)
    assert _eventually_none("closing")
