"""Syncs and runs as operators see them: JSON-ready, without personal data. Reads only; works beside a running engine."""

from __future__ import annotations

from gateway.core.run_counters import broken_sums
from gateway.store.api import StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import RowResult, RunRow, SyncRow
from gateway.syncs.memory import read_counters, read_memory, read_progress
from gateway.syncs.names import sync_name

Shown = dict[str, object]

LAST_RUNS = 10
PROBLEMS_SHOWN = 20

_NAMES_OF_STATUS = {
    "held": "A run waits for a person: look at its plan, then `gateway run approve` or `reject`.",
    "paused": "Paused by a person: `gateway sync resume`.",
    "errored": "The last run failed; the next tick tries again.",
    "deleted": "Deleted; `gateway sync undelete` brings it back within 30 days.",
    "deleting": "Its list is being cleared; it is deleted when that has succeeded.",
}


def sync_list(view: StateView, *, deleted: bool = False) -> list[Shown]:
    """All syncs, one line each."""
    audiences = {one.id: one for one in view.audiences()}
    return [
        _sync(view, sync, audiences[sync.audience])
        for sync in view.syncs()
        if sync.audience in audiences and (deleted or sync.status != "deleted")
    ]


def sync_page(view: StateView, sync: SyncRow, audience: AudienceRow) -> Shown:
    """One sync: standing, sizes, who makes up the difference, its last runs."""
    counts = view.record_counts(sync.id)
    runs = view.runs(sync=sync.id, limit=LAST_RUNS)
    return {
        **_sync(view, sync, audience),
        "members_in": counts.members_in,
        "waiting": counts.waiting,
        "unmappable": view.unmappable_count(sync.id),
        "alerts": [
            {"name": one.name, "level": one.level, "since_us": one.since_us, "message": one.message}
            for one in view.alerts(sync.id)
        ],
        "runs": [run_line(run) for run in runs],
    }


def run_line(run: RunRow) -> Shown:
    """One run in a list."""
    counters = read_counters(run.counters)
    return {
        "id": run.id,
        "sync": run.sync,
        "kind": run.kind,
        "trigger": run.trigger,
        "status": run.status,
        "reason": run.reason,
        "scheduled_us": run.scheduled_us,
        "missed": run.missed,
        "coalesced": run.coalesced,
        "queued_us": run.queued_us,
        "started_us": run.started_us,
        "finished_us": run.finished_us,
        "planned": counters.planned_total,
        "done": counters.accepted_total,
        "wrong": counters.failed + counters.rejected_destination + counters.rejected_mapping + counters.unsure,
    }


def run_page(view: StateView, run: RunRow) -> Shown:
    """One run: timeline, counters with their sums, guards, problems by code, a sample of its log."""
    counters, progress = read_counters(run.counters), read_progress(run.progress)
    waiting, released = view.planned_left(run.id)
    wrong = [
        line
        for status in ("rejected", "failed", "unsure")
        for line in view.row_results(run=run.id, status=status, limit=PROBLEMS_SHOWN)
    ]
    by_code: dict[str, int] = {}
    for line in wrong:
        by_code[line.code or line.status] = by_code.get(line.code or line.status, 0) + 1
    return {
        **run_line(run),
        "stage": progress.stage,
        "approved_by": run.approved_by,
        "counters": {name: getattr(counters, name) for name in counters.__struct_fields__},
        "broken_sums": broken_sums(counters) if run.status in ("succeeded", "partial", "failed", "cancelled") else [],
        "guards": [{"guard": one.guard, "reaction": one.reaction, "message": one.message} for one in progress.findings],
        "waiting": waiting,
        "in_flight": released,
        "problems": by_code,
        "sample": [result_line(line) for line in wrong[:PROBLEMS_SHOWN]],
    }


def result_line(line: RowResult) -> Shown:
    """One line of the sync log."""
    return {name: getattr(line, name) for name in RowResult.__struct_fields__}


def _sync(view: StateView, sync: SyncRow, audience: AudienceRow) -> Shown:
    memory = read_memory(sync.memory)
    held = view.open_run(sync.id)
    word = "held" if held is not None and held.status == "held" else sync.status
    return {
        "id": sync.id,
        "name": sync_name(sync, audience),
        "mapping": sync.mapping,
        "audience": audience.key,
        "status": word,
        "why": sync.status_error or (held.reason if word == "held" and held else "") or _NAMES_OF_STATUS.get(word, ""),
        "mode": memory.mode,
        "audience_size": audience.members,
        "list_size": sync.listed,
        "open_run": held.id if held is not None else None,
        "next_us": sync.next_us,
        "last_run": sync.last_run,
        "last_synced_us": sync.last_synced_us,
        "last_success_us": sync.last_success_us,
    }
