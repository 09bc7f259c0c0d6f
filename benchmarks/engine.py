"""How many events a second the engine decides and records on one core, beside the same work written by hand over SQLite.

Usage: python benchmarks/engine.py [--events N] [--rounds N] [--profile]

Both read the same inbox: Engage audience events of 1.5 KB, every messageId and every member new, 25 events a frame. Both
decode, remove duplicates, match, map to StackAdapt's default payload, keep the membership, store the delivery, move the
cursor, and commit about 1,000 events at a time with synchronous=FULL. The loop by hand does it in the shortest way for
this one mapping; it checks nothing, explains nothing, and knows no second destination. The engine has three more mappings
that do not match. Rounds take turns, so that a noisy machine disturbs both alike; the median of the ratios counts.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.arrivals import Arrival, Item, encode_arrival, read_frame
from gateway.core.fql import compile_trigger
from gateway.core.mapping import compile_mapping
from gateway.core.payloads import compile_check, defaults_of
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.core.sources import Source
from gateway.decisions.blocks import BlockReader
from gateway.decisions.recording import record
from gateway.decisions.worker import DecisionWorker
from gateway.destinations.stackadapt.definition import DEFINITION
from gateway.service.starting import calm_collector
from gateway.store import open_inbox_reader, open_inbox_writer, open_state
from gateway.store.sqlite.build import driver

RATIO_MIN = 0.5  # the target: at least half the speed of the loop by hand
EVENTS_PER_FRAME = 25
BLOCK_EVENTS = 1_000
EVENT_BYTES = 1_563
SOURCE = "shop"
OTHER_TRIGGERS = (
    'type = "page"',
    'type = "track" and event = "Order Completed" and properties.total > 100',
    'type = "identify" and traits.plan = "pro"',
)


def now_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000


def event_text(number: int) -> bytes:
    """An Engage event as Segment's webhook sends it, padded to EVENT_BYTES."""
    event = {
        "type": "track",
        "event": "Audience Entered",
        "userId": f"usr_{number:012x}",
        "anonymousId": None,
        "properties": {
            "audience_key": "high_value_shoppers",
            "high_value_shoppers": True,
            "email": f"person.{number}@example.com",
            "first_name": "Ada",
            "last_name": "Byron",
            "city": "Utrecht",
            "note": "",
        },
        "context": {
            "personas": {
                "computation_class": "audience",
                "computation_id": "aud_2mPqX7vLr4TzW9kCj3HsYbNd6Fg",
                "computation_key": "high_value_shoppers",
                "namespace": "spa_k3Vt9QmZ2xLw8RbN5pDfJh",
                "space_id": "spa_k3Vt9QmZ2xLw8RbN5pDfJh",
            },
            "traits": {"email": f"person.{number}@example.com"},
        },
        "integrations": {"All": False, "Webhooks (Actions)": True},
        "messageId": f"personas_{number:024x}",
        "originalTimestamp": "2026-11-06T15:30:00.000Z",
        "receivedAt": "2026-11-06T15:30:00.000Z",
        "sentAt": "2026-11-06T15:30:00.000Z",
        "timestamp": "2026-11-06T15:30:00.000Z",
        "version": 2,
        "channel": "server",
        "projectId": "prj_fixture0000000000001",
    }
    missing = EVENT_BYTES - len(msgspec.json.encode(event))
    event["properties"]["note"] = "x" * max(0, missing)  # type: ignore[index]
    return msgspec.json.encode(event)


async def fill_inbox(folder: Path, events: int) -> None:
    """Keep the events as ingest would, EVENTS_PER_FRAME a frame."""
    writer = open_inbox_writer(folder)
    for start in range(0, events, EVENTS_PER_FRAME):
        group = [
            encode_arrival(Arrival(source=SOURCE, received_us=now_us(), items=(Item(body=event_text(start + at)),)))
            for at in range(min(EVENTS_PER_FRAME, events - start))
        ]
        await asyncio.gather(*(writer.put(one, 1) for one in group))
    await writer.close()


