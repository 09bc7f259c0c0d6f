"""Planning a run of single changes: pages of records through `core/sync_plan.py`, kept as operations that nobody sends yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from gateway.core.run_counters import RunCounters
from gateway.core.sync_entries import ALONE, Member, SharedEntries, claims_of
from gateway.core.sync_plan import Planned, PlanRules, plan_member
from gateway.core.sync_records import Entry
from gateway.store.api import StateView
from gateway.store.sync_rows import PlannedRow, RecordRow
from gateway.syncs.list_records import RecordsOfList
from gateway.syncs.memory import ERASE, KEEP, PUT, RECEIVE, REMOVE, OperationBody, encode_body, member_of, orphans_of

PAGE_RECORDS = 1_000

# Kinds of run that look at every record, not only at those that differ.
LOOKS_AT_ALL = frozenset({"resend", "clear"})


class PlannedMember(NamedTuple):
    """One member's plan, and the record it was made of."""

    row: RecordRow
    member: Member
    planned: Planned


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a plan. after: the last member it holds; None when there are no more."""

    members: tuple[PlannedMember, ...]
    after: int | None


def plan_page(
    view: StateView,
    records: RecordsOfList,
    rules: PlanRules,
    *,
    after: int,
    members: Sequence[int] | None = None,
    everybody: bool = False,
) -> Page:
    """Plan the next page behind a member. members: only these (a live run). everybody: those with nothing to do, too."""
    if members is not None:
        rows = _with_claimants(view, records, records.of(view, members))
    else:
        rows = records.page(view, after=after, limit=PAGE_RECORDS, settled=everybody or rules.kind in LOOKS_AT_ALL)
    frozen = [(row, member_of(row)) for row in rows]
    shared = _shared(view, records, frozen)
    planned = tuple(
        PlannedMember(row, member, plan_member(member, rules, shared.sharing(member) if shared else ALONE))
        for row, member in frozen
    )
    is_last = members is not None or len(rows) < PAGE_RECORDS
    return Page(members=planned, after=None if is_last else rows[-1].member)


def _with_claimants(view: StateView, records: RecordsOfList, rows: list[RecordRow]) -> list[RecordRow]:
    """Some records and those that claim the same entries: whoever leaves an entry leaves it to one of them."""
    entries = [entry for row in rows for entry in (row.entry, row.sent_entry, *orphans_of(row)) if entry]
    found = {(row.member, row.line): row for row in (*rows, *records.claimants(view, entries))}
    return [found[key] for key in sorted(found)]


def count_page(page: Page, counters: RunCounters) -> None:
    """Take a page into the counters."""
    for one in page.members:
        counters.count_plan(one.member, one.planned)


def digested(digest: str, page: Page) -> str:
    """The digest of a plan with one more page in it: of its operations in order, each by member, kind and fingerprints.

    Two plans of the same records have the same, however they were cut into pages. "" where nothing is planned.
    """
    return chained(
        digest,
        (
            f"{row.member} {planned.op} {' '.join(one.fingerprint for one in planned.takes)} "
            f"{planned.put.fingerprint if planned.put is not None else ''}"
            for row, _member, planned in page.members
            if planned.op is not None and (planned.takes or planned.put is not None)
        ),
    )


def chained(digest: str, operations: Iterable[str]) -> str:
    """A digest in hex with more operations behind what it is of; one by one, so that it may stop and go on anywhere."""
    last = bytes.fromhex(digest)
    for operation in operations:
        last = sha256(last + operation.encode()).digest()
    return last.hex()


def operations_of(page: Page, run: int) -> list[PlannedRow]:
    """What a page keeps: records to be stored first, and operations to be sent."""
    rows: list[PlannedRow] = []
    for row, _member, planned in page.members:
        if planned.record is not None or planned.settles_exit:
            kept = OperationBody(record=planned.record, settles_exit=planned.settles_exit)
            rows.append(PlannedRow(0, run, RECEIVE if planned.receives else KEEP, row.member, encode_body(kept)))
        if planned.op is not None and (planned.takes or planned.put is not None):
            body = OperationBody(
                planned=replace(planned, record=None, listed=None, settles_exit=False),
                before=row.sent_fingerprint.hex(),
            )
            rows.append(PlannedRow(0, run, first_phase(planned), row.member, encode_body(body)))
    return rows


def first_phase(planned: Planned) -> int:
    """In which phase an operation's first part goes."""
    if planned.op == "erase":
        return ERASE
    return REMOVE if planned.takes else PUT


def _shared(
    view: StateView, records: RecordsOfList, frozen: Sequence[tuple[RecordRow, Member]]
) -> SharedEntries | None:
    """All claims on the identities of a page that more than one member has; None where there are none."""
    exits = {
        member.rendered.identity
        for _row, member in frozen
        if member.unknown_exit and isinstance(member.rendered, Entry)
    }
    wanted = exits.union(claim.identity for _row, member in frozen for claim in claims_of(member))
    found = records.claimants(view, [bytes.fromhex(one) for one in wanted])
    claims = [claim for row in found for claim in claims_of(member_of(row)) if claim.identity in wanted]
    owners: dict[str, set[str]] = {}
    for claim in claims:
        owners.setdefault(claim.identity, set()).add(claim.member)
    contested = {identity for identity, members in owners.items() if len(members) > 1 or identity in exits}
    return SharedEntries(claim for claim in claims if claim.identity in contested) if contested else None
