"""Local clouds that outlive the run that started them, because something in them was kept.

One file per cloud below the home folder, readable by its user alone, says where it answers and which process it is. A
cloud ends when the last workspace in it is destroyed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import ConfigurationError, LocalCloudError
from harness.ledger import Ledger, Owner
from harness.localcloud.handle import LocalCloud
from harness.processes import process_identity
from harness.waiters import EXECUTION, WaitTimeout, wait_until

# A cloud that was told to stop kills itself after 15 s, whatever hangs in it.
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class CloudSettings:
    """What makes one cloud as good as another.

    Attributes:
        region: The region that it says it is.
        time_scale: How much faster than on AWS its waits pass.
        faults: Its fault plan, by name or file.
        seed: What the chance of faults started from, if that was given.
    """

    region: str
    time_scale: float
    faults: str = "calm"
    seed: int | None = None


@dataclass(frozen=True)
class _Record:
    endpoint_url: str
    token: str
    pid: int
    identity: str
    settings: CloudSettings
    user: Owner

    @property
    def runs(self) -> bool:
        return process_identity(self.pid) == self.identity

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> _Record:
        nested = {"settings": CloudSettings(**fields["settings"]), "user": Owner(**fields["user"])}
        return cls(**{**fields, **nested})


class Clouds:
    """The clouds below one home folder.

    Args:
        ledger: Its workspaces say which of them are needed.

    Raises:
        ConfigurationError: The folder can't be written.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._folder = ledger.home / "clouds"
        try:
            self._folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigurationError(
                f"The clouds' folder can't be written: {error.strerror or error}", where=str(self._folder)
            ) from error

    def find_or_start(self, settings: CloudSettings) -> LocalCloud:
        """A cloud with these settings that goes on when this process ends.

        Raises:
            LocalCloudError: None runs, and none can be started.
        """
        with self._locked():
            for path, record in self._records():
                if record.runs and record.settings == settings:
                    with contextlib.suppress(LocalCloudError):
                        cloud = LocalCloud.attach(record.endpoint_url, record.token)
                        self._write(path, replace(record, user=Owner.this_process()))
                        return cloud
            cloud = LocalCloud.start(
                time_scale=settings.time_scale, region=settings.region, faults=settings.faults, seed=settings.seed
            )
            try:
                identity = process_identity(cloud.pid) or ""
                self._write(
                    self._folder / f"{cloud.pid}.json",
                    _Record(cloud.endpoint_url, cloud.token, cloud.pid, identity, settings, Owner.this_process()),
                )
                # From here on its record, not this process, is what it can be stopped by.
                cloud.detach()
            except BaseException:
                cloud.stop()
                raise
            return cloud

    def stop_unused(self) -> list[str]:
        """Stop the clouds that hold no workspace and that no other running process uses; return their endpoints."""
        stopped = []
        with self._locked():
            entries, unreadable = self._ledger.entries()
            used = {entry.target.endpoint_url for entry in entries}
            for path, record in self._records():
                mine = record.user == Owner.this_process()
                if record.runs and (unreadable or record.endpoint_url in used or (record.user.alive() and not mine)):
                    continue
                if record.runs:
                    _stop(record)
                    stopped.append(record.endpoint_url)
                path.unlink(missing_ok=True)
        return stopped

    def _records(self) -> list[tuple[Path, _Record]]:
        found = []
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found.append((path, _Record.from_json(json.loads(path.read_text(encoding="utf-8")))))
        return found

    def _write(self, path: Path, record: _Record) -> None:
        # mkstemp makes files that only their owner reads: the token is a secret.
        descriptor, partial = tempfile.mkstemp(prefix=".", dir=self._folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
        Path(partial).rename(path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with FileLock(self._ledger.home / "locks" / "clouds.lock"):
            yield


def _stop(record: _Record) -> None:
    def gone() -> bool:
        return process_identity(record.pid) != record.identity

    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    try:
        policy = EXECUTION.with_interval(0.05).with_timeout(_STOP_SECONDS)
        wait_until(gone, bool, policy=policy, what=f"the end of the local cloud {record.endpoint_url}")
    except WaitTimeout:
        # It leads a group of its own, which holds the environments of its functions.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(record.pid, signal.SIGKILL)
