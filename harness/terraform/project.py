"""One initialised working directory: init, apply, destroy, with retries, events and errors that say what to do."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from python_terraform import IsFlagged

from harness.errors import ProviderNotFoundError, TerraformError
from harness.events import EventBus
from harness.terraform.driver import Runner, TerraformDriver
from harness.terraform.executable import Executable
from harness.terraform.state import State, local_state_path, read_state
from harness.terraform.ui import UiReader
from harness.waiters import (
    IAM_READY,
    TERRAFORM,
    Outcome,
    Policy,
    call,
    classify_terraform,
    iam_propagating,
    wait_until_role_assumable,
)

_log = logging.getLogger(__name__)

INIT_TIMEOUT = 900.0
APPLY_TIMEOUT = 1800.0
# The provider documents up to an hour for deleting a durable function, which drains first.
DESTROY_TIMEOUT = 4500.0

_NO_PROVIDER = (
    "failed to query available provider packages",
    "failed to install provider",
    "no available releases match",
    "invalid provider registry host",
    "incompatible provider version",
    "required plugins are not installed",
)
# The answer will be the same in five seconds.
_FINAL = ("no available releases match", "no such host", "connection refused", "does not have a provider named")


class TerraformInterruptedError(TerraformError):
    """A command was interrupted: by a timeout, or because the session is ending."""


@dataclass(frozen=True)
class Lock:
    """Who holds a state's lock, as Terraform tells it.

    Attributes:
        id: What ``force-unlock`` asks for.
        who: ``user@host``.
        created: When, as Terraform writes it.
    """

    id: str
    who: str
    created: str

    @property
    def host(self) -> str:
        """The machine that it was taken on."""
        return self.who.rpartition("@")[2]


class StateLockedError(TerraformError):
    """The state is locked: somebody works on it, or was killed while doing so.

    Attributes:
        lock: Who holds it.
    """

    def __init__(self, lock: Lock, *, where: str) -> None:
        super().__init__(
            f"The state is locked by {lock.who} since {lock.created}",
            where=where,
            hint="Wait until that has ended. If it was killed, repeat the destroy with --force, which unlocks the "
            f"state (as `terraform force-unlock {lock.id}` does).",
        )
        self.lock = lock


def read_lock(text: str) -> Lock | None:
    """The lock that a diagnostic is about, None when it is about something else.

    The id follows ``Lock Info:``; the S3 backend names a request's id before it.
    """
    _, found, info = " ".join(text.split()).partition("Lock Info: ")
    lock = re.match(r"ID: (\S+) .*?Who: (\S+) .*?Created: (.+?) Info:", f"{info} Info:")
    return Lock(*lock.groups()) if found and lock else None


def classify_apply(error: BaseException) -> Outcome:
    """What an error of `Project` means for its retries; an interrupted command is never repeated."""
    text = str(error)
    if isinstance(error, (TerraformInterruptedError, StateLockedError)) or any(
        final in text.lower() for final in _FINAL
    ):
        return Outcome.FATAL
    if iam_propagating(text):
        return Outcome.NOT_YET
    return classify_terraform(error)


RETRIES: Policy = dataclasses.replace(TERRAFORM, classifier=classify_apply)
"""The TERRAFORM policy for commands that met a passing failure."""

ROLES_READY: Policy = dataclasses.replace(
    IAM_READY, classifier=classify_apply, retry_on=frozenset({Outcome.NOT_YET}), reraise=True
)
"""The IAM_READY policy for an apply, which is the proof that a new role can be assumed."""


@dataclass
class Project:
    """A working directory of one workspace.

    Args:
        executable: The Terraform to run.
        root: The staged root module.
        workspace: The workspace's name, also Terraform's own.
        example: The example's name, for events and errors.
        runner: How commands run. ``TF_WORKSPACE`` must be in its environment.
        var_file: The workspace's variables.
        bus: Where events go.
        policy: How a command is repeated that met a passing failure.
        roles_ready: How an apply is repeated that met a role which isn't known everywhere yet.
        load_state: Reads the state from where its backend keeps it; by default the local backend's file.
    """

    executable: Executable
    root: Path
    workspace: str
    example: str
    runner: Runner
    var_file: Path
    bus: EventBus
    policy: Policy
    roles_ready: Policy
    load_state: Callable[[], State] | None = None

    @property
    def state_path(self) -> Path:
        """Where the local backend keeps this workspace's state."""
        return local_state_path(self.root, self.workspace)

    def state(self) -> State:
        """The state as it is stored; its sensitive outputs are redacted from now on.

        Raises:
            TerraformError: It can't be read.
        """
        state = self.load_state() if self.load_state else read_state(self.state_path)
        self.runner.redact.add([state.outputs[name] for name in state.sensitive])
        return state

    def init(self) -> None:
        """Run ``terraform init``.

        Raises:
            ProviderNotFoundError: A provider can't be had.
            TerraformError: It failed otherwise.
        """
        # A backend's init refuses a workspace that doesn't exist yet; apply makes it.
        env = {name: value for name, value in self.runner.env.items() if name != "TF_WORKSPACE"}
        driver = TerraformDriver(self.executable.path, self.root, dataclasses.replace(self.runner, env=env))

        def attempt() -> None:
            code, stdout, stderr = driver.init_quietly(timeout=INIT_TIMEOUT)
            if code != 0 or self._interrupted(driver):
                raise self._init_error(driver, stderr or stdout)

        call(attempt, policy=self.policy, what=f"terraform init for {self.workspace}")

    def apply(self, *, timeout: float = APPLY_TIMEOUT) -> State:
        """Run ``terraform apply``, again on errors that pass by themselves, and return the state.

        Raises:
            TerraformInterruptedError: It timed out, or was cancelled.
            TerraformError: It failed.
            KeyboardInterrupt: Terraform has ended by then, with its state written.
        """
        driver = self._driver()

        def attempt() -> None:
            ui = self._reader()
            code, _, stderr = driver.apply_json(on_line=ui.line, timeout=timeout)
            if code != 0 or self._interrupted(driver):
                raise self._error("apply", driver, ui, stderr)

        what = f"terraform apply for {self.workspace}"
        wait_until_role_assumable(
            lambda: call(attempt, policy=self.policy, what=what), policy=self.roles_ready, what=what
        )
        return self.state()

    def destroy(self, *, timeout: float = DESTROY_TIMEOUT) -> None:
        """Run ``terraform destroy`` without refresh, and with it when that fails.

        Success proves nothing about what is in no state.

        Raises:
            StateLockedError: Somebody else works on the state, or was killed while doing so.
            TerraformError: What the state names isn't all gone.
            KeyboardInterrupt: Terraform has ended by then, with its state written.
        """
        try:
            self._destroy_once(refresh=False, timeout=timeout)
        except (TerraformInterruptedError, StateLockedError):
            raise
        except TerraformError as error:
            _log.warning("Destroying %s again, with refresh: %s", self.workspace, error.what)
            call(
                lambda: self._destroy_once(refresh=True, timeout=timeout),
                policy=self.policy,
                what=f"terraform destroy for {self.workspace}",
            )

    def force_unlock(self, lock: Lock) -> None:
        """Run ``terraform force-unlock``; the caller knows that nobody works on the state.

        https://developer.hashicorp.com/terraform/cli/commands/force-unlock

        Raises:
            TerraformError: It failed.
        """
        driver = self._driver(with_variables=False)
        code, stdout, stderr = driver.cmd("force-unlock", lock.id, force=IsFlagged)
        if code != 0:
            raise TerraformError(
                f"terraform force-unlock failed: {' '.join((stderr or stdout).split())}",
                where=self._where("force-unlock", driver),
            )

    def _destroy_once(self, *, refresh: bool, timeout: float) -> None:
        driver = self._driver()
        ui = self._reader()
        code, _, stderr = driver.destroy_json(refresh=refresh, on_line=ui.line, timeout=timeout)
        if code != 0 or self._interrupted(driver):
            raise self._error("destroy", driver, ui, stderr)

    def _driver(self, *, with_variables: bool = True) -> TerraformDriver:
        var_file = self.var_file if with_variables else None
        return TerraformDriver(self.executable.path, self.root, self.runner, var_file)

    def _reader(self) -> UiReader:
        return UiReader(self.bus, self.workspace, self.example, self.runner.redact)

    @staticmethod
    def _interrupted(driver: TerraformDriver) -> bool:
        return driver.last is not None and driver.last.interrupted is not None

    def _where(self, command: str, driver: TerraformDriver) -> str:
        log = driver.last.stdout if driver.last else self.runner.log_dir
        return (
            f"example {self.example}, workspace {self.workspace}, `{self.executable.product} {command}`, log file {log}"
        )

    def _error(self, command: str, driver: TerraformDriver, ui: UiReader, stderr: str) -> TerraformError:
        done = driver.last
        where = self._where(command, driver)
        hint = f"The whole output is in {done.stdout if done else self.runner.log_dir}."
        first = str(ui.errors[0]) if ui.errors else " ".join(self.runner.redact(stderr).split())
        if done is not None and done.interrupted is not None:
            reason = f"was interrupted ({done.interrupted}) after {done.seconds:.0f} s"
            if done.killed:
                reason += " and had to be killed, so its state may miss a resource"
            return TerraformInterruptedError(f"terraform {command} {reason}", where=where, hint=hint)
        lock = next((found for error in ui.errors if (found := read_lock(error.detail))), None)
        if lock is not None:
            return StateLockedError(lock, where=where)
        more = f" (and {len(ui.errors) - 1} more)" if len(ui.errors) > 1 else ""
        code = f"exit code {done.code}" if done else "no exit code"
        return TerraformError(f"terraform {command} failed: {first or code}{more}", where=where, hint=hint)

    def _init_error(self, driver: TerraformDriver, text: str) -> TerraformError:
        message = self.runner.redact(" ".join(text.replace("│", " ").replace("╷", " ").replace("╵", " ").split()))
        where = self._where("init", driver)
        if self._interrupted(driver):
            return TerraformInterruptedError("terraform init was interrupted", where=where)
        if any(sign in message.lower() for sign in _NO_PROVIDER):
            return ProviderNotFoundError(
                f"A provider can't be had: {message}",
                where=where,
                hint="Connect to the provider registry, or put the provider into a folder with `terraform providers "
                "mirror FOLDER` and set HARNESS_PROVIDER_MIRROR=FOLDER.",
            )
        return TerraformError(f"terraform init failed: {message}", where=where, hint="Correct what Terraform names.")
