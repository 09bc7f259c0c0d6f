"""Runs of single changes: the worked examples of the table, on a real store, through decisions, runs and settling."""

from __future__ import annotations

import pytest
from sync_world import ACCEPT, DAY, FAIL, REFUSE, TIME_OUT, TIME_OUT_AFTER, S, counters

from gateway.core.outcomes import Deferred
from gateway.core.sync_options import Capabilities
from gateway.store.sync_rows import ABSENT, UNSURE, RunRow
from gateway.syncs.memory import read_more

pytestmark = pytest.mark.anyio

E = "ada@example.com"
CHANGES = Capabilities(update=True)


async def test_somebody_entered_is_added_once(world_of):
    """Rows 1 and 2."""
    world = world_of()
    await world.enter("ada")
    run = await world.run()
    assert (run.status, counters(run).added, world.platform.requests) == ("succeeded", 1, [("enter", E)])
    run = await world.run()
    assert (run.status, counters(run).unchanged, counters(run).requests) == ("succeeded", 1, 0)


async def test_a_mapped_field_that_changed_is_an_update_and_another_is_not(world_of):
    """Rows 3 and 4."""
    world = world_of()
    await world.enter("ada", ltv=10)
    await world.run()
    await world.enter("ada", ltv=12)
    run = await world.run()
    assert (counters(run).updated, world.platform.listed) == (1, {E: 12})
    await world.enter("ada", ltv=12, city="Berlin")
    assert counters(await world.run()).unchanged == 1


async def test_a_changed_identifier_is_removed_then_added(world_of):
    """Row 5."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await world.enter("ada", email="new@example.com")
    run = await world.run()
    assert world.platform.requests[-2:] == [("exit", E), ("enter", "new@example.com")]
    assert (counters(run).updated, counters(run).requests, world.platform.listed) == (1, 2, {"new@example.com": None})


async def test_a_replace_whose_second_half_fails_is_added_by_the_next_run(world_of):
    """Row 6."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await world.enter("ada", email="new@example.com")
    run = await world.run(lambda operation, _payload: FAIL if operation == "enter" else ACCEPT)
    assert (run.status, counters(run).failed, world.platform.listed) == ("failed", 1, {})
    run = await world.run()
    assert (counters(run).added, world.platform.listed) == (1, {"new@example.com": None})


async def test_removals_use_what_was_sent(world_of):
    """Rows 7 and 8: the exit event says another address."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await world.leave("ada", email="other@example.com")
    run = await world.run()
    assert (counters(run).removed, world.platform.requests[-1]) == (1, ("exit", E))
    assert await world.record("ada") is None


async def test_entered_and_left_between_runs_is_nothing(world_of):
    """Row 9; row 10 and 11 for somebody listed."""
    world = world_of()
    await world.enter("ada", ltv=1)
    await world.leave("ada")
    await world.enter("bob", ltv=10)
    run = await world.run()
    assert (counters(run).considered, counters(run).added) == (1, 1)
    await world.leave("bob")
    await world.enter("bob", ltv=10)
    assert counters(await world.run()).unchanged == 1
    await world.leave("bob")
    await world.enter("bob", ltv=12)
    assert counters(await world.run()).updated == 1


async def test_who_cannot_be_rendered_is_counted_and_kept_as_they_were(world_of):
    """Rows 12 and 13."""
    world = world_of(guards={"unmappable_percent": "off"})
    await world.enter("ada", email=None)
    run = await world.run()
    assert (run.status, counters(run).rejected_mapping, counters(run).planned) == ("partial", 1, {})
    await world.enter("bob")
    await world.run()
    await world.enter("bob", email=None)
    run = await world.run()
    assert (counters(run).rejected_mapping, world.platform.listed) == (2, {"bob@example.com": None})


async def test_a_refused_member_is_quarantined_until_something_changes(world_of):
    """Rows 14, 15 and 16."""
    world = world_of()
    await world.enter("ada", "bob")
    run = await world.run(lambda _operation, payload: REFUSE if payload["email"] == E else ACCEPT)
    assert (run.status, counters(run).rejected_destination, counters(run).added) == ("partial", 1, 1)
    assert counters(await world.run()).skipped == {"quarantined": 1}
    await world.enter("ada", email="mended@example.com")
    assert counters(await world.run()).added == 1


async def test_a_quarantined_member_is_tried_again_after_a_week(world_of):
    """`recheck_rejected_after`."""
    world = world_of()
    await world.enter("ada")
    await world.run(REFUSE)
    world.now_us += 7 * DAY
    assert counters(await world.run()).added == 1


async def test_what_failed_is_planned_again(world_of):
    """Rows 17, 18 and 19."""
    world = world_of()
    await world.enter("ada", "bob")
    run = await world.run(FAIL)
    assert (run.status, counters(run).failed, counters(run).attempts) == ("failed", 2, 10)
    await world.leave("bob")
    run = await world.run()
    assert (counters(run).added, counters(run).considered) == (1, 1)
    assert await world.record("bob") is None


@pytest.mark.parametrize("silence", [TIME_OUT, TIME_OUT_AFTER])
async def test_what_nobody_knows_is_asked_for_again(world_of, silence):
    """Rows 20, 21 and 22."""
    world = world_of()
    await world.enter("ada", "bob")
    run = await world.run(silence)
    assert (run.status, counters(run).unsure) == ("failed", 2)
    await world.leave("bob")
    run = await world.run()
    assert (counters(run).added, counters(run).removed, world.platform.listed) == (1, 1, {E: None})


async def test_a_removal_that_failed_is_forgotten_when_the_member_comes_back(world_of):
    """Rows 23 and 24."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    await world.leave("ada", "bob")
    await world.run(lambda _operation, payload: FAIL if payload["email"] == E else TIME_OUT)
    await world.enter("ada", "bob")
    run = await world.run()
    assert (counters(run).unchanged, counters(run).added) == (1, 1)
    assert read_more((await world.record("ada")).more).problem is None


