"""What an answer changes in a member's record, and how its operation ends.

An operation has up to two halves. The takes (entries removed) are settled together with `after_takes`; if all were accepted
and there is a put, `after_put` settles that. Until then the operation has no result. Whole lists are settled by `after_list`.
After a crash, parts whose request may have gone out are as good as unanswered, parts that surely did not are simply forgotten:
the next run plans them anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec
from msgspec.structs import replace

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.core.sync_options import Retry
from gateway.core.sync_plan import Planned
from gateway.core.sync_records import Entry, ProblemKind, Record, with_sent, without
from gateway.core.sync_retry import next_problem

Result = Literal["accepted", "cancelled", "rejected", "failed", "unsure"]
"""cancelled: planned and never sent. failed: surely without effect. unsure: sent, and nobody knows. The worst comes last."""

_gravity: dict[Result, int] = {"accepted": 0, "cancelled": 1, "rejected": 2, "failed": 3, "unsure": 4}


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """When an answer came and by which versions its request was made. code: a stable word for the problem it may leave."""

    now_us: int
    retry: Retry = Retry()
    mapping_version: str = ""
    destination_version: str = ""
    code: str = ""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """The record to store, and how the operation ended; result None: go on with its put.

    settles_exit: the unknown exit is done with, whatever came of it.
    """

    record: Record
    result: Result | None
    settles_exit: bool = False


def result_of(outcome: Outcome, *, earlier: Result | None = None) -> Result:
    """The result an outcome means once no attempt is left.

    earlier: what the attempts before it had come to (None for the first): a time-out among them may have had its effect, so
    that a later failure does not make the operation a failed one.
    """
    match outcome:
        case Delivered():
            return "accepted"
        case Refused():
            return "rejected"
        case Unreachable():
            return "unsure" if earlier == "unsure" or outcome.may_have_worked else "failed"
        case Deferred() | Unauthorized():
            return "unsure" if earlier == "unsure" else "failed"
        case _:
            assert_never(outcome)


def worst(results: Sequence[Result]) -> Result:
    """The gravest of some results; "accepted" for none."""
    return max(results, key=_gravity.__getitem__, default="accepted")


def after_takes(record: Record, planned: Planned, results: Sequence[Result], stamp: Stamp) -> Effect:
    """Settle the takes. record: as stored now (`Planned.record` applied). results: of `planned.takes`, one each, in order.

    What was accepted is off the list. If anything is left, the record says so: its first entry is then the one sent.
    """
    assert planned.op is not None
    result = worst(results)
    if planned.unknown_exit:
        is_settled = result in ("accepted", "rejected")
        kept = (
            replace(record, problem=None) if is_settled else _troubled(record, planned, result, planned.takes[0], stamp)
        )
        return Effect(record=kept, result=result, settles_exit=is_settled)
    pairs = zip(planned.takes, results, strict=True)
    gone = {entry.identity for entry, one in pairs if one == "accepted"}
    left = without(record, gone)
    if gone:
        left = replace(left, changed_us=stamp.now_us)
    if result == "accepted":
        done = replace(left, problem=None)
        return Effect(record=done, result=None if planned.put is not None else "accepted")
    if result == "unsure":
        left = replace(left, state="unsure", changed_us=stamp.now_us)
    return Effect(record=_troubled(left, planned, result, planned.put or planned.takes[0], stamp), result=result)


def after_put(record: Record, planned: Planned, result: Result, stamp: Stamp, *, remembered: bytes = b"") -> Effect:
    """Settle the put. remembered: JSON text of what the platform gave for the member, b"" for nothing new.

    Refused or failed, the record stays what it is (absent, after the first half of a replace).
    """
    assert planned.put is not None
    if result == "accepted":
        return Effect(record=_listed(record, planned.put, stamp, remembered), result=result)
    if result == "unsure":
        entry = _remembering(record, planned.put, remembered)
        record = replace(with_sent(record, entry, "unsure"), changed_us=stamp.now_us)
    return Effect(record=_troubled(record, planned, result, planned.put, stamp), result=result)


def after_list(record: Record, planned: Planned, result: Result, stamp: Stamp) -> Effect:
    """Settle one member's part of a whole-list upload: the list is what was uploaded, or as before, or nobody knows.

    A refused or failed upload changes no record: the run says what is wrong, and the next one uploads all again.
    Set-based, for a store: accepted makes the lines present and all others absent; unsure makes all that differ unsure.
    """
    if result == "unsure":
        entry = record.sent if planned.put is None else _remembering(record, planned.put, b"")
        assert entry is not None
        return Effect(record=replace(with_sent(record, entry, "unsure"), changed_us=stamp.now_us), result=result)
    if result != "accepted":
        return Effect(record=record, result=result)
    if planned.put is None:
        gone = without(record, [entry.identity for entry in record.entries])
        return Effect(record=replace(gone, problem=None, changed_us=stamp.now_us), result=result)
    return Effect(record=replace(_listed(record, planned.put, stamp, b""), orphans=()), result=result)


def _listed(record: Record, entry: Entry, stamp: Stamp, remembered: bytes) -> Record:
    return replace(
        with_sent(record, _remembering(record, entry, remembered), "present"),
        problem=None,
        mapping_version=stamp.mapping_version,
        destination_version=stamp.destination_version,
        changed_us=stamp.now_us,
    )


def _remembering(record: Record, entry: Entry, remembered: bytes) -> Entry:
    """The entry with what the platform gave now, else with what it gave for the same identity before."""
    before = next((one.remembered for one in record.entries if one.identity == entry.identity), b"")
    kept = remembered or before or entry.remembered
    return entry if kept == entry.remembered else replace(entry, remembered=kept)


def _troubled(record: Record, planned: Planned, result: Result, entry: Entry, stamp: Stamp) -> Record:
    if result in ("accepted", "cancelled"):
        return record
    assert planned.op is not None
    kind: ProblemKind = "unsure" if result == "unsure" else "rejected" if result == "rejected" else "failed"
    problem = next_problem(
        record.problem,
        kind=kind,
        op=planned.op,
        code=stamp.code,
        entry=entry,
        retry=stamp.retry,
        mapping_version=stamp.mapping_version,
        destination_version=stamp.destination_version,
        now_us=stamp.now_us,
    )
    return replace(record, problem=problem)
