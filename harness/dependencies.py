"""The files of the distributions that a function requires, taken from the running environment.

Requirements are what pip calls requirement specifiers, one a line.
https://packaging.python.org/en/latest/specifications/dependency-specifiers/
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag
from packaging.utils import canonicalize_name

from harness.errors import PackagingError

# boto3 and all that it needs: https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included
RUNTIME_DISTRIBUTIONS = frozenset({"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"})

# python3.13 on Amazon Linux 2023, which has glibc 2.34, on x86_64.
_LAMBDA_PYTHON = (3, 13)
_LAMBDA_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(34, 4, -1)] + [
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
    "linux_x86_64",
]
_COMPILED_SUFFIXES = (".so", ".pyd", ".dylib", ".dll")
# What an installer writes differs from machine to machine, and nothing reads it on Lambda.
_INSTALLER_FILES = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"})


@dataclass(frozen=True)
class _Wanted:
    requirement: Requirement
    required_by: str
    requirements: Path

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    def error(self, what: str, hint: str | None = None) -> PackagingError:
        return PackagingError(
            what,
            where=f"{self.requirements} ({self.requirement}, required by {self.required_by})",
            hint=hint or f"pip install -r {self.requirements}",
        )


def dependency_files(requirements: Path, *, search_path: Sequence[str] | None = None) -> dict[str, bytes]:
    """The files of all distributions that a requirements file names, and of those that they need in turn.

    Left out is what Lambda's Python runtime has: boto3 and its needs, also when the file names them. A distribution
    with compiled code passes only if one of its wheel's tags fits CPython 3.13 on Linux x86_64 with glibc 2.34.

    Args:
        requirements: The requirements file; when there is none, nothing is required.
        search_path: Where distributions are looked for, by default ``sys.path``.

    Returns:
        Contents by their path below the zip's root.

    Raises:
        PackagingError: The file can't be read or understood, or a distribution is missing, has another version, is
            installed in editable mode, or has code that can't run on Lambda.
    """
    files: dict[str, bytes] = {}
    owners: dict[str, str] = {}
    for wanted, distribution in _resolve(requirements, search_path):
        for path, content in _contents(wanted, distribution):
            if files.get(path, content) != content:
                raise wanted.error(
                    f"{wanted.name} and {owners[path]} both have a file {path}",
                    "Require only one of the two",
                )
            files[path] = content
            owners[path] = wanted.name
    return files


def read_requirements(requirements: Path) -> list[Requirement]:
    """The requirements in a file; none when there is no file.

    Raises:
        PackagingError: The file can't be read, or a line isn't a requirement by name.
    """
    try:
        text = requirements.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise PackagingError(f"The requirements can't be read: {error}", where=str(requirements)) from error
    found = []
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        # As pip does: a # starts a comment at the start of a line or after a space; in a URL it is a fragment.
        entry = f" {line}".split(" #", 1)[0].strip()
        if not entry:
            continue
        where = f"{requirements}:{number}"
        if entry.startswith("-"):
            raise PackagingError(
                f"{entry.split()[0]} can't be used in a function's requirements",
                where=where,
                hint="List requirements by name and version, one a line",
            )
        try:
            requirement = Requirement(entry)
        except InvalidRequirement as error:
            raise PackagingError(
                f"{entry!r} isn't a requirement", where=where, hint="Write it as NAME or NAME>=VERSION"
            ) from error
        if requirement.url:
            raise PackagingError(
                f"{requirement.name} is required from a URL, which can't be compared with what is installed",
                where=where,
                hint=f"Install it, and require {requirement.name}==VERSION here",
            )
        found.append(requirement)
    return found


def _resolve(requirements: Path, search_path: Sequence[str] | None) -> Iterator[tuple[_Wanted, Distribution]]:
    pending = [_Wanted(item, requirements.name, requirements) for item in read_requirements(requirements)]
    seen: set[tuple[str, frozenset[str]]] = set()
    yielded: set[str] = set()
    while pending:
        wanted = pending.pop(0)
        if wanted.name in RUNTIME_DISTRIBUTIONS or not _applies(wanted.requirement, {""}):
            continue
        distribution = _find(wanted, search_path)
        if not wanted.requirement.specifier.contains(distribution.version, prereleases=True):
            raise wanted.error(
                f"{wanted.name} {distribution.version} is installed, {wanted.requirement.specifier} is required"
            )
        state = (wanted.name, frozenset(wanted.requirement.extras))
        if state in seen:
            continue
        seen.add(state)
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if _applies(requirement, {"", *wanted.requirement.extras}):
                requirement.marker = None
                pending.append(_Wanted(requirement, wanted.name, requirements))
        if wanted.name not in yielded:
            yielded.add(wanted.name)
            yield wanted, distribution


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a requirement's marker holds on Lambda, or here, where the local cloud runs the same zip."""
    if requirement.marker is None:
        return True
    here = {key: str(value) for key, value in default_environment().items()}
    version = ".".join(map(str, _LAMBDA_PYTHON))
    on_lambda = {
        **here,
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "python_full_version": f"{version}.0",
        "python_version": version,
        "sys_platform": "linux",
    }
    marker = requirement.marker
    return any(
        marker.evaluate({**environment, "extra": extra}) for environment in (here, on_lambda) for extra in extras
    )