async def test_additive_adds_and_never_removes(world_of):
    """Rows 25 to 28."""
    world = world_of(mode="additive")
    await world.enter("ada", ltv=1)
    assert counters(await world.run()).added == 1
    await world.leave("ada")
    assert counters(await world.run()).skipped == {"not_in_mode": 1}
    await world.enter("ada", ltv=2)
    assert counters(await world.run()).updated == 1
    await world.enter("ada", email="new@example.com")
    run = await world.run()
    assert (counters(run).added, world.platform.listed) == (1, {E: 2, "new@example.com": None})
    assert len(read_more((await world.record("ada")).more).orphans) == 1


async def test_subtractive_removes_and_never_adds(world_of):
    """Rows 29 to 32."""
    world = world_of(mode="subtractive")
    await world.enter("ada", "bob", "cyd", ltv=10)
    await world.enter("bob", ltv=10)
    await world.enter("cyd", ltv=10)
    await world.enter("ada", ltv=10)
    run = await world.run()
    assert (counters(run).skipped["tracked"], counters(run).requests) == (3, 0)
    await world.leave("bob")
    assert counters(await world.run()).removed == 1
    await world.enter("dan", ltv=1)
    assert counters(await world.run()).skipped == {"tracked": 1}
    await world.enter("ada", ltv=12)
    assert counters(await world.run()).skipped == {"not_in_mode": 1}


@pytest.mark.parametrize("mode", ["mirror", "subtractive"])
async def test_an_exit_of_somebody_never_seen_is_removed_once(world_of, mode):
    """Row 33."""
    world = world_of(mode=mode)
    await world.enter("bob")
    await world.run()
    await world.leave("ada")
    run = await world.run()
    assert (counters(run).removed, world.platform.requests[-1]) == (1, ("exit", E))
    requests = len(world.platform.requests)
    await world.run()
    assert len(world.platform.requests) == requests


async def test_a_deletion_takes_everything_in_every_mode(world_of):
    """Row 34."""
    world = world_of(mode="additive")
    await world.enter("ada")
    await world.run()
    await world.enter("ada", email="new@example.com")
    await world.run()
    await world.delete("ada")
    run = await world.run()
    assert (counters(run).removed, counters(run).erased, world.platform.listed) == (1, 1, {})
    assert await world.state.read(lambda view: view.records(view.syncs()[0].id)) == []


