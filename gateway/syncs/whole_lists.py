"""Runs of platforms that take whole lists: the list is frozen, counted against the one before, uploaded, and marked.

The upload is one delivery that points at the frozen list. A member's lines count by what the platform knows people by.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from gateway.store.api import StateView
from gateway.store.sync_rows import ListChange, PlannedRow, RunRow
from gateway.syncs.memory import LIST, Compared, OperationBody, Stage, encode_body, read_progress
from gateway.syncs.names import Standing
from gateway.syncs.planner import chained
from gateway.syncs.settling import RunLedger

FREEZE_MEMBERS = 5_000
MARK_MEMBERS = 5_000
TOLD_ENTRIES = 2_500  # each of them may be a line of the log
STRIP_ENTRIES = 10_000
COMPARED_ENTRIES = 50_000  # of two lists at one look: some tens of milliseconds
BELOW_MINIMUM = "below_minimum"
ENDED_LIST = frozenset({"tell", "mark", "strip"})  # stages of a run whose upload has ended


def remembered_since_us(forget_after_s: int | None, now_us: int) -> int:
    """Members whose latest event is older stand on no list; 0 where nobody is forgotten."""
    return 0 if forget_after_s is None else now_us - forget_after_s * 1_000_000


class ListTerms(NamedTuple):
    """Who stands on a list. keeps_out: those who left, too. since_us: of those who are in, who was named since; 0 for all."""

    keeps_out: bool
    since_us: int


def terms_of_list(standing: Standing, now_us: int) -> ListTerms:
    """Of a run that starts now."""
    forget_after_s = standing.options.forget_after_s
    return ListTerms(standing.options.mode == "additive", remembered_since_us(forget_after_s, now_us))


def freeze(ledger: RunLedger, standing: Standing) -> None:
    """Copy one page of members into the run's list."""
    tx, sync, progress = ledger.tx, ledger.run.sync, ledger.progress
    terms = terms_of_list(standing, ledger.run.started_us)
    if progress.mode:
        terms = terms._replace(keeps_out=progress.mode == "additive")
    digest, _last = digested_page(tx, sync, terms, digest=progress.digest, after=progress.after)
    last = tx.freeze_page(
        ledger.run.id, sync, after=progress.after, members=FREEZE_MEMBERS, keeps_out=terms.keeps_out,
        since_us=terms.since_us,
    )  # fmt: skip
    if last is not None:
        for member, why in tx.unlisted(sync, after=progress.after, last=last):
            ledger.log(member, operation="add", status="rejected", stage="mapping", code=why)
    stage: Stage = "judge" if last is None else "freeze"
    ledger.progress = replace(progress, stage=stage, after=last or 0, digest=digest)


def digested_page(view: StateView, sync: int, terms: ListTerms, *, digest: str, after: int) -> tuple[str, int | None]:
    """The digest of a list's plan with one more page in it, as `planner.digested` has it; and where to go on."""
    rows, last = view.wants(
        sync, after=after, members=FREEZE_MEMBERS, keeps_out=terms.keeps_out, since_us=terms.since_us
    )
    return chained(digest, (f"{member} replace {fingerprint.hex()}" for member, fingerprint in rows)), last


def compared_page(view: StateView, run: int, before: int, so_far: Compared | None) -> Compared:
    """One more page of two lists compared, read beside the writer.

    Neither changes meanwhile, save that the entry of somebody who is deleted goes: it was counted, or it counts as gone.
    """
    found = so_far if so_far is not None and so_far.before == before else Compared(before=before)
    one, other = (before, run) if found.is_turned else (run, before)
    entries, missing, last = view.list_difference(one, other, after=bytes.fromhex(found.entry), limit=COMPARED_ENTRIES)
    if last is None:
        return replace(found, entry="", is_turned=True, is_whole=found.is_turned)
    if found.is_turned:
        return replace(found, entry=last.hex(), gone=found.gone + missing)
    return replace(found, entry=last.hex(), size=found.size + entries, new=found.new + missing)


def judge_list(ledger: RunLedger, standing: Standing, page: Compared | None) -> bool:
    """Count the frozen list as a plan and owe its upload; False while it is compared, and where it is too small to be sent.

    page: how far the comparing has come by now.
    """
    tx, run, counters, compared = ledger.tx, ledger.run, ledger.counters, ledger.progress.compared
    before = standing.sync.listed_run
    if compared is None or not compared.is_whole or compared.before != before:
        ledger.progress = replace(ledger.progress, compared=page)
        return False
    size, new, gone = compared.size, compared.new, compared.gone
    unmappable = tx.unmappable_count(run.sync)
    minimum = standing.mapping.capabilities.min_distinct
    counters.members_in = size + unmappable
    counters.unmappable = counters.rejected_mapping = unmappable
    ledger.progress = replace(ledger.progress, distinct=size)
    if size < minimum:
        told = f"{size} of {minimum} distinct people, so nothing was sent. " + (
            "The platform still holds the last list uploaded, people who have left since then included."
            if before
            else ""
        )
        ledger.progress = replace(
            ledger.progress, stage="close", ends_as="skipped", outcome=BELOW_MINIMUM, message=told.strip()
        )
        return False
    planned = {"add": new, "update": size - new, "remove": gone}
    # Of people who were deleted while the list before was uploaded, that one counted more than it holds.
    counters.list_before = size - new + gone
    counters.planned = {operation: count for operation, count in planned.items() if count}
    counters.considered = size + gone + unmappable
    tx.add_planned([PlannedRow(0, run.id, LIST, 0, encode_body(OperationBody()))])
    return True


