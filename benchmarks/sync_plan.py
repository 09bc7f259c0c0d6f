"""Planning a run over a large audience, beside a bare ordered SELECT; memberships with records, beside raw upserts.

    python -m benchmarks.sync_plan [--members 200000]

The figures of the record: a diff with 1 % changed at 0.3 of the rate of reading the same table in order, under 512 MB;
recording at 0.4 of raw batched upserts.
"""

# ruff: noqa: SLF001 - the baseline is bare SQL on the very connection

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path

from gateway.core.events import Place
from gateway.core.run_counters import RunCounters
from gateway.core.sync_options import Capabilities
from gateway.core.sync_plan import PlanRules
from gateway.store import open_state
from gateway.store.api import StateTx
from gateway.store.sqlite.state import SqliteStateStore
from gateway.store.sync_rows import IN, PRESENT, RecordRow, WantedRow
from gateway.syncs.planner import count_page, operations_of, plan_page

PAGE = 5_000
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
        page = await state.read(lambda view, after=after: plan_page(view, sync, rules, after=after))  # type: ignore[misc]
        count_page(page, counters)
        rows = operations_of(page, 1)
        operations += len(rows)
        await state.write(lambda tx, rows=rows: tx.add_planned(rows))  # type: ignore[misc]
        after = page.after
    return time.perf_counter() - started, operations


async def upserts(state: SqliteStateStore, sync: int, count: int) -> tuple[float, float]:
    """Records of entering members per second: as decisions write them, and as bare batched upserts of the same rows."""
    rows = [
        WantedRow(
            sync,
            number,
            0,
            2,
            PLACE,
            b'{"email":"person-%d@example.com"}' % number,
            digest(number, 3),
            digest(number, 2),
        )
        for number in range(1, count + 1)
    ]
    started = time.perf_counter()
    for start in range(0, count, 1_000):
        await state.write(lambda tx, start=start: tx.save_wanted(rows[start : start + 1_000], now_us=2))  # type: ignore[misc]
    ours = count / (time.perf_counter() - started)

    def bare(tx: StateTx, start: int) -> None:
        tx._connection.executemany(  # type: ignore[attr-defined]
            "INSERT INTO bare VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (sync, member) DO UPDATE SET "
            "at_us = excluded.at_us, payload = excluded.payload, fingerprint = excluded.fingerprint, entry = excluded.entry",
            [
                (row.sync, row.member, row.at_us, row.payload, row.fingerprint, row.entry)
                for row in rows[start : start + 1_000]
            ],
        )

    await state.write(
        lambda tx: tx._connection.execute(
            "CREATE TABLE bare (sync INTEGER, member INTEGER, at_us INTEGER, payload BLOB, fingerprint BLOB, entry BLOB, "
            "PRIMARY KEY (sync, member)) WITHOUT ROWID"
        )
    )
    for _ in range(2):  # the second time they are there, as ours are
        started = time.perf_counter()
        for start in range(0, count, 1_000):
            await state.write(lambda tx, start=start: bare(tx, start))  # type: ignore[misc]
        raw = count / (time.perf_counter() - started)
    return ours, raw


async def measure(members: int) -> None:
    """All figures, printed."""
    with tempfile.TemporaryDirectory() as folder:
        state = open_state(Path(folder))
        sync = await fill(state, members)
        await read_in_order(state, sync)
        bare_s = await read_in_order(state, sync)
        plan_s, operations = await plan(state, sync)
        ours, raw = await upserts(state, sync, min(members, 100_000))
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
