"""Ages as people write them: ``45s``, ``90m``, ``12h``, ``2d``."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta:
    """The span of time that a text such as ``12h`` or ``1d12h`` means.

    Raises:
        ValueError: It means none.
    """
    if not re.fullmatch(r"(\d+[smhd])+", text):
        raise ValueError(f"{text!r} is no age; write 45s, 90m, 12h, 2d or 1d12h")
    return sum(
        (timedelta(**{_UNITS[unit]: int(number)}) for number, unit in re.findall(r"(\d+)([smhd])", text)), timedelta()
    )


def show_duration(span: timedelta) -> str:
    """A span of time in its largest two units."""
    seconds = max(0, int(span.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"
