"""What stands in the sync log, by the mapping's `log`: whose lines, how many, and none of them twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace
from ordering import NAME, orders
from sync_world import ACCEPT, FAIL, REFUSE, TIME_OUT, World, counters, whole_lists

from gateway.core.run_counters import broken_sums
from gateway.core.sync_options import WHOLE_LISTS
from gateway.store.sync_rows import PRESENT, RowResult, RunRow
from gateway.syncs.memory import encode_json, read_progress
from gateway.syncs.settling import PROBLEMS_LOGGED_WITHOUT_LOG

pytestmark = pytest.mark.anyio

MANUAL: dict[str, Any] = {"schedule": {"manual": True}}
OPEN: dict[str, Any] = {"empty_audience": "off", "unmappable_percent": "off"}


async def lines(world: World, run: RunRow) -> list[RowResult]:
    return await world.state.read(lambda view: view.row_results(run=run.id))


async def told(world: World, run: RunRow) -> Counter[tuple[str, str, str]]:
    return Counter((line.operation, line.status, line.code) for line in await lines(world, run))


SKIPPED = [
    # mode, what happens before the run, its lines
    ("mirror", (), {("", "skipped", "unchanged"): 3}),
    ("additive", ("leave",), {("", "skipped", "unchanged"): 2, ("", "skipped", "not_in_mode"): 1}),
    ("mirror", ("enter", "unmappable"), {("", "skipped", "unchanged"): 3, ("add", "accepted", ""): 1,
                                         ("add", "rejected", "payload_invalid"): 1}),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "events", "expected"), SKIPPED, ids=["nothing", "retained", "some of each"])
@pytest.mark.parametrize("skipped", [False, True])
async def test_members_with_nothing_to_do_have_a_line_where_the_mapping_asks_for_it(
    world_of, mode, events, expected, skipped
):
    """Three are listed. The counters and the requests are the same either way."""
    block = {"mode": mode, "guards": OPEN, "log": {"skipped": skipped}}
    world = world_of(**block)
    await world.enter("ada", "bob", "cyd")
    await world.run()
    for event in events:
        match event:
            case "leave":
                await world.leave("ada")
            case "enter":
                await world.enter("dan")
            case "unmappable":
                await world.enter("eve", email=None)
    run = await world.run()
    wanted = {line: count for line, count in expected.items() if skipped or line[1] != "skipped"}
    assert await told(world, run) == wanted
    assert (counters(run).considered, broken_sums(counters(run))) == (sum(expected.values()), [])


async def test_a_run_that_has_counted_those_it_passes_over_does_so_whatever_the_file_says_then(world_of):
    """`skipped` is switched on between its first look and its plan: nobody is counted twice."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    sync = await world.sync()
    row = RunRow(id=0, sync=sync.id, kind="", trigger="manual", queued_us=world.now_us, status="planning")
    number = await world.state.write(lambda tx: tx.add_run(row))
    while b'"stage":"plan"' not in (await world.run_row(number)).progress:
        assert await world.syncs.runner.advance(number)
    world.edit(**MANUAL, log={"skipped": True})
    await world.work()
    run = await world.run_row(number)
    assert (run.status, counters(run).considered, broken_sums(counters(run))) == ("succeeded", 2, [])


async def test_an_approved_run_tells_each_refusal_of_the_mapping_once(world_of):
    """It was planned twice; the lines of the plan that was held are gone, and so are those of people who are well by then."""
    world = world_of(guards={**OPEN, "max_removals": 1})
    await world.enter("ada", "bob", "cyd")
    await world.run()
    await world.leave("ada", "bob")
    await world.enter("dan", "eve", email=None)
    held = await world.run()
    assert (held.status, (await told(world, held))["add", "rejected", "payload_invalid"]) == ("held", 2)
    await world.enter("eve")
    await orders(world).approve(held.id, by="ada")
    await world.work()
    run = await world.run_row(held.id)
    assert await told(world, run) == {
        ("add", "rejected", "payload_invalid"): 1, ("add", "accepted", ""): 1, ("remove", "accepted", ""): 2,
    }  # fmt: skip
    assert counters(run).codes == {"payload_invalid": 1}


