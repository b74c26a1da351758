"""Where providers come from: a filesystem mirror on this machine, or Terraform's usual download.

The rule, per root module and the local modules it reaches:

1. A provider whose constraints a release in the mirror meets comes from the mirror.
2. Else, if the target is a local cloud and the provider is ``hashicorp/aws`` with a release >= 5.100 and < 6.25 in the
   mirror, that release is used in compatibility mode (`harness.terraform.compat`). Never for an AWS target.
3. Everything else is downloaded by Terraform as usual.

``HARNESS_PROVIDER`` is ``auto`` (this rule), ``mirror`` (nothing is downloaded) or ``download`` (no mirror is used).
``HARNESS_PROVIDER_MIRROR`` names the mirror; otherwise the system's usual folders are searched.
https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from packaging.version import InvalidVersion, Version

from harness.errors import ConfigurationError, ProviderNotFoundError
from harness.terraform.compat import AWS_SOURCE, short_source
from harness.terraform.hcl import Module
from harness.terraform.versions import satisfies

MODE_SETTING = "HARNESS_PROVIDER"
MIRROR_SETTING = "HARNESS_PROVIDER_MIRROR"
Mode = Literal["auto", "mirror", "download"]

DURABLE_SINCE = Version("6.25.0")
# The release that compatibility mode was written for; older ones lack arguments that durable functions' files use.
COMPAT_SINCE = Version("5.100.0")

_PACKED = re.compile(r"^terraform-provider-(?P<type>.+)_(?P<version>\d[^_]*)_(?P<platform>[a-z0-9]+_[a-z0-9]+)\.zip$")


@dataclass(frozen=True)
class Mirror:
    """A filesystem mirror.

    Attributes:
        path: Its folder.
        releases: The versions for this platform, by provider address (``host/namespace/type``).
    """

    path: Path
    releases: Mapping[str, tuple[Version, ...]]


@dataclass(frozen=True)
class ProviderPlan:
    """Where a root module's providers come from.

    Attributes:
        mirror: The mirror's folder, None when nothing comes from one.
        mirrored: The addresses that come from it.
        direct: Whether Terraform may download.
        pins: Versions to pin in compatibility mode, by source; empty outside of it.
        summary: One line for people.
    """

    mirror: Path | None
    mirrored: tuple[str, ...]
    direct: bool
    pins: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def compat(self) -> bool:
        """Whether the staged copy gets the compatibility override."""
        return bool(self.pins)

    def cli_config(self, users_own: str = "") -> str:
        """The text of the CLI configuration file that carries this plan out.

        Args:
            users_own: The user's CLI configuration, which stands as it is when no mirror is used: it may name network
                mirrors and registry credentials.
        """
        if self.mirror is None:
            return users_own or "provider_installation {\n  direct {}\n}\n"
        addresses = ", ".join(json.dumps(address) for address in self.mirrored)
        lines = ["provider_installation {", "  filesystem_mirror {", f"    path    = {json.dumps(str(self.mirror))}"]
        if self.direct:
            lines += [f"    include = [{addresses}]", "  }", "  direct {", f"    exclude = [{addresses}]"]
        return "\n".join([*lines, "  }", "}", ""])


def mirror_roots(environ: Mapping[str, str], home: Path, system: Path = Path("/")) -> tuple[Path, ...]:
    """The folders in which a mirror is looked for, in order.

    They are Terraform's own implied mirrors, its plugin cache, and every folder of ``/opt``.
    """
    data_home = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    data_dirs = [Path(part) for part in (environ.get("XDG_DATA_DIRS") or "").split(os.pathsep) if part]
    roots = [
        home / ".terraform.d" / "plugins",
        data_home / "terraform" / "plugins",
        *(path / "terraform" / "plugins" for path in data_dirs),
        system / "usr" / "local" / "share" / "terraform" / "plugins",
        system / "usr" / "share" / "terraform" / "plugins",
        system / "var" / "lib" / "terraform" / "plugins",
    ]
    if environ.get("TF_PLUGIN_CACHE_DIR"):
        roots.append(Path(environ["TF_PLUGIN_CACHE_DIR"]))
    roots.append(home / ".terraform.d" / "plugin-cache")
    opt = system / "opt"
    if opt.is_dir():
        for path in sorted(opt.iterdir()):
            roots += [path, path / "plugins", path / "providers"]
    return tuple(dict.fromkeys(roots))


def find_mirror(
    environ: Mapping[str, str], *, registry: str, platform: str, roots: Iterable[Path] | None = None
) -> Mirror | None:
    """The first folder that mirrors ``hashicorp/aws`` for this platform.

    Args:
        environ: Where ``HARNESS_PROVIDER_MIRROR`` is read.
        registry: The registry's host, as `harness.terraform.executable.Executable` gives it.
        platform: Such as ``linux_amd64``.
        roots: Other folders than `mirror_roots` to search.

    Raises:
        ConfigurationError: ``HARNESS_PROVIDER_MIRROR`` names a folder that is no mirror.
    """
    named = environ.get(MIRROR_SETTING)
    if named:
        path = Path(named).expanduser().absolute()
        mirror = read_mirror(path, platform=platform)
        if not mirror.releases:
            raise ConfigurationError(
                f"{MIRROR_SETTING} names a folder without providers for {platform}",
                where=str(path),
                hint=f"Name the folder above {registry}/, as `terraform providers mirror` writes it, or unset it.",
            )
        return mirror
    for root in mirror_roots(environ, Path.home()) if roots is None else roots:
        if (root / registry / AWS_SOURCE).is_dir():
            mirror = read_mirror(root, platform=platform)
            if f"{registry}/{AWS_SOURCE}" in mirror.releases:
                return mirror
    return None


def read_mirror(path: Path, *, platform: str) -> Mirror:
    """The releases in a mirror, unpacked (``VERSION/PLATFORM/``) or packed (zip files)."""
    releases: dict[str, set[Version]] = {}
    for folder in path.glob("*/*/*"):
        if not folder.is_dir():
            continue
        address = "/".join(folder.relative_to(path).parts)
        for entry in folder.iterdir():
            packed = _PACKED.match(entry.name)
            text = None
            if packed and packed["type"] == folder.name and packed["platform"] == platform:
                text = packed["version"]
            elif (entry / platform).is_dir():
                text = entry.name
            if text:
                try:
                    releases.setdefault(address, set()).add(Version(text))
                except InvalidVersion:
                    continue
    return Mirror(path, {address: tuple(sorted(versions)) for address, versions in releases.items()})


def provider_mode(environ: Mapping[str, str]) -> Mode:
    """The setting ``HARNESS_PROVIDER``.

    Raises:
        ConfigurationError: It is none of its values.
    """
    mode = environ.get(MODE_SETTING) or "auto"
    if mode not in get_args(Mode):
        raise ConfigurationError(
            f"{MODE_SETTING} is {mode!r}", where="environment", hint=f"Use one of {', '.join(get_args(Mode))}."
        )
    return cast("Mode", mode)


def plan_providers(
    modules: Iterable[Module], mirror: Mirror | None, *, registry: str, local: bool, mode: Mode = "auto"
) -> ProviderPlan:
    """Decide where each provider comes from; the module's docstring has the rule.

    Args:
        modules: The root module and the local modules that it reaches.
        mirror: The mirror at hand.
        registry: The host that a source without one belongs to.
        local: Whether the target is a local cloud.
        mode: ``HARNESS_PROVIDER``.

    Raises:
        ProviderNotFoundError: The mode is ``mirror`` and it can't meet a requirement.
    """
    if mode == "download":
        return ProviderPlan(None, (), direct=True, summary="providers are downloaded")
    wanted = _requirements(modules, registry)
    if mirror is None:
        if mode == "mirror" and wanted:
            raise ProviderNotFoundError(
                f"{MODE_SETTING}=mirror, and there is no provider mirror on this machine",
                where=", ".join(wanted),
                hint=f"Make one with `terraform providers mirror FOLDER` and set {MIRROR_SETTING}=FOLDER.",
            )
        return ProviderPlan(None, (), direct=True, summary="providers are downloaded")
    mirrored: list[str] = []
    pins: dict[str, str] = {}
    for address, constraints in wanted.items():
        releases = mirror.releases.get(address, ())
        if any(_meets_all(release, constraints) for release in releases):
            mirrored.append(address)
            continue
        older = [release for release in releases if COMPAT_SINCE <= release < DURABLE_SINCE]
        if address == f"{registry}/{AWS_SOURCE}" and local and older:
            mirrored.append(address)
            pins[AWS_SOURCE] = str(older[-1])
        elif mode == "mirror":
            have = ", ".join(map(str, releases)) or "none"
            raise ProviderNotFoundError(
                f"{MODE_SETTING}=mirror, and the mirror can't meet {address} {', '.join(constraints) or '(any)'}; "
                f"it has {have}",
                where=str(mirror.path),
                hint=f"Add the release with `terraform providers mirror`, or set {MODE_SETTING}=auto to download it.",
            )
    if not mirrored:
        return ProviderPlan(None, (), direct=True, summary="providers are downloaded")
    summary = f"providers come from {mirror.path}"
    if pins:
        summary += f", hashicorp/aws {pins[AWS_SOURCE]} in compatibility mode (the files ask for a later one)"
    return ProviderPlan(mirror.path, tuple(sorted(mirrored)), direct=mode != "mirror", pins=pins, summary=summary)


def _requirements(modules: Iterable[Module], registry: str) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for module in modules:
        for requirement in module.providers.values():
            source = requirement.source.lower()
            address = source if source.count("/") == 2 else f"{registry}/{short_source(source)}"
            constraints = wanted.setdefault(address, [])
            if requirement.version:
                _check(requirement.version, module.directory)
                constraints.append(requirement.version)
    # A resource whose provider is declared nowhere is hashicorp's, at any version; the only one assumed is aws, which
    # everything here deploys with.
    wanted.setdefault(f"{registry}/{AWS_SOURCE}", [])
    return wanted


def _check(constraint: str, directory: Path) -> None:
    try:
        satisfies(DURABLE_SINCE, constraint)
    except ValueError as error:
        raise ConfigurationError(
            f"required_providers has a version that can't be read: {error}",
            where=str(directory),
            hint="See https://developer.hashicorp.com/terraform/language/expressions/version-constraints.",
        ) from error


def _meets_all(release: Version, constraints: Iterable[str]) -> bool:
    return all(satisfies(release, constraint) for constraint in constraints)
