"""What tells one process from a later one that gets the same id."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def process_identity(pid: int) -> str | None:
    """What a process has that no other one with its id ever has; None when it doesn't run.

    A zombie doesn't run.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name, in brackets, may hold anything; state and, 19 fields on, the start follow the last bracket.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        return None if fields[0] in {"Z", "X"} else f"{boot}:{fields[19]}"
    answer = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return answer.stdout.strip() or None
