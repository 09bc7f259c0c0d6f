"""Random events, answers, crashes, edits and orders against the real engine; afterwards the list must be what was promised.

`python tests/syncs/engine_simulation.py FIRST COUNT` (from the repository's root, with tests/ and tests/syncs on the path)
runs more seeds than the suite does, and ends with the seeds that failed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from one_thread_store import DiesAt, KilledError, OneThreadState, OneThreadWorld, memory_folder
from promised_lists import Person, Promise
from sync_world import ACCEPT, FAIL, HOUR, REFUSE, TIME_OUT, TIME_OUT_AFTER, WITH_UPDATES, World, counters
from two_syncs import TwoLists, TwoSyncs

from gateway.core.errors import OrderError
from gateway.core.outcomes import Outcome, Refused
from gateway.destinations.taboola.perform import TABOOLA
from gateway.store.sqlite.recounting import checked_sums
from gateway.store.sync_rows import RunRow
from gateway.syncs.memory import read_progress
from gateway.syncs.operations import SyncOrders

PEOPLE: Final = 8
STEPS: Final = 40
SYNC: Final = "lister/all/vip"
MODES: Final = ("mirror", "additive", "subtractive")
OPEN_GUARDS: Final = {"empty_audience": "off", "max_removal_percent": "off", "unmappable_percent": "off"}
STRICT_GUARDS: Final = {"max_removals": 1, "empty_audience": "hold", "unmappable_percent": 50}
SCHEDULES: Final[tuple[dict[str, Any], ...]] = (
    {"manual": True}, {"manual": True}, {"every": "15m"}, {"every": "1h", "at": "00:30"},
    {"continuous": {"max_delay": "30s", "reconcile": {"daily": "03:00"}}},
)  # fmt: skip
RETRIES: Final[tuple[dict[str, Any], ...]] = ({}, {}, {"rejected": "every_run"}, {"backoff_after": 1})
EMAIL: Final = {"@path": "$.context.traits.email"}
ALIAS: Final = {"@path": "$.context.traits.alias"}
VALUES: Final[tuple[Any, ...]] = ({"@path": "$.context.traits.ltv"}, 7, {"@path": "$.context.traits.nothing"})
SPLIT: Final[Outcome] = Refused(reason="413", status=413, splittable=True)
WEIGHTS: Final = (70, 5, 10, 7, 8)
PLANNED_SHARE: Final = 0.15  # of the steps, with plans
WIDE_SHARE: Final = 0.3  # of the steps of a wide simulation
OTHER_SYNC: Final = "lister/other/vip"
LOGS: Final[tuple[dict[str, Any], ...]] = ({}, {"skipped": True}, {"keep": False}, {"sample": 0.5, "skipped": True})
DEATHS: Final[tuple[DiesAt, ...]] = ("before", "behind")


class Simulation:
    """One seed."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        world_type: type[World] = OneThreadWorld,
        *,
        plans: bool = False,
        wide: bool = False,
    ) -> None:
        self.chance = random.Random(seed)
        # Of its own, so that a seed's events are the same with and without plans, as far as no plan dies.
        self.plans = random.Random(~seed) if plans else None
        self.wide = random.Random(f"{seed} wide") if wide else None
        self.block: dict[str, Any] = {
            "mode": self.chance.choice(MODES),
            "schedule": self.chance.choice(SCHEDULES),
            "guards": OPEN_GUARDS,
            "retry": self.chance.choice(RETRIES),
        }
        self.keeps_mode = self.chance.random() < 0.5
        has_update = self.chance.random() < 0.7
        if self.wide is not None:
            world_type = TwoSyncs
            self.block |= {
                "first_run_approval": self.wide.random() < 0.3, "log": self.wide.choice(LOGS),
                "resend_every": self.wide.choice(("1h", "12d")), "snapshots": {"keep": self.wide.randrange(3)},
            }  # fmt: skip
        self.world = world_type(
            folder, capabilities=msgspec.structs.replace(WITH_UPDATES, update=has_update), **self.block
        )
        self.promise = Promise(self.world, has_update=has_update)
        self.people = self.promise.people
        self.people.update({f"u{number}": Person() for number in range(PEOPLE)})
        if self.keeps_mode and self.block["mode"] == "subtractive":  # a list that somebody else filled
            self.promise.filled_before.update(f"u{number}.0@example.com" for number in range(0, PEOPLE, 2))
        self.world.platform.listed.update(dict.fromkeys(self.promise.filled_before))
        self.other: Promise | None = None
        if isinstance(self.world.platform, TwoLists):
            second = self.world.platform.other
            self.other = Promise(self.world, has_update=has_update, position=1, platform=second)
            self.other.people, self.other.ever_in = self.people, self.promise.ever_in
            self.other.erased = self.promise.erased
            second.listed.update(dict.fromkeys(self.other.filled_before))
        self.world.platform.answer = lambda _operation, _payload: self._answer()

    @property
    def orders(self) -> SyncOrders:
        """An operator; the engine may have come back since the last order."""
        return SyncOrders(
            state=self.world.state, syncs=self.world.syncs, rulebook=lambda: self.world.rules,
            clock=lambda: self.world.now_us, registry={"lister": TABOOLA}, reference_key=b"k" * 32,
        )  # fmt: skip

    async def run(self) -> None:
        """Everything at random, then quiet, then look."""
        await self.world.enter("seen")  # so that the sync is there
        await self.world.leave("seen")
        for _ in range(STEPS):
            try:
                await self._plan()
                await self._wide_step()
                await self._step()
            except KilledError:
                await self.world.restart()
            await self.promise.look(self.block["mode"])
            if self.other is not None:
                await self.other.look("mirror")
        await self._settle_down()
        assert await self.world.state.read(lambda view: checked_sums(view._connection).wrong) == ()
        await self.promise.check(self.block["mode"])
        if self.other is not None:
            await self.other.check("mirror")

    async def _plan(self) -> None:
        """Somebody looks at the next run; what that makes anew may die in the middle like anything else."""
        if self.plans is not None and self.plans.random() < PLANNED_SHARE:
            if self.plans.random() < 0.3:
                self._prepare_a_death(1.0)
            with suppress(OrderError):
                await self.orders.plan(SYNC)

    async def _step(self) -> None:
        roll = self.chance.random()
        if roll < 0.30:
            await self._enter(self.chance.choice(sorted(self.people)))
        elif roll < 0.44:
            await self._leave(self.chance.choice(sorted(self.people)))
        elif roll < 0.47:
            await self._erase(self.chance.choice(sorted(self.people)))
        elif roll < 0.55:
            self._edit()
        elif roll < 0.60:
            await self.world.restart()
        elif roll < 0.68:
            await self._order_run(self.chance.choice(("", "", "diff", "resend")))
        elif roll < 0.76:
            await self._order()
        else:
            self._prepare_a_death()
            await self._work_a_little()

    async def _wide_step(self) -> None:
        """The other sync, and what is rarer: a list forgotten or gone back to, an entry taken out, another way to log."""
        if self.wide is None or self.wide.random() > WIDE_SHARE:
            return
        what = self.wide.choice(
            ("other run", "other run", "reset", "restore", "take out", "flip", "log", "log", "show")
        )
        with suppress(OrderError):
            if what == "other run":
                await self.orders.run(OTHER_SYNC, kind=self.wide.choice(("", "resend")))
            elif what == "reset":
                await self._reset()
            elif what == "restore":
                await self._restore()
            elif what == "take out" and isinstance(self.world, TwoSyncs):
                self.world.take_out()
                await self.world.syncs.step()
            elif what == "flip" and isinstance(self.world, TwoSyncs):
                await self._flip(self.world)
            elif what == "log":
                self.block |= {"log": self.wide.choice(LOGS), "snapshots": {"keep": self.wide.randrange(3)}}
                self.world.edit(**self.block)
            else:
                await self._show()

    async def _flip(self, world: TwoSyncs) -> None:
        """The entry is out for a moment that no look of the syncs falls into; events do."""
        assert self.wide is not None
        if isinstance(world.state, OneThreadState):
            world.state.dies_at = ""
        world.take_out()
        world.syncs.rulebook_changed()
        for user in self.wide.sample(sorted(self.people), 2):
            await (self._enter if self.wide.random() < 0.5 else self._leave)(user, death_share=0.0)
        world.edit(**self.block)
        world.syncs.rulebook_changed()
        await world.syncs.step()

    async def _reset(self) -> None:
        """A record of what the platform was asked for is gone with the rest; nothing may be on its way."""
        assert self.wide is not None
        name, promise = self.wide.choice(((SYNC, self.promise), (OTHER_SYNC, self.other)))
        assert promise is not None
        listed = set(promise.platform.listed)
        try:
            await self.orders.reset(name)
        finally:
            sync = (await self.world.state.read(lambda view: view.syncs()))[promise.position]
            records = await self.world.state.read(lambda view: view.records(sync.id))
            if not any(row.state for row in records):
                promise.forget()
            assert set(promise.platform.listed) == listed, "something was sent"

    async def _restore(self) -> None:
        assert self.wide is not None
        kept = await self.orders.snapshots()
        if kept:
            await self.orders.restore_state(int(str(self.wide.choice(kept)["run"])))

    async def _show(self) -> None:
        """Whatever is asked is answered, and changes nothing."""
        await self.orders.show_sync(SYNC)
        for run in await self.orders.list_runs(limit=3):
            await self.orders.show_run(int(str(run["id"])))
        for user in sorted(self.people)[:3]:
            await self.orders.explain(SYNC, f"user_id:{user}")

    # people ------------------------------------------------------------------------------------------------------------
    async def _enter(self, user: str, *, death_share: float = 0.05) -> None:
        person = self.people[user]
        person.enter(self._address(user, "example.com"), self._address(user, "example.net"), self.chance.randrange(3))
        self.promise.ever_in |= person.addresses
        self._prepare_a_death(death_share)
        await self.world.enter(user, email=person.email, alias=person.alias, ltv=person.ltv)

    def _address(self, user: str, domain: str) -> str | None:
        roll = self.chance.random()
        if roll < 0.15:
            return None
        return f"{user}.{self.chance.randrange(2)}@{domain}" if roll < 0.75 else f"both@{domain}"

    async def _leave(self, user: str, *, death_share: float = 0.05) -> None:
        person = self.people[user]
        person.is_in = False
        self._prepare_a_death(death_share)
        await self.world.leave(
            user, email=person.email or f"{user}.0@example.com", alias=person.alias or f"{user}.0@example.net"
        )

    async def _erase(self, user: str) -> None:
        self.promise.erased |= self.people[user].addresses
        self.people[user] = Person()
        await self.world.delete(user)

    # the operator ------------------------------------------------------------------------------------------------------
    def _edit(self) -> None:
        """The mapping file is saved with something else in it."""
        what = self.chance.choice(("mode", "mapping", "value", "hashing", "guards", "schedule", "retry"))
        if what == "mode" and not self.keeps_mode:
            self.block["mode"] = self.chance.choice(MODES)
        elif what == "mapping":
            self.promise.is_by_alias = not self.promise.is_by_alias
            self.world.fields["email"] = ALIAS if self.promise.is_by_alias else EMAIL
        elif what == "value":
            self.world.fields["ltv"] = self.promise.value = self.chance.choice(VALUES)
        elif what == "hashing":
            self.block["hashing"] = self.chance.choice(("on", "off", "auto"))
        elif what == "guards":
            self.block["guards"] = self.chance.choice((OPEN_GUARDS, STRICT_GUARDS))
        elif what == "schedule":
            self.block["schedule"] = self.chance.choice(SCHEDULES)
        elif what == "retry":
            self.block["retry"] = self.chance.choice(RETRIES)
        self.world.edit(**self.block)

    async def _order(self) -> None:
        """A person orders something that may not be possible now."""
        orders, world = self.orders, self.world
        open_runs = await world.state.read(lambda view: view.open_runs())
        run = self.chance.choice(open_runs).id if open_runs else 0
        ways: tuple[Callable[[], Any], ...] = (
            lambda: orders.pause(SYNC, now=self.chance.random() < 0.5),
            lambda: orders.resume(SYNC, run=self.chance.random() < 0.5),
            lambda: orders.resume(SYNC),
            lambda: orders.cancel(run),
            lambda: orders.approve(run, by="ada"),
            lambda: orders.approve(run, by="ada"),
            lambda: orders.reject(run),
            lambda: orders.retry(SYNC),
            lambda: orders.clear(SYNC),
            lambda: orders.delete(SYNC, clear=self.chance.random() < 0.5),
            lambda: orders.undelete(SYNC),
            lambda: orders.undelete(SYNC),
        )
        with suppress(OrderError):
            await self.chance.choice(ways)()

    async def _order_run(self, kind: str) -> None:
        with suppress(OrderError):
            await self.orders.run(SYNC, kind=kind, while_paused=self.chance.random() < 0.3)

    # the engine's work -------------------------------------------------------------------------------------------------
    def _prepare_a_death(self, share: float = 0.2) -> None:
        """One of the next commits may be the process's last."""
        if self.chance.random() < share:
            dies_at, commits_left = self.chance.choice(DEATHS), self.chance.randrange(12)
            if isinstance(self.world.state, OneThreadState):
                self.world.state.dies_at, self.world.state.commits_left = dies_at, commits_left

    async def _work_a_little(self) -> None:
        for _ in range(self.chance.randrange(1, 6)):
            roll = self.chance.random()
            if roll < 0.55:
                await self.world.syncs.step()
            elif roll < 0.85:
                await self.world.deliver(self.chance.randrange(1, 5))
            elif roll < 0.92:  # a batch that is refused whole, for whatever is wrong with one of it
                rows = await self.world.claim(4)
                alone = [
                    self.world.platform.handle(row, msgspec.json.decode(row.payload)) for row in rows if len(rows) == 1
                ]
                await self.world.settle(rows, alone or [SPLIT] * len(rows))
            else:  # answered by the platform, and the answer lost with the process
                for row in await self.world.claim(2):
                    self.world.platform.handle(row, msgspec.json.decode(row.payload))
                await self.world.restart()
        self.world.now_us += self.chance.randrange(HOUR) if self.chance.random() < 0.95 else 9 * 24 * HOUR

    def _answer(self) -> Outcome:
        return self.chance.choices((ACCEPT, REFUSE, FAIL, TIME_OUT, TIME_OUT_AFTER), WEIGHTS)[0]

    # the end -----------------------------------------------------------------------------------------------------------
    async def _settle_down(self) -> None:
        """Faults stop, nothing is held or switched off any more, refused ones may be tried again, and two runs pass."""
        world = self.world
        world.platform.answer = lambda _operation, _payload: ACCEPT
        await world.restart()
        self.block |= {"guards": OPEN_GUARDS, "first_run_approval": False}
        world.edit(**self.block)
        while await world.worker.step():
            pass
        for _ in range(4):
            await world.work()
            for run in await world.state.read(lambda view: view.open_runs()):
                if run.status == "held":
                    await self.orders.approve(run.id, by="ada")
            status = (await world.sync()).status
            if status == "deleted":
                await self.orders.undelete(SYNC)
            elif status == "paused":
                await self.orders.resume(SYNC)
        await world.work()
        self.promise.begin_the_end(self.block["mode"])
        for _ in range(2):
            world.now_us += 8 * 24 * HOUR
            if self.other is not None:
                await self.orders.run(OTHER_SYNC)
            await world.syncs.step()  # the schedule may have a run of its own now
            await world.work()
            sync = await world.sync()
            made = RunRow(id=0, sync=sync.id, kind="", trigger="manual", queued_us=world.now_us, due_us=world.now_us)
            planned: dict[str, Any] = {}
            if self.plans is not None:
                world.fields["ltv"] = self.promise.value = self.plans.choice(VALUES)
                world.edit(**self.block)
                planned = await self.orders.plan(SYNC)
            number = await world.state.write(lambda tx, made=made: tx.add_run(made))
            await world.work()
            if planned and number:
                run = await world.run_row(number)
                assert counters(run).planned == planned["planned"], "the run was not what the plan said"
                assert read_progress(run.progress).digest == planned["plan_digest"]
        assert await world.state.read(lambda view: view.open_runs()) == []