class TellPage(NamedTuple):
    """What the next entries of a run's list, then of the one before, say of people. last: the last entry, None at the end."""

    changes: list[ListChange]
    last: bytes | None


def changes_page(view: StateView, run: RunRow, before: int) -> TellPage:
    """The next page of what a list changes, read beside the writer. before: the run whose list the platform held till now."""
    progress = read_progress(run.progress)
    ask = view.list_dropped if progress.is_turned else view.list_named
    return TellPage(*ask(run.id, before, run.sync, after=bytes.fromhex(progress.entry), limit=TOLD_ENTRIES))


def tell(ledger: RunLedger, page: TellPage, *, everybody: bool) -> None:
    """Log one page of what became of each person whom the upload was about: they share its end, its times and its answer.

    everybody: those, too, who stay as they were. A run that was stopped before its upload ends everybody's operation cancelled.
    """
    progress = ledger.progress
    status = progress.outcome or "cancelled"
    was_sent = bool(progress.upload)
    stage = "" if not was_sent else "destination" if status in ("accepted", "rejected") else "request"
    for one in page.changes:
        if one.operation:
            if status == "accepted" and one.member:
                ledger.note_operation(one.member, one.line, one.operation)
            ledger.log(
                one.member, operation=one.operation, status=status, stage=stage, message=progress.message,
                http_status=progress.http_status, attempts=ledger.counters.attempts, batch=progress.upload,
                first_us=progress.first_request_us, finished_us=progress.last_answer_us, before=one.before, after=one.after,
                payload=one.payload,
            )  # fmt: skip
        elif everybody:
            ledger.log(one.member, operation="", status="skipped", stage="", code="unchanged")
    if page.last is not None:
        ledger.progress = replace(ledger.progress, entry=page.last.hex())
    elif not progress.is_turned:
        ledger.progress = replace(ledger.progress, entry="", is_turned=True)
    else:
        was_taken = progress.outcome == "accepted"
        ledger.progress = replace(
            ledger.progress, stage="mark" if was_taken else "close", entry="", after=0, is_turned=False
        )


def take_in(ledger: RunLedger, page: TellPage | None, *, everybody: bool) -> None:
    """One step of a list whose upload has ended: told, marked, stripped. page: the next to be told, where it was looked at."""
    match ledger.progress.stage:
        case "tell" if page is not None:
            tell(ledger, page, everybody=everybody)
        case "mark":
            mark(ledger)
        case "strip":
            strip(ledger)
        case _:
            return  # the answer came in just now: the next step looks first


def mark(ledger: RunLedger) -> None:
    """After the platform took the list: one page of records becomes present, or goes."""
    last = ledger.tx.mark_listed(
        ledger.run.id, ledger.run.sync, after=ledger.progress.after, members=MARK_MEMBERS, now_us=ledger.now_us
    )
    ledger.progress = replace(ledger.progress, stage="strip" if last is None else "mark", after=last or 0)


def strip(ledger: RunLedger) -> None:
    """Take what people gave out of the list that was uploaded; who is on it stays known."""
    last = ledger.tx.strip_list(ledger.run.id, after=bytes.fromhex(ledger.progress.entry), limit=STRIP_ENTRIES)
    ledger.progress = replace(
        ledger.progress, stage="snap" if last is None else "strip", after=0, entry="" if last is None else last.hex()
    )


def count_list(ledger: RunLedger) -> None:
    """What the upload came to, in the counters."""
    counters, planned = ledger.counters, ledger.counters.planned
    total = sum(planned.values())
    match ledger.progress.outcome:
        case "accepted":
            added, updated, removed = (planned.get(one, 0) for one in ("add", "update", "remove"))
            # Who was deleted since the plan was not uploaded.
            lost = max(0, added + updated - ledger.progress.distinct)
            counters.cancelled = lost
            counters.updated = updated - min(lost, updated)
            counters.added = added - (lost - min(lost, updated))
            counters.removed = removed
            counters.list_change = counters.added + counters.updated - updated - removed
        case "unsure":
            counters.unsure = total
        case "rejected":
            counters.rejected_destination = total
        case "failed":
            counters.failed = total
        case _:
            counters.cancelled = total
