"""Workspaces: deploy a Terraform root, destroy it again, and leave nothing behind.

A workspace is one deployment of one directory: a unique name, a private copy of the files, a state of its own, and a
ledger entry that is written before anything is created and removed when the destroy is verified.

``python -m harness.infra`` is the command line, see `harness.cli`.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from harness.durable import GRACE_SECONDS, DurableFunction, Waiting
from harness.errors import ConfigurationError, TerraformError
from harness.events import EventBus
from harness.ledger import Entry, Ledger, Owner, default_cache, default_home
from harness.leftovers import Clients, Leftover, delete_log_group, exists
from harness.remote import Catalog, Location, Remote, location_from
from harness.targets import Target, outlives_this_process, target_from_environment
from harness.teardown import DestroyReport, Teardown
from harness.terraform.executable import Executable, find_terraform
from harness.terraform.hcl import Module
from harness.terraform.providers import ProviderPlan
from harness.terraform.stage import reach
from harness.terraform.state import EMPTY
from harness.waiters import EXECUTION, LOGS, THROTTLE, Clock, SystemClock
from harness.workspace import Workshop

__all__ = ["Deployment", "DestroyReport", "Infra", "Leftover", "terraform_deploy", "terraform_teardown"]

_log = logging.getLogger(__name__)

# A failed destroy is repeated at once, unless it took so long that the next one would, too.
_REPEATED_WITHIN_SECONDS = 600.0


@dataclass(frozen=True)
class Deployment:
    """A deployed workspace.

    Attributes:
        workspace: Its ledger entry; ``workspace.name`` is its unique name.
        target: Where it is.
        outputs: Terraform's outputs by name, sensitive ones included.
        sensitive: The names of the outputs marked sensitive.
    """

    workspace: Entry
    target: Target
    outputs: Mapping[str, Any] = field(repr=False)
    sensitive: frozenset[str] = frozenset()

    def function(
        self, lambda_client: Any, logs_client: Any, *, events: EventBus | None = None, **settings: Any
    ) -> DurableFunction:
        """The deployed function, by the outputs ``function_name``, ``alias_name`` and ``log_group_name``.

        Args:
            lambda_client: boto3's Lambda client.
            logs_client: boto3's CloudWatch Logs client.
            events: Told of executions.
            **settings: Further arguments of `harness.durable.DurableFunction`.

        Raises:
            ConfigurationError: The root has no output ``function_name``.
        """
        name = self.outputs.get("function_name")
        if not isinstance(name, str):
            raise ConfigurationError(
                "The root module has no output function_name",
                where=str(self.workspace.example_dir),
                hint="Add outputs function_name, alias_name and log_group_name (strings), see docs/infra.md.",
            )
        target = self.target
        waiting = Waiting(
            execution=target.policy(EXECUTION),
            throttle=target.policy(THROTTLE),
            logs=target.policy(LOGS),
            grace=GRACE_SECONDS + target.visibility,
            log_buffer=target.log_buffer,
        )
        alias = self.outputs.get("alias_name", "live")
        group = self.outputs.get("log_group_name")
        return DurableFunction(
            lambda_client, logs_client, name, alias, group, **{"waiting": waiting, "events": events, **settings}
        )


class Infra:
    """Deploys and destroys workspaces on one target. May be shared by threads.

    Args:
        target: Where to deploy.
        home: The folder of ledger, workspaces and logs, by default ``HARNESS_HOME`` or the user's state folder.
        cache: The folder of what can be made again, by default ``HARNESS_CACHE`` or the user's cache folder.
        bus: Told of phases, resources and diagnostics.
        clock: Where waits get their time from.
        cancelled: Interrupts a running init or apply when set; destroys are never interrupted by it.
        environ: The environment of settings and of Terraform, by default the process's.
        state: Where the states of new workspaces go, with all that another machine needs to destroy them; None keeps
            them in the home folder.

    Raises:
        ConfigurationError: The home folder can't be written.
    """

    def __init__(
        self,
        target: Target,
        *,
        home: Path | None = None,
        cache: Path | None = None,
        bus: EventBus | None = None,
        clock: Clock | None = None,
        cancelled: threading.Event | None = None,
        environ: Mapping[str, str] | None = None,
        state: Location | None = None,
    ) -> None:
        self.target = target
        environ = dict(os.environ if environ is None else environ)
        self.ledger = Ledger(home or default_home(environ))
        self.bus = bus or EventBus()
        remote = Remote(state, target) if state else None
        self.catalog = Catalog(self.ledger, remote)
        self._workshop = Workshop(
            target,
            self.ledger,
            cache or default_cache(environ),
            self.bus,
            clock or SystemClock(),
            environ,
            cancelled,
            remote,
        )
        self._clients = Clients(target)
        self._teardown = Teardown(self._workshop, self._clients)

    @classmethod
    def from_environment(cls) -> Infra:
        """On the target that ``HARNESS_TARGET`` and its companions name, see `target_from_environment`.

        ``HARNESS_STATE`` says where states go, unless the target is a local cloud of this process's own: it ends with
        the process, and all in it.
        """
        location = location_from(os.environ)
        return cls(target_from_environment(), state=location if outlives_this_process(os.environ) else None)

    def workspaces(self) -> list[Entry]:
        """The workspaces in the ledger, oldest first, whoever made them; unreadable entries are logged."""
        entries, unreadable = self.catalog.entries()
        for bad in unreadable:
            _log.warning("%s", bad.error)
        return entries

    def deploy(
        self, example_dir: Path | str, variables: Mapping[str, Any] | None = None, *, keep: bool = False
    ) -> Deployment:
        """Deploy a directory into a new workspace.

        When anything fails, or Ctrl-C comes, what was created is destroyed before the error goes on.

        Args:
            example_dir: The root module's directory.
            variables: Values for variables that it declares, on top of those that the harness sets.
            keep: Note in the ledger that it was asked to stay, for `reuse`.

        Raises:
            ConfigurationError: The directory, its files or the variables can't be used; nothing was created.
            TerraformNotFoundError, TerraformVersionError, ProviderNotFoundError: Nothing was created.
            PackagingError: The function's zip can't be built; nothing was created.
            TerraformError: The apply failed, timed out or was cancelled; what it had created is destroyed, or the
                error says what is left and how to finish.
        """
        source = _source(example_dir, variables)
        shop = self._workshop
        fingerprint = shop.fingerprint(*source) if keep else None
        self.ledger.prune_logs(shop.clock.now())
        executable = find_terraform(shop.environ)
        shop.check_remote(executable)
        plan = shop.plan(source.modules.values(), executable)
        entry = shop.new_entry(source.directory, source.modules, executable, fingerprint=fingerprint)
        with self._locked(entry.name):
            shop.write(entry)
            return self._apply(entry, source, plan, executable)

    def reuse(self, example_dir: Path | str, variables: Mapping[str, Any] | None = None) -> Deployment:
        """A kept deployment of a directory, brought up to date if anything has changed; a new one if there is none.

        A workspace is taken when it was deployed to this target, with ``keep``, by a process that has ended. It belongs
        to the calling process from then on. When files, variables and the function's zip are those of its deploy, and
        its functions are still there, nothing is run; otherwise Terraform applies what has changed.

        Args:
            example_dir: The root module's directory.
            variables: As for `deploy`.

        Raises:
            HarnessError: As `deploy`. An update that fails is destroyed.
        """
        source = _source(example_dir, variables)
        fingerprint = self._workshop.fingerprint(*source)
        candidates = [entry for entry in self.ledger.entries()[0] if self._reusable(entry, source.directory)]
        # First those that need no apply; of several the youngest.
        candidates.sort(key=lambda entry: (entry.fingerprint == fingerprint, entry.created_at), reverse=True)
        for entry in candidates:
            try:
                with self._locked(entry.name, wait=False):
                    current = self.ledger.read(entry.name)
                    if current is not None and self._reusable(current, source.directory):
                        return self._take(current, source, fingerprint)
            except Timeout:
                continue  # somebody else is taking it, or destroying it
        return self.deploy(example_dir, variables, keep=True)

    def _reusable(self, entry: Entry, directory: Path) -> bool:
        mine = entry.owner == Owner.this_process()
        return (
            entry.keep
            and entry.status == "ready"
            and entry.example_dir == directory
            and entry.target == self.target.record()
            and entry.state == (self.catalog.remote.location.url if self.catalog.remote else None)
            and (mine or entry.owner.alive() is False)
        )

    def _take(self, entry: Entry, source: _Source, fingerprint: str) -> Deployment:
        shop = self._workshop
        entry = replace(entry, owner=Owner.this_process())
        shop.write(entry)
        if entry.fingerprint == fingerprint and all(exists(self._clients, name) for name in entry.functions):
            return self.open(entry)
        executable = find_terraform(shop.environ)
        plan = shop.plan(source.modules.values(), executable)
        updated = replace(shop.take_over(entry, source.modules), fingerprint=fingerprint)
        deployment = self._apply(updated, source, plan, executable, before=entry)
        shutil.rmtree(entry.tree, ignore_errors=True)
        return deployment

    def _apply(
        self, entry: Entry, source: _Source, plan: ProviderPlan, executable: Executable, *, before: Entry | None = None
    ) -> Deployment:
        """Stage, init and apply; what fails is destroyed before the error goes on.

        Args:
            entry: The workspace, whose lock is held.
            source: What to deploy.
            plan: Where providers come from.
            executable: The Terraform to use.
            before: Its entry in the ledger when it is already deployed, with the state that goes on.
        """
        shop = self._workshop
        applying = False
        try:
            staged = shop.prepare(entry, source.modules, plan, source.variables)
            if before is not None:
                shop.move_state(before, entry)
                shop.write(entry)
            project = shop.project(entry, executable, cancellable=True)
            shop.initialise(entry, project, staged, executable)
            applying = True
            with shop.phase(entry, "apply"):
                state = project.apply()
            ready = shop.note(entry, state, "ready")
        except BaseException as error:
            if before is None or applying:
                self._undo(entry, error, applied=applying)
            else:
                # What is deployed is as it was.
                shop.write(before)
                shutil.rmtree(entry.tree, ignore_errors=True)
            raise
        return Deployment(ready, self.target, state.outputs, state.sensitive)

    def destroy(self, workspace: str | Entry | Deployment, *, force: bool = False) -> DestroyReport:
        """Destroy a workspace and verify that nothing of it is left.

        One that leaves something is repeated once. May be repeated by hand, and called for what another process left.
        A workspace that isn't in the ledger any more has been destroyed, which is reported as such.

        Args:
            workspace: The workspace, or its name.
            force: Unlock its state though another machine has locked it.

        Raises:
            ConfigurationError: There never was such a name, or its ledger entry can't be read.
        """
        name = workspace if isinstance(workspace, str) else _entry_of(workspace).name
        with self._locked(name):
            entry = self.catalog.read(name)
            if entry is None:
                if isinstance(workspace, str):
                    raise ConfigurationError(
                        f"There is no workspace {name!r} in the ledger",
                        where=str(self.ledger.home),
                        hint="`python -m harness.infra list` shows those there are; one that was destroyed is gone.",
                    )
                return DestroyReport(name, _entry_of(workspace).example)
            report = self._teardown.destroy(entry, force=force)
            if not report.clean and report.seconds < _REPEATED_WITHIN_SECONDS:
                _log.warning("Destroying %s once more: %s", name, report.what_is_left)
                report = self._teardown.destroy(self.catalog.read(name) or entry, force=force)
            return report

    def open(self, entry: Entry) -> Deployment:
        """The deployment of a workspace that is in the ledger, read from its state.

        Raises:
            TerraformError: Its state can't be read.
        """
        state = self._workshop.state(entry) or EMPTY
        return Deployment(entry, self.target, state.outputs, state.sensitive)

    def forget(self, entry: Entry) -> None:
        """Drop a workspace whose cloud is gone, and its resources with it: ledger entry, folder and logs."""
        with self._locked(entry.name):
            # A state in that cloud's S3 is gone as well.
            self._workshop.drop(replace(entry, state=None), keep_logs=False)

    def _undo(self, entry: Entry, error: BaseException, *, applied: bool) -> None:
        """Destroy what a failed deploy made. Never raises for it: ``error`` is what the caller has to hear."""
        command = DestroyReport(entry.name, entry.example).command
        try:
            if not applied:
                self._workshop.drop(entry, keep_logs=True)
                return
            left = self._teardown.destroy(replace(entry, status="failed"), keep_logs=True).what_is_left
        except (Exception, KeyboardInterrupt) as second:  # noqa: BLE001 - the first error is the one to report
            left = f"the destroy failed too: {str(second) or type(second).__name__}"
        if left:
            _log.error("Left behind after a failed deploy: %s. Finish with: %s", left, command)
            if isinstance(error, TerraformError):
                hint = f"{error.hint or ''} Left behind: {left}. Finish with `{command}`.".strip()
                raise type(error)(error.what, where=error.where, hint=hint) from error

    @contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """One deploy or destroy of a workspace at a time, across processes.

        Raises:
            ConfigurationError: The lock's file can't be written.
            Timeout: Somebody else has it, and waiting wasn't wanted.
        """
        lock = FileLock(self.ledger.lock_path(name), timeout=-1 if wait else 0)
        try:
            lock.acquire()
        except Timeout:
            raise
        except OSError as error:
            raise ConfigurationError(
                f"Workspace {name} can't be locked: {error.strerror or error}",
                where=str(self.ledger.home),
                hint="Free space or permissions there; the workspace is left as it is.",
            ) from error
        try:
            yield
        finally:
            lock.release()


class _Source(NamedTuple):
    """What is to be deployed."""

    directory: Path
    modules: Mapping[Path, Module]
    variables: Mapping[str, Any]


def _source(example_dir: Path | str, variables: Mapping[str, Any] | None) -> _Source:
    directory = Path(example_dir).resolve()
    source = _Source(directory, reach(directory), variables or {})
    _check_variables(source.modules[directory], source.variables)
    return source


def _check_variables(root: Module, variables: Mapping[str, Any]) -> None:
    unknown = sorted(set(variables) - set(root.variables))
    if unknown:
        raise ConfigurationError(
            f"The root module declares no variable {', '.join(unknown)}",
            where=str(root.directory),
            hint=f"It declares {', '.join(sorted(root.variables)) or 'none'}.",
        )


def _entry_of(workspace: Entry | Deployment) -> Entry:
    return workspace.workspace if isinstance(workspace, Deployment) else workspace


def terraform_deploy(example_dir: Path | str) -> dict[str, Any]:
    """Deploy a directory and return its outputs.

    The target is the environment's, see `harness.targets.target_from_environment`. Every call makes a workspace of
    its own, also for the same directory.

    Raises:
        HarnessError: As `Infra.deploy`.
    """
    return dict(Infra.from_environment().deploy(example_dir).outputs)


def terraform_teardown(example_dir: Path | str, logs_client: Any, log_group_name: str) -> None:
    """Destroy what this process deployed from a directory, then delete its log group.

    When the directory was deployed more than once, every deployment of it by this process is destroyed, newest first.
    When there is none, only the log group is deleted. A log group that isn't there is no error.

    Args:
        example_dir: The directory that `terraform_deploy` was given.
        logs_client: boto3's CloudWatch Logs client.
        log_group_name: The log group; Lambda may have created it again after the destroy.

    Raises:
        LeakError: Something is left; the message lists it and the command that removes it.
    """
    infra = Infra.from_environment()
    directory = Path(example_dir).resolve()
    me = Owner.this_process()
    mine = [entry for entry in infra.workspaces() if entry.owner == me and entry.example_dir == directory]
    reports = [infra.destroy(entry) for entry in reversed(mine)]
    delete_log_group(logs_client, log_group_name, infra.target.policy(THROTTLE))
    for report in reports:
        report.raise_if_left()


if __name__ == "__main__":
    from harness.cli import main

    sys.exit(main())
