"""One test session's deployments: started together, shared by module, destroyed whatever happens.

A session starts its target at the first need, deploys every example that was collected in background threads, hands
each deployment to the tests that wait for it, and destroys it when they are done, again in the background, so that
deploys, tests and destroys of different examples overlap.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import ConfigurationError
from harness.events import EventBus
from harness.infra import Deployment, DestroyReport, Infra
from harness.localcloud.handle import LocalCloud
from harness.targets import Target, aws_target, endpoint_target, local_target
from harness.waiters import Clock, SystemClock, iam_propagation_wait

_log = logging.getLogger(__name__)

GIB_PER_DEPLOYMENT = 1.0
"""Memory that Terraform and one provider process take while they run."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a session was asked for.

    Attributes:
        target: Where to deploy.
        region: The AWS region, or the region that the local cloud says it is.
        profile: A named profile for the AWS target; None takes boto3's default chain.
        allowed_accounts: Account ids that the AWS target may touch; empty allows any.
        endpoint_url: A local cloud, or another emulator, that already runs; None starts a local cloud.
        time_scale: How much faster than the wall clock durable waits, retries and timeouts pass locally. With
            ``endpoint_url`` it must be that cloud's own: it sets the pace of polls.
        keep: Leave deployments standing at the end.
        parallel: Deployments and destroys that may run at once; None decides by cores and memory.
    """

    target: Literal["local", "aws"] = "local"
    region: str = "us-east-1"
    profile: str | None = None
    allowed_accounts: tuple[str, ...] = ()
    endpoint_url: str | None = None
    time_scale: float = 60.0
    keep: bool = False
    parallel: int | None = None


@dataclass(frozen=True)
class SessionReport:
    """How a session's deployments ended.

    Attributes:
        destroyed: One report per destroyed workspace.
        kept: Workspaces left standing on request.
        failures: Errors of destroys that did not complete, by example.
    """

    destroyed: tuple[DestroyReport, ...]
    kept: tuple[Deployment, ...]
    failures: tuple[tuple[str, BaseException], ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is left that nobody asked to keep."""
        return not self.failures and all(not report.leftovers for report in self.destroyed)


