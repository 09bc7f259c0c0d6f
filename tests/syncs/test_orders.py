"""What a person may order: guards that hold and approvals, stop, pause, delete, retry, and the plan that sends nothing."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from rulebooks import audience_body
from sync_world import ACCEPT, DAY, FAIL, HOUR, REFUSE, TIME_OUT, World, counters, whole_lists

from gateway.core.errors import OrderError
from gateway.destinations.taboola.perform import TABOOLA
from gateway.syncs.operations import SyncOrders

pytestmark = pytest.mark.anyio

NAME = "lister/all/vip"
GUARDS: dict[str, Any] = {"guards": {}}


def orders(world: World) -> SyncOrders:
    return SyncOrders(
        state=world.state, syncs=world.syncs, rulebook=lambda: world.rules, clock=lambda: world.now_us,
        registry={"lister": TABOOLA, "whole": TABOOLA}, reference_key=b"k" * 32,
    )  # fmt: skip


def people(count: int, start: int = 0) -> list[str]:
    return [f"u{number}" for number in range(start, start + count)]


async def test_a_mass_removal_is_held_and_sent_when_approved(world_of):
    """Rows 38 and 39: 350 of 1,000; by the time of the approval, 352."""
    world = world_of(**GUARDS)
    await world.enter(*people(1_000))
    await world.run()
    await world.leave(*people(350))
    requests = len(world.platform.requests)
    run = await world.run()
    assert (run.status, len(world.platform.requests)) == ("held", requests)
    assert (await world.state.read(lambda view: view.alerts()))[0].name == "held"
    await world.leave("u400", "u401")
    await orders(world).approve(run.id, by="ada")
    await world.work()
    run = await world.run_row(run.id)
    assert (run.status, counters(run).removed, run.approved_by) == ("succeeded", 352, "ada")
    assert len(world.platform.listed) == 648
    assert await world.state.read(lambda view: view.alerts()) == []


async def test_an_approval_does_not_cover_other_numbers(world_of):
    """Approved at 350, 600 by then: held again."""
    world = world_of(**GUARDS)
    await world.enter(*people(1_000))
    await world.run()
    await world.leave(*people(350))
    run = await world.run()
    await world.leave(*people(250, 350))
    await orders(world).approve(run.id, by="ada")
    await world.work()
    assert (await world.run_row(run.id)).status == "held"
    await orders(world).reject(run.id)
    assert (await world.run_row(run.id)).status == "cancelled"
    assert len(world.platform.listed) == 1_000


async def test_small_removals_pass_and_an_empty_audience_does_not(world_of):
    """Rows 40 and 41."""
    world = world_of(**GUARDS)
    await world.enter(*people(50))
    await world.run()
    await world.leave(*people(40))
    assert counters(await world.run()).removed == 40
    await world.leave(*people(10, 40))
    assert (await world.run()).status == "held"
    assert len(world.platform.listed) == 10


async def test_an_approved_run_does_not_say_any_more_why_it_was_held(world_of):
    """Neither while it sends nor when it has ended; held again, it says it again."""
    world = world_of(first_run_approval=True)
    await world.enter("ada")
    held = await world.run()
    assert (held.status, held.reason) == ("held", "The first run waits for a person.")
    order = orders(world)
    await order.approve(held.id, by="op")
    while await world.syncs.step():
        pass
    sending = await order.show_run(held.id)
    assert (sending["status"], sending["reason"], sending["approved_by"]) == ("sending", "", "op")
    await world.work()
    assert (await order.show_run(held.id))["reason"] == ""


async def test_a_stopped_run_is_planned_again(world_of):
    """Row 49: 300 of 500 are through; the next run plans 200."""
    world = world_of()
    await world.enter(*people(500))
    order = orders(world)
    started = await order.run(NAME)
    world.platform.answer = lambda _operation, _payload: ACCEPT
    while await world.syncs.step():
        pass
    for _ in range(3):
        await world.deliver(100)
    await order.cancel(int(str(started["id"])))
    await world.work()
    run = await world.run_row(int(str(started["id"])))
    assert (run.status, counters(run).added, counters(run).cancelled) == ("cancelled", 300, 200)
    assert counters(await world.run()).planned == {"add": 200}


async def test_a_stopped_run_leaves_its_lane_before_the_rest_of_its_plan_is_taken_out(world_of, monkeypatch):
    """100 of 500 are released, and are gone with the first piece: the lane has nothing to claim and give back meanwhile."""
    monkeypatch.setattr("gateway.syncs.sending.RELEASED_MAX", 100)
    world = world_of()
    await world.enter(*people(500))
    run = int(str((await orders(world).run(NAME))["id"]))
    while await world.syncs.step():
        pass
    await orders(world).cancel(run)
    assert await world.syncs.runner.advance(run)
    assert await world.claim() == []
    await world.work()
    ended = await world.run_row(run)
    assert (ended.status, counters(ended).cancelled) == ("cancelled", 500)


async def test_a_paused_sync_runs_by_hand_only_when_told_to(world_of):
    """No ticks, no runs by hand; afterwards the diff covers everything."""
    world = world_of(schedule={"every": "1h"}, start="schedule")
    await world.enter("ada")
    await world.work()
    order = orders(world)
    await order.pause(NAME)
    world.now_us += 9 * HOUR
    await world.work()
    assert await world.runs() == []
    with pytest.raises(OrderError, match="paused"):
        await order.run(NAME)
    await order.resume(NAME)
    await world.work()
    assert await world.runs() == []
    world.now_us += HOUR
    await world.work()
    assert [(run.trigger, run.missed, counters(run).added) for run in await world.runs()] == [("schedule", 0, 1)]


async def test_a_sync_is_deleted_and_brought_back(world_of):
    """Its members stay on the list; undeleted, it knows them still."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    order = orders(world)
    await order.delete(NAME)
    with pytest.raises(OrderError, match="deleted"):
        await order.run(NAME)
    await world.enter("bob")
    await order.undelete(NAME)
    run = await world.run()
    assert (counters(run).added, counters(run).unchanged) == (1, 1)


