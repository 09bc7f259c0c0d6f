"""Runs that events start: deletions at once, and syncs that follow events."""

from __future__ import annotations

import pytest
from sync_world import FAIL, HOUR, S, counters
from test_orders import NAME, orders

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
