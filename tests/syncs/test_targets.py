"""A mapping file that names another list: the new one begins with everybody, the old one is left or emptied, and found again."""

from __future__ import annotations

from typing import Any

import pytest
from ordering import orders
from several_lists import Lists
from sync_world import DAY, FAIL, HOUR, S, counters, whole_lists
from test_live_runs import FOLLOWING

from gateway.core.errors import OrderError
from gateway.core.sync_options import SINGLE_CHANGES, WHOLE_LISTS, check_capabilities, default_options
from gateway.store.sync_rows import RunRow
from gateway.syncs.keeping import tidy_syncs
from gateway.syncs.memory import Target
from gateway.syncs.targets import is_other_list

pytestmark = pytest.mark.anyio

NAME = "lister/all/vip"


@pytest.fixture
async def lists_of(tmp_path, anyio_backend):
    """`lists_of(on_target_change="clear_old", …)`."""
    made: list[Lists] = []

    def make(**block: Any) -> Lists:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Lists(folder, **block))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_another_list_begins_with_everybody_who_is_in(lists_of):
    """The old one is left as it is, by default; who had left it is not looked for on the new one."""
    world = lists_of(guards={})
    await world.enter("ada", "bob", "cyd")
    await world.run()
    await world.leave("cyd")
    world.name_list("B")
    run = await world.run()
    assert (run.kind, run.status, counters(run).planned, counters(run).considered) == (
        "initial",
        "succeeded",
        {"add": 2},
        2,
    )
    assert (world.on("A"), world.on("B")) == ({"ada", "bob", "cyd"}, {"ada", "bob"})
    await world.leave("bob")
    await world.run()
    assert (world.on("A"), world.on("B")) == ({"ada", "bob", "cyd"}, {"ada"})


@pytest.mark.parametrize("initial", ["full", "adopt"])
async def test_a_new_list_begins_as_a_first_run_does(lists_of, initial):
    """`adopt` takes the new list for filled, whatever was known of the old one."""
    world = lists_of(initial=initial)
    await world.enter("ada")
    await world.run(kind="resend")
    world.name_list("B")
    run = await world.run()
    assert (run.kind, world.on("B")) == (
        {"full": "initial", "adopt": "adopt"}[initial],
        {"ada"} if initial == "full" else set(),
    )


@pytest.mark.parametrize("way", ["another", "again", "another audience", "whole"])
async def test_the_plan_says_what_the_run_will_do(lists_of, way):
    """Before anything has moved: for a list that is new, one that is known, and one that another audience kept."""
    world = lists_of(**(whole_lists() if way == "whole" else {}))
    world.name_entries({"vip": {"external_id": "A"}})
    name = "lister/all/gold" if way == "another audience" else NAME
    await world.enter("ada", "bob", "cyd", "dan")
    await world.run()
    await world.leave("bob")
    if way == "another audience":
        world.name_entries({"gold": {"external_id": "A"}})
        await world.of_audience("gold", "ada", "eve")
    else:
        world.name_entries({"vip": {"external_id": "B"}})
    if way == "again":
        await world.run()
        await world.leave("cyd")
        world.name_entries({"vip": {"external_id": "A"}})
    plan = await orders(world).plan(name)
    ordered = await orders(world).run(name)
    await world.work()
    run = await world.run_row(int(ordered["id"]))
    told = (
        plan["kind"],
        plan["considered"],
        plan["planned"],
        plan["unchanged"],
        plan["list_before"],
        plan["list_after"],
    )
    done = counters(run)
    assert told == (run.kind, done.considered, done.planned, done.unchanged, done.list_before, done.list_after)
    assert run.status == "succeeded"


async def test_the_plan_knows_of_an_edited_mode(world_of):
    """Leaving subtractive mode is a resend, in the plan too."""
    world = world_of(mode="subtractive")
    await world.enter("ada")
    await world.run()
    world.edit(mode="mirror", schedule={"manual": True})
    plan = await orders(world).plan(NAME)
    run = await world.run()
    assert (plan["kind"], plan["planned"]) == (run.kind, counters(run).planned) == ("resend", {"add": 1})


