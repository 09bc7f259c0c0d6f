"""What is kept of runs, and for how long."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from msgspec.structs import replace
from ordering import NAME, orders
from sync_world import ACCEPT, DAY, HOUR, REFUSE, TIME_OUT, counters, whole_lists

from gateway.core.errors import OrderError
from gateway.core.sync_options import WHOLE_LISTS
from gateway.store.sync_rows import ABSENT
from gateway.syncs import snapshots
from gateway.syncs.keeping import tidy_syncs

pytestmark = pytest.mark.anyio


async def test_retention_leaves_the_stated_rows_and_the_next_diff_right(world_of):
    """`days: 1`, `keep: 2`, three days: a day's log, two snapshots; nothing of membership or records."""
    world = world_of(log={"days": 1}, snapshots={"keep": 2})
    for day in range(3):
        await world.enter(f"u{day}")
        await world.run()
        world.now_us += DAY + HOUR if day < 2 else HOUR
        while await world.state.write(lambda tx: tidy_syncs(tx, world.now_us)):
            pass
    numbers = [run.id for run in await world.runs()]
    logs = [len(await world.state.read(lambda view, one=one: view.row_results(run=one))) for one in numbers]
    assert logs == [0, 0, 1]
    sync = await world.sync()
    assert await world.state.read(lambda view: view.snapshot_runs(sync.id)) == [3, 2]
    run = await world.run()
    assert (counters(run).unchanged, counters(run).requests) == (3, 0)


async def test_two_runs_are_compared_by_their_snapshots(world_of):
    """One came, one went, one changed."""
    world = world_of()
    await world.enter("ada", "bob", "cyd")
    await world.run()
    await world.leave("ada")
    await world.enter("bob", ltv=5)
    await world.enter("dan")
    await world.run()
    shown = await orders(world).diff_runs(1, 2)
    assert [shown[name] for name in ("came", "went", "changed", "same")] == [1, 1, 1, 1]
    assert "@" not in str(shown)


OPERATIONS = [
    # what a platform takes; what is said of ada (left), bob (another value), cyd (another address), dan (new), eve (as before)
    ("single changes", {}, ("remove", "update", "replace", "add", "")),
    ("a whole list", {"capabilities": replace(WHOLE_LISTS, min_distinct=1)}, ("remove", "update", "update", "add", "")),
]


@pytest.mark.parametrize(("what", "block", "expected"), OPERATIONS, ids=[row[0] for row in OPERATIONS])
@pytest.mark.parametrize("size", [1, 2, 10_000])
async def test_a_snapshot_says_what_the_run_did_for_each_member(world_of, monkeypatch, what, block, expected, size):
    """Who was taken off is there as absent, in parts of any size; then nothing but the snapshot knows of it."""
    monkeypatch.setattr(snapshots, "PART_RECORDS", size)
    world = world_of(**block, log={"keep": False})
    people = ("ada", "bob", "cyd", "dan", "eve")
    await world.enter("ada", "bob", "cyd", "eve", ltv=1)
    first = await world.run()
    await world.leave("ada")
    await world.enter("bob", ltv=2)
    await world.enter("cyd", email="cyd@example.org", ltv=1)
    await world.enter("dan")
    run = await world.run()

    def look(view):
        numbers = {view.member_id("default", f"user_id:{user}"): user for user in people}
        entries = [entry for _members, body in view.snapshot_parts(run.id) for entry in snapshots.read_part(body)]
        members = sum(members for members, _body in view.snapshot_parts(run.id))
        left = view.run_operations(run.id, after=(0, 0), limit=10) + view.run_operations(
            first.id, after=(0, 0), limit=10
        )
        return {numbers[one.member]: one for one in entries}, members, left

    entries, members, left = await world.state.read(look)
    assert tuple(entries[user].operation for user in people) == expected
    assert [user for user in people if entries[user].state == ABSENT] == ["ada"]
    assert (members, left, len(entries)) == (4, [], 5)
    shown = await orders(world).diff_runs(first.id, run.id)
    assert [shown[name] for name in ("came", "went", "changed", "same")] == [1, 1, 2, 1]
    told = {(one["what"], one["operation"]) for one in shown["members"]}
    assert told == {("went", "remove"), ("changed", expected[1]), ("changed", expected[2]), ("came", "add")}


async def test_a_snapshot_of_an_earlier_version_says_nothing_of_operations(world_of):
    """It can be read, compared and gone back to all the same."""
    world = world_of()
    await world.enter("ada", "bob")
    run = await world.run()

    def as_it_was(tx):
        parts = tx.snapshot_parts(run.id)
        old = [tuple(one)[:4] for _members, body in parts for one in snapshots.read_part(body)]
        tx.add_snapshot_part(run.id, 0, len(old), zlib.compress(msgspec.msgpack.encode(old)))

    await world.state.write(as_it_was)
    await world.leave("ada")
    later = await world.run()
    shown = await orders(world).diff_runs(run.id, later.id)
    assert [shown[name] for name in ("went", "same")] == [1, 1]
    shown = await orders(world).diff_runs(later.id, run.id)
    assert [(one["what"], one["operation"]) for one in shown["members"]] == [("came", "")]


