"""From the inbox to Taboola through the gateway's real parts: decisions, SQLite, the lane, the wire; trouble between."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from engine_harness import Engine
from structlog.testing import capture_logs

from gateway.config.folder import read_folder
from gateway.config.rulebooks import compile_rulebook
from gateway.config.secrets import SecretSource
from gateway.core.identifiers import sha256_hex
from gateway.core.rulebook import Rulebook
from gateway.delivery.lanes import Lanes
from gateway.destinations import REGISTRY
from gateway.destinations.http_client import PartnerHttp
from gateway.sandbox.faults import Down, Status
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.taboola import Taboola

pytestmark = pytest.mark.anyio
WAIT_S_MAX = 10.0
CANARY = "quetzalbird@canarymail.example"
SECRET = "s3cr3t-c4nary"
HASH = sha256_hex(CANARY)
CLIENTS = json.dumps(
    {"clients": [{"client_id": "harbour", "client_secret": SECRET, "accounts": ["demo-advertiser"]}]}
).encode()


def rulebook_of(folder: Path, url: str) -> Rulebook:
    """The mapping file as a user writes it, compiled."""
    file = {
        "name": "Taboola",
        "destination": "actions-taboola-actions",
        "settings": {
            "client_id": "harbour",
            "client_secret": {"$env": "SECRET"},
            "backstage_base_url": f"{url}/taboola/backstage",
        },
        "mappings": [
            {
                "name": "Sync Audience",
                "fields": {"batch_size": 1000},
                "audiences": {"*": {"account_id": "demo-advertiser", "create": True}},
            }
        ],
    }
    folder.mkdir()
    (folder / "taboola.json").write_text(json.dumps(file))
    known = {name: one.definition for one in REGISTRY.values() for name in (one.definition.slug, *one.definition.names)}
    loaded = compile_rulebook(
        read_folder(folder), lambda _text: (known, []), SecretSource(variables={"SECRET": SECRET})
    )
    assert loaded.value is not None, [str(problem) for problem in loaded.problems]
    return loaded.value


class Walk:
    """An engine, its lane, the fake partner."""

    def __init__(self, engine: Engine, partner: Taboola, http: PartnerHttp) -> None:
        self.engine = engine
        self.partner = partner
        self._written = asyncio.Event()
        write = engine.state.write

        async def watched(work: Any) -> Any:
            try:
                return await write(work)
            finally:
                self._written.set()

        engine.state.write = watched
        self.lanes = Lanes(
            state=engine.state, rulebook=lambda: engine.rules, registry=REGISTRY, http=http,
            clock=lambda: engine.now_us, chance=lambda: 1.0,
        )  # fmt: skip

    def event(self, email: str, *, user: str, enters: bool = True) -> dict[str, object]:
        """As Engage sends it."""
        return {
            "type": "track",
            "event": "Audience Entered" if enters else "Audience Exited",
            "userId": user,
            "messageId": f"m-{self.engine.now_us}-{user}",
            "properties": {"audience_key": "vip", "vip": enters},
            "context": {
                "personas": {
                    "computation_class": "audience",
                    "computation_id": "aud_vip",
                    "computation_key": "vip",
                    "space_id": "spa",
                },
                "traits": {"email": email},
            },
        }

    async def happens(self, email: str = CANARY, *, enters: bool, user: str = "u-1") -> None:
        """An audience event arrives and is decided."""
        self.engine.now_us += 1_000
        await self.engine.keep(self.event(email, user=user, enters=enters))
        await self.engine.decide()
        self.lanes.wake(["taboola"])

    async def until(self, true: Any) -> None:
        """Wait until a claim about the state holds; asked after every write."""
        async with asyncio.timeout(WAIT_S_MAX):
            while not await true():
                self._written.clear()
                if await true():
                    return
                await self._written.wait()

    async def attempts(self) -> list[Any]:
        found: list[Any] = await self.engine.state.read(lambda view: view.attempts(lane="taboola", limit=1000))
        return found

    async def settled(self) -> None:
        """Wait until nothing is owed."""

        async def is_empty() -> bool:
            return not await self.engine.deliveries(lane="taboola")

        await self.until(is_empty)

    async def tried(self, count: int) -> None:
        """Wait until so many attempts were made and nothing is in flight."""

        async def is_so() -> bool:
            claimed = await self.engine.deliveries(lane="taboola", state="claimed")
            return len(await self.attempts()) >= count and not claimed

        await self.until(is_so)

    def sent(self) -> list[tuple[object, int]]:
        """(operation, people) of every users call that was answered."""
        bodies = [json.loads(one.body or b"{}") for one in self.partner.log if one.names == ("users",) and one.status]
        return [(one["operation"], len(one["identities"])) for one in bodies]


@pytest.fixture
async def walk(tmp_path: Path) -> AsyncIterator[Walk]:
    partner = Taboola()
    partner.configure(CLIENTS)
    http = PartnerHttp(version="0")
    async with SandboxServer([partner], port=0) as server:
        (tmp_path / "data").mkdir()
        engine = Engine(tmp_path / "data", rulebook_of(tmp_path / "mappings", server.url))
        made = Walk(engine, partner, http)
        running = asyncio.create_task(made.lanes.run())
        yield made
        await made.lanes.stop(1.0)
        await running
        await http.aclose()
        await engine.close()


async def test_people_of_one_audience_come_and_go(walk: Walk) -> None:
    """The audience is made at first need; later events find it, after a restart of the lane too."""
    await walk.happens(enters=True)
    await walk.settled()
    assert [audience.name for audience in walk.partner.audiences.values()] == ["vip"]
    assert walk.partner.audiences[1001].members == {("EMAIL_ID", HASH)}
    await walk.happens("other@example.org", enters=True, user="u-2")
    await walk.settled()
    await walk.happens(enters=False)
    await walk.settled()
    assert walk.partner.audiences[1001].members == {("EMAIL_ID", sha256_hex("other@example.org"))}
    assert walk.sent() == [("ADD", 1), ("ADD", 1), ("REMOVE", 1)]


async def test_a_flip_while_the_partner_is_down_costs_one_request(walk: Walk) -> None:
    """Enter, exit, enter, exit while nobody answers: when they do, one removal goes out, and nothing else."""
    walk.partner.create("demo-advertiser", "vip")
    walk.partner.faults.add(Down(times=None))
    for count, enters in enumerate((True, False, True, False), 1):
        await walk.happens(enters=enters)
        await walk.tried(count)
        owed = await walk.engine.deliveries(lane="taboola")
        assert [row.operation for row in owed] == ["enter" if enters else "exit"]
    walk.partner.faults.clear()
    walk.engine.now_us += 3_600_000_000
    walk.lanes.wake(["taboola"])
    await walk.settled()
    assert walk.sent() == [("REMOVE", 1)]
    assert walk.partner.audiences[1001].members == frozenset()


async def test_a_person_with_two_addresses_is_replaced_address_by_address(walk: Walk) -> None:
    """The unsent change of one address is not replaced by that of the other."""
    await walk.happens("first@example.org", enters=True, user="u-0")
    await walk.settled()
    await walk.lanes.pause("taboola")
    await walk.happens(enters=True)
    await walk.happens("other@example.org", enters=True)
    await walk.happens(enters=False)
    await walk.happens("other@example.org", enters=False)
    await walk.lanes.resume("taboola")
    await walk.settled()
    assert walk.sent() == [("ADD", 1), ("REMOVE", 2)]


async def test_a_thousand_and_one_people_are_two_requests(walk: Walk) -> None:
    """`batch_size` is 1000, and everybody arrives."""
    bodies = [walk.event(f"p{number}@example.org", user=f"u-{number}") for number in range(1001)]
    await walk.engine.keep(*bodies)
    await walk.engine.decide()
    walk.lanes.wake(["taboola"])
    await walk.settled()
    assert sorted(people for _, people in walk.sent()) == [1, 1000]
    assert len(walk.partner.audiences[1001].members) == 1001


async def test_a_wrong_secret_holds_the_lane_and_nothing_dies(walk: Walk) -> None:
    """A person mends it, resumes, and everything arrives."""
    walk.partner.configure(b'{"clients": []}')
    await walk.happens(enters=True)
    await walk.tried(1)
    (standing,) = await walk.lanes.standing()
    assert standing.row.hold == "unauthorized"
    assert [row.state for row in await walk.engine.deliveries(lane="taboola")] == ["due"]
    walk.partner.configure(CLIENTS)
    await walk.lanes.resume("taboola")
    await walk.settled()
    assert walk.sent() == [("ADD", 1)]


async def test_no_line_no_row_and_no_note_holds_the_person_or_the_secret(walk: Walk) -> None:
    """Through a login refused, a refusal that quotes, trouble, and success."""
    faults = [
        Status(status=500, target="token"),
        Status(status=429, retry_after=1, target="create"),
        Status(status=401, target="users"),
        Status(status=400, target="users"),
    ]
    with capture_logs() as lines:
        for fault in faults:
            walk.partner.faults.add(fault)
        for number in range(6):
            await walk.happens(enters=True, user=f"canary-{number}", email=f"{number}{CANARY}")
            count = len(await walk.attempts())

            async def went_on(count: int = count) -> bool:
                walk.engine.now_us += 60_000_000
                walk.lanes.wake(["taboola"])
                return len(await walk.attempts()) > count or not await walk.engine.deliveries(lane="taboola")

            await walk.until(went_on)
        attempts = await walk.attempts()
        standing = await walk.lanes.standing()
        dead = await walk.engine.deliveries(lane="taboola", state="dead")
    tokens = [
        one.rpartition(" ")[2]
        for request in walk.partner.log
        for name, one in request.headers
        if name == "authorization"
    ]
    assert tokens
    text = f"{lines} {attempts} {standing} {[row.reason for row in dead]}".casefold()
    for trace in ("quetzal", "canarymail", SECRET, HASH, *(token.casefold() for token in tokens)):
        assert trace not in text
    assert [line for line in lines if line["event"] == "delivery.attempted"]
