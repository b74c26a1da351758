"""Runs one Terraform command so that nothing it has created can be lost.

- Its output goes to files, which are tailed. Through a pipe, Terraform dies at its next line when its starter does, and
  the resource it was creating is in no state.
- It has a session of its own, so that a Ctrl-C at the terminal reaches the harness alone, which passes on *one* SIGINT:
  Terraform then ends what it is doing and writes its state. A second one would make it quit at once.
- On Linux it gets SIGTERM when the thread that started it ends, however that ends; see `harness.terraform.launcher`.
  Elsewhere a killed starter leaves Terraform to finish by itself, with nothing lost either.

https://developer.hashicorp.com/terraform/cli/commands/apply
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Self

from harness.processes import process_identity
from harness.waiters import EXECUTION, Clock, Deadline, SystemClock, wait_until

_log = logging.getLogger(__name__)
_LAUNCHER = Path(__file__).with_name("launcher.py")
_TAIL_EVERY = 0.1
# After SIGKILL the kernel needs a moment; a process in uninterruptible sleep needs until its disk answers.
_REAP_SECONDS = 30.0

# Time that Terraform gets to end what it is doing after its SIGINT. Seen to take 0.1 s; a provider in the middle of a
# retry loop takes until its next look at its context.
GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Completed:
    """How a command ended.

    Attributes:
        argv: The command.
        code: Its exit code; negative is the signal that ended it.
        stdout: The file with its standard output.
        stderr: The file with its standard error.
        interrupted: Why it was interrupted, None when it ended by itself.
        killed: Whether it had to be killed after the grace period; then the state may miss a resource.
        seconds: How long it ran.
    """

    argv: tuple[str, ...]
    code: int
    stdout: Path
    stderr: Path
    interrupted: Literal["timeout", "cancelled", "ctrl-c"] | None
    killed: bool
    seconds: float


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    on_line: Callable[[str], None] = lambda _: None,
    timeout: float | None = None,
    grace: float = GRACE_SECONDS,
    cancel: threading.Event | None = None,
    hold: Path | None = None,
    clock: Clock | None = None,
) -> Completed:
    """Run a command to its end, in the calling thread.

    Args:
        argv: The command; the first element is an absolute path.
        cwd: Its working directory.
        env: Its whole environment.
        stdout: File for its standard output, made with mode 0600.
        stderr: The same for standard error.
        on_line: Called with each line of standard output as it comes.
        timeout: Seconds until it is interrupted; None for no limit.
        grace: Seconds between the interrupt and the kill.
        cancel: Interrupts the command when set by another thread.
        hold: A file that stays locked until the command and all its children have ended, see `wait_until_idle`.
        clock: Measures the timeout.

    Raises:
        KeyboardInterrupt: It came while the command ran; the command has ended by then.
        OSError: The files can't be written, or the command not be started.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    deadline = Deadline.after(timeout, clock) if timeout is not None else None
    with _private(stdout) as out, _private(stderr) as err, _held(hold) as held:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            pass_fds=held,
        )
        if held:
            os.write(held[0], f"{process.pid} {process_identity(process.pid) or ''}".encode())
    reason: Literal["timeout", "cancelled", "ctrl-c"] | None = None
    killed = False
    with _Tail(stdout, on_line) as tail:
        while reason is None:
            try:
                if _ended_within(process, _TAIL_EVERY, tail):
                    break
            except KeyboardInterrupt:
                reason = "ctrl-c"
            if deadline is not None and deadline.expired:
                reason = "timeout"
            elif cancel is not None and cancel.is_set():
                reason = "cancelled"
        if reason is not None:
            _log.warning("Interrupting `%s` (%s); it gets %.0f s to write its state", _short(argv), reason, grace)
            killed = _interrupt(process, Deadline.after(grace, clock), tail)
    _end_group(process.pid)
    completed = Completed(tuple(argv), process.returncode, stdout, stderr, reason, killed, clock.monotonic() - started)
    if reason == "ctrl-c":
        raise KeyboardInterrupt(f"while running `{_short(argv)}`")
    return completed


def wait_until_idle(hold: Path, *, deadline: Deadline, interval: float = 0.2) -> None:
    """Wait until no command that was started with this ``hold`` runs any more, whoever started it.

    A command whose starter was killed is still ending what it does, and is in the state only when it has ended. What
    it started and left running, such as a provisioner's shell, is ended then.

    Raises:
        WaitTimeout: One still runs at the deadline.
    """

    def idle() -> bool:
        try:
            descriptor = os.open(hold, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _end_orphans(os.pread(descriptor, 200, 0).decode())
            return False
        finally:
            os.close(descriptor)
        return True

    wait_until(
        idle, bool, policy=EXECUTION.with_interval(interval), deadline=deadline, what="the end of a Terraform command"
    )


def _end_orphans(holder: str) -> None:
    """End the group of a command that has ended itself. A group's id isn't given away while it has members."""
    pid, _, identity = holder.partition(" ")
    if pid.isdigit() and identity and process_identity(int(pid)) is None:
        _end_group(int(pid))


@contextlib.contextmanager
def _held(path: Path | None) -> Iterator[tuple[int, ...]]:
    """A locked descriptor for the child to inherit: the lock ends with the last process that has it open."""
    if path is None:
        yield ()
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


class _Tail:
    """Reads the complete lines that were appended to a file since the last look."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._file = path.open("rb")
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.read()
        if self._rest:
            self._emit(self._rest)
        self._file.close()

    def read(self) -> None:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            self._emit(line)

    def _emit(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").strip()
        if text:
            self._on_line(text)


def _ended_within(process: subprocess.Popen[bytes], seconds: float, tail: _Tail) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        tail.read()
        return False
    return True


def _interrupt(process: subprocess.Popen[bytes], grace: Deadline, tail: _Tail) -> bool:
    """One SIGINT to the command alone, then patience, then SIGKILL to its group. Returns whether it was killed."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    while not grace.expired:
        try:
            if _ended_within(process, _TAIL_EVERY, tail):
                return False
        except KeyboardInterrupt:
            # Impatience must not cost a resource: what Terraform is creating now is in no state yet.
            _log.warning("Terraform is still writing its state; it will be killed in %.0f s", grace.remaining())
    _end_group(process.pid)
    process.wait(timeout=_REAP_SECONDS)
    return True


def _end_group(group: int) -> None:
    """Kill what is left of the command's process group, such as a provider that outlived its Terraform."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _short(argv: Sequence[str]) -> str:
    return " ".join([Path(argv[0]).name, *argv[1:2]])
