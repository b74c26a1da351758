"""AWS's requirements of durable executions: the wheel that holds them, fetched once and pinned by its hash.

    python -m tests.conformance.fetch

brings it; `make test` and `make nightly` call that. Tests never reach for the network: they read what is here, or the
file that ``CONFORMANCE_WHEEL`` names, and fail when there is neither.

The wheel is AWS's, under Apache-2.0 (https://github.com/aws/aws-durable-execution-conformance-tests). Nothing of it is
copied into this repository and none of its code is run; it isn't installed, for which it asks for Python 3.14.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DISTRIBUTION = "aws-durable-execution-conformance-tests==1.0.0"
WHEEL = "aws_durable_execution_conformance_tests-1.0.0-py3-none-any.whl"
SHA256 = "59b46cda93c0cbfed6a80f342ab0b93542ad8841196200a15fc716ebaa619c30"
SETTING = "CONFORMANCE_WHEEL"
CACHE = Path(__file__).parents[2] / "build" / "conformance"


class RequirementsMissingError(Exception):
    """The requirements are not here, can't be had, or are not the pinned ones."""


def wheel() -> Path:
    """The wheel, as it is on disk.

    Raises:
        RequirementsMissingError: It isn't there, or isn't the pinned one.
    """
    path = Path(os.environ.get(SETTING) or CACHE / WHEEL)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RequirementsMissingError(
            f"AWS's conformance requirements can't be read from {path}: {error.strerror}. "
            f"Run `python -m tests.conformance.fetch`, or name the wheel of {DISTRIBUTION} in {SETTING}."
        ) from error
    if digest != SHA256:
        raise RequirementsMissingError(
            f"{path} has SHA-256 {digest}, but {DISTRIBUTION} is pinned to {SHA256}. Remove it and run "
            "`python -m tests.conformance.fetch`."
        )
    return path


def fetch() -> Path:
    """Bring the wheel if it isn't here.

    Raises:
        RequirementsMissingError: The package index can't be reached, or has another file than the pinned one.
    """
    try:
        return wheel()
    except RequirementsMissingError:
        if os.environ.get(SETTING):
            raise
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--ignore-requires-python", "--only-binary", ":all:", "--dest", folder, DISTRIBUTION]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        brought = Path(folder) / WHEEL
        if ended.returncode or not brought.is_file():
            raise RequirementsMissingError(
                f"{DISTRIBUTION} can't be had from the package index:\n{ended.stderr.strip()[-2000:]}\n"
                f"Check the network and pip's settings, or name the wheel in {SETTING}."
            )
        brought.replace(CACHE / WHEEL)
    return wheel()


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{fetch()}\n")
    except RequirementsMissingError as problem:
        sys.exit(str(problem))
