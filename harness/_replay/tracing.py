"""Which lines of a function's own files run, and which line follows which.

Not coverage.py: it keeps what it saw in one place for all threads, while here an attempt of a step, in whatever
thread, is kept or dropped by how it ended.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# In an arc: the end of a function, and where an exception was raised, so that what comes next wasn't chosen there.
END = -1
RAISED = -2


class Trace:
    """Lines and arcs that ran.

    Attributes:
        arcs: Pairs of lines that ran one after the other within a function's frame, by file.
    """

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._names: dict[str, str | None] = {}
        self.arcs: dict[str, set[tuple[int, int]]] = {}

    def _name(self, filename: str) -> str | None:
        if filename not in self._names:
            inside = filename.startswith(self._root)
            self._names[filename] = Path(filename).relative_to(self._root).as_posix() if inside else None
        return self._names[filename]

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """As `sys.settrace` wants it: called for a new frame, returns what is called for its lines."""
        if event != "call":
            return None
        name = self._name(frame.f_code.co_filename)
        if name is None:
            return None
        arcs = self.arcs.setdefault(name, set())
        before = frame.f_lineno

        def follow(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal before
            if event == "line":
                arcs.add((before, frame.f_lineno))
                before = frame.f_lineno
            elif event == "exception":
                before = RAISED
            elif event == "return":
                arcs.add((before, END))
            return follow

        return follow

    def merge(self, other: Trace) -> None:
        """Take over what another trace saw."""
        for name, arcs in other.arcs.items():
            self.arcs.setdefault(name, set()).update(arcs)

    def as_json(self) -> dict[str, list[tuple[int, int]]]:
        """The arcs by file, sorted."""
        return {name: sorted(arcs) for name, arcs in sorted(self.arcs.items()) if arcs}


@contextmanager
def tracing(trace: Trace) -> Iterator[None]:
    """Trace this thread and those that are started within."""
    before = sys.gettrace()
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
        threading.settrace(None)


@contextmanager
def tracing_here(trace: Trace) -> Iterator[None]:
    """Trace this thread only, in place of whatever traces it."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
