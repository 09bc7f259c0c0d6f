"""Going back to a snapshot, and syncs that follow their entries in the files."""

from __future__ import annotations

import pytest
from ordering import NAME, orders
from sync_world import DAY, HOUR, counters, whole_lists

from gateway.core.errors import OrderError
from gateway.core.rulebook import Rulebook
from gateway.store.sync_rows import PRESENT, UNSURE

pytestmark = pytest.mark.anyio


async def test_what_changed_since_a_snapshot_becomes_unsure(world_of):
    """Added, updated and re-entered since; who stayed the same stays; who went and is gone is told."""
    world = world_of()
    await world.enter("same", "changed", "gone", ltv=1)
    await world.enter("same", "changed", "gone", ltv=1)
    first = await world.run()
    await world.enter("new")
    await world.enter("changed", ltv=2)
    await world.leave("gone")
    await world.run()
    requests = len(world.platform.requests)
    shown = await orders(world).restore_state(first.id)
    assert (shown["same"], shown["unsure"], shown["lost"]) == (1, 2, 1)
    states = {user: (await world.record(user)).state for user in ("same", "changed", "new")}
    assert states == {"same": PRESENT, "changed": UNSURE, "new": UNSURE}
    assert len(world.platform.requests) == requests
    run = await world.run()
    assert (run.status, counters(run).added, counters(run).unchanged) == ("succeeded", 2, 1)
    again = await orders(world).restore_state(first.id)
    assert again["unsure"] == 2


async def test_a_run_without_a_snapshot_is_refused_with_those_that_have_one(world_of):
    """Never kept, dropped by `snapshots.keep`, of a whole list, or with a run on its way."""
    world = world_of(snapshots={"keep": 1})
    await world.enter("ada")
    first = await world.run()
    await world.enter("bob")
    second = await world.run()
    order = orders(world)
    with pytest.raises(OrderError, match=f"Kept: {second.id}"):
        await order.restore_state(first.id)
    with pytest.raises(OrderError, match="no run 99"):
        await order.restore_state(99)
    await order.run(NAME)
    with pytest.raises(OrderError, match="cancel it first"):
        await order.restore_state(second.id)
    world = world_of(**whole_lists(1))
    await world.enter("ada")
    run = await world.run()
    with pytest.raises(OrderError, match="whole lists"):
        await orders(world).restore_state(run.id)


def without_entry(world) -> Rulebook:
    return Rulebook(version="2", sources=world.rules.sources, destinations=())


async def test_an_entry_taken_out_ends_its_sync_and_put_back_brings_it_back(world_of):
    """Members stay listed; who left meanwhile is removed by the next run, who entered is added."""
    world = world_of(schedule={"every": "1h"}, start="schedule")
    await world.enter("ada", "bob")
    await world.run()
    kept, world.rules = world.rules, without_entry(world)
    await world.work()
    sync = await world.sync()
    assert (sync.status, sync.next_us, set(world.platform.listed)) == (
        "deleted",
        0,
        {"ada@example.com", "bob@example.com"},
    )
    await world.leave("ada")
    await world.enter("cyd")
    world.now_us += 3 * HOUR
    await world.work()
    assert len(await world.runs()) == 1
    world.rules = kept
    await world.work()
    assert (await world.sync()).status == "active"
    await world.run()
    assert set(world.platform.listed) == {"bob@example.com", "cyd@example.com"}


async def test_a_sync_deleted_by_a_person_stays_deleted_whatever_the_files_say(world_of):
    """And a paused one that went with its file comes back paused."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await orders(world).delete(NAME)
    await world.work()
    assert (await world.sync()).status == "deleted"
    await orders(world).undelete(NAME)
    await orders(world).pause(NAME)
    kept, world.rules = world.rules, without_entry(world)
    await world.work()
    assert (await world.sync()).status == "deleted"
    world.rules = kept
    await world.work()
    assert (await world.sync()).status == "paused"


@pytest.mark.parametrize("way", ["a run is held", "a run is queued", "a person has deleted it"])
async def test_what_came_while_an_entry_was_out_is_made_up_for_however_that_came(world_of, way):
    """The sync was not ended by the files, because of a run that has not ended, or because somebody had ended it before."""
    world = world_of(guards={"max_removals": 1, "empty_audience": "off"})
    await world.enter("ada", "bob", "cyd", "dan")
    await world.run()
    if way == "a run is held":
        await world.leave("ada", "bob")
        assert (await world.run()).status == "held"
    elif way == "a run is queued":
        await orders(world).run(NAME)
    else:
        await orders(world).delete(NAME)
    kept, world.rules = world.rules, without_entry(world)
    await world.state.write(world.syncs._tick)  # the look at the files alone: the run does not come to its turn
    await world.leave("cyd")
    await world.enter("eve")
    await world.enter("dan", email="new@example.com")
    world.rules = kept
    if way == "a person has deleted it":
        await orders(world).undelete(NAME)
    await world.work()
    assert (await world.sync()).status == "active"
    for run in await world.state.read(lambda view: view.open_runs()):
        await orders(world).approve(run.id, by="ada")
    await world.work()
    await world.run()
    expected = {"new@example.com", "eve@example.com", "ada@example.com", "bob@example.com"}
    assert set(world.platform.listed) == (
        expected - {"ada@example.com", "bob@example.com"} if "held" in way else expected
    )


async def test_a_sync_without_an_entry_is_not_undeleted(world_of):
    """It would be ended again at the next look at the files: the order says what to do first, and changes nothing."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    kept, world.rules = world.rules, without_entry(world)
    await world.work()
    before = await world.sync()
    with pytest.raises(OrderError, match="put its entry back first"):
        await orders(world).undelete(NAME)
    assert (before.status, await world.sync()) == ("deleted", before)
    world.rules = kept
    await world.work()
    assert (await world.sync()).status == "active"


async def test_after_thirty_days_a_sync_begins_anew(world_of):
    """What was delivered is forgotten by then."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await orders(world).delete(NAME)
    world.now_us += 31 * DAY
    await orders(world).undelete(NAME)
    assert (await world.run()).kind == "initial"
