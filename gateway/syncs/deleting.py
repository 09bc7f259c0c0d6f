"""Deleting a sync whose list is cleared first: how that begins, and what the sync is once the clearing run has ended."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core.run_counters import RunStatus, sync_status_after
from gateway.store.sync_rows import SyncRow, SyncStatus
from gateway.syncs.memory import encode_json, read_memory


def begin_deletion(sync: SyncRow, *, now_us: int) -> SyncRow:
    """The sync while its list is cleared: no tick and no other order reaches it."""
    by = "clear_while_paused" if sync.status == "paused" else "clear"
    memory = replace(read_memory(sync.memory), delete_after=by)
    return replace(sync, status="deleting", next_us=0, updated_us=now_us, memory=encode_json(memory))


def status_after(sync: SyncRow, kind: str, status: RunStatus) -> tuple[SyncRow, SyncStatus]:
    """The sync and what it is called once a run of a kind has ended so.

    A deletion is done with its clear. A clear that was stopped or did not get through ends the deletion, and the sync goes on as
    before: paused where it was, else with its next tick.
    """
    memory = read_memory(sync.memory)
    if kind != "clear" or not memory.delete_after:
        return sync, sync_status_after(sync.status, status)
    was_paused = memory.delete_after == "clear_while_paused"
    if status == "succeeded":
        return replace(sync, memory=encode_json(replace(memory, delete_after=""))), "deleted"
    # No schedule is spelt so: the next look takes it for edited, and gives the sync a tick again.
    memory = replace(memory, delete_after="", schedule=" ")
    goes_on = replace(sync, memory=encode_json(memory))
    return goes_on, "paused" if was_paused else sync_status_after("active", status)
