"""One run as operators see it: its way through time, counters and their sums, what went wrong and the mend, its requests."""

from __future__ import annotations

from gateway.core.problem_fixes import fix_for
from gateway.core.run_counters import broken_sums
from gateway.store.api import StateView
from gateway.store.rows import AttemptRow
from gateway.store.sync_rows import RunRow
from gateway.syncs.memory import read_counters, read_progress
from gateway.syncs.names import find_sync
from gateway.syncs.showing import Shown, counters_shown, guards_shown, result_line, run_line

PROBLEMS_SHOWN = 20
REQUESTS_SHOWN = 20
REQUESTS_LOOKED_AT = 500  # of the same mapping and time; those of other syncs are among them
_ENDED = ("succeeded", "partial", "failed", "cancelled")
_END_OF_TIME_US = 2**62


def run_page(view: StateView, run: RunRow) -> Shown:
    """One run. `sums_hold`: null while it is under way or where nothing was counted."""
    counters, progress = read_counters(run.counters), read_progress(run.progress)
    waiting, released = view.planned_left(run.id)
    broken = broken_sums(counters) if run.status in _ENDED else []
    wrong = [
        line
        for status in ("rejected", "failed", "unsure")
        for line in view.row_results(run=run.id, status=status, limit=PROBLEMS_SHOWN)
    ]
    sync = find_sync(view, str(run.sync))
    return {
        **run_line(run),
        "sync_name": f"{sync[0].mapping}/{sync[1].key}" if sync is not None else "",
        "stage": progress.stage,
        "plan_digest": progress.digest,
        "approved_by": run.approved_by,
        "timeline": _timeline(run),
        "counters": counters_shown(run),
        "sums_hold": not broken if run.status in _ENDED else None,
        "broken_sums": broken,
        "guards": guards_shown(run),
        "waiting": waiting,
        "in_flight": released,
        "problems": _problems(view, run),
        "requests": [_request(one) for one in _requests(view, run, sync[0].mapping if sync is not None else "")],
        "sample": [result_line(line) for line in wrong[:PROBLEMS_SHOWN]],
        "log": f"/api/runs/{run.id}/log",
    }


def _timeline(run: RunRow) -> Shown:
    progress = read_progress(run.progress)
    return {
        "queued_us": run.queued_us,
        "started_us": run.started_us,
        "planned_us": progress.planned_us,
        "first_request_us": progress.first_request_us,
        "last_answer_us": progress.last_answer_us,
        "finished_us": run.finished_us,
    }


def _problems(view: StateView, run: RunRow) -> list[Shown]:
    """What did not get through, grouped by how and why, most first, each with what to do."""
    return [
        {
            "stage": one.stage,
            "status": one.status,
            "code": one.code,
            "http_status": one.http_status,
            "count": one.count,
            "message": one.message,
            "fix": fix_for(stage=one.stage, status=one.status, code=one.code, http_status=one.http_status),
        }
        for one in view.result_counts(run.id)
    ]


def _requests(view: StateView, run: RunRow, mapping: str) -> list[AttemptRow]:
    """The last requests that carried deliveries of the run, oldest first."""
    if not mapping or not run.started_us:
        return []
    lane = mapping.partition("/")[0]
    near = view.attempts_between(
        lane, mapping, run.started_us, run.finished_us or _END_OF_TIME_US, limit=REQUESTS_LOOKED_AT
    )
    mine = view.deliveries_of_run(run.id, [one for attempt in near for one in attempt.deliveries])
    mine |= {read_progress(run.progress).upload}  # a whole list may have no line in the log
    return [one for one in near if mine.intersection(one.deliveries)][-REQUESTS_SHOWN:]


def _request(attempt: AttemptRow) -> Shown:
    return {
        "id": attempt.id,
        "started_us": attempt.started_us,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "http_status": attempt.status,
        "deliveries": len(attempt.deliveries),
        "request": attempt.request,
        "reason": attempt.reason,
    }
