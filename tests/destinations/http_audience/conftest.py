"""A fake audience API on a free port and the real client that speaks to it; and the fakes of the catalogue's platforms."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from catalogue_entries import ENTRIES, Meeting
from http_audience_cases import NOW_US

from gateway.destinations.base import Context
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes
from gateway.sandbox.audience_api import AudienceApi, AudienceApiConfiguration
from gateway.sandbox.list_partner import ListPartner
from gateway.sandbox.server import SandboxServer, SandboxThread, shipped_partners


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


@pytest.fixture(scope="module")
def sandbox() -> Iterator[tuple[str, dict[str, ListPartner[Any]]]]:
    """All fakes on one server: its address, and they by name."""
    partners = {one.name: one for one in shipped_partners() if isinstance(one, ListPartner)}
    with SandboxThread(list(partners.values()), port=0) as server:
        yield server.url, partners


@pytest.fixture
def meet(sandbox: tuple[str, dict[str, ListPartner[Any]]]) -> Any:
    """A definition and its fake, which has forgotten everything. configuration: laid over the fake's own."""

    def meeting(slug: str, configuration: dict[str, object] | None = None, **settings: object) -> tuple[Any, Any]:
        url, partners = sandbox
        played = ENTRIES[slug]
        partner = partners[played.partner]
        partner.reset()
        lists = {"lists": {played.list_id: "A list"}} if "external_id" in played.audience else {}
        partner.configure(msgspec.json.encode({**lists, **(configuration or {})}))
        return Meeting(slug, url, **settings), partner

    return meeting
