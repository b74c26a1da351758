"""A thread pool that gives back the threads that it doesn't need any more.

The engine's own pool and the standard library's keep every thread that they ever started: after a burst of two hundred
executions they would hold two hundred threads for as long as the cloud runs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
IDLE_SECONDS = 1.0


class ElasticThreadPool(Executor):
    """Runs calls on daemon threads, as many as there are calls at once up to a limit.

    Args:
        most: How many threads there are at most; further calls wait in the order of their submission.
        name: What its threads' names begin with.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._changed = threading.Condition()
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn`` as soon as a thread is free.

        Raises:
            RuntimeError: After `shutdown`.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError(f"The pool {self._name} is shut down.")
            self._calls.append((future, lambda: fn(*args, **kwargs)))
            if self._idle >= len(self._calls):
                self._changed.notify()
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Run nothing any more; what runs already is left alone, and nobody waits for it."""
        with self._changed:
            self._closed = True
            dropped, self._calls = self._calls, deque()
            self._changed.notify_all()
        for future, _call in dropped:
            future.cancel()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            future, call = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - the future carries it to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)
            # Nothing of it may stay alive while this thread is idle.
            del future, call, taken

    def _take(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """The next call, or None when this thread is to end."""
        with self._changed:
            if not self._calls and not self._closed:
                self._idle += 1
                self._changed.wait_for(lambda: self._calls or self._closed, IDLE_SECONDS)
                self._idle -= 1
            if self._calls:
                return self._calls.popleft()
            self._threads -= 1
            return None
