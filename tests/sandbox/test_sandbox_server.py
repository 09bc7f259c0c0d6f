"""The sandbox as a server: ports, loops, threads, a second host for uploads, and stopping in the middle of things."""

import asyncio
import socket
import threading

import httpx
import pytest
from sandbox_documents import GRAPHQL, profile, upsert
from starlette.responses import PlainTextResponse

from gateway.sandbox.faults import Latency, Timeout
from gateway.sandbox.server import SandboxServer, SandboxThread
from gateway.sandbox.stackadapt import StackAdapt

AUTHORIZED = {"authorization": "Bearer sandbox-token"}
BODY = {"query": upsert(profile())}


class Uploading(StackAdapt):
    """A partner that also has an upload host, as a later one will."""

    name = "uploading"

    @property
    def upload_app(self):
        return PlainTextResponse("stored")


@pytest.mark.anyio
async def test_a_partner_with_uploads_gets_a_second_listener():
    """Both hosts speak for the same partners, by path."""
    async with (
        SandboxServer([StackAdapt(), Uploading()], port=0, upload_port=0) as server,
        httpx.AsyncClient() as client,
    ):
        assert server.upload_url not in (None, server.url)
        assert (await client.put(f"{server.upload_url}/uploading/drop")).text == "stored"
        assert (await client.put(f"{server.upload_url}/stackadapt/drop")).status_code == 404
        assert (await client.post(f"{server.url}/uploading/graphql")).status_code == 401


@pytest.mark.anyio
async def test_without_uploads_there_is_one_listener():
    """The second port stays free."""
    async with SandboxServer([StackAdapt()], port=0) as server:
        assert server.upload_url is None
        assert server.url == f"http://127.0.0.1:{server.port}"


@pytest.mark.anyio
async def test_a_taken_port_is_an_error_and_leaves_nothing_open():
    """Whoever starts it hears of it."""
    async with SandboxServer([StackAdapt()], port=0) as server:
        with pytest.raises(OSError, match="in use"):
            async with SandboxServer([Uploading()], port=0, upload_port=server.port):
                pass


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [Timeout(), Latency(delay_s=60)])
async def test_stopping_lets_held_requests_go_at_once(fault):
    """A test that ends while a request hangs does not hang itself."""
    partner = StackAdapt()
    partner.faults.add(fault)
    async with (
        asyncio.timeout(5),
        httpx.AsyncClient(headers=AUTHORIZED) as client,
        asyncio.TaskGroup() as tasks,
        SandboxServer([partner], port=0) as server,
    ):
        call = asyncio.gather(client.post(server.url + GRAPHQL, json=BODY), return_exceptions=True)
        hanging = tasks.create_task(asyncio.wait_for(call, 5))
        await partner.wait_for(lambda: partner.faults.shown == 1)
    (outcome,) = hanging.result()
    assert isinstance(outcome, httpx.TransportError) or outcome.status_code == 200


@pytest.mark.anyio
async def test_the_same_partner_survives_a_restart_of_its_server_on_the_same_port():
    """State lives in the partner; a client sees an outage and then the old lists."""
    partner = StackAdapt()
    async with SandboxServer([partner], port=0) as server, httpx.AsyncClient(headers=AUTHORIZED) as client:
        port = server.port
        await client.post(server.url + GRAPHQL, json=BODY)
    async with httpx.AsyncClient(headers=AUTHORIZED) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/")
        async with SandboxServer([partner], port=port) as server:
            state = (await client.get(f"{server.url}/sandbox/stackadapt/state")).json()
    assert state["audiences"]["aud_7Hx"]["in_total"] == 1


def test_the_thread_serves_callers_without_a_loop():
    """State is readable from here, with a wait that blocks."""
    partner = StackAdapt()
    with SandboxThread([partner], port=0) as server, httpx.Client(headers=AUTHORIZED) as client:
        poster = threading.Thread(target=client.post, args=(server.url + GRAPHQL,), kwargs={"json": BODY})
        poster.start()
        partner.changes.wait_for_blocking(lambda: partner.members("aud_7Hx") == {"mei@shop.example"}, 5)
        poster.join()
        with pytest.raises(TimeoutError):
            partner.changes.wait_for_blocking(lambda: False, 0.01)
        partner.faults.add(Timeout(hold_s=60))
        with pytest.raises(httpx.ReadTimeout):
            client.post(server.url + GRAPHQL, json=BODY, timeout=0.05)
    assert not any(thread.name == "sandbox" for thread in threading.enumerate())


def test_a_thread_on_a_taken_port_raises_here():
    """Not in the thread, where nobody would see it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
        SandboxThread([StackAdapt()], port=taken.getsockname()[1]),
    ):
        pass


def test_waiters_of_another_loop_are_woken():
    """One partner may be watched from a loop that is not the server's."""
    partner = StackAdapt()

    async def watch(url: str) -> int:
        async with httpx.AsyncClient(headers=AUTHORIZED) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(partner.wait_for(lambda: partner.counts()["requests"] == 3, 5))
            for _ in range(3):
                await client.post(url + GRAPHQL, json=BODY)
        return partner.counts()["replays"]

    with SandboxThread([partner], port=0) as server:
        assert asyncio.run(watch(server.url)) == 2
