"""Each classic fault at each fake partner, armed over the control API and met on a bare socket; nothing here is timed."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from sandbox_documents import profile, upsert

from gateway.sandbox.audience_api import AudienceApi
from gateway.sandbox.faults import CommonFault
from gateway.sandbox.partner import Partner
from gateway.sandbox.server import SandboxServer, shipped_partners
from gateway.sandbox.stackadapt import StackAdapt
from gateway.sandbox.taboola import Taboola
from gateway.sandbox.the_trade_desk import TheTradeDesk, TheTradeDeskConfiguration

pytestmark = pytest.mark.anyio
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Loading the default one for each client takes longer than a test.
WAIT_S = 30.0
LONG_S = 100.0  # no test waits for the end of such a fault: clearing it is what ends it
JSON = "content-type: application/json\r\n"


@pytest.fixture
async def server(anyio_backend: str) -> AsyncIterator[SandboxServer]:
    partners: list[Partner] = [
        StackAdapt(),
        Taboola(),
        TheTradeDesk(TheTradeDeskConfiguration(distinct_min=1)),
        AudienceApi(),
    ]
    async with SandboxServer(partners, port=0, upload_port=0) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=WAIT_S, verify=NO_TLS) as opened:
        yield opened


def written(method: str, target: str, headers: str, body: bytes = b"") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def stackadapt_call(_: SandboxServer, __: str) -> bytes:
    body = msgspec.json.encode({"query": upsert(profile())})
    return written("POST", "/stackadapt/graphql", f"{JSON}authorization: Bearer sandbox-token\r\n", body)


def taboola_account(_: SandboxServer, token: str) -> bytes:
    target = "/taboola/backstage/api/1.0/users/current/account"
    return written("GET", target, f"authorization: Bearer {token}\r\n")


def taboola_users(server: SandboxServer, token: str) -> bytes:
    fake = server.partners[1]
    assert isinstance(fake, Taboola)
    audience = fake.create("demo-advertiser", "vip").number
    entry = {"user_id": "a" * 64, "type": "EMAIL_ID", "is_hashed": True}
    body = {"operation": "ADD", "audience_id": audience, "identities": [{"cluster": [entry]}]}
    target = "/taboola/backstage/api/1.0/demo-advertiser/audience_onboarding"
    return written("POST", target, f"{JSON}authorization: Bearer {token}\r\n", msgspec.json.encode(body))


def trade_desk_list(_: SandboxServer, __: str) -> bytes:
    target = "/the-trade-desk/v3/crmdata/segment/adv123"
    return written("GET", target, f"{JSON}ttd-auth: sandbox-token\r\n")


def trade_desk_upload(server: SandboxServer, _: str) -> bytes:
    fake = server.partners[2]
    assert isinstance(fake, TheTradeDesk)
    address = urlsplit(fake.drops[-1].url)
    body = b"A" * 43 + b"=\n"
    return written("PUT", f"{address.path}?{address.query}", "content-type: text/plain\r\n", body)


def audience_lists(_: SandboxServer, __: str) -> bytes:
    return written("GET", "/audience-api/v3/lists", "authorization: Bearer sandbox-token\r\n")


# partner, what is asked, whether its answer has a body
CALLS: dict[str, tuple[str, Callable[[SandboxServer, str], bytes], bool]] = {
    "stackadapt": ("stackadapt", stackadapt_call, True), "taboola": ("taboola", taboola_account, True),
    "taboola users": ("taboola", taboola_users, False), "the trade desk": ("the-trade-desk", trade_desk_list, True),
    "storage host": ("the-trade-desk", trade_desk_upload, False), "audience api": ("audience-api", audience_lists, True),
}  # fmt: skip


class Asked:
    """One kind of request to one partner, each on a connection of its own."""

    def __init__(self, server: SandboxServer, name: str, request: bytes, port: int) -> None:
        self.partner: Any = next(one for one in server.partners if one.name == name)
        self.request = request
        self.port = port

    async def begin(self) -> asyncio.StreamReader:
        """Send it; the reader of its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(self.request)
        self.writer = writer
        return reader

    async def rest(self, reader: asyncio.StreamReader) -> tuple[bytes, str]:
        """What still comes, and how the connection ended."""
        got, ending = b"", "closed"
        try:
            while part := await asyncio.wait_for(reader.read(65536), WAIT_S):
                got += part
        except ConnectionResetError:
            ending = "reset"
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)
        return got, ending

    async def whole(self) -> tuple[int, bytes]:
        """Status and body of an answer without a fault."""
        got, ending = await self.rest(await self.begin())
        head, _, body = got.partition(b"\r\n\r\n")
        assert (ending, f"content-length: {len(body)}".encode() in head.lower()) == ("closed", True)
        return int(head.split(b" ")[1]), body

    async def is_held(self) -> None:
        """Wait until a request under way meets a fault."""
        await self.partner.wait_for(lambda: any(one.fault and not one.is_done for one in self.partner.log), WAIT_S)


