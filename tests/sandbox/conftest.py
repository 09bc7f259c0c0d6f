"""A fake StackAdapt on a free port, and a client that holds its token; the fakes of list platforms, and a client without one."""

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sandbox_documents import GRAPHQL

from gateway.sandbox.list_partner import ListPartner
from gateway.sandbox.platforms import Braze, GoogleAds, HubSpot, Mailchimp, Meta, Salesforce, Webhook
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.stackadapt import StackAdapt, StackAdaptConfiguration

NO_TLS = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # Loading the default one for each client takes longer than most tests.


@pytest.fixture
def configuration() -> StackAdaptConfiguration:
    return StackAdaptConfiguration()


@pytest.fixture
def partner(configuration: StackAdaptConfiguration) -> StackAdapt:
    return StackAdapt(configuration)


@pytest.fixture
async def server(partner: StackAdapt, anyio_backend: str) -> AsyncIterator[SandboxServer]:
    async with SandboxServer([partner], port=0) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sandbox-token"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10, verify=NO_TLS) as opened:
        yield opened


@pytest.fixture
def post(client: httpx.AsyncClient):
    """Post one document to the endpoint."""

    async def send(document: str) -> httpx.Response:
        return await client.post(GRAPHQL, json={"query": document})

    return send


@pytest.fixture
def partners() -> dict[str, ListPartner[Any]]:
    made: list[ListPartner[Any]] = [
        Braze(), GoogleAds(), HubSpot(), Mailchimp(), Meta(), Salesforce(), Webhook()
    ]  # fmt: skip
    return {one.name: one for one in made}


@pytest.fixture
async def caller(partners: dict[str, ListPartner[Any]], anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        SandboxServer(list(partners.values()), port=0) as server,
        httpx.AsyncClient(base_url=server.url, timeout=10, verify=NO_TLS) as opened,
    ):
        yield opened
