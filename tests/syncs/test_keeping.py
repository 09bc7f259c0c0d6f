"""What is kept of runs, and for how long."""

from __future__ import annotations

import pytest
from sync_world import DAY, HOUR, counters
from test_orders import orders

from gateway.syncs.keeping import tidy_syncs

pytestmark = pytest.mark.anyio


async def test_retention_leaves_the_stated_rows_and_the_next_diff_right(world_of):
    """`days: 1`, `keep: 2`, three days: a day's log, two snapshots; nothing of membership or records."""
    world = world_of(log={"days": 1}, snapshots={"keep": 2})
    for day in range(3):
        await world.enter(f"u{day}")
        await world.run()
        world.now_us += DAY + HOUR if day < 2 else HOUR
        while await world.state.write(lambda tx: tidy_syncs(tx, world.now_us)):
            pass
    numbers = [run.id for run in await world.runs()]
    logs = [len(await world.state.read(lambda view, one=one: view.row_results(run=one))) for one in numbers]
    assert logs == [0, 0, 1]
    sync = await world.sync()
    assert await world.state.read(lambda view: view.snapshot_runs(sync.id)) == [3, 2]
    run = await world.run()
    assert (counters(run).unchanged, counters(run).requests) == (3, 0)


async def test_two_runs_are_compared_by_their_snapshots(world_of):
    """One came, one went, one changed."""
    world = world_of()
    await world.enter("ada", "bob", "cyd")
    await world.run()
    await world.leave("ada")
    await world.enter("bob", ltv=5)
    await world.enter("dan")
    await world.run()
    shown = await orders(world).diff_runs(1, 2)
    assert [shown[name] for name in ("came", "went", "changed", "same")] == [1, 1, 1, 1]
    assert "@" not in str(shown)
