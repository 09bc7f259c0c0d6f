"""What the admin API answers about syncs and runs, as types: for the OpenAPI document, and for tests that hold answers to it.

Moments ending in `_us` are Unix microseconds, 0 for none. Nothing here holds a person's data unless a member says so.
"""

from __future__ import annotations

from typing import Literal

import msgspec

HealthWord = Literal["healthy", "warning", "failing", "stale", "held"]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Every answer other than 2xx. code: a stable word. message: what is wrong, and how to mend it."""

    success: bool
    code: str
    message: str


class SyncLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sync in a list. sync_mode, last_synced_at, status_error: aliases. open_run: planning, sending or held.

    mode, schedule: as the mapping says them now, the schedule in words.
    """

    id: int
    name: str
    mapping: str
    audience: str
    status: str
    status_error: str
    health: HealthWord
    why: str
    mode: str
    sync_mode: str
    schedule: str
    audience_size: int
    list_size: int
    open_run: int | None
    next_us: int
    next_at: str | None
    last_run: int
    last_synced_us: int
    last_synced_at: str | None
    last_success_us: int
    updated_us: int


class Difference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who makes up the difference between audience and list. unmappable, quarantined, failed: by code."""

    to_add: int
    to_track: int
    to_update: int
    to_remove: int
    to_erase: int
    retained: int
    unmappable: dict[str, int]
    quarantined: dict[str, int]
    failed: dict[str, int]
    unsure: int
    shared: int


class Guard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one guard said. run: of which run's plan."""

    guard: str
    reaction: str
    message: str
    run: int = 0


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that stands."""

    name: str
    level: str
    since_us: int
    message: str


class StandingAlert(Alert, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert of some sync. told_us: when it was told last."""

    sync: str
    told_us: int


class AlertList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All alerts that stand."""

    alerts: list[StandingAlert]


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a list. planned, done, wrong: operations."""

    id: int
    sync: int
    kind: str
    trigger: str
    status: str
    reason: str
    scheduled_us: int
    missed: int
    coalesced: int
    queued_us: int
    started_us: int
    finished_us: int
    planned: int
    done: int
    wrong: int


class RunWithCounters(RunLine, frozen=True, kw_only=True):
    """A run of a sync's page."""

    counters: dict[str, object]


class SyncPage(SyncLine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sync. freshness_s: age of the oldest change that is not sent. version: of the answer, as in its ETag."""

    version: str
    members_in: int
    waiting: int
    difference: int
    makes_it_up: Difference
    freshness_s: int
    mapping_version: str
    delivered_under_older: int
    guards: list[Guard]
    alerts: list[Alert]
    runs: list[RunWithCounters]


class Timeline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a run reached what."""

    queued_us: int
    started_us: int
    planned_us: int
    first_request_us: int
    last_answer_us: int
    finished_us: int


class ProblemCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Operations that did not get through, by how and why. fix: what to do."""

    stage: str
    status: str
    code: str
    http_status: int
    count: int
    message: str
    fix: str


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request of a run."""

    id: int
    started_us: int
    duration_ms: int
    outcome: str
    http_status: int
    deliveries: int
    request: str
    reason: str


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the sync log. member_ref: keyed hash, the same in every run. batch: the delivery."""

    sync: int
    run: int
    seq: int
    member_ref: str
    operation: str
    status: str
    stage: str
    code: str
    message: str
    http_status: int
    attempts: int
    batch: int
    first_us: int
    finished_us: int
    fingerprint_before: str
    fingerprint_after: str
    fields: str


class RunPage(RunWithCounters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run. sums_hold: null while it is under way. seconds_left: at the destination's limit, null where nothing is sent."""

    version: str
    sync_name: str
    stage: str
    plan_digest: str
    approved_by: str
    timeline: Timeline
    sums_hold: bool | None
    broken_sums: list[str]
    guards: list[Guard]
    waiting: int
    in_flight: int
    problems: list[ProblemCount]
    requests: list[RunRequest]
    sample: list[LogLine]
    log: str
    seconds_left: float | None


class RunProgress(RunLine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far one run is. ended: of what it planned. seconds_left: at the destination's limit, null where nothing is sent."""

    ended: int
    seconds_left: float | None


class SyncList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of syncs. next: the `after` of the following page, null at the end."""

    syncs: list[SyncLine]
    next: int | None


class RunList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of runs, newest first. next: the `before` of the following page."""

    runs: list[RunLine]
    next: int | None


LineStatus = Literal["accepted", "rejected", "failed", "unsure", "cancelled", "skipped"]
"""How a line of the sync log ended. Of members with nothing to do (`skipped`) there are lines where `log.skipped` says so."""


class LogPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of a run's log. next: the `after` of the following page."""

    lines: list[LogLine]
    next: int | None


class FlatLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of an export: the columns of its files, in their order."""

    sync_id: str
    run_id: int
    seq: int
    member_ref: str
    operation: str
    status: str
    stage: str
    code: str
    message: str
    http_status: int | None
    destination_code: str
    fields: str
    batch_id: int | None
    attempts: int
    first_at: str | None
    finished_at: str | None
    fingerprint_before: str
    fingerprint_after: str
    run_started_at: str | None
    run_finished_at: str | None


class FlatPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of a sync's log by time. next: the `after` of the following page, `run.line`."""

    lines: list[FlatLine]
    next: str | None


class MemberProblem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody with whom something is wrong. kind: failed, rejected, unsure, unmappable."""

    member_ref: str
    line: int
    kind: str
    operation: str | None
    code: str
    fingerprint: str
    attempts: int
    first_us: int
    next_try_us: int


class ProblemPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of such members. next: the `after` of the following page, `member.line`."""

    problems: list[MemberProblem]
    next: str | None


class MemberPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person and one sync. code, waits_for, sentence: why the person is on the list or is not, and what to do.

    member: masked unless it was asked for with `reveal`. records: what is wanted of the person and what was sent.
    """

    sync: str
    member: str
    member_ref: str
    code: str
    waits_for: str
    sentence: str
    membership: dict[str, object]
    records: list[dict[str, object]]
    planned: dict[str, object]
    operations: list[LogLine]


class AudienceMember(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody in an audience. member: masked unless it was asked for with `reveal`."""

    member_ref: str
    member: str
    since_us: int
    at_us: int


class AudienceMembers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of them. next: the `after` of the following page."""

    members: list[AudienceMember]
    next: int | None


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """A named set of people. key: the computation key last seen. members: how many are in."""

    id: int
    space: str
    name: str
    key: str
    first_us: int
    external_id: str
    members: int


class AudienceList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of audiences. next: the `after` of the following page."""

    audiences: list[Audience]
    next: int | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a list was after a run, without values."""

    run: int
    sync: int
    sync_name: str
    finished_us: int
    members: int
    packed_bytes: int


class SnapshotList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of snapshots, newest first. next: the `before` of the following page."""

    snapshots: list[Snapshot]
    next: int | None
