"""How claims and settlements fare on a long queue: a million due deliveries, then as many that wait behind a retry.

The second half is the hard case: every person's first delivery failed and is due again in an hour, the rest is due now
but may not pass it. Run: python benchmarks/store_lanes.py [deliveries]
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gateway.core.events import Place
from gateway.store import open_state
from gateway.store.api import StateTx
from gateway.store.rows import NewDelivery, Settlement
from gateway.store.sqlite.state import SqliteStateStore

PAYLOAD = b'{"email":"' + b"a" * 64 + b'@example.com","segment_audience_key":"vip_buyers"}'
BATCH = 100
ROUNDS = 50
NOW_US = 1_790_000_000_000_000
HOUR_US = 3_600_000_000


def add(members: range) -> Callable[[StateTx], int]:
    rows = [
        NewDelivery("ads", "forward", 1, member, "enter", PAYLOAD, Place(1, 1, 0), NOW_US, NOW_US) for member in members
    ]
    return lambda tx: tx.add_deliveries(rows, now_us=NOW_US)


async def claim_and_settle(state: SqliteStateStore, rounds: int, settled: str) -> tuple[int, float]:
    def claim(tx: StateTx) -> list[int]:
        rows = tx.claim("ads", now_us=NOW_US, lease_until_us=NOW_US + 1, events_max=BATCH, bytes_max=1 << 22)
        return [row.id for row in rows]

    count, started = 0, time.perf_counter()
    for _ in range(rounds):
        ids = await state.write(claim)
        ends = [Settlement(n, settled, due_us=NOW_US + HOUR_US) for n in ids]  # type: ignore[arg-type]  # one of the three words
        await state.write(lambda tx, ends=ends: tx.settle(ends, None, now_us=NOW_US))  # type: ignore[misc]  # bound now
        count += len(ids)
    return count, (time.perf_counter() - started) / rounds * 1000


async def main(deliveries: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        state = open_state(Path(name))
        started = time.perf_counter()
        for first in range(1, deliveries, 10_000):
            await state.write(add(range(first, first + 10_000)))
        print(f"{deliveries:,} deliveries stored: {(time.perf_counter() - started) / deliveries * 1e6:.1f} µs each")
        count, each_ms = await claim_and_settle(state, ROUNDS, "delivered")
        print(f"all due: {count:,} claimed and delivered, {each_ms:.1f} ms per batch of {BATCH} (two commits)")
        while (await claim_and_settle(state, 200, "due"))[0]:
            pass
        for first in range(1, deliveries, 10_000):
            await state.write(add(range(first, first + 10_000)))
        for first in range(deliveries + 1, deliveries + BATCH * ROUNDS, 10_000):
            await state.write(add(range(first, first + 10_000)))
        count, each_ms = await claim_and_settle(state, ROUNDS, "delivered")
        print(
            f"behind {deliveries:,} retries and as many blocked: {count:,} claimed and delivered, {each_ms:.1f} ms per batch"
        )
        started = time.perf_counter()
        (lane,) = await state.read(lambda view: view.lanes())
        print(f"counts of the lane ({lane.due:,} due): {(time.perf_counter() - started) * 1000:.0f} ms")
        await state.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
