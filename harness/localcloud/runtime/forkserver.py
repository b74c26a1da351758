"""The process that starts environments, and takes them with it when it ends.

Standalone on purpose, like `bootstrap`: nothing of the harness, and nothing of its virtual environment, is imported
here, because environments are forked off this process. It has one thread, so that forking is safe and a parent-death
signal means the death of this process.

It is started with the descriptor of a stream socket and the JSON of its settings, and obeys messages on that socket
(4 bytes of length, then JSON; ``start`` carries three descriptors):

    {"op": "start", "id", "method", "environment", "specification"}   answers {"event": "started", "id", "pid"}
    {"op": "kill", "id"}
    in its own time                                                   {"event": "exited", "id", "status", "max_rss"}

When the socket ends, because its owner closed it or died, every environment's whole process group is killed. Should
this process itself be killed, the kernel kills the environments (``PR_SET_PDEATHSIG``, Linux only).

With the method ``fork`` an environment is a fork of this process, in which the runtime's packages are imported
already. With ``exec``, or when the function brings a module of a name that is loaded here, or sets ``PYTHON*``
variables, it is a new interpreter.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

LENGTH = struct.Struct(">I")
PR_SET_PDEATHSIG = 1
# What a function may have open on AWS: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
OPEN_FILES = 1024
HIGHEST_DESCRIPTOR = 65536
# As a shell says that it couldn't start a command.
EXIT_NOT_STARTED = 127


def die_with_parent(parent: int, number: int) -> None:
    """Ask the kernel for signal ``number`` when the parent ends, and end now if it has ended already."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and its descriptors, or None at the end."""
    try:
        head, descriptors = _receive_with_descriptors(control)
        while len(head) < LENGTH.size:
            more = control.recv(LENGTH.size - len(head))
            if not more:
                return None
            head += more
        body = bytearray()
        (size,) = LENGTH.unpack(head)
        while len(body) < size:
            more = control.recv(size - len(body))
            if not more:
                return None
            body += more
    except OSError:
        return None
    return json.loads(body), descriptors


def _receive_with_descriptors(control: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    head, ancillary, _, _ = control.recvmsg(LENGTH.size, socket.CMSG_SPACE(8 * descriptors.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if not head:
        raise ConnectionError("the owner is gone")
    return head, list(descriptors)


class ForkServer:
    """The loop that starts, kills and reaps environments."""

    def __init__(self, control: socket.socket, settings: dict[str, Any]) -> None:
        self._control = control
        self._bootstrap: str = settings["bootstrap"]
        self._site_directory: str = settings["site_directory"]
        self._base_path = list(sys.path)
        self._pid = os.getpid()
        self._environments: dict[int, int] = {}
        self._ending = False
        self._wake_read, self._wake_write = os.pipe()
        for descriptor in (self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)
        self._loaded: frozenset[str] = frozenset()

    def _end(self, *_: object) -> None:
        self._ending = True

    def preload(self, names: list[str]) -> None:
        """Import ``names``, for forks to have them."""
        sys.path.append(self._site_directory)
        for name in names:
            importlib.import_module(name)
        self._loaded = frozenset(name.partition(".")[0] for name in sys.modules)
        gc.collect()
        # Objects that the collector never touches again stay on pages that all forks share.
        gc.freeze()

    def serve(self) -> dict[str, Any] | None:
        """Obey until the end; returns None then, and in a forked environment the specification to run."""
        while not self._ending:
            watched: list[Any] = [self._control, self._wake_read]
            readable, _, _ = select.select(watched, [], [])
            if self._wake_read in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                self._reap()
            if self._control in readable:
                message = receive(self._control)
                if message is None:
                    break
                request, descriptors = message
                if request["op"] == "start":
                    specification = self._start(request, descriptors)
                    if specification is not None:
                        return specification
                else:
                    self._kill(request["id"])
        for pid in self._environments:
            _kill_group(pid)
        for pid in self._environments:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return None

    def _start(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any] | None:
        method = request["method"]
        if method == "fork" and self._is_shadowed(request):
            method = "exec"
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            print(f"No process can be started: {error}", file=sys.stderr, flush=True)  # noqa: T201 - this is its log
        if pid == 0:
            return self._become(method, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid < 0:
            self._send({"event": "exited", "id": request["id"], "status": EXIT_NOT_STARTED << 8, "max_rss": 0})
            return None
        self._environments[pid] = request["id"]
        self._send({"event": "started", "id": request["id"], "pid": pid, "method": method})
        return None

    def _is_shadowed(self, request: dict[str, Any]) -> bool:
        if any(key.startswith("PYTHON") for key in request["environment"]):
            return True
        specification = request["specification"]
        for folder in (specification["task_root"], *specification["layers"]):
            with contextlib.suppress(OSError):
                if not self._loaded.isdisjoint(entry.partition(".")[0] for entry in os.listdir(folder)):  # noqa: PTH208
                    return True
        return False

    def _become(self, method: str, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        die_with_parent(self._pid, signal.SIGKILL)

        null = os.open(os.devnull, os.O_RDWR)
        # Out of the way first: a descriptor may lie where another one has to go.
        null, raw, output, telemetry = (fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in (null, *descriptors))
        for target, source in enumerate((null, raw, raw, output, telemetry)):
            os.dup2(source, target)
        # The socket object would close a descriptor that is somebody else's by then.
        self._control.detach()
        # The lowest free number is always taken, so none is near a limit that may be "infinite".
        os.closerange(5, HIGHEST_DESCRIPTOR)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        os.umask(0o022)

        specification: dict[str, Any] = request["specification"]
        os.chdir(specification["task_root"])
        if method == "exec":
            arguments = [sys.executable, "-s", "-S", "-P", self._bootstrap, json.dumps(specification)]
            os.execve(sys.executable, arguments, request["environment"])  # noqa: S606 - no shell is the point
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()
        specification["base_path"] = self._base_path
        return specification

    def _kill(self, identifier: int) -> None:
        for pid, known in self._environments.items():
            if known == identifier:
                _kill_group(pid)

    def _reap(self) -> None:
        for pid in list(self._environments):
            # What the environment started itself must go too. Until its leader is reaped, a group's number can't
            # become anybody else's; macOS before Python 3.13 can't look without reaping.
            if hasattr(os, "waitid"):
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                _kill_group(pid)
            reaped, status, usage = os.wait4(pid, os.WNOHANG)
            if reaped == pid:
                identifier = self._environments.pop(pid)
                self._send({"event": "exited", "id": identifier, "status": status, "max_rss": usage.ru_maxrss})

    def _send(self, event: dict[str, Any]) -> None:
        body = json.dumps(event).encode()
        try:
            self._control.sendall(LENGTH.pack(len(body)) + body)
        except OSError:
            self._ending = True


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # A moment after the fork it leads no group yet.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Serve, and in a forked environment run the function."""
    settings = json.loads(sys.argv[2])
    die_with_parent(settings["owner"], signal.SIGTERM)
    server = ForkServer(socket.socket(fileno=int(sys.argv[1])), settings)
    module_specification = importlib.util.spec_from_file_location("bootstrap", settings["bootstrap"])
    if module_specification is None or module_specification.loader is None:
        raise ImportError(settings["bootstrap"])
    bootstrap = importlib.util.module_from_spec(module_specification)
    module_specification.loader.exec_module(bootstrap)
    if settings["preload"]:
        server.preload(settings["preload"])
    specification = server.serve()
    if specification is not None:
        bootstrap.main(specification)


if __name__ == "__main__":
    main()
