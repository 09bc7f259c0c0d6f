"""Whether a member whose last operation did not get through is planned again in this run."""

from __future__ import annotations

from typing import Literal

from gateway.core.sync_options import Retry
from gateway.core.sync_records import Entry, Operation, ProblemKind, RecordProblem

DAY_US = 86_400 * 1_000_000
_US_PER_S = 1_000_000

Wait = Literal["quarantined", "backoff", "left_alone", "given_up"]
"""quarantined: refused, and nothing has changed. backoff: failed so often that one try a day is enough. left_alone: failed,
and the sync does not retry. given_up: beyond what the sync puts up with; an alert, until a change or a person."""


def is_putting(op: Operation | None) -> bool:
    """The operation means somebody to be on the list; the others mean them to go."""
    return op in ("add", "update", "replace")


def must_wait(
    problem: RecordProblem | None,
    op: Operation,
    entry: Entry,
    *,
    retry: Retry,
    mapping_version: str,
    destination_version: str,
    now_us: int,
) -> Wait | None:
    """Why an operation that the table asks for is left out; None plans it.

    entry: what would be added or updated, else what would be removed first. Erasures are not asked about: they never wait.
    What is retried is always the present state, so a problem with another entry, version or purpose holds nothing up; only
    with `"rejected": "never"` does a refused member stay refused whatever it becomes.
    """
    if problem is None or problem.kind in ("unsure", "unmappable") or is_putting(problem.op) is not is_putting(op):
        return None
    if problem.kind == "rejected" and retry.rejected == "never":
        return "quarantined"
    same = (problem.fingerprint, problem.mapping_version, problem.destination_version)
    if same != (entry.fingerprint, mapping_version, destination_version):
        return None
    if problem.kind == "rejected":
        return None if retry.rejected == "every_run" or _is_recheck_due(problem, retry, now_us) else "quarantined"
    if not retry.failed:
        return "left_alone"
    if _is_given_up(problem, retry, now_us):
        return "given_up"
    return "backoff" if now_us < problem.next_try_us else None


def next_problem(
    before: RecordProblem | None,
    *,
    kind: ProblemKind,
    op: Operation,
    code: str,
    entry: Entry,
    retry: Retry,
    mapping_version: str,
    destination_version: str,
    now_us: int,
) -> RecordProblem:
    """The problem to keep after an answer; the same trouble with the same entry goes on counting."""
    same = (
        before is not None
        and (before.kind, before.fingerprint) == (kind, entry.fingerprint)
        and is_putting(before.op) is is_putting(op)
    )
    attempts = before.attempts + 1 if same and before is not None else 1
    return RecordProblem(
        kind=kind,
        op=op,
        code=code,
        fingerprint=entry.fingerprint,
        mapping_version=mapping_version,
        destination_version=destination_version,
        attempts=attempts,
        first_us=before.first_us if same and before is not None else now_us,
        next_try_us=_next_try_us(kind, attempts, retry, now_us),
    )


def _next_try_us(kind: ProblemKind, attempts: int, retry: Retry, now_us: int) -> int:
    if kind == "rejected" and retry.rejected == "on_change" and retry.recheck_rejected_after_s is not None:
        return now_us + retry.recheck_rejected_after_s * _US_PER_S
    if kind == "failed" and attempts >= retry.backoff_after:
        return now_us + DAY_US
    return 0


def _is_recheck_due(problem: RecordProblem, retry: Retry, now_us: int) -> bool:
    """A problem of a time when the sync waited for nothing has no moment of its own: it counts from when it was met."""
    if problem.next_try_us:
        return now_us >= problem.next_try_us
    recheck_s = retry.recheck_rejected_after_s
    return recheck_s is not None and now_us >= problem.first_us + recheck_s * _US_PER_S


def _is_given_up(problem: RecordProblem, retry: Retry, now_us: int) -> bool:
    attempts, age_s = retry.give_up.attempts, retry.give_up.age_s
    if attempts is not None and problem.attempts >= attempts:
        return True
    return age_s is not None and now_us - problem.first_us >= age_s * _US_PER_S
