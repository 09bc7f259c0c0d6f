"""Who waits for what: one delivery alone or the whole lane; and what a person does about it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.admin.operations import DeadFilter
from gateway.core.outcomes import Deferred, Outcome
from gateway.delivery import operations
from gateway.delivery.bounds import LaneLimits
from gateway.service.operations import EngineOperations

pytestmark = pytest.mark.anyio
RigOf = Callable[..., AbstractAsyncContextManager[Any]]
S = 1_000_000
OK = (200, {}, b'{"ok":true}')
DOWN = (503, {}, b"")


async def test_a_wait_of_one_list_stops_neither_the_lane_nor_other_people(rig_of: RigOf) -> None:
    """A list that was just made cannot be used yet: its people wait in order, everybody else goes on."""
    async with rig_of() as rig:
        is_made = False

        def puts_off(payload: dict[str, object]) -> Outcome | None:
            if is_made or payload.get("g") != "new":
                return None
            return Deferred(wait_s=600, reason="The list is new.", status=400, concerns="delivery")

        rig.destination.puts_off = puts_off
        await rig.owe([0, 1], g="new", member=1)
        await rig.owe([2], g="old", member=2)
        rig.start()
        await rig.settled(2)
        (standing,) = await rig.lanes.standing()
        assert standing.word in ("idle", "sending")  # the latter until what was settled has also ended
        await rig.owe([3], g="old", member=3)
        await rig.settled(3)
        await rig.owe([4], g="old", member=1)  # behind what waits of the same person
        rows = await rig.rows()
        assert [((row.due_us - rig.clock()) // S, row.failures) for row in rows] == [(600, 0), (600, 0), (0, 0)]
        assert (await rig.row()).breaker == "closed"
        is_made = True
        sent = len(rig.partner.requests)
        rig.advance(600)
        await rig.empty()
        assert [n for request in rig.partner.requests[sent:] for n in request] == [0, 1, 4]


async def test_the_partners_own_later_still_stops_the_lane(rig_of: RigOf) -> None:
    """Beside a list's wait in the same answers it wins."""
    async with rig_of() as rig:
        rig.destination.puts_off = lambda payload: Deferred(
            wait_s=60 if payload["n"] else 600, reason="later", concerns="lane" if payload["n"] else "delivery"
        )
        await rig.owe([0, 1])
        rig.start()
        await rig.settled(1)
        (standing,) = await rig.lanes.standing()
        assert (standing.word, standing.until_us) == ("waiting", rig.clock() + 60 * S)


async def test_resuming_tries_now_what_waits_for_its_next_try(rig_of: RigOf) -> None:
    """Hours of waiting are over at once; failures stay counted; a person's changes keep their order."""
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: DOWN
        await rig.owe([0, 1], member=1)
        await rig.owe([2], member=2, run=7)
        rig.start()
        for attempts in (2, 4, 6):
            await rig.settled(attempts)
            waits = [row.due_us for row in await rig.rows()]
            rig.advance((max(waits) - rig.clock()) / S)
        await rig.settled(8)
        rows = await rig.rows()
        assert min(row.due_us for row in rows) > rig.clock()
        failures = {row.id: row.failures for row in rows}
        await rig.lanes.pause("a")
        assert [row.failures for row in await rig.rows()] == list(failures.values())
        rig.partner.answer = lambda _records: OK
        await rig.lanes.resume("a")
        await rig.empty()
        assert sorted(rig.partner.answered) == [0, 1, 2]
        assert rig.partner.answered.index(0) < rig.partner.answered.index(1)


async def test_resuming_goes_piece_by_piece(rig_of: RigOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long backlog is no long transaction."""
    monkeypatch.setattr(operations, "PIECE_ROWS", 10)
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: DOWN
        await rig.owe(range(35))
        rig.start()
        await rig.settled(1)
        now_us = rig.clock()
        assert await operations.bring_forward(rig.state, now_us=now_us, lane="a") == 35
        rows = await rig.rows()
        assert {row.failures for row in rows} == {1}
        assert now_us - S <= min(row.due_us for row in rows) <= max(row.due_us for row in rows) <= now_us
        with pytest.raises(ValueError, match="Give a lane"):
            await operations.bring_forward(rig.state, now_us=now_us)


async def test_what_a_person_brings_forward_goes_in_the_batches_it_failed_in(rig_of: RigOf, mapping_of: Any) -> None:
    """So that a partner that knows repetitions by the batch's id still does."""
    async with rig_of() as rig:
        rig.limits = LaneLimits(batches_at_once=1, requests_per_s=10_000.0)
        rig.set_lane("a", mappings=[mapping_of("a/m", batch_events_max=3)])

        def answer(_records: list[int]) -> Any:
            rig.clock.advance(0.05)
            return DOWN

        rig.partner.answer = answer
        await rig.owe(range(9))
        rig.start()
        await rig.settled(3)
        assert len({row.due_us for row in await rig.rows()}) == 3
        rig.partner.answer = lambda _records: OK
        await rig.lanes.resume("a")
        await rig.empty()
        assert sorted(rig.partner.requests[3:]) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


async def test_retrying_by_hand_takes_the_dead_and_those_that_wait(rig_of: RigOf) -> None:
    """Both counted; those of another lane stay as they are."""
    async with rig_of("a", "b") as rig:
        rig.partner.answer = lambda records: (404, {}, b"") if 0 in records else DOWN
        rig.partners["b"].answer = lambda _records: DOWN
        await rig.owe([0], g="x")
        await rig.owe([1, 2], g="y")
        await rig.owe([3], lane="b")
        rig.start()
        await rig.settled(2)
        await rig.settled(1, "b")
        keeper: Any = SimpleNamespace(value=rig.rulebook)
        unused: Any = None
        orders = EngineOperations(
            state=rig.state, inbox=unused, keeper=keeper, lanes=rig.lanes, clock=rig.clock,
            changed=rig.lanes.rulebook_changed,
        )  # fmt: skip
        for partner in rig.partners.values():
            partner.answer = lambda _records: OK
        assert (await orders.retry_dead(DeadFilter(lane="a"))).changed == 3
        await rig.empty()
        assert len(await rig.rows(lane="b")) == 1
        assert sorted(rig.partner.answered) == [0, 1, 2]
