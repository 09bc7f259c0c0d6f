"""The sandbox as a running server, in the caller's event loop or in a thread of its own."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.sandbox.application import create_app, create_upload_app
from gateway.sandbox.audience_api import AudienceApi
from gateway.sandbox.exchange import CONNECTION
from gateway.sandbox.partner import HandsOutUploads, Partner
from gateway.sandbox.platforms import Braze, GoogleAds, HubSpot, Mailchimp, Meta, Salesforce, Webhook
from gateway.sandbox.stackadapt import StackAdapt
from gateway.sandbox.taboola import Taboola
from gateway.sandbox.the_trade_desk import TheTradeDesk

PORT = 8090
UPLOAD_PORT = 8091
STOP_GRACE_S = 2.0
START_WAIT_S = 10.0

_BACKLOG = 2048
_TICK_S = 1.0


def shipped_partners() -> list[Partner]:
    """The fake partners that come with the gateway, as they are after a start."""
    return [
        *(StackAdapt(), Taboola(), TheTradeDesk(), AudienceApi()),
        *(Meta(), GoogleAds(), HubSpot(), Salesforce(), Braze(), Mailchimp(), Webhook()),
    ]


class SandboxServer:
    """Serves partners on `host` while its `async with` lasts; port 0 picks a free one.

    A second listener, on `upload_port`, is there only when a partner takes uploads.
    """

    def __init__(
        self, partners: Sequence[Partner], *, port: int = PORT, upload_port: int = UPLOAD_PORT, host: str = "127.0.0.1"
    ) -> None:
        self.partners = tuple(partners)
        self._host = host
        self._asked_ports = (port, upload_port)
        self._listeners: list[_Listener] = []
        self._tasks = asyncio.TaskGroup()

    @property
    def port(self) -> int:
        """The main port."""
        return self._listeners[0].port

    @property
    def url(self) -> str:
        """Where the main port is, without a slash at the end."""
        return f"http://{self._host}:{self.port}"

    @property
    def upload_url(self) -> str | None:
        """Where the uploads port is; None when no partner takes uploads."""
        return f"http://{self._host}:{self._listeners[1].port}" if len(self._listeners) > 1 else None

    async def __aenter__(self) -> Self:
        """Listen on the ports. Raises OSError when one is taken."""
        apps = (create_app(self.partners), create_upload_app(self.partners))
        with contextlib.ExitStack() as opened:
            for app, port in zip(apps, self._asked_ports, strict=True):
                if app is not None:
                    listening = opened.enter_context(_listening_socket(self._host, port))
                    self._listeners.append(_Listener(app, listening))
            opened.pop_all()
        for partner in self.partners:
            if self.upload_url is not None and isinstance(partner, HandsOutUploads):
                partner.uploads_at(self.upload_url)
        await self._tasks.__aenter__()
        for listener in self._listeners:
            self._tasks.create_task(listener.run())
        for listener in self._listeners:
            await listener.ready.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let held requests go, stop listening and wait for the rest for STOP_GRACE_S."""
        for partner in self.partners:
            partner.faults.clear()
        for listener in self._listeners:
            listener.stop.set()
        await self._tasks.__aexit__(kind, error, trace)
        self._listeners.clear()


class SandboxThread:
    """Serves partners from a thread of its own while its `with` lasts; for callers without an event loop."""

    def __init__(
        self, partners: Sequence[Partner], *, port: int = PORT, upload_port: int = UPLOAD_PORT, host: str = "127.0.0.1"
    ) -> None:
        self._server = SandboxServer(partners, port=port, upload_port=upload_port, host=host)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="sandbox", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: OSError | None = None
        self.url = ""
        self.port = 0
        self.upload_url: str | None = None

    def __enter__(self) -> Self:
        """Start the thread and wait until it listens. Raises OSError when a port is taken."""
        self._thread.start()
        if not self._ready.wait(START_WAIT_S):
            raise TimeoutError("The sandbox did not start.")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and wait for its thread."""
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self._server as server:
                self.url, self.port, self.upload_url = server.url, server.port, server.upload_url
                self._ready.set()
                await self._stop.wait()
        except OSError as error:
            self._failure = error
            self._ready.set()


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which also tells the app its transport: faults act on the connection itself."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state}, _loop)
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.app_state[CONNECTION] = transport


class _Listener(uvicorn.Server):
    """One app on one open socket; stops when told, at once, and leaves the process's signals alone."""

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        config = uvicorn.Config(app, http=_Protocol, ws="none", lifespan="off", log_config=None, backlog=_BACKLOG)
        super().__init__(config)
        self._listening = listening
        self.port: int = listening.getsockname()[1]
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()

    async def run(self) -> None:  # type: ignore[override]  # the blocking one makes a loop of its own
        await self.serve(sockets=[self._listening])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Keep the date header true until told to stop."""
        while not self.stop.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections at once, busy ones when answered or after STOP_GRACE_S."""
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        if busy := tuple(self.server_state.tasks):
            _, late = await asyncio.wait(busy, timeout=STOP_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in tuple(self.server_state.connections):
            connection.transport.close()


def _listening_socket(host: str, port: int) -> socket.socket:
    """An open socket. The protocol is spelled out because asyncio sets TCP_NODELAY only on sockets that name it.

    Without, an answer written in two parts waits 40 ms for the client's delayed acknowledgement.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
