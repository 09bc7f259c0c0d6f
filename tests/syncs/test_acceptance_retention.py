"""Acceptance 8: a day of log and two snapshots are kept; three days later only the stated rows stand, and the diff is right."""

from __future__ import annotations

import pytest
from ordering import orders
from sync_world import ACCEPT, DAY, HOUR, REFUSE, World, counters

from gateway.core.errors import OrderError
from gateway.syncs.keeping import tidy_syncs

pytestmark = pytest.mark.anyio


async def tidy(world: World) -> None:
    """The janitor's hour, to its end."""
    while await world.state.write(lambda tx: tidy_syncs(tx, world.now_us)):
        pass


async def test_what_has_outlived_its_time_goes_and_nothing_that_a_diff_needs(world_of):
    """Three days of runs with an entry, an exit, a change and a refusal; then the next diff of all kinds of work."""
    world = world_of(log={"days": 1}, snapshots={"keep": 2})
    await world.enter("ada", "bob", "cyd", "dan", ltv=1)
    await world.run(lambda operation, payload: REFUSE if payload["email"].startswith("dan") else ACCEPT)
    world.now_us += DAY
    await tidy(world)
    await world.leave("bob")
    await world.run()
    world.now_us += DAY + HOUR
    await tidy(world)
    await world.enter("cyd", ltv=2)
    await world.run()
    world.now_us += DAY - HOUR
    await tidy(world)

    runs = [run.id for run in await world.runs()]
    assert len(runs) == 3, "runs themselves are kept for longer"
    logs = [len(await world.state.read(lambda view, one=one: view.row_results(run=one))) for one in runs]
    assert logs == [0, 0, 1]
    sync = await world.sync()
    assert await world.state.read(lambda view: view.snapshot_runs(sync.id)) == runs[:0:-1]
    with pytest.raises(OrderError, match="no snapshot"):
        await orders(world).diff_runs(runs[0], runs[2])
    assert (await orders(world).diff_runs(runs[1], runs[2]))["changed"] == 1

    await world.leave("ada")
    await world.enter("cyd", email="cyd@example.org", ltv=2)
    await world.enter("eve", ltv=1)
    run = await world.run()
    found = counters(run)
    assert (found.removed, found.updated, found.added) == (1, 1, 1)
    assert found.skipped == {"quarantined": 1}, "the refusal outlives its line in the log"
    assert set(world.platform.listed) == {"cyd@example.org", "eve@example.com"}