def default_parallelism() -> int:
    """How many Terraform runs fit this machine: two per core, one per GiB of memory, at most eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        gib = 8.0
    return max(1, min(2 * cores + 1, int(gib / GIB_PER_DEPLOYMENT), 8))


@dataclass
class _Slot:
    """One example's way through the session."""

    example_dir: Path
    deploy: Future[Deployment]
    destroy: Future[DestroyReport] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class HarnessSession:
    """The deployments of one test session.

    Args:
        settings: What was asked for.
        bus: Where progress events go.
        clock: The clock that buffers wait on.
        before_first_deploy: Called once with the target and the example directories about to be deployed, before
            anything is created; what it raises stops the session from creating anything.
        before_destroy: Called with each deployment that nobody needs any more, just before it is destroyed (or left
            standing), in the background, unless the session was interrupted. What it raises is logged and changes
            nothing.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        bus: EventBus | None = None,
        clock: Clock | None = None,
        before_first_deploy: Callable[[Target, tuple[Path, ...]], None] | None = None,
        before_destroy: Callable[[Deployment], None] | None = None,
    ) -> None:
        self.settings = settings
        self.bus = bus or EventBus()
        self._clock = clock or SystemClock()
        self._announce = before_first_deploy
        self._before_destroy = before_destroy
        self._announced: set[Path] = set()
        self._lock = threading.RLock()
        self._slots: dict[Path, _Slot] = {}
        self._cloud: LocalCloud | None = None
        self._infra: Infra | None = None
        self._cancelled = threading.Event()
        self._closed = False
        self._pool = ThreadPoolExecutor(
            max_workers=settings.parallel or default_parallelism(), thread_name_prefix="harness-workspace"
        )

    @property
    def infra(self) -> Infra:
        """The infrastructure layer on this session's target, which is started at the first need."""
        with self._lock:
            if self._infra is None:
                self._infra = Infra(self._make_target(), bus=self.bus, cancelled=self._cancelled)
            return self._infra

    @property
    def target(self) -> Target:
        """Where this session deploys."""
        return self.infra.target

    @property
    def cloud(self) -> LocalCloud | None:
        """The local cloud that this session started, if it did."""
        return self._cloud

    def _make_target(self) -> Target:
        settings = self.settings
        if settings.target == "aws":
            return aws_target(settings.region, profile=settings.profile, allowed_accounts=settings.allowed_accounts)
        if settings.endpoint_url:
            return endpoint_target(settings.endpoint_url, region=settings.region, time_scale=settings.time_scale)
        self._cloud = LocalCloud.start(time_scale=settings.time_scale, region=settings.region)
        return local_target(self._cloud)

    def prefetch(self, example_dirs: Iterable[Path]) -> None:
        """Begin to deploy these examples in the background, in this order."""
        directories = tuple(dict.fromkeys(path.resolve() for path in example_dirs))
        if not directories:
            return
        with self._lock:
            self._announce_once(directories)
            for directory in directories:
                self._slot(directory)

    def _announce_once(self, directories: tuple[Path, ...]) -> None:
        fresh = tuple(directory for directory in directories if directory not in self._announced)
        if fresh and self._announce is not None:
            self._announce(self.target, fresh)
        self._announced.update(fresh)

    def _slot(self, directory: Path) -> _Slot:
        if self._closed:
            raise ConfigurationError("The session is over; nothing is deployed any more", where=str(directory))
        slot = self._slots.get(directory)
        if slot is None:
            self._announce_once((directory,))
            infra = self.infra
            slot = _Slot(directory, self._pool.submit(self._deploy, infra, directory))
            self._slots[directory] = slot
        return slot

    def _deploy(self, infra: Infra, directory: Path) -> Deployment:
        deployment = infra.deploy(directory, keep=self.settings.keep)
        if infra.target.iam_propagation_buffer > 0:
            iam_propagation_wait(infra.target.iam_propagation_buffer, clock=self._clock)
        return deployment

    def deployment(self, example_dir: Path) -> Deployment:
        """The example's deployment; waits for it, and deploys it now if nobody asked before.

        Raises:
            TerraformError: The deploy failed; what it had created is already destroyed.
        """
        with self._lock:
            slot = self._slot(example_dir.resolve())
        return slot.deploy.result()

    def release(self, example_dir: Path) -> None:
        """Begin to destroy an example in the background; nobody needs it any more."""
        with self._lock:
            slot = self._slots.get(example_dir.resolve())
        if slot is None or self.settings.keep:
            return
        with slot.lock:
            if slot.destroy is None:
                slot.destroy = self._submit_destroy(slot)

    def _submit_destroy(self, slot: _Slot) -> Future[DestroyReport] | None:
        if slot.deploy.cancel() or slot.deploy.exception() is not None:
            return None  # never begun, or failed and destroyed by the deploy itself
        return self._pool.submit(self._destroy, slot.deploy.result())

    def _destroy(self, deployment: Deployment) -> DestroyReport:
        self._take_leave(deployment)
        return self.infra.destroy(deployment.workspace.name)

    def _take_leave(self, deployment: Deployment) -> None:
        if self._before_destroy is None or self._cancelled.is_set():
            return
        try:
            self._before_destroy(deployment)
        except Exception:  # noqa: BLE001 - nothing may keep a deployment from being destroyed
            _log.exception("What was to be done before the destroy of %s failed", deployment.workspace.name)

    def close(self, *, interrupted: bool = False) -> SessionReport:
        """Destroy what stands, wait for it, and stop the local cloud.

        Args:
            interrupted: Also interrupt deploys that are still running.
        """
        with self._lock:
            self._closed = True
            slots = list(self._slots.values())
        if interrupted:
            self._cancelled.set()
        try:
            for slot in slots:
                self.release(slot.example_dir)
            return self._collect(slots)
        finally:
            self._pool.shutdown(wait=True)
            if self._cloud is not None and not self.settings.keep:
                self._cloud.stop()

    def _collect(self, slots: list[_Slot]) -> SessionReport:
        destroyed: list[DestroyReport] = []
        kept: list[Deployment] = []
        failures: list[tuple[str, BaseException]] = []
        for slot in slots:
            if self.settings.keep:
                if not slot.deploy.cancel() and slot.deploy.exception() is None:
                    self._take_leave(slot.deploy.result())
                    kept.append(slot.deploy.result())
            elif slot.destroy is not None:
                error = slot.destroy.exception()
                if error is None:
                    destroyed.append(slot.destroy.result())
                else:
                    failures.append((slot.example_dir.name, error))
        return SessionReport(tuple(destroyed), tuple(kept), tuple(failures))
