"""A fake Trade Desk on free ports and the real client that speaks to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.destinations.http_client import LaneHttp, PartnerHttp
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.the_trade_desk import TheTradeDesk, TheTradeDeskConfiguration


@pytest.fixture
def configuration() -> TheTradeDeskConfiguration:
    return TheTradeDeskConfiguration()


@pytest.fixture
def partner(configuration: TheTradeDeskConfiguration) -> TheTradeDesk:
    return TheTradeDesk(configuration)


@pytest.fixture
async def settings(partner: TheTradeDesk, anyio_backend: str) -> AsyncIterator[dict[str, object]]:
    async with SandboxServer([partner], port=0, upload_port=0) as server:
        yield {
            "auth_token": "sandbox-token",
            "advertiser_id": "adv123",
            "api_base_url": f"{server.url}/the-trade-desk/v3",
        }


@pytest.fixture
async def http(anyio_backend: str) -> AsyncIterator[LaneHttp]:
    opened = PartnerHttp(version="0")
    yield opened.lane(allow_private=True)
    await opened.aclose()


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list's own process can import what these tests' snapshots are made of, as it can the product's."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
