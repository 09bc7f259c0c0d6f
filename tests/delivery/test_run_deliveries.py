"""Single changes that runs planned: tried as their definition says, ended by it, and told to the run."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from gateway.core.outcomes import Unreachable
from gateway.core.run_limits import RunRetry
from gateway.core.sync_options import Capabilities
from gateway.delivery.batches import halving_requests_max
from gateway.delivery.bounds import LaneLimits
from gateway.delivery.worker import CLAIM_S_MAX
from gateway.destinations.base import Batch, Context, Performed

pytestmark = pytest.mark.anyio
RigOf = Callable[..., AbstractAsyncContextManager[Any]]
S = 1_000_000
OK = (200, {}, b'{"ok":true}')
DOWN = (503, {}, b"")


def ends(rig: Any) -> list[tuple[str, bool]]:
    """What the run was told of each attempt of a delivery: outcome and whether it was the last."""
    return [(type(one.outcome).__name__, one.is_final) for one in rig.runs.told]


def with_retry(rig: Any, **values: Any) -> Any:
    """The rig's definition with its own `retry`."""
    return msgspec.structs.replace(rig.destination.definition, run_retry=RunRetry(**values))


async def test_a_change_of_a_run_gets_five_attempts_within_seconds(rig_of: RigOf) -> None:
    """Half a second, doubled each time; then the run hears that it is over, and nothing is dead here."""
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: DOWN
        await rig.owe([0], run=7)
        rig.start()
        for attempts, wait_s in enumerate((0.5, 1, 2, 4), 1):
            await rig.settled(attempts)
            (row,) = await rig.rows()
            assert (row.due_us - rig.clock()) / S == wait_s
            rig.advance(wait_s)
        await rig.empty()
        assert len(rig.partner.requests) == 5
        assert ends(rig) == [("Unreachable", False)] * 4 + [("Unreachable", True)]


async def test_a_definitions_own_retry_values_count_for_runs_alone(rig_of: RigOf) -> None:
    """Two attempts, three seconds apart; what is forwarded beside it follows the lane's schedule."""
    async with rig_of() as rig:
        rig.set_lane("a", definition=with_retry(rig, max_attempts=2, base_ms=3_000, jitter="none"))
        rig.jitter = 0.5
        rig.partner.answer = lambda _records: DOWN
        await rig.owe([0], run=7)
        await rig.owe([1])
        rig.start()
        await rig.settled(2)
        waits = {row.run: (row.due_us - rig.clock()) / S for row in await rig.rows()}
        assert waits == {7: 3.0, 0: 0.5}
        rig.advance(3)
        await rig.settled(4)
        assert [(row.run, row.failures) for row in await rig.rows()] == [(0, 2)]
        assert ends(rig) == [("Unreachable", False), ("Unreachable", True)]


async def test_a_changed_definition_counts_from_the_next_attempt_on(rig_of: RigOf) -> None:
    """Its file was edited while the change waited."""
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: DOWN
        await rig.owe([0], run=7)
        rig.start()
        await rig.settled(1)
        rig.set_lane("a", definition=with_retry(rig, max_attempts=2))
        rig.advance(0.5)
        await rig.empty()
        assert ends(rig)[-1] == ("Unreachable", True)


@pytest.mark.parametrize(
    ("retry", "asked_s", "is_final", "wait_s", "lane_waits"),
    [
        ({}, "600", False, 600.0, True),
        ({}, "901", True, 0.0, True),
        ({"max_wait_s": 10}, "11", True, 0.0, True),
        ({"respect_retry_after": False}, "600", False, 0.5, False),
    ],
)
async def test_a_partners_wish_counts_as_far_as_the_definition_says(
    rig_of: RigOf, retry: dict[str, Any], asked_s: str, *, is_final: bool, wait_s: float, lane_waits: bool
) -> None:
    """Within `max_wait_s` it is waited for and uses up nothing; beyond, the change is over; or it is not heeded at all."""
    async with rig_of() as rig:
        rig.set_lane("a", definition=with_retry(rig, **retry))
        rig.partner.answer = lambda _records: (429, {"retry-after": asked_s}, b"")
        await rig.owe([0], run=7)
        rig.start()
        await rig.settled(1)
        assert ends(rig) == [("Deferred", is_final)]
        assert [(row.due_us - rig.clock()) / S for row in await rig.rows()] == ([] if is_final else [wait_s])
        (standing,) = await rig.lanes.standing()
        assert (standing.word == "waiting") == lane_waits


