"""How a run's operations end: the answers of its deliveries become records, counters and log lines, in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from gateway.core.events import Place
from gateway.core.outcomes import Deferred, Delivered, Outcome
from gateway.core.run_counters import RunCounters
from gateway.core.run_limits import RunBreaker
from gateway.core.sync_effects import Effect, Result, Stamp, after_put, after_takes, result_of
from gateway.core.sync_options import Log, Retry
from gateway.core.sync_plan import Planned
from gateway.core.sync_records import Entry, Record
from gateway.store.api import StateTx
from gateway.store.rows import DeliveryRow
from gateway.store.sync_rows import ERASED, OUT, PlannedRow, RecordRow, RowResult, RunRow, Standing
from gateway.syncs.memory import (
    PUT,
    OperationBody,
    encode_body,
    encode_json,
    read_body,
    read_counters,
    read_progress,
    record_of,
    with_record,
)

PROBLEMS_LOGGED_WITHOUT_LOG = 20  # lines of a run whose sync keeps no log
BREAKER = "breaker: more than {share:.0%} of {records} records were refused"
MESSAGE_CHARS_MAX = 300

NOWHERE = Place(0, 0, 0)

_HARMLESS = ("accepted", "skipped")  # lines that `sample` thins out

_decode_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Attempted(Protocol):
    """One attempt of one delivery that a run planned, as the delivery room tells it."""

    @property
    def row(self) -> DeliveryRow:
        """The delivery."""

    @property
    def outcome(self) -> Outcome:
        """How it ended."""

    @property
    def is_final(self) -> bool:
        """It is not tried again."""

    @property
    def skipped(self) -> str:
        """Why a whole list was not sent although nothing failed."""

    @property
    def counts(self) -> dict[str, int]:
        """Of a whole list."""

    @property
    def remembered(self) -> dict[str, object]:
        """What the platform gave for the record."""

    @property
    def requests(self) -> int:
        """Made by the whole attempt, told with its first delivery."""

    @property
    def bytes(self) -> int:
        """Of their bodies, told likewise."""

    @property
    def waited_ms(self) -> int:
        """Until the attempt behind this one, told likewise."""

    @property
    def began_us(self) -> int:
        """When the attempt began; 0 where nobody knows."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What of a mapping and its destination counts when answers are settled."""

    retry: Retry = Retry()
    breaker: RunBreaker = RunBreaker()
    log: Log = Log()
    has_snapshots: bool = False
    mapping_version: str = ""
    destination_version: str = ""


class RunLedger:
    """One run inside one transaction: its row, counters and log, written back with `save`."""

    def __init__(self, tx: StateTx, run: RunRow, terms: Terms, *, reference_key: bytes, now_us: int) -> None:
        self.tx = tx
        self.run = run
        self.counters: RunCounters = read_counters(run.counters)
        self.progress = read_progress(run.progress)
        self.terms = terms
        self.now_us = now_us
        self._reference_key = reference_key
        self._lines: list[RowResult] = []
        self._operations: list[tuple[int, int, str]] = []
        self._seq = 0

    def save(self) -> None:
        """Write everything back."""
        self.tx.add_row_results(self._lines)
        self._lines = []
        self.tx.add_run_operations(self.run.id, self._operations)
        self._operations = []
        self.run = replace(self.run, counters=encode_json(self.counters), progress=encode_json(self.progress))
        self.tx.save_run(self.run)

    def finish(
        self,
        member: int,
        body: OperationBody,
        result: Result,
        *,
        outcome: Outcome | None,
        delivery: int = 0,
        after: str = "",
    ) -> None:
        """Count one operation's end and log it."""
        assert body.planned is not None
        self.counters.count_result(body.planned, result)
        self._judge(result)
        if result == "accepted":
            self.note_operation(member, 0, body.planned.op or "")
        reason = "" if outcome is None or isinstance(outcome, Delivered) else outcome.reason
        self.log(
            member,
            operation=body.planned.op or "",
            status=result,
            stage="" if outcome is None else "destination" if result in ("accepted", "rejected") else "request",
            message=reason,
            http_status=0 if outcome is None else outcome.status or 0,
            attempts=body.attempts,
            batch=delivery,
            first_us=body.first_us,
            before=body.before,
            after=after,
            payload=_payload_of(body.planned),
        )

    def log(
        self,
        member: int,
        *,
        operation: str,
        status: str,
        stage: str,
        message: str = "",
        code: str = "",
        http_status: int = 0,
        attempts: int = 0,
        batch: int = 0,
        first_us: int = 0,
        finished_us: int = 0,
        before: str = "",
        after: str = "",
        payload: bytes = b"",
    ) -> None:
        """Add a line to the sync log, as far as the sync keeps one. payload: whose fields are named, JSON text.

        member: 0 where nobody knows any more who it was. finished_us: 0 for now.
        """
        if status == "rejected":
            self.counters.count_code(code or _code(message))
        log = self.terms.log
        if not log.keep:
            if status in _HARMLESS or self.progress.log_left >= PROBLEMS_LOGGED_WITHOUT_LOG:
                return
            self.progress = replace(self.progress, log_left=self.progress.log_left + 1)
        reference = member_reference(self._reference_key, member) if member else ""
        if status in _HARMLESS and log.sample < 1 and int(reference[:8] or "0", 16) / 0xFFFFFFFF >= log.sample:
            return
        if not self._seq:
            self._seq = self.tx.next_result_seq(self.run.id)
        self._lines.append(
            RowResult(
                self.run.sync, self.run.id, self._seq, reference, operation, status, stage, code or _code(message),
                message[:MESSAGE_CHARS_MAX], http_status, attempts, batch, first_us or self.now_us, finished_us or self.now_us,
                before[:8], after[:8], ",".join(_decode_names(payload)) if payload else "",
            )
        )  # fmt: skip
        self._seq += 1

    def note_operation(self, member: int, line: int, operation: str) -> None:
        """Keep what was done for a member, for the run's snapshot."""
        if self.terms.has_snapshots and self.run.kind != "live":
            self._operations.append((member, line, operation))

    def note_answers(self, attempts: Sequence[Attempted]) -> None:
        """Keep when the first request went out and the last answer came, so that nobody has to search the log for it."""
        if all(one.skipped for one in attempts):
            return
        began_us = min(one.began_us or self.now_us for one in attempts)
        first_us = min(self.progress.first_request_us or began_us, began_us)
        self.progress = replace(self.progress, first_request_us=first_us, last_answer_us=self.now_us)

    def store(self, row: RecordRow, before: Record, effect: Effect) -> None:
        """Put a record in the place of another."""
        self.counters.count_change(before, effect.record)
        put_record(self.tx, self.run, row, effect.record, settles_exit=effect.settles_exit)

    def _judge(self, result: Result) -> None:
        """Stop a run of which most records are refused: sending more would not make it better."""
        judged, rejected = self.progress.judged + 1, self.progress.judged_rejected + (result == "rejected")
        breaker = self.terms.breaker
        verdict = breaker.judge(judged, rejected, is_first=not self.progress.considered_us)
        if verdict != "wait":
            if verdict == "stop" and self.progress.stage == "send":
                message = BREAKER.format(share=breaker.share, records=judged)
                self.progress = replace(self.progress, stage="undo", ends_as="failed", message=message)
            judged, rejected = 0, 0
            self.progress = replace(self.progress, considered_us=self.now_us)
        self.progress = replace(self.progress, judged=judged, judged_rejected=rejected)


