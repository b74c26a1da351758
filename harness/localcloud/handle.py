"""The start/stop handle of a local cloud.

The cloud is a child process in a session of its own. It holds the reading end of a pipe whose writing end only this
process has: when this process ends, killed or not, the pipe ends and the cloud stops itself and everything below it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from harness.errors import LocalCloudError

from .faults import FaultPlan, PlanLike, Waits, load_plan, parse_plan

if TYPE_CHECKING:
    from types import TracebackType

_MISSING_PACKAGES = 3
_GRACE_SECONDS = 20.0
_TAIL_BYTES = 4096
_INSTALL = "pip install 'durable-functions-harness[local]'"
_LIVE: weakref.WeakSet[LocalCloud] = weakref.WeakSet()


class LocalCloud:
    """A running local cloud. Made by `start` or `attach`; a context manager that stops what it started.

    Attributes:
        endpoint_url: Where it answers, for ``AWS_ENDPOINT_URL`` and boto3's ``endpoint_url``.
        token: What its admin endpoint asks for.
        region: The region of its functions.
        account_id: The account that everything in it belongs to.
        pid: Its process.
    """

    def __init__(
        self,
        facts: Mapping[str, Any],
        token: str,
        process: subprocess.Popen[bytes] | None = None,
        lifeline: int | None = None,
        log: IO[bytes] | None = None,
    ) -> None:
        self.endpoint_url = str(facts["endpoint_url"])
        self.token = token
        self.region = str(facts["region"])
        self.account_id = str(facts["account_id"])
        self.pid = int(facts["pid"])
        self.version = str(facts["version"])
        self._process = process
        self._detached: subprocess.Popen[bytes] | None = None
        self._lifeline = lifeline
        self._log = log
        self._stopping = threading.Lock()
        _LIVE.add(self)

    @classmethod
    def start(
        cls,
        *,
        time_scale: float = 60.0,
        region: str = "us-east-1",
        log_file: Path | None = None,
        ready_timeout: float = 60.0,
        faults: PlanLike = "calm",
        seed: int | None = None,
    ) -> LocalCloud:
        """Start a local cloud and wait until it answers.

        Args:
            time_scale: How many times faster than on AWS waits, retries and timeouts pass.
            region: The region of its functions.
            log_file: Where its log is appended; by default a file without a name, see `log_tail`.
            ready_timeout: Seconds to wait for it.
            faults: What goes wrong: a preset's name (``calm``, ``realistic``, ``storm``), a TOML file or a plan.
            seed: What the chance of faults starts from; None draws one, see `seed`.

        Raises:
            LocalCloudError: It ended, or wasn't ready in time (with the end of its log), or packages are missing.
            ConfigurationError: The fault plan can't be used.
        """
        plan = load_plan(faults)
        # Without a name it can't be left behind, however this process ends. It stays open for `log_tail`.
        log: IO[bytes] = tempfile.TemporaryFile() if log_file is None else log_file.open("a+b")  # noqa: SIM115
        child_lifeline, lifeline = os.pipe()
        ready, child_ready = os.pipe()
        command = [sys.executable, "-m", "harness.localcloud", "--port", "0", "--region", region]
        command += ["--time-scale", repr(time_scale)]
        command += [] if seed is None else ["--seed", str(seed)]
        command += ["--lifeline-fd", str(child_lifeline), "--ready-fd", str(child_ready)]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(child_lifeline, child_ready),
                start_new_session=True,
                env=_environment(),
            )
        except OSError as error:
            os.close(lifeline)
            os.close(ready)
            log.close()
            raise LocalCloudError(
                f"The local cloud's process can't be started: {error}", where=sys.executable
            ) from error
        finally:
            os.close(child_lifeline)
            os.close(child_ready)
        line, ended = b"", False
        try:
            line, ended = _read_line(ready, ready_timeout)
        finally:
            os.close(ready)
            if not line.endswith(b"\n"):
                # Also on Ctrl-C: nobody else knows of the child yet.
                os.close(lifeline)
                if ended:
                    # The pipe ends a moment before the process does.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_GRACE_SECONDS)
                status = process.poll()
                _end(process, grace=1.0)
        if not line.endswith(b"\n"):
            failure = _start_error(status, log, log_file, ready_timeout)
            log.close()
            raise failure
        facts = json.loads(line)
        cloud = cls(facts, facts["token"], process, lifeline, log)
        try:
            if plan != FaultPlan(name="calm"):
                cloud.set_faults(plan)
        except BaseException:
            cloud.stop()
            raise
        return cloud

    @classmethod
    def attach(cls, endpoint_url: str, token: str) -> LocalCloud:
        """Use a local cloud that somebody else started and will stop.

        Raises:
            LocalCloudError: There is none, or the token isn't its.
        """
        return cls(_admin(endpoint_url, token, "GET", "health"), token)

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        if self._process is not None and self._process.poll() is not None:
            return False
        try:
            return bool(self.admin("GET", "health")["status"] == "ok")
        except LocalCloudError:
            return False

    @property
    def time_scale(self) -> float:
        """How many times faster than on AWS waits pass; can be set while it runs."""
        return float(self.admin("GET", "time-scale")["time_scale"])

    @time_scale.setter
    def time_scale(self, value: float) -> None:
        self.admin("PUT", "time-scale", {"time_scale": value})

    @property
    def faults(self) -> FaultPlan:
        """What goes wrong in it now."""
        return parse_plan(self._faults()["plan"])

    @property
    def seed(self) -> int:
        """What the chance of faults started from."""
        return int(self._faults()["seed"])

    @property
    def waits(self) -> Waits:
        """What its fault plan makes necessary to wait for, in wall-clock seconds."""
        status = self._faults()
        return parse_plan(status["plan"]).waits.divided(float(status["time_scale"]))

    def set_faults(self, faults: PlanLike, seed: int | None = None) -> None:
        """Change what goes wrong in it, for everybody who uses it.

        Args:
            faults: A preset's name, a TOML file or a plan.
            seed: What chance starts from; None starts again from the last seed.

        Raises:
            ConfigurationError: There is no such preset or file, or it can't be used.
            LocalCloudError: It doesn't answer, or the plan names an operation that AWS doesn't have.
        """
        body: dict[str, Any] = {"plan": load_plan(faults).as_mapping()}
        self.admin("PUT", "faults", body if seed is None else {**body, "seed": seed})

    def injected_faults(self) -> dict[str, dict[str, int]]:
        """The faults made since its start, by kind and operation: ``{"throttle": {"lambda.Invoke": 2}}``."""
        found: dict[str, dict[str, int]] = self._faults()["injected"]
        return found

    def _faults(self) -> dict[str, Any]:
        found: dict[str, Any] = self.admin("GET", "faults")
        return found

    def inventory(self) -> dict[str, list[str]]:
        """The names of everything that exists in it, by kind.

        The kinds are functions, layers, event_source_mappings, roles, policies (the account's own), log_groups,
        tables, queues, buckets and running_executions (ARNs).
        """
        found: dict[str, list[str]] = self.admin("GET", "inventory")
        return found

    def operations(self) -> dict[str, dict[str, int]]:
        """How often each AWS operation was called: ``{"lambda.Invoke": {"calls": 3, "errors": 1}}``."""
        found: dict[str, dict[str, int]] = self.admin("GET", "operations")
        return found

    def admin(self, method: str, name: str, body: Any = None) -> Any:
        """Call the admin endpoint.

        Args:
            method: The HTTP method.
            name: The path below ``/_harness/``.
            body: Sent as JSON, unless it is None.

        Raises:
            LocalCloudError: It doesn't answer, or refuses.
        """
        return _admin(self.endpoint_url, self.token, method, name, body)

    def log_tail(self) -> str:
        """The end of its log, 4 KiB at most; empty for an attached or stopped cloud."""
        return "" if self._log is None or self._log.closed else _tail(self._log)

    def stop(self) -> None:
        """Stop the cloud and everything that runs in it. A second call, or one on an attached cloud, does nothing."""
        with self._stopping:
            process, self._process = self._process, None
            if process is None:
                return
            self._close_lifeline()
            _end(process, grace=_GRACE_SECONDS)
            if self._log is not None:
                self._log.close()

    def detach(self) -> None:
        """Let the cloud outlive this process; who has its process id stops it with SIGTERM.

        Until this is called it ends with this process, so its id can be written down before.
        """
        with self._stopping:
            if self._process is None or self._lifeline is None:
                return
            os.write(self._lifeline, b"detach")
            self._close_lifeline()
            # Kept, or its destructor would complain of a child that still runs.
            self._detached, self._process = self._process, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _close_lifeline(self) -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            with contextlib.suppress(OSError):
                os.close(lifeline)


def _release_in_child() -> None:
    # A forked copy of this process must not keep the cloud alive, and has no business stopping it.
    for cloud in list(_LIVE):
        cloud._process = None  # noqa: SLF001
        cloud._close_lifeline()  # noqa: SLF001


os.register_at_fork(after_in_child=_release_in_child)


def _environment() -> dict[str, str]:
    """The child's environment: this one's, but for AWS's settings, and with this package on the path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "MOTO_"))}
    root = str(Path(__file__).resolve().parents[2])
    # The child starts where the tests run, which may be another project's folder.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return environment


def _read_line(descriptor: int, timeout: float) -> tuple[bytes, bool]:
    """Read until a line's end, the writer's end, or the deadline; whether the writer ended comes second."""
    deadline = datetime.now(UTC) + timedelta(seconds=timeout)
    content = b""
    while not content.endswith(b"\n"):
        left = (deadline - datetime.now(UTC)).total_seconds()
        readable, _, _ = select.select([descriptor], [], [], max(left, 0))
        if not readable:
            return content, False
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return content, True
        content += chunk
    return content, False


def _end(process: subprocess.Popen[bytes], *, grace: float) -> None:
    """Ask a process to stop, give it its time, then kill whatever is left of its group."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    # The group's id is the process's; members may have outlived it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _start_error(status: int | None, log: IO[bytes], log_file: Path | None, timeout: float) -> LocalCloudError:
    """What to say of a cloud that isn't ready; ``status`` is its exit status if it ended by itself."""
    if status == _MISSING_PACKAGES:
        return LocalCloudError("The local cloud needs packages that are not installed", where=_tail(log), hint=_INSTALL)
    if status is None:
        what = f"The local cloud was not ready within {timeout:g} s"
    else:
        what = f"The local cloud ended with status {status} while starting"
    tail = _tail(log) or "(empty)"
    return LocalCloudError(f"{what}. The end of its log:\n{tail}\n", where=str(log_file) if log_file else None)


def _tail(log: IO[bytes]) -> str:
    # The child writes through the same open file: its position must not move.
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), _TAIL_BYTES, max(size - _TAIL_BYTES, 0)).decode("utf-8", "replace").strip()


def _admin(endpoint_url: str, token: str, method: str, name: str, body: Any = None) -> Any:
    request = Request(  # noqa: S310 - the URL is the cloud's own
        f"{endpoint_url.rstrip('/')}/_harness/{name}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Harness-Token": token, "Content-Type": "application/json"},
        method=method,
    )
    # Proxy settings of the environment are for the outside world.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return json.load(response)
    except HTTPError as error:
        with error:
            detail = error.read().decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            detail = str(json.loads(detail)["message"])
        raise LocalCloudError(
            f"The local cloud refused {method} /_harness/{name} ({error.code}): {detail}", where=endpoint_url
        ) from error
    except (URLError, OSError, ValueError) as error:
        raise LocalCloudError(
            f"No local cloud answers: {error}",
            where=endpoint_url,
            hint="Start one with `python -m harness.localcloud`, or let the harness start its own.",
        ) from error