async def test_without_a_log_the_first_problems_are_told(world_of):
    """Counters know of all; what got through, or had nothing to do, is none."""
    world = world_of(guards=OPEN, log={"keep": False, "skipped": True})
    await world.enter("well", *(f"u{number}" for number in range(PROBLEMS_LOGGED_WITHOUT_LOG + 5)))
    await world.run(lambda _operation, payload: REFUSE if payload["email"].startswith("u") else ACCEPT)
    (run,) = await world.runs()
    assert counters(run).rejected_destination == PROBLEMS_LOGGED_WITHOUT_LOG + 5
    assert {line.status for line in await lines(world, run)} == {"rejected"}
    assert len(await lines(world, run)) == PROBLEMS_LOGGED_WITHOUT_LOG
    again = await world.run()
    assert await lines(world, again) == []


async def test_a_sample_is_of_the_same_people_in_every_run_and_leaves_no_problem_out(world_of):
    """Half of forty, about; who is refused has a line in any case."""
    world = world_of(guards=OPEN, log={"sample": 0.5})
    people = [f"u{number}" for number in range(40)]
    await world.enter(*people, ltv=1)
    first = {line.member_ref for line in await lines(world, await world.run())}
    assert 5 < len(first) < 35
    await world.enter(*people, ltv=2)
    assert {line.member_ref for line in await lines(world, await world.run())} == first
    await world.enter(*people, ltv=3)
    assert len(await lines(world, await world.run(REFUSE))) == 40


# Three are listed; ada leaves, dan enters, cyd's value changes, eve has no address. What the upload comes to, its lines.
LISTS: list[tuple[str, Any, str, dict[tuple[str, str, str], int]]] = [
    ("taken", ACCEPT, "accepted", {}),
    ("refused", REFUSE, "rejected", {}),
    ("failed", FAIL, "failed", {}),
    ("without an answer", TIME_OUT, "unsure", {}),
    ("taken, everybody told", ACCEPT, "accepted", {("", "skipped", "unchanged"): 1}),
]


@pytest.mark.parametrize(("what", "answer", "status", "others"), LISTS, ids=[row[0] for row in LISTS])
async def test_a_whole_list_has_a_line_for_each_person_it_changes(world_of, what, answer, status, others):
    """They share the end of the upload, its number, its times and its answer; the digests are their own."""
    world = world_of(**several_fields(), log={"skipped": bool(others)}, guards=OPEN)
    await world.enter("ada", "bob", "cyd", ltv=1)
    await world.run()
    await world.leave("ada")
    await world.enter("dan")
    await world.enter("cyd", ltv=2)
    await world.enter("eve", email=None)
    run = await world.run(answer)
    code = "INVALID_RECORD" if status == "rejected" else ""
    assert await told(world, run) == {
        ("remove", status, code): 1, ("add", status, code): 1, ("update", status, code): 1,
        ("add", "rejected", "payload_invalid"): 1, **others,
    }  # fmt: skip
    assert (counters(run).planned, broken_sums(counters(run))) == ({"add": 1, "update": 2, "remove": 1}, [])
    about = {one.operation: one for one in await lines(world, run) if one.stage != "mapping" and one.operation}
    assert {(one.batch, one.attempts, one.http_status) for one in about.values()} == {
        (read_progress(run.progress).upload, counters(run).attempts, answer.status or 0)
    }
    assert all(run.started_us <= one.first_us <= one.finished_us <= run.finished_us for one in about.values())
    known = {name: (bool(one.fingerprint_before), bool(one.fingerprint_after)) for name, one in about.items()}
    assert known == {"add": (False, True), "update": (True, True), "remove": (True, False)}
    assert about["update"].fingerprint_before != about["update"].fingerprint_after
    assert {one.fields for one in about.values()} == {"email,name,ltv", "email,name"}
    assert {one.stage for one in about.values()} == {"destination" if status in ("accepted", "rejected") else "request"}


