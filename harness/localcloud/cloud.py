"""One local cloud: its parts put together, running, and taken apart again."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import harness
from harness.waiters import SYSTEM_CLOCK, Clock

from .admin import Admin
from .api import ApiError, DurableService, FunctionResolver, FunctionRunner, LogSink, Request, ResolvedFunction
from .backends import Moto
from .codestore import CodeStore
from .control import LambdaControl
from .dispatcher import Call, Dispatcher, Middleware, OperationCounter
from .faults.control import FaultControl
from .faults.executions import ExecutionVisibility
from .faults.iam import IamPropagation, invoked_reference
from .faults.logs import LogArrival
from .faults.rules import RuleFaults
from .faults.state import Faults
from .functions import FunctionRegistry
from .insights import InsightsService
from .invocation import RETRY_DELAYS, Invoker
from .logsink import LogReader, MotoLogSink
from .server import CloudServer
from .settings import CloudSettings, check_time_scale
from .workfolder import WorkFolder

_log = logging.getLogger(__name__)

#: Makes the part that runs function code: sink, the cloud's own URL, a folder to write to.
MakeRunner = Callable[[LogSink, str, WorkFolder], FunctionRunner]
#: Makes the part that has durable executions: resolver, runner, settings.
MakeDurable = Callable[[FunctionResolver, FunctionRunner, CloudSettings], DurableService]


def make_runner(sink: LogSink, endpoint_url: str, folder: WorkFolder) -> FunctionRunner:
    """The runtime pool: awslambdaric processes."""
    from .runtime import RuntimePool  # noqa: PLC0415 - tests run clouds without it

    return RuntimePool(sink, endpoint_url=endpoint_url, work_dir=folder.path / "runtime")


def make_durable(resolver: FunctionResolver, runner: FunctionRunner, settings: CloudSettings) -> DurableService:
    """The durable engine over AWS's testing SDK."""
    from .durable import DurableEngine  # noqa: PLC0415 - as above

    return DurableEngine(
        resolver,
        runner,
        region=settings.region,
        account_id=settings.account_id,
        time_scale=settings.time_scale,
    )


class Cloud:
    """A local cloud in this process. moto's state is one per process: so is a cloud.

    Args:
        settings: How it runs.
        runner: Makes the part that runs function code.
        durable: Makes the part that has durable executions.
        middlewares: Asked before every AWS call, and before the faults.
        clock: Where faults get their time from.

    Attributes:
        faults: What goes wrong; may be changed while it runs.
        endpoint_url: Where it answers.
        dispatcher: Its application, whose middlewares may change while it runs.
        admin: Its admin endpoint, which further parts may add to.
    """

    def __init__(
        self,
        settings: CloudSettings,
        *,
        runner: MakeRunner = make_runner,
        durable: MakeDurable = make_durable,
        middlewares: Sequence[Middleware] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.settings = settings
        self._time_scale = settings.time_scale
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self.faults = Faults(settings.faults, settings.seed, time_scale=lambda: self._time_scale, clock=clock)
        with contextlib.ExitStack() as undo:
            self._server = CloudServer(settings.port)
            undo.callback(self._server.server_close)
            self._folder = WorkFolder()
            undo.callback(self._folder.remove)
            self.endpoint_url = f"http://127.0.0.1:{self._server.port}"
            self._moto = Moto(settings.account_id, settings.region)
            store = CodeStore(self._folder.path / "code")
            self.registry = FunctionRegistry(self._moto, store)
            propagation = IamPropagation(self.faults, self._moto, self._invoked_role)
            self._arrival = LogArrival(self.faults, MotoLogSink(self._moto), self._moto, propagation.denies)
            self._runner = runner(self._arrival, self.endpoint_url, self._folder)
            undo.callback(self._stop_functions)
            self._durable = durable(self.registry, self._runner, settings)
            self._invoker = Invoker(
                self.registry,
                self._runner,
                self._durable,
                time_scale=lambda: self._time_scale,
                retries=self._allowed_retries,
            )
            self._moto.deliver_events_to(self._deliver)
            counter = OperationCounter()
            self.admin = Admin(
                settings.token,
                facts={
                    "version": harness.__version__,
                    "region": settings.region,
                    "account_id": settings.account_id,
                    "endpoint_url": self.endpoint_url,
                },
                inventory=self._inventory,
                operations=counter.snapshot,
                time_scale=lambda: self._time_scale,
                set_time_scale=self._set_time_scale,
            )
            FaultControl(self.faults).register(self.admin)
            self.dispatcher = Dispatcher(
                moto=self._moto,
                control=LambdaControl(self._moto, self.registry, store, self._runner, self._durable),
                invoker=self._invoker,
                durable=self._durable,
                insights=InsightsService(LogReader(self._moto)),
                admin=self.admin,
                counter=counter,
                middlewares=[
                    *middlewares,
                    RuleFaults(self.faults),
                    propagation,
                    self._arrival,
                    ExecutionVisibility(self.faults),
                ],
            )
            self._server.application = self.dispatcher
            undo.pop_all()

    def start(self) -> None:
        """Answer requests, in a thread of its own, from now on."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="cloud-server", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop everything that runs and remove everything that was written; a second call does nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._invoker.close()
        # The engine first: it would start what the runner has just stopped.
        for what, stop in (("durable executions", self._durable.close), ("functions", self._stop_functions)):
            try:
                stop()
            except Exception:  # noqa: BLE001 - the other parts must stop all the same
                _log.exception("Stopping %s failed", what)
        if self._thread is not None:
            self._server.shutdown()
        self._server.server_close()
        self._folder.remove()

    def _stop_functions(self) -> None:
        close = getattr(self._runner, "close", None)
        if close is not None:
            close()

    def _set_time_scale(self, value: float) -> None:
        check_time_scale(value)
        # The engine refuses while its timers run: they would keep the old scale.
        change = getattr(self._durable, "set_time_scale", None)
        if change is not None:
            change(value)
        self._time_scale = value

    def _allowed_retries(self, function: ResolvedFunction) -> int:
        return self._moto.event_retries(function.name, function.region, len(RETRY_DELAYS))

    def _deliver(self, function_arn: str, payload: bytes) -> bool:
        try:
            return self._invoker.run_event(self.registry.resolve(function_arn), payload)
        except ApiError as error:
            # The sender of a message has no part in it: the message stays where it is, as on AWS.
            _log.warning("An event for %s could not be delivered: %s", function_arn, error)
            return False

    def _invoked_role(self, call: Call) -> str:
        reference, qualifier = invoked_reference(call)
        return self.registry.resolve(reference, qualifier).role_arn

    def _inventory(self) -> dict[str, list[str]]:
        self._arrival.arrive()
        found = self._moto.inventory()
        running = [arn for name in self._moto.function_names() for arn in self._running(name)]
        return {**found, "running_executions": sorted(running)}

    def _running(self, function_name: str) -> list[str]:
        """The ARNs of a function's executions that haven't ended, asked for as any client would."""
        arns: list[str] = []
        marker: str | None = ""
        while marker is not None:
            query: dict[str, list[str]] = {"Statuses": ["RUNNING", "PAUSING", "PAUSED"], "MaxItems": ["1000"]}
            if marker:
                query["Marker"] = [marker]
            path = f"/2025-12-01/functions/{function_name}/durable-executions"
            response = self._durable.handle(Request("GET", path, query, {}, b""))
            page: dict[str, Any] = json.loads(response.body) if response.status == 200 else {}
            arns += [execution["DurableExecutionArn"] for execution in page.get("DurableExecutions", ())]
            marker = page.get("NextMarker")
        return arns
