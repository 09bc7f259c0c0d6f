"""Mapping files that name one list after another while people come and go, answers fail and the process dies."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from one_thread_store import OneThreadWorld, memory_folder
from several_lists import Lists
from sync_world import ACCEPT, FAIL, HOUR, TIME_OUT, TIME_OUT_AFTER, counters

from gateway.core.outcomes import Outcome
from gateway.core.run_counters import broken_sums
from gateway.store.sync_rows import RunRow
from gateway.syncs.memory import read_memory, read_target

pytestmark = pytest.mark.anyio

PEOPLE = [f"u{number}" for number in range(6)]
LISTS = ("A", "B", "C")
STEPS = 60
OPEN = {"empty_audience": "off", "max_removal_percent": "off"}


class FastLists(Lists, OneThreadWorld):
    """Several lists over the store of simulations."""


class Simulation:
    """One seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = FastLists(folder, guards=OPEN, on_target_change=self._way())
        self.members: set[str] = set()
        self.gone: set[str] = set()

    def _way(self) -> str:
        return self.chance.choice(("leave", "clear_old"))

    async def run(self) -> None:
        """Everything at random, then quiet, then look."""
        await self.world.enter("seen")
        await self.world.leave("seen")
        for _ in range(STEPS):
            await self._step()
        await self._settle_down()
        await self._check()

    async def _step(self) -> None:
        match self.chance.randrange(10):
            case 0 | 1 | 2:
                user = self.chance.choice(PEOPLE)
                self.members.add(user)
                self.gone.discard(user)  # whoever comes back is somebody else to the gateway
                await self.world.enter(user)
            case 3:
                user = self.chance.choice(PEOPLE)
                self.members.discard(user)
                await self.world.leave(user)
            case 4 if self.chance.random() < 0.3 and self.members:
                user = self.chance.choice(sorted(self.members))
                self.members.discard(user)
                await self.world.delete(user)
                self.gone.add(user)
            case 5:
                self.world.name_list(self.chance.choice(LISTS), on_target_change=self._way())
            case 6:
                await self.world.restart()
            case 7:
                await self._order()
            case _:
                await self._work_a_little()
        self.world.now_us += self.chance.randrange(HOUR)

    async def _order(self) -> None:
        sync = await self.world.sync()
        row = RunRow(
            id=0, sync=sync.id, kind="", trigger="manual", queued_us=self.world.now_us, due_us=self.world.now_us
        )
        await self.world.state.write(lambda tx: tx.add_run(row) if tx.queued_run(sync.id) is None else 0)

    async def _work_a_little(self) -> None:
        self.world.answers = lambda _operation, _payload: self._answer()
        for _ in range(self.chance.randrange(1, 6)):
            roll = self.chance.random()
            if roll < 0.55:
                await self.world.syncs.step()
            elif roll < 0.9:
                await self.world.deliver(self.chance.randrange(1, 4))
            else:
                for row in await self.world.claim(2):
                    await self.world._answer(row)
                await self.world.restart()

    def _answer(self) -> Outcome:
        return self.chance.choices((ACCEPT, FAIL, TIME_OUT, TIME_OUT_AFTER), (75, 10, 7, 8))[0]

    async def _settle_down(self) -> None:
        """Faults stop; runs pass, and old lists have the hours they need."""
        self.world.answers = None
        await self.world.restart()
        await self.world.work()
        for _ in range(3):
            self.world.now_us += 2 * HOUR
            await self.world.run()
            await self.world.work()

    async def _check(self) -> None:
        now = str(self.world.entry["external_id"])
        assert self.world.on(now) == self.members
        for one in LISTS:
            assert not self.world.on(one) & (self.gone - self.members), one
        for sync in await self.world.state.read(lambda view: view.syncs()):
            memory = read_memory(sync.memory)
            target = read_target(memory.target)
            assert not memory.moves_to
            assert not memory.moves_from
            assert not memory.clears_old, "an old list was not emptied"
            assert target is not None
            if memory.is_parked:
                records = await self.world.state.read(lambda view, sync=sync: view.listed_count(sync.id))
                if target.id != now:
                    assert records == len(self.world.on(target.id)), target.id
        for run in await self.world.runs():
            if run.status in ("succeeded", "partial", "failed", "cancelled"):
                assert broken_sums(counters(run)) == [], run


@pytest.mark.parametrize("fives", range(3))
async def test_every_list_ends_as_it_was_left(fives, tmp_path):
    """The one that is named holds who is in; those left hold what is known of them, or nobody; nobody deleted is on any."""
    for seed in range(fives * 5, fives * 5 + 5):
        with tempfile.TemporaryDirectory(dir=memory_folder(tmp_path)) as made:
            simulation = Simulation(Path(made), seed)
            try:
                await simulation.run()
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
            finally:
                await simulation.world.close()
