"""Runs invocations in a pool of environments.

Environments are reused while they are warm, the last used one first; a new one is started when all are busy, as
https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html describes. All state belongs to one event loop in
one thread; callers' threads wait for their outcome and hand the logs on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import resource
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import LocalCloudError
from harness.localcloud.api import ApiError, InvokeOutcome
from harness.localcloud.runtime.concurrency import ConcurrencyLimits
from harness.localcloud.runtime.environment import Environment, Invocation, NotDeliveredError
from harness.localcloud.runtime.runtime_site import PRELOADED_MODULES, build_site
from harness.localcloud.runtime.sandbox import Sandbox
from harness.localcloud.runtime.spawner import Process, Spawner, StartMethod

if TYPE_CHECKING:
    from harness.localcloud.api import LogSink, ResolvedFunction
    from harness.localcloud.runtime.output import Record

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

# How often the logs of an invocation that still runs are handed on.
_PARTIAL_LOG_SECONDS = 1.0
_CLOSE_SECONDS = 15.0
# How long none of a version's environments may come free before an invocation that waits for one gets one more.
_PATIENCE_SECONDS = 0.25
# Three pipes, a listener, a connection and one to spare.
_DESCRIPTORS_PER_ENVIRONMENT = 6


@dataclass
class _Waiting:
    """An invocation that waits for an environment.

    Attributes:
        key: What its environment must be like.
        turn: Gets an environment, or None for the right to start one, for which a slot is taken then.
        since: When it began to wait, on the loop's clock.
    """

    key: Hashable
    turn: asyncio.Future[Environment | None]
    since: float


class RuntimePool:
    """Runs function code in awslambdaric processes on this machine; a `harness.localcloud.api.FunctionRunner`.

    Safe to use from any number of threads. Nothing that it starts outlives `close`, nor the process that made it, even
    if that is killed.

    Args:
        sink: Takes the functions' logs. Called in the thread that invokes, before `invoke` returns.
        endpoint_url: What functions get as ``AWS_ENDPOINT_URL``, or a function that says it when the first environment
            starts.
        work_dir: A folder for environments' files; made if it isn't there. The caller removes it after `close`.
        max_concurrency: Invocations that may run at once, over all functions, as an account's concurrency limit.
        max_idle: Warm environments kept, over all functions; the longest idle one goes first.
        plenty: From so many busy environments on, over all functions, an invocation waits for one to come free, as
            long as they do come free, before it gets one more: a burst of short invocations is done sooner by a few
            warm environments than by as many cold ones, 30 MB each, as it has invocations.
        start_method: ``fork`` starts environments off a process that has boto3 imported already; ``exec`` starts a
            new interpreter for each. A function can't tell them apart but by the time, and by its string hashes: all
            forks of one process share their seed.
        fork_servers: How many processes to fork off, in turn. More than one, so that a function whose replay depends
            on the order of a set fails here as it does on AWS, where every environment has its own seed.
    """

    def __init__(
        self,
        sink: LogSink,
        *,
        endpoint_url: Callable[[], str] | str,
        work_dir: Path,
        max_concurrency: int = 200,
        max_idle: int = 24,
        plenty: int = 16,
        start_method: StartMethod = "fork",
        fork_servers: int = 2,
    ) -> None:
        self._sink = sink
        self._endpoint_url = endpoint_url
        self._work_dir = work_dir
        self._max_idle = max_idle
        self._plenty = plenty
        self._start_method: StartMethod = start_method
        self._limits = ConcurrencyLimits(max_concurrency)
        self._idle: list[tuple[Hashable, Environment]] = []
        self._busy: dict[Environment, Hashable] = {}
        self._queue: deque[_Waiting] = deque()
        self._look_again: asyncio.TimerHandle | None = None
        # When an environment of a kind was last handed on, or had started.
        self._freed: dict[Hashable, float] = {}
        self._starting_kinds: Counter[Hashable] = Counter()
        self._starting = 0
        # A machine that initializes more at once than it has cores makes each of them slower than its time limit.
        self._max_starting = max(4, 2 * (os.cpu_count() or 1))
        self._numbers = itertools.count(1)
        self._closing = False
        self._closed = False
        self._submitting = threading.Lock()
        self._ending: Future[None] = Future()

        _allow_descriptors(max_concurrency * _DESCRIPTORS_PER_ENVIRONMENT + 512)
        work_dir.mkdir(parents=True, exist_ok=True)
        self._site_directory = build_site(work_dir / "site")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="lambda-runtime", daemon=True)
        self._thread.start()
        # At once, for what it imports to be there when the first function is invoked.
        self._spawners: list[Spawner] = self._call(self._make_spawners(fork_servers))

    def invoke(
        self,
        function: ResolvedFunction,
        payload: bytes,
        *,
        request_id: str | None = None,
        client_context: str | None = None,
        tenant_id: str | None = None,
    ) -> InvokeOutcome:
        """Run one invocation and wait for its end; its logs are with the sink by then.

        Args:
            function: The version to run.
            payload: The event's JSON.
            request_id: The invocation's id; a new UUID if None.
            client_context: The client context's JSON, decoded.
            tenant_id: The tenant, whose environments no other tenant's invocations share.

        Raises:
            ApiError: TooManyRequestsException (429) when the function's or the pool's concurrency is used up;
                ServiceException (500) when no process can be started, or the pool is closed;
                ResourceNotFoundException (404) when the function was stopped before it got an environment.
        """
        invocation = Invocation(
            function=replace(function, environment=dict(function.environment)),
            payload=payload,
            request_id=request_id or str(uuid.uuid4()),
            client_context=client_context,
            tenant_id=tenant_id,
        )
        future = self._submit(self._invoke(invocation))
        while not wait([future], _PARTIAL_LOG_SECONDS).done:
            with contextlib.suppress(ApiError):
                self._deliver(invocation, self._call(self._take_partial(invocation)))
        outcome = future.result()
        self._deliver(invocation, invocation.records)
        return outcome

    def set_concurrency(self, name: str, limit: int | None) -> None:
        """Reserve a function's concurrency.

        Args:
            name: The function's bare name.
            limit: How many of its invocations may run at once, 0 for none; None for the pool's own limit.
        """

        async def apply() -> None:
            self._limits.reserve(name, limit)

        self._call(apply())

    def stop_function(self, name: str) -> None:
        """Kill every environment of a function and wait until they are gone.

        What they were running ends as if the process had been killed.
        """
        self._call(self._stop_function(name))

    def close(self) -> None:
        """Kill every environment, wait until they are gone, and stop. Later invokes are refused."""
        with self._submitting:
            if not self._closed:
                self._closed = True
                self._ending = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        with contextlib.suppress(TimeoutError):
            self._ending.result(_CLOSE_SECONDS)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)

    def environments(self, name: str | None = None) -> list[int]:
        """The process ids of the environments that live, of one function or of all."""

        async def look() -> list[int]:
            every = [*self._busy, *(environment for _, environment in self._idle)]
            return [
                environment.process.pid
                for environment in every
                if environment.process is not None
                and environment.process.pid is not None
                and name in {None, environment.function.name}
            ]

        return self._call(look())

    def fork_servers(self) -> list[int]:
        """The process ids of the processes that start environments."""

        async def look() -> list[int]:
            return [spawner.pid for spawner in self._spawners]

        return self._call(look())

    # Below here everything runs on the loop, but for what says otherwise.

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _submit(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        # Nothing may reach the loop once it is about to stop: nobody would ever answer.
        with self._submitting:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise _refused()

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return self._submit(coroutine).result()

    def _deliver(self, invocation: Invocation, records: list[Record]) -> None:
        """Hand records to the sink, in the caller's thread."""
        self._put(invocation.function, invocation.log_stream, records)

    def _put(self, function: ResolvedFunction, log_stream: str, records: list[Record]) -> None:
        if not records:
            return
        try:
            self._sink.put(function, log_stream, [(record.microseconds // 1000, record.message) for record in records])
        except Exception:  # noqa: BLE001 - an invocation's outcome doesn't depend on where its logs go
            _log.exception("The logs of function %s could not be stored", function.name)

    async def _make_spawners(self, count: int) -> list[Spawner]:
        return [self._make_spawner(number) for number in range(count)]

    def _make_spawner(self, number: int) -> Spawner:
        return Spawner(
            work_dir=self._work_dir / f"forkserver-{number}",
            site_directory=self._site_directory,
            preload=PRELOADED_MODULES if self._start_method == "fork" else (),
        )

    async def _invoke(self, invocation: Invocation) -> InvokeOutcome:
        name = invocation.function.name
        if self._closing:
            raise _refused()
        self._limits.enter(name)
        try:
            while True:
                with contextlib.suppress(NotDeliveredError):
                    return await self._attempt(invocation)
        finally:
            self._limits.leave(name)

    async def _attempt(self, invocation: Invocation) -> InvokeOutcome:
        key = _key(invocation)
        environment = self._take_idle(key)
        init_ms: float | None = None
        if environment is None:
            environment = await self._turn(key)
        if environment is None:
            environment, initialized = await self._start(invocation, key)
            if isinstance(initialized, InvokeOutcome):
                await self._discard(environment)
                return initialized
            init_ms = initialized
        try:
            return await environment.run(invocation, init_ms)
        except BaseException:
            environment.usable = False
            raise
        finally:
            await self._release(environment, key)

    async def _turn(self, key: Hashable) -> Environment | None:
        """Wait for an environment that comes free, or (None) for the right to start one."""
        waiting = _Waiting(key, self._loop.create_future(), self._loop.time())
        self._queue.append(waiting)
        self._grant_starts()
        return await waiting.turn

    def _grant_starts(self) -> None:
        """Let those start an environment for whom it is time, and look again when it may be for the next."""
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        now = self._loop.time()
        later = []
        kinds = Counter(self._busy.values())
        living = len(self._busy)
        for waiting in list(self._queue):
            if self._starting >= self._max_starting:
                # Whoever has started looks for the next.
                return
            if living >= self._plenty and kinds[waiting.key]:
                if self._starting_kinds[waiting.key]:
                    # Comes free in a moment; then this is asked again.
                    continue
                moment = max(waiting.since, self._freed.get(waiting.key, 0)) + _PATIENCE_SECONDS
                if moment > now:
                    later.append(moment)
                    continue
            elif self._idle and living + len(self._idle) >= self._plenty:
                self._discard_later(self._idle.pop(0)[1])
            self._queue.remove(waiting)
            self._starting += 1
            self._starting_kinds[waiting.key] += 1
            living += 1
            kinds[waiting.key] += 1
            waiting.turn.set_result(None)
        if later:
            self._look_again = self._loop.call_at(min(later), self._grant_starts)

    async def _start(self, invocation: Invocation, key: Hashable) -> tuple[Environment, InvokeOutcome | float]:
        """Start an environment in the slot that the invocation has been given."""
        self._evict_outdated(invocation)
        granted = asyncio.Event()
        slot = asyncio.ensure_future(self._free_slot(granted, key))
        try:
            url = self._endpoint_url if isinstance(self._endpoint_url, str) else self._endpoint_url()
            number = next(self._numbers)
            root = self._work_dir / "environments" / f"{number:06d}"
            try:
                environment = Environment(
                    invocation.function,
                    root=root,
                    endpoint_url=url,
                    start=lambda sandbox, address, fds: self._start_process(number, invocation, sandbox, address, fds),
                )
            except OSError as error:
                raise _unavailable(error) from error
            self._busy[environment] = key
            try:
                return environment, await environment.initialize(invocation, granted)
            except (OSError, LocalCloudError) as error:
                await self._discard(environment)
                raise _unavailable(error) from error
        finally:
            granted.set()
            await slot

    async def _free_slot(self, granted: asyncio.Event, key: Hashable) -> None:
        await granted.wait()
        self._starting -= 1
        self._starting_kinds[key] -= 1
        if not self._starting_kinds[key]:
            del self._starting_kinds[key]
        self._freed[key] = self._loop.time()
        self._grant_starts()

    def _start_process(
        self, number: int, invocation: Invocation, sandbox: Sandbox, address: str, descriptors: list[int]
    ) -> Process:
        if self._closing:
            raise LocalCloudError("The local cloud is shutting down")
        index = number % len(self._spawners)
        if not self._spawners[index].alive:
            self._spawners[index] = self._make_spawner(index)
        function = invocation.function
        bytecode = self._work_dir / "bytecode" / function.code_sha256.replace("/", "_")[:16]
        return self._spawners[index].start(
            method=self._start_method,
            specification={
                "task_root": str(function.code_directory),
                "layers": [str(layer) for layer in sandbox.python_layers],
                "site_directory": str(self._site_directory),
                "handler": function.handler,
                "pycache_prefix": str(bytecode) if self._start_method == "fork" else None,
            },
            environment={**sandbox.variables, "AWS_LAMBDA_RUNTIME_API": address},
            descriptors=descriptors,
        )

    def _take_idle(self, key: Hashable) -> Environment | None:
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index][0] == key:
                _, environment = self._idle.pop(index)
                self._busy[environment] = key
                return environment
        return None

    async def _release(self, environment: Environment, key: Hashable) -> None:
        if not environment.usable or environment.ended or self._closing:
            await self._discard(environment)
            return
        for waiting in self._queue:
            if waiting.key == key:
                self._queue.remove(waiting)
                self._freed[key] = self._loop.time()
                waiting.turn.set_result(environment)
                return
        del self._busy[environment]
        self._idle.append((key, environment))
        while len(self._idle) > self._max_idle:
            _, oldest = self._idle.pop(0)
            self._discard_later(oldest)

    def _evict_outdated(self, invocation: Invocation) -> None:
        """Let go of warm environments of this version that have another code or configuration."""
        function = invocation.function
        current = _configuration(function)
        for entry in list(self._idle):
            other = entry[1].function
            if (other.name, other.version) == (function.name, function.version) and _configuration(other) != current:
                self._idle.remove(entry)
                self._discard_later(entry[1])

    def _discard_later(self, environment: Environment) -> None:
        self._busy[environment] = None
        task = self._loop.create_task(self._discard(environment))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _discard(self, environment: Environment) -> None:
        leftover = await environment.close()
        self._busy.pop(environment, None)
        if leftover:
            await asyncio.to_thread(self._put, environment.function, environment.sandbox.log_stream, leftover)

    async def _take_partial(self, invocation: Invocation) -> list[Record]:
        if invocation.environment is not None:
            invocation.environment.take_partial(invocation)
        records, invocation.records = invocation.records, []
        return records

    async def _stop_function(self, name: str) -> None:
        mine = [entry for entry in self._idle if entry[1].function.name == name]
        self._idle = [entry for entry in self._idle if entry not in mine]
        for _, environment in mine:
            self._busy[environment] = None
        self._refuse_queued(lambda key: isinstance(key, tuple) and key[0] == name, _stopped(name))
        for key in [key for key in self._freed if isinstance(key, tuple) and key[0] == name]:
            del self._freed[key]
        ending = [environment for environment in self._busy if environment.function.name == name]
        for environment in ending:
            environment.usable = False
        await asyncio.gather(*(self._end(environment) for environment in ending))

    async def _end(self, environment: Environment) -> None:
        """Kill an environment; whoever is using it closes it, otherwise it is closed here."""
        in_use = self._busy.get(environment) is not None
        if in_use and environment.process is not None:
            environment.process.kill()
            await asyncio.wait({environment.process.exited})
        elif not in_use:
            await self._discard(environment)

    def _refuse_queued(self, matches: Callable[[Hashable], bool], error: ApiError) -> None:
        for entry in list(self._queue):
            if matches(entry.key):
                self._queue.remove(entry)
                entry.turn.set_exception(error)

    async def _close(self) -> None:
        self._closing = True
        self._refuse_queued(lambda _: True, _refused())
        await asyncio.gather(*(spawner.close() for spawner in self._spawners))
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        if tasks:
            # Every environment is dead; what waited for one learns so, collects its logs and ends.
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS / 3)
        for environment in [*self._busy, *(environment for _, environment in self._idle)]:
            await environment.close()
        self._idle.clear()
        self._busy.clear()


def _key(invocation: Invocation) -> Hashable:
    function = invocation.function
    return (function.name, function.version, _configuration(function), invocation.tenant_id)


def _configuration(function: ResolvedFunction) -> Hashable:
    """All that an environment is made from; the qualifier of one invocation isn't."""
    plain = replace(function, qualifier=None, invoked_arn=function.arn, environment={})
    return (
        tuple(sorted(function.environment.items())),
        *(value for name, value in vars(plain).items() if name != "environment"),
    )


def _refused() -> ApiError:
    return ApiError("ServiceException", "The local cloud is shutting down.", 500, members={"Type": "Service"})


def _unavailable(error: Exception) -> ApiError:
    return ApiError("ServiceException", f"No environment can be started: {error}", 500, members={"Type": "Service"})


def _stopped(name: str) -> ApiError:
    return ApiError("ResourceNotFoundException", f"Function not found: {name}", 404, members={"Type": "User"})


def _allow_descriptors(wanted: int) -> None:
    """Raise this process's limit of open files as far as it goes without privileges."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
