"""Planning a run over a large audience, beside a bare ordered SELECT; memberships with records, beside raw upserts.

    python benchmarks/sync_plan.py [--members 200000]

The figures of the record: a diff with 1 % changed at 0.3 of the rate of reading the same table in order, under 512 MB;
recording at 0.4 of raw batched upserts.
"""

# ruff: noqa: SLF001 - the baseline is bare SQL on the very connection

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gateway.core.events import Place
from gateway.core.run_counters import RunCounters
from gateway.core.sync_options import Capabilities
from gateway.core.sync_plan import PlanRules
from gateway.store import open_state
from gateway.store.api import StateTx
from gateway.store.sqlite.state import SqliteStateStore
from gateway.store.sync_rows import IN, PRESENT, RecordRow, WantedRow
from gateway.syncs.list_records import RecordsOfList
from gateway.syncs.planner import count_page, operations_of, plan_page

PAGE = 5_000
PIECE = 1_000  # of one transaction, as a block of events
UPSERT_ROUNDS = 5
CHANGED_EVERY = 100
PLACE = Place(1, 1, 0)


def digest(number: int, kind: int = 0) -> bytes:
    """Sixteen bytes that look like any digest."""
    return ((number * 0x9E3779B97F4A7C15 + kind * 0xC2B2AE3D27D4EB4F) % (1 << 128)).to_bytes(16, "big")


def settled(number: int) -> RecordRow:
    """A member who is in and listed as wanted, or, every hundredth, differently."""
    payload = b'{"email":"person-%d@example.com","ltv":%d}' % (number, number % 7)
    wanted = digest(number, 1) if number % CHANGED_EVERY == 0 else digest(number)
    entry = digest(number, 2)
    return RecordRow(
        number, 0, IN, PRESENT, 1, PLACE, payload, wanted, entry, payload, digest(number), entry, "", b"", 1, 1
    )


async def fill(state: SqliteStateStore, members: int) -> int:
    """A sync with so many members; its number."""
    sync = await state.write(lambda tx: tx.intern_syncs([("ads/list", 1)], now_us=1)["ads/list", 1])
    for start in range(1, members + 1, PAGE):
        rows = [settled(number) for number in range(start, min(start + PAGE, members + 1))]
        await state.write(lambda tx, rows=rows: tx.put_records(sync, rows))  # type: ignore[misc]
    return sync


async def read_in_order(state: SqliteStateStore, sync: int) -> float:
    """Seconds to read every record in order, and nothing else."""
    started = time.perf_counter()

    def read(view: object) -> None:
        for _ in view._connection.execute(  # type: ignore[attr-defined]
            "SELECT member, standing, state, payload, fingerprint, entry, sent, sent_fingerprint FROM record "
            "WHERE sync = ? ORDER BY member, line", (sync,),
        ):  # fmt: skip
            pass

    await state.read(read)
    return time.perf_counter() - started


async def plan(state: SqliteStateStore, sync: int) -> tuple[float, int]:
    """Seconds to plan a diff and keep its operations, as a run does; and how many there are."""
    rules = PlanRules(mode="mirror", capabilities=Capabilities(update=True))
    counters = RunCounters()
    started = time.perf_counter()
    counters.unchanged = await state.read(lambda view: view.settled_count(sync))
    after: int | None = 0
    operations = 0
    while after is not None:
        page = await state.read(lambda view, after=after: plan_page(view, RecordsOfList(sync=sync), rules, after=after))  # type: ignore[misc]
        count_page(page, counters)
        rows = operations_of(page, 1)
        operations += len(rows)
        await state.write(lambda tx, rows=rows: tx.add_planned(rows))  # type: ignore[misc]
        after = page.after
    return time.perf_counter() - started, operations


async def copy_records(state: SqliteStateStore) -> None:
    """A second table like the records', with the same columns, key, indexes and rows, for the baseline."""

    def copy(tx: StateTx) -> None:
        run = tx._connection.execute  # type: ignore[attr-defined]
        statements = run(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'record' AND sql <> '' AND type <> 'trigger' ORDER BY type DESC"
        ).fetchall()
        for (statement,) in statements:
            run(
                statement.replace("record_", "bare_")
                .replace("TABLE record", "TABLE bare")
                .replace("ON record", "ON bare")
            )
        run("INSERT INTO bare SELECT * FROM record")

    await state.write(copy)


async def upserts(state: SqliteStateStore, sync: int, members: int, count: int) -> tuple[float, float]:
    """Records of entering members a second, as decisions write them, and as bare batched upserts into the same kind of table.

    Half of them are there already, half are new; rounds take turns, and the medians count.
    """
    ours, raw = [], []
    newest = members
    for number in range(UPSERT_ROUNDS + 1):
        rows = [
            WantedRow(
                sync, member, 0, number + 2, PLACE, b'{"email":"person-%d@example.com"}' % member, digest(member, 3 + number),
                digest(member, 2),
            )
            for member in (*range(1, count // 2 + 1), *range(newest + 1, newest + count // 2 + 1))
        ]  # fmt: skip
        newest += count // 2
        pieces = [rows[start : start + PIECE] for start in range(0, count, PIECE)]
        took = [await _timed(state, pieces, work) for work in (_ours, _bare)]
        if number:  # the first round warms up
            ours.append(count / took[0])
            raw.append(count / took[1])
    return statistics.median(ours), statistics.median(raw)


async def _timed(
    state: SqliteStateStore, pieces: list[list[WantedRow]], work: Callable[[StateTx, list[WantedRow]], None]
) -> float:
    started = time.perf_counter()
    for piece in pieces:
        await state.write(lambda tx, piece=piece: work(tx, piece))  # type: ignore[misc]
    return time.perf_counter() - started


def _ours(tx: StateTx, rows: list[WantedRow]) -> None:
    tx.save_wanted(rows, now_us=2)


def _bare(tx: StateTx, rows: list[WantedRow]) -> None:
    tx._connection.executemany(  # type: ignore[attr-defined]
        "INSERT INTO bare VALUES (?, ?, ?, 1, 0, ?, ?, ?, ?, ?, x'', x'', x'', '', x'', ?, 0) "
        "ON CONFLICT (sync, member, line) DO UPDATE SET standing = 1, at_us = excluded.at_us, place = excluded.place, "
        "payload = excluded.payload, fingerprint = excluded.fingerprint, entry = excluded.entry, changed_us = excluded.changed_us",
        [(row.sync, row.member, row.line, row.at_us, 1, row.payload, row.fingerprint, row.entry, 2) for row in rows],
    )


async def measure(members: int) -> None:
    """All figures, printed."""
    with tempfile.TemporaryDirectory() as folder:
        state = open_state(Path(folder))
        sync = await fill(state, members)
        await read_in_order(state, sync)
        bare_s = await read_in_order(state, sync)
        plan_s, operations = await plan(state, sync)
        await copy_records(state)
        ours, raw = await upserts(state, sync, members, min(members, 100_000))
        await state.close()
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"members {members:,}, operations {operations:,}")
    print(f"ordered SELECT {members / bare_s:12,.0f} rows/s")
    print(
        f"plan           {members / plan_s:12,.0f} rows/s   {bare_s / plan_s:5.2f} of it   {plan_s:6.2f} s   {memory_mb:.0f} MB"
    )
    print(f"bare upserts   {raw:12,.0f} rows/s")
    print(f"save_wanted    {ours:12,.0f} rows/s   {ours / raw:5.2f} of it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=200_000)
    asyncio.run(measure(parser.parse_args().members))
