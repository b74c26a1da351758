"""Keeps secrets out of logs, events and errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

REDACTED = "(redacted)"
# Below this length a value occurs in ordinary words, so it is replaced only where it stands alone.
_WHOLE_WORD_BELOW = 4
_CREDENTIAL_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ACCESS_KEY_ID")
# The local cloud's credentials are the word "test", which is no secret and occurs everywhere.
_CREDENTIAL_MINIMUM = 12


class Redactor:
    """Replaces known secret values in text.

    Args:
        secrets: Values of any JSON shape; every string and number inside is a secret.
    """

    def __init__(self, secrets: Iterable[Any] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for value in secrets:
            self.add(value)

    def add(self, value: Any) -> None:
        """Make ``value``, and every string and number inside it, a secret."""
        new = {form for leaf in _leaves(value) for form in _forms(leaf)} - self._values
        if new:
            self._values |= new
            self._pattern = re.compile(
                "|".join(_alternative(text) for text in sorted(self._values, key=len, reverse=True))
            )

    def __call__(self, text: str) -> str:
        """``text`` with every secret replaced."""
        return self._pattern.sub(REDACTED, text) if self._pattern else text

    def clean_file(self, path: Path) -> None:
        """Replace every secret in a finished log file; one that can't be rewritten is removed."""
        if self._pattern is None or not path.is_file():
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        cleaned = self(text)
        if cleaned != text:
            try:
                path.write_text(cleaned, encoding="utf-8")
            except OSError:
                path.unlink(missing_ok=True)


def credentials(environment: Mapping[str, str]) -> Iterator[str]:
    """The AWS credentials in an environment."""
    for name in _CREDENTIAL_VARIABLES:
        value = environment.get(name, "")
        if len(value) >= _CREDENTIAL_MINIMUM:
            yield value


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, bool) or value is None:
        return
    else:
        text = str(value)
        if text.strip():
            yield text


def _forms(text: str) -> Iterator[str]:
    yield text
    # Terraform's output is JSON inside, and sometimes a JSON text in a JSON string.
    for _ in range(2):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
        yield text
        # Go's encoder, unlike Python's, escapes these three.
        yield text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _alternative(text: str) -> str:
    escaped = re.escape(text)
    return rf"(?<!\w){escaped}(?!\w)" if len(text) < _WHOLE_WORD_BELOW else escaped