async def test_a_probe_never_ends_a_change_of_a_run(rig_of: RigOf) -> None:
    """Its last attempt is left for when the lane is open again."""
    async with rig_of() as rig:
        rig.set_lane("a", definition=with_retry(rig, max_attempts=1))
        rig.partner.answer = lambda _records: DOWN
        rig.start()
        await rig.lanes.pause("a")
        await rig.owe([0], run=7)
        await rig.lanes.probe("a")
        await rig.settled(1)
        assert [(row.state, row.failures) for row in await rig.rows()] == [("due", 0)]
        await rig.lanes.resume("a")
        await rig.empty()
        assert ends(rig) == [("Unreachable", False), ("Unreachable", True)]


# where once and twice differ -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "is_over"),
    [("reset", True), ((200, {}, b"<html>"), True), (DOWN, False), ((429, {"retry-after": "1"}, b""), False)],
)
async def test_an_attempt_that_may_have_worked_is_the_last_where_repeating_is_not_safe(
    rig_of: RigOf, mapping_of: Any, answer: Any, *, is_over: bool
) -> None:
    """`idempotent: false`: without an answer nobody knows, so a person decides; an answer that says no is tried again."""
    async with rig_of() as rig:
        rig.set_lane("a", mappings=[mapping_of("a/m", capabilities=Capabilities(idempotent=False))])
        answers = [answer]
        rig.partner.answer = lambda _records: answers.pop() if answers else OK
        await rig.owe([0], run=7)
        rig.start()
        await rig.settled(1)
        assert [is_final for _, is_final in ends(rig)] == [is_over]
        if is_over:
            outcome = rig.runs.told[0].outcome
            assert isinstance(outcome, Unreachable)
            assert outcome.may_have_worked
            assert await rig.rows() == []
        else:
            rig.advance(1)
            await rig.empty()
        assert len(rig.partner.requests) == (1 if is_over else 2)


async def test_what_a_stop_cuts_off_stays_claimed_for_the_run_to_judge(rig_of: RigOf) -> None:
    """Nobody knows whether it arrived; forwarded ones are given back."""
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: "hang"
        await rig.owe([0], run=7)
        await rig.owe([1])
        rig.start()
        await rig.until(lambda: rig.partner.at_once == 2)
        await rig.lanes.stop(0.05)
        await rig.task
        assert sorted((row.run, row.state) for row in await rig.rows()) == [(0, "due"), (7, "claimed")]


async def test_other_lists_of_a_person_are_not_repeated_for_order(rig_of: RigOf) -> None:
    """A run has one change of a person and list on its way, so what was taken stays taken while another waits."""
    async with rig_of() as rig:
        rig.destination.puts_off = lambda payload: Unreachable(reason="503", status=503) if payload["n"] == 0 else None
        await rig.owe([0, 1], member=5, run=7)
        rig.start()
        await rig.settled(1)
        assert [row.payload for row in await rig.rows()] == [b'{"n":0}']


# refusals and the breaker --------------------------------------------------------------------------------------------


async def test_halving_ends_with_its_run(rig_of: RigOf) -> None:
    """So many are refused that the run is stopped: no request of the batch goes out after that."""
    async with rig_of() as rig:

        def answer(_records: list[int]) -> Any:
            if len(rig.partner.requests) == 8:
                rig.runs.stopped.add(7)
            return (400, {}, b"")

        rig.partner.answer = answer
        await rig.owe(range(64), run=7)
        rig.start()
        await rig.until(lambda: len(rig.partner.requests) == 8)
        await rig.lanes.pause("a")
        await rig.signal.until(lambda: _nothing_claimed(rig))
        assert len(rig.partner.requests) == 8
        assert len(await rig.rows("due")) + len(rig.runs.told) == 64


