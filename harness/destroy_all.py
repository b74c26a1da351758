"""Destroys many workspaces, also those that other processes left, in parallel and past failures."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from harness.clouds import Clouds
from harness.errors import HarnessError
from harness.events import EventBus
from harness.infra import Infra
from harness.ledger import Entry, Ledger
from harness.remote import Location, Remote
from harness.targets import allowed_accounts, target_of
from harness.terraform.state import EMPTY, State
from harness.waiters import WaitTimeout
from harness.workspace import stored_state

_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Result:
    """What came of one workspace.

    Attributes:
        workspace: Its name.
        outcome: ``destroyed``; ``gone`` with the local cloud that held it; ``left`` when something is left or couldn't
            be verified.
        detail: What is left and what to do, or what was found besides.
    """

    workspace: str
    outcome: Literal["destroyed", "gone", "left"]
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is left."""
        return self.outcome != "left"


def choose(
    entries: Sequence[Entry],
    *,
    kind: Literal["local", "aws"] | None,
    older_than: timedelta | None,
    now: datetime,
    force: bool,
) -> tuple[list[Entry], list[Entry]]:
    """Which workspaces to destroy, and which to leave because their owner runs, or may run.

    The owner on another machine may run; a workspace of such a one is chosen once it has expired.
    """
    matching = [
        entry
        for entry in entries
        if (kind is None or entry.target.kind == kind) and (older_than is None or now - entry.created_at > older_than)
    ]
    owned = [entry for entry in matching if not force and _may_be_in_use(entry, now)]
    return [entry for entry in matching if entry not in owned], owned


def destroy_entries(
    entries: Sequence[Entry], *, parallel: int, bus: EventBus | None = None, force: bool = False
) -> list[Result]:
    """Destroy workspaces wherever they are; one result each, in their order.

    A local cloud that was kept for them ends with the last of them.

    Args:
        entries: The workspaces.
        parallel: Destroys at once.
        bus: Told of phases, resources and diagnostics.
        force: Unlock states that another machine has locked.
    """
    with ThreadPoolExecutor(max_workers=max(1, parallel), thread_name_prefix="destroy") as pool:
        results = list(pool.map(lambda entry: _destroy(entry, bus, force=force), entries))
    Clouds(Ledger()).stop_unused()
    return results


def infra_of(entry: Entry, bus: EventBus | None = None) -> Infra:
    """An `Infra` on the target that a workspace was deployed to.

    Raises:
        CredentialsError, AccountNotAllowedError: The credentials at hand aren't for its account.
    """
    location = Location.parse(entry.state) if entry.state else None
    return Infra(target_of(entry.target, allowed_accounts(os.environ)), bus=bus, state=location)


def state_of(entry: Entry, remote: Remote | None = None) -> State:
    """A workspace's state; empty when Terraform never wrote one.

    Args:
        entry: The workspace.
        remote: Where states are, if that is already at hand.

    Raises:
        TerraformError, ConfigurationError: It can't be read.
        CredentialsError, AccountNotAllowedError: It is in S3, and the credentials at hand aren't for its account.
    """
    if entry.state is not None and (remote is None or remote.location.url != entry.state):
        remote = Remote(Location.parse(entry.state), target_of(entry.target, allowed_accounts(os.environ)))
    return stored_state(entry, remote) or EMPTY


def cloud_is_gone(endpoint_url: str) -> bool:
    """Whether nobody listens at a local cloud's endpoint any more.

    Only a refused connection on this machine proves it; a timeout, or another machine's refusal, may pass.
    """
    parts = urlsplit(endpoint_url)
    host = parts.hostname or ""
    if host not in {"127.0.0.1", "::1", "localhost"}:
        return False
    try:
        with socket.create_connection((host, parts.port or 80), timeout=_CONNECT_SECONDS):
            return False
    except OSError as error:
        return error.errno == errno.ECONNREFUSED


def _destroy(entry: Entry, bus: EventBus | None, *, force: bool) -> Result:
    try:
        infra = infra_of(entry, bus)
        if entry.target.kind == "local" and _on_this_machine(entry) and cloud_is_gone(entry.target.endpoint_url or ""):
            infra.forget(entry)
            return Result(entry.name, "gone", f"its local cloud {entry.target.endpoint_url} has ended, and all in it")
        report = infra.destroy(entry, force=force)
    except (HarnessError, WaitTimeout) as error:
        return Result(entry.name, "left", str(error))
    except Exception as error:  # noqa: BLE001 - one workspace's surprise must not keep the others from being destroyed
        return Result(entry.name, "left", f"{type(error).__name__}: {error}")
    if not report.clean:
        return Result(entry.name, "left", f"{report.what_is_left}; repeat with `{report.command}`")
    notes = [f"not in the state: {leftover}" for leftover in report.removed_directly]
    notes += [f"not verified: {text}" for text in report.unverified]
    return Result(entry.name, "destroyed", "; ".join(notes))


def _on_this_machine(entry: Entry) -> bool:
    return entry.owner.host == socket.gethostname()


def _may_be_in_use(entry: Entry, now: datetime) -> bool:
    alive = entry.owner.alive()
    return now < entry.expires_at if alive is None else alive
