"""Unpacked deployment packages and layers, kept once per content.

Refusals are Lambda's own: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

from .api import ApiError
from .workfolder import remove_tree

#: Bytes that a package and its layers may take unpacked (250 MB).
UNZIPPED_LIMIT = 262_144_000


class CodeStore:
    """Unpacks zips into folders that are named by the content's SHA-256 and never change afterwards.

    Args:
        root: The folder to keep them in.
        limit: Bytes that one zip may take unpacked.
    """

    def __init__(self, root: Path, *, limit: int = UNZIPPED_LIMIT) -> None:
        self._root = root
        self._limit = limit
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        root.mkdir(parents=True, exist_ok=True)

    def unpack(self, content: bytes, digest: str | None = None) -> Path:
        """The folder with the zip's files, unpacked now if no earlier call did.

        Args:
            content: The zip.
            digest: Its SHA-256 in hexadecimal, if it is known already.

        Raises:
            ApiError: InvalidParameterValueException (400) when it is no zip, is empty or too large, or when an entry
                would end up outside its folder.
        """
        digest = digest or hashlib.sha256(content).hexdigest()
        target = self._root / digest
        with self._lock:
            busy = self._busy.setdefault(digest, threading.Lock())
        with busy:
            if not target.exists():
                staging = Path(mkdtemp(prefix=f".{digest[:12]}-", dir=self._root))
                try:
                    self._extract(content, staging)
                    staging.rename(target)
                    target.chmod(0o555)
                except BaseException:
                    remove_tree(staging)
                    raise
        return target

    def _extract(self, content: bytes, folder: Path) -> None:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                entries = archive.infolist()
                if not entries:
                    raise _refused("Uploaded file must be a non-empty zip")
                if sum(entry.file_size for entry in entries) > self._limit:
                    raise _refused(f"Unzipped size must be smaller than {self._limit} bytes")
                links = [entry for entry in entries if stat.S_ISLNK(entry.external_attr >> 16)]
                for entry in entries:
                    if entry not in links:
                        _write(archive, entry, folder / _inside(entry.filename))
                # Last, so that no file is ever written through one.
                for entry in links:
                    _link(archive.read(entry).decode(), folder / _inside(entry.filename))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, RuntimeError) as e:
            # RuntimeError is zipfile's answer to an encrypted entry.
            raise _refused("Could not unzip uploaded file. Please check your file, then try to upload again.") from e
        except OSError as e:
            # Two entries that need one name as a file and as a folder, or a name that the file system can't hold.
            raise _refused(f"Could not unzip uploaded file: {e.strerror}.") from e
        root = os.path.realpath(folder)
        for entry in links:
            if not os.path.realpath(folder / _inside(entry.filename)).startswith(root + os.sep):
                raise _refused(f"The zip's entry {entry.filename!r} is a link that leaves the package.")
        for path, _, _ in os.walk(folder, topdown=False):
            # As in the sandbox, where /var/task is read-only; a function must not change what others share.
            Path(path).chmod(0o555)
        folder.chmod(0o755)  # until it has its name: some systems don't rename what can't be written


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    path.chmod(0o555 if (entry.external_attr >> 16) & 0o111 else 0o444)


def _link(target: str, path: Path) -> None:
    if PurePosixPath(target).is_absolute():
        raise _refused(f"The zip's entry {path.name!r} is a link that leaves the package.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise _refused(f"The zip's entry {name!r} would be unpacked outside the package.")
    return path


def _refused(message: str) -> ApiError:
    return ApiError("InvalidParameterValueException", message, members={"Type": "User"})
