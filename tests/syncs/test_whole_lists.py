"""Platforms that take whole lists: one upload a run, counted by people, never below the minimum."""

from __future__ import annotations

from itertools import pairwise

import pytest
from ordering import NAME, orders
from sync_world import DAY, FAIL, HOUR, NOON_US, REFUSE, TIME_OUT, counters, whole_lists

from gateway.core.outcomes import Deferred
from gateway.core.run_counters import broken_sums
from gateway.store.sync_rows import PRESENT
from gateway.syncs.memory import read_progress

pytestmark = pytest.mark.anyio


async def test_a_run_uploads_everybody_who_is_in(world_of):
    """One delivery carries the list; members that left are not on the next one."""
    world = world_of(**whole_lists())
    await world.enter("ada", "bob", "cyd", "dan")
    run = await world.run()
    assert run.status == "succeeded"
    assert sorted(world.platform.uploads[-1]) == [f"{one}@example.com" for one in ("ada", "bob", "cyd", "dan")]
    assert counters(run).added == 4
    await world.leave("dan")
    run = await world.run()
    assert sorted(world.platform.uploads[-1]) == [f"{one}@example.com" for one in ("ada", "bob", "cyd")]
    assert (counters(run).updated, counters(run).removed, counters(run).list_after) == (3, 1, 3)
    assert run.kind == "replace"


@pytest.mark.parametrize("people", [0, 1, 2])
async def test_below_the_minimum_nothing_is_sent(world_of, people):
    """Too few distinct people: the run is skipped, and says so."""
    world = world_of(**whole_lists(3))
    await world.enter(*(f"u{number}" for number in range(people)))
    await world.enter("twice-1", "twice-2", email="same@example.com")
    await world.leave("twice-1", "twice-2")
    run = await world.run()
    assert run.status == "skipped"
    assert run.reason.startswith("below_minimum")
    assert world.platform.uploads == []
    alerts = await world.state.read(lambda view: [one.name for one in view.alerts()])
    assert alerts == ["below_minimum"]


async def test_the_minimum_counts_people_not_rows(world_of):
    """Five rows of three people, in two spellings: three lines."""
    world = world_of(**whole_lists(4))
    await world.enter("a", "b", email="Same@example.com")
    await world.enter("c", email="same@example.com")
    await world.enter("d", "e")
    assert (await world.run()).reason.startswith("below_minimum")
    await world.enter("f")
    run = await world.run()
    assert run.status == "succeeded"
    assert len(world.platform.uploads[-1]) == 4
    assert "same@example.com" in world.platform.uploads[-1]  # the spelling of the latest event


async def test_a_member_has_a_line_for_each_address_and_leaves_with_all(world_of):
    """Ada gives two addresses; when she leaves, both lines go."""
    world = world_of(**whole_lists(1))
    await world.enter("ada", email="ada@example.com")
    await world.enter("ada", email="ada@example.org")
    await world.enter("bob")
    await world.run()
    assert sorted(world.platform.uploads[-1]) == ["ada@example.com", "ada@example.org", "bob@example.com"]
    await world.leave("ada")
    await world.run()
    assert world.platform.uploads[-1] == ["bob@example.com"]


async def test_who_gave_no_event_for_long_is_forgotten(world_of):
    """Their exits may have been missed; whoever is named again is on the next list."""
    world = world_of(**whole_lists(1), forget_after_days=10)
    await world.enter("ada", "bob")
    world.now_us += 6 * DAY
    await world.enter("bob")
    world.now_us += 5 * DAY
    await world.run()
    assert world.platform.uploads[-1] == ["bob@example.com"]
    await world.enter("ada")
    world.now_us += DAY
    await world.run()
    assert sorted(world.platform.uploads[-1]) == ["ada@example.com", "bob@example.com"]


async def test_every_day_at_three_even_without_a_change(world_of):
    """The first run comes with the first tick, then one a day; a tick in between finds the list too young."""
    world = world_of(**whole_lists(1), schedule={"daily": "03:00"})
    await world.enter("ada")
    await world.work()
    assert await world.runs() == []
    world.now_us = NOON_US + 15 * HOUR
    await world.work()
    world.now_us += 24 * HOUR + 7_000_000
    await world.work()
    assert [(run.status, run.trigger) for run in await world.runs()] == [("succeeded", "schedule")] * 2
    assert len(world.platform.uploads) == 2


