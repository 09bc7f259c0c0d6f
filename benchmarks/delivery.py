"""Deliveries per second through a lane, beside a bare aiohttp loop that posts the same prebuilt batches in the same run.

    python benchmarks/delivery.py [--deliveries 50000] [--batch 1000] [--payload-bytes 400] [--rounds 3]

A server in a process of its own answers every POST at once. The lane does all that it does in service: claims and leases
in a real SQLite file, decodes payloads, groups, builds the body, sends through httpx, settles with an attempt row and
deletes, every commit on disk. The baseline only posts. Rounds alternate, the best of each counts; the ratio is what to watch.

The same again beside a lane whose partner takes requests and never answers, with a backlog as long, row by row among the
measured ones; and beside that backlog alone, its lane paused. The first over the second is what the hanging costs (at most
5 % is the promise); the rest of the difference is a state file twice as large.
"""

import argparse
import asyncio
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Hashable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

import aiohttp
import msgspec
import structlog
import uvloop

from gateway.core.definitions import Action, Definition
from gateway.core.events import Place
from gateway.core.http_messages import Request
from gateway.core.outcomes import Delivered
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.delivery.bounds import LaneLimits
from gateway.delivery.lanes import Lanes
from gateway.destinations.base import Batch, Context, Performed
from gateway.destinations.http_client import PartnerHttp
from gateway.store.rows import NewDelivery
from gateway.store.sqlite.state import SqliteStateStore

BATCHES_AT_ONCE = 4
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


class Answering(asyncio.Protocol):
    """Answers each complete POST, reads nothing of it but its length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._left = 0
        self._head = b""

    def data_received(self, data: bytes) -> None:
        while data:
            if self._left == 0:
                head, end, rest = (self._head + data).partition(b"\r\n\r\n")
                if not end:
                    self._head = head
                    return
                self._head, data = b"", rest
                self._left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            taken = min(self._left, len(data))
            self._left -= taken
            data = data[taken:]
            if self._left == 0:
                self._transport.write(ANSWER)


def serve(listener: socket.socket) -> None:
    """The partner's process."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, sock=listener)
        await server.serve_forever()

    uvloop.run(forever())


class Silent(asyncio.Protocol):
    """Takes everything and never answers."""


