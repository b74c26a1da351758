"""The owner's side of a fork server: starts environments' processes, kills them, learns how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import LocalCloudError

StartMethod = Literal["fork", "exec"]

_LENGTH = struct.Struct(">I")
_HERE = Path(__file__).resolve().parent
_END_SECONDS = 10.0


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended.

    Attributes:
        code: Its exit status; minus the signal's number if a signal ended it.
        max_memory_bytes: The most memory it had resident; None if that isn't known.
    """

    code: int
    max_memory_bytes: int | None = None

    def message(self) -> str:
        """What Lambda says of it, without the request's id."""
        if self.code == 0:
            return "Error: Runtime exited without providing a reason"
        if self.code > 0:
            return f"Error: Runtime exited with error: exit status {self.code}"
        name = (signal.strsignal(-self.code) or f"signal {-self.code}").lower()
        return f"Error: Runtime exited with error: signal: {name}"


class Process:
    """A process that a `Spawner` started.

    Attributes:
        pid: Its process id, None until it runs.
        exited: How it ended, once it has and its whole process group is dead.
    """

    def __init__(self, spawner: Spawner, identifier: int) -> None:
        self._spawner = spawner
        self.identifier = identifier
        self.pid: int | None = None
        self.method: StartMethod | None = None
        self.exited: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        """Kill the process and all that it started; `exited` tells when it is done."""
        if not self.exited.done():
            self._spawner.kill(self)


class Spawner:
    """One fork server; belongs to the event loop that it is made on.

    It lives as long as the thread that made it: the kernel ends it with that thread.

    Args:
        work_dir: For its log and its home.
        site_directory: See `runtime_site.build_site`.
        preload: Modules to import before forking.
    """

    def __init__(self, *, work_dir: Path, site_directory: Path, preload: Sequence[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._processes: dict[int, Process] = {}
        self._identifiers = itertools.count(1)
        self._buffer = bytearray()
        self.alive = True
        home = work_dir / "home"
        home.mkdir(parents=True, exist_ok=True)
        self._log = work_dir / "forkserver.log"
        settings = {
            "owner": os.getpid(),
            "bootstrap": str(_HERE / "bootstrap.py"),
            "site_directory": str(site_directory),
            "preload": list(preload),
        }
        # Modules look up the home folder and more while they are imported: nothing of the developer's is there.
        environment = {"HOME": str(home), "LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": ":UTC"}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *(sys.executable, "-s", "-S", "-P", str(_HERE / "forkserver.py")),
                    *(str(theirs.fileno()), json.dumps(settings)),
                ],
                env=environment,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._loop.add_reader(self._control, self._receive)

    @property
    def pid(self) -> int:
        """The fork server's process id."""
        return self._server.pid

    def start(
        self,
        *,
        method: StartMethod,
        specification: Mapping[str, Any],
        environment: Mapping[str, str],
        descriptors: Sequence[int],
    ) -> Process:
        """Start a process; the descriptors become its output, frames and telemetry.

        Raises:
            LocalCloudError: The fork server is gone.
        """
        process = Process(self, next(self._identifiers))
        request = {
            "op": "start",
            "id": process.identifier,
            "method": method,
            "specification": dict(specification),
            "environment": dict(environment),
        }
        self._processes[process.identifier] = process
        self._send(request, descriptors)
        if not self.alive:
            raise LocalCloudError("The process that starts function environments ended", where=str(self._log))
        return process

    def kill(self, process: Process) -> None:
        """Kill a process's whole group."""
        self._send({"op": "kill", "id": process.identifier})

    async def close(self) -> None:
        """Kill everything and wait until it is gone."""
        self._lose()
        await asyncio.to_thread(self._wait_for_end)

    def _wait_for_end(self) -> None:
        try:
            self._server.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            # Its environments die with it.
            self._server.kill()
            self._server.wait()

    def _send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        body = json.dumps(message).encode()
        try:
            if descriptors:
                socket.send_fds(self._control, [_LENGTH.pack(len(body))], descriptors)
                self._control.sendall(body)
            else:
                self._control.sendall(_LENGTH.pack(len(body)) + body)
        except OSError:
            self._lose()

    def _receive(self) -> None:
        try:
            data = self._control.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                return
            event = json.loads(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            self._handle(event)

    def _handle(self, event: dict[str, Any]) -> None:
        if event["event"] == "started":
            process = self._processes[event["id"]]
            process.pid = event["pid"]
            process.method = event["method"]
            return
        process = self._processes.pop(event["id"])
        # Kibibytes but on macOS: getrusage(2).
        unit = 1 if sys.platform == "darwin" else 1024
        code = os.waitstatus_to_exitcode(event["status"])
        process.exited.set_result(ExitStatus(code, event["max_rss"] * unit))

    def _lose(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._control)
        with contextlib.suppress(OSError):
            self._control.close()
        for process in self._processes.values():
            process.exited.set_result(ExitStatus(-signal.SIGKILL))
        self._processes.clear()