def _payload_of(plan: Planned) -> bytes:
    """What an operation puts on the list, else what it takes away first."""
    if plan.put is not None:
        return plan.put.payload
    return plan.takes[0].payload if plan.takes else b""


def put_record(tx: StateTx, run: RunRow, row: RecordRow, record: Record, *, settles_exit: bool = False) -> None:
    """Store the planner's record of a member, or take the row out where nothing is left of it."""
    kept = with_record(row, record, run=run.id, settles_exit=settles_exit)
    if kept is None:
        tx.drop_records(run.sync, [(row.member, row.line)])
    else:
        tx.put_records(run.sync, [kept])


def member_reference(key: bytes, member: int) -> str:
    """A member in logs: the same across runs and syncs of one installation, and nothing that leads back to a person."""
    return hashlib.blake2b(member.to_bytes(8, "big", signed=True), key=key[:64], digest_size=12).hexdigest()


def settle_attempts(ledger: RunLedger, attempts: Sequence[Attempted]) -> None:
    """Take in attempts of one run's single changes."""
    tx = ledger.tx
    ledger.note_answers(attempts)
    operations = tx.planned_of(one.row.id for one in attempts)
    rows = {row.member: row for row in tx.records_of(ledger.run.sync, (one.member for one in operations.values()))}
    for attempt in attempts:
        _count_attempt(ledger.counters, attempt)
        planned = operations.get(attempt.row.id)
        if planned is None or _is_put_off(attempt):
            continue
        body = read_body(planned.body)
        body = replace(body, attempts=body.attempts + 1, first_us=body.first_us or attempt.began_us or ledger.now_us)
        ledger.counters.attempts += 1
        result = result_of(attempt.outcome, earlier=body.earlier)
        if result == "rejected" and body.earlier == "unsure":
            result = "unsure"  # An attempt before this one may have had its effect, whatever is said of this one.
        if not attempt.is_final:
            earlier = result if result == "unsure" else body.earlier
            tx.save_planned(replace(planned, body=encode_body(replace(body, earlier=earlier))))
            continue
        row = rows.get(planned.member) or blank_record(tx, planned.member, ledger.now_us)
        kept = _settle_part(ledger, planned, body, row, result, attempt)
        if kept is not None:
            rows[planned.member] = kept
        else:
            rows.pop(planned.member, None)


def _is_put_off(attempt: Attempted) -> bool:
    """Its batch was stopped, or took long, before this one's request: nothing was tried."""
    return not attempt.is_final and isinstance(attempt.outcome, Deferred) and not attempt.outcome.status


def _count_attempt(counters: RunCounters, attempt: Attempted) -> None:
    counters.requests += attempt.requests
    counters.bytes += attempt.bytes
    counters.waited_ms += attempt.waited_ms


