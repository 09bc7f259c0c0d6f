"""Syncs follow the files: an entry that is taken out ends its sync, and one that is put back within 30 days brings it back.

What was delivered stays where it is in both cases, as with `gateway sync delete --leave` and `undelete`.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from gateway.core.rulebook import Rulebook
from gateway.observe import logs
from gateway.store.api import StateTx
from gateway.store.sync_rows import SyncRow, SyncStatus
from gateway.syncs.keeping import DAY_US, DELETED_DAYS
from gateway.syncs.memory import encode_json, read_memory
from gateway.syncs.names import parked_target, standing_of, sync_name

log = logs.logger()


def brought_back(sync: SyncRow, *, now_us: int) -> SyncRow:
    """A deleted sync as it goes on; after DELETED_DAYS nothing of its list is known any more, so it begins anew."""
    memory = read_memory(sync.memory)
    was_paused = memory.deleted_by == "file_while_paused"
    memory = replace(memory, schedule=" ", deleted_by="")  # so that the next look gives it its next tick
    if now_us - sync.deleted_us > DELETED_DAYS * DAY_US:
        memory = replace(memory, has_run=False, last_upload_us=0, schedule="")
        sync = replace(sync, listed=0, listed_run=0)
    status: SyncStatus = "paused" if was_paused else "active"
    return replace(sync, status=status, deleted_us=0, updated_us=now_us, memory=encode_json(memory))


def follow_files(tx: StateTx, rulebook: Rulebook, now_us: int) -> int:
    """End syncs without an entry, and bring those back whose entry is there again; how many changed.

    A sync with a run that has not ended is left until it has. One that a person deleted stays deleted.
    """
    audiences = {one.id: one for one in tx.audiences()}
    changed = 0
    for sync in tx.syncs():
        if parked_target(sync) is not None or sync.audience not in audiences:
            continue
        is_served = standing_of(sync, audiences, rulebook) is not None
        name = sync_name(sync, audiences[sync.audience])
        if is_served and sync.status == "deleted" and read_memory(sync.memory).deleted_by:
            # No event reached its records meanwhile: who left is told by the ledger, who entered by the next run's refresh.
            tx.note_left(sync.id, sync.audience, now_us=now_us)
            tx.save_sync(replace(brought_back(sync, now_us=now_us), rendering=""))
            _tell_brought_back(tx, name, sync.deleted_us)
        elif not is_served and sync.status in ("active", "errored", "paused") and _is_idle(tx, sync):
            by: Literal["file", "file_while_paused"] = "file_while_paused" if sync.status == "paused" else "file"
            memory = replace(read_memory(sync.memory), deleted_by=by)
            tx.save_sync(
                replace(
                    sync, status="deleted", next_us=0, deleted_us=now_us, updated_us=now_us, memory=encode_json(memory)
                )
            )
            _tell_removed(tx, name)
        else:
            continue
        changed += 1
    return changed


def _is_idle(tx: StateTx, sync: SyncRow) -> bool:
    return tx.open_run(sync.id) is None and tx.queued_run(sync.id) is None


def _tell_brought_back(tx: StateTx, name: str, deleted_us: int) -> None:
    tx.when_committed(lambda: log.info("sync.brought_back", sync=name, deleted_us=deleted_us))


def _tell_removed(tx: StateTx, name: str) -> None:
    tx.when_committed(lambda: log.info("sync.entry_removed", sync=name))
