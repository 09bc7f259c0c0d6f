"""Every guard in a real run: what holds it, what lets it pass, and that `plan` and `run` say the same."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from ordering import NAME, orders
from sync_world import DAY, HOUR, TIME_OUT, S, World, counters

from gateway.core.run_counters import broken_sums
from gateway.store.sync_rows import PRESENT, RunRow
from gateway.syncs.memory import read_progress
from gateway.syncs.names import FIRST_RUN_WAITS

pytestmark = pytest.mark.anyio

OPEN: dict[str, Any] = {"empty_audience": "off", "max_removal_percent": "off", "unmappable_percent": "off"}


def people(count: int, start: int = 0) -> list[str]:
    return [f"u{number}" for number in range(start, start + count)]


async def listed(world_of, count: int, **guards: Any) -> World:
    """A list of so many, with these guards alone in force from now on."""
    world = world_of(guards=OPEN)
    await world.enter(*people(count))
    await world.run()
    world.edit(schedule={"manual": True}, guards={**OPEN, **guards})
    return world


# guard, its value, listed, who leaves, who enters, unmappable newcomers, held
ROWS = [
    ("max_removal_percent", 30, 200, 101, 0, 0, True),
    ("max_removal_percent", 60, 200, 101, 0, 0, False),
    ("max_removal_percent", 30, 200, 100, 0, 0, False),  # at most the floor
    ("max_removals", 4, 10, 5, 0, 0, True),
    ("max_removals", 5, 10, 5, 0, 0, False),
    ("empty_audience", "hold", 3, 3, 0, 0, True),
    ("empty_audience", "warn", 3, 3, 0, 0, False),
    ("max_add_percent", 50, 10, 0, 6, 0, True),
    ("max_add_percent", 50, 10, 0, 5, 0, False),
    ("max_adds", 2, 10, 0, 3, 0, True),
    ("max_adds", {"limit": 2, "reaction": "warn"}, 10, 0, 3, 0, False),
    ("min_size", 10, 10, 1, 0, 0, True),
    ("min_size", 10, 10, 0, 0, 0, False),
    ("unmappable_percent", 50, 2, 0, 0, 3, True),
    ("unmappable_percent", 50, 3, 0, 0, 3, False),
]


@pytest.mark.parametrize(
    ("guard", "value", "count", "leaving", "entering", "unmappable", "is_held"),
    ROWS,
    ids=[f"{row[0]}-{number}" for number, row in enumerate(ROWS)],
)
async def test_a_guard_holds_beyond_its_limit(world_of, guard, value, count, leaving, entering, unmappable, is_held):
    """Held, nothing is sent; the finding names the guard; rejected, the next run is held for the same cause."""
    world = await listed(world_of, count, **{guard: value})
    await world.leave(*people(leaving))
    await world.enter(*people(entering, 1_000))
    if unmappable:
        await world.enter(*people(unmappable, 2_000), email=None)
    before, sent = set(world.platform.listed), len(world.platform.requests)
    run = await world.run()
    assert (run.status == "held") is is_held
    if is_held:
        assert (set(world.platform.listed), len(world.platform.requests)) == (before, sent)
        await orders(world).reject(run.id)
        assert (await world.run()).status == "held"


async def test_growth_is_not_looked_at_in_a_first_run(world_of):
    """The whole list is new there."""
    world = world_of(guards={**OPEN, "max_adds": 1, "max_add_percent": 1})
    await world.enter(*people(5))
    assert (await world.run()).status == "succeeded"


async def test_adding_again_who_is_listed_is_no_growth(world_of):
    """A resend of ten and a newcomer; what had no answer and is asked again; but not people who were only taken for listed."""
    world = await listed(world_of, 10, max_adds=1, max_add_percent=50)
    await world.enter("u10")
    run = await world.run(kind="resend")
    assert (run.status, counters(run).added) == ("succeeded", 11)
    world.edit(schedule={"manual": True}, guards=OPEN)
    await world.enter(*people(3, 11))
    await world.run(TIME_OUT)
    world.edit(schedule={"manual": True}, guards={**OPEN, "max_adds": 1})
    assert counters(await world.run()).added == 3
    tracking = world_of(mode="subtractive", guards={**OPEN, "max_adds": 1})
    await tracking.enter(*people(3))
    await tracking.run()
    tracking.edit(schedule={"manual": True}, guards={**OPEN, "max_adds": 1})
    assert (await tracking.run()).status == "held"


FIRST: dict[str, Any] = {"first_run_approval": True, "guards": OPEN}


async def test_an_approved_first_run_is_the_one_that_was_shown(world_of):
    """By then 300 more are in: a person has to look again; after that it goes out, and the next run asks nobody."""
    world = world_of(**FIRST)
    await world.enter("ada")
    run = await world.run()
    assert (run.status, run.reason) == ("held", FIRST_RUN_WAITS)
    await world.enter(*people(300))
    await orders(world).approve(run.id, by="eve")
    await world.work()
    assert ((await world.run_row(run.id)).status, world.platform.requests) == ("held", [])
    await world.enter("bob")
    await orders(world).approve(run.id, by="eve")
    await world.work()
    assert ((await world.run_row(run.id)).status, len(world.platform.listed)) == ("succeeded", 302)
    await world.enter("cyd")
    assert (await world.run()).status == "succeeded"


async def test_emptying_a_list_is_no_first_run(world_of):
    """It asks nobody, as a person has ordered it, and the run behind it waits for one all the same."""
    world = world_of(schedule={"manual": True}, **FIRST)
    await world.enter("ada")
    cleared = int(str((await orders(world).clear(NAME))["id"]))
    await world.work()
    assert (await world.run_row(cleared)).status == "succeeded"
    run = await world.run()
    assert (run.status, run.kind, world.platform.requests) == ("held", "initial", [])


async def test_nothing_goes_out_beside_a_first_run_that_waits(world_of):
    """Of a sync that follows events, too; only deletions do, and take nobody else with them. Approved, it follows."""
    schedule = {"continuous": {"max_delay": "30s", "reconcile": {"daily": "03:00"}}}
    world = world_of(schedule=schedule, **FIRST)
    await world.enter("ada")
    await world.work()
    (run,) = await world.runs()
    assert run.status == "held"
    await world.enter("bob")
    await world.delete("ada")
    world.now_us += 60 * S
    await world.work()
    assert (world.platform.requests, len(await world.runs())) == ([], 1)
    await orders(world).approve(run.id, by="eve")
    await world.work()
    assert set(world.platform.listed) == {"bob@example.com"}
    await world.enter("cyd")
    world.now_us += 60 * S
    await world.work()
    assert set(world.platform.listed) == {"bob@example.com", "cyd@example.com"}


async def test_a_deletion_beside_a_first_run_that_waits_takes_nobody_else_with_it(world_of):
    """A new list: whoever is erased from the one before is taken off it, and nobody is added."""
    world = world_of(schedule={"manual": True}, guards=OPEN)
    await world.enter("ada", "bob")
    await world.run()
    world.edit(schedule={"continuous": {"max_delay": "30s", "reconcile": {"daily": "03:00"}}}, **FIRST)
    await orders(world).reset(NAME)
    await world.enter("cyd")
    run = await world.run()
    assert run.status == "held"
    sync = await world.sync()
    (known,) = [row for row in await world.state.read(lambda view: view.records(sync.id)) if b"bob" in row.payload]
    await world.state.write(lambda tx: tx.put_records(sync.id, [replace(known, state=PRESENT, sent=known.payload,
                            sent_fingerprint=known.fingerprint, sent_entry=known.entry)]))  # fmt: skip
    count = len(world.platform.requests)
    await world.delete("bob")
    world.now_us += 60 * S
    await world.work()
    assert world.platform.requests[count:] == [("exit", "bob@example.com")]


async def test_a_source_that_fell_silent_takes_nobody_off(world_of):
    """Three days without an event of the audience: a removal waits for a person, an addition does not."""
    world = await listed(world_of, 3, stale_source_after="2d")
    await world.leave("u0")
    world.now_us += 3 * DAY
    run = await world.run()
    assert run.status == "held"
    assert "silent" in run.reason
    await orders(world).reject(run.id)
    await world.enter("u9")
    run = await world.run()
    assert (run.status, counters(run).planned) == ("succeeded", {"add": 1, "remove": 1})


async def test_silence_alone_holds_nothing(world_of):
    """Where nobody would be removed."""
    world = await listed(world_of, 3, stale_source_after="2d")
    await world.enter("u9")
    world.now_us += 3 * DAY
    assert (await world.run()).status == "succeeded"


async def test_an_erasure_and_an_unknown_exit_are_outside_every_guard(world_of):
    """They are not counted among the removals."""
    world = await listed(world_of, 3, max_removals=0)
    await world.leave("stranger")
    run = await world.run()
    assert (run.status, counters(run).removed) == ("succeeded", 1)
    await world.delete("u0")
    await world.work()
    assert len(world.platform.listed) == 2


async def test_who_held_it_may_be_approved_and_another_guard_may_not(world_of):
    """An approval covers what was shown: within a tenth or a hundred of each count, and no other guard."""
    world = await listed(world_of, 20, max_removals=4, min_size=6)
    await world.leave(*people(5))
    run = await world.run()
    await world.leave(*people(8))
    await orders(world).approve(run.id, by="eve")
    await world.work()
    assert (await world.run_row(run.id)).status == "succeeded"
    await world.leave(*people(5, 8))
    run = await world.run()
    assert run.status == "held"
    await world.leave("u13", "u14")
    await orders(world).approve(run.id, by="eve")
    await world.work()
    assert (await world.run_row(run.id)).status == "held"


async def test_rejected_it_is_held_again_at_the_next_tick_and_told_once(world_of):
    """While the cause lasts there is one alert."""
    world = world_of(schedule={"every": "1h"}, start="schedule", guards={**OPEN, "max_removals": 1})
    await world.enter(*people(4))
    await world.work()
    world.now_us += HOUR
    await world.work()
    await world.leave(*people(3))
    world.now_us += HOUR
    await world.work()
    first = (await world.runs())[-1]
    assert first.status == "held"
    await orders(world).reject(first.id)
    world.now_us += HOUR
    await world.work()
    again = (await world.runs())[-1]
    assert (again.status, again.id != first.id) == ("held", True)
    alerts = await world.state.read(lambda view: [one for one in view.alerts() if one.name == "held"])
    assert len(alerts) == 1


async def test_the_plan_holds_as_the_run_would(world_of):
    """`stale_source_after` included."""
    world = await listed(world_of, 3, stale_source_after="2d")
    await world.leave("u0")
    world.now_us += 3 * DAY
    plan = await orders(world).plan(NAME)
    assert plan["held"] is True


async def in_the_middle_of_shelving(world):
    """A run of 2,500 removals that a guard has stopped, after the first piece of its plan was taken out; its number."""
    await world.enter(*people(2_500))
    await world.run()
    await world.leave(*people(2_500))
    sync = await world.sync()
    row = RunRow(id=0, sync=sync.id, kind="", trigger="manual", queued_us=world.now_us, status="planning")
    run = await world.state.write(lambda tx: tx.add_run(row))
    while read_progress((await world.run_row(run)).progress).stage != "shelve":
        assert await world.syncs.runner.advance(run)
    assert await world.syncs.runner.advance(run)
    assert await planned_left(world, run) == (1_500, 0)
    return run


async def planned_left(world, run):
    return await world.state.read(lambda view: view.planned_left(run))


async def test_a_large_plan_that_is_held_is_taken_out_a_piece_at_a_time(world_of):
    """So that events are recorded in between; the gateway may die there, too. Then the run is held, and nothing of it is left."""
    world = world_of()
    run = await in_the_middle_of_shelving(world)
    await world.restart()
    await world.work()
    assert ((await world.run_row(run)).status, await planned_left(world, run)) == ("held", (0, 0))
    assert len(world.platform.listed) == 2_500


async def test_a_run_that_is_stopped_while_its_plan_is_taken_out_ends_cancelled(world_of):
    """It is not held any more, and its sums are those of a held run that was cancelled."""
    world = world_of()
    run = await in_the_middle_of_shelving(world)
    await orders(world).cancel(run)
    await world.work()
    ended = await world.run_row(run)
    assert (ended.status, counters(ended).cancelled, broken_sums(counters(ended))) == ("cancelled", 2_500, [])
    assert await planned_left(world, run) == (0, 0)
