"""A platform that must not be asked twice for the same change: who is unsure waits for a person."""

from __future__ import annotations

import msgspec
import pytest
from ordering import NAME, orders
from sync_world import HOUR, TIME_OUT, WITH_UPDATES, accept, counters, whole_lists

from gateway.core.outcomes import Delivered
from gateway.core.run_counters import broken_sums

pytestmark = pytest.mark.anyio

ONCE = msgspec.structs.replace(WITH_UPDATES, idempotent=False)


@pytest.mark.parametrize("was_done", [False, True])
async def test_what_was_on_its_way_at_a_crash_is_not_asked_for_again(world_of, was_done):
    """The others of the run go on; `resolve` says what became of the two, and the next run does what is left."""
    world = world_of(capabilities=ONCE)
    await world.enter("ada", "bob", "cyd", "dan")
    sync = await world.sync()
    run = await orders(world).run(NAME)
    await world.syncs.step()
    for row in await world.claim(2):
        if was_done:
            await world._answer(row)
    await world.restart()
    await world.work()
    done = await world.run_row(int(run["id"]))
    assert (done.status, counters(done).added, counters(done).unsure) == ("partial", 2, 2)
    asked = [email for _operation, email in world.platform.requests]
    assert len(asked) == len(set(asked)) == (4 if was_done else 2)
    waiting = await world.run()
    assert counters(waiting).skipped == {"awaiting_resolve": 2}
    await orders(world).resolve(NAME, listed=was_done)
    await world.run()
    assert len(world.platform.listed) == 4
    assert len(world.platform.requests) == 4
    assert (await world.sync()).id == sync.id


async def test_what_a_lane_could_not_settle_is_not_asked_for_again(world_of):
    """Its lease ends while the engine runs: the same as after a crash. What was claimed since is left alone."""
    world = world_of(capabilities=ONCE)
    await world.enter("ada", "bob")
    run = await orders(world).run(NAME)
    await world.syncs.step()
    await world.claim(1)
    world.now_us += HOUR // 2
    going = await world.claim(1)
    world.now_us += HOUR // 2

    def housekeeping(tx):
        world.syncs.doubt_expired(tx, now_us=world.now_us)
        return tx.release_expired(now_us=world.now_us), tx.run_deliveries_claimed(lease_until_us=2**62)

    assert await world.state.write(housekeeping) == (0, [row.id for row in going])
    await world.settle(going, [Delivered()])
    await world.work()
    done = await world.run_row(int(run["id"]))
    assert (done.status, counters(done).added, counters(done).unsure) == ("partial", 1, 1)


async def test_a_replace_interrupted_at_its_first_half_goes_no_further(world_of):
    """The old entry may be gone or not: the new one is not added before a person has said."""
    world = world_of(capabilities=ONCE)
    await world.enter("ada", email="old@example.com")
    await world.run()
    await world.enter("ada", email="new@example.com")
    await orders(world).run(NAME)
    await world.syncs.step()
    assert [row.operation for row in await world.claim(5)] == ["exit"]
    await world.restart()
    await world.work()
    assert world.platform.requests == [("enter", "old@example.com")]
    await orders(world).resolve(NAME, listed=True)
    await world.run()
    assert set(world.platform.listed) == {"new@example.com"}


async def test_a_platform_that_may_be_asked_again_is(world_of):
    """The same crash, with the usual capabilities: nobody has to say anything."""
    world = world_of()
    await world.enter("ada", "bob")
    run = await orders(world).run(NAME)
    await world.syncs.step()
    await world.claim(2)
    await world.restart()
    await world.work()
    done = await world.run_row(int(run["id"]))
    assert (done.status, counters(done).added) == ("succeeded", 2)


async def test_a_whole_list_is_uploaded_again_all_the_same(world_of):
    """It says the same twice."""
    whole = whole_lists()
    world = world_of(**{**whole, "capabilities": msgspec.structs.replace(whole["capabilities"], idempotent=False)})
    await world.enter("ada", "bob", "cyd")
    run = await orders(world).run(NAME)
    await world.syncs.step()
    assert [row.operation for row in await world.claim(1)] == ["replace"]
    await world.restart()
    await world.work()
    done = await world.run_row(int(run["id"]))
    assert (done.status, counters(done).added, len(world.platform.uploads)) == ("succeeded", 3, 1)


async def test_the_unsure_are_told_as_such_after_a_time_out(world_of):
    """And are not planned again."""
    world = world_of(capabilities=ONCE)
    await world.enter("ada")
    run = await world.run(TIME_OUT)
    assert (run.status, counters(run).unsure) == ("failed", 1)
    again = await world.run()
    assert (counters(again).requests, counters(again).skipped) == (0, {"awaiting_resolve": 1})


@pytest.mark.parametrize("end", ["deleted", "left, in mirror mode", "added"])
async def test_who_is_said_not_to_be_listed_is_still_known_by_what_was_listed_before(world_of, end):
    """Ada's new address had no answer and is not on the list; her old one is, and goes when she does."""
    world = world_of(capabilities=ONCE, mode="additive")
    await world.enter("bob")
    await world.enter("ada", email="old@example.com")
    await world.run()
    await world.enter("ada", email="new@example.com")
    await world.run(TIME_OUT)
    world.platform.answer = accept
    assert await orders(world).resolve(NAME, listed=False) == {"changed": 1}
    assert (await world.sync()).listed == 2
    if end == "deleted":
        await world.delete("ada")
        await world.work()
    elif end == "added":
        assert counters(await world.run()).planned == {"add": 1}
        assert set(world.platform.listed) == {"bob@example.com", "old@example.com", "new@example.com"}
        await world.delete("ada")
        await world.work()
    else:
        world.edit(schedule={"manual": True}, guards={"empty_audience": "off"})
        await world.leave("ada")
        await world.run()
    run = (await world.runs())[-1]
    assert set(world.platform.listed) == {"bob@example.com"}
    assert (counters(run).list_before, counters(run).list_after, broken_sums(counters(run))) == (2, 1, [])
