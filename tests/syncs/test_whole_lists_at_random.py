"""Whole lists while people come, go and are deleted, uploads fail, runs are stopped and the process dies."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from one_thread_store import OneThreadWorld, memory_folder
from ordering import NAME, orders
from sync_world import ACCEPT, FAIL, HOUR, REFUSE, TIME_OUT, TIME_OUT_AFTER, accept, counters, whole_lists

from gateway.core.errors import OrderError
from gateway.core.outcomes import Outcome
from gateway.core.run_counters import broken_sums
from gateway.store.rows import DeliveryRow
from gateway.store.sync_rows import ABSENT, PRESENT
from gateway.syncs.memory import read_progress
from gateway.syncs.snapshots import read_part

pytestmark = pytest.mark.anyio

PEOPLE = [f"u{number}" for number in range(6)]
MODES = ("mirror", "additive")
STEPS = 50


class Uploads(OneThreadWorld):
    """A platform that may take a list and lose its answer."""

    async def _answer(self, row: DeliveryRow) -> Outcome:
        outcome = await super()._answer(row)
        if outcome == TIME_OUT_AFTER:
            snapshot = await self.syncs.snapshot(row.run)
            assert snapshot is not None
            self.platform.uploads.append([str(payload["email"]) for _, payload in snapshot.rows()])
        return outcome


class Simulation:
    """One seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.block: dict[str, Any] = {
            "mode": self.chance.choice(MODES),
            "schedule": self.chance.choice(({"daily": "03:00"}, {"every": "6h"}, {"manual": True})),
            "guards": {"empty_audience": "off", "max_removal_percent": "off", "unmappable_percent": "off"},
        }
        self.world = Uploads(folder, **whole_lists(1), **self.block)
        self.lines: dict[str, set[str]] = {}
        self.had: dict[str, set[str]] = {}
        self.erased: set[str] = set()
        self.has_deleted = False

    async def run(self) -> None:
        """Everything at random, then quiet, then look."""
        await self.world.enter("seen")
        await self.world.leave("seen")
        self.world.platform.answer = lambda _operation, _payload: self._answer()
        for _ in range(STEPS):
            with suppress(OrderError):
                await self._step()
        await self._settle_down()
        await self._check()

    async def _step(self) -> None:
        user, world = self.chance.choice(PEOPLE), self.world
        match self.chance.randrange(12):
            case 0 | 1 | 2:
                # Two people may have one address, in two spellings.
                email = self.chance.choice(
                    (f"{user}@example.com", f"{user}@example.org", "both@example.com", "BOTH@example.com")
                )
                self.lines.setdefault(user, set()).add(email.lower())
                self.had.setdefault(user, set()).add(email.lower())
                await world.enter(user, email=email)
            case 3:
                self.lines.pop(user, None)
                await world.leave(user)
            case 4 if self.chance.random() < 0.4:
                self.erased |= self.lines.pop(user, set())
                self.had.pop(user, None)
                self.has_deleted = True
                await world.delete(user)
            case 5:
                self.block["mode"] = self.chance.choice(MODES)
                world.edit(**self.block)
            case 6:
                await world.restart()
            case 7:
                await orders(world).run(NAME, while_paused=True)
            case 8:
                open_runs = await world.state.read(lambda view: view.open_runs())
                if open_runs:
                    await orders(world).cancel(open_runs[-1].id)
            case 9:
                await self.chance.choice((orders(world).pause, orders(world).resume))(NAME)
            case _:
                await self._work_a_little()
        world.now_us += self.chance.randrange(4 * HOUR)

    async def _work_a_little(self) -> None:
        for _ in range(self.chance.randrange(1, 6)):
            roll = self.chance.random()
            if roll < 0.6:
                open_runs = await self.world.state.read(lambda view: view.open_runs())
                going = [run for run in open_runs if run.status in ("planning", "sending")]
                if going and self.chance.random() < 0.7:
                    await self.world.syncs.runner.advance(going[0].id)  # one step, so that the others come between
                else:
                    await self.world.syncs.step()
            elif roll < 0.9:
                await self.world.deliver(1)
            else:
                for row in await self.world.claim(1):
                    await self.world._answer(row)
                await self.world.restart()

    def _answer(self) -> Outcome:
        return self.chance.choices((ACCEPT, REFUSE, FAIL, TIME_OUT, TIME_OUT_AFTER), (70, 5, 10, 7, 8))[0]

    async def _settle_down(self) -> None:
        """Faults stop, and two runs pass."""
        self.world.platform.answer = accept
        await self.world.restart()
        await orders(self.world).resume(NAME)
        await self.world.work()
        for _ in range(2):
            self.world.now_us += HOUR
            await orders(self.world).run(NAME)
            await self.world.work()

    async def _check_lines(self) -> None:
        """Each run that was taken has told of everybody whom it put on the list or dropped, once.

        Who was deleted between the plan and the answer has left the list since it was counted.
        """
        for run in await self.world.runs():
            if read_progress(run.progress).outcome != "accepted":
                continue
            rows = await self.world.state.read(lambda view, run=run: view.row_results(run=run.id))
            told = Counter(row.operation for row in rows if row.status == "accepted")
            found = counters(run)
            lacking = (found.added - told["add"], found.removed - told["remove"] - told["erase"])
            assert lacking == (0, 0) or self.has_deleted, (run.id, lacking)

    async def _check(self) -> None:
        await self._check_lines()
        wanted: set[str] = set().union(*self.lines.values())
        sync = await self.world.sync()
        uploads = self.world.platform.uploads
        listed = {email.lower() for email in uploads[-1]} if uploads else set()
        assert all(len(one) == len({email.lower() for email in one}) for one in uploads), "somebody is on a list twice"
        if wanted:
            assert wanted <= listed
            assert self.block["mode"] == "additive" or listed == wanted
            # An additive list keeps who left; they may have had the address of somebody who was deleted.
            assert not listed & (self.erased - set().union(*self.had.values()))
            records = await self.world.state.read(lambda view: view.records(sync.id))
            present = {bytes(row.entry) for row in records if row.state == PRESENT}
            assert (len(present), sync.listed) == (len(listed), len(listed))
            assert {row.state for row in records} <= {ABSENT, PRESENT}
            await self._check_snapshot(sync.last_run, records)
        for run in await self.world.runs():
            assert run.finished_us, run
            if run.status in ("succeeded", "partial", "failed", "cancelled") and run.counters:
                assert broken_sums(counters(run)) == [], run

    async def _check_snapshot(self, run: int, records: list[Any]) -> None:
        parts = await self.world.state.read(lambda view: view.snapshot_parts(run))
        kept = {entry[:3] for _members, body in parts for entry in read_part(body) if entry.state != ABSENT}
        assert kept == {(row.member, row.line, row.state) for row in records if row.state != ABSENT}


async def simulate(seed: int, folder: Path | None = None) -> None:
    """One seed, in memory where the machine has such a folder."""
    with tempfile.TemporaryDirectory(dir=memory_folder(folder)) as made:
        simulation = Simulation(Path(made), seed)
        try:
            await simulation.run()
        except BaseException as error:
            error.add_note(f"seed {seed}, {simulation.block}")
            raise
        finally:
            await simulation.world.close()


@pytest.mark.parametrize("fives", range(3))
async def test_the_list_ends_as_the_last_upload_promised(fives, tmp_path):
    """It holds everybody who is in, each once, and nobody who was deleted; the records, the snapshot and the sums say the same."""
    for seed in range(fives * 5, fives * 5 + 5):
        await simulate(seed, tmp_path)
