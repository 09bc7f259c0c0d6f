"""The syncs' harness, for the API over a real store; and a world for it."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "syncs"))

from sync_world import World


@pytest.fixture
async def world_of(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Callable[..., World]]:
    """`world_of(mode="additive", …)`: members of a `sync` block."""
    made: list[World] = []

    def make(**block: Any) -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(folder, **{"schedule": {"manual": True}, "guards": {"empty_audience": "off"}, **block}))
        return made[-1]

    yield make
    for one in made:
        await one.close()
