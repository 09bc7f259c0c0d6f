"""Which list at the platform a sync keeps, and what becomes of what it knew when the files name another one.

What was delivered to the list before is parked under a sync of its own, which keeps it for 30 days; a sync that comes back to
a list, or that takes over the list of an audience which is served no more, finds it there. Pages move in transactions of the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from gateway.core.rulebook import Rulebook
from gateway.observe import logs
from gateway.store.api import StateTx, StateView
from gateway.store.sync_rows import ABSENT, RunRow, SyncRow
from gateway.syncs.keeping import DAY_US, DELETED_DAYS
from gateway.syncs.list_records import MOVED_RECORDS, RecordsOfList, blank_of, delivered_of, taken_over
from gateway.syncs.memory import (
    Progress,
    SyncMemory,
    Target,
    encode_json,
    read_memory,
    read_target,
    with_mode,
)
from gateway.syncs.names import PARKED_MARK, Standing, standing_of
from gateway.syncs.settling import RunLedger

CLEAR_AGAIN_US = 3_600 * 1_000_000  # an old list that could not be emptied is tried again after this
DIGEST_DIGITS = 8
_FIRST_LINE = -(2**63)

# Settings that find a list only while its id is not known.
_FINDERS = ("name", "region")
_OTHERS = frozenset({"external_id", "event_external_id", "create", *_FINDERS})

log = logs.logger()


def target_of(standing: Standing) -> Target:
    """The list that the files, what was adopted, or the events name now."""
    if standing.parked is not None:
        return standing.parked
    settings = standing.audience_settings()
    said = "" if settings.get("create") is True else settings.get("event_external_id")
    found = (settings.get("external_id"), standing.audience.external_id, said)
    known_id = next((one for one in found if isinstance(one, str) and one), "")
    required = [field.key for field in standing.mapping.action.audience_settings if field.required]
    return Target(
        id=known_id,
        finders={name: str(settings[name]) for name in _FINDERS if settings.get(name)},
        accounts={name: str(settings[name]) for name in required if name not in _OTHERS and settings.get(name)},
        settings={**settings, "external_id": known_id} if known_id else settings,
    )


def is_other_list(old: Target, new: Target) -> bool:
    """Whether two targets are two lists. An id where none was known before is that of the same list."""
    shared = old.accounts.keys() & new.accounts.keys()
    if any(old.accounts[name] != new.accounts[name] for name in shared):
        return True
    if old.id:
        return old.id != new.id
    return not new.id and old.finders != new.finders


def digest_of(target: Target) -> str:
    """A list's name among those of one mapping and audience; empty where nothing names it."""
    named = target.id or sorted(target.finders.items())
    if not named:
        return ""
    text = msgspec.json.encode((named, sorted(target.accounts.items())))
    return hashlib.sha256(text).hexdigest()[:DIGEST_DIGITS]


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What the next run of a sync begins with, were it to begin now.

    memory: with today's mode in it. records: as they are by then. listed_run: as a `SyncRow` has it.
    """

    memory: SyncMemory
    records: RecordsOfList
    listed_run: int


def outlook(view: StateView, standing: Standing, rulebook: Rulebook, now_us: int) -> Outlook:
    """For plans: what a run would find after it had moved whatever has to move. Nothing is changed."""
    sync = standing.sync
    memory = read_memory(sync.memory)
    known, target = read_target(memory.target), target_of(standing)
    found: SyncRow | None = None
    is_new = known is not None and standing.parked is None and is_other_list(known, target)
    if is_new:
        found = _found(view, standing, target, rulebook)
    elif known is None and not memory.has_run and standing.parked is None:
        found = _unserved(view, standing, target, rulebook)
        is_new = found is not None
    if not is_new:
        source = memory.moves_from  # a move that a stop has interrupted
        records = RecordsOfList(sync=sync.id, source=source, is_blank=bool(memory.moves_to))
        return Outlook(memory=with_mode(memory, standing.options.mode), records=records, listed_run=sync.listed_run)
    records = RecordsOfList(sync=sync.id, source=0 if found is None else found.id, is_blank=True)
    is_known = found is not None and _is_known(found, now_us)
    return Outlook(
        memory=with_mode(_memory_of_list(memory, found, now_us), standing.options.mode),
        records=records,
        listed_run=found.listed_run if found is not None and is_known else 0,
    )


def settle_target(ledger: RunLedger, standing: Standing, rulebook: Rulebook, stop: Callable[[RunRow], None]) -> bool:
    """Note which list the run is for. False where what was delivered has to move first (the run's next stage).

    stop: ends a run of another sync. A run that only takes people off stays with the list that holds them.
    """
    tx, sync = ledger.tx, standing.sync
    memory = read_memory(sync.memory)
    known, target = read_target(memory.target), target_of(standing)
    if memory.moves_to or memory.moves_from:
        ledger.progress = replace(ledger.progress, stage="move", after=0, line=_FIRST_LINE)
        return False
    only_takes = ledger.run.kind == "clear" or sync.status in ("paused", "deleted", "deleting")
    if known is not None and only_takes and is_other_list(known, target):
        target = known
    elif known is not None and is_other_list(known, target):
        found = _found(tx, standing, target, rulebook)
        _begin(ledger, standing, memory, target, found, stop)
        return False
    elif known is None and not memory.has_run and not only_takes and standing.parked is None:
        found = _unserved(tx, standing, target, rulebook)
        if found is not None:
            _begin(ledger, standing, memory, target, found, stop)
            return False
    ledger.progress = replace(ledger.progress, settings=encode_json(target.settings).decode())
    told = encode_json(target).decode()
    if memory.target != told:
        tx.save_sync(replace(sync, memory=encode_json(replace(memory, target=told))))
    return True


def move(ledger: RunLedger) -> bool:
    """Move one page of what was delivered: first away from the sync, then to it. False while another run is in the way."""
    tx = ledger.tx
    sync = tx.sync(ledger.run.sync)
    assert sync is not None, "its run is there"
    memory = read_memory(sync.memory)
    if memory.moves_to:
        if not _park_page(ledger, sync, memory.moves_to):
            _close_parked(ledger, memory.moves_to, clears_old=memory.clears_old)
            tx.save_sync(replace(sync, memory=encode_json(replace(memory, moves_to=0, clears_old=False))))
            ledger.progress = replace(ledger.progress, after=0, line=_FIRST_LINE)
        return True
    if memory.moves_from:
        if tx.running_run(memory.moves_from) is not None:
            return False
        if not _take_page(tx, sync, memory.moves_from):
            tx.save_sync(replace(sync, memory=encode_json(replace(memory, moves_from=0))))
        return True
    ledger.progress = Progress(stage="start", facts=ledger.progress.facts, findings=ledger.progress.findings)
    return True


def owe_clears(tx: StateTx, parked: list[Standing], now_us: int) -> None:
    """Queue the emptying of lists that syncs have left with `clear_old`, again every hour until nobody is on them."""
    for standing in parked:
        sync, memory = standing.sync, read_memory(standing.sync.memory)
        if not memory.clears_old or tx.open_run(sync.id) is not None or tx.queued_run(sync.id) is not None:
            continue
        if not sync.listed:
            tx.save_sync(replace(sync, memory=encode_json(replace(memory, clears_old=False))))
            continue
        last = tx.run(sync.last_run) if sync.last_run else None
        if last is None or now_us - last.finished_us >= CLEAR_AGAIN_US:
            tx.add_run(RunRow(id=0, sync=sync.id, kind="clear", trigger="schedule", queued_us=now_us, due_us=now_us))


def _found(view: StateView, standing: Standing, target: Target, rulebook: Rulebook) -> SyncRow | None:
    """Where what is known of a list was left: by this sync before, or by one of an audience that is served no more."""
    parked = view.sync_of(f"{standing.sync.mapping}{PARKED_MARK}{digest_of(target)}", standing.sync.audience)
    return parked if parked is not None else _unserved(view, standing, target, rulebook)


def _unserved(view: StateView, standing: Standing, target: Target, rulebook: Rulebook) -> SyncRow | None:
    digest = digest_of(target)
    if not digest:
        return None
    audiences = {one.id: one for one in view.audiences()}
    for other in view.syncs():
        if other.mapping != standing.sync.mapping or other.id == standing.sync.id:
            continue
        memory = read_memory(other.memory)
        known = read_target(memory.target)
        if known is None or not memory.has_run or digest_of(known) != digest:
            continue
        if standing_of(other, audiences, rulebook) is None:
            return other
    return None


def _begin(
    ledger: RunLedger,
    standing: Standing,
    memory: SyncMemory,
    target: Target,
    found: SyncRow | None,
    stop: Callable[[RunRow], None],
) -> None:
    """Let the sync's memory be that of the new list, and note what has to move."""
    tx, sync, now_us = ledger.tx, standing.sync, ledger.now_us
    before, parked = read_memory(found.memory) if found is not None else SyncMemory(), 0
    if memory.target:
        parked = _make_parked(ledger, standing, memory)
    if found is not None:
        for run in (tx.queued_run(found.id), tx.open_run(found.id)):
            if run is not None:
                stop(run)
        left = replace(before, has_run=False, last_upload_us=0, owes_resend=False, clears_old=False)
        tx.save_sync(replace(found, listed=0, listed_run=0, memory=encode_json(left)))
    kept = replace(
        _memory_of_list(memory, found, now_us),
        target=encode_json(target).decode(),
        moves_to=parked,
        moves_from=0 if found is None else found.id,
        clears_old=standing.options.on_target_change == "clear_old",
    )
    is_known = found is not None and _is_known(found, now_us)
    listed_run = found.listed_run if found is not None and is_known else 0
    tx.save_sync(replace(sync, listed=found.listed if found else 0, listed_run=listed_run, memory=encode_json(kept)))
    # A live run's few members are among those of the whole run that a new list begins with.
    ledger.run = replace(ledger.run, kind="" if ledger.run.kind == "live" else ledger.run.kind)
    ledger.progress = replace(ledger.progress, stage="move", after=0, line=_FIRST_LINE)
    told = {"sync": standing.name, "run_id": ledger.run.id, "on_target_change": standing.options.on_target_change}
    tx.when_committed(lambda: log.info("sync.target_changed", is_known=is_known, **told))


def _is_known(found: SyncRow, now_us: int) -> bool:
    """Whether what was left of a list can be relied on: somebody was on it, and it was left not too long ago."""
    return found.listed > 0 and not (found.deleted_us and now_us - found.deleted_us > DELETED_DAYS * DAY_US)


def _memory_of_list(memory: SyncMemory, found: SyncRow | None, now_us: int) -> SyncMemory:
    """The sync's memory as the first run for a list begins with it. found: where what is known of that list was left."""
    if found is None or not _is_known(found, now_us):
        return replace(memory, has_run=False, last_upload_us=0, owes_resend=False, mode="")
    before = read_memory(found.memory)
    return replace(
        memory, has_run=before.has_run, last_upload_us=before.last_upload_us, owes_resend=before.owes_resend,
        mode=before.mode,
    )  # fmt: skip


def _make_parked(ledger: RunLedger, standing: Standing, memory: SyncMemory) -> int:
    """The sync that keeps what was delivered to the list before; made where there is none of that list yet."""
    tx, sync, now_us = ledger.tx, standing.sync, ledger.now_us
    known = read_target(memory.target)
    assert known is not None, "only what has a target is parked"
    key = (f"{sync.mapping}{PARKED_MARK}{digest_of(known)}", sync.audience)
    number = tx.intern_syncs([key], now_us=now_us)[key]
    row = tx.sync(number)
    assert row is not None, "it was just made"
    kept = SyncMemory(
        last_upload_us=memory.last_upload_us, schedule=" ", mode=memory.mode, target=memory.target,
        owes_resend=memory.owes_resend, has_run=memory.has_run, log_days=memory.log_days, keeps_log=memory.keeps_log,
        is_parked=True,
    )  # fmt: skip
    tx.save_sync(
        replace(
            row, status="deleted", next_us=0, deleted_us=now_us, updated_us=now_us, listed=sync.listed,
            listed_run=sync.listed_run, last_run=0, memory=encode_json(kept),
        )
    )  # fmt: skip
    return number


def _close_parked(ledger: RunLedger, parked: int, *, clears_old: bool) -> None:
    """All of the old list is parked: it may be emptied now."""
    row = ledger.tx.sync(parked)
    assert row is not None, "it was made when the move began"
    memory = replace(read_memory(row.memory), clears_old=clears_old and not row.listed_run)
    ledger.tx.save_sync(replace(row, listed=ledger.tx.listed_count(parked), memory=encode_json(memory)))


def _park_page(ledger: RunLedger, sync: SyncRow, parked: int) -> bool:
    """Move one page of the sync's records away; False at their end."""
    tx, progress = ledger.tx, ledger.progress
    rows = tx.records(sync.id, after=(progress.after, progress.line), limit=MOVED_RECORDS)
    kept, dropped, moved = [], [], []
    for row in rows:
        if row.state != ABSENT:
            moved.append(delivered_of(row))
        blank = blank_of(row, ledger.now_us)
        if blank is None:
            dropped.append((row.member, row.line))
        else:
            kept.append(blank)
    tx.put_records(parked, moved)
    tx.put_records(sync.id, kept)
    tx.drop_records(sync.id, dropped)
    if rows:
        ledger.progress = replace(progress, after=rows[-1].member, line=rows[-1].line)
    return len(rows) == MOVED_RECORDS


def _take_page(tx: StateTx, sync: SyncRow, source: int) -> bool:
    """Take one page of delivered records over; False at their end."""
    rows = tx.records(source, limit=MOVED_RECORDS)
    here = {(row.member, row.line): row for row in tx.records_of(sync.id, (one.member for one in rows))}
    tx.put_records(sync.id, [taken_over(row, here.get((row.member, row.line))) for row in rows if row.state != ABSENT])
    tx.drop_records(source, [(row.member, row.line) for row in rows])
    return len(rows) == MOVED_RECORDS
