"""A fake audience API on a free port and the real client that speaks to it."""

from collections.abc import AsyncIterator

import pytest
from http_audience_cases import NOW_US

from gateway.destinations.base import Context
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes
from gateway.sandbox.audience_api import AudienceApi, AudienceApiConfiguration
from gateway.sandbox.server import SandboxServer


@pytest.fixture
def configuration() -> AudienceApiConfiguration:
    return AudienceApiConfiguration()


@pytest.fixture
def partner(configuration: AudienceApiConfiguration) -> AudienceApi:
    return AudienceApi(configuration)


@pytest.fixture
async def base_url(partner: AudienceApi, anyio_backend: str) -> AsyncIterator[str]:
    async with SandboxServer([partner], port=0) as server:
        yield f"{server.url}/audience-api/v3"


@pytest.fixture
async def context(anyio_backend: str) -> AsyncIterator[Context]:
    http = PartnerHttp(version="0")
    yield Context(http=http.lane(allow_private=True), notes=FreshNotes(), now_us=NOW_US)
    await http.aclose()
