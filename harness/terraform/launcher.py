"""Starts a program that ends with its starter: sets the parent-death signal, then becomes the program.

Run by path with ``python -I -S``, standard library only. A ``preexec_fn`` would do the same without this file, but it
runs Python between fork and exec, which can deadlock in a process that has threads.
https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(starter: int, argv: list[str]) -> None:
    """Become ``argv``, which gets SIGTERM when the thread that started it ends."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - costs 5 ms, and elsewhere it isn't needed

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        # The starter may have died before the line above; then nothing will send the signal.
        if os.getppid() != starter:
            sys.exit(128 + signal.SIGTERM)
    # Python ignores SIGPIPE, and whoever runs in a shell's background ignores SIGINT; a program inherits both. An
    # ignored SIGINT would leave no polite way to stop it.
    for number in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.execve(argv[0], argv, os.environ)  # noqa: S606 - the arguments are a list, and no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
