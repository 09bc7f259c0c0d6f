"""A real ingest server on a loopback port for tests, with an inbox in memory, and a client that speaks raw bytes."""

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import uvloop

from gateway.core import event_times
from gateway.core.arrivals import ITEM_EVENT, Arrival, frame_body, read_frame
from gateway.core.errors import StoreError
from gateway.core.events import Event, Place
from gateway.core.reading import read_event
from gateway.core.sources import Source, WebhookAuth
from gateway.ingest.limits import IngestLimits
from gateway.ingest.routes import create_ingest_app
from gateway.ingest.server import IngestServer
from gateway.ingest.source_table import LOCAL, SourceTable
from gateway.store.sqlite.inbox_reader import SqliteInboxReader
from gateway.store.sqlite.inbox_writer import SqliteInboxWriter

CLIENT_TIMEOUT_S = 15.0
NOON_US = event_times.parse_us("2026-11-20T12:00:00.000Z") or 0
KEY = b"a key for tests, not for keeping"


class MemoryInbox:
    """An InboxWriter without a disk. `failing`: puts raise. `gate`: when set to an event, puts wait for it."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.items = 0
        self.waiting_bytes = 0
        self.failing: StoreError | None = None
        self.gate: asyncio.Event | None = None
        self.entered = threading.Event()

    async def put(self, encoded: bytes, items: int) -> None:
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        self.arrivals.extend(read_frame(frame_body([encoded])))
        self.items += items

    async def close(self) -> None:
        """Nothing to close."""


class Answer:
    """One HTTP answer, taken apart."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, *, is_closed: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.is_closed = is_closed

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["code"]


class Gateway:
    """One ingest process's worth of server, in a thread with its own loop."""

    def __init__(
        self,
        sources: Iterable[Source],
        limits: IngestLimits | None = None,
        *,
        folder: Path | None = None,
        **options: Any,
    ) -> None:
        """folder: where to keep arrivals in SQLite, None for memory. options: of `create_ingest_app`."""
        self.sources = {source.name: source for source in sources}
        self.table = SourceTable(self.sources.values())
        self.folder = folder
        self.inbox: Any = MemoryInbox()
        self.now_us = NOON_US
        self.limits = limits or IngestLimits()
        self.options = options
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    async def _start(self) -> int:
        if self.folder is not None:
            self.inbox = SqliteInboxWriter(self.folder)
        self.app = create_ingest_app(
            lambda: self.table,
            self.inbox,
            key=KEY,
            now_us=lambda: self.now_us,
            limits=self.limits,
            **self.options,
        )
        self.server = IngestServer(self.app, "127.0.0.1", 0, limits=self.limits)
        return await self.server.start()

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self.call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self.server.stop(1.0))
        self.call(self.inbox.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def call(self, work: Any) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CLIENT_TIMEOUT_S)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=CLIENT_TIMEOUT_S)

    def send(self, data: bytes) -> Answer:
        """Send bytes as they are, on a connection of their own, and read one answer."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_answer(connection)

    def post(
        self,
        path: str,
        body: bytes | dict[str, Any] | list[Any],
        headers: dict[str, str] | None = None,
        *,
        key: str | None = None,
        method: str = "POST",
    ) -> Answer:
        return self.send(request(path, body, headers, key=key, method=method))

    def take(self) -> list[Arrival]:
        """What arrived since the last call; in a folder, all that ever did."""
        if self.folder is not None:
            reader = SqliteInboxReader(self.folder)
            frames = reader.read((0, 0), frames_max=1000, bytes_max=10**9)
            reader.close()
            return [arrival for frame in frames for arrival in read_frame(frame.body)]
        taken, self.inbox.arrivals = self.inbox.arrivals, []
        return taken

    def events(self, arrivals: list[Arrival]) -> list[Event]:
        """The accepted events of arrivals, read as the engine reads them."""
        return [
            read_event(arrival, item, Place(1, frame, ordinal), self.sources.get(arrival.source, LOCAL))
            for frame, arrival in enumerate(arrivals, 1)
            for ordinal, item in enumerate(arrival.items)
            if item.kind == ITEM_EVENT
        ]


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def request(
    path: str,
    body: bytes | dict[str, Any] | list[Any],
    headers: dict[str, str] | None = None,
    *,
    key: str | None = None,
    method: str = "POST",
) -> bytes:
    """The bytes of one request with a Content-Length. key: write key, as Basic user name."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Host": "gateway.example.com", "Content-Length": str(len(content))}
    if key is not None:
        fields["Authorization"] = basic(key)
    fields |= headers or {}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + content


def read_answer(connection: socket.socket) -> Answer:
    """Read one answer; raises ConnectionError when the server closes without one."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
        if data.startswith(b"HTTP/1.1 100 ") and b"\r\n\r\n" in data:
            data = data.split(b"\r\n\r\n", 1)[1]
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _more(connection)
    return Answer(int(first.split()[1]), headers, body, is_closed=headers.get("connection") == "close")


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed without an answer")
    return data


def webhook(name: str, **auth: Any) -> Source:
    """A webhook source; without arguments nothing is checked."""
    return Source(name=name, kind="webhook", auth=WebhookAuth(**auth) if auth else WebhookAuth(none=True))
