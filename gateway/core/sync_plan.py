"""Whom a run adds, updates, replaces, removes and erases: one member at a time, from what stands and what should.

How a run uses it (members are frozen at the run's start):

1. for each page, in member order: `shared = SharedEntries(claims on the page's shared identities)`, then
   `plan_member(member, rules, shared.sharing(member))`; `RunCounters.count_plan` takes each result in.
2. guards look at `RunCounters.facts`. A plan that is held, below the minimum or dry ends here, and nothing is written.
3. bookkeeping: `Planned.record` (where not None) is stored, `settles_exit` clears the pending unknown exit. Entries pass
   between members here, so those who receive one (`receives`) are stored before, or together with, those who let go.
4. `in_sending_order` gives the requests: three passes over the plan, each streamed in pages: erasures, removals (and the
   first halves of replaces), additions and updates. A put whose takes did not all get through is left out.
5. each answer goes through `core/sync_effects.py`.

A live run plans the members it is about and `SharedEntries.circle` of them, so that no entry passes to somebody left out.
At most one operation per member and run. Nothing here knows a clock, a store, or what an entry says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from gateway.core.sync_entries import ALONE, Member, Sharing
from gateway.core.sync_options import SINGLE_CHANGES, Capabilities, Mode, Retry
from gateway.core.sync_records import (
    ABSENT,
    Entry,
    Operation,
    Record,
    RecordProblem,
    Unmappable,
    with_orphan,
    with_sent,
    without,
)
from gateway.core.sync_retry import Wait, must_wait

RunKind = Literal["initial", "adopt", "diff", "resend", "replace", "clear", "live"]
"""initial, diff and live follow the table. adopt: an initial run that takes everybody in for listed. resend: everybody in is
added again, whatever the records say. replace: one whole list. clear: everything goes. A dry run is one that stops after
step 2."""

SkipReason = (
    Wait
    | Literal[
        "not_in_mode", "tracked", "update_not_supported", "shared_identifier", "awaiting_resolve", "removals_held"
    ]
)
"""awaiting_resolve: unsure, and the destination may not be asked twice. removals_held: a held run waits for approval, so live
runs add only."""

Bucket = Literal["not_considered", "unchanged", "skipped", "rejected", "planned"]

Phase = Literal["erase", "remove", "put"]
PHASES: tuple[Phase, ...] = ("erase", "remove", "put")

M = TypeVar("M")


class PlanRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every member of one run.

    mapping_version, destination_version: what entries are rendered by. removals_held: a run of the sync waits for approval.
    erasures_only: the sync is paused; only privacy requests go out.
    """

    mode: Mode
    kind: RunKind = "diff"
    now_us: int = 0
    retry: Retry = Retry()
    capabilities: Capabilities = SINGLE_CHANGES
    mapping_version: str = ""
    destination_version: str = ""
    removals_held: bool = False
    erasures_only: bool = False


