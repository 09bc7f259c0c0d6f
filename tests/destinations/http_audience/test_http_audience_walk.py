"""The example definition on a real lane: store, worker, client and a fake API on a socket; nothing of anybody in any line."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from http_audience_cases import loaded
from structlog.testing import capture_logs

from gateway.core.events import Place
from gateway.core.fql import compile_trigger
from gateway.core.mapping import compile_mapping
from gateway.core.payloads import compile_check
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.delivery.lanes import Lanes
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_client import PartnerHttp
from gateway.sandbox.audience_api import AudienceApi, AudienceApiConfiguration
from gateway.sandbox.faults import Reset, Status
from gateway.store.rows import NewDelivery
from gateway.store.sqlite.state import SqliteStateStore

pytestmark = pytest.mark.anyio
NORTHWIND = json.loads((Path(__file__).parents[3] / "mappings/destinations/northwind-ads.json").read_text("utf-8"))
NORTHWIND["actions"]["add"]["batch"]["max_records"] = 64
T0 = 1_760_000_000_000_000
WAIT_S = 10.0


class Clock:
    now_us = T0

    def __call__(self) -> int:
        return self.now_us


class Rung:
    """The state store, telling waiters after every write."""

    def __init__(self, state: SqliteStateStore) -> None:
        self.state = state
        self.rung = asyncio.Event()

    async def write(self, work: Callable[[Any], Any]) -> Any:
        try:
            return await self.state.write(work)
        finally:
            self.rung.set()

    async def read(self, work: Callable[[Any], Any]) -> Any:
        return await self.state.read(work)

    async def until(self, true: Callable[[Any], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while True:
                self.rung.clear()
                if await self.state.read(true):
                    return
                await self.rung.wait()


class Walk:
    def __init__(self, state: Rung, lanes: Lanes, clock: Clock) -> None:
        self.state, self.lanes, self.clock = state, lanes, clock

    async def owe(self, *people: tuple[str, int, str, dict[str, Any]]) -> None:
        rows = [
            NewDelivery(
                "nw", "nw/all", 0, member, operation, msgspec.json.encode({"email": email, **more}), Place(1, 1, 0), T0, T0,
                audience_settings=b'{"external_id":"9001"}',
            )
            for operation, member, email, more in people
        ]  # fmt: skip
        await self.state.write(lambda tx: tx.add_deliveries(rows, now_us=T0))
        self.lanes.wake(["nw"])

    async def rows(self, state: str = "") -> list[Any]:
        return await self.state.read(lambda view: view.deliveries(lane="nw", state=state, limit=1000))

    async def settled(self, *, dead: int = 0) -> None:
        await self.state.until(
            lambda view: [row.state for row in view.deliveries(lane="nw", limit=1000)] == ["dead"] * dead
        )


@asynccontextmanager
async def walking(path: Path, base_url: str) -> AsyncIterator[Walk]:
    destination: HttpAudience = loaded(NORTHWIND)
    action = destination.definition.actions[0]
    mapping = CompiledMapping(
        key="nw/all", name="all", action=action, trigger=compile_trigger(action.trigger), trigger_text="",
        transform=compile_mapping({}), check=compile_check(action.fields), fields={}, batch_events_max=action.batch_events_max,
    )  # fmt: skip
    configured = CompiledDestination(
        key="nw", name="nw", definition=destination.definition, mappings=(mapping,), corrections=frozenset(),
        settings={"NORTHWIND_TOKEN": "sandbox-token", "base_url": base_url},
    )  # fmt: skip
    rulebook = Rulebook(version="1", destinations=(configured,), sources={})
    state, http, clock = Rung(SqliteStateStore(path)), PartnerHttp(version="0"), Clock()
    lanes = Lanes(
        state=state, rulebook=lambda: rulebook, registry={"northwind-ads": destination}, http=http, clock=clock, chance=lambda: 1.0
    )  # fmt: skip
    task = asyncio.create_task(lanes.run())
    try:
        yield Walk(state, lanes, clock)
    finally:
        await lanes.stop(1.0)
        await task
        await http.aclose()
        await state.state.close()


def email(number: int) -> str:
    return f"canary{number}@quetzal.example"


def people(count: int, operation: str = "enter") -> list[tuple[str, int, str, dict[str, Any]]]:
    return [(operation, number, email(number), {}) for number in range(1, count + 1)]


async def test_people_enter_and_leave(tmp_path: Path, partner: AudienceApi, base_url: str) -> None:
    """One request each way; the list ends empty."""
    async with walking(tmp_path, base_url) as walk:
        await walk.owe(*people(30))
        await walk.settled()
        assert len(partner.members("9001")) == 30
        await walk.owe(*people(30, "exit"))
        await walk.settled()
        assert partner.members("9001") == frozenset()
        assert [(one.method, one.status) for one in partner.log] == [("POST", 200), ("DELETE", 200)]


async def test_records_that_the_partner_names_die_alone(
    tmp_path: Path, partner: AudienceApi, base_url: str, configuration: AudienceApiConfiguration
) -> None:
    """207: two bad ones are dead with the partner's code, the others are on the list."""
    async with walking(tmp_path, base_url) as walk:
        await walk.owe(
            *people(10), ("enter", 11, "", {"phone": "+46705550102"}), ("enter", 12, email(12), {"ltv": "many"})
        )
        await walk.settled(dead=2)
        assert len(partner.members("9001")) == 10
        reasons = [row.reason for row in await walk.rows("dead")]
        assert [reason.partition(":")[0] for reason in reasons] == ["missing_required_field", "template_failed"]


