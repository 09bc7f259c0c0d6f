"""The second half of the seeds, in a file of its own so that two processes share them, and those that once found a fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_simulation import simulate

pytestmark = pytest.mark.anyio

FOUND = {
    "a cancelled run that had not begun to plan did not add up": (194, 443),
    "a held run that was rejected did not add up": (423, 508),
    "a run ordered during a pause paid an owed resend and sent nothing": (502, 1420),
    "refused while nothing was waited for, then quarantined for ever": (10200, 11413),
    "a mapping edited there and back left records of the one between": (1, 6, 31, 41, 47, 49, 50),
}


@pytest.mark.parametrize("ten", range(15, 30))
async def test_whatever_happens_the_list_ends_as_promised(tmp_path: Path, ten: int) -> None:
    """Ten seeds each of events, answers, deaths around commits, edits and orders, at random; counters add up in every run."""
    for seed in range(ten * 10, ten * 10 + 10):
        await simulate(seed, tmp_path)


@pytest.mark.parametrize("fault", FOUND)
async def test_seeds_that_found_a_fault(tmp_path: Path, fault: str) -> None:
    """Each of these failed once, for the reason it stands under."""
    for seed in FOUND[fault]:
        await simulate(seed, tmp_path)
