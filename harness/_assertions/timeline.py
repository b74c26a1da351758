"""The table of a history that a failure shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.durable import History, HistoryEvent

_MOST_ROWS = 80
_HEADER = ("time", "event", "name", "attempt", "delay", "error")


def timeline_table(history: History, *, most: int = _MOST_ROWS) -> str:
    """A history as a table: seconds since its start, event, name, attempt, seconds to the next one, error.

    Names are indented below the operation that they are part of. No payloads and no error messages are shown.

    Args:
        history: The history.
        most: How many events at most; beyond, those in the middle are left out, and the table says how many.
    """
    if not history:
        return "  (no events)"
    rows = [_HEADER, *_rows(history)]
    skipped = len(rows) - 1 - most
    widths = [max(len(row[index]) for row in rows) for index in range(len(_HEADER))]
    lines = [
        "  "
        + "  ".join(
            [row[0].rjust(widths[0]), *(cell.ljust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
    if skipped > 0:
        head = 1 + most // 2
        lines[head : head + skipped] = [f"  ... {skipped} events left out ..."]
    return "\n".join(lines)


def _rows(history: History) -> list[tuple[str, ...]]:
    began = history[0].timestamp
    parents = {operation.id: operation.parent_id for operation in history.operations()}
    return [
        (
            f"+{(event.timestamp - began).total_seconds():.3f}s",
            event.type,
            "  " * _depth(event.parent_id, parents) + (event.name or ""),
            "" if event.attempt is None else str(event.attempt),
            "" if event.next_delay is None else f"{event.next_delay:g}s",
            _error(event),
        )
        for event in history
    ]


def _error(event: HistoryEvent) -> str:
    return "" if event.error is None else event.error.type or "(no type)"


def _depth(parent: str | None, parents: dict[str, str | None]) -> int:
    seen: set[str] = set()
    while parent is not None and parent not in seen:
        seen.add(parent)
        parent = parents.get(parent)
    return len(seen)
