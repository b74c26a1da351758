"""What the tests of the runtime share."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.localcloud.api import InvokeOutcome, ResolvedFunction

ENDPOINT = "http://127.0.0.1:9"
LIMIT_SECONDS = 30.0


def resolved(name: str, code_directory: Path, **overrides: Any) -> ResolvedFunction:
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
    values: dict[str, Any] = {
        "name": name,
        "version": "$LATEST",
        "qualifier": None,
        "arn": arn,
        "invoked_arn": arn,
        "region": "eu-west-1",
        "account_id": "123456789012",
        "role_arn": "arn:aws:iam::123456789012:role/test",
        "runtime": "python3.13",
        "handler": "app.handler",
        "code_directory": code_directory,
        "code_sha256": f"sha/of+{code_directory.name}=",
        "environment": {},
        "timeout": 30,
        "memory_size": 128,
        "log_group": f"/aws/lambda/{name}",
        "log_format": "Text",
        "durable": None,
        **overrides,
    }
    return ResolvedFunction(**values)


class RecordingSink:
    """A log sink that keeps everything."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.puts: list[tuple[ResolvedFunction, str, list[tuple[int, str]]]] = []

    def put(self, function: ResolvedFunction, log_stream: str, events: Sequence[tuple[int, str]]) -> None:
        with self._changed:
            self.puts.append((function, log_stream, list(events)))
            self._changed.notify_all()

    @property
    def messages(self) -> list[str]:
        with self._changed:
            return [message for _, _, events in self.puts for _, message in events]

    @property
    def streams(self) -> list[str]:
        return [stream for _, stream, _ in self.puts]

    def wait_for(self, message: str) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: any(message in text for _, _, events in self.puts for _, text in events), LIMIT_SECONDS
            )


def value_of(outcome: InvokeOutcome) -> Any:
    """What the handler returned; fails with the function's own error if it did not."""
    assert outcome.function_error is None, outcome.payload.decode()
    return json.loads(outcome.payload)


def eventually(predicate: Callable[[], bool]) -> bool:
    """Whether ``predicate`` becomes true within a generous limit."""
    pause = threading.Event()
    for _ in range(int(LIMIT_SECONDS / 0.02)):
        if predicate():
            return True
        pause.wait(0.02)
    return False


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    process = Path(f"/proc/{pid}")
    try:
        stat = (process / "stat").read_text(encoding="ascii")
        threads = len(list((process / "task").iterdir()))
    except OSError:
        return False
    # A killed process is a zombie as soon as its first thread has ended; its sockets close with the last one.
    return threads > 1 or stat.rpartition(")")[2].split()[0] != "Z"


class Background:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], InvokeOutcome]) -> None:
        self._outcome: InvokeOutcome | None = None
        self._error: BaseException | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._call()
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the outcome
            self._error = error

    def outcome(self) -> InvokeOutcome:
        self._thread.join(LIMIT_SECONDS)
        if self._error is not None:
            raise self._error
        assert self._outcome is not None, "the call did not end"
        return self._outcome
