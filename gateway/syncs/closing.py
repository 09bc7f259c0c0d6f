"""The end of a run: its status, checked sums, what the sync remembers of it, alerts, one log line."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.core.alert_rules import RunFacts, judge_run
from gateway.core.masking import mask_text
from gateway.core.run_counters import RunCounters, RunStatus, broken_sums, counts_as_synced, run_status
from gateway.observe import logs, metrics
from gateway.store.sync_rows import RunRow, SyncRow
from gateway.syncs.ahead import listed_after
from gateway.syncs.alarms import about, settle_alerts
from gateway.syncs.deleting import status_after
from gateway.syncs.memory import SyncMemory, encode_json, read_counters, read_memory
from gateway.syncs.names import Standing
from gateway.syncs.settling import RunLedger
from gateway.syncs.whole_lists import BELOW_MINIMUM, count_list

log = logs.logger()


def close_run(ledger: RunLedger, standing: Standing | None, *, listed: int | None = None) -> None:
    """End a run whose operations are all settled (or cancelled).

    standing: None where its mapping is gone. listed: members on the list, where somebody has counted them.
    """
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
            ledger.counters.list_after = listed_after(tx, ledger.run, ledger.counters) if listed is None else listed
        broken = broken_sums(ledger.counters)
        if broken:
            log.error("run.sums_broken", run_id=ledger.run.id, sync_id=sync.id, sums=broken)
            status, message = "failed", "The counters do not add up: " + "; ".join(broken)
    reason = ledger.progress.outcome if status == "skipped" else message
    ledger.run = replace(ledger.run, status=status, reason=_both(reason, message), finished_us=now_us)
    tx.save_sync(_sync_after(ledger, sync, standing, status, message))
    _tell(ledger, standing, status)
    _alerts(ledger, standing, status, message)


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
    sync, sync_status = status_after(sync, run.kind, status)
    memory = read_memory(sync.memory)
    is_list = run.kind == "replace"
    was_taken = is_list and ledger.progress.outcome == "accepted" and status != "skipped"
    if status not in ("skipped", "cancelled") and run.kind not in ("clear", "live"):
        memory = replace(memory, has_run=True)
    if was_taken:
        memory = replace(memory, last_upload_us=now_us)
    if standing is not None:
        memory = _remember_terms(memory, standing)
    return replace(
        sync,
        status=sync_status,
        status_error=message if sync_status == "errored" else "",
        last_run=run.id,
        last_synced_us=now_us if counts_as_synced(status, counters) else sync.last_synced_us,
        last_success_us=now_us if status == "succeeded" else sync.last_success_us,
        deleted_us=(sync.deleted_us or now_us) if sync_status == "deleted" else sync.deleted_us,
        listed=counters.list_after if status != "skipped" else sync.listed,
        listed_run=run.id if was_taken else sync.listed_run,
        updated_us=now_us,
        memory=encode_json(memory),
    )


def _remember_terms(memory: SyncMemory, standing: Standing) -> SyncMemory:
    options = standing.options
    return replace(
        memory,
        log_days=options.log.days,
        keeps_log=options.log.keep,
        snapshots=options.snapshots_kept,
    )


def _tell(ledger: RunLedger, standing: Standing | None, status: str) -> None:
    """The run's line in the log and its share of the metrics, once its end is on disk."""
    run, counters = ledger.run, ledger.counters
    name = standing.name if standing is not None else str(run.sync)
    told = {
        "run_id": run.id,
        "sync": name,
        "kind": run.kind,
        "trigger": run.trigger,
        "status": status,
        "reason": ledger.progress.outcome or ledger.progress.message,
        "considered": counters.considered,
        "unchanged": counters.unchanged,
        "planned": dict(counters.planned),
        "added": counters.added,
        "updated": counters.updated,
        "removed": counters.removed,
        "failed": counters.failed,
        "rejected": counters.rejected_destination + counters.rejected_mapping,
        "unsure": counters.unsure,
        "cancelled": counters.cancelled,
        "list_after": counters.list_after,
        "requests": counters.requests,
        "duration_ms": _took_us(run) // 1000,
    }
    if standing is not None:  # the series of a sync that no mapping serves are gone
        operations, is_held = ended_operations(ledger), ledger.tx.held_run(run.sync) is not None
        ledger.tx.when_committed(lambda: _count(run, counters, name, status, operations, is_held=is_held))
    ledger.tx.when_committed(lambda: log.info("run.finished", **told))


def _count(
    run: RunRow,
    counters: RunCounters,
    name: str,
    status: str,
    operations: Sequence[tuple[str, str, int]],
    *,
    is_held: bool,
) -> None:
    """The run in the metrics."""
    metrics.SYNC_RUNS.labels(name, status).inc()
    for operation, result, count in operations:
        metrics.SYNC_OPERATIONS.labels(name, operation, result).inc(count)
    for code, count in counters.codes.items():
        metrics.SYNC_REJECTED.labels(name, code).inc(count)
    metrics.SYNC_HELD.labels(name).set(int(is_held))
    if status != "skipped":
        metrics.SYNC_LIST_SIZE.labels(name).set(counters.list_after)
        metrics.SYNC_RUN_S.labels(name).observe(_took_us(run) / 1_000_000)


def _took_us(run: RunRow) -> int:
    return max(0, run.finished_us - run.started_us)


def ended_operations(ledger: RunLedger) -> list[tuple[str, str, int]]:
    """(operation, result, how many) of a run. A whole list ends as one, so its operations all end alike."""
    counters = ledger.counters
    if ledger.run.kind == "replace":
        result = ledger.progress.outcome if counters.accepted_total or _is_wrong(counters) else "cancelled"
        return [(operation, result, count) for operation, count in counters.planned.items()]
    return [(*_parts(key), count) for key, count in counters.ended.items()]


def _is_wrong(counters: RunCounters) -> bool:
    return bool(counters.failed or counters.rejected_destination or counters.unsure)


def _parts(key: str) -> tuple[str, str]:
    operation, _, result = key.partition(".")
    return operation, result


def _alerts(ledger: RunLedger, standing: Standing | None, status: RunStatus, message: str) -> None:
    """Let alerts stand or fall by how the run ended; each is told once, and once again when it is over."""
    if standing is None:
        return  # the next look ends what stands
    run, counters = ledger.run, ledger.counters
    looked_at_all = run.kind not in ("live", "clear")
    runs = standing.options.alerts.list_difference.runs
    facts = RunFacts(
        status=status,
        message=mask_text(message),
        is_below_minimum=ledger.progress.outcome == BELOW_MINIMUM,
        planned=counters.planned_total,
        wrong=counters.failed + counters.rejected_destination,
        given_up=counters.skipped.get("given_up", 0) if looked_at_all else None,
        sizes=(_sizes(counters), *_sizes_before(ledger, runs - 1)) if looked_at_all else (),
        mode=standing.options.mode,
    )
    verdicts = judge_run(standing.options.alerts, facts)
    settle_alerts(ledger.tx, about(standing, run=run.id), verdicts, now_us=ledger.now_us)


def _sizes(counters: RunCounters) -> tuple[int, int]:
    """(members in, members listed) after a run. Who shares another's identifiers is one entry with them and lacks no other."""
    return counters.members_in - counters.skipped.get("shared_identifier", 0), counters.list_after


def _sizes_before(ledger: RunLedger, runs: int) -> list[tuple[int, int]]:
    """The same of the runs before this one, newest first."""
    rows = ledger.tx.finished_runs(ledger.run.sync, limit=runs) if runs > 0 else []
    return [_sizes(read_counters(row.counters)) for row in rows]
