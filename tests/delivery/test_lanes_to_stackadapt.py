"""Lanes, the real StackAdapt destination and the fake partner that enforces its rules, with faults between."""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from gateway.core.events import Place
from gateway.core.rulebook import CompiledDestination
from gateway.destinations import REGISTRY
from gateway.sandbox.faults import Down, Reset, Status, Timeout, Truncate
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.stackadapt import StackAdapt
from gateway.store.rows import NewDelivery

pytestmark = pytest.mark.anyio
RigOf = Callable[..., AbstractAsyncContextManager[Any]]
SLUG = "stackadapt-audience"


def stackadapt_lane(rig: Any, lane: str, server: SandboxServer, mapping: Any) -> None:
    """A configured StackAdapt destination that sends to the sandbox."""
    definition = REGISTRY[SLUG].definition
    rig.destinations[lane] = CompiledDestination(
        key=lane, name=lane, definition=definition, mappings=(mapping,),
        settings={
            "apiKey": "sandbox-token", "advertiser_id": "12345", "api_url": f"{server.url}/stackadapt/graphql",
        },
        corrections=frozenset(correction.name for correction in definition.corrections),
    )  # fmt: skip


def change(lane: str, person: int, is_in: bool) -> NewDelivery:
    """What the decisions owe for one audience event."""
    payload = {
        "user_id": f"u-{person}",
        "email": f"p{person}@example.com",
        "segment_computation_id": "aud_1",
        "segment_computation_key": "vips",
        "segment_computation_class": "audience",
        "traits_or_props": {"vips": is_in, "email": f"p{person}@example.com"},
        "marketing_status": "Opted-in",
    }
    return NewDelivery(
        lane, f"{lane}/m", 0, person, "send", msgspec.json.encode(payload), Place(1, 1, 0), 0, 0
    )  # fmt: skip


async def owe(rig: Any, rows: list[NewDelivery]) -> None:
    await rig.state.write(lambda tx: tx.add_deliveries(rows, now_us=rig.clock()))


async def test_a_hanging_stackadapt_costs_another_lane_nothing(rig_of: RigOf, mapping_of: Any) -> None:
    """One account's host never answers; the other account's audience is complete all the same."""
    slow, fast = StackAdapt(), StackAdapt()
    slow.faults.add(Timeout(times=None))
    async with rig_of() as rig, SandboxServer([slow], port=0) as slow_server, SandboxServer([fast], port=0) as server:
        del rig.destinations["a"]
        stackadapt_lane(rig, "slow", slow_server, mapping_of("slow/m", batch_events_max=20))
        stackadapt_lane(rig, "fast", server, mapping_of("fast/m", batch_events_max=20))
        for lane in ("slow", "fast"):
            await owe(rig, [change(lane, person, is_in=True) for person in range(1, 201)])
        rig.start()
        await rig.empty("fast")
        await fast.wait_for(lambda: len(fast.members("aud_1")) == 200)
        assert len(await rig.rows(lane="slow")) == 200
        assert slow.members("aud_1") == frozenset()
        slow.faults.clear()
        await rig.lanes.stop(1.0)


async def test_faults_change_nothing_in_the_end(rig_of: RigOf, mapping_of: Any) -> None:
    """Flips of 40 people through every kind of trouble: each list ends as the last change of each person said."""
    chance = random.Random(7)
    partner = StackAdapt()
    async with rig_of() as rig, SandboxServer([partner], port=0) as server:
        del rig.destinations["a"]
        stackadapt_lane(rig, "sa", server, mapping_of("sa/m", batch_events_max=15))
        changes = [(chance.randrange(1, 41), chance.random() < 0.5) for _ in range(300)]
        for fault in (
            Status(status=503, times=3), Status(status=429, retry_after=7), Reset(times=2), Status(status=200, body="html"),
            Reset(when="during"), Truncate(), Status(status=500, carried_out=True, times=2), Down(times=2),
            Reset(carried_out=True),
        ):  # fmt: skip
            partner.faults.add(fault)
        rig.start()
        for start in range(0, len(changes), 50):
            await owe(rig, [change("sa", person, is_in=is_in) for person, is_in in changes[start : start + 50]])
            rig.lanes.wake(["sa"])

        async def is_empty() -> bool:
            rows = await rig.rows(lane="sa")
            if rows and all(row.state == "due" for row in rows):
                rig.advance(120)
            return not rows

        await rig.signal.until(is_empty)
        last = dict(changes)
        expected = {f"p{person}@example.com" for person, is_in in last.items() if is_in}
        await partner.wait_for(lambda: partner.members("aud_1") == expected)
        assert partner.faults.armed == ()
        assert partner.violations == ()
