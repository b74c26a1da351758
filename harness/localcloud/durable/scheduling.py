"""The engine's timers and lanes, so that a waiting execution costs no thread.

Private attributes of the testing SDK 1.4.0 that this module uses: ``Scheduler._loop`` and ``_thread_executor``;
``ExecutionRegistry._lock``, ``_shut_down``, ``_workers``, ``_store`` and ``_scheduler``.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from aws_durable_execution_sdk_python_testing.scheduler import Event, Scheduler
from aws_durable_execution_sdk_python_testing.stores.base import ExecutionStore
from aws_durable_execution_sdk_python_testing.worker.execution_worker import ExecutionWorker
from aws_durable_execution_sdk_python_testing.worker.lane import SerialTaskLane
from aws_durable_execution_sdk_python_testing.worker.registry import ExecutionRegistry

from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.elastic import ElasticThreadPool

T = TypeVar("T")
_log = logging.getLogger(__name__)

TIMER_THREADS = 16
LANE_THREADS = 32
# A lane hands its thread back after so many tasks, so that a busy execution can't keep the others waiting.
LANE_BATCH = 16


class ReportingEvent(Event):
    """Takes the place of the engine's event per execution, which nothing waits on here.

    The engine also reports failures of its own scheduled tasks through it; those are logged.
    """

    def __init__(self) -> None:
        # The base class would tie the event to the scheduler's loop.
        pass

    def set(self) -> None:
        """Nothing waits."""

    def set_exception(self, exception: Exception) -> None:
        """Log a failed task of the engine's."""
        _log.error("A scheduled task of the durable engine failed", exc_info=exception)

    def wait(self, timeout: float | None = None, *, clear_on_set: bool = True) -> bool:  # noqa: ARG002
        """Never set: executions tell their end themselves."""
        return False

    def remove(self) -> None:
        """Nothing is registered."""


class ScaledScheduler(Scheduler):
    """The engine's scheduler with every delay divided by the clock's scale.

    Args:
        clock: Whose scale holds.
    """

    def __init__(self, clock: ScaledClock) -> None:
        super().__init__()
        self._clock = clock
        # Timers of plain functions run here and wait for their execution's lane; the engine has one thread for all.
        self._thread_executor = ThreadPoolExecutor(TIMER_THREADS, thread_name_prefix="durable-timer")
        self._loop.set_default_executor(self._thread_executor)

    def create_event(self) -> Event:
        """An event without a trip through the loop, which every start of an execution would have to wait for."""
        return ReportingEvent()

    def call_later(
        self,
        func: Callable[[], Any],
        delay: float = 0,
        count: int | None = 1,
        completion_event: Event | None = None,
    ) -> Future[Any]:
        """Call ``func`` after ``delay`` engine seconds; once stopped, never."""
        if not self.is_started():
            cancelled: Future[Any] = Future()
            cancelled.cancel()
            return cancelled
        return super().call_later(func, delay / self._clock.scale, count, completion_event)

    def start(self) -> None:
        """Let timers run."""
        super().start()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """Cancel every timer and release the loop."""
        if not self.is_started():
            return
        super().stop()  # type: ignore[no-untyped-call]
        self._loop.close()


class PooledLane(SerialTaskLane):
    """A lane that borrows a thread of a shared pool while it has tasks, and holds none while it has not.

    Args:
        pool: Where its tasks run, one at a time and in the order of their submission.
    """

    def __init__(self, pool: ElasticThreadPool) -> None:
        # The base class would make a thread.
        self._pool = pool
        self._guard = threading.Lock()
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._draining = False
        self._closed = False

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Append ``fn`` to the lane.

        Raises:
            RuntimeError: When the lane has been stopped.
        """
        future: Future[T] = Future()
        with self._guard:
            if self._closed:
                raise RuntimeError("The lane is stopped.")
            self._tasks.append((fn, future))
            if not self._draining:
                self._draining = True
                self._schedule()
        return future

    def _schedule(self) -> None:
        try:
            turn = self._pool.submit(self._drain)
        except RuntimeError:
            self._abandon()
        else:
            # A pool that is shut down cancels what it hasn't begun; whoever waits for a task must learn of it.
            turn.add_done_callback(lambda ended: self._abandon() if ended.cancelled() else None)

    def _abandon(self) -> None:
        tasks, self._tasks = self._tasks, deque()
        for _fn, future in tasks:
            future.cancel()

    def _drain(self) -> None:
        for _ in range(LANE_BATCH):
            with self._guard:
                if not self._tasks:
                    self._draining = False
                    return
                fn, future = self._tasks.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = fn()
            except BaseException as error:  # noqa: BLE001 - the future carries it to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)
        self._schedule()

    def stop(self, *, wait: bool = True) -> None:  # noqa: ARG002
        """Take no more tasks; those taken still run."""
        with self._guard:
            self._closed = True

    def is_running(self) -> bool:
        """Whether the lane takes tasks."""
        return not self._closed


class PooledRegistry(ExecutionRegistry):
    """The engine's registry of workers, with lanes on one shared pool.

    No task on a lane waits for another lane, so the pool can't block itself.

    Args:
        store: The executions.
        scheduler: The engine's scheduler.
    """

    def __init__(self, store: ExecutionStore, scheduler: Scheduler) -> None:
        super().__init__(store, scheduler)
        self._pool = ElasticThreadPool(LANE_THREADS, "durable-lane")

    def get_or_create(self, execution_arn: str) -> ExecutionWorker:
        """The worker of an execution, made when there is none.

        Raises:
            RuntimeError: After `shutdown`.
        """
        with self._lock:
            if self._shut_down:
                raise RuntimeError("The durable engine is shut down.")
            worker = self._workers.get(execution_arn)
            if worker is None:
                worker = ExecutionWorker(execution_arn, self._store, self._scheduler, self, PooledLane(self._pool))
                self._workers[execution_arn] = worker
            return worker

    def shutdown(self) -> None:
        """Stop every lane."""
        super().shutdown()
        self._pool.shutdown()
