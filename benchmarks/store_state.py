"""What the engine's store operations cost per event, against the same work written by hand over bare SQLite, in one run.

Blocks of 1,000 events, every message id and member new: duplicates checked, members interned, memberships read and
written, deliveries and traces stored, cursor moved, one durable commit. Rounds alternate, so that a slow phase of the
machine meets both. Run: python benchmarks/store_state.py [blocks per round] [rounds]
"""

import asyncio
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gateway.core.events import Place
from gateway.store import open_state
from gateway.store.api import StateTx
from gateway.store.rows import MembershipRow, NewDelivery, SeenKey, TraceRow
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.connection import open_writer

BLOCK = 1000
PAYLOAD = (
    b'{"email":"'
    + b"a" * 64
    + b'@example.com","segment_audience_key":"vip_buyers","enable_batching":true,"traits":{"plan":"pro"}}'
)
SUMMARY = b'{"changes":[["vip_buyers","entered"]],"warnings":[]}'
NOW_US = 1_790_000_000_000_000


def hashes(block: int) -> list[tuple[int, int, str]]:
    made = []
    for n in range(BLOCK):
        digest = hashlib.blake2b(f"{block}/{n}".encode(), digest_size=16).digest()
        id_hash, content = (int.from_bytes(digest[at : at + 8], "big", signed=True) for at in (0, 8))
        made.append((id_hash, content, f"user_id:{digest.hex()[:20]}"))
    return made


class ByHand:
    """The prototype's tables: hash set, identity, member, outbox, cursor."""

    def __init__(self, folder: Path) -> None:
        self.connection = open_writer(
            folder / "hand.db", page_size=4096, cache_bytes=128 << 20, background_checkpoint=True
        )
        for statement in (
            "CREATE TABLE dedup (h INTEGER PRIMARY KEY) STRICT",
            "CREATE TABLE identity (id INTEGER PRIMARY KEY, k BLOB NOT NULL UNIQUE, ids BLOB NOT NULL) STRICT",
            (
                "CREATE TABLE member (audience INTEGER, identity INTEGER, ts INTEGER, state INTEGER, "
                "PRIMARY KEY (audience, identity)) STRICT, WITHOUT ROWID"
            ),
            (
                "CREATE TABLE outbox (id INTEGER PRIMARY KEY, destination INTEGER, due_ms INTEGER, attempts INTEGER, "
                "state INTEGER, body BLOB) STRICT"
            ),
            "CREATE INDEX outbox_due ON outbox (destination, due_ms) WHERE state = 0",
            "CREATE TABLE cursor (inbox TEXT PRIMARY KEY, frame INTEGER) STRICT, WITHOUT ROWID",
        ):
            self.connection.execute(statement)

    def run(self, block: int, events: list[tuple[int, int, str]]) -> None:
        run = self.connection.execute
        run("BEGIN IMMEDIATE")
        for id_hash, _digest, canonical in events:
            if run("INSERT OR IGNORE INTO dedup VALUES (?)", (id_hash,)).rowcount == 0:
                continue
            key = hashlib.blake2b(canonical.encode(), digest_size=16).digest()
            row = run("SELECT id FROM identity WHERE k = ?", (key,)).fetchone()
            identity = (
                row[0]
                if row
                else run("INSERT INTO identity (k, ids) VALUES (?, ?)", (key, canonical.encode())).lastrowid
            )
            run(
                "INSERT INTO member VALUES (1, ?, ?, 1) ON CONFLICT (audience, identity) DO UPDATE SET ts = excluded.ts, "
                "state = excluded.state WHERE excluded.ts > member.ts",
                (identity, NOW_US),
            )
            run(
                "INSERT INTO outbox (destination, due_ms, attempts, state, body) VALUES (1, ?, 0, 0, ?)",
                (NOW_US // 1000, PAYLOAD),
            )
        run("INSERT OR REPLACE INTO cursor VALUES ('inbox', ?)", (block,))
        run("COMMIT")


def through_the_store(block: int, events: list[tuple[int, int, str]]) -> Callable[[StateTx], None]:
    def work(tx: StateTx) -> None:
        tx.check_seen([SeenKey(h, d, Place(1, block, n)) for n, (h, d, _c) in enumerate(events)], now_us=NOW_US)
        audience = tx.intern_audiences([("default", "vip_buyers", "vip_buyers")], now_us=NOW_US)[
            "default", "vip_buyers"
        ].id
        people = [("default", canonical) for _h, _d, canonical in events]
        tx.tombstones(people)
        ids = tx.intern_members(people)
        pairs = [(audience, ids[person]) for person in people]
        tx.memberships(pairs)
        tx.save_memberships(
            [MembershipRow(a, m, True, NOW_US, NOW_US, NOW_US, Place(1, block, n)) for n, (a, m) in enumerate(pairs)]
        )
        first = tx.add_deliveries(
            [
                NewDelivery("stackadapt", "Forward", a, m, "enter", PAYLOAD, Place(1, block, n), NOW_US, NOW_US)
                for n, (a, m) in enumerate(pairs)
            ],
            now_us=NOW_US,
        )
        tx.add_traces(
            [
                TraceRow(h, d, Place(1, block, n), NOW_US, "decided", SUMMARY, first + n, 1, "shop")
                for n, (h, d, _c) in enumerate(events)
            ],
            now_us=NOW_US,
        )
        tx.move_cursor(1, block)

    return work


async def main(blocks: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state, hand = open_state(folder), ByHand(folder)
        ratios = []
        for turn in range(rounds):
            prepared = [(turn * blocks + n + 1, hashes(turn * blocks + n)) for n in range(blocks)]
            wall, cpu = time.perf_counter(), time.process_time()
            for block, events in prepared:
                await state.write(through_the_store(block, events))
            ours, ours_cpu = time.perf_counter() - wall, time.process_time() - cpu
            wall, cpu = time.perf_counter(), time.process_time()
            for block, events in prepared:
                hand.run(block, events)
            hand.connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
            theirs, theirs_cpu = time.perf_counter() - wall, time.process_time() - cpu
            ratios.append(theirs / ours)
            count = blocks * BLOCK / 1e6
            print(
                f"round {turn + 1}: store {ours / count:.1f} µs ({ours_cpu / count:.1f} CPU), "
                f"by hand {theirs / count:.1f} µs ({theirs_cpu / count:.1f} CPU), ratio {ratios[-1]:.2f}"
            )
        print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f}, SQLite {driver.sqlite_version}")
        await state.close()
        hand.connection.close()


if __name__ == "__main__":
    asyncio.run(main(*(int(word) for word in [*sys.argv[1:], "40", "5"][:2])))
