"""Syncs follow the files: an entry that is taken out ends its sync, and one that is put back within 30 days brings it back.

What was delivered stays where it is in both cases, as with `gateway sync delete --leave` and `undelete`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from gateway.core.rulebook import Rulebook
from gateway.observe import logs
from gateway.store.api import StateTx
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import IN_THE_MAKING, SEVERAL_VERSIONS, SyncRow, SyncStatus
from gateway.syncs.keeping import DAY_US, DELETED_DAYS
from gateway.syncs.memory import encode_json, read_memory
from gateway.syncs.names import parked_target, standing_of, sync_name

LEFT_RECORDS = 10_000  # looked at in one transaction
_GOING = ("active", "errored", "paused")

log = logs.logger()


def brought_back(sync: SyncRow, *, now_us: int) -> SyncRow:
    """A deleted sync as it goes on; after DELETED_DAYS nothing of its list is known any more, so it begins anew."""
    memory = read_memory(sync.memory)
    was_paused = memory.deleted_by == "file_while_paused"
    # No event reached its records meanwhile: who entered is told by the next run's refresh.
    rendering = "" if memory.deleted_by or memory.misses_events else sync.rendering
    # No schedule is spelt so: the next look gives it its next tick.
    memory = replace(memory, schedule=" ", deleted_by="", left_after=0, misses_events=False)
    if now_us - sync.deleted_us > DELETED_DAYS * DAY_US:
        memory = replace(memory, has_run=False, last_upload_us=0, schedule="")
        sync = replace(sync, listed=0, listed_run=0)
    status: SyncStatus = "paused" if was_paused else "active"
    return replace(
        sync, status=status, deleted_us=0, updated_us=now_us, memory=encode_json(memory), rendering=rendering
    )


def note_left(tx: StateTx, sync: SyncRow, *, now_us: int) -> bool:
    """Take one page of those out of a sync whose entry is back who left meanwhile, as the ledger tells; False at their end.

    The sync stays deleted until then. Events reach its records again, so that a page, once done, stays so.
    """
    memory = read_memory(sync.memory)
    last = tx.note_left(sync.id, sync.audience, after=memory.left_after, limit=LEFT_RECORDS, now_us=now_us)
    if last is not None:
        tx.save_sync(replace(sync, memory=encode_json(replace(memory, left_after=last))))
    return last is not None


def follow_files(tx: StateTx, rulebook: Rulebook, now_us: int, *, passed: Sequence[Rulebook] = ()) -> bool:
    """End syncs without an entry, and bring those back whose entry is there again; whether there is more to do at once.

    passed: what was in force since the last look, oldest first. A sync with a run that has not ended is left until it has. One
    that a person deleted stays deleted.
    """
    audiences = {one.id: one for one in tx.audiences()}
    for one in (*passed, rulebook):
        _note_in_force(tx, one, audiences, is_past=one is not rulebook)
    is_page_taken = is_more = False  # a page: of one sync in each transaction
    for sync in tx.syncs():
        if parked_target(sync) is not None or sync.audience not in audiences:
            continue
        is_served = standing_of(sync, audiences, rulebook) is not None
        name, memory = sync_name(sync, audiences[sync.audience]), read_memory(sync.memory)
        if is_served and sync.status == "deleted" and memory.deleted_by:
            if is_page_taken:
                continue
            is_page_taken = True
            if not note_left(tx, sync, now_us=now_us):
                tx.save_sync(brought_back(sync, now_us=now_us))
                _tell_brought_back(tx, name, sync.deleted_us)
        elif not is_served and memory.left_after:  # gone again before it was back: from the start the next time
            tx.save_sync(replace(sync, memory=encode_json(replace(memory, left_after=0))))
        elif not is_served and not memory.deleted_by and not (sync.status in _GOING and _is_idle(tx, sync)):
            # It is not ended yet, because a run waits for a person, say; or a person ended it. Events pass its records by.
            if not memory.misses_events:
                tx.save_sync(replace(sync, memory=encode_json(replace(memory, misses_events=True))))
        elif sync.status in _GOING and (not is_served or memory.misses_events):
            # An entry that is back before its sync was ended: ended all the same, so that it is brought back like any other.
            by: Literal["file", "file_while_paused"] = "file_while_paused" if sync.status == "paused" else "file"
            tx.save_sync(
                replace(
                    sync, status="deleted", next_us=0, deleted_us=now_us, updated_us=now_us,
                    memory=encode_json(replace(memory, deleted_by=by, misses_events=False)),
                )
            )  # fmt: skip
            is_more = is_more or is_served
            _tell_removed(tx, name)
    return is_more or is_page_taken


def _note_in_force(tx: StateTx, rulebook: Rulebook, audiences: dict[int, AudienceRow], *, is_past: bool) -> None:
    """Note which version of its mapping decides a sync's events, and that none did for a while, however short it was.

    A version that is in force again finds records of its own making, but events came meanwhile that left none.
    """
    for sync in tx.syncs():
        if parked_target(sync) is not None or sync.audience not in audiences:
            continue
        memory, standing = read_memory(sync.memory), standing_of(sync, audiences, rulebook)
        noted, rendering = memory, sync.rendering
        if standing is not None:
            noted = replace(memory, seen_version=standing.mapping.version)
            is_back = memory.seen_version and rendering.removeprefix(IN_THE_MAKING) == noted.seen_version
            rendering = SEVERAL_VERSIONS if is_back and noted != memory else rendering
        elif is_past:
            noted = replace(memory, misses_events=memory.misses_events or not memory.deleted_by, left_after=0)
        if noted != memory:
            tx.save_sync(replace(sync, memory=encode_json(noted), rendering=rendering))


def _is_idle(tx: StateTx, sync: SyncRow) -> bool:
    return tx.open_run(sync.id) is None and tx.queued_run(sync.id) is None


def _tell_brought_back(tx: StateTx, name: str, deleted_us: int) -> None:
    tx.when_committed(lambda: log.info("sync.brought_back", sync=name, deleted_us=deleted_us))


def _tell_removed(tx: StateTx, name: str) -> None:
    tx.when_committed(lambda: log.info("sync.entry_removed", sync=name))
