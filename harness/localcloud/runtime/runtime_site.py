"""What Lambda's Python runtime itself brings, as a folder to put on ``sys.path``.

A managed runtime offers boto3, botocore and what they need, and its interface client; nothing else
(https://docs.aws.amazon.com/lambda/latest/dg/python-package.html). The folder holds symbolic links to these
distributions as the running environment has them, so a function that forgot to package a dependency fails here as it
fails on AWS, though the dependency is installed for the tests.
"""

from __future__ import annotations

import contextlib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.errors import LocalCloudError

RUNTIME_DISTRIBUTIONS = ("boto3", "awslambdaric")
PRELOADED_MODULES = (
    "asyncio",
    "boto3",
    "botocore.client",
    "botocore.httpsession",
    "botocore.session",
    "concurrent.futures.process",
    "concurrent.futures.thread",
    "dataclasses",
    "decimal",
    "http.client",
    "logging.handlers",
    "s3transfer.manager",
    "simplejson",
    "snapshot_restore_py",
    "uuid",
)
"""Imported once, before environments are forked. Nothing here may start a thread or read the environment's AWS
settings when it is imported; awslambdaric itself does the latter and is left out."""


def build_site(directory: Path) -> Path:
    """Fill ``directory`` with links to the runtime's distributions and return it.

    Raises:
        LocalCloudError: A distribution is missing, or its list of files is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for distribution in _closure(RUNTIME_DISTRIBUTIONS):
        for name in _top_level_names(distribution):
            with contextlib.suppress(FileExistsError):
                (directory / name).symlink_to(Path(str(distribution.locate_file(name))).resolve())
    return directory


def _closure(names: tuple[str, ...]) -> list[metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    pending = list(names)
    while pending:
        name = canonicalize_name(pending.pop())
        if name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            raise LocalCloudError(
                f"The Lambda runtime needs the distribution {name!r}, which is not installed",
                hint="Install the harness with its extra: pip install 'durable-functions-harness[local]'",
            ) from error
        found[name] = distribution
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name)
    return list(found.values())


def _top_level_names(distribution: metadata.Distribution) -> set[str]:
    if distribution.files is None:
        raise LocalCloudError(
            f"The distribution {distribution.name!r} has no list of its files",
            hint=f"Reinstall it with pip: pip install --force-reinstall {distribution.name}",
        )
    names = {file.parts[0] for file in distribution.files}
    # Scripts lie outside ("..", an absolute path's root); bytecode of single modules belongs to nobody.
    return {name for name in names if name not in {"..", "__pycache__"} and not name.startswith("/")}
