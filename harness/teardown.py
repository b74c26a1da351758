"""Destroys a workspace and verifies that nothing of it is left."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass

from harness.errors import ConfigurationError, HarnessError, LeakError, TerraformError
from harness.ledger import Entry
from harness.leftovers import LISTED_TYPES, Clients, Leftover, delete_log_group, find, remove, stop_executions
from harness.terraform.process import wait_until_idle
from harness.terraform.project import StateLockedError
from harness.terraform.state import EMPTY, State
from harness.waiters import FUNCTION_GONE, Deadline, WaitTimeout, wait_until_gone
from harness.workspace import Workshop, executable_of, hold_file

_log = logging.getLogger(__name__)

# What a Terraform of a killed owner gets to end by itself: it was told to stop, and is at most finishing one resource.
_IDLE_SECONDS = 300.0
# Searches after the destroy, each after removing what the one before found.
_VERIFY_ROUNDS = 3


@dataclass(frozen=True)
class DestroyReport:
    """How a destroy ended.

    Attributes:
        workspace: The workspace's name.
        example: The example's name.
        leftovers: What is still there; empty when the destroy is complete.
        removed_directly: What Terraform's state didn't know and was deleted by its name.
        unverified: What couldn't be searched for leftovers, because the credentials may not.
        stopped_executions: Durable executions that were stopped first.
        error: Why Terraform's destroy failed, None when it didn't.
        seconds: Wall-clock time.
    """

    workspace: str
    example: str
    leftovers: tuple[Leftover, ...] = ()
    removed_directly: tuple[Leftover, ...] = ()
    unverified: tuple[str, ...] = ()
    stopped_executions: int = 0
    error: str | None = None
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether the workspace is gone, verified."""
        return not self.leftovers and self.error is None

    @property
    def command(self) -> str:
        """The command that finishes the job."""
        return f"python -m harness.infra destroy {self.workspace}"

    @property
    def what_is_left(self) -> str:
        """What is left, as text; empty when nothing is."""
        if self.clean:
            return ""
        left = ", ".join(map(str, self.leftovers)) or "what Terraform's state names"
        return f"{left} ({self.error})" if self.error else left

    def raise_if_left(self) -> None:
        """Raise when something is left.

        Raises:
            LeakError: It lists what is left, and the command that removes it.
        """
        if not self.clean:
            raise LeakError(
                f"The destroy left something behind: {self.what_is_left}",
                where=f"example {self.example}, workspace {self.workspace}",
                hint=f"Run `{self.command}`; it may be repeated.",
            )


@dataclass
class Teardown:
    """Destroys workspaces of one target.

    Args:
        workshop: Runs Terraform in them.
        clients: The target's clients.
    """

    workshop: Workshop
    clients: Clients

    def destroy(self, entry: Entry, *, keep_logs: bool = False, force: bool = False) -> DestroyReport:
        """Destroy a workspace whose lock the caller holds; the ledger forgets it only when nothing is left.

        Args:
            entry: The workspace.
            keep_logs: Keep Terraform's logs also when all is well, because an error names them.
            force: Unlock a state that another machine has locked.
        """
        clock = self.workshop.clock
        started = clock.monotonic()
        problem: str | None = None
        stopped = 0
        with self.workshop.phase(entry, "destroy") as outcome:
            try:
                wait_until_idle(hold_file(entry), deadline=Deadline.after(_IDLE_SECONDS, clock))
                state = self._state(entry)
                entry = self._note(entry, state or EMPTY)
                stopped = sum(stop_executions(self.clients, function) for function in entry.functions)
                if state is not None:
                    self._destroy(entry, force=force)
                self._wait_until_gone(entry)
            except (HarnessError, WaitTimeout) as error:
                problem = str(error)
                outcome.ok = False
        with self.workshop.phase(entry, "verify") as outcome:
            left, removed, unverified = self._verify(entry)
            outcome.ok = not left
        if problem is not None and not left and not unverified and self._all_listed(entry):
            # What Terraform couldn't do was done by name, or somebody else did it.
            _log.warning("Terraform's destroy of %s failed, but nothing is left: %s", entry.name, problem)
            problem, keep_logs = None, True
        seconds = clock.monotonic() - started
        report = DestroyReport(entry.name, entry.example, left, removed, unverified, stopped, problem, seconds)
        if report.clean:
            self.workshop.drop(entry, keep_logs=keep_logs)
        return report

    def _destroy(self, entry: Entry, *, force: bool) -> None:
        executable = executable_of(entry, self.workshop.environ)
        self.workshop.restore(entry, executable)
        project = self.workshop.project(entry, executable, cancellable=False)
        self.workshop.reinitialise(entry, project)
        try:
            project.destroy()
        except StateLockedError as error:
            # On this machine no command runs in the workspace any more, so one that was killed left the lock.
            if error.lock.host != socket.gethostname() and not force:
                raise
            _log.warning("Unlocking the state of %s: %s", entry.name, error.what)
            project.force_unlock(error.lock)
            project.destroy()

    def _note(self, entry: Entry, state: State) -> Entry:
        try:
            return self.workshop.note(entry, state, "destroying")
        except ConfigurationError as error:
            # A full disk must not keep what is deployed from being destroyed; the ledger has it as it was.
            _log.warning("%s", error)
            return self.workshop.noted(entry, state, "destroying")

    def _state(self, entry: Entry) -> State | None:
        try:
            return self.workshop.state(entry)
        except TerraformError as error:
            # Terraform itself says what is wrong with it, and what was created is found by name.
            _log.warning("%s", error)
            return EMPTY

    def _all_listed(self, entry: Entry) -> bool:
        """Whether all that the state still names is of a kind that the search by name covers."""
        try:
            state = self.workshop.state(entry) or EMPTY
        except TerraformError:
            return False
        return all(resource.kind in LISTED_TYPES for resource in state.resources)

    def _wait_until_gone(self, entry: Entry) -> None:
        policy = self.workshop.target.policy(FUNCTION_GONE).with_clock(self.workshop.clock)
        for function in entry.functions:

            def look(name: str = function) -> object:
                found: object = self.clients["lambda"].get_function(FunctionName=name)
                return found

            wait_until_gone(look, policy=policy, what=f"the end of function {function}")

    def _verify(self, entry: Entry) -> tuple[tuple[Leftover, ...], tuple[Leftover, ...], tuple[str, ...]]:
        """Delete log groups and whatever else is found, until a search after the settle window finds nothing."""
        groups = dict.fromkeys([*entry.log_groups, *(f"/aws/lambda/{function}" for function in entry.functions)])
        self._delete_groups(groups)
        if entry.functions and self.workshop.target.log_buffer > 0:
            # Logs that arrive late create the group again.
            self.workshop.clock.sleep(self.workshop.target.log_buffer)
            self._delete_groups(groups)
        removed: list[Leftover] = []
        found = find(self.clients, entry.name, entry.suffix)
        for _ in range(_VERIFY_ROUNDS):
            if not found.leftovers:
                break
            removed += remove(self.clients, found.leftovers)
            found = find(self.clients, entry.name, entry.suffix)
        return found.leftovers, tuple(dict.fromkeys(removed)), found.unverified

    def _delete_groups(self, groups: dict[str, None]) -> None:
        for group in groups:
            delete_log_group(self.clients["logs"], group, self.clients.throttle)
