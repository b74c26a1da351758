"""Runs the bodies of recorded steps once more, as far as they have no effect, to see which of their lines run.

A replay gives back what a step returned without running it, so it can't see the catches inside. Here a body runs again
with the attempt numbers that the history has; what it returns is thrown away. It is stopped where it would reach out:
into the network, to another process, to write a file, to sleep. Its lines count only if the attempt ends as the
history says it did.

This guards against accidents, not against code that wants to get out.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness._replay.tracing import Trace, tracing_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# https://docs.python.org/3/library/audit_events.html
_EFFECTS = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.kill",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.putenv",
    "os.unsetenv",
    "shutil.",
    "signal.",
    "sqlite3.",
    "time.sleep",
    "urllib.",
    "ftplib.",
    "smtplib.",
    "http.",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class EffectError(BaseException):
    """A body would have had an effect. Not an Exception: its own catches must not take it."""


class EffectGuard:
    """Stops what has an effect: always connections, and while a step's body runs again everything in the list."""

    def __init__(self) -> None:
        self._strict = threading.local()

    def install(self) -> None:
        """Guard this process from now on; it can't be undone."""
        sys.addaudithook(self._audit)

    @contextmanager
    def strict(self) -> Iterator[None]:
        """Within, this thread may have no effect at all."""
        self._strict.on = True
        try:
            yield
        finally:
            self._strict.on = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
            raise EffectError(event)
        if not getattr(self._strict, "on", False):
            return
        if event.startswith(_EFFECTS) or (event == "open" and _writes(arguments)):
            raise EffectError(event)


def _writes(arguments: tuple[Any, ...]) -> bool:
    _path, _mode, flags = (*arguments, None, None, None)[:3]
    return isinstance(flags, int) and bool(flags & _WRITING)


def wire_type(error: BaseException | type[BaseException]) -> str:
    """The type of an error as the SDK records it: qualified, built-in ones bare."""
    kind = error if isinstance(error, type) else type(error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


class Rerun:
    """Runs bodies again and keeps the lines of those attempts that end as recorded.

    Args:
        root: The function's folder.
        guard: Stops effects.
    """

    def __init__(self, root: Path, guard: EffectGuard) -> None:
        self._root = root
        self._guard = guard
        self._lock = threading.Lock()
        self.trace = Trace(root)

    def attempts(self, recorded: list[dict[str, Any]], run: Callable[[int], object]) -> None:
        """Run each recorded attempt.

        Args:
            recorded: ``number`` and ``error`` (its type, or None) of each attempt.
            run: Runs the body as the attempt of that number.
        """
        for attempt in recorded:
            trace = Trace(self._root)
            ended: str | None = None
            with self._guard.strict(), tracing_here(trace):
                try:
                    run(attempt["number"])
                except EffectError:
                    return
                except BaseException as error:  # noqa: BLE001 - whatever a body raises is compared, then forgotten
                    ended = wire_type(error)
            if ended == attempt["error"]:
                with self._lock:
                    self.trace.merge(trace)
