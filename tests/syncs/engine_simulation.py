"""Random events, answers, crashes, pauses and edits against the real engine; afterwards the list must be what was promised.

`python tests/syncs/engine_simulation.py FIRST COUNT` (from the repository's root, with tests/ and tests/syncs on the path)
runs more seeds than the suite does.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from sync_world import ACCEPT, FAIL, HOUR, REFUSE, TIME_OUT, TIME_OUT_AFTER, World, counters

from gateway.core.outcomes import Outcome
from gateway.core.run_counters import broken_sums
from gateway.store.sync_rows import RunRow

PEOPLE: Final = 8
STEPS: Final = 40
MODES: Final = ("mirror", "additive", "subtractive")
OPEN_GUARDS: Final = {"empty_audience": "off", "max_removal_percent": "off", "unmappable_percent": "off"}
FAST_MEMORY: Final = Path("/dev/shm")


class Person:
    """What the test knows of one person."""

    def __init__(self) -> None:
        self.is_in = False
        self.email = ""
        self.is_mappable = True
        self.emails: set[str] = set()
        self.was_in = False


class Simulation:
    """One seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.mode = self.chance.choice(MODES)
        self.world = World(folder, **self._block())
        self.people = {f"u{number}": Person() for number in range(PEOPLE)}
        self.added: list[str] = []
        self.ever_in: set[str] = set()
        self.erased: set[str] = set()

    def _block(self) -> dict[str, Any]:
        return {"mode": self.mode, "schedule": {"manual": True}, "guards": OPEN_GUARDS}

    async def run(self) -> None:
        """Everything at random, then quiet, then look."""
        await self.world.enter("seen")  # so that the sync is there
        await self.world.leave("seen")
        for _ in range(STEPS):
            await self._step()
        await self._settle_down()
        self._check()
        await self._check_sums()

    async def _step(self) -> None:
        match self.chance.randrange(12):
            case 0 | 1 | 2 | 3:
                await self._enter(self.chance.choice(sorted(self.people)))
            case 4 | 5:
                await self._leave(self.chance.choice(sorted(self.people)))
            case 6 if self.chance.random() < 0.4:
                await self._erase(self.chance.choice(sorted(self.people)))
            case 7:
                await self.world.restart()
            case 8:
                await self._order_run()
            case _:
                await self._work_a_little()

    async def _enter(self, user: str) -> None:
        person = self.people[user]
        person.is_in = person.was_in = True
        person.is_mappable = self.chance.random() < 0.85
        if not person.is_mappable:
            await self.world.enter(user, email=None)
            return
        person.email = (
            f"{user}.{self.chance.randrange(2)}@example.com" if self.chance.random() < 0.7 else "both@example.com"
        )
        person.emails.add(person.email)
        self.ever_in.add(person.email)
        await self.world.enter(user, email=person.email, ltv=self.chance.randrange(3))

    async def _leave(self, user: str) -> None:
        person = self.people[user]
        person.is_in = False
        await self.world.leave(user, email=person.email or f"{user}.0@example.com")

    async def _erase(self, user: str) -> None:
        person = self.people[user]
        self.erased |= person.emails
        self.people[user] = Person()
        await self.world.delete(user)

    async def _order_run(self) -> None:
        sync = await self.world.sync()
        row = RunRow(
            id=0, sync=sync.id, kind="", trigger="manual", queued_us=self.world.now_us, due_us=self.world.now_us
        )
        await self.world.state.write(lambda tx: tx.add_run(row) if tx.queued_run(sync.id) is None else 0)

    async def _work_a_little(self) -> None:
        self.world.platform.answer = lambda _operation, _payload: self._answer()
        for _ in range(self.chance.randrange(1, 5)):
            if self.chance.random() < 0.6:
                await self.world.syncs.step()
            elif self.chance.random() < 0.8:
                await self.world.deliver(self.chance.randrange(1, 4))
            else:  # answered by the platform, and the answer lost with the process
                rows = await self.world.claim(2)
                for row in rows:
                    await self.world._answer(row)
                await self.world.restart()
        self.world.now_us += self.chance.randrange(HOUR)

    def _answer(self) -> Outcome:
        return self.chance.choices((ACCEPT, REFUSE, FAIL, TIME_OUT, TIME_OUT_AFTER), (70, 5, 10, 7, 8))[0]

    async def _settle_down(self) -> None:
        """Faults stop, refused ones may be tried again, and three runs pass."""
        self.world.platform.answer = lambda _operation, _payload: ACCEPT
        await self.world.restart()
        await self.world.work()
        for _ in range(3):
            self.world.now_us += 8 * 24 * HOUR
            await self.world.run()

    def _check(self) -> None:
        listed = set(self.world.platform.listed)
        wanted = {person.email for person in self.people.values() if person.is_in and person.email}
        certain = {person.email for person in self.people.values() if person.is_in and person.is_mappable}
        anybodys = {email for person in self.people.values() for email in person.emails}
        gone = self.erased - anybodys
        assert not gone & listed, f"erased and listed: {gone & listed}"
        if self.mode == "subtractive":
            adds = [email for operation, email in self.world.platform.requests if operation != "exit"]
            assert adds == []
            return
        assert certain <= listed, f"missing: {certain - listed}"
        if self.mode == "mirror":
            unclear = {
                one
                for person in self.people.values()
                if person.is_in and not person.is_mappable
                for one in person.emails
            }
            assert listed <= wanted | unclear, f"too many: {listed - wanted - unclear}"
        else:
            assert listed <= self.ever_in

    async def _check_sums(self) -> None:
        for run in await self.world.runs():
            if run.status in ("succeeded", "partial", "failed", "cancelled"):
                assert broken_sums(counters(run)) == [], run
        assert all(not run.reason.startswith("The counters") for run in await self.world.runs())


async def simulate(seed: int, folder: Path | None = None) -> None:
    """One seed, in memory where the machine has such a folder."""
    root = FAST_MEMORY if folder is None and FAST_MEMORY.is_dir() else folder
    with tempfile.TemporaryDirectory(dir=root) as made:
        simulation = Simulation(Path(made), seed)
        try:
            await simulation.run()
        finally:
            await simulation.world.close()


if __name__ == "__main__":
    first, count = (int(one) for one in sys.argv[1:3])
    for number in range(first, first + count):
        try:
            asyncio.run(simulate(number))
        except BaseException:
            print(f"seed {number}", flush=True)  # noqa: T201 - a campaign tells where it failed
            raise