class Planned(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one run does with one member.

    bucket: where the member is counted, once. op: for "planned". reason: of "skipped", or the code of "rejected".
    takes: entries to be removed, each its own request part; put: the entry to be added or updated once all takes are accepted.
    record: what to store before anything is sent; None leaves the row as it is. receives: it takes an entry over from another.
    unknown_exit: the removal of somebody never seen in; settles_exit: it is done with, without a request.
    listed: the line that a whole-list upload holds for the member.
    """

    bucket: Bucket
    op: Operation | None = None
    reason: str = ""
    takes: tuple[Entry, ...] = ()
    put: Entry | None = None
    record: Record | None = None
    receives: bool = False
    unknown_exit: bool = False
    settles_exit: bool = False
    listed: Entry | None = None


NOT_CONSIDERED = Planned(bucket="not_considered")
UNCHANGED = Planned(bucket="unchanged")


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request part: take an entry away, or put one on the list (`verb`)."""

    phase: Phase
    verb: Literal["remove", "add", "update"]
    entry: Entry


def plan_member(member: Member, rules: PlanRules, sharing: Sharing = ALONE) -> Planned:
    """Decide about one member. Same arguments, same plan; `core/sync_effects.py` says what the answers change."""
    kind = rules.kind
    if kind == "clear":
        return _cleared(member)
    if rules.erasures_only and member.membership != "erased":
        return _receiving_only(member, sharing)
    record = without(member.record, sharing.taken)
    for one in sharing.passing:
        record = with_orphan(record, one.entry, one.state)
    awaits = member.record.state == "unsure" and not rules.capabilities.idempotent and kind != "replace"
    if kind == "resend" and rules.mode != "subtractive" and record.is_listed:
        # A resend doubts the whole list. The doubt is stored, so that what it does not reach is added by later runs too.
        record = replace(record, state="unsure")
    is_in = member.membership == "in"
    planned = _in(member.rendered, record, rules, sharing) if is_in else _gone(member, record, rules, sharing)
    if awaits and planned.op not in (None, "erase"):
        planned = Planned(bucket="skipped", reason="awaiting_resolve")
    if planned.op is not None and planned.op != "erase" and kind != "replace":
        planned = _unless_waiting(planned, record, rules)
    if planned.record is None and record is not member.record and record != member.record:
        planned = replace(planned, record=record)
    if planned.bucket in ("unchanged", "not_considered", "skipped"):
        planned = _without_problem(planned, record)
    if sharing.passing:
        planned = replace(planned, receives=True)
    if planned.bucket == "not_considered" and member.record.is_listed:
        # Its entry went to somebody else, but it was on the list when the run began.
        return replace(planned, bucket="unchanged")
    return planned


def steps(planned: Planned) -> tuple[Step, ...]:
    """The request parts of one operation, in their order."""
    phase: Phase = "erase" if planned.op == "erase" else "remove"
    taking = tuple(Step(phase=phase, verb="remove", entry=entry) for entry in planned.takes)
    if planned.put is None:
        return taking
    return (*taking, Step(phase="put", verb="update" if planned.op == "update" else "add", entry=planned.put))


def in_sending_order(plan: Callable[[], Iterable[tuple[M, Planned]]]) -> Iterator[tuple[M, Planned, Step]]:
    """All request parts of a run: one pass over the plan for each of PHASES, so that nothing but a page is held in memory.

    plan: gives the planned operations from the start, each time the same (stored, or planned anew from the frozen rows);
    M is whatever tells the caller whose they are. Let a phase settle before taking the next one's first part.
    """
    for phase in PHASES:
        for whose, planned in plan():
            for step in steps(planned):
                if step.phase == phase:
                    yield whose, planned, step


def kind_of_run(
    *, is_first: bool, mode: Mode, initial: Literal["full", "adopt"], capabilities: Capabilities, owes_resend: bool
) -> RunKind:
    """Which kind the next scheduled run of a sync is. A run by hand may ask for resend, or for diff."""
    if capabilities.takes_whole_lists:
        return "replace"
    if is_first:
        return "adopt" if initial == "adopt" or mode == "subtractive" else "initial"
    return "resend" if owes_resend else "diff"


def is_resend_due(every_s: int | None, *, last_us: int, now_us: int) -> bool:
    """Whether everybody has to be added again, so that a platform that forgets people after a while does not.

    every_s: `SyncOptions.resend_every_s`. last_us: when they were last; 0 where nobody knows, which is too long ago.
    """
    return every_s is not None and now_us - last_us >= every_s * 1_000_000


def owes_resend_after(*, old_mode: Mode, new_mode: Mode) -> bool:
    """Leaving subtractive mode owes a resend: newcomers were tracked and never put on the list.

    It is paid as soon as the bookkeeping of a resend (step 3) is stored whole; what its requests do not reach is then unsure.
    """
    return old_mode == "subtractive" and new_mode != "subtractive"


def _receiving_only(member: Member, sharing: Sharing) -> Planned:
    """The sync is paused, but an entry of somebody erased that this member needs must not be lost sight of."""
    record = member.record
    for one in sharing.passing:
        if one.is_of_erased:
            record = with_orphan(record, one.entry, one.state)
    return NOT_CONSIDERED if record == member.record else Planned(bucket="unchanged", record=record, receives=True)


def _in(rendered: Entry | Unmappable | None, record: Record, rules: PlanRules, sharing: Sharing) -> Planned:
    if not isinstance(rendered, Entry):
        return _unmappable(rendered, record, rules)
    if sharing.is_owned_by_other:
        return _shared(record, rules)
    if rules.kind == "replace":
        op: Operation = "update" if record.is_listed else "add"
        return Planned(bucket="planned", op=op, put=rendered, listed=rendered)
    if rules.mode == "subtractive" or rules.kind == "adopt":
        return _tracked(rendered, record, rules)
    if not record.is_listed:
        return Planned(bucket="planned", op="add", put=rendered)
    return _kept(rendered, record, rules)


def _kept(rendered: Entry, record: Record, rules: PlanRules) -> Planned:
    """Mirror and additive: a member who is in, and of whom the list holds something."""
    sent = record.entries[0]
    if sent.identity != rendered.identity:
        if rules.mode == "additive":
            return Planned(bucket="planned", op="add", put=rendered)
        # While removals are held, only what stands in the way of the new entry goes: orphans wait with the other removals.
        leaving = record.entries[:1] if rules.removals_held else record.entries
        takes = tuple(entry for entry in leaving if entry.identity != rendered.identity)
        return Planned(bucket="planned", op="replace", takes=takes, put=rendered)
    if record.state == "unsure":
        return Planned(bucket="planned", op="add", put=rendered)
    is_same = sent.fingerprint == rendered.fingerprint
    if not is_same and rules.capabilities.update:
        return Planned(bucket="planned", op="update", put=rendered)
    if rules.mode == "mirror" and record.orphans:
        if rules.removals_held:
            return Planned(bucket="skipped", reason="removals_held")
        return Planned(bucket="planned", op="update", takes=record.orphans)
    return UNCHANGED if is_same else Planned(bucket="skipped", reason="update_not_supported")


def _tracked(rendered: Entry, record: Record, rules: PlanRules) -> Planned:
    """Nothing is sent: the entry is remembered, so that it can be removed when the member leaves."""
    if not record.is_listed:
        tracked = replace(with_sent(record, rendered, "assumed"), problem=None, changed_us=rules.now_us)
        tracked = replace(tracked, mapping_version=rules.mapping_version, destination_version=rules.destination_version)
        return Planned(bucket="skipped", reason="tracked", record=tracked)
    sent = record.entries[0]
    if sent.fingerprint == rendered.fingerprint:
        return UNCHANGED
    if sent.identity == rendered.identity or record.state == "unsure":
        return Planned(bucket="skipped", reason="not_in_mode")
    moved = replace(with_sent(record, rendered, "assumed"), problem=None, changed_us=rules.now_us)
    return Planned(bucket="skipped", reason="tracked", record=moved)


def _shared(record: Record, rules: PlanRules) -> Planned:
    """Somebody else owns what this member renders to; what is left of its own entries goes, where the mode removes."""
    if record.is_listed and (rules.mode == "mirror" or rules.kind == "replace"):
        if rules.removals_held:
            return Planned(bucket="skipped", reason="removals_held")
        return Planned(bucket="planned", op="remove", takes=record.entries)
    return Planned(bucket="skipped", reason="shared_identifier")


def _unmappable(rendered: Unmappable | None, record: Record, rules: PlanRules) -> Planned:
    code = rendered.code if rendered is not None else "no_payload"
    if rules.mode == "subtractive" and record.is_listed:
        return UNCHANGED
    problem = record.problem
    if problem is None or (problem.kind, problem.code) != ("unmappable", code):
        problem = RecordProblem(kind="unmappable", code=code, first_us=rules.now_us)
    return Planned(bucket="rejected", reason=code, record=replace(record, problem=problem), listed=record.sent)


def _gone(member: Member, record: Record, rules: PlanRules, sharing: Sharing) -> Planned:
    if not record.is_listed:
        is_pending = member.unknown_exit and member.membership == "out"
        return _unknown_exit(member.rendered, rules, sharing) if is_pending else NOT_CONSIDERED
    if member.membership == "erased":
        return Planned(bucket="planned", op="erase", takes=record.entries)
    if rules.mode == "additive":
        return Planned(bucket="skipped", reason="not_in_mode", listed=record.sent)
    if rules.removals_held:
        return Planned(bucket="skipped", reason="removals_held")
    return Planned(bucket="planned", op="remove", takes=record.entries)


def _unknown_exit(rendered: Entry | Unmappable | None, rules: PlanRules, sharing: Sharing) -> Planned:
    """The list may hold somebody from before the gateway: removed once, by the identifiers of the exit event."""
    if rules.mode == "additive" or rules.kind in ("adopt", "replace"):
        return UNCHANGED
    if not isinstance(rendered, Entry):
        code = rendered.code if rendered is not None else "no_payload"
        return Planned(bucket="rejected", reason=code, settles_exit=True)
    if rendered.identity in sharing.taken:
        return Planned(bucket="unchanged", settles_exit=True)
    if rules.removals_held:
        return Planned(bucket="skipped", reason="removals_held")
    return Planned(bucket="planned", op="remove", takes=(rendered,), unknown_exit=True)


def _cleared(member: Member) -> Planned:
    if member.record.is_listed:
        op: Operation = "erase" if member.membership == "erased" else "remove"
        return Planned(bucket="planned", op=op, takes=member.record.entries)
    return UNCHANGED if member.membership == "in" or member.unknown_exit else NOT_CONSIDERED


def _unless_waiting(planned: Planned, record: Record, rules: PlanRules) -> Planned:
    assert planned.op is not None
    reason = must_wait(
        record.problem,
        planned.op,
        planned.put or planned.takes[0],
        retry=rules.retry,
        mapping_version=rules.mapping_version,
        destination_version=rules.destination_version,
        now_us=rules.now_us,
    )
    return planned if reason is None else Planned(bucket="skipped", reason=reason)


_waits = frozenset({"quarantined", "backoff", "left_alone", "given_up", "awaiting_resolve", "removals_held"})


def _without_problem(planned: Planned, record: Record) -> Planned:
    """A member of whom nothing is asked has no trouble any more; one that waits keeps it."""
    stored = planned.record or record
    if stored.problem is None or planned.reason in _waits:
        return planned
    return replace(planned, record=replace(stored, problem=None) if stored.is_listed else ABSENT)