async def simulate(
    seed: int,
    folder: Path | None = None,
    world_type: type[World] = OneThreadWorld,
    *,
    plans: bool = False,
    wide: bool = False,
) -> None:
    """One seed, in memory where the machine has such a folder. plans: with a person who asks for plans in between.

    wide: with a second sync of the audience, lists forgotten and gone back to, entries taken out and other rare orders.
    """
    with tempfile.TemporaryDirectory(dir=memory_folder(folder)) as made:
        simulation = Simulation(Path(made), seed, world_type, plans=plans, wide=wide)
        try:
            await simulation.run()
        except BaseException as error:
            error.add_note(f"seed {seed}, {simulation.block}")
            raise
        finally:
            await simulation.world.close()


def campaign(first: int, count: int) -> list[int]:
    """Seeds that failed, each told with its fault."""
    failed = []
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for number in range(first, first + count):
        try:
            asyncio.run(simulate(number))
            asyncio.run(simulate(number, wide=True))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failed.append(number)
            fault = traceback.format_exception(error)
            print(f"seed {number}: {''.join(fault[-3:])}", flush=True)  # noqa: T201
    return failed


if __name__ == "__main__":
    wrong = campaign(*(int(one) for one in sys.argv[1:3]))
    print(f"{sys.argv[2]} seeds from {sys.argv[1]}, {len(wrong)} failed: {wrong}")  # noqa: T201
    sys.exit(1 if wrong else 0)