async def test_a_tick_too_soon_is_skipped_and_a_run_by_hand_is_not(world_of):
    """The platform is not given a list twice within 20 hours, unless a person says so."""
    world = world_of(**whole_lists(1), schedule={"every": "12h"}, start="now")
    await world.enter("ada")
    await world.work()
    world.now_us += 12 * HOUR
    await world.work()
    assert [run.reason for run in await world.runs()] == ["", "not_due"]
    assert (await world.run()).status == "succeeded"
    assert len(world.platform.uploads) == 2


async def uploads_of(world, hours):
    """Hours between an upload by hand now and those that follow within so many hours."""
    await world.run()
    at_us = [world.now_us]
    for _ in range(4 * hours):
        count = len(world.platform.uploads)
        world.now_us += 15 * 60 * 1_000_000
        await world.work()
        at_us += [world.now_us] * (len(world.platform.uploads) - count)
    return [(later - earlier) / HOUR for earlier, later in pairwise(at_us)]


async def test_after_an_upload_by_hand_none_is_older_than_a_day(world_of):
    """At ten: the tick of three in the morning comes too soon, so the list goes out at six, and at three from then on."""
    world = world_of(**whole_lists(1), schedule={"daily": "03:00"})
    await world.enter("ada")
    await world.work()
    world.now_us += 22 * HOUR
    assert await uploads_of(world, 96) == [20, 21, 24, 24]


async def test_ticks_twice_a_day_upload_once_a_day(world_of):
    """Every other one comes too soon, and the one behind it in time."""
    world = world_of(**whole_lists(1), schedule={"every": "12h"}, start="now")
    await world.enter("ada")
    assert await uploads_of(world, 72) == [24, 24, 24]


@pytest.mark.parametrize("what", ["resumed", "edited"])
async def test_a_list_goes_out_within_a_day_of_a_pause_or_an_edit(world_of, what):
    """Where the schedule's own tick is a week away; and not at once, however old the list is."""
    weekly = {"schedule": {"weekly": {"on": "wed", "at": "11:00"}}}
    world = world_of(**whole_lists(1), **weekly)
    await world.enter("ada")
    await world.work()
    await world.run()
    await orders(world).pause(NAME)
    world.now_us += 30 * HOUR
    await world.work()
    if what == "edited":
        world.edit(schedule={"weekly": {"on": "tue", "at": "11:00"}})
    await orders(world).resume(NAME)
    await world.work()
    assert len(world.platform.uploads) == 1
    world.now_us += 24 * HOUR + 1_000_000
    await world.work()
    assert len(world.platform.uploads) == 2


async def test_a_list_that_was_taken_cannot_be_stopped_any_more(world_of):
    """Only the noting is left: it goes on, and what people gave is taken out of the copy."""
    world = world_of(**whole_lists(1))
    await world.enter("ada", "bob")
    number = (await orders(world).run(NAME))["id"]
    while b'"stage":"tell"' not in (await world.run_row(number)).progress:
        await world.syncs.step()
        await world.deliver()
        assert not (await world.run_row(number)).finished_us
    await orders(world).cancel(number)
    await world.work()
    run = await world.run_row(number)
    assert (run.status, counters(run).added, (await world.record("ada")).state) == ("succeeded", 2, PRESENT)


async def test_an_upload_that_is_stopped_half_way_says_who_stopped_it(world_of):
    """Its lane gives it back between two requests; what it says of that is no reason of the run's."""
    world = world_of(**whole_lists(1))
    await world.enter("ada")
    number = int(str((await orders(world).run(NAME))["id"]))
    while await world.syncs.step():
        pass
    sent = await world.claim()
    await orders(world).cancel(number)
    await world.settle(sent, [Deferred(wait_s=1, reason="stopped between two", status=0, concerns="delivery")])
    await world.work()
    run = await world.run_row(number)
    assert (run.status, run.reason, counters(run).cancelled) == ("cancelled", "cancelled by a person", 1)
    assert world.platform.uploads == []


async def test_an_upload_that_fails_changes_nothing_and_is_tried_again_in_its_run(world_of):
    """A 503 is repeated; a refusal ends the run failed; the next run uploads all."""
    world = world_of(**whole_lists(1))
    await world.enter("ada")
    answers = [FAIL, TIME_OUT]

    def answer(_operation, _payload):
        return answers.pop(0) if answers else REFUSE

    run = await world.run(answer)
    assert (run.status, world.platform.uploads) == ("failed", [])
    assert (await world.sync()).status == "errored"
    run = await world.run()
    assert (run.status, len(world.platform.uploads), (await world.sync()).status) == ("succeeded", 1, "active")


