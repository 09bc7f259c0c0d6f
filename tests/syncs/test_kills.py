"""A run killed at any point loses nothing and repeats only what was not confirmed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from sync_world import counters

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