def rulebook() -> Rulebook:
    """StackAdapt's default mapping and three that do not match."""
    action = DEFINITION.actions[0]
    fields = {**defaults_of(action.fields), "marketing_status": "Opted-in"}

    def mapping(name: str, trigger: str) -> CompiledMapping:
        return CompiledMapping(
            key=f"stackadapt/{name}",
            name=name,
            action=action,
            trigger=compile_trigger(trigger),
            trigger_text=trigger,
            transform=compile_mapping(fields),
            check=compile_check(action.fields),
            fields=fields,
        )

    mappings = [mapping("default", action.trigger), *(mapping(f"m{n}", one) for n, one in enumerate(OTHER_TRIGGERS))]
    destination = CompiledDestination(
        key="stackadapt",
        name="StackAdapt",
        definition=DEFINITION,
        settings={},
        mappings=tuple(mappings),
        corrections=frozenset(),
    )
    return Rulebook(version="1", destinations=(destination,), sources={SOURCE: Source(name=SOURCE, kind="webhook")})


async def run_engine(inbox_folder: Path, folder: Path, events: int, *, pipelined: bool = True) -> float:
    """Seconds the engine takes for all events, restart included."""
    inbox, state, rules = open_inbox_reader(inbox_folder), open_state(folder), rulebook()
    started = time.perf_counter()
    if pipelined:
        worker = DecisionWorker(
            inbox=inbox, state=state, rulebook=lambda: rules, wait=lambda _: asyncio.sleep(0), clock=now_us
        )
        done = 0
        while done < events:
            done += await worker.step()
    else:
        reader = BlockReader(inbox, lambda: rules, cursors={})
        while (block := reader.next_block()) is not None:
            await state.write(lambda tx, block=block: record(tx, block, now_us=now_us()))  # type: ignore[misc]
    took = time.perf_counter() - started
    owed = await state.read(lambda view: view.lane("stackadapt").due)
    assert owed == events, owed
    await state.close()
    inbox.close()
    return took


