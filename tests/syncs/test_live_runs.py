"""Runs that events start: deletions at once, and syncs that follow events."""

from __future__ import annotations

import pytest
from ordering import NAME, orders
from sync_world import FAIL, HOUR, TIME_OUT, S, counters

from gateway.core.run_counters import broken_sums

pytestmark = pytest.mark.anyio

FOLLOWING = {"schedule": {"continuous": {"max_delay": "30s", "reconcile": {"daily": "03:00"}}}, "start": "schedule"}


async def test_a_deletion_goes_out_at_once_even_while_paused(world_of):
    """Nobody waits for the next tick; what else is due waits."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    await orders(world).pause(NAME)
    await world.leave("bob")
    await world.delete("ada")
    await world.work()
    run = (await world.runs())[-1]
    assert (run.kind, counters(run).erased, set(world.platform.listed)) == ("live", 1, {"bob@example.com"})


async def test_a_deletion_that_fails_is_tried_again_after_ten_minutes(world_of):
    """Until it is through."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    world.platform.answer = lambda _operation, _payload: FAIL
    await world.delete("ada")
    await world.work()
    runs = len(await world.runs())
    world.platform.answer = lambda _operation, _payload: _accept()
    await world.work()
    assert len(await world.runs()) == runs
    world.now_us += 601 * S
    await world.work()
    assert world.platform.listed == {}


def _accept():
    from sync_world import ACCEPT

    return ACCEPT


async def test_events_are_gathered_and_sent_within_the_delay(world_of):
    """Two that enter within half a minute share a run; the daily diff finds nothing left to do."""
    world = world_of(**FOLLOWING)
    await world.enter("ada")
    await world.work()
    world.now_us += 20 * S
    await world.enter("bob")
    await world.work()
    assert await world.runs() == []
    world.now_us += 10 * S
    await world.work()
    (run,) = await world.runs()
    assert (run.kind, run.trigger, counters(run).added) == ("live", "event", 2)
    await world.leave("ada")
    world.now_us += 30 * S
    await world.work()
    assert set(world.platform.listed) == {"bob@example.com"}
    world.now_us += 24 * HOUR
    await world.work()
    last = (await world.runs())[-1]
    assert (last.kind, counters(last).unchanged, counters(last).requests) == ("initial", 1, 0)


async def test_a_live_run_passes_a_shared_entry_on(world_of):
    """Two of one address: when the owner leaves, nothing is sent."""
    world = world_of(**FOLLOWING)
    await world.enter("ada", "bob", email="same@example.com")
    world.now_us += 30 * S
    await world.work()
    await world.leave("ada")
    world.now_us += 30 * S
    await world.work()
    assert world.platform.requests == [("enter", "same@example.com")]
    await world.leave("bob")
    world.now_us += 30 * S
    await world.work()
    assert world.platform.listed == {}


async def test_a_live_run_is_judged_by_no_guard(world_of):
    """It is about a few people: what they are a share of says nothing."""
    world = world_of(**FOLLOWING, guards={"max_adds": 0, "max_removals": 0, "min_size": 10, "empty_audience": "hold"})
    await world.enter("ada", "bob")
    world.now_us += 30 * S
    await world.work()
    await world.leave("ada", "bob")
    world.now_us += 30 * S
    await world.work()
    assert [(run.kind, run.status) for run in await world.runs()] == [("live", "succeeded")] * 2
    assert world.platform.listed == {}


HELD = {"guards": {"max_removals": 1, "empty_audience": "off"}}


async def held_world(world_of):
    """Three listed, two of whom have left: the daily run is held. Cyd has stayed."""
    world = world_of(**FOLLOWING, **HELD)
    await world.enter("ada", "bob", "cyd")
    world.now_us += 30 * S
    await world.work()
    rules = world.rules
    world.edit(schedule={"manual": True}, **HELD)  # so that no live run takes them off before the run that is held
    await world.leave("ada", "bob")
    run = await world.run()
    assert run.status == "held"
    world.rules = rules
    await world.work()
    return world, run


async def test_while_a_run_is_held_live_runs_add_and_do_not_remove(world_of):
    """Who enters is on the list within the delay, who leaves stays until a person has looked; deletions go out."""
    world, run = await held_world(world_of)
    await world.enter("dan")
    await world.leave("cyd")
    world.now_us += 30 * S
    await world.work()
    live = (await world.runs())[-1]
    assert (live.kind, live.status, counters(live).planned) == ("live", "succeeded", {"add": 1})
    assert counters(live).skipped == {"removals_held": 1}
    await world.delete("ada")
    await world.work()
    assert {email.partition("@")[0] for email in world.platform.listed} == {"bob", "cyd", "dan"}
    assert (await world.run_row(run.id)).status == "held"
    await orders(world).approve(run.id, by="eve")
    await world.work()
    assert {email.partition("@")[0] for email in world.platform.listed} == {"dan"}


async def test_live_runs_go_on_while_a_tick_waits_behind_the_held_run(world_of):
    """The daily tick is queued behind it, and is not in the way."""
    world, run = await held_world(world_of)
    world.now_us += 24 * HOUR
    await world.work()
    assert [one.status for one in await world.runs()][-2:] == ["held", "queued"]
    await world.enter("dan")
    world.now_us += 30 * S
    await world.work()
    assert "dan@example.com" in world.platform.listed
    await orders(world).reject(run.id)
    await world.work()
    assert [one.status for one in await world.runs()].count("held") == 1


async def test_an_approval_waits_for_the_live_run_on_its_way(world_of):
    """One run of a sync sends at a time; the approved one follows by itself."""
    world, run = await held_world(world_of)
    await world.enter("dan")
    world.now_us += 30 * S
    await world.syncs.step()
    assert [one.status for one in await world.runs()][-2:] == ["held", "sending"]
    await orders(world).approve(run.id, by="eve")
    await world.syncs.step()
    assert (await world.run_row(run.id)).status == "held"
    await world.work()
    done = await world.run_row(run.id)
    assert (done.status, done.approved_by, counters(done).planned) == ("succeeded", "eve", {"remove": 2})
    assert {email.partition("@")[0] for email in world.platform.listed} == {"cyd", "dan"}


async def test_held_runs_and_live_runs_survive_a_restart(world_of):
    """Both are in the store."""
    world, run = await held_world(world_of)
    await world.enter("dan")
    world.now_us += 30 * S
    await world.syncs.step()
    await world.restart()
    await world.work()
    assert ("dan@example.com" in world.platform.listed, (await world.run_row(run.id)).status) == (True, "held")


async def test_a_live_run_goes_by_what_is_known_of_the_list(world_of):
    """It counts nobody but its own few, and still has the sizes right, after a person has said that somebody is not listed."""
    world = world_of(**FOLLOWING)
    await world.enter("ada", "bob")
    await world.run()
    await world.enter("cyd")
    await world.run(TIME_OUT)
    await orders(world).resolve(NAME, listed=False)
    await world.enter("dan")
    world.now_us += 31 * S
    await world.work()
    live = (await world.runs())[-1]
    sync = await world.sync()
    counted = await world.state.read(lambda view: view.listed_count(sync.id))
    sizes = (counters(live).list_before, counters(live).list_after, sync.listed, counted)
    assert (live.kind, sizes, broken_sums(counters(live))) == ("live", (2, *[2 + counters(live).list_change] * 3), [])
