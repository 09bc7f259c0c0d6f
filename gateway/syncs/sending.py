"""What a run sends and in which order: records that change without a request, then deliveries phase by phase, or all taken back."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from gateway.core.sync_effects import Effect
from gateway.core.sync_records import ABSENT, Entry
from gateway.store.rows import NewDelivery
from gateway.store.sync_rows import ERASED, PlannedRow
from gateway.syncs.deleting import status_after
from gateway.syncs.memory import KEEP, PUT, SENT_FROM, Stage, encode_json, read_body, read_memory, record_of
from gateway.syncs.names import Standing
from gateway.syncs.settling import NOWHERE, RunLedger, blank_record, cancel, next_entry

RELEASE_ROWS = 500  # operations that become deliveries in one step
RELEASED_MAX = 5_000  # of one run, not settled yet: what waits in its lane is bounded, whatever the plan's size
PIECE_ROWS = 1_000
# All was sent and answered; what is left is to note it.
NOTHING_TO_STOP = frozenset({"tell", "mark", "strip", "snap", "close"})

_decode_object = msgspec.json.Decoder(dict[str, object]).decode


def keep(ledger: RunLedger) -> None:
    """Store records that change without a request; those that receive an entry come first."""
    tx, run = ledger.tx, ledger.run
    phase = tx.next_phase(run.id)
    if phase is None or phase > KEEP:
        ledger.progress = replace(ledger.progress, stage="send")
        sync = tx.sync(run.sync)
        assert sync is not None, "its run is there"
        memory = read_memory(sync.memory)
        # A resend is paid from here on: what its requests do not reach is unsure, and so planned again.
        memory = replace(
            memory,
            has_run=memory.has_run or run.kind not in ("clear", "live"),
            owes_resend=memory.owes_resend and run.kind != "resend",
            all_added_us=run.started_us if run.kind in ("initial", "resend") else memory.all_added_us,
        )
        tx.save_sync(replace(sync, memory=encode_json(memory)))
        return
    rows = tx.planned(run.id, phase=phase, limit=PIECE_ROWS)  # of these phases nothing is ever released
    records = {row.member: row for row in tx.records_of(run.sync, (one.member for one in rows))}
    for one in rows:
        body = read_body(one.body)
        row = records.get(one.member) or blank_record(tx, one.member, ledger.now_us)
        record = body.record if body.record is not None else record_of(row)
        # Its change was counted when it was planned.
        from_plan = Effect(record=record, result=None, settles_exit=body.settles_exit)
        ledger.store(row, record, from_plan)
    tx.drop_planned(one.id for one in rows)


def send(ledger: RunLedger, standing: Standing, lanes: set[str]) -> bool:
    """Release what the present phase still holds; the next phase begins when nothing of it is left."""
    tx, run = ledger.tx, ledger.run
    lost = tx.drop_plan(run.id, limit=PIECE_ROWS, unreleased=False)
    if lost:  # Somebody was deleted meanwhile, and what was owed for them with them.
        cancel(ledger, lost)
        return True
    phase = tx.next_phase(run.id)
    if phase is None:
        ledger.progress = replace(ledger.progress, stage="snap", after=0, line=0)
        return True
    released = tx.released_count(run.id)
    rows = tx.planned(run.id, phase=phase, limit=max(0, min(RELEASE_ROWS, RELEASED_MAX - released)))
    if not rows:
        return False
    _release(ledger, standing, rows)
    lanes.add(standing.destination.key)
    return True


def _release(ledger: RunLedger, standing: Standing, rows: list[PlannedRow]) -> None:
    tx, now_us = ledger.tx, ledger.now_us
    settings = ledger.progress.settings.encode() or encode_json(standing.audience_settings())
    erased = {
        row.member
        for row in tx.records_of(ledger.run.sync, (one.member for one in rows if one.phase == PUT))
        if row.standing == ERASED
    }
    gone = [row for row in rows if row.member in erased]
    if gone:
        tx.drop_planned(row.id for row in gone)
        cancel(ledger, gone)
    rows = [row for row in rows if row.member not in erased]
    deliveries: list[NewDelivery] = []
    for row in rows:
        body = read_body(row.body)
        operation, payload = "replace", b"{}"
        if body.planned is not None and (body.planned.put is not None or body.planned.takes):
            operation, entry = next_entry(row, body)
            payload = with_remembered(entry)
        deliveries.append(
            NewDelivery(
                standing.destination.key, standing.mapping.key, standing.sync.audience, row.member, operation, payload,
                NOWHERE, now_us, now_us, audience_settings=settings, run=ledger.run.id,
            )
        )  # fmt: skip
    if deliveries:
        tx.release_planned([row.id for row in rows], tx.add_deliveries(deliveries, now_us=now_us))


def undo(ledger: RunLedger) -> bool:
    """Take out what was not sent, a piece at a time, then wait for what is on its way.

    What its lane may claim goes first: the lane would claim it and give it back, again and again, until the plan is gone.
    """
    tx, run = ledger.tx, ledger.run
    tx.drop_unsent(run.id)
    rows = tx.drop_plan(run.id, limit=PIECE_ROWS, unreleased=False)
    if rows:
        cancel(ledger, rows)
        return True
    rows = tx.drop_plan(run.id, limit=PIECE_ROWS)
    if rows:
        cancel(ledger, [row for row in rows if row.phase >= SENT_FROM])
        _uncount(ledger, [row for row in rows if row.phase < SENT_FROM])
        return True
    if tx.next_phase(run.id) is not None:
        return False
    stage: Stage = "snap"
    if run.kind == "replace":  # no record has changed: what is left is to tell who was meant, if anybody
        stage = "tell" if ledger.counters.planned else "close"
        outcome = "unsure" if ledger.progress.earlier == "unsure" else ledger.progress.outcome
        ledger.progress = replace(ledger.progress, outcome=outcome, entry="")
    ledger.progress = replace(ledger.progress, stage=stage, after=0, line=0)
    return True


def _uncount(ledger: RunLedger, rows: list[PlannedRow]) -> None:
    """Records that were counted as changed when they were planned, and stay as they are."""
    stored = {row.member: row for row in ledger.tx.records_of(ledger.run.sync, (one.member for one in rows))}
    for one in rows:
        record = read_body(one.body).record
        if record is not None:
            row = stored.get(one.member)
            ledger.counters.count_change(record, ABSENT if row is None else record_of(row))


def end_waiting(ledger: RunLedger, message: str) -> None:
    """Cancel a run that is queued or held: nothing of it was sent, and nothing of what it planned was stored."""
    counters = ledger.counters
    counters.cancelled, counters.list_change, counters.list_after = counters.planned_total, 0, counters.list_before
    started_us = ledger.run.started_us or ledger.now_us
    ledger.run = replace(
        ledger.run, status="cancelled", reason=message, started_us=started_us, finished_us=ledger.now_us
    )
    sync = ledger.tx.sync(ledger.run.sync)
    if sync is not None and sync.status == "deleting":
        sync, status = status_after(sync, ledger.run.kind, "cancelled")
        ledger.tx.save_sync(replace(sync, status=status, updated_us=ledger.now_us))


def stop_run(ledger: RunLedger, *, ends_as: str, message: str) -> None:
    """Send nothing more of a run; what is on its way is awaited, the rest counts as cancelled."""
    if ledger.progress.stage in NOTHING_TO_STOP:
        return
    if ledger.progress.stage == "shelve":  # its plan is being taken out already, and nothing of it was sent
        ledger.progress = replace(ledger.progress, ends_as=ends_as, message=message)
        return
    if ledger.progress.stage in ("start", "move", "refresh", "count"):
        _count_before(ledger)
    ledger.run = replace(ledger.run, status="sending" if ledger.run.status == "held" else ledger.run.status)
    ledger.progress = replace(ledger.progress, stage="undo", ends_as=ends_as, message=message)


def _count_before(ledger: RunLedger) -> None:
    """What the list holds, of a run whose plan was not begun. Of whole lists only their uploads know."""
    tx = ledger.tx
    sync = tx.sync(ledger.run.sync)
    assert sync is not None, "its run is there"
    if ledger.run.kind == "replace" or sync.listed_run:
        ledger.run = replace(ledger.run, kind="replace")
        ledger.counters.list_before = sync.listed
    else:
        ledger.counters.list_before = tx.listed_count(sync.id)


def with_remembered(entry: Entry) -> bytes:
    """An entry's payload with what the platform gave for it, which its removal may need."""
    if not entry.remembered:
        return entry.payload
    return encode_json({**_decode_object(entry.payload), **_decode_object(entry.remembered)})
