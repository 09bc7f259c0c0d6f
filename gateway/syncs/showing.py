"""Syncs as operators see them: JSON-ready, without personal data. Reads only; works beside a running engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.core.sync_health import HealthFacts, health_of
from gateway.store.alert_rows import AlertRow
from gateway.store.api import StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import (
    IN_THE_MAKING,
    SEVERAL_VERSIONS,
    RecordShares,
    RowResult,
    RunRow,
    SyncRow,
    UnsentPage,
)
from gateway.syncs.memory import SyncMemory, read_counters, read_memory, read_progress
from gateway.syncs.names import sync_name, sync_names

Shown = dict[str, object]

LAST_RUNS = 10
_IN_FRONT = (0, -(2**63))  # of every record


def sync_list(view: StateView, *, deleted: bool = False, after: int = 0, limit: int = 0) -> list[Shown]:
    """Syncs by number, one line each, behind `after`. limit: 0 for all."""
    audiences = {one.id: one for one in view.audiences()}
    chosen = [
        sync
        for sync in view.syncs()
        if sync.id > after and sync.audience in audiences and (deleted or sync.status != "deleted")
    ]
    return [_sync(view, sync, audiences[sync.audience]) for sync in (chosen[:limit] if limit else chosen)]


def unsent_of(view: StateView, sync: int, before: UnsentPage | None = None) -> UnsentPage:
    """One more page of what waits, joined with those before; whoever has others beside looks a page at a time."""
    place = before.last if before is not None else None
    page = view.unsent_page(sync, after=place or _IN_FRONT)
    return page if before is None else page.joined(before)


def sync_page(
    view: StateView, sync: SyncRow, audience: AudienceRow, *, now_us: int, unsent: UnsentPage | None = None
) -> Shown:
    """One sync: standing and health, sizes and who makes up the difference, freshness, versions, guards, alerts, last runs.

    unsent: what all the records that wait tell, where somebody has gone through them.
    """
    while unsent is None or unsent.last is not None:
        unsent = unsent_of(view, sync.id, unsent)
    known = _known_version(sync)
    shares = view.record_shares(sync.id, version=known)
    runs = view.runs(sync=sync.id, limit=LAST_RUNS)
    memory = read_memory(sync.memory)
    oldest_us = unsent.oldest_us
    return {
        **_sync(view, sync, audience),
        "members_in": shares.members_in,
        "waiting": shares.waiting,
        "difference": audience.members - sync.listed,
        "makes_it_up": _difference(memory, shares, unsent.shared),
        "freshness_s": max(0, now_us - oldest_us) // 1_000_000 if oldest_us else 0,
        "mapping_version": known,
        "delivered_under_older": shares.older,
        "guards": _guards(view, sync, runs),
        "alerts": [
            {"name": one.name, "level": one.level, "since_us": one.since_us, "message": one.message}
            for one in view.alerts(sync.id)
        ],
        "runs": [{**run_line(run), "counters": counters_shown(run)} for run in runs],
    }


def shown_alerts(view: StateView, *, sync: int = 0) -> list[Shown]:
    """Alerts that stand, of all syncs or of one, JSON-ready."""
    names = sync_names(view)
    return [{"sync": names.get(row.sync, str(row.sync)), **shown_alert(row)} for row in view.alerts(sync)]


def shown_alert(row: AlertRow) -> Shown:
    """One alert, JSON-ready."""
    return {
        "name": row.name,
        "level": row.level,
        "since_us": row.since_us,
        "told_us": row.told_us,
        "message": row.message,
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
        "wrong": _wrong(run),
    }


def counters_shown(run: RunRow) -> Shown:
    """A run's counters by name."""
    counters = read_counters(run.counters)
    return {name: getattr(counters, name) for name in counters.__struct_fields__}


def guards_shown(run: RunRow) -> list[Shown]:
    """What the guards said of a run's plan."""
    findings = read_progress(run.progress).findings
    return [{"guard": one.guard, "reaction": one.reaction, "message": one.message} for one in findings]