@pytest.fixture(params=CALLS)
async def asked(request: pytest.FixtureRequest, server: SandboxServer, client: httpx.AsyncClient) -> Asked:
    name, call, _ = CALLS[request.param]
    form = {"grant_type": "client_credentials", "client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    token = (await client.post("/taboola/backstage/oauth/token", data=form)).json()["access_token"]
    fake = server.partners[2]
    assert isinstance(fake, TheTradeDesk)
    segment = fake.create("adv123", "VIP").external_id
    drop = {"PiiType": "EmailHashedUnifiedId2", "MergeMode": "Replace"}
    headers = {"ttd-auth": "sandbox-token"}
    await client.post(f"/the-trade-desk/v3/crmdata/segment/adv123/{segment}", json=drop, headers=headers)
    assert server.upload_url is not None
    port = int(server.upload_url.rpartition(":")[2]) if request.param == "storage host" else server.port
    return Asked(server, name, call(server, token), port)


async def arm(client: httpx.AsyncClient, asked: Asked, **fault: object) -> None:
    assert (await client.post(f"/sandbox/{asked.partner.name}/faults", json=fault)).status_code == 201


async def clear(client: httpx.AsyncClient, asked: Asked) -> None:
    assert (await client.delete(f"/sandbox/{asked.partner.name}/faults")).json() == {"faults": []}


async def test_a_late_answer_comes_when_the_fault_is_cleared(client: httpx.AsyncClient, asked: Asked) -> None:
    """Latency with jitter: nothing until then, the same answer afterwards."""
    plain = await asked.whole()
    await arm(client, asked, kind="latency", delay_s=LONG_S, jitter_s=1)
    reader = await asked.begin()
    await asked.is_held()
    await clear(client, asked)
    got, ending = await asked.rest(reader)
    assert (int(got.split(b" ")[1]), got.partition(b"\r\n\r\n")[2], ending) == (*plain, "closed")


@pytest.mark.parametrize(
    "fault", [{"kind": "bandwidth", "bytes_per_s": 1}, {"kind": "slices", "slice_bytes": 1, "delay_s": LONG_S}]
)
async def test_an_answer_in_pieces_is_whole_at_once_when_the_fault_is_cleared(
    client: httpx.AsyncClient, asked: Asked, fault: dict[str, object]
) -> None:
    """The first byte comes alone; an answer without a body has nothing to come in pieces."""
    status, body = await asked.whole()
    await arm(client, asked, **fault)
    reader = await asked.begin()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
    assert int(head.split(b" ")[1]) == status
    first = await asyncio.wait_for(reader.readexactly(1), WAIT_S) if body else b""
    await clear(client, asked)
    assert await asked.rest(reader) == (body[1:], "closed")
    assert first == body[:1]
    assert await asked.whole() == (status, body)


async def test_a_slow_close_keeps_the_end_back(client: httpx.AsyncClient, asked: Asked) -> None:
    """All of the body is there, the last chunk is not."""
    _, body = await asked.whole()
    await arm(client, asked, kind="slow_close", delay_s=LONG_S)
    reader = await asked.begin()
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
    if body:
        await asyncio.wait_for(reader.readuntil(body + b"\r\n"), WAIT_S)
    await asked.is_held()
    await clear(client, asked)
    assert await asked.rest(reader) == (b"0\r\n\r\n", "closed")


async def test_a_timeout_says_nothing_until_the_fault_is_cleared(client: httpx.AsyncClient, asked: Asked) -> None:
    """Then the connection is reset."""
    await arm(client, asked, kind="timeout", times=None)
    reader = await asked.begin()
    await asked.is_held()
    await clear(client, asked)
    assert await asked.rest(reader) == (b"", "reset")
    await asked.whole()


@pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "reset", "carried_out": True}, {"kind": "down"}])
async def test_a_connection_is_reset_before_a_word(
    client: httpx.AsyncClient, asked: Asked, fault: dict[str, object]
) -> None:
    """So many times as it was told, and not once more."""
    await arm(client, asked, **fault, times=2)
    for _ in range(2):
        assert await asked.rest(await asked.begin()) == (b"", "reset")
    await asked.whole()
    assert (await client.get(f"/sandbox/{asked.partner.name}/faults")).json() == {"faults": []}


async def test_an_answer_is_reset_in_its_middle(client: httpx.AsyncClient, asked: Asked) -> None:
    """Never after its end, even where it has no body: a client cannot take it for whole."""
    _, body = await asked.whole()
    await arm(client, asked, kind="reset", when="during")
    got, ending = await asked.rest(await asked.begin())
    assert ending == "reset"
    assert len(got.partition(b"\r\n\r\n")[2]) < len(body) if body else b"\r\n\r\n" not in got
    await asked.whole()


async def test_an_answer_is_closed_before_its_end(client: httpx.AsyncClient, asked: Asked) -> None:
    """Properly, and too early for any client to take it for whole."""
    _, body = await asked.whole()
    await arm(client, asked, kind="truncate")
    got, ending = await asked.rest(await asked.begin())
    assert ending == "closed"
    assert got
    assert got.partition(b"\r\n\r\n")[2] == body[: len(body) // 2] if body else b"\r\n\r\n" not in got
    await asked.whole()


def test_every_partner_command_and_classic_fault_stands_in_the_docs() -> None:
    """Addresses as they are called; kinds as they are sent."""
    page = (Path(__file__).parents[2] / "docs/sandbox.md").read_text()
    for partner in shipped_partners():
        assert f"`{partner.name}`" in page
        assert all(f"/{verb}`" in page for verb in partner.commands), partner.commands
    for kind in get_args(CommonFault):
        assert f"| `{kind.__struct_config__.tag}` |" in page
