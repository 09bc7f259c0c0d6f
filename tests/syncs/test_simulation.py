"""The engine as a whole: whatever happens in between, the list ends as the mode promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_simulation import simulate

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("tens", range(6))
async def test_whatever_happens_the_list_ends_as_promised(tmp_path: Path, tens: int) -> None:
    """Ten seeds each of events, answers, crashes, lost answers and deletions, at random; counters add up in every run."""
    for seed in range(tens * 10, tens * 10 + 10):
        await simulate(seed, tmp_path)
