"""The files of a workspace, and Terraform set up to run on them; nothing here creates a resource."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from packaging.version import Version

from harness.errors import ConfigurationError, HarnessError, TerraformVersionError
from harness.events import EventBus, PhaseFinished, PhaseStarted
from harness.ledger import Entry, Ledger, Owner, Status
from harness.leftovers import EXPIRES_TAG, WORKSPACE_TAG
from harness.packaging import Package, build_zip
from harness.remote import STATE_SETTING, Location, Remote
from harness.targets import Target
from harness.terraform.compat import apply_compat
from harness.terraform.driver import Runner
from harness.terraform.environment import inherited_variables, terraform_environment
from harness.terraform.executable import Executable, find_terraform
from harness.terraform.hcl import Module
from harness.terraform.project import RETRIES, ROLES_READY, Project
from harness.terraform.providers import ProviderPlan, find_mirror, plan_providers, provider_mode
from harness.terraform.redact import Redactor, credentials
from harness.terraform.stage import StagedTree, digest, reach, stage
from harness.terraform.state import EMPTY, State, local_state_path, read_state
from harness.terraform.template import initialise, is_initialised, override_backend, template_key
from harness.waiters import Clock

_log = logging.getLogger(__name__)

_SUFFIX_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_SUFFIX_LENGTH = 8
_EXAMPLE_LENGTH = 40
EXPIRES_AFTER = timedelta(hours=24)
"""How long after its deploy nobody should need a workspace any more."""

_PACKAGE = "package.zip"
# https://developer.hashicorp.com/terraform/language/backend/s3#state-locking
_FIRST_WITH_S3_LOCKS = Version("1.10")

Phase = Literal["package", "stage", "init", "apply", "destroy", "verify"]


@dataclass
class Outcome:
    """Whether a phase succeeded; set to False by a phase that fails without raising."""

    ok: bool = True


@dataclass
class Workshop:
    """Prepares workspaces for one target and runs Terraform in them.

    Args:
        target: Where they are deployed.
        ledger: Where they are written down.
        cache: The folder of templates and zips.
        bus: Told of phases, resources and diagnostics.
        clock: Where waits get their time from.
        environ: The environment of settings and of Terraform.
        cancelled: Interrupts a running init or apply when set.
        remote: Where the states of new workspaces go; None keeps them in their folders.
    """

    target: Target
    ledger: Ledger
    cache: Path
    bus: EventBus
    clock: Clock
    environ: Mapping[str, str]
    cancelled: threading.Event | None = None
    remote: Remote | None = None

    def __post_init__(self) -> None:
        self._run = f"{self.clock.now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"

    def plan(self, modules: Iterable[Module], executable: Executable) -> ProviderPlan:
        """Where providers come from, see `harness.terraform.providers`.

        Raises:
            ConfigurationError: A setting can't be used.
            ProviderNotFoundError: Nothing may be downloaded, and the mirror lacks a provider.
        """
        mode = provider_mode(self.environ)
        mirror = None
        if mode != "download":
            mirror = find_mirror(self.environ, registry=executable.registry, platform=executable.platform)
        plan = plan_providers(
            modules, mirror, registry=executable.registry, local=self.target.kind == "local", mode=mode
        )
        _log.info("%s; %s", executable, plan.summary)
        return plan

    def new_entry(
        self, directory: Path, modules: Mapping[Path, Module], executable: Executable, *, fingerprint: str | None
    ) -> Entry:
        """A new workspace's ledger entry, with a fingerprint if it is to stay; nothing is written yet."""
        suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
        example = clean_example(directory.name)
        name = f"{example}-{suffix}"
        folder = self.ledger.workspaces / name
        top = Path(os.path.commonpath([str(path) for path in modules]))
        now = self.clock.now()
        return Entry(
            name=name,
            example=example,
            example_dir=directory,
            suffix=suffix,
            directory=folder,
            root=folder / "tree" / directory.relative_to(top),
            executable=str(executable.path),
            target=self.target.record(),
            owner=Owner.this_process(),
            created_at=now,
            expires_at=now + EXPIRES_AFTER,
            keep=fingerprint is not None,
            fingerprint=fingerprint or "",
            state=self.remote.location.url if self.remote else None,
        )

    def prepare(
        self, entry: Entry, modules: Mapping[Path, Module], plan: ProviderPlan, variables: Mapping[str, Any]
    ) -> StagedTree:
        """Build the zip, stage the files, and write variables and CLI configuration.

        Raises:
            PackagingError: The zip can't be built.
            ConfigurationError: The workspace's folder can't be written.
        """
        root = modules[entry.example_dir]
        values: dict[str, Any] = {"name_suffix": entry.suffix, "harness_tags": self._tags(entry)}
        try:
            entry.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if _wants_package(root):
                with self.phase(entry, "package"):
                    package = self._package(entry.example_dir)
                    # A copy: the workspace must be destroyable, and its plan readable, without the cache.
                    own = entry.directory / _PACKAGE
                    shutil.copyfile(package.path, own)
                    values.update(package_path=str(own), package_hash=package.sha256_base64)
            with self.phase(entry, "stage"):
                staged = stage(entry.example_dir, entry.tree, modules)
                declared = {name: value for name, value in values.items() if name in root.variables}
                _write_private(entry.var_file, json.dumps({**declared, **variables}))
                inherited = inherited_variables(self.environ, frozenset(root.variables))
                _write_private(entry.environment_file, json.dumps(inherited))
                remote = self.remote_of(entry)
                if remote is not None:
                    # As it is written: another machine may have other providers.
                    remote.store(entry, (entry.tree.name, entry.var_file.name, entry.environment_file.name, _PACKAGE))
                self._generate(entry, staged, plan)
        except OSError as error:
            raise ConfigurationError(
                f"The workspace's folder can't be written: {error.strerror or error}",
                where=str(entry.directory),
                hint="Free space or permissions there, or set HARNESS_HOME to another folder.",
            ) from error
        return staged

    def fingerprint(self, directory: Path, modules: Mapping[Path, Module], variables: Mapping[str, Any]) -> str:
        """What changes whenever a deploy of this directory would deploy something else.

        Raises:
            PackagingError: The zip can't be built.
        """
        root = modules[directory]
        parts = [
            digest(modules),
            self._package(directory).sha256_base64 if _wants_package(root) else None,
            dict(variables),
            inherited_variables(self.environ, frozenset(root.variables)),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def take_over(self, entry: Entry, modules: Mapping[Path, Module]) -> Entry:
        """The entry with a tree beside its own, for other files and the same state; nothing is written yet."""
        number = int(entry.tree.name.rpartition("-")[2]) + 1 if "-" in entry.tree.name else 2
        top = Path(os.path.commonpath([str(path) for path in modules]))
        root = entry.directory / f"tree-{number}" / entry.example_dir.relative_to(top)
        return replace(entry, root=root, status="creating")

    def move_state(self, before: Entry, after: Entry) -> None:
        """Copy the state from one tree to the next; the first stays until the ledger names the second.

        Raises:
            ConfigurationError: It can't be copied.
        """
        source, target = state_path(before), state_path(after)
        if not source.is_file():
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise ConfigurationError(
                f"The state can't be copied: {error.strerror or error}", where=str(target), hint="Free space there."
            ) from error

    def _package(self, directory: Path) -> Package:
        return build_zip(directory / "function", cache_dir=self.cache / "packages")

    def restore(self, entry: Entry, executable: Executable) -> None:
        """Bring a workspace's files to this machine, if it was deployed by another one.

        Raises:
            ConfigurationError: They can't be fetched, or written here.
            ProviderNotFoundError: A provider can't be had here.
        """
        remote = self.remote_of(entry)
        if remote is None or entry.cli_config.is_file():
            return
        if not remote.fetch(entry):
            raise ConfigurationError(
                "The workspace's files aren't in S3, though its state is",
                where=remote.location.url,
                hint=f"The machine that deployed it, {entry.owner.host}, may have them: run the destroy there.",
            )
        values = json.loads(entry.var_file.read_text(encoding="utf-8"))
        if "package_path" in values:
            values["package_path"] = str(entry.directory / _PACKAGE)
            _write_private(entry.var_file, json.dumps(values))
        modules = reach(entry.root)
        plan = self.plan(modules.values(), executable)
        self._generate(entry, StagedTree(entry.root, modules), plan)

    def _generate(self, entry: Entry, staged: StagedTree, plan: ProviderPlan) -> None:
        """Write what depends on this machine and on the target; the CLI configuration last, which says it is whole."""
        remote = self.remote_of(entry)
        override_backend(staged, remote.backend if remote else None)
        if plan.compat:
            apply_compat(staged, plan.pins)
        _write_private(entry.cli_config, plan.cli_config(self._users_cli_config()))

    def remote_of(self, entry: Entry) -> Remote | None:
        """Where a workspace's state is, None when that is its folder."""
        if entry.state is None:
            return None
        if self.remote is not None and self.remote.location.url == entry.state:
            return self.remote
        return Remote(Location.parse(entry.state), self.target)

    def check_remote(self, executable: Executable) -> None:
        """Look whether a workspace's state could be stored where it is to go.

        Raises:
            ConfigurationError: There is no such bucket, or it may not be used.
            TerraformVersionError: Terraform can't lock a state in S3.
        """
        if self.remote is None:
            return
        if executable.version < _FIRST_WITH_S3_LOCKS:
            raise TerraformVersionError(
                f"{executable} can't lock a state in S3, {_FIRST_WITH_S3_LOCKS} or later can",
                where=self.remote.location.url,
                hint=f"Install a later one, or unset {STATE_SETTING}.",
            )
        self.remote.check()

    def state(self, entry: Entry) -> State | None:
        """A workspace's state; None when Terraform never wrote one.

        Raises:
            TerraformError: It can't be read.
        """
        return stored_state(entry, self.remote_of(entry))

    def write(self, entry: Entry) -> None:
        """Write a workspace into the ledger, here and beside its state.

        Raises:
            ConfigurationError: It can't be written.
        """
        self.ledger.write(entry)
        remote = self.remote_of(entry)
        if remote is not None:
            remote.write(entry)

    def initialise(self, entry: Entry, project: Project, staged: StagedTree, executable: Executable) -> None:
        """Init from a template.

        Raises:
            ProviderNotFoundError, TerraformError: As `Project.init`.
        """
        with self.phase(entry, "init"):
            key = template_key(staged, executable, entry.cli_config.read_text(encoding="utf-8"))
            initialise(entry.root, key, self.cache / "templates", project.init)

    def reinitialise(self, entry: Entry, project: Project) -> None:
        """Init again when what init gave is gone, such as with an emptied cache."""
        if not is_initialised(entry.root):
            with self.phase(entry, "init"):
                project.init()

    def project(self, entry: Entry, executable: Executable, *, cancellable: bool) -> Project:
        """Terraform in a workspace's root."""
        inherited: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            inherited = json.loads(entry.environment_file.read_text(encoding="utf-8"))
        own = {"TF_CLI_CONFIG_FILE": str(entry.cli_config), "TF_WORKSPACE": entry.name}
        env = terraform_environment(
            self.target.child_environment(self.environ), {**inherited, **self.target.environment, **own}
        )
        runner = Runner(
            env=env,
            log_dir=self.ledger.logs / entry.name,
            redact=self._redactor(entry, inherited),
            cancel=self.cancelled if cancellable else None,
            hold=hold_file(entry),
            clock=self.clock,
        )
        return Project(
            executable,
            entry.root,
            entry.name,
            entry.example,
            runner,
            entry.var_file,
            self.bus,
            self.target.policy(RETRIES).with_clock(self.clock),
            self.target.policy(ROLES_READY).with_clock(self.clock),
            load_state=lambda: self.state(entry) or EMPTY,
        )

    def note(self, entry: Entry, state: State, status: Status) -> Entry:
        """Write what the state names into the ledger: it is needed when the state is lost.

        Raises:
            ConfigurationError: It can't be written.
        """
        noted = self.noted(entry, state, status)
        self.write(noted)
        return noted

    @staticmethod
    def noted(entry: Entry, state: State, status: Status) -> Entry:
        """The entry with what the state names."""
        functions = dict.fromkeys([*entry.functions, *state.names("aws_lambda_function", "function_name")])
        groups = dict.fromkeys([*entry.log_groups, *state.names("aws_cloudwatch_log_group", "name")])
        return replace(entry, status=status, functions=tuple(functions), log_groups=tuple(groups))

    def drop(self, entry: Entry, *, keep_logs: bool) -> None:
        """Forget a workspace of which nothing is left: state, folder, logs, and last the ledger entry."""
        remote = self.remote_of(entry)
        if remote is not None:
            remote.forget(entry.name)
        shutil.rmtree(entry.directory, ignore_errors=True)
        if not keep_logs:
            shutil.rmtree(self.ledger.logs / entry.name, ignore_errors=True)
        self.ledger.remove(entry.name)

    @contextlib.contextmanager
    def phase(self, entry: Entry, phase: Phase) -> Iterator[Outcome]:
        """Publish a phase's start and end."""
        outcome = Outcome()
        self.bus.publish(PhaseStarted(workspace=entry.name, example=entry.example, phase=phase))
        started = self.clock.monotonic()
        try:
            yield outcome
        except BaseException:
            outcome.ok = False
            raise
        finally:
            seconds = self.clock.monotonic() - started
            self.bus.publish(
                PhaseFinished(workspace=entry.name, example=entry.example, phase=phase, seconds=seconds, ok=outcome.ok)
            )

    def _tags(self, entry: Entry) -> dict[str, str]:
        return {
            "durable-harness:run": self._run,
            "durable-harness:example": entry.example,
            WORKSPACE_TAG: entry.name,
            EXPIRES_TAG: entry.expires_at.isoformat(timespec="seconds"),
        }

    def _users_cli_config(self) -> str:
        named = self.environ.get("TF_CLI_CONFIG_FILE")
        path = Path(named) if named else Path.home() / ".terraformrc"
        try:
            return path.read_text(encoding="utf-8")
        except OSError:
            return ""

    def _redactor(self, entry: Entry, inherited: Mapping[str, str]) -> Redactor:
        redact = Redactor(credentials(self.target.environment))
        try:
            module = reach(entry.root)[entry.root.resolve()]
            values = json.loads(entry.var_file.read_text(encoding="utf-8"))
        except (HarnessError, OSError, ValueError):
            return redact
        for name, variable in module.variables.items():
            if variable.sensitive:
                redact.add([values.get(name), inherited.get(f"TF_VAR_{name}")])
        return redact


def _wants_package(root: Module) -> bool:
    return not {"package_path", "package_hash"}.isdisjoint(root.variables)


def hold_file(entry: Entry) -> Path:
    """The file that is locked while a Terraform command runs in a workspace, whoever started it."""
    return entry.directory / "running.lock"


def state_path(entry: Entry) -> Path:
    """Where the state of a workspace is that keeps it in its folder."""
    return local_state_path(entry.root, entry.name)


def stored_state(entry: Entry, remote: Remote | None) -> State | None:
    """A workspace's state from where it is stored; None when Terraform never wrote one.

    Raises:
        TerraformError: It can't be read.
    """
    if remote is not None:
        return remote.state(entry.name)
    path = state_path(entry)
    return read_state(path) if path.is_file() else None


def executable_of(entry: Entry, environ: Mapping[str, str]) -> Executable:
    """The Terraform that deployed a workspace, or the one at hand when that is gone.

    Raises:
        TerraformNotFoundError, TerraformVersionError: There is none that can be used.
    """
    named = {"HARNESS_TERRAFORM": entry.executable} if Path(entry.executable).is_file() else {}
    return find_terraform({**environ, **named})


def clean_example(name: str) -> str:
    """A directory's name as part of a workspace's: ``[a-z0-9-]{1,40}``."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_EXAMPLE_LENGTH].strip("-") or "example"


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
