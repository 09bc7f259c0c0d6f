"""Orders over all records of one sync, a page a transaction: try again, settle the unsure, forget, go back to a snapshot."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from gateway.core.errors import OrderError
from gateway.store.api import StateTx, StateView
from gateway.store.sync_rows import ABSENT, ASSUMED, IN, PRESENT, UNSURE, RecordRow, SyncRow
from gateway.syncs.memory import RecordMore, encode_json, encode_more, read_memory, read_more
from gateway.syncs.snapshots import Entry, read_part

PIECE_RECORDS = 1_000

RecordOrder = Literal["retry", "listed", "not_listed", "reset"]


class RestorePlace(msgspec.Struct, frozen=True, kw_only=True):
    """How far a restoring has come: the next part of the snapshot, and the last member looked at."""

    part: int = 0
    member: int = 0


class Restored(msgspec.Struct, kw_only=True):
    """What restoring came to. same: as in the snapshot. unsure: changed since. lost: listed then, and nothing is kept of them."""

    same: int = 0
    unsure: int = 0
    lost: int = 0


def change_page(tx: StateTx, sync: SyncRow, what: RecordOrder, after: int, *, now_us: int) -> tuple[int, int | None]:
    """Change the next records behind a member; (how many were changed, the last member looked at or None at the end)."""
    rows = tx.records(sync.id, after=(after, 2**62), limit=PIECE_RECORDS, settled=what == "reset")
    changed = sum(_change(tx, sync, row, what, now_us) for row in rows)
    if what == "reset":
        memory = replace(read_memory(sync.memory), has_run=False, last_upload_us=0)
        tx.save_sync(replace(sync, listed=0, listed_run=0, memory=encode_json(memory)))
    if what == "not_listed" and changed:
        gone = changed - sum(row.state == UNSURE and bool(read_more(row.more).orphans) for row in rows)
        tx.save_sync(replace(sync, listed=max(0, sync.listed - gone)))
    return changed, rows[-1].member if len(rows) == PIECE_RECORDS else None


def _change(tx: StateTx, sync: SyncRow, row: RecordRow, what: RecordOrder, now_us: int) -> bool:
    more = read_more(row.more)
    if what == "retry":
        if more.problem is None or more.problem.kind == "unmappable":
            return False
        tx.put_records(sync.id, [replace(row, more=encode_more(replace(more, problem=None)))])
        return True
    if what == "listed":
        if row.state != UNSURE:
            return False
        tx.put_records(sync.id, [replace(row, state=PRESENT, more=encode_more(replace(more, problem=None)))])
        return True
    if row.state != UNSURE if what == "not_listed" else row.state == ABSENT and not row.more:
        return False
    if what == "not_listed" and more.orphans:
        tx.put_records(sync.id, [_without_sent(row, more, now_us)])
        return True
    forgotten = replace(row, state=ABSENT, sent=b"", sent_fingerprint=b"", sent_entry=b"", more=b"", changed_us=now_us)
    if row.standing == IN:
        tx.put_records(sync.id, [forgotten])
    else:
        tx.drop_records(sync.id, [(row.member, row.line)])
    return True


def _without_sent(row: RecordRow, more: RecordMore, now_us: int) -> RecordRow:
    """What was sent last is not on the list; what was sent before, under other identifiers, was never taken off it."""
    before, *others = more.orphans
    kept = RecordMore(orphans=tuple(others), remembered=before.remembered, unknown_exit=more.unknown_exit)
    return replace(
        row, state=ASSUMED, sent=before.payload, sent_fingerprint=bytes.fromhex(before.fingerprint),
        sent_entry=bytes.fromhex(before.identity), more=encode_more(kept), changed_us=now_us,
    )  # fmt: skip


def restore_page(
    tx: StateTx, sync: SyncRow, run: int, place: RestorePlace, restored: Restored, *, now_us: int
) -> RestorePlace | None:
    """Hold the next part of a snapshot against the records of its members; where to go on, None at the end.

    A record that is not as the snapshot has it becomes unsure with what was sent last, so that the next run asks the platform
    anew. Of who was listed then and has no record now, nothing is known that could be sent.
    """
    parts = tx.snapshot_parts(run)
    entries = read_part(parts[place.part][1])
    is_last = place.part + 1 == len(parts)
    if not entries and not is_last:
        return replace(place, part=place.part + 1)
    until = 2**62 if is_last else entries[-1].member
    known = {entry.key: entry for entry in entries if entry.state != ABSENT}
    after, stored = place.member, list[RecordRow]()
    while True:
        rows = [row for row in tx.records(sync.id, after=(after, 2**62), limit=PIECE_RECORDS) if row.member <= until]
        stored += rows
        if len(rows) < PIECE_RECORDS:
            break
        after = rows[-1].member
    doubted = [_doubted(row, now_us) for row in stored if not _is_same(row, known.get((row.member, row.line)))]
    tx.put_records(sync.id, [row for row in doubted if row is not None])
    restored.unsure += sum(row is not None for row in doubted)
    restored.same += len(stored) - len(doubted)
    kept = {(row.member, row.line) for row in stored}
    restored.lost += sum(key not in kept for key in known)
    return None if is_last else RestorePlace(part=place.part + 1, member=until)


def check_restorable(view: StateView, sync: SyncRow, run: int, *, whole_lists: bool) -> None:
    """Raise OrderError where a sync cannot go back to a run's snapshot."""
    if whole_lists:
        raise OrderError(
            409,
            "whole_lists",
            "This platform takes whole lists: the next upload replaces what it holds, nothing to restore.",
        )
    kept = view.snapshot_runs(sync.id)
    if run not in kept:
        listed = ", ".join(map(str, kept)) or "none"
        raise OrderError(
            404,
            "no_snapshot",
            f"Of run {run} no snapshot is kept: only runs that changed something have one, and the sync keeps its last few "
            f"(`snapshots.keep`). Kept: {listed}.",
        )


def _is_same(row: RecordRow, entry: Entry | None) -> bool:
    if entry is None:
        return row.state == ABSENT
    return (row.state, row.sent_fingerprint[: len(entry.fingerprint)]) == (entry.state, entry.fingerprint)


def _doubted(row: RecordRow, now_us: int) -> RecordRow | None:
    """The record as unsure; None where nothing was ever sent of it, so that it is planned anew in any case."""
    if row.state in (ABSENT, UNSURE):
        return None
    return replace(row, state=UNSURE, changed_us=now_us)