async def test_adopting_a_list_sends_nothing(world_of):
    """Rows 35 and 36."""
    world = world_of(initial="adopt")
    await world.enter(*(f"u{number}" for number in range(100)), ltv=10)
    run = await world.run()
    assert (run.kind, counters(run).skipped, counters(run).requests) == ("adopt", {"tracked": 100}, 0)
    await world.enter("u7", ltv=12)
    run = await world.run()
    assert (counters(run).updated, counters(run).unchanged) == (1, 99)


async def test_from_additive_to_mirror_the_retained_go(world_of):
    """Row 37."""
    world = world_of(mode="additive")
    users = [f"u{number}" for number in range(100)]
    await world.enter(*users)
    await world.run()
    await world.leave(*users[:40])
    await world.run()
    world.edit(mode="mirror", schedule={"manual": True})
    run = await world.run()
    assert (run.status, counters(run).removed, len(world.platform.listed)) == ("succeeded", 40, 60)


async def test_two_members_of_one_identity_are_one_entry(world_of):
    """Rows 42 and 43."""
    world = world_of()
    await world.enter("ada", "bob", email="same@example.com")
    run = await world.run()
    assert (counters(run).added, counters(run).skipped) == (1, {"shared_identifier": 1})
    await world.leave("ada")
    run = await world.run()
    assert (counters(run).unchanged, counters(run).requests) == (2, 0)
    await world.leave("bob")
    run = await world.run()
    assert (counters(run).removed, world.platform.listed) == (1, {})
    assert world.platform.requests == [("enter", "same@example.com"), ("exit", "same@example.com")]


async def test_after_subtractive_everybody_is_added_by_one_resend(world_of):
    """Row 51."""
    world = world_of(mode="subtractive")
    await world.enter("ada", "bob", "cyd")
    await world.run()
    world.edit(mode="mirror", schedule={"manual": True})
    run = await world.run()
    assert (run.kind, counters(run).added) == ("resend", 3)
    assert (await world.run()).kind == "diff"


async def test_everybody_is_added_again_so_often_as_asked(world_of):
    """For a platform that forgets people after a while; a run in between adds nobody, one by hand counts, too."""
    world = world_of(resend_every="30d")
    await world.enter("ada", "bob")
    assert (await world.run()).kind == "initial"
    world.now_us += 29 * DAY
    assert (await world.run()).kind == "diff"
    world.now_us += DAY
    run = await world.run()
    assert (run.kind, counters(run).requests) == ("resend", 2)
    assert world.platform.listed == {"ada@example.com": None, "bob@example.com": None}
    world.now_us += 20 * DAY
    assert (await world.run(kind="resend")).kind == "resend"
    world.now_us += 20 * DAY
    assert (await world.run()).kind == "diff"


async def test_an_unsure_member_with_another_identifier_is_replaced(world_of):
    """Row 52."""
    world = world_of()
    await world.enter("ada")
    await world.run(TIME_OUT_AFTER)
    await world.enter("ada", email="new@example.com")
    run = await world.run()
    assert (counters(run).updated, world.platform.listed) == (1, {"new@example.com": None})


async def test_an_answer_lost_in_a_crash_is_asked_for_again(world_of):
    """Row 50: the request had gone out; the run goes on after the restart and asks once more."""
    world = world_of()
    await world.enter("ada")
    sync = await world.sync()
    from gateway.store.sync_rows import RunRow

    number = await world.state.write(
        lambda tx: tx.add_run(RunRow(id=0, sync=sync.id, kind="", trigger="manual", due_us=world.now_us))
    )
    while not (rows := await world.claim()):
        await world.syncs.step()
    world.platform.take(rows[0].operation, {"email": E})
    await world.restart()
    await world.work()
    run = await world.run_row(number)
    assert (run.status, counters(run).added, world.platform.listed) == ("succeeded", 1, {E: None})


async def test_a_refusal_after_silence_settles_nothing(world_of):
    """The first attempt may have had its effect, whatever is said of the second."""
    world = world_of()
    await world.enter("ada")
    answers = [FAIL, TIME_OUT_AFTER, FAIL]
    run = await world.run(lambda _operation, _payload: answers.pop(0) if answers else REFUSE)
    row = await world.record("ada")
    assert (run.status, counters(run).unsure, row.state) == ("failed", 1, UNSURE)
    await world.leave("ada")
    await world.run()
    assert world.platform.listed == {}


