"""What must be destroyed, on disk: one file per workspace, written before anything is created.

An entry holds all that is needed to destroy its workspace without the code that deployed it. It is removed only when
the destroy is verified. Files are written aside, synced and renamed, so that a reader sees a whole entry or none.

The home folder is ``HARNESS_HOME``, or the user's state folder; caches are in ``HARNESS_CACHE``, or the user's cache
folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

from platformdirs import user_cache_path, user_state_path

from harness.errors import ConfigurationError
from harness.processes import process_identity

SCHEMA = 2
HOME_SETTING = "HARNESS_HOME"
CACHE_SETTING = "HARNESS_CACHE"
_APP = "durable-harness"
# Longer than any that is given; file systems refuse more than 255 bytes.
_LONGEST_NAME = 100
_LOGS_KEPT = timedelta(days=14)

Status = Literal["creating", "ready", "failed", "destroying"]


def default_home(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of ledger, workspaces and logs."""
    named = (os.environ if environ is None else environ).get(HOME_SETTING)
    return Path(named).expanduser().absolute() if named else user_state_path(_APP)


def default_cache(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of what can be made again: init templates and zips."""
    named = (os.environ if environ is None else environ).get(CACHE_SETTING)
    return Path(named).expanduser().absolute() if named else user_cache_path(_APP)


@dataclass(frozen=True)
class Owner:
    """The process that a workspace belongs to.

    Attributes:
        host: The machine's name.
        pid: Its process id.
        started: What tells it from another process that gets the same id later.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Owner:
        """The calling process."""
        return cls(socket.gethostname(), os.getpid(), process_identity(os.getpid()) or "")

    def alive(self) -> bool | None:
        """Whether it still runs; None when it runs on another machine, from which nobody can tell."""
        if self.host != socket.gethostname():
            return None
        started = process_identity(self.pid)
        return started is not None and started == self.started


@dataclass(frozen=True)
class TargetRecord:
    """Where a workspace was deployed.

    Attributes:
        kind: ``local`` or ``aws``.
        region: The region.
        account_id: The account.
        endpoint_url: The local cloud's endpoint.
        profile: The named profile that the deploy used.
        time_scale: The local cloud's.
    """

    kind: Literal["local", "aws"]
    region: str
    account_id: str
    endpoint_url: str | None = None
    profile: str | None = None
    time_scale: float = 1.0


@dataclass(frozen=True)
class Entry:
    """One workspace.

    Attributes:
        name: Its unique name, ``{example}-{suffix}``.
        example: The name of the deployed directory, cleaned.
        example_dir: The deployed directory.
        suffix: What every name in the workspace carries.
        directory: Its folder; everything below it belongs to the workspace.
        root: The staged root module, below ``directory``.
        executable: The Terraform that deployed it.
        target: Where it was deployed.
        owner: Who deployed it.
        created_at: When, UTC.
        expires_at: When nobody should need it any more, UTC.
        status: How far its life has come.
        keep: Whether it was asked to stay.
        functions: Names of Lambda functions known to be in it.
        log_groups: Names of log groups known to belong to it.
        state: Where its state is, as ``HARNESS_STATE`` spells it; None is in its folder.
        fingerprint: What tells whether files, variables or the function's zip have changed since the deploy.
    """

    name: str
    example: str
    example_dir: Path
    suffix: str
    directory: Path
    root: Path
    executable: str
    target: TargetRecord
    owner: Owner
    created_at: datetime
    expires_at: datetime
    status: Status = "creating"
    keep: bool = False
    functions: tuple[str, ...] = ()
    log_groups: tuple[str, ...] = ()
    state: str | None = None
    fingerprint: str = ""

    @property
    def tree(self) -> Path:
        """The folder of staged files that ``root`` is in."""
        return self.directory / self.root.relative_to(self.directory).parts[0]

    @property
    def var_file(self) -> Path:
        """The workspace's Terraform variables."""
        return self.directory / "variables.tfvars.json"

    @property
    def environment_file(self) -> Path:
        """The ``TF_VAR_*`` settings that the deploy took from its environment."""
        return self.directory / "environment.json"

    @property
    def cli_config(self) -> Path:
        """Terraform's CLI configuration for this workspace."""
        return self.directory / "terraform.tfrc"

    def moved_to(self, workspaces: Path) -> Entry:
        """The entry of another machine with its folder among this machine's.

        Raises:
            ConfigurationError: Its name or its paths lead out of that folder.
        """
        directory = workspaces / self.name
        if directory.parent != workspaces or not self.root.is_relative_to(self.directory) or ".." in self.root.parts:
            raise ConfigurationError(
                f"The entry's folder {self.root} isn't the one of a workspace {self.name!r}", where=self.state
            )
        return dataclasses.replace(self, directory=directory, root=directory / self.root.relative_to(self.directory))

    def to_json(self) -> dict[str, Any]:
        """The entry as it is on disk."""
        return {"schema": SCHEMA, **cast("dict[str, Any]", _plain(dataclasses.asdict(self)))}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Entry:
        """The entry in a document of this schema.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or isn't what it should be.
        """
        since = {"state": None, "fingerprint": ""} if document["schema"] == 1 else {}
        fields = {field.name: {**since, **document}[field.name] for field in dataclasses.fields(cls)}
        fields["target"] = TargetRecord(**fields["target"])
        fields["owner"] = Owner(**fields["owner"])
        for name in ("example_dir", "directory", "root"):
            fields[name] = Path(fields[name])
        for name in ("created_at", "expires_at"):
            fields[name] = datetime.fromisoformat(fields[name])
        for name in ("functions", "log_groups"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


@dataclass(frozen=True)
class Unreadable:
    """A ledger file that couldn't be read, and was left as it is."""

    path: Path
    error: ConfigurationError


class Ledger:
    """The entries below one home folder.

    Args:
        home: The folder; `default_home` by default.

    Raises:
        ConfigurationError: The folder can't be written.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.home = (home or default_home()).absolute()
        self._entries = self.home / "ledger"
        for folder in (self._entries, self.workspaces, self.logs, self.home / "locks"):
            with self._writing(folder):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._writing(self._entries), tempfile.TemporaryFile(dir=self._entries):
            pass

    @property
    def workspaces(self) -> Path:
        """The folder of the workspaces' own folders."""
        return self.home / "workspaces"

    @property
    def logs(self) -> Path:
        """The folder of the logs, which outlive their workspaces."""
        return self.home / "logs"

    def lock_path(self, name: str) -> Path:
        """The file by which one process at a time works on a workspace."""
        # Names come from the command line, too.
        return self.home / "locks" / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)[:100]}.lock"

    def prune_logs(self, now: datetime) -> None:
        """Remove logs of failed workspaces that nobody has looked at for two weeks."""
        for folder in self.logs.iterdir():
            with contextlib.suppress(OSError):
                changed = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
                if now - changed > _LOGS_KEPT and not self.path(folder.name).exists():
                    shutil.rmtree(folder)

    def path(self, name: str) -> Path:
        """The file of an entry."""
        return self._entries / f"{name}.json"

    def write(self, entry: Entry) -> None:
        """Write an entry, whole and on disk when this returns.

        Raises:
            ConfigurationError: It can't be written: full disk, permissions.
        """
        path = self.path(entry.name)
        with self._writing(path):
            descriptor, partial = tempfile.mkstemp(prefix=".", suffix=".partial", dir=self._entries)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(entry.to_json(), file, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                Path(partial).rename(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(partial).unlink()
                raise
            self._sync()

    def remove(self, name: str) -> None:
        """Forget a workspace, whose destroy is verified.

        Who waits for its lock finds no entry when it gets it, so the lock's file can go as well.
        """
        self.path(name).unlink(missing_ok=True)
        self.lock_path(name).unlink(missing_ok=True)
        self._sync()

    def read(self, name: str) -> Entry | None:
        """The entry of that name, None when there is none.

        Raises:
            ConfigurationError: It can't be read; it is left as it is.
        """
        path = self.path(name)
        # Names come from the command line: one with a separator would read, and later remove, another file.
        if path.parent != self._entries or len(name) > _LONGEST_NAME or not path.is_file():
            return None
        return self._load(path)

    def entries(self) -> tuple[list[Entry], list[Unreadable]]:
        """All entries, oldest first, and the files that can't be read."""
        found: list[Entry] = []
        unreadable: list[Unreadable] = []
        for path in sorted(self._entries.glob("[!.]*.json")):
            try:
                found.append(self._load(path))
            except ConfigurationError as error:
                unreadable.append(Unreadable(path, error))
            except FileNotFoundError:
                continue  # another process has just destroyed it
        return sorted(found, key=lambda entry: entry.created_at), unreadable

    @classmethod
    def _load(cls, path: Path) -> Entry:
        return cls.parse(path.read_text(encoding="utf-8"), str(path))

    @staticmethod
    def parse(text: str, where: str) -> Entry:
        """The entry that a file's text holds.

        Raises:
            ConfigurationError: It is damaged, or a later release's.
        """
        try:
            document = json.loads(text)
            schema = document["schema"]
            if isinstance(schema, int) and schema > SCHEMA:
                raise ConfigurationError(
                    f"The ledger entry has schema {schema}, this release knows {SCHEMA}",
                    where=where,
                    hint="Use the later release of the harness that wrote it; the entry is left as it is.",
                )
            return Entry.from_json(document)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"The ledger entry can't be read: {type(error).__name__}: {error}",
                where=where,
                hint="It is left as it is. The workspace's folder, of the same name, has what Terraform needs.",
            ) from error

    @contextlib.contextmanager
    def _writing(self, path: Path) -> Any:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"The harness can't write its ledger, without which nothing may be created: {error.strerror or error}",
                where=str(path),
                hint=f"Free space or permissions there, or set {HOME_SETTING} to another folder.",
            ) from error

    def _sync(self) -> None:
        """Put the folder itself on disk, or a crash could bring back what a rename replaced."""
        descriptor = os.open(self._entries, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return value
