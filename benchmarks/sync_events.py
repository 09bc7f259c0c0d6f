"""What one event costs, decided and recorded, with few members in the store and with many.

Usage: python benchmarks/sync_events.py [--few N] [--many N] [--events N] [--rounds N] [--check]

Two stores with one audience and one sync each, filled in bulk through the store's own tables. Every round brings both of them the
same mix: of ten events six are of members who are in and whose value changed, two of members who leave, two of members never
met, each drawn at random from all there are. The worker reads them from an inbox, decides and records them with the store's
own writer and durability. Rounds take turns, so that a slow phase of the machine meets both; the median ratio counts.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from gateway.core.arrivals import Arrival, Item, encode_arrival
from gateway.core.definitions import Action, Definition, Field
from gateway.core.fql import compile_trigger
from gateway.core.mapping import compile_mapping
from gateway.core.payloads import compile_check
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.core.sources import Source
from gateway.core.sync_options import default_options
from gateway.decisions.worker import DecisionWorker
from gateway.service.starting import calm_collector
from gateway.store import open_inbox_reader, open_inbox_writer, open_state
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.session import member_hash
from gateway.store.sqlite.state import STATE_FILE
from gateway.store.sync_rows import IN, PRESENT

RATIO_MAX = 1.5  # the target: an event among five million costs at most this many times one among fifty thousand
WARM_UP_ROUNDS = 3  # until the pages that every event meets are in memory
EVENTS_PER_FRAME = 25
MAPPING = "ads/list"
AUDIENCE = ("spa_bench", "aud_bench", "vip")
FILLED = ("member", "membership", "record")

ACTION = Action(
    slug="list",
    title="List",
    fields=(
        Field(key="email", label="Email", type="string", default={"@path": "$.context.traits.email"}),
        Field(key="ltv", label="Value", type="number", default={"@path": "$.context.traits.ltv"}),
    ),
    trigger='type = "track"',
    list_shaped=True,
)


def rulebook() -> Rulebook:
    """One mapping that keeps a list."""
    fields = {field.key: field.default for field in ACTION.fields}
    mapping = CompiledMapping(
        key=MAPPING, name="list", action=ACTION, trigger=compile_trigger(ACTION.trigger), trigger_text=ACTION.trigger,
        transform=compile_mapping(fields), check=compile_check(ACTION.fields), fields=fields, sync=default_options(),
        version="1",
    )  # fmt: skip
    destination = CompiledDestination(
        key="ads", name="Ads", definition=Definition(slug="ads", title="Ads", settings=(), actions=(ACTION,)), settings={},
        mappings=(mapping,), corrections=frozenset(),
    )  # fmt: skip
    return Rulebook(version="1", destinations=(destination,), sources={"shop": Source(name="shop", kind="webhook")})


def render(_destination: str, _mapping: str, payload: dict[str, object]) -> tuple[bytes, bytes, int]:
    """Digests of a record and of its identifiers; cheap, since it is the store that is measured."""
    return digest(str(payload)), digest(str(payload["email"])), 0


def digest(text: str) -> bytes:
    """Sixteen bytes of a text."""
    return blake2b(text.encode(), digest_size=16).digest()


def event(number: int, *, is_member: bool, ltv: int, at: int) -> bytes:
    """One person's event as Engage sends it."""
    return msgspec.json.encode(
        {
            "type": "track",
            "event": "Audience Entered" if is_member else "Audience Exited",
            "userId": f"usr_{number:012x}",
            "messageId": f"personas_{at:024x}",
            "properties": {"audience_key": AUDIENCE[2], AUDIENCE[2]: is_member},
            "context": {
                "personas": {
                    "computation_class": "audience", "computation_id": AUDIENCE[1], "computation_key": AUDIENCE[2],
                    "space_id": AUDIENCE[0],
                },
                "traits": {"email": f"person.{number}@example.com", "ltv": ltv},
            },
        }
    )  # fmt: skip