async def test_a_run_that_is_stopped_starts_no_further_request_of_its_claim(rig_of: RigOf) -> None:
    """Three batches were claimed together, and the run is stopped while the first is on its way: the others go back."""
    async with rig_of() as rig:
        rig.limits = LaneLimits(batches_at_once=1, requests_per_s=10_000.0)

        def answer(_records: list[int]) -> Any:
            rig.runs.stopped.add(7)
            return OK

        rig.partner.answer = answer
        for number, group in enumerate("xyz"):
            await rig.owe([number], member=number, g=group, run=7)
        rig.start()
        await rig.settled(1)
        await rig.lanes.pause("a")
        await rig.signal.until(lambda: _nothing_claimed(rig))
        assert rig.partner.requests == [[0]]
        assert len(await rig.rows("due")) == 2


@pytest.mark.parametrize(
    ("operation", "happens", "expected"),
    [
        ("enter", "nothing", True),
        ("enter", "a long time", False),
        ("enter", "stopped", False),
        ("replace", "nothing", True),
        ("replace", "a long time", True),
        ("replace", "stopped", False),
        ("replace", "paused", False),
    ],
)
async def test_a_destination_may_ask_whether_it_goes_on(
    rig_of: RigOf, operation: str, happens: str, *, expected: bool
) -> None:
    """Between two of its requests; of a whole list the rest follows however long it takes, unless somebody stops it."""
    async with rig_of() as rig:
        answers: list[bool] = []
        perform = rig.destination.perform

        async def asking(batch: Batch, context: Context) -> Performed:
            done: Performed = await perform(batch, context)
            match happens:
                case "a long time":
                    rig.clock.advance(CLAIM_S_MAX)
                case "stopped":
                    rig.runs.stopped.add(7)
                case "paused":
                    await rig.lanes.pause("a")
            assert context.goes_on is not None
            answers.append(await context.goes_on())
            return done

        rig.destination.perform = asking
        rig.runs.lists = {7}
        await rig.owe([0], run=7, operation=operation)
        rig.start()
        await rig.empty()
        assert answers == [expected]


async def test_every_request_of_a_halving_is_told_to_the_run(rig_of: RigOf) -> None:
    """Those too that settled nothing."""
    async with rig_of() as rig:
        rig.partner.answer = lambda records: (422, {}, b"") if 5 in records else OK
        await rig.owe(range(8), run=7)
        rig.start()
        await rig.empty()
        assert sum(one.requests for one in rig.runs.told) == len(rig.partner.requests) == 7
        assert len(rig.runs.told) == 8


@pytest.mark.parametrize(("records", "culprits", "most"), [(1, 0, 2), (2, 0, 4), (1000, 0, 22), (1000, 3, 85)])
def test_each_culprit_may_cost_two_requests_a_halving_and_one(records: int, culprits: int, most: int) -> None:
    """The batch itself besides; one more culprit is always looked for."""
    assert halving_requests_max(records, culprits) == most


# what templates may name ---------------------------------------------------------------------------------------------


async def test_a_batch_holds_deliveries_of_one_run(rig_of: RigOf) -> None:
    """Two runs and what is forwarded: three requests, each with its own facts."""
    async with rig_of() as rig:
        await rig.owe(range(3), run=7)
        await rig.owe(range(3, 6), run=8)
        await rig.owe(range(6, 9))
        rig.start()
        await rig.empty()
        assert sorted(rig.partner.requests) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
        assert sorted(str(facts.get("run_id", "-")) for facts in rig.destination.facts) == ["-", "7", "8"]


async def test_what_failed_together_is_tried_together(rig_of: RigOf, mapping_of: Any) -> None:
    """The same batches again, so that the partner can tell a repetition by their ids; what came meanwhile has its own."""
    async with rig_of() as rig:
        rig.limits = LaneLimits(batches_at_once=1, requests_per_s=10_000.0)
        rig.set_lane("a", mappings=[mapping_of("a/m", batch_events_max=4)])
        failed: list[list[int]] = []

        def answer(records: list[int]) -> Any:
            if records in failed or 20 in records:
                return OK
            rig.clock.advance(0.001)  # no two batches end in the same microsecond
            failed.append(records)
            return DOWN

        rig.partner.answer = answer
        await rig.owe(range(8))
        rig.start()
        await rig.settled(2)
        await rig.owe([20])
        rig.advance(10)
        await rig.empty()
        assert sorted(rig.partner.requests) == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7], [20]]


async def _nothing_claimed(rig: Any) -> bool:
    return not await rig.rows("claimed")