def run_by_hand(inbox_folder: Path, folder: Path, events: int) -> float:
    """Seconds the loop by hand takes."""
    inbox = driver.connect(next(inbox_folder.glob("inbox-0-*.db")), isolation_level=None)
    state = driver.connect(folder / "hand.db", isolation_level=None)
    state.executescript(
        """PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-131072;
        CREATE TABLE seen(h INTEGER PRIMARY KEY) STRICT;
        CREATE TABLE identity(id INTEGER PRIMARY KEY, k BLOB NOT NULL UNIQUE, name TEXT NOT NULL) STRICT;
        CREATE TABLE member(audience INTEGER NOT NULL, identity INTEGER NOT NULL, ts INTEGER NOT NULL,
          state INTEGER NOT NULL, PRIMARY KEY(audience, identity)) STRICT, WITHOUT ROWID;
        CREATE TABLE owed(id INTEGER PRIMARY KEY, destination INTEGER NOT NULL, identity INTEGER NOT NULL,
          due INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL) STRICT;
        CREATE INDEX owed_due ON owed(destination, due) WHERE state = 0;
        CREATE TABLE cursor(frame INTEGER NOT NULL);
        INSERT INTO cursor VALUES (0)"""
    )
    execute, encode = state.execute, msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder().decode
    frame = 0
    started = time.perf_counter()
    while rows := inbox.execute(
        "SELECT id, body FROM frame WHERE id > ? ORDER BY id LIMIT ?", (frame, BLOCK_EVENTS // EVENTS_PER_FRAME)
    ).fetchall():
        execute("BEGIN IMMEDIATE")
        for _, body in rows:
            for arrival in read_frame(body):
                for item in arrival.items:
                    _one_by_hand(execute, decode(item.body), arrival.received_us, encode)
        frame = rows[-1][0]
        execute("UPDATE cursor SET frame = ?", (frame,))
        execute("COMMIT")
    took = time.perf_counter() - started
    assert execute("SELECT count(*) FROM owed").fetchone()[0] == events
    inbox.close()
    state.close()
    return took


def _one_by_hand(
    execute: Callable[..., Any], event: dict[str, Any], now: int, encode: Callable[[object], bytes]
) -> None:
    hashed = blake2b(f"{SOURCE}\0{event['messageId']}".encode(), digest_size=8).digest()
    if not execute("INSERT OR IGNORE INTO seen VALUES (?)", (int.from_bytes(hashed, "big", signed=True),)).rowcount:
        return
    if event["type"] not in ("track", "identify"):
        return
    personas = event["context"]["personas"]
    properties = event.get("properties") or event.get("traits") or {}
    user = event.get("userId") or event.get("anonymousId")
    traits = event.get("traits") or properties
    payload = {
        "standard_traits": {name: traits[source] for name, source in _TRAITS if traits.get(source) is not None},
        "custom_properties_mode": "v2",
        "user_id": user,
        "event_type": event["type"],
        "marketing_status": "Opted-in",
        "enable_batching": True,
        "traits_or_props": properties,
        "segment_computation_class": personas["computation_class"],
        "segment_computation_id": personas["computation_id"],
        "segment_computation_key": personas["computation_key"],
        "email": traits["email"],
    }
    key = blake2b(f"default\0user_id:{user}".encode(), digest_size=16).digest()
    found = execute("SELECT id FROM identity WHERE k = ?", (key,)).fetchone()
    identity = (
        found[0]
        if found
        else execute("INSERT INTO identity(k, name) VALUES (?, ?)", (key, f"user_id:{user}")).lastrowid
    )
    execute(
        "INSERT INTO member VALUES (1, ?, ?, ?) ON CONFLICT(audience, identity) DO UPDATE SET ts = excluded.ts, "
        "state = excluded.state WHERE excluded.ts >= member.ts",
        (identity, now, properties[personas["computation_key"]]),
    )
    execute("INSERT INTO owed(destination, identity, due, body) VALUES (1, ?, ?, ?)", (identity, now, encode(payload)))


_TRAITS = (
    ("first_name", "first_name"), ("last_name", "last_name"), ("phone", "phone"), ("address", "street"), ("city", "city"),
    ("country", "country"), ("state", "state"), ("postal_code", "postal_code"), ("timezone", "timezone"),
    ("birth_date", "birthday"),
)  # fmt: skip


def profile(inbox_folder: Path, events: int) -> None:
    """Where the engine's time goes: the pure part first, then the recording, by function."""
    rules, inbox = rulebook(), open_inbox_reader(inbox_folder)
    reader, blocks = BlockReader(inbox, lambda: rules, cursors={}), []
    started = time.perf_counter()
    while (block := reader.next_block()) is not None:
        blocks.append(block)
    print(f"read, decode, route, write payloads: {(time.perf_counter() - started) / events * 1e6:.1f} µs/event")
    profiler = cProfile.Profile()
    again = BlockReader(inbox, lambda: rules, cursors={})
    profiler.enable()
    while again.next_block() is not None:
        pass
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(22)

    async def recording(*, is_profiled: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            state = open_state(Path(folder))
            profiler = cProfile.Profile()

            def work(tx: Any, block: Any) -> None:
                if is_profiled:
                    profiler.enable()
                record(tx, block, now_us=now_us())
                profiler.disable()

            started = time.perf_counter()
            for block in blocks:
                await state.write(lambda tx, block=block: work(tx, block))  # type: ignore[misc]
            if is_profiled:
                pstats.Stats(profiler).sort_stats("tottime").print_stats(22)
            else:
                print(f"record and commit: {(time.perf_counter() - started) / events * 1e6:.1f} µs/event")
            await state.close()

    asyncio.run(recording(is_profiled=False))
    asyncio.run(recording(is_profiled=True))
    inbox.close()


def main() -> None:
    """Print events a second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args()
    calm_collector()  # as the engine does at its start; the loop by hand gains from it too
    if hasattr(os, "sched_setaffinity"):  # not on every system
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))
    with tempfile.TemporaryDirectory() as inbox_folder:
        asyncio.run(fill_inbox(Path(inbox_folder), options.events))
        if options.profile:
            profile(Path(inbox_folder), options.events)
            return
        ratios = []
        for number in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                by_hand = run_by_hand(Path(inbox_folder), Path(folder), options.events)
                engine = asyncio.run(run_engine(Path(inbox_folder), Path(folder), options.events))
            ratios.append(by_hand / engine)
            print(
                f"round {number + 1}: by hand {options.events / by_hand:8,.0f} events/s ({by_hand / options.events * 1e6:5.1f} µs)"
                f"   engine {options.events / engine:8,.0f} events/s ({engine / options.events * 1e6:5.1f} µs)"
                f"   ratio {ratios[-1]:.2f}"
            )
    ratio = statistics.median(ratios)
    print(
        f"median ratio {ratio:.2f} (target: at least {RATIO_MIN}): {'reached' if ratio >= RATIO_MIN else 'NOT reached'}"
    )


if __name__ == "__main__":
    main()
