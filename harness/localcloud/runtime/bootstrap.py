"""What an environment runs first: it arranges the interpreter as Lambda does and hands over to awslambdaric.

Standalone on purpose: it runs under ``python -s -S -P``, or in a process forked off `forkserver`, where the harness
can't be imported. It is started with one argument, the JSON of a specification:

    task_root       the function's code, first on ``sys.path``
    layers          the layers' Python folders
    site_directory  what the managed runtime itself brings (`runtime_site`)
    base_path       the standard library's ``sys.path`` (the interpreter's own if absent)
    pycache_prefix  where to keep bytecode, or null to write none, as on AWS, where /var/task is read-only
    handler         ``module.function``

``sys.path`` is in the order of https://docs.aws.amazon.com/lambda/latest/dg/python-package.html: the function's code
and layers win over the runtime's own boto3.
"""

from __future__ import annotations

import io
import json
import os
import select
import site
import struct
import sys
import time
from typing import Any

OUTPUT_FD = 3
TELEMETRY_FD = 4
STDOUT_FRAME = 0xA55AF001
STDERR_FRAME = 0xA55AF002
HEADER = struct.Struct(">IIQ")


class FramedOutput(io.RawIOBase):
    """A raw stream that writes frames with the time of each write.

    Lines that Python code prints and records that it logs leave through different pipes; the times put them back in
    order.
    """

    def __init__(self, kind: int, descriptor: int) -> None:
        super().__init__()
        self._kind = kind
        self._descriptor = descriptor
        # A pipe takes PIPE_BUF bytes at once or not at all: frames of several threads and processes never mix.
        self._room = select.PIPE_BUF - HEADER.size

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor that this stream stands for."""
        return self._descriptor

    def write(self, data: Any, /) -> int:
        """Write all of ``data`` and return its length."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), self._room):
            chunk = view[start : start + self._room]
            os.write(OUTPUT_FD, HEADER.pack(self._kind, len(chunk), time.time_ns() // 1000) + chunk)
        return len(view)


def _text_stream(kind: int, descriptor: int, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(FramedOutput(kind, descriptor)), encoding="utf-8", errors=errors)


def main(specification: dict[str, Any]) -> None:
    """Run the function of ``specification`` until its environment ends; leaves by SystemExit."""
    sys.stdout = sys.__stdout__ = _text_stream(STDOUT_FRAME, 1, "surrogateescape")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text_stream(STDERR_FRAME, 2, "backslashreplace")  # type: ignore[misc]
    for descriptor in (OUTPUT_FD, TELEMETRY_FD):
        os.set_inheritable(descriptor, False)

    base = specification.get("base_path") or list(sys.path)
    sys.path[:] = [
        specification["task_root"],
        *specification["layers"],
        *base,
        specification["site_directory"],
    ]
    sys.path_importer_cache.clear()
    sys.argv = ["bootstrap", specification["handler"]]

    # Started with -S the interpreter has no `exit`, `quit` or `help`, which Lambda's has.
    site.setquit()
    site.setcopyright()
    site.sethelper()

    from awslambdaric.__main__ import main as run_client  # noqa: PLC0415 - only now it is on the path

    # Only now: up to here the bytecode of the runtime's own packages is used from where it lies.
    if specification["pycache_prefix"]:
        sys.pycache_prefix = specification["pycache_prefix"]
    else:
        sys.dont_write_bytecode = True
    run_client(["bootstrap", specification["handler"]])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
