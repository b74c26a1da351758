"""The process in which a function's handler is imported and replayed: ``python -m harness._replay.worker``.

It reads one line of JSON, its request, and writes one line, its answer; when its standard input ends before, its owner
is gone, and it ends as well. A process of its own because handlers of different functions share names (``handler.py``),
read the environment, and must not be able to disturb the tests.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

# Far beyond any retry count that a strategy means.
_MANY = 10_000


def main() -> int:
    """Answer the request on standard input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What the function prints or logs isn't an answer.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_owner, daemon=True).start()
    logging.disable(logging.CRITICAL)
    try:
        answer = _answer(request)
    except BaseException as error:  # noqa: BLE001 - all that goes wrong has to reach the owner
        answer = {"failed": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    # Threads that the function started must not keep the process alive.
    os._exit(0)


def _end_with_owner() -> None:
    sys.stdin.read()
    os._exit(1)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    root = Path(request["root"]).resolve()
    os.environ.update(request["environment"])
    sys.path.insert(0, str(root))
    sys.dont_write_bytecode = True

    from harness._replay.engine import Engine  # noqa: PLC0415 - needs the SDK; its absence is an answer
    from harness._replay.steps import EffectGuard  # noqa: PLC0415

    module, _, name = request["handler"].rpartition(".")
    handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    guard = EffectGuard()
    guard.install()
    engine = Engine(root, handler, guard)
    replays = [engine.replay(recording) for recording in request["recordings"]]
    return {"replays": replays, "rules": [_rule(engine.strategies, site) for site in request["sites"]]}


def _rule(strategies: dict[tuple[str, int], Any], site: dict[str, Any]) -> dict[str, Any]:
    """What the retry strategy that was seen at a call does."""
    found = [
        strategy
        for (file, line), strategy in strategies.items()
        if file == site["file"] and site["line"] <= line <= site["end_line"]
    ]
    rule: dict[str, Any] = {"any": False, "finite": True, "errors": []}
    if not found:
        return rule
    strategy = found[0]
    rule["any"] = _retries(strategy, Exception("probe"), 1) is True
    rule["finite"] = _retries(strategy, Exception("probe"), _MANY) is not True
    for name in site["names"]:
        kind = _resolve(name["module"], name["dotted"])
        if kind is None or kind in (Exception, BaseException):
            continue
        probe = kind.__new__(kind)
        if _retries(strategy, probe, 1) is False:
            continue
        rule["errors"].append(
            {**name, "types": sorted(_types(kind)), "finite": _retries(strategy, probe, _MANY) is not True}
        )
    return rule


def _retries(strategy: Any, error: BaseException, attempts: int) -> bool | None:
    try:
        return bool(strategy(error, attempts).should_retry)
    except Exception:  # noqa: BLE001 - a strategy that looks into its error can't be asked with an empty one
        return None


def _resolve(module: str, dotted: str) -> type[BaseException] | None:
    value: Any = sys.modules.get(module)
    for part in dotted.split("."):
        value = getattr(value, part, None)
    if value is None and "." not in dotted:
        value = getattr(sys.modules["builtins"], dotted, None)
    return value if isinstance(value, type) and issubclass(value, BaseException) else None


def _types(kind: type[BaseException]) -> set[str]:
    """The error types as recorded that are this one: its own and its subclasses'."""
    from harness._replay.steps import wire_type  # noqa: PLC0415 - after sys.path is arranged

    types = {wire_type(kind)}
    for subclass in kind.__subclasses__():
        types |= _types(subclass)
    return types


if __name__ == "__main__":
    sys.exit(main())
