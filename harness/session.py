"""One test session's deployments: started together, shared by module, destroyed whatever happens.

A session starts its target at the first need, deploys every example that was collected in background threads, hands
each deployment to the tests that wait for it, and destroys it when they are done, again in the background, so that
deploys, tests and destroys of different examples overlap.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from harness.clouds import Clouds, CloudSettings
from harness.errors import ConfigurationError, LocalCloudError
from harness.events import EventBus
from harness.infra import Deployment, DestroyReport, Infra
from harness.ledger import Ledger
from harness.localcloud.faults import FaultPlan, PlanLike, load_plan
from harness.localcloud.handle import LocalCloud
from harness.remote import Location
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
        keep: Leave deployments standing at the end, and the local cloud that they are in.
        reuse: Take what an earlier run kept, where it fits; implies ``keep``.
        state: Where the states of new workspaces go, as ``HARNESS_STATE`` spells it; None keeps them on this machine.
        parallel: Deployments and destroys that may run at once; None decides by cores and memory.
        faults: What goes wrong in the local cloud: ``calm``, ``realistic``, ``storm``, or a TOML file.
        seed: What the chance of faults starts from; None draws one.
        cloud_token: The token of the local cloud at ``endpoint_url``, for faults.

    Raises:
        ConfigurationError: The fault plan can't be used, or is given where there is no local cloud.
    """

    target: Literal["local", "aws"] = "local"
    region: str = "us-east-1"
    profile: str | None = None
    allowed_accounts: tuple[str, ...] = ()
    endpoint_url: str | None = None
    time_scale: float = 60.0
    keep: bool = False
    reuse: bool = False
    state: str | None = None
    parallel: int | None = None
    faults: str = "calm"
    seed: int | None = None
    cloud_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.reuse:
            object.__setattr__(self, "keep", True)
        if self.state:
            Location.parse(self.state)
            if self.target == "local" and not self.endpoint_url:
                raise ConfigurationError(
                    f"{self.state} would be in a local cloud that starts empty",
                    where="--harness-state",
                    hint="Name a cloud that has the bucket with --harness-endpoint-url, or use --harness-target=aws.",
                )
        load_plan(self.faults)
        if self.faults == "calm" and self.seed is None:
            return
        if self.target == "aws":
            raise ConfigurationError(
                "Faults can't be injected into AWS",
                where="--harness-faults, --harness-seed",
                hint="They are the local cloud's: leave them out, or use --harness-target=local.",
            )
        if self.endpoint_url and not self.cloud_token:
            raise _no_admin_endpoint(self.endpoint_url)


@dataclass(frozen=True)
class SessionReport:
    """How a session's deployments ended.

    Attributes:
        destroyed: One report per destroyed workspace.
        kept: Workspaces left standing on request.
        failures: Errors of destroys that did not complete, by workspace.
        faults: How many faults of each kind the local cloud made, since its start.
        conditions: See `harness.targets.Target.conditions`.
    """

    destroyed: tuple[DestroyReport, ...]
    kept: tuple[Deployment, ...]
    failures: tuple[tuple[str, BaseException], ...]
    faults: Mapping[str, int] = field(default_factory=dict)
    conditions: str | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing is left that nobody asked to keep."""
        return not self.failures and all(report.clean for report in self.destroyed)


def default_parallelism() -> int:
    """How many Terraform runs at once: one more than there are cores, one per GiB of memory, at most eight.

    A deploy waits for seconds in the provider, which leaves room for one more. More than that only makes the first
    deployment, and with it the first test, come later.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        gib = 8.0
    return max(1, min(cores + 1, int(gib / GIB_PER_DEPLOYMENT), 8))


@dataclass(frozen=True)
class InjectedFaults:
    """The faults that the local cloud has made since a plan was set.

    Args:
        cloud: The local cloud.
        before: Its counts when the plan was set.
    """

    cloud: LocalCloud
    before: Mapping[str, Mapping[str, int]] = field(repr=False)

    def counts(self) -> dict[str, dict[str, int]]:
        """By kind and operation: ``{"throttle": {"lambda.Invoke": 2}}``; without what didn't happen."""
        now = self.cloud.injected_faults()
        fresh = {
            kind: {name: count - self.before.get(kind, {}).get(name, 0) for name, count in counts.items()}
            for kind, counts in now.items()
        }
        found = {kind: {name: count for name, count in counts.items() if count} for kind, counts in fresh.items()}
        return {kind: counts for kind, counts in found.items() if counts}

    def total(self, kind: str) -> int:
        """How many of a kind, such as ``throttle``."""
        return sum(self.counts().get(kind, {}).values())


def _no_admin_endpoint(endpoint_url: str | None) -> ConfigurationError:
    where = endpoint_url or "AWS"
    return ConfigurationError(
        "Faults need the admin endpoint of the harness's own local cloud, which isn't at hand",
        where=where,
        hint="Let the harness start its own cloud, or start one with `python -m harness.localcloud` and set "
        "HARNESS_CLOUD_TOKEN to what it prints; other emulators and AWS have no such endpoint.",
    )