async def test_the_silence_of_one_part_is_forgotten_with_its_answer(world_of):
    """The removal half of a replace had no answer at first; the refusal of the other half is a refusal. So with two removals."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await world.enter("ada", email="new@example.com")
    answers = [TIME_OUT, ACCEPT, REFUSE]
    run = await world.run(lambda _operation, _payload: answers.pop(0))
    assert (counters(run).rejected_destination, counters(run).unsure, await listed_as(world)) == (1, 0, ABSENT)
    world = world_of(mode="additive")
    await world.enter("ada")
    await world.run()
    await world.enter("ada", email="new@example.com")
    await world.run()
    world.edit(schedule={"manual": True}, guards={"empty_audience": "off"})
    await world.leave("ada")
    answers = [TIME_OUT, ACCEPT]
    run = await world.run(lambda _operation, _payload: answers.pop(0) if answers else FAIL)
    assert (counters(run).failed, counters(run).unsure, len(world.platform.listed)) == (1, 0, 1)


async def listed_as(world):
    return (await world.record("ada")).state


async def test_nobody_who_was_deleted_since_the_plan_is_sent_again(world_of):
    """An update is planned and waits for its turn; then the person is deleted: it is cancelled, and only the removal goes out."""
    world = world_of(capabilities=CHANGES)
    await world.enter("ada", "bob", ltv=1)
    await world.run()
    await world.enter("ada", "bob", ltv=2)
    sync = await world.sync()
    row = RunRow(id=0, sync=sync.id, kind="", trigger="manual", queued_us=world.now_us, status="planning")
    number = await world.state.write(lambda tx: tx.add_run(row))
    while b'"stage":"send"' not in (await world.run_row(number)).progress:
        assert await world.syncs.runner.advance(number)
    await world.delete("ada")
    count = len(world.platform.requests)
    await world.work()
    run = await world.run_row(number)
    assert (counters(run).updated, counters(run).cancelled) == (1, 1)
    assert world.platform.requests[count:] == [("update", "bob@example.com"), ("exit", E)]
    assert set(world.platform.listed) == {"bob@example.com"}


async def test_rows_of_the_log_name_no_person(world_of):
    """One line an operation, with a reference instead of a person, the same in every run."""
    world = world_of()
    await world.enter("ada")
    first = await world.run(REFUSE)
    await world.enter("ada", ltv=2)
    second = await world.run()
    lines = [
        line
        for run in (first, second)
        for line in await world.state.read(lambda view, run=run: view.row_results(run=run.id))
    ]
    assert [(line.operation, line.status, line.code) for line in lines] == [
        ("add", "rejected", "INVALID_RECORD"),
        ("add", "accepted", ""),
    ]
    assert lines[0].member_ref == lines[1].member_ref
    assert not any("ada" in str(line) or "@" in str(line) for line in lines)


async def test_continuing_failures_back_off_to_once_a_day(world_of):
    """After ten failed runs in a row a member is tried once a day."""
    world = world_of()
    await world.enter("ada")
    for _ in range(10):
        await world.run(FAIL)
        world.now_us += S
    assert counters(await world.run(FAIL)).skipped == {"backoff": 1}
    world.now_us += DAY
    assert counters(await world.run()).added == 1


async def test_what_was_put_off_before_its_request_was_not_tried(world_of):
    """A batch was stopped before this one's request: once it is sent, that is its first attempt."""
    world = world_of()
    await world.enter("ada")
    run = await world.run(Deferred(reason="Not sent yet.", wait_s=1.0, status=0, concerns="delivery"))
    assert (run.status, counters(run).attempts) == ("sending", 0)
    world.now_us += 2 * S
    world.platform.answer = lambda _operation, _payload: ACCEPT
    await world.work()
    run = await world.run_row(run.id)
    (line,) = await world.state.read(lambda view: view.row_results(run=run.id))
    assert (run.status, counters(run).attempts, line.attempts) == ("succeeded", 1, 1)