async def test_the_old_list_is_emptied_where_the_sync_says_so(lists_of):
    """By a run of its own, with the settings that the old list had."""
    world = lists_of(on_target_change="clear_old")
    await world.enter("ada", "bob")
    await world.run()
    await world.leave("bob")
    world.name_list("B")
    await world.run()
    assert (world.on("A"), world.on("B")) == (set(), {"ada"})
    cleared = (await world.runs())[-1]
    assert (cleared.kind, cleared.status, counters(cleared).removed) == ("clear", "succeeded", 2)
    world.now_us += 2 * HOUR
    await world.work()
    assert (await world.runs())[-1] == cleared


async def test_emptying_the_old_list_is_tried_every_hour_until_nobody_is_on_it(lists_of):
    """The new list does not wait for it."""
    world = lists_of(on_target_change="clear_old")
    await world.enter("ada", "bob")
    await world.run()
    world.name_list("B")
    world.answers = lambda operation, payload: FAIL if operation == "exit" else None or _accept()
    await world.run()
    assert (world.on("A"), world.on("B")) == ({"ada", "bob"}, {"ada", "bob"})
    runs = len(await world.runs())
    world.answers = None
    world.now_us += HOUR // 2
    await world.work()
    assert len(await world.runs()) == runs
    world.now_us += HOUR
    await world.work()
    assert (world.on("A"), len(await world.runs())) == (set(), runs + 1)


def _accept():
    from sync_world import ACCEPT

    return ACCEPT


@pytest.mark.parametrize("days", [1, 29])
async def test_a_list_named_again_is_known(lists_of, days):
    """Only what changed meanwhile is sent."""
    world = lists_of()
    await world.enter("ada", "bob")
    await world.run()
    world.name_list("B")
    await world.run()
    world.now_us += days * DAY
    await _tidy(world)
    await world.leave("bob")
    await world.enter("cyd")
    world.name_list("A")
    run = await world.run()
    assert (run.kind, counters(run).planned, counters(run).unchanged) == ("diff", {"add": 1, "remove": 1}, 1)
    assert (world.on("A"), world.on("B")) == ({"ada", "cyd"}, {"ada", "bob"})


async def test_a_list_left_for_more_than_thirty_days_is_a_new_one(lists_of):
    """What was known of it is deleted by then."""
    world = lists_of()
    await world.enter("ada")
    await world.run()
    world.name_list("B")
    await world.run()
    world.now_us += 31 * DAY
    await _tidy(world)
    world.name_list("A")
    run = await world.run()
    assert (run.kind, counters(run).planned) == ("initial", {"add": 1})


async def test_a_list_named_again_while_it_is_emptied_is_not_emptied_further(lists_of):
    """The clear is stopped; whom it took off is added again."""
    world = lists_of(on_target_change="clear_old")
    await world.enter("ada", "bob", "cyd")
    await world.run()
    world.name_list("B")
    await _order(world)
    await world.work(deliveries_max=4)
    world.name_list("A")
    await world.run()
    assert (world.on("A"), world.on("B")) == ({"ada", "bob", "cyd"}, set())


@pytest.mark.parametrize("steps", range(8))
async def test_a_change_of_list_survives_a_restart_anywhere(lists_of, monkeypatch, steps):
    """Pages of two records; the process dies after some steps, and changes its mind at one of them."""
    monkeypatch.setattr("gateway.syncs.targets.MOVED_RECORDS", 2)
    world = lists_of()
    people = [f"u{number}" for number in range(5)]
    await world.enter(*people)
    await world.run()
    world.name_list("B")
    await _order(world)
    await world.state.write(world.syncs._tick)
    await world.state.write(world.syncs._start_queued)
    (run,) = await world.state.read(lambda view: view.open_runs())
    for _ in range(steps):
        await world.syncs.runner.advance(run.id)
    await world.restart()
    await world.work()
    assert (world.on("A"), world.on("B")) == (set(people), set(people))
    assert (await world.run_row(run.id)).status == "succeeded"
    world.name_list("A")
    run = await world.run()
    assert (run.kind, counters(run).unchanged) == ("diff", 5)


