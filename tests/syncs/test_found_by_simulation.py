"""Faults that the simulation found, each told as the shortest story that shows it."""

from __future__ import annotations

from typing import Any

import pytest
from ordering import NAME, orders
from sync_world import DAY, REFUSE, World, counters

from gateway.core.run_counters import broken_sums
from gateway.store.sync_rows import RunRow

pytestmark = pytest.mark.anyio

BLOCK: dict[str, Any] = {"schedule": {"manual": True}, "guards": {"empty_audience": "off"}}
ALIAS = {"email": {"@path": "$.context.traits.alias"}}


def remap(world: World, fields: dict[str, object]) -> None:
    """The mapping file is saved with these fields."""
    world.fields = fields
    world.edit(**BLOCK)


async def test_a_mapping_edited_there_and_back_leaves_no_record_of_the_one_between(world_of):
    """Bob came while the other one stood; the next run knows his record was made by that one."""
    world = world_of()
    await world.enter("ada", alias="ada@example.net")
    await world.run()
    remap(world, ALIAS)
    await world.enter("bob", alias="bob@example.net")
    remap(world, {})
    await world.run()
    assert set(world.platform.listed) == {"ada@example.com", "bob@example.com"}


async def test_an_edit_during_a_run_is_not_taken_for_done_by_it(world_of):
    """The run ends with what it was planned with; the next one makes all records anew."""
    world = world_of()
    await world.enter("ada", "bob", alias="pair@example.net")
    sync = await world.sync()
    await orders(world).run(NAME)
    for _ in range(3):
        await world.syncs.step()
    assert (await world.runs())[0].status == "sending"
    remap(world, ALIAS)
    await world.work()
    assert set(world.platform.listed) == {"ada@example.com", "bob@example.com"}
    await world.run()
    assert set(world.platform.listed) == {"pair@example.net"}
    assert (await world.sync()).id == sync.id


async def test_an_edit_while_records_are_made_anew_makes_them_once_more(world_of):
    """Between the page and the first look another mapping came."""
    world = world_of()
    await world.enter("ada", alias="ada@example.net")
    await orders(world).run(NAME)
    await world.state.write(world.syncs._start_queued)
    run = (await world.runs())[0].id
    assert await world.syncs.runner.advance(run)  # the first look: a page is to be made
    remap(world, ALIAS)
    await world.enter("bob", alias="bob@example.net")
    await world.work()
    assert set(world.platform.listed) == {"ada@example.net", "bob@example.net"}


async def test_a_clear_does_not_pass_for_having_made_records_anew(world_of):
    """It looks at what is listed only, so the run behind it still has them to make."""
    world = world_of()
    await world.enter("ada", alias="ada@example.net")
    await world.run()
    remap(world, ALIAS)
    await orders(world).clear(NAME)
    await world.work()
    assert world.platform.listed == {}
    await world.run()
    assert set(world.platform.listed) == {"ada@example.net"}


async def test_a_run_cancelled_before_its_plan_adds_up(world_of):
    """The list was not looked at yet; it ends cancelled, not failed."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await orders(world).run(NAME)
    await world.state.write(world.syncs._start_queued)
    run = (await world.runs())[-1]
    await orders(world).cancel(run.id)
    await world.work()
    run = await world.run_row(run.id)
    assert (run.status, counters(run).list_before, broken_sums(counters(run))) == ("cancelled", 1, [])


async def test_a_run_cancelled_before_its_records_are_kept_adds_up(world_of):
    """A subtractive sync tracks newcomers without a request; cancelled, nobody is tracked, and the counters say so."""
    world = world_of(mode="subtractive")
    await world.enter("ada", "bob")
    await orders(world).run(NAME)
    await world.state.write(world.syncs._start_queued)
    run = (await world.runs())[-1]
    while b'"stage":"judge"' not in (await world.run_row(run.id)).progress:
        assert await world.syncs.runner.advance(run.id)
    await orders(world).cancel(run.id)
    await world.work()
    run = await world.run_row(run.id)
    assert (run.status, counters(run).list_change, broken_sums(counters(run))) == ("cancelled", 0, [])
    assert counters(await world.run()).skipped == {"tracked": 2}


async def test_a_held_run_that_is_rejected_adds_up(world_of):
    """What it had planned counts as cancelled."""
    world = world_of(guards={"max_removals": 1, "empty_audience": "off"})
    await world.enter("ada", "bob", "cyd")
    await world.run()
    await world.leave("ada", "bob")
    held = await world.run()
    await orders(world).reject(held.id)
    run = await world.run_row(held.id)
    assert (run.status, run.reason, counters(run).cancelled) == ("cancelled", "rejected by a person", 2)
    assert broken_sums(counters(run)) == []
    assert len(world.platform.listed) == 3


async def test_a_run_ordered_during_a_pause_does_everything(world_of):
    """The pause keeps the schedule away, not the person: here an owed resend is sent and not only struck off."""
    world = world_of(mode="subtractive")
    await world.enter("ada")
    await world.run()
    world.edit(mode="mirror", **BLOCK)
    await orders(world).pause(NAME)
    await orders(world).run(NAME, while_paused=True)
    await world.work()
    run = (await world.runs())[-1]
    assert (run.kind, counters(run).added, set(world.platform.listed)) == ("resend", 1, {"ada@example.com"})


async def test_an_erasure_during_a_pause_leaves_the_news_of_others_for_later(world_of):
    """Bob came during the pause of a sync that follows events: after it he does not wait for the reconciling run."""
    continuous = {"continuous": {"max_delay": "30s", "reconcile": {"daily": "03:00"}}}
    world = world_of(schedule=continuous)
    await world.enter("ada", "bob")
    await world.work()
    await world.run()
    await orders(world).pause(NAME)
    await world.enter("cyd")
    await world.delete("bob")
    await world.work()
    assert set(world.platform.listed) == {"ada@example.com"}
    await orders(world).resume(NAME)
    world.now_us += 60 * 1_000_000
    await world.work()
    assert set(world.platform.listed) == {"ada@example.com", "cyd@example.com"}


async def test_who_was_refused_while_every_run_tried_again_is_tried_again_after_the_edit(world_of):
    """The mapping says `on_change` by now; a week after the refusal one more try is made."""
    world = world_of(retry={"rejected": "every_run"})
    await world.enter("ada")
    await world.run(REFUSE)
    world.edit(retry={"rejected": "on_change"}, **BLOCK)
    assert counters(await world.run()).skipped == {"quarantined": 1}
    world.now_us += 8 * DAY
    assert counters(await world.run()).added == 1


async def test_a_mode_edited_after_a_run_has_begun_is_for_the_next_run(world_of):
    """The file says `subtractive` before the run's plan is made: it adds all the same, and the next one owes nothing."""
    world = world_of(**BLOCK)
    await world.enter("ada")
    await world.run()
    await world.enter("bob")
    sync = await world.sync()
    row = RunRow(id=0, sync=sync.id, kind="", trigger="manual", queued_us=world.now_us, status="planning")
    run = await world.state.write(lambda tx: tx.add_run(row))
    assert await world.syncs.runner.advance(run)
    world.edit(**BLOCK, mode="subtractive")
    await world.work()
    assert (counters(await world.run_row(run)).added, len(world.platform.listed)) == (1, 2)
    world.edit(**BLOCK)
    assert (await world.run()).kind == "diff"
