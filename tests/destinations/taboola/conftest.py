"""A fake Taboola on a free port, the real client that speaks to it, and a hand-set clock."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from gateway.destinations.base import Batch, Context, Owed, Performed
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes
from gateway.destinations.taboola.definition import DEFINITION
from gateway.destinations.taboola.perform import TABOOLA
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.taboola import Taboola

NOW_US = 1_795_338_000_000_000
ALL = frozenset(one.name for one in DEFINITION.corrections)
NONE: frozenset[str] = frozenset()


class Clock:
    """Seconds; stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = NOW_US / 1_000_000

    def __call__(self) -> float:
        return self.now_s


def owed(
    email: str | None = "maria@example.org",
    flag: object = True,
    *,
    device: str | None = None,
    audience: str = "1001",
    account: str = "demo-advertiser",
    number: int = 0,
    **more: Any,
) -> Owed:
    """One delivery, as the gateway makes it from an audience event."""
    payload: dict[str, object] = {
        "external_audience_id": audience,
        "segment_computation_key": "big_spenders",
        "segment_computation_action": "audience",
        "traits_or_props": {"big_spenders": flag},
        "enable_batching": True,
        "batch_size": 1000,
    }
    if email is not None:
        payload["user_email"] = email
    if device is not None:
        payload["device_id"] = device
    whole: dict[str, Any] = {
        "id": number,
        "operation": "enter" if flag else "exit",
        "payload": payload,
        "audience_key": "big_spenders",
        "audience_settings": {"account_id": account},
    }
    return Owed(**{**whole, **more})


class Desk:
    """What a test holds in its hands: the partner, the destination's context, and how to send."""

    def __init__(self, partner: Taboola, url: str, http: PartnerHttp, clock: Clock) -> None:
        self.partner = partner
        self.clock = clock
        self.settings: dict[str, object] = {
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "audience_identifier": "computation_key",
            "backstage_base_url": f"{url}/taboola/backstage",
            "integration_source": "segment.com",
        }
        self._http = http.lane(allow_private=True)
        self.notes = FreshNotes()

    @property
    def context(self) -> Context:
        return Context(http=self._http, notes=self.notes, now_us=round(self.clock() * 1_000_000))

    async def send(self, *all_owed: Owed, corrections: frozenset[str] = ALL, **settings: object) -> Performed:
        """Perform one batch."""
        batch = Batch(
            action="syncAudience", settings={**self.settings, **settings}, owed=all_owed, corrections=corrections
        )
        return await TABOOLA.perform(batch, self.context)

    def calls(self, name: str = "") -> list[dict[str, Any]]:
        """Decoded bodies of the calls of that name, the token's as an empty object."""
        found = [one for one in self.partner.log if not name or name in one.names]
        return [msgspec.json.decode(one.body) if one.body and "token" not in one.names else {} for one in found]

    def names(self) -> list[str]:
        """Every call, by name, in order."""
        return [one.names[0] for one in self.partner.log if one.names]


@pytest.fixture
def make_owed() -> Callable[..., Owed]:
    return owed


@pytest.fixture
async def desk(anyio_backend: str) -> AsyncIterator[Desk]:
    """With the audience 1001 of `demo-advertiser` and 1002 of the same."""
    clock = Clock()
    partner = Taboola(clock=clock)
    partner.create("demo-advertiser", "big_spenders")
    partner.create("demo-advertiser", "browsers")
    http = PartnerHttp(version="0")
    async with SandboxServer([partner], port=0) as server:
        yield Desk(partner, server.url, http, clock)
        await http.aclose()