async def test_a_list_that_is_stopped_before_its_upload_ends_cancelled_for_each(world_of):
    """The next run adds them; a run that was stopped before its plan was whole has meant nobody."""
    world = world_of(**whole_lists(1))
    await world.enter("ada", "bob")
    for steps, expected in ((0, {}), (20, {("add", "cancelled", ""): 2})):
        number = int(str((await orders(world).run(NAME))["id"]))
        while steps and await world.syncs.step():
            pass
        await orders(world).cancel(number)
        await world.work()
        run = await world.run_row(number)
        assert (run.status, await told(world, run)) == ("cancelled", expected)
        assert await world.state.read(lambda view, run=run: view.snapshot_parts(run.id)) == []
    run = await world.run()
    assert await told(world, run) == {("add", "accepted", ""): 2}


async def test_a_list_that_is_stopped_after_an_upload_without_an_answer_is_unsure(world_of):
    """It waits for its next attempt; nobody knows whether the first one had its effect."""
    world = world_of(**whole_lists(1))
    await world.enter("ada")
    number = int(str((await orders(world).run(NAME))["id"]))
    while await world.syncs.step():
        pass
    run = await world.run_row(number)
    progress = replace(read_progress(run.progress), earlier="unsure", upload=1, message="no answer")
    await world.state.write(lambda tx: tx.save_run(replace(run, progress=encode_json(progress))))
    await orders(world).cancel(number)
    await world.work()
    run = await world.run_row(number)
    assert (run.status, counters(run).unsure, await told(world, run)) == ("failed", 1, {("add", "unsure", ""): 1})
    assert broken_sums(counters(run)) == []


async def test_other_identifiers_on_a_whole_list_are_an_update_and_those_of_one_entry_one_line(world_of):
    """A platform that knows each member once; an address that passes to another member is no line at all."""
    world = world_of(**several_fields())
    await world.enter("ada", "bob")
    await world.enter("cyd", email="ada@example.com")
    assert await told(world, await world.run()) == {("add", "accepted", ""): 2}
    await world.enter("bob", email="bob@example.org")
    await world.leave("cyd")
    run = await world.run()
    assert await told(world, run) == {("update", "accepted", ""): 1}
    (line,) = await lines(world, run)
    assert line.fingerprint_before
    assert line.fingerprint_before != line.fingerprint_after
    await world.delete("bob")
    run = await world.run()
    assert [(one.operation, one.member_ref) for one in await lines(world, run)] == [("erase", "")]


async def test_a_whole_list_is_logged_as_its_mapping_says(world_of):
    """Nothing of what got through, the first problems, where `keep` is off; about half where half is asked for."""
    world = world_of(**whole_lists(1), log={"keep": False}, guards=OPEN)
    await world.enter(*(f"u{number}" for number in range(PROBLEMS_LOGGED_WITHOUT_LOG + 5)))
    refused = await world.run(REFUSE)
    assert len(await lines(world, refused)) == PROBLEMS_LOGGED_WITHOUT_LOG
    assert counters(refused).codes == {"INVALID_RECORD": PROBLEMS_LOGGED_WITHOUT_LOG + 5}
    assert await lines(world, await world.run()) == []
    world.edit(schedule={"manual": True}, log={"sample": 0.5}, guards=OPEN)
    await world.enter(*(f"v{number}" for number in range(40)))
    assert 5 < len(await lines(world, await world.run())) < 35


async def test_a_list_that_was_taken_is_told_marked_and_stripped_though_its_mapping_goes(world_of, monkeypatch):
    """The file is taken out between the answer and the noting of it: nothing that people gave stays behind."""
    world = world_of(**whole_lists(1))
    await world.enter("ada", "bob")
    number = int(str((await orders(world).run(NAME))["id"]))
    while b'"stage":"tell"' not in (await world.run_row(number)).progress:
        await world.syncs.step()
        await world.deliver()
    world.rules = replace(world.rules, destinations=())
    await world.work()
    run = await world.run_row(number)
    assert (run.status, await told(world, run)) == ("succeeded", {("add", "accepted", ""): 2})
    record = await world.record("ada")
    assert (record.state, record.run) == (PRESENT, number)
    page = await world.state.read(lambda view: view.list_page(number, after=b""))
    assert [row[3] for row in page] == [b"", b""]


def several_fields() -> dict[str, Any]:
    """A World of a platform that takes whole lists of members, each once, with a value beside the address."""
    return {"capabilities": replace(WHOLE_LISTS, min_distinct=1)}
