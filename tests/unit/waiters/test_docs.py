from __future__ import annotations

import doctest
import re
from pathlib import Path

from harness import waiters

PAGE = Path(__file__).parents[3] / "docs" / "waiters.md"


def test_the_code_on_the_page_does_what_it_says() -> None:
    blocks = re.findall(r"^```pycon\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    report: list[str] = []
    results = doctest.DocTestRunner().run(examples, out=report.append)
    assert results.failed == 0, "".join(report)
    assert results.attempted > 30


def test_the_page_names_every_policy() -> None:
    text = PAGE.read_text()
    names = [name for name in waiters.__all__ if isinstance(getattr(waiters, name), waiters.Policy)]
    assert len(names) == 6
    assert [name for name in names if f"| `{name}` |" not in text] == []
