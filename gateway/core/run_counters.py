"""A run's counters, the sums they must keep, and what the run and its sync are called afterwards."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.guards import PlanFacts
from gateway.core.sync_effects import Result
from gateway.core.sync_entries import Member
from gateway.core.sync_plan import Planned
from gateway.core.sync_records import Record, Unmappable

RunStatus = Literal[
    "queued", "planning", "sending", "succeeded", "partial", "failed", "held", "skipped", "cancelled", "interrupted"
]
"""queued → planning → sending → succeeded, partial or failed; planning → held → planning (approved) or cancelled (rejected);
planning → skipped; anything unfinished → cancelled; planning, sending → interrupted (crash, lease lost), and a new run follows."""

RunSkipReason = Literal["overlap", "not_due", "below_minimum", "paused", "destination_disabled"]

CODES_MAX = 20  # codes of refusals that one run tells apart
OTHER_CODES = "other"

SyncStatus = Literal["active", "paused", "errored", "deleting", "deleted"]


class RunCounters(msgspec.Struct, kw_only=True):
    """Counts of one run, changed as it goes; `msgspec.json.encode` gives what the run row keeps.

    planned, skipped: by operation and by reason. list_change: our own tally of members that came on and went off the list.
    list_before, list_after: counted by the caller over the records at start and end. unknown_exits: among the removes.
    added_again: of the planned adds, those of members whom the list is known, or was asked, to hold: they do not make it grow.
    ended: how operations ended, keyed `operation.result`. codes: why records were refused, at most CODES_MAX and `other`.
    """

    considered: int = 0
    members_in: int = 0
    unchanged: int = 0
    planned: dict[str, int] = {}
    added: int = 0
    updated: int = 0
    removed: int = 0
    erased: int = 0
    failed: int = 0
    rejected_mapping: int = 0
    rejected_destination: int = 0
    unsure: int = 0
    cancelled: int = 0
    skipped: dict[str, int] = {}
    unknown_exits: int = 0
    added_again: int = 0
    unmappable: int = 0
    requests: int = 0
    attempts: int = 0
    bytes: int = 0
    waited_ms: int = 0
    list_before: int = 0
    list_after: int = 0
    list_change: int = 0
    ended: dict[str, int] = {}
    codes: dict[str, int] = {}

    @property
    def planned_total(self) -> int:
        """Operations of every kind."""
        return sum(self.planned.values())

    @property
    def accepted_total(self) -> int:
        """Operations that got through."""
        return self.added + self.updated + self.removed

    @property
    def ended_total(self) -> int:
        """Operations that have ended, well or not. Members that the mapping refused were never planned."""
        return self.accepted_total + self.failed + self.rejected_destination + self.unsure + self.cancelled

    @property
    def left(self) -> dict[str, int]:
        """Operations that have not ended, by what they do. Not for whole lists, which end as one."""
        left = dict(self.planned)
        for key, count in self.ended.items():
            operation = key.partition(".")[0]
            left[operation] = left.get(operation, 0) - count
        return {operation: count for operation, count in left.items() if count > 0}

    def count_plan(self, member: Member, planned: Planned) -> None:
        """Take one member's plan in, bookkeeping (`Planned.record`) included."""
        if member.membership == "in":
            self.members_in += 1
            self.unmappable += isinstance(member.rendered, Unmappable)
        if planned.record is not None:
            self.count_change(member.record, planned.record)
        if planned.bucket == "not_considered":
            return
        self.considered += 1
        match planned.bucket:
            case "unchanged":
                self.unchanged += 1
            case "skipped":
                self.skipped[planned.reason] = self.skipped.get(planned.reason, 0) + 1
            case "rejected":
                self.rejected_mapping += 1
            case "planned":
                assert planned.op is not None
                self.planned[planned.op] = self.planned.get(planned.op, 0) + 1
                self.unknown_exits += planned.unknown_exit
                self.added_again += planned.op == "add" and _is_repeated(member.record, planned)

    def count_change(self, before: Record, after: Record) -> None:
        """Take in that a record was stored in another's place."""
        self.list_change += after.is_listed - before.is_listed

    def count_result(self, planned: Planned, result: Result) -> None:
        """Take in how one operation ended; once for each planned one."""
        ended = f"{planned.op}.{result}"
        self.ended[ended] = self.ended.get(ended, 0) + 1
        match result:
            case "accepted":
                if planned.op == "add":
                    self.added += 1
                elif planned.op in ("update", "replace"):
                    self.updated += 1
                else:
                    self.removed += 1
                    self.erased += planned.op == "erase"
            case "rejected":
                self.rejected_destination += 1
            case "failed":
                self.failed += 1
            case "unsure":
                self.unsure += 1
            case "cancelled":
                self.cancelled += 1

    def count_code(self, code: str) -> None:
        """Take in why one record was refused, by its mapping or by the destination."""
        key = code or OTHER_CODES
        if key not in self.codes and len(self.codes) >= CODES_MAX:
            key = OTHER_CODES
        self.codes[key] = self.codes.get(key, 0) + 1

    def facts(self, *, source_quiet_s: float | None = None, is_initial: bool = False) -> PlanFacts:
        """What the guards look at, after planning. `list_before` has to be set."""
        return PlanFacts(
            members_in=self.members_in,
            list_before=self.list_before,
            adds=self.planned.get("add", 0) - self.added_again,
            updates=self.planned.get("update", 0) + self.planned.get("replace", 0),
            removes=self.planned.get("remove", 0) - self.unknown_exits,
            unmappable=self.unmappable,
            source_quiet_s=source_quiet_s,
            is_initial=is_initial,
        )