@pytest.mark.parametrize("steps", range(14))
async def test_a_run_survives_a_restart_anywhere(world_of, steps):
    """Killed after any number of steps, the run goes on and uploads the same list, once."""
    world = world_of(**whole_lists(1))
    await world.enter(*(f"u{number}" for number in range(50)))
    sync = await world.sync()
    from gateway.store.sync_rows import RunRow

    number = await world.state.write(
        lambda tx: tx.add_run(RunRow(id=0, sync=sync.id, kind="", trigger="manual", due_us=world.now_us))
    )
    await world.state.write(world.syncs._start_queued)
    for _ in range(steps):
        if not await world.syncs.runner.advance(number):
            await world.deliver()
    await world.restart()
    await world.work()
    run = await world.run_row(number)
    assert (run.status, len(world.platform.uploads), counters(run).added) == ("succeeded", 1, 50)


async def test_a_deleted_person_is_not_on_the_next_list(world_of):
    """And nothing of them stays behind."""
    world = world_of(**whole_lists(1))
    await world.enter("ada", "bob")
    await world.run()
    await world.delete("ada")
    await world.run()
    assert world.platform.uploads[-1] == ["bob@example.com"]
    rows = await world.state.read(lambda view: view.records((view.syncs()[0]).id))
    assert len(rows) == 1


@pytest.mark.parametrize("was_listed", [False, True])
async def test_who_is_deleted_while_the_list_goes_out_is_not_on_it_and_the_sums_hold(world_of, was_listed):
    """The plan had counted them; neither that run nor the next one is wrong by one."""
    world = world_of(**whole_lists(1))
    await world.enter("bob", *(["ada"] if was_listed else []))
    await world.run()
    await world.enter("ada", "cyd")
    number = int(str((await orders(world).run(NAME))["id"]))
    while await world.syncs.step():
        pass
    await world.delete("ada")
    await world.work()
    run, again = await world.run_row(number), await world.run()
    assert sorted(world.platform.uploads[-2]) == ["bob@example.com", "cyd@example.com"]
    for one, before in ((run, 2 if was_listed else 1), (again, 2)):
        sizes = (counters(one).list_before, counters(one).list_after)
        assert (one.status, sizes, broken_sums(counters(one))) == ("succeeded", (before, 2), [])
    assert (counters(run).cancelled, counters(again).updated) == (1, 2)


async def test_additive_keeps_who_left(world_of):
    """The uploaded list is who is in and who was listed."""
    world = world_of(**whole_lists(1), mode="additive")
    await world.enter("ada", "bob")
    await world.run()
    await world.leave("ada")
    await world.run()
    assert sorted(world.platform.uploads[-1]) == ["ada@example.com", "bob@example.com"]


async def test_missed_days_give_one_run(world_of):
    """Three days asleep: one catch-up."""
    world = world_of(**whole_lists(1), schedule={"daily": "03:00"})
    await world.enter("ada")
    await world.work()
    world.now_us += 3 * DAY
    await world.work()
    assert [(run.trigger, run.missed) for run in await world.runs()] == [("catch_up", 3)]


@pytest.mark.parametrize("stage", ["start", "refresh", "freeze", "judge", "send", "approved"])
async def test_a_run_that_is_stopped_leaves_the_list_its_size(world_of, stage):
    """Wherever it is: planned or not, by then, and let go by a person and stopped before it was planned again.

    Two members are one entry, and somebody was deleted while the list went out: it is as long as what was uploaded.
    """
    world = world_of(**whole_lists())
    await world.enter("ada", "bob", "cyd", "dan", "eve")
    await world.enter("dan-2", email="dan@example.com")
    order = orders(world)
    await order.run(NAME)
    while await world.syncs.step():
        pass
    await world.delete("eve")
    await world.work()
    assert (await world.sync()).listed == 4
    if stage == "refresh":
        world.fields["name"] = "edited"
    guards = {"max_removals": 0} if stage == "approved" else {}
    world.edit(schedule={"manual": True}, guards=guards)
    await world.leave("ada")
    number = int(str((await order.run(NAME))["id"]))
    if stage == "approved":
        await world.work()
        await order.approve(number, by="eve")
    else:
        await world.state.write(world.syncs._start_queued)
        while read_progress((await world.run_row(number)).progress).stage != stage:
            await world.syncs.runner.advance(number)
    await order.cancel(number)
    await world.work()
    run = await world.run_row(number)
    sizes = (counters(run).list_before, counters(run).list_after, (await world.sync()).listed)
    assert (run.status, sizes, broken_sums(counters(run))) == ("cancelled", (4, 4, 4), [])
