"""Logs that can't be read yet, and the record that arrives after its log group was deleted.

Records are held back here and reach CloudWatch Logs when they are due, looked at whenever somebody logs or asks: so
Insights, FilterLogEvents and GetLogEvents always agree. Only what functions log is held back, not PutLogEvents.
"""

from __future__ import annotations

import heapq
import itertools
import json
import threading
from collections.abc import Callable, Sequence

from harness.localcloud.api import LogSink, ResolvedFunction, Response
from harness.localcloud.backends import Moto
from harness.localcloud.dispatcher import Call

from .state import Faults

Records = Sequence[tuple[int, str]]
#: Whether a role lacks an action only because its policy isn't known yet.
Denies = Callable[[str, str], bool]


class LogArrival:
    """Delivers functions' logs when they are due; a `LogSink`, and a middleware.

    Args:
        faults: The plan.
        sink: Where records go.
        moto: Where log groups are kept.
        denies: See `IamPropagation.denies`.
    """

    def __init__(self, faults: Faults, sink: LogSink, moto: Moto, denies: Denies) -> None:
        self._faults = faults
        self._sink = sink
        self._moto = moto
        self._denies = denies
        self._lock = threading.RLock()
        self._held: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        # A stream's records keep their order.
        self._due: dict[tuple[str, str], float] = {}
        self._last: dict[str, tuple[ResolvedFunction, str, tuple[int, str]]] = {}

    def put(self, function: ResolvedFunction, log_stream: str, events: Records) -> None:
        """Take what a function logged; it can be read when it is due."""
        if not events:
            return
        if self._denies(function.role_arn, "logs:PutLogEvents"):
            self._faults.count("log_refused", function.log_group)
            return
        wait = self._faults.seconds(self._faults.plan.logs.ingestion, "logs.ingestion")
        with self._lock:
            self._last[function.log_group] = (function, log_stream, events[-1])
            now = self._faults.clock.monotonic()
            key = function.log_group, log_stream
            due = max(now + wait, self._due.get(key, 0.0))
            if due > now:
                self._due[key] = due
                self._faults.count("log_delayed", function.log_group)
                self._hold(due, lambda: self._sink.put(function, log_stream, events))
                self.arrive()
                return
            self.arrive()
        self._sink.put(function, log_stream, events)

    def arrive(self) -> None:
        """Deliver everything that is due."""
        with self._lock:
            while self._held and self._held[0][0] <= self._faults.clock.monotonic():
                heapq.heappop(self._held)[2]()

    def before(self, call: Call) -> None:
        """Deliver what is due before anybody looks."""
        if call.operation.service == "logs":
            self.arrive()

    def after(self, call: Call, response: Response) -> Response:
        """Have a record come late for a group that was deleted."""
        if response.status < 300 and (call.operation.service, call.operation.name) == ("logs", "DeleteLogGroup"):
            self._deleted(str(json.loads(call.request.body or b"{}").get("logGroupName", "")))
        return response

    def _deleted(self, group: str) -> None:
        faults, plan = self._faults, self._faults.plan.logs
        with self._lock:
            # Only once: the late record is the last.
            last = self._last.pop(group, None)
            for key in [key for key in self._due if key[0] == group]:
                del self._due[key]
            if last is None or plan.late is None or not faults.chance(plan.late_rate, "logs.late_rate"):
                return
            function, stream, record = last
            arn = f"arn:aws:logs:{function.region}:{function.account_id}:log-group:{group}"
            # Asked now: what sends the record still has its credentials when the role is gone.
            if plan.late_needs_permission and not self._moto.role_allows(
                function.role_arn, "logs:CreateLogGroup", (arn, f"{arn}:*")
            ):
                return

            def create() -> None:
                faults.count("late_log", group)
                self._moto.create_log_group(group)
                self._moto.append_log(group, stream, [record])

            self._hold(faults.clock.monotonic() + faults.seconds(plan.late, "logs.late"), create)

    def _hold(self, due: float, deliver: Callable[[], object]) -> None:
        heapq.heappush(self._held, (due, next(self._numbers), deliver))
