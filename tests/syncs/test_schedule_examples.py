"""The numbered examples of schedules, on the scheduler itself with a clock set by hand: an hourly sync, on the hour."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ordering import NAME, orders
from rulebooks import audience_body
from sync_world import NOON_US, S, World

pytestmark = pytest.mark.anyio

DAY_US = NOON_US - 12 * 3_600 * S


def at(clock: str) -> int:
    """Of that day."""
    hours, minutes = clock.split(":")
    return DAY_US + (int(hours) * 60 + int(minutes)) * 60 * S


def clock_of(moment_us: int) -> str:
    return datetime.fromtimestamp(moment_us / S, UTC).strftime("%H:%M")


async def hourly(world_of, *, since: str, **block) -> World:
    """A sync that has nothing to do but what the test gives it, looked at since then."""
    world = world_of(schedule={"every": "1h"}, start="schedule", **block)
    world.now_us = at(since) - S
    await world.enter("ada")
    await world.work()
    return world


async def pass_to(world: World, clock: str) -> None:
    """The scheduler looks at every minute until then; the platform does not answer."""
    while world.now_us < at(clock):
        world.now_us += 60 * S
        while await world.syncs.step():
            pass


async def shown(world: World) -> list[tuple[str, str, str, int, int]]:
    """Of every run: its tick, when it started, how it ended, missed, coalesced."""
    return [
        (clock_of(run.scheduled_us), clock_of(run.started_us), run.status, run.missed, run.coalesced)
        for run in await world.runs()
    ]


OVERLAPS = [
    ("T1", "11:20", "queue", [("11:00", "11:20", "succeeded", 0, 0)], "12:00"),
    ("T2", "13:40", "queue", [("11:00", "13:40", "succeeded", 0, 2)], "14:00"),
    (
        "T5", "13:40", "skip",
        [(tick, tick, "skipped", 0, 0) for tick in ("11:00", "12:00", "13:00")], "14:00",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("number", "end", "overlap", "others", "then"), OVERLAPS, ids=[row[0] for row in OVERLAPS])
async def test_ticks_while_a_run_lasts(world_of, number, end, overlap, others, then):
    """From ten o'clock on; what starts when it ends, and when the next tick is."""
    world = await hourly(world_of, since="09:30", overlap=overlap)
    await pass_to(world, "10:00")
    await pass_to(world, end)
    await world.work()
    assert await shown(world) == [("10:00", "10:00", "succeeded", 0, 0), *others]
    assert clock_of((await world.sync()).next_us) == then
    await pass_to(world, then)
    await world.work()
    assert (await shown(world))[-1] == (then, then, "succeeded", 0, 0)


async def test_t3_a_stop_is_caught_up_by_one_run(world_of):
    """The process is down from 03:10 to 12:30: nine ticks are missed, one run makes up for them at once."""
    world = await hourly(world_of, since="02:30")
    await pass_to(world, "03:00")
    await world.work()
    world.now_us = at("03:10")
    await world.work()
    world.now_us = at("12:30")
    await world.restart()
    await world.work()
    assert await shown(world) == [
        ("03:00", "03:00", "succeeded", 0, 0),
        ("04:00", "12:30", "succeeded", 9, 0),
    ]
    assert [run.trigger for run in await world.runs()] == ["schedule", "catch_up"]
    assert clock_of((await world.sync()).next_us) == "13:00"


async def test_t4_a_pause_misses_nothing(world_of):
    """Paused from 03:10 to 12:30: the next tick is that of 13:00, and its diff covers everything since."""
    world = await hourly(world_of, since="02:30")
    await pass_to(world, "03:00")
    await world.work()
    world.now_us = at("03:10")
    await orders(world).pause(NAME)
    await world.enter("bob")
    await world.leave("ada")
    await pass_to(world, "12:30")
    await orders(world).resume(NAME)
    await world.work()
    assert len(await world.runs()) == 1
    assert clock_of((await world.sync()).next_us) == "13:00"
    await pass_to(world, "13:00")
    await world.work()
    assert (await shown(world))[-1] == ("13:00", "13:00", "succeeded", 0, 0)
    assert set(world.platform.listed) == {"bob@example.com"}


async def test_catch_ups_of_several_syncs_are_spread_over_a_minute(world_of):
    """The sync whose tick was missed first comes first; the others follow, evenly."""
    world = world_of(schedule={"every": "1h"}, start="schedule")
    world.now_us = at("02:30")
    for key in ("one", "two", "three", "four"):
        await world.send(audience_body("ada", key=key))
    await world.work()
    world.now_us = at("12:30")
    await world.work()
    waits = []
    for _ in range(60):
        waits += [run.sync for run in await world.runs() if run.finished_us and run.sync not in waits]
        world.now_us += S
        await world.work()
    started = {run.sync: (run.started_us - at("12:30")) // S for run in await world.runs()}
    assert sorted(started.values()) == [0, 15, 30, 45]
    assert [run.missed for run in await world.runs()] == [10] * 4
    assert waits == sorted(started, key=started.__getitem__)
