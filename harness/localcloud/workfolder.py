"""The one temporary folder that a local cloud writes to, which goes when the cloud goes.

A process that is killed leaves its folder behind. Each folder holds a file that its cloud keeps locked for as long as
it lives: a folder whose lock is free belongs to nobody, whatever process now has the old one's id.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_PREFIX = "durable-harness-cloud-"
_LOCK = "alive.lock"


class WorkFolder:
    """A private temporary folder, with folders of killed clouds swept on the way in.

    Args:
        parent: Where to make it; the system's temporary folder by default.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent or Path(tempfile.gettempdir())
        sweep(self._parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
        # Locked under another name first: a sweeper that runs now must not find it unlocked.
        unnamed = self.path / f"{_LOCK}.new"
        self._lock: IO[str] = unnamed.open("w", encoding="ascii")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        unnamed.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Delete the folder and everything in it; a second call does nothing."""
        remove_tree(self.path)
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def sweep(parent: Path) -> list[Path]:
    """Delete the folders of clouds that are gone, and return them.

    Args:
        parent: The folder that the clouds' folders are in. Only folders of this user are looked at.
    """
    removed = []
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid != os.getuid() or not stat.S_ISDIR(folder.lstat().st_mode):
                continue
            with (folder / _LOCK).open("r", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(folder)
                removed.append(folder)
    return removed


def remove_tree(folder: Path) -> None:
    """Delete a folder, also where it holds unpacked code, which is read-only."""
    for root, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(root).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
