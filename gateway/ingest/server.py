"""The socket side of ingest: uvicorn, set up for senders we do not control, started and stopped by its owner.

uvicorn bounds neither the size of a request's head nor the time it takes; the protocol class here does both, and answers
what it cannot parse in the same JSON as everything else.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.core.errors import SettingsError
from gateway.ingest import replies
from gateway.ingest.limits import IngestLimits
from gateway.ingest.routes import IngestApp

BACKLOG = 2048  # connections the kernel holds until they are accepted
SWEEPS_PER_WAIT = 4
FIELDS_MAX = 200  # header fields of one request
FIELD_BYTES_MAX = 32 * 1024  # of one of them


class HeadTooLargeError(ValueError):
    """A request's head passes the limit; raised into the parser, which stops."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection, with bounds on the head of a request: bytes, fields and time.

    head_since: loop time at which the head now being read began; 0.0 while none is. unheard_bytes: received since the
    parser last gave us something, so that a field without end is noticed. is_refused: nothing more is read.
    Few methods are overridden, and none of those that every request runs through twice: each costs its microsecond.
    """

    limits = IngestLimits()
    head_since = 0.0
    unheard_bytes = 0
    is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Give a connection that says nothing as long as an idle one, and one too many nothing."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections_max:
            self.transport.close()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; then see whether bytes came in that made no progress."""
        if self.is_refused:
            return
        HttpToolsProtocol.data_received(self, data)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            self.head_since = 0.0
            if cycle.body or not cycle.more_body:
                self.unheard_bytes = 0
                return
        elif self.head_since == 0.0:
            self.head_since = self.loop.time()
        self.unheard_bytes += len(data)
        if self.unheard_bytes > self.limits.header_bytes_max and not self.is_refused:
            self.refuse(400, "invalid_request", "The request's head is too large.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header field, as uvicorn does, within bounds; trailers come here, too."""
        headers = self.headers
        if len(headers) >= FIELDS_MAX or len(value) > FIELD_BYTES_MAX:
            raise HeadTooLargeError("head too large")
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refuses."""
        self.refuse(400, "invalid_request", msg)

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer what is no request, and close. An answer that is under way goes out first, and is the last one."""
        cycle = self.cycle
        self.is_refused = True
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False
                return
            cycle.disconnected = True  # Its body cannot be had any more.
            cycle.message_event.set()
        reply = replies.error_reply(status, code, message)
        phrase = HTTPStatus(status).phrase.encode()
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\nconnection: close\r\n" % (status, phrase)
        self.transport.write(head + b"content-length: %d\r\n\r\n%s" % (len(reply.body), reply.body))
        self.transport.close()


def protocol_class(limits: IngestLimits) -> type[BoundedProtocol]:
    """The protocol with these limits; uvicorn makes one instance a connection and passes nothing of ours."""
    return type("LimitedProtocol", (BoundedProtocol,), {"limits": limits})


def uvicorn_config(app: IngestApp, limits: IngestLimits) -> uvicorn.Config:
    """How uvicorn runs here: fast parser, no access log, no header nobody reads, keep-alive as long as SDKs flush."""
    return uvicorn.Config(
        app,
        http=protocol_class(limits),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=limits.keep_alive_s,
    )


class IngestServer:
    """The public port of one process.

    `start` binds and serves; `stop` refuses new requests with 503, lets those under way finish, and closes. The loop it
    runs on is its owner's (uvloop, for speed).
    """

    def __init__(
        self, app: IngestApp, host: str, port: int, *, limits: IngestLimits | None = None, reuse_port: bool = False
    ) -> None:
        """reuse_port: other processes listen on the same port; the kernel deals the connections out to them."""
        self._app = app
        self._host = host
        self._port = port
        self._limits = limits or IngestLimits()
        self._reuse_port = reuse_port
        self._config = uvicorn_config(app, self._limits)
        self._server = uvicorn.Server(self._config)
        self._sockets: list[socket.socket] = []
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> int:
        """Bind and serve; give the port. Raises SettingsError where the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listener = socket.create_server(
                (self._host, self._port), family=family, backlog=BACKLOG, reuse_port=self._reuse_port
            )
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on {self._host} port {self._port}: {error.strerror}. Set GATEWAY_HOST or GATEWAY_PORT."
            ) from error
        listener.setblocking(False)
        self._sockets = [listener]
        self._config.load()
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup(sockets=self._sockets)
        self._sweep(asyncio.get_running_loop())
        address: tuple[Any, ...] = listener.getsockname()
        return int(address[1])

    async def stop(self, grace_s: float = 5.0) -> None:
        """Close the port: new requests get 503, those under way have `grace_s` seconds to finish."""
        if not self._sockets:
            return
        self._app.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._config.timeout_graceful_shutdown = max(1, round(grace_s))
        await self._server.shutdown(sockets=self._sockets)
        self._sockets = []

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close connections whose request head takes too long to arrive."""
        overdue_since = loop.time() - self._limits.header_s
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, BoundedProtocol) and 0.0 < connection.head_since < overdue_since:
                connection.refuse(408, "body_timeout", "The request's head did not arrive in time.")
        self._sweeper = loop.call_later(self._limits.header_s / SWEEPS_PER_WAIT, self._sweep, loop)
