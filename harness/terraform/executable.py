"""Finds Terraform and checks its version.

``HARNESS_TERRAFORM`` names another executable, by path or by a name on the PATH; ``tofu`` is accepted when named.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.version import InvalidVersion, Version

from harness.errors import TerraformNotFoundError, TerraformVersionError
from harness.terraform.environment import terraform_environment

SETTING = "HARNESS_TERRAFORM"

# `terraform_data` came with 1.4 and `check` blocks with 1.5, which is also the last release that OpenTofu's first one
# (1.6) matches: modules in use today declare this floor or a higher one, and Terraform itself holds the higher ones.
MINIMUM_VERSION = Version("1.5.0")
_ANSWER_WITHIN_SECONDS = 60


@dataclass(frozen=True)
class Executable:
    """A Terraform that can be used.

    Attributes:
        path: The executable's absolute path.
        version: Its version.
        product: ``terraform`` or ``tofu``.
        platform: Such as ``linux_amd64``, as provider packages are named.
    """

    path: Path
    version: Version
    product: Literal["terraform", "tofu"]
    platform: str

    @property
    def registry(self) -> str:
        """The host that provider sources without one belong to."""
        return "registry.opentofu.org" if self.product == "tofu" else "registry.terraform.io"

    def __str__(self) -> str:
        """Product, version and path, for logs and errors."""
        return f"{self.product} {self.version} ({self.path})"


def find_terraform(environ: Mapping[str, str] | None = None) -> Executable:
    """The Terraform to use, with its version checked.

    Args:
        environ: Where ``HARNESS_TERRAFORM`` and ``PATH`` are read; the process's environment by default.

    Raises:
        TerraformNotFoundError: There is none, or what was named can't be run.
        TerraformVersionError: It is older than `MINIMUM_VERSION`.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(SETTING)
    found = shutil.which(named or "terraform", path=environ.get("PATH", os.defpath))
    if found is None:
        raise TerraformNotFoundError(
            f"{named!r} (from {SETTING}) is not an executable" if named else "There is no `terraform` on the PATH",
            where=f"PATH={environ.get('PATH', '')}",
            hint=f"Install Terraform >= {MINIMUM_VERSION} (https://developer.hashicorp.com/terraform/install), or set "
            f"{SETTING} to the path of `terraform` or `tofu`.",
        )
    path = Path(found).absolute()
    stat = path.stat()
    return _inspect(path, (stat.st_mtime_ns, stat.st_size))


@functools.cache
def _inspect(path: Path, _identity: tuple[int, int]) -> Executable:
    hint = f"Run `{path} version` by hand; it must be Terraform >= {MINIMUM_VERSION} or OpenTofu."
    try:
        answer = subprocess.run(
            [str(path), "version", "-json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_WITHIN_SECONDS,
            check=False,
            # No CLI configuration: one that is missing or broken makes even `version` complain.
            env=terraform_environment(os.environ, {"TF_CLI_CONFIG_FILE": os.devnull}),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TerraformNotFoundError(f"Terraform can't be run: {error}", where=str(path), hint=hint) from error
    version, product, platform = _read_version(answer.stdout)
    if version is None:
        raise TerraformNotFoundError(
            f"What is called Terraform doesn't answer like it (exit code {answer.returncode}: "
            f"{(answer.stderr or answer.stdout).strip()[:200]!r})",
            where=str(path),
            hint=hint,
        )
    if version < MINIMUM_VERSION:
        raise TerraformVersionError(
            f"{product} {version} is too old, {MINIMUM_VERSION} or later is needed",
            where=str(path),
            hint=f"Install a later one (https://developer.hashicorp.com/terraform/install), or name another executable "
            f"with {SETTING}.",
        )
    return Executable(path, version, product, platform)


def _read_version(stdout: str) -> tuple[Version | None, Literal["terraform", "tofu"], str]:
    """Version, product and platform from `version -json`, or from the plain text of releases before 0.13."""
    product: Literal["terraform", "tofu"] = "terraform"
    platform = ""
    text: str | None = None
    try:
        document = json.loads(stdout)
    except ValueError:
        plain = re.search(r"^(Terraform|OpenTofu) v(\S+)", stdout, re.MULTILINE)
        if plain:
            text = plain[2]
            product = "tofu" if plain[1] == "OpenTofu" else "terraform"
    else:
        if isinstance(document, dict):
            # OpenTofu kept Terraform's key; its file name is what tells them apart.
            text = document.get("terraform_version")
            platform = document.get("platform", "")
            if "tofu" in stdout.lower():
                product = "tofu"
    try:
        return (Version(text) if text else None), product, platform
    except InvalidVersion:
        return None, product, platform
