"""What concerns all records of a sync is done a page a transaction; a kill between any two pages changes nothing of the end."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from one_thread_store import KilledError, OneThreadState, OneThreadWorld, memory_folder
from ordering import NAME, orders
from sync_world import ACCEPT, DAY, HOUR, REFUSE, S, World, counters, whole_lists

from gateway.store.sync_rows import ABSENT, PRESENT, RunRow
from gateway.syncs import file_entries
from gateway.syncs import whole_lists as lists
from gateway.syncs.keeping import tidy_syncs
from gateway.syncs.memory import read_memory, read_progress

pytestmark = pytest.mark.anyio

MANUAL: dict[str, Any] = {"schedule": {"manual": True}, "guards": {"empty_audience": "off"}}
FOLLOWING: dict[str, Any] = {"schedule": {"continuous": {"max_delay": "30s", "reconcile": {"daily": "03:00"}}}}
USERS = ("ada", "bob", "cyd", "dan", "eve", "fay")
Walk = Callable[[World, Callable[[], None]], Awaitable[bool]]
"""(world, what to call when the death may come) → whether it came."""


async def with_deaths(tmp_path: Path, dies_at: Any, walk: Walk, **block: Any) -> int:
    """`walk` on a world that dies at its n-th commit after `arm`, for every n until it is through before; how many deaths."""
    has_died, deaths = True, 0
    while has_died:
        with tempfile.TemporaryDirectory(dir=memory_folder(tmp_path)) as folder:
            world = OneThreadWorld(Path(folder), **{**MANUAL, **block})

            def arm(world: World = world, commits: int = deaths) -> None:
                assert isinstance(world.state, OneThreadState)
                world.state.dies_at, world.state.commits_left = dies_at, commits

            has_died = await walk(world, arm)
            deaths += has_died
            await world.close()
    return deaths


async def work_on(world: World, is_done: Callable[[], Awaitable[bool]]) -> bool:
    """Steps and answers until it is done, over a death; whether there was one."""
    has_died = False
    while True:
        try:
            if await is_done():
                break
            await world.syncs.step()
            await world.deliver()
        except KilledError:
            has_died = True
            await world.restart()
    assert isinstance(world.state, OneThreadState)
    world.state.dies_at = ""
    return has_died


async def _taken_out_and_put_back(world: World) -> None:
    """Two leave while the entry is not in the file."""
    await world.enter(*USERS)
    await world.run()
    rules = world.rules
    world.rules = replace(rules, destinations=())
    await world.work()
    assert (await world.sync()).status == "deleted"
    await world.leave("bob", "eve")
    world.rules = rules


@pytest.mark.parametrize("dies_at", ["before", "behind"])
async def test_who_left_while_an_entry_was_out_of_the_file_is_found_page_by_page(tmp_path, monkeypatch, dies_at):
    """Nothing runs before the last page; then the next run removes them, and nobody else."""
    monkeypatch.setattr(file_entries, "LEFT_RECORDS", 1)

    async def walk(world: World, arm: Callable[[], None]) -> bool:
        await _taken_out_and_put_back(world)
        arm()

        async def is_back() -> bool:
            return (await world.sync()).status == "active"

        has_died = await work_on(world, is_back)
        assert read_memory((await world.sync()).memory).left_after == 0
        run = await world.run()
        assert (counters(run).removed, counters(run).added, run.status) == (2, 0, "succeeded")
        assert set(world.platform.listed) == {f"{user}@example.com" for user in USERS if user not in ("bob", "eve")}
        return has_died

    assert await with_deaths(tmp_path, dies_at, walk) > len(USERS)


async def test_one_page_of_them_is_looked_at_in_a_transaction(world_of, monkeypatch):
    """The place is kept in the database; an entry that goes once more begins anew when it comes back."""
    monkeypatch.setattr(file_entries, "LEFT_RECORDS", 2)
    world = world_of(**MANUAL)
    await _taken_out_and_put_back(world)
    rules = world.rules
    assert await world.state.write(world.syncs._tick)
    sync = await world.sync()
    assert (sync.status, read_memory(sync.memory).left_after > 0) == ("deleted", True)
    world.rules = replace(rules, destinations=())
    assert not await world.state.write(world.syncs._tick)
    assert read_memory((await world.sync()).memory).left_after == 0
    await world.leave("ada")  # who was looked at already
    world.rules = rules
    await orders(world).undelete(NAME)
    assert (await world.sync()).status == "active"
    assert counters(await world.run()).removed == 3


@pytest.mark.parametrize("dies_at", ["before", "behind"])
@pytest.mark.parametrize("answer", [ACCEPT, REFUSE], ids=["taken", "refused"])
async def test_whom_a_list_changes_is_told_page_by_page(tmp_path, monkeypatch, dies_at, answer):
    """Each has one line, wherever the run was killed, and is marked once the list was taken."""
    for name in ("TOLD_ENTRIES", "MARK_MEMBERS", "STRIP_ENTRIES", "FREEZE_MEMBERS"):
        monkeypatch.setattr(lists, name, 1)

    async def walk(world: World, arm: Callable[[], None]) -> bool:
        await world.enter("ada", "bob")
        await world.run()
        await world.leave("bob")
        await world.enter("cyd")
        await world.enter("nobody", email=None)
        sync = await world.sync()
        number = await world.state.write(
            lambda tx: tx.add_run(RunRow(id=0, sync=sync.id, kind="", trigger="manual", due_us=0))
        )
        world.platform.answer = lambda _operation, _payload: answer
        arm()

        async def is_over() -> bool:
            return bool((await world.run_row(number)).finished_us)

        has_died = await work_on(world, is_over)
        found = await world.state.read(lambda view: view.row_results(run=number))
        status = "accepted" if answer is ACCEPT else "rejected"
        told = sorted((one.operation, one.status, one.stage) for one in found)
        assert told == [
            ("add", status, "destination"),
            ("add", "rejected", "mapping"),
            ("remove", status, "destination"),
        ]
        assert [one.seq for one in found] == [1, 2, 3]
        record = await world.record("cyd")
        assert record is not None
        assert record.state == (PRESENT if answer is ACCEPT else ABSENT)
        return has_died

    block = {**whole_lists(1), "guards": {"empty_audience": "off", "unmappable_percent": "off"}}
    assert await with_deaths(tmp_path, dies_at, walk, **block) > 8


@pytest.mark.parametrize("dies_at", ["before", "behind"])
async def test_two_lists_are_compared_page_by_page(tmp_path, monkeypatch, dies_at):
    """Counted once each, whatever happens in between."""
    monkeypatch.setattr(lists, "COMPARED_ENTRIES", 1)

    async def walk(world: World, arm: Callable[[], None]) -> bool:
        await world.enter(*USERS)
        await world.run()
        await world.leave("bob")
        await world.enter("gus", "hal")
        await world.enter("nobody", email=None)
        sync = await world.sync()
        number = await world.state.write(
            lambda tx: tx.add_run(RunRow(id=0, sync=sync.id, kind="", trigger="manual", due_us=0))
        )
        arm()

        async def is_over() -> bool:
            return bool((await world.run_row(number)).finished_us)

        has_died = await work_on(world, is_over)
        run = await world.run_row(number)
        found = counters(run)
        assert (run.status, found.planned) == ("partial", {"add": 2, "update": 5, "remove": 1})
        assert (found.list_before, found.list_after, found.unmappable) == (6, 7, 1)
        compared = read_progress(run.progress).compared
        assert compared is not None
        assert (compared.size, compared.new, compared.gone) == (7, 2, 1)
        assert len(world.platform.uploads[-1]) == 7
        return has_died

    assert await with_deaths(tmp_path, dies_at, walk, **whole_lists()) > 2 * len(USERS)


async def test_news_that_nobody_follows_any_more_goes_with_the_next_run_over_everybody(world_of):
    """Not before: a sync that goes back to following events finds what it had gathered."""
    world = world_of(**FOLLOWING, start="schedule")
    await world.enter("ada", "bob")
    await world.syncs.step()
    world.edit(**MANUAL)
    await world.work()
    assert await news(world) == 2
    world.now_us += HOUR
    await world.run()
    await world.work()
    assert (await news(world), set(world.platform.listed)) == (0, {"ada@example.com", "bob@example.com"})


async def test_news_of_a_sync_that_is_gone_goes_with_its_records(world_of):
    """Thirty days after its end."""
    world = world_of(**FOLLOWING, start="schedule")
    await world.enter("ada", "bob")
    world.rules = replace(world.rules, destinations=())
    await world.work()
    assert await news(world) == 2
    world.now_us += 31 * DAY
    while await world.state.write(lambda tx: tidy_syncs(tx, world.now_us)):
        pass
    sync = await world.sync()
    assert (await news(world), await world.state.read(lambda view: view.records(sync.id))) == (0, [])


async def news(world: World) -> int:
    sync = await world.sync()
    found = await world.state.read(lambda view: view.touched_since())
    return int(found.get(sync.id, (0, 0))[1])


async def test_what_waits_of_a_sync_is_looked_at_in_pages(world_of, monkeypatch):
    """The figures are those of one look, however many it took."""
    world = world_of(**MANUAL)
    await world.enter(*USERS)
    world.now_us += 10 * S
    await world.enter("twin", "third", email="ada@example.com")
    whole = await orders(world).show_sync(NAME)
    looks = 0

    def in_small_pages(self: Any, sync: int, *, after: tuple[int, int], limit: int = 2) -> Any:
        nonlocal looks
        looks += 1
        return real(self, sync, after=after, limit=2)

    from gateway.store.sqlite.figures import FigureReads

    real = FigureReads.unsent_page
    monkeypatch.setattr(FigureReads, "unsent_page", in_small_pages)
    assert await orders(world).show_sync(NAME) == whole
    assert (looks, whole["makes_it_up"]["shared"], whole["makes_it_up"]["to_add"]) == (5, 2, 6)