async def test_check_12_a_batch_refused_whole_is_halved_to_its_culprits(
    tmp_path: Path, partner: AudienceApi, base_url: str
) -> None:
    """64 with two that the partner refuses: 62 accepted, 2 refused, within 2·log2(64)+1 extra requests for each."""
    bad = {7, 50}
    digests = {await digest_of(number) for number in bad}

    def decide(call: Any, list_id: str, *, inner: Any = partner._change) -> Any:
        from gateway.sandbox.answers import json_answer

        users = call.json()["users"]
        if any(user["em"] in digests for user in users):
            return json_answer(400, {"error": "some are not valid"})
        return inner(call, list_id)

    partner._change = decide  # type: ignore[method-assign]
    async with walking(tmp_path, base_url) as walk:
        await walk.owe(*people(64))
        await walk.settled(dead=2)
        assert {row.member for row in await walk.rows("dead")} == bad
        assert len(partner.members("9001")) == 62
        assert len(partner.log) - 1 <= 2 * (2 * 6 + 1)


async def digest_of(number: int) -> str:
    from gateway.core.identifiers import sha256_hex

    return sha256_hex(email(number))


async def test_check_13_a_lost_answer_is_sent_again_without_a_second_effect(
    tmp_path: Path, partner: AudienceApi, base_url: str
) -> None:
    """The request took effect, its answer was cut off: due again, and then settled."""
    partner.faults.add(Reset(when="before", carried_out=True))
    async with walking(tmp_path, base_url) as walk:
        await walk.owe(*people(3))
        await walk.state.until(lambda view: len(view.attempts(lane="nw", limit=10)) == 1)
        walk.clock.now_us += 2_000_000
        walk.lanes.wake(["nw"])
        await walk.settled()
        assert len(partner.members("9001")) == 3


async def test_check_14_nothing_of_anybody_is_in_a_line(tmp_path: Path, partner: AudienceApi, base_url: str) -> None:
    """Deliveries, refusals, a busy and a failing partner: no log line, attempt or reason has an address, a digest or the token."""
    partner.faults.add(Status(status=429, retry_after=1))
    partner.faults.add(Status(status=400))
    with capture_logs() as lines:
        async with walking(tmp_path, base_url) as walk:
            await walk.owe(*people(2), ("exit", 9, email(9), {}), ("enter", 10, email(10), {"ltv": "many"}))
            await walk.state.until(lambda view: len(view.attempts(lane="nw", limit=10)) >= 1)
            walk.clock.now_us += 5_000_000
            walk.lanes.wake(["nw"])
            await walk.settled(dead=1)
            attempts = await walk.state.read(lambda view: view.attempts(lane="nw", limit=100))
            rows = await walk.rows()
    told = f"{lines} {attempts} {[row.reason for row in rows]}".lower()
    for trace in ("canary", "quetzal", "sandbox-token", *[(await digest_of(number))[:16] for number in range(1, 11)]):
        assert trace not in told
    assert "post /lists/{{connection.audience_id}}/users" in told
