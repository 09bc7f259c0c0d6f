"""How hard a lane presses: bounds by precedence, changed while it works, counted by the partner."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from gateway.core.rulebook import LaneBounds
from gateway.delivery.bounds import LaneLimits, Slots, Throttle, limits_of

pytestmark = pytest.mark.anyio
RigOf = Callable[..., AbstractAsyncContextManager[Any]]
DEFAULT = LaneLimits()


class Bounded:
    """A destination that says how hard it may be pressed."""

    lane_bounds = (8, 10.0)


class Configured:
    """As much of a configured destination as bounds are read from."""

    def __init__(self, limits: LaneBounds | None) -> None:
        self.limits = limits


@pytest.mark.parametrize(
    ("file", "offered", "expected"),
    [
        (None, None, (4, 50.0)),
        (None, Bounded(), (8, 10.0)),
        (LaneBounds(concurrency=2), None, (2, 50.0)),
        (LaneBounds(requests_per_second=0.5), Bounded(), (8, 0.5)),
        (LaneBounds(requests_per_second=0.01, concurrency=32), Bounded(), (1, 0.01)),  # else they wait too long
        (LaneBounds(concurrency=32, requests_per_second=500.0), Bounded(), (32, 500.0)),
    ],
)
def test_the_file_comes_first_then_the_definition_then_the_default(
    file: LaneBounds | None, offered: Any, expected: tuple[int, float]
) -> None:
    """Each bound by itself."""
    limits = limits_of(Configured(file), offered, DEFAULT)  # type: ignore[arg-type]
    assert (limits.batches_at_once, limits.requests_per_s) == expected


async def test_a_file_that_changes_its_bounds_changes_the_lane_at_work(rig_of: RigOf, mapping_of: Any) -> None:
    """Four hang; two are allowed, then six: the partner never sees more than the bound, and soon as many as it."""
    async with rig_of() as rig:
        single = [mapping_of("a/m", batching=False)]
        rig.set_lane("a", mappings=single)
        rig.partner.answer = lambda _records: "hang"
        await rig.owe(range(300))
        rig.start()
        await rig.until(lambda: rig.partner.at_once == 4)

        rig.set_lane("a", mappings=single, limits=LaneBounds(concurrency=2))
        rig.partner.let_go()
        await rig.until(lambda: len(rig.partner.answered) >= 4)
        await rig.until(lambda: rig.partner.at_once <= 2)
        rig.partner.hold()
        rig.partner.at_once_max = 0
        await rig.until(lambda: rig.partner.at_once == 2)
        assert rig.partner.at_once_max == 2

        rig.set_lane("a", mappings=single, limits=LaneBounds(concurrency=6))
        await rig.until(lambda: rig.partner.at_once == 6)
        assert rig.partner.at_once_max == 6

        rig.set_lane("a", mappings=single)
        rig.partner.let_go()
        await rig.empty()
        assert len(rig.partner.answered) == 300


async def test_a_definition_that_changes_its_bounds_changes_the_lane_too(rig_of: RigOf, mapping_of: Any) -> None:
    """One at a time at first, then three."""
    async with rig_of() as rig:
        rig.destination.lane_bounds = (1, 10_000.0)
        rig.set_lane("a", mappings=[mapping_of("a/m", batching=False)])
        rig.partner.answer = lambda _records: "hang"
        await rig.owe(range(20))
        rig.start()
        await rig.until(lambda: rig.partner.at_once == 1)
        await rig.signal.until(lambda: _is_claimed(rig))
        assert rig.partner.at_once_max == 1
        rig.destination.lane_bounds = (3, 10_000.0)
        rig.lanes.rulebook_changed()
        await rig.until(lambda: rig.partner.at_once == 3)
        rig.partner.let_go()
        await rig.empty()
        assert rig.partner.at_once_max == 3


async def test_a_new_rate_counts_from_the_next_request_on(rig_of: RigOf, mapping_of: Any) -> None:
    """One a hundred seconds, then as many as there are: the rest does not wait for the old rate."""
    async with rig_of() as rig:
        single = [mapping_of("a/m", batching=False)]
        rig.set_lane("a", mappings=single, limits=LaneBounds(requests_per_second=1.0, concurrency=1))
        await rig.owe([0])
        rig.start()
        await rig.empty()
        rig.set_lane("a", mappings=single, limits=LaneBounds(requests_per_second=10_000.0, concurrency=1))
        await rig.owe(range(1, 60))
        await rig.empty()  # a minute at the old rate, and the rig waits ten seconds
        assert len(rig.partner.answered) == 60


async def test_a_request_that_waits_for_the_old_rate_takes_the_new_one() -> None:
    """One in a hundred seconds, then as many as there are; a wait that is cut off for good stays cut off."""
    throttle = Throttle(LaneLimits(requests_per_s=0.01))
    await throttle.may_send()
    waiting = [asyncio.create_task(throttle.may_send()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert throttle.change(LaneLimits(requests_per_s=10_000.0))
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in ends] == [asyncio.CancelledError, type(None), type(None)]


# the semaphore -----------------------------------------------------------------------------------------------------------


async def test_slots_go_out_in_order_and_never_more_than_there_are() -> None:
    """Made smaller while all are held, it gives out none until enough have come back; made larger, it does at once."""
    slots, order, gates = Slots(2), list[int](), [asyncio.Event() for _ in range(6)]

    async def hold(number: int) -> None:
        async with slots:
            order.append(number)
            await gates[number].wait()

    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(hold(number))
        await settle()
        assert order == [0, 1]
        slots.resize(1)
        gates[0].set()
        await settle()
        assert order == [0, 1]
        gates[1].set()
        await settle()
        assert order == [0, 1, 2]
        slots.resize(3)
        await settle()
        assert order == [0, 1, 2, 3, 4]
        for gate in gates:
            gate.set()
    assert order == [0, 1, 2, 3, 4, 5]


async def test_a_wait_for_a_slot_that_is_cut_off_takes_none() -> None:
    """Cancelled while waiting, and cancelled in the moment it was given one."""
    slots = Slots(1)

    async def hold() -> None:
        async with slots:
            pass

    await slots.__aenter__()
    waiting, given = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    await slots.__aexit__()
    given.cancel()  # it has the slot, and has not run since
    await asyncio.gather(waiting, given, return_exceptions=True)
    async with asyncio.timeout(1):
        await hold()


async def _is_claimed(rig: Any) -> bool:
    return bool(await rig.rows("claimed"))