def _is_repeated(record: Record, planned: Planned) -> bool:
    """An add of what the list holds already, or was asked to hold. What another tool put there, if it did, is not ours to know."""
    if record.state not in ("present", "unsure") or record.sent is None or planned.put is None:
        return False
    return record.sent.identity == planned.put.identity


def broken_sums(counters: RunCounters) -> list[str]:
    """The sums that do not hold, each as a sentence with its numbers; empty for every run that ended as it should.

    Meant for runs that ended succeeded, partial, failed or cancelled. A broken one is our own fault: say it loudly.
    """
    one = counters
    decided = one.unchanged + sum(one.skipped.values()) + one.rejected_mapping + one.planned_total
    ended = one.ended_total
    broken = []
    if one.considered != decided:
        broken.append(f"considered is {one.considered}, but unchanged, skipped, rejected and planned make {decided}")
    if one.planned_total != ended:
        broken.append(f"planned is {one.planned_total}, but {ended} operations have ended")
    if one.list_after - one.list_before != one.list_change:
        change = one.list_after - one.list_before
        broken.append(f"the list changed by {change}, but members came and went by {one.list_change}")
    return broken


def run_status(counters: RunCounters, *, has_error: bool = False, is_cancelled: bool = False) -> RunStatus:
    """How a run that got as far as sending ended. has_error: an error of the run itself (credentials, breaker, storage)."""
    one = counters
    if has_error or (one.planned_total and one.failed + one.unsure == one.planned_total):
        return "failed"
    if is_cancelled:
        return "cancelled"
    wrong = one.failed + one.rejected_mapping + one.rejected_destination + one.unsure
    return "partial" if wrong else "succeeded"


def counts_as_synced(status: RunStatus, counters: RunCounters) -> bool:
    """Whether the run's end is the sync's `last_synced_at`: something got through, or there was nothing to do."""
    return status == "succeeded" or (
        status == "partial" and (counters.accepted_total > 0 or counters.planned_total == 0)
    )


def sync_status_after(current: SyncStatus, status: RunStatus) -> SyncStatus:
    """A failed run makes an active sync errored (still scheduled); the next that does not fail makes it active again."""
    if status == "failed" and current == "active":
        return "errored"
    is_good = status in ("succeeded", "partial", "held", "skipped", "cancelled")
    return "active" if current == "errored" and is_good else current