def keep_silent(listener: socket.socket) -> None:
    """The process of a partner that hangs."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Silent, sock=listener)
        await server.serve_forever()

    uvloop.run(forever())


class Plain:
    """A destination that posts its payloads as one JSON list."""

    definition = Definition(slug="plain", title="Plain", settings=(), actions=())

    def group(self, _action: str, payload: dict[str, object], _settings: dict[str, object]) -> Hashable:
        return payload.get("list")

    def check_settings(self, _settings: dict[str, object], _corrections: frozenset[str]) -> list[str]:
        return []

    async def perform(self, batch: Batch, context: Context) -> Performed:
        body = msgspec.json.encode([one.payload for one in batch.owed])
        headers = {"content-type": "application/json"}
        answer = await context.http.send(
            Request(method="POST", url=str(batch.settings["api_url"]), headers=headers, body=body)
        )
        return Performed(outcomes=(Delivered(status=answer.status),) * len(batch.owed))

    async def test(self, _settings: dict[str, object], _context: Context) -> Sequence[str]:
        return []


def payload_of(number: int, size: int) -> bytes:
    payload = {"user": f"u-{number}", "list": "one", "filler": ""}
    payload["filler"] = "x" * max(0, size - len(msgspec.json.encode(payload)))
    return msgspec.json.encode(payload)


def destination_of(lane: str, url: str, batch: int) -> CompiledDestination:
    unused = cast("Any", None)
    mapping = CompiledMapping(
        key=f"{lane}/all", name="all", action=Action(slug="send", title="Send", fields=(), trigger=""), trigger=unused,
        trigger_text="", transform=unused, check=unused, fields={}, batch_events_max=batch,
    )  # fmt: skip
    return CompiledDestination(
        key=lane, name=lane, definition=Plain.definition, settings={"api_url": url}, mappings=(mapping,),
        corrections=frozenset(),
    )  # fmt: skip


async def through_the_lane(
    url: str, count: int, batch: int, size: int, *, hanging: str = "", is_paused: bool = False
) -> float:
    """Seconds from the lane's start to its end.

    hanging: address of a partner that never answers; its own lane has filled up by then, or is paused.
    """
    places = {"plain": url, **({"hanging": hanging} if hanging else {})}
    with tempfile.TemporaryDirectory() as folder:
        state, http = SqliteStateStore(Path(folder)), PartnerHttp(version="0")
        now_us = time.time_ns() // 1000
        for start in range(0, count, 10_000):
            rows = [
                NewDelivery(lane, f"{lane}/all", 0, n + 1, "send", payload_of(n, size), Place(1, n, 0), now_us, now_us)
                for n in range(start, min(count, start + 10_000))
                for lane in places
            ]
            await state.write(lambda tx, rows=rows: tx.add_deliveries(rows, now_us=now_us))
        destinations = tuple(destination_of(lane, place, batch) for lane, place in places.items())
        rulebook = Rulebook(version="1", destinations=destinations, sources={})
        lanes = Lanes(
            state=state, rulebook=lambda: rulebook, registry={"plain": Plain()}, http=http,
            clock=lambda: time.time_ns() // 1000, chance=lambda: 1.0,
            limits=LaneLimits(requests_per_s=100_000.0, batches_at_once=BATCHES_AT_ONCE),
        )  # fmt: skip
        await lanes.pause("plain")
        if is_paused:
            await lanes.pause("hanging")
        running = asyncio.create_task(lanes.run())
        while hanging and not is_paused and await in_flight(lanes, "hanging") < BATCHES_AT_ONCE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # what it claimed is built and sent
        started_s = time.perf_counter()
        await lanes.resume("plain")
        while await state.read(is_owed):  # noqa: ASYNC110 - looks from outside, as a user would
            await asyncio.sleep(0.002)
        took_s = time.perf_counter() - started_s
        await lanes.stop(0.1)
        await running
        await http.aclose()
        await state.close()
        return took_s


def is_owed(view: Any) -> bool:
    """Whether the measured lane still has something, asked by the indexes so that the asking costs nothing."""
    return view.next_due_us("plain") is not None or bool(view.deliveries(lane="plain", state="claimed", limit=1))


async def in_flight(lanes: Lanes, lane: str) -> int:
    """Claims of a lane that are on their way."""
    return next((one.in_flight for one in await lanes.standing() if one.row.lane == lane), 0)


async def bare(url: str, count: int, batch: int, size: int) -> float:
    """Seconds to post the same bodies, built beforehand, as many at once."""
    bodies = [
        b"[" + b",".join(payload_of(n, size) for n in range(start, min(count, start + batch))) + b"]"
        for start in range(0, count, batch)
    ]

    async def poster(session: aiohttp.ClientSession) -> None:
        while bodies:
            async with session.post(url, data=bodies.pop(), headers={"content-type": "application/json"}) as answer:
                await answer.read()

    async with aiohttp.ClientSession() as session:
        started_s = time.perf_counter()
        await asyncio.gather(*(poster(session) for _ in range(BATCHES_AT_ONCE)))
        return time.perf_counter() - started_s


async def measure(url: str, hanging: str, count: int, batch: int, size: int, rounds: int) -> None:
    lane_s, beside_s, paused_s, bare_s = [], [], [], []
    for _ in range(rounds):
        bare_s.append(await bare(url, count, batch, size))
        lane_s.append(await through_the_lane(url, count, batch, size))
        paused_s.append(await through_the_lane(url, count, batch, size, hanging=hanging, is_paused=True))
        beside_s.append(await through_the_lane(url, count, batch, size, hanging=hanging))
    lane, floor = count / min(lane_s), count / min(bare_s)
    print(f"batches of {batch}, {size} B payloads, {BATCHES_AT_ONCE} at once, {count} deliveries, best of {rounds}")
    print(f"  lane          {lane:>12,.0f} deliveries/s")
    print(f"  bare aiohttp  {floor:>12,.0f} deliveries/s (posts only)")
    print(f"  ratio         {lane / floor:>12.3f}")
    paused = count / min(paused_s)
    print(f"  beside one that is paused {paused:,.0f} deliveries/s, {paused / lane:.3f} of the lane alone")
    shares = sorted(quiet / hangs for quiet, hangs in zip(paused_s, beside_s, strict=True))
    print(
        f"  beside one that hangs     {median(shares):.3f} of that, median of {rounds} rounds "
        f"({shares[0]:.2f} to {shares[-1]:.2f}); at least 0.95 is wanted"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--deliveries", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--payload-bytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    spawn = multiprocessing.get_context("spawn").Process
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as silent:
        partners = [
            spawn(target=serve, args=(listener,), daemon=True),
            spawn(target=keep_silent, args=(silent,), daemon=True),
        ]
        for partner in partners:
            partner.start()
        url, hanging = (f"http://127.0.0.1:{one.getsockname()[1]}/" for one in (listener, silent))
        try:
            uvloop.run(measure(url, hanging, given.deliveries, given.batch, given.payload_bytes, given.rounds))
        finally:
            for partner in partners:
                partner.terminate()
                partner.join()


if __name__ == "__main__":
    main()