async def test_a_run_stopped_while_its_records_move_leaves_them_to_the_next(lists_of, monkeypatch):
    """Even where the file names the old list again by then."""
    monkeypatch.setattr("gateway.syncs.targets.MOVED_RECORDS", 2)
    world = lists_of()
    people = {f"u{number}" for number in range(5)}
    await world.enter(*sorted(people))
    await world.run()
    world.name_list("B")
    await _order(world)
    await world.state.write(world.syncs._tick)
    await world.state.write(world.syncs._start_queued)
    (run,) = await world.state.read(lambda view: view.open_runs())
    for _ in range(2):
        await world.syncs.runner.advance(run.id)
    await orders(world).cancel(run.id)
    await world.work()
    assert (await world.run_row(run.id)).status == "cancelled"
    world.name_list("A")
    run = await world.run()
    assert (run.kind, counters(run).unchanged, world.on("A"), world.on("B")) == ("diff", 5, people, set())


async def test_a_deleted_person_leaves_the_old_list_too(lists_of):
    """Whatever the sync says of old lists, and at once."""
    world = lists_of()
    await world.enter("ada", "bob")
    await world.run()
    world.name_list("B")
    await world.run()
    await world.delete("ada")
    await world.work()
    assert (world.on("A"), world.on("B")) == ({"bob"}, {"bob"})


async def test_who_is_only_taken_off_is_taken_off_the_list_that_holds_them(lists_of):
    """A clear, and a deletion while paused, go to the list that was filled; the new one is begun by the next run."""
    world = lists_of()
    await world.enter("ada", "bob")
    await world.run()
    world.name_list("B")
    await orders(world).pause(NAME)
    await world.delete("bob")
    await world.work()
    assert (world.on("A"), world.on("B")) == ({"ada"}, set())
    await orders(world).clear(NAME)
    await world.work()
    assert (world.on("A"), world.on("B")) == (set(), set())


async def test_an_id_that_becomes_known_is_no_other_list(lists_of):
    """Made by name first, its number written down later."""
    world = lists_of()
    world.name_entries({"*": {"create": True, "name": "VIP", "external_id": ""}})
    await world.enter("ada")
    await world.run()
    world.name_entries({"*": {"create": True, "name": "VIP", "external_id": "A"}})
    run = await world.run()
    assert (run.kind, counters(run).unchanged) == ("diff", 1)


async def test_a_whole_list_for_another_target_is_due_at_once(lists_of):
    """Twenty hours have not passed since the upload to the old one."""
    world = lists_of(**whole_lists(), schedule={"every": "1h"}, start="schedule")
    await world.enter("ada", "bob", "cyd")
    await world.work()
    world.now_us += HOUR
    await world.work()
    assert world.on("A") == {"ada", "bob", "cyd"}
    await world.leave("cyd")
    await world.enter("dan")
    world.name_list("B")
    world.now_us += HOUR
    await world.work()
    run = (await world.runs())[-1]
    assert (run.status, counters(run).planned, counters(run).list_before) == ("succeeded", {"add": 3}, 0)
    assert (world.on("A"), world.on("B")) == ({"ada", "bob", "cyd"}, {"ada", "bob", "dan"})
    world.name_list("A")
    world.now_us += HOUR
    await world.work()
    run = (await world.runs())[-1]
    assert (run.status, run.reason) == ("skipped", "not_due")
    world.now_us += 20 * HOUR
    await world.work()
    done = next(one for one in reversed(await world.runs()) if one.status == "succeeded")
    assert counters(done).planned == {"add": 1, "update": 2, "remove": 1}