class Store:
    """A data folder with so many members, and a worker on it."""

    def __init__(self, folder: Path, members: int) -> None:
        self.folder = folder
        self.members = members
        self.newest = members
        self.chance = random.Random(members)
        self.sent = 0

    async def fill(self) -> None:
        """Everybody is in and listed, as a run left them; indexes are made at the end, which takes a tenth of the time."""
        state = open_state(self.folder)
        audience, sync = await state.write(_names)
        await state.close()
        connection = driver.connect(self.folder / STATE_FILE, isolation_level=None)
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-262144")
        marks = ", ".join("?" * len(FILLED))
        indexes = connection.execute(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> '' AND tbl_name IN ({marks})", FILLED
        ).fetchall()
        connection.execute("BEGIN")
        for name, _sql in indexes:
            connection.execute(f"DROP INDEX {name}")
        space = connection.execute("SELECT id FROM text WHERE text = 'default'").fetchone()[0]
        _insert(connection, "member", self._member_rows(space))
        _insert(connection, "membership", ((audience, n, 1, 1, 1, 1, 1) for n in range(1, self.members + 1)))
        _insert(connection, "record", self._record_rows(sync))
        for _name, sql in indexes:
            connection.execute(sql)
        connection.execute("INSERT OR REPLACE INTO counter VALUES ('member', ?)", (self.members + 1,))
        connection.execute("UPDATE audience SET members = ?", (self.members,))
        connection.execute("COMMIT")
        connection.close()

    def _member_rows(self, space: int) -> Iterator[tuple[object, ...]]:
        for number in range(1, self.members + 1):
            canonical = f"user_id:usr_{number:012x}"
            yield number, member_hash("default", canonical), space, canonical

    def _record_rows(self, sync: int) -> Iterator[tuple[object, ...]]:
        for number in range(1, self.members + 1):
            email = f"person.{number}@example.com"
            payload = msgspec.json.encode({"email": email, "ltv": 1})
            entry, fingerprint = digest(email), digest(f"1{email}")
            yield (
                sync, number, 0, IN, PRESENT, 1, 1, payload, fingerprint, entry, payload, fingerprint, entry, "", b"", 1, 1,
            )  # fmt: skip

    def open(self) -> None:
        """Start to work on it."""
        self.state = open_state(self.folder)
        self.inbox = open_inbox_writer(self.folder)
        self.reader = open_inbox_reader(self.folder)
        rules = rulebook()
        self.worker = DecisionWorker(
            inbox=self.reader, state=self.state, rulebook=lambda: rules, wait=_no_wait,
            clock=lambda: time.time_ns() // 1000, render=render,
        )  # fmt: skip

    async def round(self, events: int) -> float:
        """Microseconds an event, for so many of them."""
        for start in range(0, events, EVENTS_PER_FRAME):
            made = [self._event() for _ in range(start, min(start + EVENTS_PER_FRAME, events))]
            items = tuple(Item(body=body) for body in made)
            arrival = Arrival(source="shop", received_us=time.time_ns() // 1000, items=items)
            await self.inbox.put(encode_arrival(arrival), len(items))
        started = time.perf_counter()
        while await self.worker.step():
            pass
        return (time.perf_counter() - started) / events * 1e6

    def _event(self) -> bytes:
        self.sent += 1
        kind = self.sent % 10
        if kind < 2:
            self.newest += 1
            return event(self.newest, is_member=True, ltv=1, at=self.sent)
        number = self.chance.randint(1, self.members)
        return event(number, is_member=kind >= 4, ltv=self.chance.randrange(2, 1_000), at=self.sent)

    async def close(self) -> None:
        """Let go of all files."""
        await self.state.close()
        await self.inbox.close()
        self.reader.close()


def _names(tx) -> tuple[int, int]:  # type: ignore[no-untyped-def] # noqa: ANN001 - a StateTx
    """The audience and its sync."""
    space, name, key = AUDIENCE
    audience = tx.intern_audiences([(space, name, key)], now_us=1)[space, name].id
    tx.intern_members([("default", "nobody")])
    return audience, tx.intern_syncs([(MAPPING, audience)], now_us=1)[MAPPING, audience]


def _insert(connection: driver.Connection, table: str, rows: Iterator[tuple[object, ...]]) -> None:
    width = len(connection.execute(f"PRAGMA table_info({table})").fetchall())
    connection.execute(f"DELETE FROM {table}")
    connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", rows)


async def _no_wait(_timeout_s: float) -> None:
    return None


async def measure(few: int, many: int, events: int, rounds: int) -> float:
    """The median ratio, with everything printed."""
    with tempfile.TemporaryDirectory() as folder:
        stores = []
        for members in (few, many):
            place = Path(folder) / str(members)
            place.mkdir()
            store = Store(place, members)
            started = time.perf_counter()
            await store.fill()
            size_mb = (place / STATE_FILE).stat().st_size / 1e6
            print(f"{members:10,} members filled in {time.perf_counter() - started:5.0f} s, {size_mb:,.0f} MB")
            store.open()
            stores.append(store)
        ratios = []
        for number in range(rounds + WARM_UP_ROUNDS):
            small, large = [await store.round(events) for store in stores]
            if number >= WARM_UP_ROUNDS:
                ratios.append(large / small)
                print(f"{number}: {small:6.1f} µs an event among few, {large:6.1f} among many, ratio {ratios[-1]:.2f}")
        for store in stores:
            await store.close()
    return statistics.median(ratios)


def main() -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--few", type=int, default=50_000)
    parser.add_argument("--many", type=int, default=5_000_000)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    calm_collector()
    ratio = asyncio.run(measure(options.few, options.many, options.events, options.rounds))
    print(f"median ratio {ratio:.2f} (target: at most {RATIO_MAX})")
    return 1 if options.check and ratio > RATIO_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
