"""What is kept of runs, and for how long."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from ordering import NAME, orders
from sync_world import ACCEPT, DAY, HOUR, REFUSE, TIME_OUT, counters, whole_lists

from gateway.core.errors import OrderError
from gateway.syncs import snapshots
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


SNAPSHOTS = [
    ("adopted", {"initial": "adopt"}, ACCEPT),
    ("tracked", {"mode": "subtractive"}, ACCEPT),
    ("unsure", {}, TIME_OUT),
    ("a whole list", whole_lists(1), ACCEPT),
]


@pytest.mark.parametrize(("what", "block", "answer"), SNAPSHOTS, ids=[row[0] for row in SNAPSHOTS])
async def test_every_run_that_changed_what_is_known_of_the_list_has_a_snapshot(world_of, what, block, answer):
    """Also where the platform confirmed nobody; the run behind it changes nothing more and has none (a whole list has)."""
    world = world_of(**block)
    await world.enter("ada", "bob")
    first = await world.run(answer)
    await world.enter("cyd")
    second = await world.run(answer)
    assert await kept(world) == [second.id, first.id]
    shown = await orders(world).diff_runs(first.id, second.id)
    assert [shown[name] for name in ("came", "went", "same")] == [1, 0, 2]


async def test_runs_of_different_syncs_are_not_compared(world_of):
    """Their lists have nothing to do with each other; and of which run no snapshot is kept is said."""
    world = world_of()
    await world.enter("ada")
    first = await world.run()
    await world.enter("bob")
    second, nothing = await world.run(), await world.run()
    with pytest.raises(OrderError, match=f"Of run {nothing.id} no snapshot is kept"):
        await orders(world).diff_runs(first.id, nothing.id)
    await world.state.write(lambda tx: tx.save_run(replace(tx.run(first.id), sync=first.sync + 1)))
    with pytest.raises(OrderError, match="of different syncs") as refused:
        await orders(world).diff_runs(first.id, second.id)
    assert refused.value.status == 400


async def test_a_run_that_was_stopped_half_way_has_a_snapshot(world_of):
    """Of what was there by then."""
    world = world_of()
    await world.enter("ada", "bob", "cyd")
    number = int(str((await orders(world).run(NAME))["id"]))
    while await world.syncs.step():
        pass
    await world.deliver(2)
    await orders(world).cancel(number)
    await world.work()
    assert ((await world.run_row(number)).status, await kept(world)) == ("cancelled", [number])
    later = await world.run()
    shown = await orders(world).diff_runs(number, later.id)
    assert [shown[name] for name in ("came", "same")] == [1, 2]


async def test_a_run_that_changed_nothing_has_none(world_of):
    """Nothing to do, all refused, or stopped before it sent anything."""
    world = world_of()
    await world.enter("ada")
    await world.run(REFUSE)
    await world.run()
    assert await kept(world) == []


async def test_fewer_snapshots_are_kept_once_a_run_has_met_the_edit(world_of):
    """Whether or not that run has one itself."""
    world = world_of()
    for user in ("ada", "bob", "cyd"):
        await world.enter(user)
        await world.run()
    assert len(await kept(world)) == 3
    world.edit(schedule={"manual": True}, snapshots={"keep": 1})
    assert len(await kept(world)) == 3
    await world.run()
    assert len(await kept(world)) == 1
    world.edit(schedule={"manual": True}, snapshots={"keep": 0})
    await world.run()
    assert await kept(world) == []


async def test_a_member_with_several_lines_may_lie_across_two_parts(world_of, monkeypatch):
    """Each line stands in the snapshot once, wherever a part ends."""
    monkeypatch.setattr(snapshots, "PART_RECORDS", 2)
    world = world_of(**whole_lists(1))
    for domain in ("com", "org", "net"):
        for user in ("ada", "bob", "cyd"):
            await world.enter(user, email=f"{user}@example.{domain}")
    run = await world.run()
    parts = await world.state.read(lambda view: view.snapshot_parts(run.id))
    entries = [entry[:2] for _members, body in parts for entry in snapshots.read_part(body)]
    assert (len(parts), len(entries), entries) == (5, 9, sorted(set(entries)))


async def kept(world) -> list[int]:
    sync = await world.sync()
    return await world.state.read(lambda view: view.snapshot_runs(sync.id))
