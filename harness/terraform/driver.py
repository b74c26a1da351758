"""python-terraform's `Terraform` with a ``cmd`` of its own.

The verbs and the command line are python-terraform's. Its ``cmd`` inherits the environment, knows no timeout and no
signals, writes into pipes, and logs variables; this one runs `harness.terraform.process`.
https://github.com/beelit94/python-terraform
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import python_terraform
from python_terraform import IsFlagged

from harness.errors import TerraformError
from harness.terraform.process import GRACE_SECONDS, Completed, run
from harness.terraform.redact import Redactor
from harness.waiters import Clock


@dataclass
class Runner:
    """How a driver's commands run.

    Attributes:
        env: The whole environment of every command.
        log_dir: The directory for their output files.
        redact: Cleans those files once a command has ended.
        cancel: Interrupts the running command when set.
        grace: Seconds between an interrupt and the kill.
        hold: The file that is locked while a command runs.
        clock: Measures timeouts.
    """

    env: Mapping[str, str]
    log_dir: Path
    redact: Redactor = field(default_factory=Redactor)
    cancel: threading.Event | None = None
    grace: float = GRACE_SECONDS
    hold: Path | None = None
    clock: Clock | None = None


class TerraformDriver(python_terraform.Terraform):  # type: ignore[misc] # the package has no type information
    """Terraform in one working directory. One object per workspace; not to be shared by threads.

    Args:
        executable: Terraform's absolute path.
        working_dir: The root module's directory.
        runner: How commands run.
        var_file: The variables file of ``apply`` and ``destroy``.
    """

    def __init__(self, executable: Path, working_dir: Path, runner: Runner, var_file: Path | None = None) -> None:
        super().__init__(
            working_dir=str(working_dir),
            terraform_bin_path=str(executable),
            var_file=str(var_file) if var_file else None,
        )
        # An empty dict would become a file of variables in the temporary folder, for every command.
        self.variables = None
        self._runner = runner
        self.last: Completed | None = None

    def __getattr__(self, item: str) -> Any:
        """Refuse unknown names, which python-terraform would make into commands of that name."""
        raise AttributeError(item)

    def read_state_file(self, file_path: str | None = None) -> None:
        """Do nothing: python-terraform looks in the wrong places; `harness.terraform.state` reads the state."""

    def cmd(
        self,
        cmd: str,
        *args: str,
        on_line: Callable[[str], None] = lambda _: None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> tuple[int, str, str]:
        """Run a command; see `harness.terraform.process.run`.

        Args:
            cmd: The command.
            *args: Its positional arguments.
            on_line: Called with each line of output.
            timeout: Seconds until it is interrupted.
            **kwargs: Its options, as python-terraform takes them.

        Returns:
            The exit code, and the two output files' redacted texts.

        Raises:
            TerraformError: Its output files can't be written, or it can't be started.
            KeyboardInterrupt: It came while the command ran; the command has ended by then.
        """
        argv: list[str] = self.generate_cmd_string(cmd, *args, **kwargs)
        runner = self._runner
        try:
            runner.log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            stdout, stderr = _next_log(runner.log_dir, cmd.replace(" ", "-"))
        except OSError as error:
            raise _cannot_run(cmd, runner, error) from error
        try:
            self.last = run(
                argv,
                cwd=Path(self.working_dir),
                env=runner.env,
                stdout=stdout,
                stderr=stderr,
                on_line=on_line,
                timeout=timeout,
                grace=runner.grace,
                cancel=runner.cancel,
                hold=runner.hold,
                clock=runner.clock,
            )
        except OSError as error:
            raise _cannot_run(cmd, runner, error) from error
        finally:
            runner.redact.clean_file(stdout)
            runner.redact.clean_file(stderr)
        return self.last.code, _text(stdout), _text(stderr)

    def init_quietly(self, *, timeout: float | None = None) -> tuple[int, str, str]:
        """``terraform init -reconfigure``, never asking."""
        result: tuple[int, str, str] = self.init(input=False, var_file=None, var=None, target=None, timeout=timeout)
        return result

    def apply_json(self, *, on_line: Callable[[str], None], timeout: float | None = None) -> tuple[int, str, str]:
        """``terraform apply -auto-approve -json``."""
        result: tuple[int, str, str] = self.apply(
            skip_plan=True, no_color=None, json=IsFlagged, on_line=on_line, timeout=timeout
        )
        return result

    def destroy_json(
        self, *, refresh: bool, on_line: Callable[[str], None], timeout: float | None = None
    ) -> tuple[int, str, str]:
        """``terraform destroy -auto-approve -json``, with or without asking the provider for each resource first."""
        result: tuple[int, str, str] = self.destroy(
            force=None,
            auto_approve=IsFlagged,
            no_color=None,
            json=IsFlagged,
            refresh=refresh,
            on_line=on_line,
            timeout=timeout,
        )
        return result


def _cannot_run(command: str, runner: Runner, error: OSError) -> TerraformError:
    return TerraformError(
        f"terraform {command} can't be run: {error.strerror or error}",
        where=str(runner.log_dir),
        hint="Free space or permissions there, and try again.",
    )


def _next_log(directory: Path, command: str) -> tuple[Path, Path]:
    """File names that sort in the order of the commands; no earlier log is written over."""
    number = 1 + max((int(path.name[:3]) for path in directory.glob("[0-9][0-9][0-9]-*")), default=0)
    stem = f"{number:03d}-{command}"
    return directory / f"{stem}.jsonl", directory / f"{stem}.stderr"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
