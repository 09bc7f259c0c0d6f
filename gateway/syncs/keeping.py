"""What of syncs has outlived its time: log lines, runs, lists nobody holds any more, records of syncs that were deleted."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.store.api import StateTx
from gateway.syncs.memory import read_memory

PIECE_ROWS = 10_000
DAY_US = 86_400 * 1_000_000
RUNS_DAYS = 400
DELETED_DAYS = 30


def tidy_syncs(tx: StateTx, now_us: int, *, only_exported: bool = False) -> int:
    """Delete one bounded piece of each kind, over all syncs; return how many rows went (call again while > 0).

    only_exported: logs of runs that were not exported yet are kept, whatever their age.
    """
    gone = 0
    for sync in tx.syncs():
        memory = read_memory(sync.memory)
        if memory.log_days is not None and memory.has_run:
            before_us = now_us - memory.log_days * DAY_US
            gone += tx.drop_row_results(
                sync.id, finished_before_us=before_us, limit=PIECE_ROWS - gone, only_exported=only_exported
            )
        if sync.status == "deleted" and sync.deleted_us and now_us - sync.deleted_us > DELETED_DAYS * DAY_US:
            gone += tx.drop_all_records(sync.id, limit=PIECE_ROWS - gone)
            if sync.listed_run:
                tx.save_sync(replace(sync, listed_run=0, listed=0))
        if gone >= PIECE_ROWS:
            return gone
    tx.drop_empty_counts(limit=PIECE_ROWS)  # not among what went: with events coming in, there would always be more
    gone += tx.drop_exports(limit=PIECE_ROWS) + tx.drop_operations_left(limit=PIECE_ROWS)
    for run in tx.lists_left():
        gone += tx.drop_list(run, limit=PIECE_ROWS)
        if gone >= PIECE_ROWS:
            return gone
    return gone + tx.drop_runs(finished_before_us=now_us - RUNS_DAYS * DAY_US, limit=PIECE_ROWS)
