"""A run killed at any point loses nothing and repeats only what was not confirmed."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from one_thread_store import KilledError, OneThreadState, OneThreadWorld, memory_folder
from sync_world import World, counters

from gateway.store.sync_rows import RunRow

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("tens", range(5))
async def test_killed_anywhere_a_run_ends_as_it_would_have(world_of, tens):
    """Twenty points each: after a step, a claim, an answer of the platform that nobody heard, or a settlement."""
    for point in range(tens * 20, tens * 20 + 20):
        chance = random.Random(point)
        world = world_of()
        stay, leave, move = ([f"{kind}{number}" for number in range(6)] for kind in ("stay", "leave", "move"))
        await world.enter(*stay, *leave, *move)
        await world.run()
        await world.leave(*leave)
        for user in move:
            await world.enter(user, email=f"{user}@example.org")
        await world.enter(*(f"new{number}" for number in range(6)))
        sync = await world.sync()
        before = len(world.platform.requests)
        number = await world.state.write(
            lambda tx, sync=sync: tx.add_run(RunRow(id=0, sync=sync.id, kind="", trigger="manual", due_us=0))
        )
        unheard = 0
        for _ in range(chance.randrange(14)):
            if chance.random() < 0.5:
                await world.syncs.step()
            else:
                await world.deliver(chance.randrange(1, 6))
        if chance.random() < 0.6:
            rows = await world.claim(chance.randrange(1, 6))
            unheard = len(rows)
            for row in rows:
                await world._answer(row)
        await world.restart()
        await world.work()
        run = await world.run_row(number)
        expected = {f"{user}@example.com" for user in stay} | {f"{user}@example.org" for user in move}
        expected |= {f"new{number}@example.com" for number in range(6)}
        assert (set(world.platform.listed), run.status) == (expected, "succeeded"), point
        assert (counters(run).added, counters(run).removed, counters(run).updated) == (6, 6, 6)
        repeated = sum(count - 1 for count in Counter(world.platform.requests[before:]).values())
        assert repeated == unheard, point


@pytest.mark.parametrize("dies_at", ["before", "behind"])
async def test_a_death_around_any_commit_loses_nothing_and_repeats_only_what_was_unconfirmed(tmp_path, dies_at):
    """Sixty points each: the n-th commit of a run is not kept, or kept and nobody hears of it."""
    for commits in range(60):
        with tempfile.TemporaryDirectory(dir=memory_folder(tmp_path)) as folder:
            world = OneThreadWorld(Path(folder), schedule={"manual": True}, guards={"empty_audience": "off"})
            await _run_through_a_death(world, dies_at, commits)
            await world.close()


async def _run_through_a_death(world: World, dies_at, commits):
    await world.enter("stay", "leave1", "leave2", "move")
    await world.run()
    await world.leave("leave1", "leave2")
    await world.enter("move", email="moved@example.org")
    await world.enter("new1", "new2")
    sync = await world.sync()
    number = await world.state.write(
        lambda tx: tx.add_run(RunRow(id=0, sync=sync.id, kind="", trigger="manual", due_us=0))
    )
    before = len(world.platform.requests)
    assert isinstance(world.state, OneThreadState)
    world.state.dies_at, world.state.commits_left = dies_at, commits
    confirmed = Counter()
    has_died = False
    while not (await world.run_row(number)).finished_us:
        try:
            await world.syncs.step()
            while rows := await world.claim(2):
                outcomes = [await world._answer(row) for row in rows]
                await world.settle(rows, outcomes)
                confirmed.update((row.operation, row.member) for row in rows)
        except KilledError:
            assert not has_died
            has_died = True
            await world.restart()
    run = await world.run_row(number)
    assert (run.status, counters(run).added, counters(run).removed, counters(run).updated) == ("succeeded", 2, 2, 1)
    expected = {"stay@example.com", "moved@example.org", "new1@example.com", "new2@example.com"}
    assert set(world.platform.listed) == expected, commits
    repeated = sum(count - 1 for count in Counter(world.platform.requests[before:]).values())
    assert repeated <= (2 if has_died else 0), commits
    assert max(confirmed.values()) == 1, "what was confirmed is not sent again"
