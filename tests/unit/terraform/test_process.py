from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.terraform.process import Completed, run, wait_until_idle
from harness.waiters import EXECUTION, Deadline, FakeClock, SystemClock, WaitTimeout, wait_until
from tests.unit.terraform.conftest import ProgramMaker

GENEROUS = 60.0
# Writes a line, then ends on SIGINT only, like Terraform, after writing another.
ON_SIGINT = """
trap 'echo interrupted; exit 3' INT
echo started
while :; do sleep 0.05; done
"""
STUBBORN = """
trap '' INT TERM
echo started
while :; do sleep 0.05; done
"""


def execute(tmp_path: Path, program: Path, **options: Any) -> Completed:
    return run(
        [str(program), "apply"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        stdout=tmp_path / "out.jsonl",
        stderr=tmp_path / "err",
        **options,
    )


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(probe: Callable[[], object]) -> None:
    wait_until(
        lambda: bool(probe()),
        bool,
        deadline=Deadline.after(GENEROUS),
        what="a condition",
        policy=EXECUTION.with_interval(0.05),
    )


def test_lines_arrive_while_the_command_runs(tmp_path: Path, shell_program: ProgramMaker) -> None:
    program = shell_program('echo one; while [ ! -e go ]; do sleep 0.02; done; printf "two\\nrest"')
    seen: list[str] = []

    def on_line(line: str) -> None:
        seen.append(line)
        (tmp_path / "go").touch()

    done = execute(tmp_path, program, on_line=on_line, timeout=GENEROUS)

    assert seen == ["one", "two", "rest"]
    assert (done.code, done.interrupted, done.killed) == (0, None, False)
    assert done.stdout.read_text() == "one\ntwo\nrest"


def test_the_exit_code_and_both_outputs_are_kept(tmp_path: Path, shell_program: ProgramMaker) -> None:
    done = execute(tmp_path, shell_program("echo out; echo bad >&2; exit 7"))
    assert (done.code, done.stdout.read_text(), done.stderr.read_text()) == (7, "out\n", "bad\n")


def test_output_files_are_private(tmp_path: Path, shell_program: ProgramMaker) -> None:
    done = execute(tmp_path, shell_program("echo out"))
    assert stat.S_IMODE(done.stdout.stat().st_mode) == 0o600
    assert stat.S_IMODE(done.stderr.stat().st_mode) == 0o600


def test_it_reads_from_nowhere_and_has_only_the_environment_it_is_given(
    tmp_path: Path, shell_program: ProgramMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKED", "yes")
    done = execute(tmp_path, shell_program('cat; echo "[$LEAKED]"'), timeout=GENEROUS)
    assert done.stdout.read_text() == "[]\n"


def test_it_has_a_session_of_its_own(tmp_path: Path, shell_program: ProgramMaker) -> None:
    done = execute(tmp_path, shell_program("cut -d' ' -f6 /proc/$$/stat; echo $$"))
    session, pid = done.stdout.read_text().split()
    assert session == pid
    assert int(session) != os.getsid(0)


def test_a_timeout_interrupts_once_and_waits_for_the_end(tmp_path: Path, shell_program: ProgramMaker) -> None:
    clock = FakeClock()
    program = shell_program(ON_SIGINT)
    # The program has set its trap when it prints: only then does the time run out.
    done = execute(tmp_path, program, timeout=10.0, clock=clock, on_line=lambda _: clock.advance(10.0), grace=1e6)
    assert (done.code, done.interrupted, done.killed) == (3, "timeout", False)
    assert done.stdout.read_text().count("interrupted") == 1


def test_it_can_be_interrupted_though_its_starter_ignores_sigint(tmp_path: Path, shell_program: ProgramMaker) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job
    try:
        cancel = threading.Event()
        done = execute(
            tmp_path,
            shell_program(ON_SIGINT),
            cancel=cancel,
            on_line=lambda _: cancel.set(),
            timeout=GENEROUS,
            grace=20.0,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.code, done.interrupted, done.killed) == (3, "cancelled", False)


def test_another_thread_can_cancel_it(tmp_path: Path, shell_program: ProgramMaker) -> None:
    cancel = threading.Event()
    done = execute(
        tmp_path,
        shell_program(ON_SIGINT),
        cancel=cancel,
        on_line=lambda _: cancel.set(),
        timeout=GENEROUS,
        grace=GENEROUS,
    )
    assert (done.code, done.interrupted) == (3, "cancelled")


def test_what_ignores_the_interrupt_is_killed_after_the_grace_period_with_its_children(
    tmp_path: Path, shell_program: ProgramMaker
) -> None:
    program = shell_program(f"sleep 600 & echo $!\n{STUBBORN}")
    cancel = threading.Event()
    pids: list[int] = []

    def on_line(line: str) -> None:
        if line.isdigit():
            pids.append(int(line))
        else:
            cancel.set()

    done = execute(tmp_path, program, cancel=cancel, on_line=on_line, grace=0.3)

    assert (done.code, done.killed) == (-signal.SIGKILL, True)
    eventually(lambda: not alive(pids[0]))


def test_a_child_that_outlives_the_command_is_ended(tmp_path: Path, shell_program: ProgramMaker) -> None:
    done = execute(tmp_path, shell_program("sleep 600 & echo $!"))
    eventually(lambda: not alive(int(done.stdout.read_text())))


def test_a_log_that_cant_be_written_is_an_error_before_anything_runs(
    tmp_path: Path, shell_program: ProgramMaker
) -> None:
    with pytest.raises(OSError, match="No such file"):
        run(
            [str(shell_program("touch ran"))],
            cwd=tmp_path,
            env={},
            stdout=tmp_path / "no" / "out",
            stderr=tmp_path / "e",
        )
    assert not (tmp_path / "ran").exists()


OWNER = """
import sys, threading
from pathlib import Path
from typing import Any
from harness.terraform.process import run
folder = Path(sys.argv[1])
run([str(folder / "terraform"), "apply"], cwd=folder, env={"PATH": sys.argv[2]},
    stdout=folder / "out", stderr=folder / "err",
    hold=folder / "hold", grace=60, on_line=lambda line: print(line, flush=True))
"""


def owner(tmp_path: Path) -> subprocess.Popen[str]:
    """A process of its own that runs the program and repeats its lines."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), os.environ["PATH"]],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_reaches_the_command_once_and_is_raised_after_its_end(
    tmp_path: Path, shell_program: ProgramMaker
) -> None:
    shell_program(ON_SIGINT)
    process = owner(tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"

    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=GENEROUS)

    assert out == "interrupted\n"
    assert "KeyboardInterrupt: while running `terraform apply`" in err


def test_further_ctrl_cs_dont_cut_the_grace_period_short(tmp_path: Path, shell_program: ProgramMaker) -> None:
    shell_program("trap 'echo again' INT\necho started\nwhile [ ! -e go ]; do sleep 0.05; done; echo written; exit 3")
    process = owner(tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.kill(process.pid, signal.SIGINT)
    assert process.stdout.readline() == "again\n"
    os.kill(process.pid, signal.SIGINT)
    (tmp_path / "go").touch()
    assert process.communicate(timeout=GENEROUS)[0] == "written\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_when_the_owner_is_killed_the_command_is_told_and_ends_by_itself(
    tmp_path: Path, shell_program: ProgramMaker
) -> None:
    shell_program("trap 'echo state written; exit 0' TERM\necho started\nwhile :; do sleep 0.05; done")
    process = owner(tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"

    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=GENEROUS)
    wait_until_idle(tmp_path / "hold", deadline=Deadline.after(GENEROUS))

    assert (tmp_path / "out").read_text() == "started\nstate written\n"


def test_idle_means_that_nobody_holds_the_lock(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    wait_until_idle(hold, deadline=Deadline.after(0.0))
    with hold.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(WaitTimeout):
            wait_until_idle(hold, deadline=Deadline.after(0.0, SystemClock()))
    wait_until_idle(hold, deadline=Deadline.after(0.0))


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_what_a_command_left_running_when_its_owner_was_killed_is_ended(
    tmp_path: Path, shell_program: ProgramMaker
) -> None:
    shell_program("trap 'exit 0' TERM\nsleep 600 & echo $!\nwhile :; do sleep 0.05; done")
    process = owner(tmp_path)
    assert process.stdout is not None
    orphan = int(process.stdout.readline())

    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=GENEROUS)
    wait_until_idle(tmp_path / "hold", deadline=Deadline.after(GENEROUS))

    eventually(lambda: not alive(orphan))