async def test_another_audience_takes_over_the_list(lists_of):
    """Its members are added, and in mirror mode those of the old one removed, under the eyes of the guards."""
    world = lists_of(guards={"removal_floor": 0})
    world.name_entries({"vip": {"external_id": "A"}})
    await world.enter("ada", "bob")
    await world.run()
    world.name_entries({"gold": {"external_id": "A"}})
    await world.of_audience("gold", "bob", "cyd")
    gold = (await world.state.read(lambda view: view.syncs()))[1]
    await orders(world).run("lister/all/gold")
    await world.work()
    run = next(one for one in await world.runs() if one.sync == gold.id)
    assert (run.status, counters(run).planned) == ("held", {"add": 1, "remove": 1})
    await orders(world).approve(run.id, by="ada")
    await world.work()
    assert world.on("A") == {"bob", "cyd"}


async def test_a_live_run_finds_the_new_list_and_begins_it_whole(lists_of):
    """Nobody waits for the daily diff."""
    world = lists_of(**FOLLOWING)
    await world.enter("ada")
    world.now_us += 30 * S
    await world.work()
    world.name_list("B")
    await world.enter("bob")
    world.now_us += 30 * S
    await world.work()
    assert (world.on("A"), world.on("B")) == ({"ada"}, {"ada", "bob"})


async def test_a_run_on_its_way_ends_with_the_list_it_began_with(lists_of):
    """The file names another one while deliveries wait."""
    world = lists_of()
    people = [f"u{number}" for number in range(6)]
    await world.enter(*people)
    run = await _order(world)
    await world.syncs.step()
    world.name_list("B")
    await world.work()
    assert (await world.run_row(run)).status == "succeeded"
    assert (world.on("A"), world.on("B")) == (set(people), set())


async def test_what_is_kept_of_an_old_list_cannot_be_brought_back_as_a_sync(lists_of):
    """Naming the list again is the way; `undelete` says so."""
    world = lists_of()
    await world.enter("ada")
    await world.run()
    world.name_list("B")
    await world.run()
    live, parked = await world.state.read(lambda view: view.syncs())
    assert (live.status, parked.status) == ("active", "deleted")
    with pytest.raises(OrderError, match="earlier list"):
        await orders(world).undelete(f"{parked.mapping}/vip")
    with pytest.raises(OrderError, match="is deleted"):
        await orders(world).run(f"{parked.mapping}/vip")


OLD = Target(id="1", finders={"name": "VIP"}, accounts={"account_id": "x"})
OTHERS = [
    (Target(id="1"), False),
    (Target(id="2"), True),
    (Target(), True),
    (Target(id="1", finders={"name": "Gold"}), False),
    (Target(id="1", accounts={"account_id": "y"}), True),
]


@pytest.mark.parametrize(("new", "expected"), OTHERS)
def test_what_makes_another_list(new, expected):
    """Its id, or the account it lies in; a name only while no id is known."""
    assert is_other_list(OLD, new) is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"name": "VIP"}, {"name": "Gold"}, True),
        ({"name": "VIP"}, {"name": "VIP"}, False),
        ({}, {"region": "EU"}, True),
    ],
)
def test_without_an_id_what_finds_the_list_counts(old, new, expected):
    """An id that becomes known is that of the same list, whatever it is called."""
    assert is_other_list(Target(finders=old), Target(finders=new)) is expected
    assert not is_other_list(Target(finders=old), Target(id="9", finders=new))


def test_a_whole_list_cannot_be_emptied():
    """`clear_old` is an error there."""
    from msgspec.structs import replace

    options = replace(default_options(WHOLE_LISTS), on_target_change="clear_old")
    assert [one.pointer for one in check_capabilities(options, WHOLE_LISTS)] == ["/on_target_change"]
    assert check_capabilities(replace(default_options(), on_target_change="clear_old"), SINGLE_CHANGES) == []


async def _tidy(world: Lists) -> None:
    while await world.state.write(lambda tx: tidy_syncs(tx, world.now_us)):
        pass


async def _order(world: Lists) -> int:
    sync = await world.sync()
    row = RunRow(id=0, sync=sync.id, kind="", trigger="manual", queued_us=world.now_us, due_us=world.now_us)
    number: int = await world.state.write(lambda tx: tx.add_run(row))
    return number
