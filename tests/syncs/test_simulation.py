"""The engine as a whole: whatever happens in between, the list ends as the mode promises. See also `test_simulation_on.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_simulation import simulate
from sync_world import World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("ten", range(15))
async def test_whatever_happens_the_list_ends_as_promised(tmp_path: Path, ten: int) -> None:
    """Ten seeds each of events, answers, deaths around commits, edits and orders, at random; counters add up in every run."""
    for seed in range(ten * 10, ten * 10 + 10):
        await simulate(seed, tmp_path)


@pytest.mark.parametrize("five", range(4))
async def test_with_the_threads_of_the_store_too(tmp_path: Path, five: int) -> None:
    """Five seeds each with the writer's and the readers' own threads and real files of the inbox; every restart opens them anew."""
    for seed in range(five * 5, five * 5 + 5):
        await simulate(seed, tmp_path, World)


@pytest.mark.parametrize("ten", range(3))
async def test_with_plans_in_between_the_list_ends_as_promised_and_a_run_is_what_its_plan_said(
    tmp_path: Path, ten: int
) -> None:
    """Ten seeds each; a plan makes records anew like a run, dies like one, and is held against the run that follows at the end."""
    for seed in range(2_000 + ten * 10, 2_010 + ten * 10):
        await simulate(seed, tmp_path, plans=True)


@pytest.mark.parametrize("five", range(4))
async def test_two_syncs_of_one_audience_and_rare_orders_leave_both_lists_as_promised(
    tmp_path: Path, five: int
) -> None:
    """Five seeds each; lists are forgotten and gone back to, entries taken out and put back, first runs wait, logs are switched."""
    for seed in range(3_000 + five * 5, 3_005 + five * 5):
        await simulate(seed, tmp_path, wide=True)
