"""The engine that this room's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from engine_harness import Engine
from rulebooks import rulebook


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with the plain rulebook of `rulebooks.py`."""
    made = Engine(tmp_path, rulebook())
    yield made
    await made.close()