@dataclass
class _Slot:
    """One example's way through the session.

    Attributes:
        users: How many have announced that they will release it and haven't yet.
    """

    example_dir: Path
    deploy: Future[Deployment]
    users: int = 1
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
        self._past: list[_Slot] = []
        self._cloud: LocalCloud | None = None
        self._admin: LocalCloud | None = None
        self._before: tuple[FaultPlan, int] | None = None
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
                state = Location.parse(self.settings.state) if self.settings.state else None
                self._infra = Infra(self._make_target(), bus=self.bus, cancelled=self._cancelled, state=state)
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
            # Its errors about the URL come before an attempt to reach it.
            target = endpoint_target(settings.endpoint_url, region=settings.region, time_scale=settings.time_scale)
            if not settings.cloud_token:
                return target
            wanted = settings.faults != "calm" or settings.seed is not None
            try:
                self._admin = LocalCloud.attach(settings.endpoint_url, settings.cloud_token)
            except LocalCloudError as error:
                if wanted:
                    raise _no_admin_endpoint(settings.endpoint_url) from error
                return target  # another emulator, and a token that is for something else
            if wanted:
                self._before = self._admin.faults, self._admin.seed
                self._admin.set_faults(settings.faults, settings.seed)
        elif settings.keep:
            wanted_cloud = CloudSettings(settings.region, settings.time_scale, settings.faults, settings.seed)
            self._admin = self._cloud = Clouds(Ledger()).find_or_start(wanted_cloud)
        else:
            self._admin = self._cloud = LocalCloud.start(
                time_scale=settings.time_scale, region=settings.region, faults=settings.faults, seed=settings.seed
            )
        plan = self._admin.faults
        calm = plan == load_plan("calm")
        return local_target(
            self._admin, conditions=None if calm else f"faults: {plan.name}, --harness-seed={self._admin.seed}"
        )

    @contextlib.contextmanager
    def faults(self, plan: PlanLike, seed: int | None = None) -> Iterator[InjectedFaults]:
        """Have the local cloud follow another fault plan for a while, and then the one before.

        It holds for everything that happens in the cloud meanwhile, deploys and destroys in the background included.
        The waits of deployments stay as the session's own plan needs them.

        Args:
            plan: A preset's name, a TOML file, a plan, or a mapping as a plan's file has it.
            seed: What chance starts from; None takes the session's seed.

        Raises:
            ConfigurationError: The plan can't be used, or there is no admin endpoint of a local cloud.
        """
        target = self.target
        if self._admin is None:
            raise _no_admin_endpoint(target.endpoint_url)
        before, seed_before = self._admin.faults, self._admin.seed
        injected = InjectedFaults(self._admin, self._admin.injected_faults())
        self._admin.set_faults(plan, seed)
        try:
            yield injected
        finally:
            self._admin.set_faults(before, seed_before)

    def prefetch(self, example_dirs: Iterable[Path]) -> None:
        """Begin to deploy these examples in the background, in this order.

        Args:
            example_dirs: Their directories, each as often as `release` will be called for it.
        """
        users = Counter(path.resolve() for path in example_dirs)
        if not users:
            return
        with self._lock:
            self._announce_once(tuple(users))
            for directory, count in users.items():
                self._slot(directory).users = count

    def _announce_once(self, directories: tuple[Path, ...]) -> None:
        fresh = tuple(directory for directory in directories if directory not in self._announced)
        if fresh and self._announce is not None:
            self._announce(self.target, fresh)
        self._announced.update(fresh)

    def _slot(self, directory: Path) -> _Slot:
        if self._closed:
            raise ConfigurationError("The session is over; nothing is deployed any more", where=str(directory))
        slot = self._slots.get(directory)
        if slot is not None and slot.destroy is not None:
            # Somebody needs it who hadn't been announced, as in a worker of pytest-xdist.
            self._past.append(slot)
            slot = None
        if slot is None:
            self._announce_once((directory,))
            infra = self.infra
            slot = _Slot(directory, self._pool.submit(self._deploy, infra, directory))
            self._slots[directory] = slot
        return slot

    def _deploy(self, infra: Infra, directory: Path) -> Deployment:
        settings = self.settings
        deployment = infra.reuse(directory) if settings.reuse else infra.deploy(directory, keep=settings.keep)
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
        """Say that one user is done with an example; after the last one it is destroyed, in the background."""
        with self._lock:
            slot = self._slots.get(example_dir.resolve())
            if slot is None:
                return
            slot.users -= 1
            last = slot.users <= 0
        if last:
            self._begin_destroy(slot)

    def _begin_destroy(self, slot: _Slot) -> None:
        if self.settings.keep:
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
            slots = [*self._past, *self._slots.values()]
        if interrupted:
            self._cancelled.set()
        try:
            for slot in slots:
                self._begin_destroy(slot)
            conditions = None if self._infra is None else self._infra.target.conditions
            return replace(self._collect(slots), faults=self._injected(), conditions=conditions)
        finally:
            self._pool.shutdown(wait=True)
            if self._admin is not None and self._before is not None:
                # It is somebody else's cloud.
                with contextlib.suppress(LocalCloudError):
                    self._admin.set_faults(*self._before)
            if self._cloud is not None:
                if self.settings.keep:
                    # Without a workspace in it, as after a failed deploy, there is nothing to keep it for.
                    Clouds(Ledger()).stop_unused()
                else:
                    self._cloud.stop()

    def _injected(self) -> dict[str, int]:
        try:
            found = {} if self._admin is None else self._admin.injected_faults()
        except LocalCloudError:
            return {}  # the cloud is gone, and the report of what is left matters more
        return {kind: sum(counts.values()) for kind, counts in found.items()}

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
                    failures.append((slot.deploy.result().workspace.name, error))
        return SessionReport(tuple(destroyed), tuple(kept), tuple(failures))