def blank_record(tx: StateTx, member: int, now_us: int) -> RecordRow:
    """The record of a member that has none (any more). Of a deleted one, whatever is found listed is to be erased."""
    standing: Standing = OUT if tx.has_member(member) else ERASED
    return RecordRow(member, 0, standing, 0, now_us, NOWHERE, b"", b"", b"", b"", b"", b"", "", b"", now_us, 0)


def _settle_part(
    ledger: RunLedger, planned: PlannedRow, body: OperationBody, row: RecordRow, result: Result, attempt: Attempted
) -> RecordRow | None:
    """One part of one operation has ended; returns the record as it is stored now."""
    plan = body.planned
    assert plan is not None
    record = record_of(row)
    stamp = Stamp(
        now_us=ledger.now_us,
        retry=ledger.terms.retry,
        mapping_version=ledger.terms.mapping_version,
        destination_version=ledger.terms.destination_version,
        code=_code(getattr(attempt.outcome, "reason", "")),
    )
    after = ""
    if planned.phase == PUT:
        assert plan.put is not None
        remembered = encode_json(attempt.remembered) if attempt.remembered else b""
        effect = after_put(record, plan, result, stamp, remembered=remembered)
        after = plan.put.fingerprint
    else:
        body = replace(body, results=(*body.results, result), earlier=None)
        if len(body.results) < len(plan.takes):
            ledger.tx.save_planned(replace(planned, body=encode_body(body), delivery=0))
            return row
        effect = after_takes(record, plan, body.results, stamp)
    ledger.store(row, record, effect)
    if effect.result is None:
        ledger.tx.save_planned(replace(planned, phase=PUT, body=encode_body(replace(body, earlier=None)), delivery=0))
    else:
        ledger.tx.drop_planned([planned.id])
        ledger.finish(
            planned.member, body, effect.result, outcome=attempt.outcome, delivery=attempt.row.id, after=after
        )
    return with_record(row, effect.record, run=ledger.run.id, settles_exit=effect.settles_exit)


def settle_list(ledger: RunLedger, attempts: Sequence[Attempted]) -> None:
    """Take in what became of a whole list."""
    ledger.note_answers(attempts)
    for attempt in attempts:
        _count_attempt(ledger.counters, attempt)
        ledger.counters.attempts += 1
        result = result_of(attempt.outcome, earlier=ledger.progress.earlier)
        reason = "" if isinstance(attempt.outcome, Delivered) else attempt.outcome.reason
        if ledger.progress.stage == "undo" and not attempt.is_final:
            reason = ledger.progress.message  # why it was stopped stays what there is to tell
        progress = replace(
            ledger.progress, message=reason, distinct=attempt.counts.get("distinct", ledger.progress.distinct),
            upload=attempt.row.id, http_status=attempt.outcome.status or 0,
        )  # fmt: skip
        if not attempt.is_final:
            ledger.progress = replace(progress, earlier="unsure" if result == "unsure" else progress.earlier)
            continue
        ledger.tx.drop_planned(one.id for one in ledger.tx.planned_of([attempt.row.id]).values())
        if attempt.skipped:
            ledger.progress = replace(progress, stage="close", ends_as="skipped", outcome=attempt.skipped)
        else:
            ledger.progress = replace(progress, stage="tell", outcome=result, after=0)


def cancel(ledger: RunLedger, rows: Sequence[PlannedRow]) -> None:
    """End operations that will not be sent any more: cancelled, or unsure where an attempt may have had its effect.

    What parts of them had done stays done.
    """
    for row in rows:
        body = read_body(row.body)
        plan = body.planned
        if plan is None:
            continue
        result: Result = "unsure" if body.earlier == "unsure" else "cancelled"
        if body.results or result == "unsure":
            stored = ledger.tx.records_of(ledger.run.sync, [row.member])
            kept = stored[0] if stored else blank_record(ledger.tx, row.member, ledger.now_us)
            before = record_of(kept)
            stamp = Stamp(now_us=ledger.now_us, retry=ledger.terms.retry)
            if row.phase == PUT:
                effect = after_put(before, plan, result, stamp)
            else:
                unsent: list[Result] = ["cancelled"] * (len(plan.takes) - len(body.results) - 1)
                effect = after_takes(before, plan, (*body.results, result, *unsent), stamp)
            ledger.store(kept, before, effect)
        ledger.finish(row.member, body, result, outcome=None)


def next_entry(planned: PlannedRow, body: OperationBody) -> tuple[str, Entry]:
    """(delivery operation, entry) of the part that an operation sends next."""
    plan = body.planned
    assert isinstance(plan, Planned)
    if planned.phase == PUT:
        assert plan.put is not None
        return ("update" if plan.op == "update" else "enter"), plan.put
    return "exit", plan.takes[len(body.results)]


def _code(message: str) -> str:
    """The leading word of a message that begins with one, such as `INVALID_RESPONSE: …`; else nothing."""
    word, colon, _rest = message.partition(":")
    return word if colon and word.replace("_", "").isalnum() and len(word) <= 60 else ""
