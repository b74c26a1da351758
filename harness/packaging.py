"""A function's zip: its own files and the distributions that it requires, byte for byte the same every time.

    python -m harness.packaging FUNCTION_DIR -o OUT.zip

builds one by hand and prints its path and hash.

Dependencies come from the running environment, so building needs no network and a test runs what is deployed. What
Lambda's Python runtime has (boto3 and its needs) is left out.
https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import os
import stat
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from harness.dependencies import dependency_files
from harness.errors import HarnessError, PackagingError

# Part of every cache key: raise it when the same input should give other bytes.
BUILDER_VERSION = 1

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_ZIPPED_BYTES = 50 * 1024 * 1024
MAX_UNZIPPED_BYTES = 250 * 1024 * 1024

# The earliest time that a zip can hold.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_IGNORED_DIRECTORIES = frozenset(
    {"__pycache__", ".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"}
)
_IGNORED_NAMES = frozenset({".DS_Store", "requirements.txt"})


@dataclass(frozen=True)
class Package:
    """A function's zip.

    Attributes:
        path: Where it is. It belongs to the cache: copy it, don't change it.
        sha256_base64: Its SHA-256 as Lambda's CodeSha256 and Terraform's source_code_hash spell it.
        size: Its bytes.
    """

    path: Path
    sha256_base64: str
    size: int


def build_zip(function_dir: Path | str, *, cache_dir: Path | str | None = None) -> Package:
    """Build the zip of the function in a directory, or find it in the cache.

    The zip holds the directory's files, and the distributions that its ``requirements.txt`` names with all that they
    need in turn. Names, times and permissions in it are fixed, so the same content always gives the same bytes (as long
    as zlib compresses the same). Processes may build at the same time; a zip appears in the cache whole or not at all.

    Args:
        function_dir: The function's directory.
        cache_dir: Where zips are kept, by default the user's cache directory.

    Raises:
        PackagingError: The directory is missing or empty, a file can't be read or leads out of it, a requirement isn't
            installed as required or won't run on Lambda, the cache can't be written, or the zip is larger than Lambda
            takes.
    """
    root = Path(function_dir)
    entries = _merged(root, read_function(root), dependency_files(root / "requirements.txt"))
    unzipped = sum(map(len, entries.values()))
    if unzipped > MAX_UNZIPPED_BYTES:
        raise PackagingError(
            f"The function has {unzipped / 2**20:.0f} MiB unzipped, Lambda takes at most 250 MiB",
            where=str(root),
            hint="Remove what the function doesn't need, or put large files on S3 or into a container image",
        )

    cache = Path(cache_dir) if cache_dir is not None else user_cache_path("durable-functions-harness") / "packages"
    target = cache / f"{_key(entries)}.zip"
    try:
        content = _cached(target, entries)
        if content is None:
            content = _zip(entries)
            _write(target, content)
    except OSError as error:
        raise PackagingError(
            f"The package cache can't be written: {error.strerror or error}",
            where=str(cache),
            hint="Free space or permissions there, or name another cache directory",
        ) from error
    if len(content) > MAX_ZIPPED_BYTES:
        raise PackagingError(
            f"The zip has {len(content) / 2**20:.0f} MiB, Lambda takes at most 50 MiB in a direct upload",
            where=str(root),
            hint="Remove what the function doesn't need, or move large dependencies into a layer",
        )
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Package(path=target.absolute(), sha256_base64=digest, size=len(content))


def read_function(root: Path) -> dict[str, bytes]:
    """A function's own files by their names in the zip, without caches, compiled Python and ``requirements.txt``.

    Raises:
        PackagingError: There is no such directory, nothing in it, a file that can't be read, or a link out of it.
    """
    if not root.is_dir():
        raise PackagingError(
            "The function's directory doesn't exist" if not root.exists() else "The function isn't a directory",
            where=str(root),
            hint="Put the handler into a folder named function beside the Terraform files",
        )
    boundary = root.resolve()
    files: dict[str, bytes] = {}

    def fail(error: OSError) -> None:
        raise PackagingError(
            f"A directory can't be read: {error.strerror}", where=str(error.filename), hint="Check its permissions"
        ) from error

    for directory, subdirectories, names in os.walk(root, onerror=fail):
        subdirectories[:] = sorted(set(subdirectories) - _IGNORED_DIRECTORIES)
        here = Path(directory)
        for name in subdirectories:
            if (here / name).is_symlink():
                raise PackagingError(
                    "A linked directory can't be packaged",
                    where=str(here / name),
                    hint="Replace the link by the directory itself",
                )
        for name in names:
            if name not in _IGNORED_NAMES and not name.endswith((".pyc", ".pyo")):
                files[(here / name).relative_to(root).as_posix()] = _read(here / name, boundary)
    if not files:
        raise PackagingError("The function's directory is empty", where=str(root), hint="Put the handler into it")
    return files


def _read(path: Path, boundary: Path) -> bytes:
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(boundary):
            raise PackagingError(
                f"A link leads out of the function's directory, to {real}",
                where=str(path),
                hint="Replace the link by the file itself",
            )
        # Reading a pipe or a device would never end.
        if not stat.S_ISREG(real.stat().st_mode):
            raise PackagingError("Not a regular file", where=str(path), hint="Remove it from the function's directory")
        return real.read_bytes()
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PackagingError(
            f"A file of the function can't be read: {reason}",
            where=str(path),
            hint="Check its permissions, or remove the broken link",
        ) from error


def _merged(root: Path, own: Mapping[str, bytes], dependencies: Mapping[str, bytes]) -> dict[str, bytes]:
    for name in sorted(own.keys() & dependencies.keys()):
        if own[name] != dependencies[name]:
            raise PackagingError(
                f"{name} is both a file of the function and of a distribution that it requires",
                where=str(root / name),
                hint="Rename the function's file",
            )
    return dict(sorted({**dependencies, **own}.items()))


def _key(entries: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(f"builder {BUILDER_VERSION}\n".encode())
    for name, content in entries.items():
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def _zip(entries: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            # Unix, whatever system builds it, or the permissions would be read as none.
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content, compresslevel=9)
    return buffer.getvalue()


def _cached(target: Path, entries: Mapping[str, bytes]) -> bytes | None:
    """The zip in the cache, or None when there is none or what is there isn't whole."""
    try:
        content = target.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            whole = archive.namelist() == list(entries) and archive.testzip() is None
    except (FileNotFoundError, zipfile.BadZipFile):
        return None
    return content if whole else None


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem[:8]}-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: build one function's zip by hand.

    Returns:
        The exit code: 0, or 1 when the zip can't be built.
    """
    parser = argparse.ArgumentParser(prog="python -m harness.packaging", description="Build a durable function's zip.")
    parser.add_argument("function_dir", type=Path, metavar="FUNCTION_DIR", help="the function's directory")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.zip", help="where to write the zip")
    options = parser.parse_args(arguments)
    try:
        package = build_zip(options.function_dir)
        try:
            _write(options.output, package.path.read_bytes())
            options.output.chmod(0o644)
        except OSError as error:
            raise PackagingError(
                f"The zip can't be written: {error.strerror or error}",
                where=str(options.output),
                hint="Name a file in a directory that can be written",
            ) from error
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.output.resolve()}\n{package.sha256_base64}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
