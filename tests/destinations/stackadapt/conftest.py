"""A fake StackAdapt on a free port and the real client that speaks to it."""

from collections.abc import AsyncIterator

import pytest

from gateway.destinations.base import Context
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.stackadapt import StackAdapt, StackAdaptConfiguration


@pytest.fixture
def configuration() -> StackAdaptConfiguration:
    return StackAdaptConfiguration()


@pytest.fixture
def partner(configuration: StackAdaptConfiguration) -> StackAdapt:
    return StackAdapt(configuration)


@pytest.fixture
async def settings(partner: StackAdapt, anyio_backend: str) -> AsyncIterator[dict[str, object]]:
    async with SandboxServer([partner], port=0) as server:
        yield {
            "apiKey": "sandbox-token",
            "advertiser_id": "31337",
            "api_url": f"{server.url}/stackadapt/graphql",
        }


@pytest.fixture
async def context(anyio_backend: str) -> AsyncIterator[Context]:
    http = PartnerHttp(version="0")
    yield Context(http=http.lane(allow_private=True), notes=FreshNotes(), now_us=1_795_338_000_000_000)
    await http.aclose()