def _find(wanted: _Wanted, search_path: Sequence[str] | None) -> Distribution:
    path = sys.path if search_path is None else list(search_path)
    distribution = next(iter(distributions(name=wanted.requirement.name, path=path)), None)
    if distribution is None:
        raise wanted.error(f"{wanted.name} isn't installed")
    return distribution


def _contents(wanted: _Wanted, distribution: Distribution) -> Iterator[tuple[str, bytes]]:
    if distribution.files is None:
        raise wanted.error(f"{wanted.name} has no list of its files", f"pip install --force-reinstall {wanted.name}")
    if _is_editable(distribution):
        raise wanted.error(
            f"{wanted.name} is installed in editable mode: its files aren't where they would be packaged from",
            f"Install it as it is released: pip install {wanted.requirement}",
        )
    names = [name for name in distribution.files if _belongs(PurePosixPath(name.as_posix()))]
    _check_code(wanted, distribution, [name.as_posix() for name in names])
    for name in sorted(names, key=lambda item: item.as_posix()):
        try:
            yield name.as_posix(), Path(str(name.locate())).read_bytes()
        except OSError as error:
            raise wanted.error(
                f"{name} of {wanted.name} can't be read: {error.strerror}",
                f"pip install --force-reinstall {wanted.name}",
            ) from error


def _belongs(path: PurePosixPath) -> bool:
    # Scripts and manual pages lie outside of site-packages, and so outside of what Lambda puts on the path.
    outside = path.is_absolute() or ".." in path.parts
    installers = path.parent.name.endswith(".dist-info") and path.name in _INSTALLER_FILES
    return not (outside or installers or "__pycache__" in path.parts or path.suffix in {".pyc", ".pyo"})


def _is_editable(distribution: Distribution) -> bool:
    # https://packaging.python.org/en/latest/specifications/direct-url/
    direct_url = json.loads(distribution.read_text("direct_url.json") or "{}")
    return bool(direct_url.get("dir_info", {}).get("editable"))


def _check_code(wanted: _Wanted, distribution: Distribution, names: Sequence[str]) -> None:
    fields = _wheel_fields(distribution)
    compiled = any(name.endswith(_COMPILED_SUFFIXES) for name in names)
    if not compiled and fields.get("Root-Is-Purelib", ["true"]) == ["true"]:
        return
    tags = {tag for text in fields.get("Tag", []) for tag in parse_tag(text)}
    if compiled:
        # Compiled code runs nowhere but where it was compiled for, whatever its wheel says.
        tags = {tag for tag in tags if tag.platform != "any"}
    if not tags & _lambda_tags():
        built_for = ", ".join(sorted(map(str, tags))) or "an unknown platform"
        raise wanted.error(
            f"{wanted.name} {distribution.version} has compiled code for {built_for}, which Lambda's python3.13 on "
            "x86_64 can't load",
            "Require a pure Python alternative, or put it into a layer and take it out of the requirements",
        )


def _wheel_fields(distribution: Distribution) -> Mapping[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for line in (distribution.read_text("WHEEL") or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), []).append(value.strip())
    return fields


def _lambda_tags() -> frozenset[Tag]:
    return frozenset(
        [
            *cpython_tags(python_version=_LAMBDA_PYTHON, abis=["cp313"], platforms=_LAMBDA_PLATFORMS),
            *compatible_tags(python_version=_LAMBDA_PYTHON, interpreter="cp313", platforms=_LAMBDA_PLATFORMS),
        ]
    )