def result_line(line: RowResult) -> Shown:
    """One line of the sync log."""
    return {name: getattr(line, name) for name in RowResult.__struct_fields__}


def iso(us: int) -> str | None:
    """A moment as RFC 3339 text, UTC; None for none."""
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="milliseconds") if us else None


def _sync(view: StateView, sync: SyncRow, audience: AudienceRow) -> Shown:
    """One line. `sync_mode`, `last_synced_at` and `status_error` are the names that other systems have for such things."""
    memory = read_memory(sync.memory)
    held, running = view.held_run(sync.id), view.running_run(sync.id)
    last = view.run(sync.last_run) if sync.last_run else None
    health = health_of(
        HealthFacts(
            status=sync.status,
            status_error=sync.status_error,
            held_run=held.id if held is not None else 0,
            held_reason=held.reason if held is not None else "",
            alerts=[(one.name, one.level, one.message) for one in view.alerts(sync.id)],
            last_run=sync.last_run,
            has_tick=sync.next_us > 0,
            last_status=last.status if last is not None else "",
            last_wrong=_wrong(last) if last is not None else 0,
        )
    )
    shown_open = running or held
    return {
        "id": sync.id,
        "name": sync_name(sync, audience),
        "mapping": sync.mapping,
        "audience": audience.key,
        "status": "held" if held is not None else sync.status,
        "status_error": sync.status_error,
        "health": health.word,
        "why": health.why,
        "mode": memory.said_mode or memory.mode,
        "sync_mode": memory.said_mode or memory.mode,
        "schedule": memory.said_schedule,
        "audience_size": audience.members,
        "list_size": sync.listed,
        "open_run": shown_open.id if shown_open is not None else None,
        "next_us": sync.next_us,
        "next_at": iso(sync.next_us),
        "last_run": sync.last_run,
        "last_synced_us": sync.last_synced_us,
        "last_synced_at": iso(sync.last_synced_us),
        "last_success_us": sync.last_success_us,
        "updated_us": sync.updated_us,
    }


def _wrong(run: RunRow) -> int:
    counters = read_counters(run.counters)
    return counters.failed + counters.rejected_destination + counters.rejected_mapping + counters.unsure


def _difference(memory: SyncMemory, shares: RecordShares, shared: int) -> Shown:
    """Who makes up the difference between the audience and the list, by why."""
    mode = (
        memory.said_mode or memory.mode
    )  # an edit holds from the next run on, which is the one that sends the difference
    to_add = max(0, shares.to_add - shared)
    is_additive, is_subtractive = mode == "additive", mode == "subtractive"
    return {
        "to_add": 0 if is_subtractive else to_add,
        "to_track": to_add if is_subtractive else 0,
        "to_update": 0 if is_subtractive else shares.to_update,
        "to_remove": 0 if is_additive else shares.gone_and_listed,
        "to_erase": shares.to_erase,
        "retained": shares.gone_and_listed if is_additive else 0,
        "unmappable": shares.unmappable,
        "quarantined": {code or "refused": count for kind, code, count in shares.problems if kind == "rejected"},
        "failed": {code or "no answer": count for kind, code, count in shares.problems if kind == "failed"},
        "unsure": shares.unsure,
        "shared": shared,
    }


def _known_version(sync: SyncRow) -> str:
    """Which mapping all of its records were made by; "" where that were several."""
    version = sync.rendering.removeprefix(IN_THE_MAKING)
    return version if version != SEVERAL_VERSIONS else ""


def _guards(view: StateView, sync: SyncRow, runs: Sequence[RunRow]) -> list[Shown]:
    """What the guards say of the run that is held, else of the last that was planned."""
    run = view.held_run(sync.id) or next((one for one in runs if one.kind not in ("live", "clear")), None)
    return [{"run": run.id, **one} for one in guards_shown(run)] if run is not None else []