async def test_deleting_with_clear_empties_the_list_first(world_of):
    """Everybody goes, then the sync."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    await orders(world).delete(NAME, clear=True)
    await world.work()
    assert (world.platform.listed, (await world.sync()).status) == ({}, "deleted")


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("end", ["failed", "cancelled", "cancelled before it began"])
async def test_a_deletion_whose_clear_does_not_get_through_is_off(world_of, end, paused):
    """The sync goes on as before, with its ticks; a paused one is paused."""
    world = world_of(schedule={"every": "1h"})
    await world.enter("ada")
    await world.work()
    order = orders(world)
    if paused:
        await order.pause(NAME)
    run = int(str((await order.delete(NAME, clear=True))["id"]))
    world.platform.answer = lambda _operation, _payload: FAIL
    if end == "cancelled":
        await world.syncs.step()
    if end != "failed":
        await order.cancel(run)
    await world.work()
    assert (await world.run_row(run)).status == end.partition(" ")[0]
    sync = await world.sync()
    assert sync.status == ("paused" if paused else "errored" if end == "failed" else "active")
    world.platform.answer = lambda _operation, _payload: ACCEPT
    await world.enter("bob")
    world.now_us += HOUR
    await world.work()
    assert ("bob@example.com" in world.platform.listed) is not paused
    await order.delete(NAME, clear=True)
    await world.work()
    assert (world.platform.listed, (await world.sync()).status) == ({}, "deleted")


async def test_retry_lifts_quarantine_and_resolve_settles_the_unsure(world_of):
    """By hand, at once."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run(lambda _operation, payload: REFUSE if payload["email"].startswith("ada") else TIME_OUT)
    order = orders(world)
    assert await order.retry(NAME) == {"changed": 2}
    assert await order.resolve(NAME, listed=True) == {"changed": 1}
    run = await world.run()
    assert (counters(run).added, counters(run).unchanged) == (1, 1)