async def test_what_a_run_did_is_forgotten_where_it_ends_without_a_snapshot(world_of):
    """Its mapping goes while it sends; then a tidying finds what nobody will ask for."""
    world = world_of()
    await world.enter("ada", "bob", "cyd")
    number = int(str((await orders(world).run(NAME))["id"]))
    while await world.syncs.step():
        pass
    await world.deliver(2)
    ask = lambda view: view.run_operations(number, after=(0, 0), limit=10)  # noqa: E731 - asked twice
    assert len(await world.state.read(ask)) == 2
    world.rules = replace(world.rules, destinations=())
    await world.work()
    assert (await world.run_row(number)).finished_us
    while await world.state.write(lambda tx: tidy_syncs(tx, world.now_us)):
        pass
    assert await world.state.read(ask) == []


SNAPSHOTS = [
    ("adopted", {"initial": "adopt"}, ACCEPT),
    ("tracked", {"mode": "subtractive"}, ACCEPT),
    ("unsure", {}, TIME_OUT),
    ("a whole list", whole_lists(1), ACCEPT),
]


@pytest.mark.parametrize(("what", "block", "answer"), SNAPSHOTS, ids=[row[0] for row in SNAPSHOTS])
async def test_every_run_that_changed_what_is_known_of_the_list_has_a_snapshot(world_of, what, block, answer):
    """Also where the platform confirmed nobody; the run behind it changes nothing more and has none (a whole list has)."""
    world = world_of(**block)
    await world.enter("ada", "bob")
    first = await world.run(answer)
    await world.enter("cyd")
    second = await world.run(answer)
    assert await kept(world) == [second.id, first.id]
    shown = await orders(world).diff_runs(first.id, second.id)
    assert [shown[name] for name in ("came", "went", "same")] == [1, 0, 2]


async def test_runs_of_different_syncs_are_not_compared(world_of):
    """Their lists have nothing to do with each other; and of which run no snapshot is kept is said."""
    world = world_of()
    await world.enter("ada")
    first = await world.run()
    await world.enter("bob")
    second, nothing = await world.run(), await world.run()
    with pytest.raises(OrderError, match=f"Of run {nothing.id} no snapshot is kept"):
        await orders(world).diff_runs(first.id, nothing.id)
    await world.state.write(lambda tx: tx.save_run(replace(tx.run(first.id), sync=first.sync + 1)))
    with pytest.raises(OrderError, match="of different syncs") as refused:
        await orders(world).diff_runs(first.id, second.id)
    assert refused.value.status == 400


async def test_a_run_that_was_stopped_half_way_has_a_snapshot(world_of):
    """Of what was there by then."""
    world = world_of()
    await world.enter("ada", "bob", "cyd")
    number = int(str((await orders(world).run(NAME))["id"]))
    while await world.syncs.step():
        pass
    await world.deliver(2)
    await orders(world).cancel(number)
    await world.work()
    assert ((await world.run_row(number)).status, await kept(world)) == ("cancelled", [number])
    later = await world.run()
    shown = await orders(world).diff_runs(number, later.id)
    assert [shown[name] for name in ("came", "same")] == [1, 2]


async def test_a_run_that_changed_nothing_has_none(world_of):
    """Nothing to do, all refused, or stopped before it sent anything."""
    world = world_of()
    await world.enter("ada")
    await world.run(REFUSE)
    await world.run()
    assert await kept(world) == []


async def test_fewer_snapshots_are_kept_once_a_run_has_met_the_edit(world_of):
    """Whether or not that run has one itself."""
    world = world_of()
    for user in ("ada", "bob", "cyd"):
        await world.enter(user)
        await world.run()
    assert len(await kept(world)) == 3
    world.edit(schedule={"manual": True}, snapshots={"keep": 1})
    assert len(await kept(world)) == 3
    await world.run()
    assert len(await kept(world)) == 1
    world.edit(schedule={"manual": True}, snapshots={"keep": 0})
    await world.run()
    assert await kept(world) == []


async def test_a_member_with_several_lines_may_lie_across_two_parts(world_of, monkeypatch):
    """Each line stands in the snapshot once, wherever a part ends."""
    monkeypatch.setattr(snapshots, "PART_RECORDS", 2)
    world = world_of(**whole_lists(1))
    for domain in ("com", "org", "net"):
        for user in ("ada", "bob", "cyd"):
            await world.enter(user, email=f"{user}@example.{domain}")
    run = await world.run()
    parts = await world.state.read(lambda view: view.snapshot_parts(run.id))
    entries = [entry[:2] for _members, body in parts for entry in snapshots.read_part(body)]
    assert (len(parts), len(entries), entries) == (5, 9, sorted(set(entries)))


async def kept(world) -> list[int]:
    sync = await world.sync()
    return await world.state.read(lambda view: view.snapshot_runs(sync.id))
