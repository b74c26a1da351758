from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.localcloud_durable.support import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage on which an hour passes in 3.6 seconds."""
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def real_time() -> Iterator[Stage]:
    """A stage on which time passes as it does: what is to stay pending stays so."""
    made = Stage(time_scale=1.0)
    yield made
    made.close()


@pytest.fixture
def compressed() -> Iterator[Stage]:
    """A stage on which an hour passes in a second."""
    made = Stage(time_scale=3600.0)
    yield made
    made.close()
