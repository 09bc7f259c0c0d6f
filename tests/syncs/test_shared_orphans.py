"""Identifiers that one member has left behind on the list, and that another one wants: they stay, whoever goes."""

from __future__ import annotations

import pytest
from sync_world import REFUSE, counters

pytestmark = pytest.mark.anyio

OLD, NEW = "old@example.com", "new@example.com"
MANUAL = {"schedule": {"manual": True}, "guards": {"empty_audience": "off"}}


async def left_behind(world_of, **block):
    """Ada is listed as NEW, and OLD is an orphan of hers."""
    world = world_of(mode="additive", **block)
    await world.enter("ada", email=OLD)
    await world.run()
    await world.enter("ada", email=NEW)
    await world.run()
    assert set(world.platform.listed) == {OLD, NEW}
    return world


async def test_another_member_takes_the_orphan_over(world_of):
    """Bob has the address that Ada had: it is confirmed for him, never removed, and leaves the list when he leaves."""
    world = await left_behind(world_of)
    world.edit(mode="mirror", **MANUAL)
    await world.enter("bob", email=OLD)
    requests = len(world.platform.requests)
    run = await world.run()
    assert (counters(run).planned, world.platform.requests[requests:]) == ({"add": 1}, [("enter", OLD)])
    assert set(world.platform.listed) == {OLD, NEW}
    await world.leave("bob", email=OLD)
    await world.run()
    assert set(world.platform.listed) == {NEW}


async def test_an_orphan_that_nobody_wants_goes(world_of):
    """An update made only of its removal."""
    world = await left_behind(world_of)
    world.edit(mode="mirror", **MANUAL)
    run = await world.run()
    assert (counters(run).planned, set(world.platform.listed)) == ({"update": 1}, {NEW})


@pytest.mark.parametrize("way", ["leaves", "is deleted"])
async def test_its_first_holder_goes_and_the_orphan_stays_for_the_other(world_of, way):
    """A removal, and even an erasure, takes what is the member's own alone."""
    world = await left_behind(world_of)
    await world.enter("bob", email=OLD)
    world.edit(mode="mirror", **MANUAL)
    if way == "leaves":
        await world.leave("ada", email=NEW)
    else:
        await world.delete("ada")
    await world.run()
    assert set(world.platform.listed) == {OLD}
    assert ("exit", OLD) not in world.platform.requests
    await world.leave("bob", email=OLD)
    await world.run()
    assert world.platform.listed == {}


async def test_in_a_live_run_too(world_of):
    """The run is about Bob alone, and Ada's record lets go of what he takes over."""
    world = await left_behind(world_of)
    world.edit(mode="mirror", schedule={"continuous": {"max_delay": "30s"}}, start="schedule", guards=MANUAL["guards"])
    await world.enter("bob", email=OLD)
    world.now_us += 40_000_000
    await world.work()
    assert set(world.platform.listed) == {OLD, NEW}
    ada, bob = await world.record("ada"), await world.record("bob")
    assert (ada.more, bob.state, ("exit", OLD) in world.platform.requests) == (b"", 1, False)


async def test_a_refused_replace_leaves_no_orphan_to_be_taken(world_of):
    """Ada and Bob swap addresses; what is refused is tried again, and nobody's entry is lost on the way."""
    world = world_of()
    await world.enter("ada", email=OLD)
    await world.enter("bob", email=NEW)
    await world.run()
    await world.enter("ada", email=NEW)
    await world.enter("bob", email=OLD)
    await world.run(REFUSE)
    world.now_us += 8 * 86_400_000_000
    await world.run()
    assert set(world.platform.listed) == {OLD, NEW}
    await world.leave("ada", email=NEW)
    await world.run()
    assert set(world.platform.listed) == {OLD}
