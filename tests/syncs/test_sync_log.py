"""What stands in the sync log, by the mapping's `log`: whose lines, how many, and none of them twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from ordering import orders
from sync_world import ACCEPT, REFUSE, World, counters, whole_lists

from gateway.core.run_counters import broken_sums
from gateway.store.sync_rows import RowResult, RunRow
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


async def test_a_whole_list_has_no_line_a_member(world_of):
    """It ends as one; its counters say how many."""
    world = world_of(**whole_lists(1))
    await world.enter("ada", "bob")
    run = await world.run()
    assert (counters(run).added, await lines(world, run)) == (2, [])