async def test_reset_adds_everybody_anew(world_of):
    """What the platform holds is forgotten."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    await world.leave("bob")
    assert await orders(world).reset(NAME) == {"changed": 2}
    run = await world.run()
    assert (run.kind, counters(run).added, counters(run).removed) == ("initial", 1, 0)


async def test_a_plan_counts_and_sends_nothing(world_of):
    """And the run behind it sends what was planned."""
    world = world_of(**GUARDS)
    await world.enter(*people(20))
    await world.run()
    await world.leave("u1")
    await world.enter("new", "u2", ltv=5)
    shown = await orders(world).plan(NAME)
    assert shown["planned"] == {"remove": 1, "update": 1, "add": 1}
    assert (shown["unchanged"], shown["list_before"], shown["list_after"]) == (18, 20, 20)
    assert "example.com" not in str(shown)
    assert len(world.platform.requests) == 20
    run = await world.run()
    assert counters(run).planned == shown["planned"]


async def test_a_plan_of_a_whole_list(world_of):
    """Counted without freezing anything."""
    world = world_of(**whole_lists(3))
    await world.enter(*people(4))
    shown = await orders(world).plan(NAME)
    assert (shown["planned"], shown["below_minimum"], shown["list_before"]) == ({"add": 4}, False, 0)
    await world.run()
    await world.leave("u0", "u1")
    shown = await orders(world).plan(NAME)
    assert (shown["planned"], shown["below_minimum"]) == ({"update": 2, "remove": 2}, True)


async def test_what_is_unknown_is_said(world_of):
    """With what is known."""
    world = world_of()
    await world.enter("ada")
    with pytest.raises(OrderError, match=NAME):
        await orders(world).show_sync("nonsense")
    shown = await orders(world).show_sync(NAME)
    assert (shown["members_in"], shown["status"]) == (1, "active")


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [("queue", [("succeeded", 0), ("succeeded", 2)]), ("skip", [("succeeded", 0), *[("skipped", 0)] * 3])],
)
async def test_ticks_during_a_run(world_of, overlap, expected):
    """T2 and T5: a run from 10:00 to 13:40."""
    world = world_of(schedule={"every": "1h"}, start="schedule", overlap=overlap)
    await world.enter("ada")
    await world.work()
    world.now_us += HOUR
    while await world.syncs.step():
        pass
    for _ in range(3):
        world.now_us += HOUR
        await world.syncs.step()
    world.now_us += HOUR * 2 // 3
    await world.work()
    assert [(run.status, run.coalesced) for run in await world.runs()] == expected


async def test_a_stop_of_nine_hours_is_caught_up_once(world_of):
    """T3."""
    world = world_of(schedule={"every": "1h"}, start="schedule")
    await world.enter("ada")
    await world.work()
    world.now_us += 9 * HOUR + HOUR // 2
    await world.work()
    assert [(run.trigger, run.missed) for run in await world.runs()] == [("catch_up", 9)]
    assert (await world.sync()).next_us % HOUR == 0
    assert (await world.sync()).next_us - world.now_us <= HOUR


async def test_a_first_run_may_wait_for_a_person(world_of):
    """`first_run_approval`."""
    world = world_of(first_run_approval=True)
    await world.enter("ada")
    run = await world.run()
    assert run.status == "held"
    await orders(world).approve(run.id, by="ada")
    await world.work()
    assert (await world.run_row(run.id)).status == "succeeded"
    world.now_us += DAY
    await world.enter("bob")
    assert (await world.run()).status == "succeeded"


@pytest.mark.parametrize("way", ["cancelled", "paused at once", "its entry taken out"])
async def test_a_run_that_is_stopped_leaves_the_run_behind_it_its_turn(world_of, way):
    """Ada is in two audiences of one file: what is owed to the second list waits until the first is served, or will not be."""
    world = world_of(schedule={"manual": True})
    for key in ("vip", "buyers"):
        await world.send(audience_body("ada", key=key), audience_body("bob", key=key))
    order = orders(world)
    first, second = [int(str((await order.run(f"lister/all/{key}"))["id"])) for key in ("vip", "buyers")]
    while await world.syncs.step():
        pass
    sent = await world.claim(1)
    assert [row.run for row in sent] == [first]
    if way == "cancelled":
        await order.cancel(first)
    elif way == "paused at once":
        await order.pause(NAME, now=True)
    else:
        (file,) = world.rules.destinations
        only = replace(file.mappings[0], audiences={"buyers": {}})
        world.rules = replace(world.rules, destinations=(replace(file, mappings=(only,)),))
    while await world.syncs.step():
        pass
    await world.settle(sent, [ACCEPT])
    await world.work()
    ended = [(run.status, counters(run).added) for run in [await world.run_row(one) for one in (first, second)]]
    assert ended == [("cancelled", 1), ("succeeded", 2)]
