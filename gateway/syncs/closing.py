"""The end of a run: its status, checked sums, what the sync remembers of it, alerts, one log line."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core.run_counters import RunStatus, broken_sums, counts_as_synced, run_status
from gateway.observe import logs, metrics
from gateway.store.sync_rows import AlertRow, SyncRow
from gateway.syncs.memory import SyncMemory, encode_json, read_memory
from gateway.syncs.names import Standing
from gateway.syncs.settling import RunLedger
from gateway.syncs.whole_lists import BELOW_MINIMUM, count_list

log = logs.logger()

SKIPPED_ALERTS = {BELOW_MINIMUM: "below_minimum"}


def close_run(ledger: RunLedger, standing: Standing | None) -> None:
    """End a run whose operations are all settled (or cancelled). standing: None where its mapping is gone."""
    tx, now_us = ledger.tx, ledger.now_us
    sync = tx.sync(ledger.run.sync)
    assert sync is not None, "syncs are never deleted while a run of theirs is there"
    is_list = ledger.run.kind == "replace"
    if is_list and ledger.progress.ends_as != "skipped" and ledger.counters.planned:
        count_list(ledger)
    status = _status(ledger)
    message = ledger.progress.message
    if status != "skipped":
        if is_list:
            was_taken = ledger.progress.outcome == "accepted"
            ledger.counters.list_after = ledger.progress.distinct if was_taken else ledger.counters.list_before
        else:
            ledger.counters.list_after = tx.listed_count(sync.id)
        broken = broken_sums(ledger.counters)
        if broken:
            log.error("run.sums_broken", run_id=ledger.run.id, sync_id=sync.id, sums=broken)
            status, message = "failed", "The counters do not add up: " + "; ".join(broken)
    reason = ledger.progress.outcome if status == "skipped" else message
    ledger.run = replace(ledger.run, status=status, reason=_both(reason, message), finished_us=now_us)
    tx.save_sync(_sync_after(ledger, sync, standing, status, message))
    _tell(ledger, standing, status)
    _alerts(ledger, status, message)


def _status(ledger: RunLedger) -> RunStatus:
    ends_as = ledger.progress.ends_as
    if ends_as == "skipped":
        return "skipped"
    counters = ledger.counters
    is_list = ledger.run.kind == "replace"
    has_error = ends_as == "failed" or (is_list and ledger.progress.outcome == "rejected")
    return run_status(counters, has_error=has_error, is_cancelled=ends_as == "cancelled")


def _both(reason: str, message: str) -> str:
    return f"{reason}: {message}" if message and reason and message != reason else reason or message


def _sync_after(
    ledger: RunLedger, sync: SyncRow, standing: Standing | None, status: RunStatus, message: str
) -> SyncRow:
    run, counters, now_us = ledger.run, ledger.counters, ledger.now_us
    memory = read_memory(sync.memory)
    is_list = run.kind == "replace"
    was_taken = is_list and ledger.progress.outcome == "accepted" and status != "skipped"
    if status not in ("skipped", "cancelled") and run.kind != "live":
        memory = replace(memory, has_run=True)
    if was_taken:
        memory = replace(memory, last_upload_us=now_us)
    if standing is not None:
        memory = _remember_terms(memory, standing, ran=status not in ("skipped", "cancelled") and run.kind != "live")
    if status in ("succeeded", "partial", "failed"):
        errored = status == "failed"
        sync_status = "errored" if errored and sync.status == "active" else sync.status
        if not errored and sync.status == "errored":
            sync_status = "active"
    else:
        sync_status = "active" if sync.status == "errored" and status == "skipped" else sync.status
    if run.kind == "clear" and memory.delete_after == "clear":
        is_done = status == "succeeded"
        sync_status = "deleted" if is_done else "active"
        memory = replace(memory, delete_after="")
    return replace(
        sync,
        status=sync_status,
        status_error=message if sync_status == "errored" else "",
        last_run=run.id,
        last_synced_us=now_us if counts_as_synced(status, counters) else sync.last_synced_us,
        last_success_us=now_us if status == "succeeded" else sync.last_success_us,
        deleted_us=now_us if sync_status == "deleted" else sync.deleted_us,
        listed=counters.list_after if status != "skipped" else sync.listed,
        listed_run=run.id if was_taken else sync.listed_run,
        updated_us=now_us,
        memory=encode_json(memory),
    )


def _remember_terms(memory: SyncMemory, standing: Standing, *, ran: bool) -> SyncMemory:
    options = standing.options
    return replace(
        memory,
        version=standing.mapping.version if ran else memory.version,
        log_days=options.log.days,
        keeps_log=options.log.keep,
        snapshots=options.snapshots_kept,
    )


def _tell(ledger: RunLedger, standing: Standing | None, status: str) -> None:
    run, counters = ledger.run, ledger.counters
    name = standing.name if standing is not None else str(run.sync)
    metrics.SYNC_RUNS.labels(name, status).inc()
    for operation, outcome, count in (
        ("add", "accepted", counters.added),
        ("update", "accepted", counters.updated),
        ("remove", "accepted", counters.removed),
        ("any", "failed", counters.failed),
        ("any", "rejected", counters.rejected_destination + counters.rejected_mapping),
        ("any", "unsure", counters.unsure),
    ):
        if count:
            metrics.SYNC_OPERATIONS.labels(name, operation, outcome).inc(count)
    metrics.SYNC_LIST_SIZE.labels(name).set(counters.list_after)
    metrics.SYNC_RUN_S.labels(name).observe(max(0, run.finished_us - run.started_us) / 1_000_000)
    metrics.SYNC_HELD.labels(name).set(0)
    log.info(
        "run.finished",
        run_id=run.id,
        sync=name,
        kind=run.kind,
        trigger=run.trigger,
        status=status,
        reason=ledger.progress.outcome or ledger.progress.message,
        considered=counters.considered,
        unchanged=counters.unchanged,
        planned=dict(counters.planned),
        added=counters.added,
        updated=counters.updated,
        removed=counters.removed,
        failed=counters.failed,
        rejected=counters.rejected_destination + counters.rejected_mapping,
        unsure=counters.unsure,
        cancelled=counters.cancelled,
        list_after=counters.list_after,
        requests=counters.requests,
        duration_ms=max(0, run.finished_us - run.started_us) // 1000,
    )


def _alerts(ledger: RunLedger, status: str, message: str) -> None:
    """Let alerts stand or fall by how the run ended; each is told once, and once again when it is over."""
    tx, run = ledger.tx, ledger.run
    standing = {"run_failed": status == "failed", "below_minimum": ledger.progress.outcome == BELOW_MINIMUM}
    for name, is_on in standing.items():
        if is_on:
            level = "critical" if name == "run_failed" else "warning"
            if tx.save_alert(AlertRow(run.sync, name, level, ledger.now_us, message)):
                log.warning("alert.raised", alert=name, level=level, sync_id=run.sync, run_id=run.id)
        elif status != "skipped" and tx.drop_alert(run.sync, name):
            log.info("alert.recovered", alert=name, sync_id=run.sync, run_id=run.id)
