"""What syncs keep in the store as blobs of their own: a run's progress, a sync's memory, an operation, the rare of a record."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from gateway.core.guards import Finding, PlanFacts
from gateway.core.run_counters import RunCounters
from gateway.core.sync_effects import Result
from gateway.core.sync_entries import Member, Membership
from gateway.core.sync_options import Mode
from gateway.core.sync_plan import Planned, owes_resend_after
from gateway.core.sync_records import Entry, Record, RecordProblem, State, Unmappable
from gateway.store.sync_rows import ABSENT, ASSUMED, ERASED, IN, OUT, PRESENT, UNSURE, Listed, RecordRow, Standing

MEMBER_DIGITS: Final = 19  # member numbers as keys that sort as the numbers do

RECEIVE: Final = 0  # records that take an entry over are stored before those that let it go
KEEP: Final = 1
ERASE: Final = 2
REMOVE: Final = 3
PUT: Final = 4
LIST: Final = 5  # one row, for the upload of a whole list
SENT_FROM: Final = ERASE

Stage = Literal[
    "start",
    "move",
    "refresh",
    "count",
    "plan",
    "freeze",
    "judge",
    "shelve",
    "keep",
    "send",
    "tell",
    "mark",
    "strip",
    "snap",
    "close",
    "undo",
]
"""Where a run stands. start: nothing done. move: another list is kept from now on, and what was delivered to the one before is
put away. refresh: records made anew after an edit. count: how long the list is. plan, freeze: page by page.
judge: guards. shelve: a plan that they stopped is taken out. keep: records that change without a request. send.
tell: of a whole list that was sent or stopped, who was meant. mark, strip: after it was taken. undo: what was planned is taken
out. snap: the list as it is now is kept. close."""

_states: dict[Listed, State] = {ABSENT: "absent", PRESENT: "present", ASSUMED: "assumed", UNSURE: "unsure"}
_numbers: dict[State, Listed] = {word: number for number, word in _states.items()}
_memberships: dict[Standing, Membership] = {OUT: "out", IN: "in", ERASED: "erased"}


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How far a frozen list is compared with the one before. before: that one's run, 0 for none.

    size, new: entries looked at, and those that the one before lacks. gone: entries of the one before that are no more, looked
    for once is_turned. entry: the last one looked at, in hex. is_whole: both ways were gone.
    """

    before: int = 0
    size: int = 0
    new: int = 0
    gone: int = 0
    entry: str = ""
    is_turned: bool = False
    is_whole: bool = False


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A run's way so far. after: the last member planned, frozen or marked. entry: the last one stripped, in hex.

    facts, findings: of the plan. outcome, message: how a whole list ended, and in words. ends_as: the status decided on before
    the close ("" lets the counters decide). earlier: what attempts of the whole list have come to. settings: JSON text of the
    audience settings that the run's deliveries go out with, whatever the files say by then. line: beside after, where members have
    several.
    planned_us: when the plan was whole. mode: when the run began; an edit meanwhile is for the next run.
    everybody: the plan looks at members with nothing to do, too, because the sync's log names them.
    digest: of the operations planned so far, in hex; see `planner.digested`. first_request_us: when the first of its requests
    went out; last_answer_us: when the last answer was taken in. upload: the delivery that took a whole list, 0 before.
    http_status: of its last answer. is_turned: whom the new list names was told, and whom it drops is being told.
    """

    stage: Stage = "start"
    after: int = 0
    line: int = 0
    settings: str = ""
    planned_us: int = 0
    mode: Mode | Literal[""] = ""
    everybody: bool = False
    digest: str = ""
    entry: str = ""
    facts: PlanFacts | None = None
    findings: tuple[Finding, ...] = ()
    outcome: str = ""
    message: str = ""
    ends_as: str = ""
    earlier: Result | None = None
    compared: Compared | None = None
    distinct: int = 0
    considered_us: int = 0
    judged: int = 0
    judged_rejected: int = 0
    log_left: int = 0
    part: int = 0
    first_request_us: int = 0
    last_answer_us: int = 0
    upload: int = 0
    http_status: int = 0
    is_turned: bool = False


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which list a sync keeps. id: the platform's. finders: settings by which it is found while no id is known.

    accounts: other settings that a list cannot do without. settings: all of them, so that a list can be sent to later.
    """

    id: str = ""
    finders: dict[str, str] = {}
    accounts: dict[str, str] = {}
    settings: dict[str, object] = {}


class SyncMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync remembers of its runs. schedule: as last seen. mode, target: of the last run.

    said_mode, said_schedule: as the mapping says them, for those who look without its files; the schedule in words.
    seen_version: of the mapping that was in force last.

    owes_resend: see `core/sync_plan.py`. all_added_us: start of the last run that added everybody. log_days, keeps_log,
    snapshots: of the mapping as last seen, for the janitor and for the run that meets another number.
    target: JSON text of a `Target`. moves_to, moves_from: the syncs that what was delivered goes to, and comes from, while the
    sync turns to another list. is_parked: it keeps what was delivered to a list that its mapping has left; clears_old: people
    are taken off that list. deleted_by: whether the entry was taken out of the files. left_after: since it is back, up to which
    member the records know who left meanwhile. misses_events: the entry was out, for however short a time, and the records have
    not made up for it yet.
    """

    last_upload_us: int = 0
    schedule: str = ""
    mode: str = ""
    said_mode: str = ""
    said_schedule: str = ""
    seen_version: str = ""
    target: str = ""
    owes_resend: bool = False
    all_added_us: int = 0
    has_run: bool = False
    log_days: int | None = None
    keeps_log: bool = True
    snapshots: int = 0
    delete_after: Literal["", "clear", "clear_while_paused"] = ""
    deleted_by: Literal["", "file", "file_while_paused"] = ""
    left_after: int = 0
    misses_events: bool = False
    moves_to: int = 0
    moves_from: int = 0
    clears_old: bool = False
    is_parked: bool = False


class RecordMore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is rare in a record. remembered: JSON text of what the platform gave for the member."""

    orphans: tuple[Entry, ...] = ()
    problem: RecordProblem | None = None
    remembered: bytes = b""
    unknown_exit: bool = False


class OperationBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One planned operation on its way. results: of the takes so far. earlier: what attempts of the present part came to.

    record, settles_exit: for rows that only store something. before: fingerprint of what was listed, for the log.
    """

    planned: Planned | None = None
    results: tuple[Result, ...] = ()
    earlier: Result | None = None
    record: Record | None = None
    settles_exit: bool = False
    attempts: int = 0
    first_us: int = 0
    before: str = ""


_progress = msgspec.json.Decoder(Progress)
_memory = msgspec.json.Decoder(SyncMemory)
_counters = msgspec.json.Decoder(RunCounters)
_more = msgspec.json.Decoder(RecordMore)
_target = msgspec.json.Decoder(Target)
_body = msgspec.msgpack.Decoder(OperationBody)
encode_body = msgspec.msgpack.Encoder().encode
encode_json = msgspec.json.Encoder().encode


def read_progress(blob: bytes) -> Progress:
    """A run's progress; the beginning for none."""
    return _progress.decode(blob) if blob else Progress()


def read_memory(blob: bytes) -> SyncMemory:
    """A sync's memory; empty for none."""
    return _memory.decode(blob) if blob else SyncMemory()


def with_mode(memory: SyncMemory, mode: Mode) -> SyncMemory:
    """A sync's memory with today's mode in it; leaving subtractive mode owes a resend."""
    if memory.mode == mode:
        return memory
    owes = memory.owes_resend or (
        memory.mode == "subtractive" and owes_resend_after(old_mode="subtractive", new_mode=mode)
    )
    return replace(memory, mode=mode, owes_resend=owes)


def read_target(text: str) -> Target | None:
    """A list that a sync remembers; None before its first run."""
    return _target.decode(text) if text else None


def read_counters(blob: bytes) -> RunCounters:
    """A run's counters; zeros for none."""
    return _counters.decode(blob) if blob else RunCounters()


def read_body(blob: bytes) -> OperationBody:
    """A planned operation."""
    return _body.decode(blob)


def read_more(blob: bytes) -> RecordMore:
    """What is rare in a record."""
    return _more.decode(blob) if blob else RecordMore()


def encode_more(more: RecordMore) -> bytes:
    """What is rare in a record, as it is stored: nothing for nothing."""
    return b"" if more == RecordMore() else encode_json(more)


def member_key(member: int) -> str:
    """A member's key in the planner: sorts as the numbers do."""
    return str(member).zfill(MEMBER_DIGITS)


def record_of(row: RecordRow) -> Record:
    """A stored record as the planner knows it."""
    more = read_more(row.more)
    sent = None
    if row.state != ABSENT:
        sent = Entry(
            identity=row.sent_entry.hex(),
            fingerprint=row.sent_fingerprint.hex(),
            payload=row.sent,
            remembered=more.remembered,
        )
    return Record(
        state=_states[row.state], sent=sent, orphans=more.orphans, problem=more.problem, changed_us=row.changed_us
    )


def member_of(row: RecordRow) -> Member:
    """A stored record as a member to plan about."""
    more = read_more(row.more)
    is_unknown_exit = more.unknown_exit and row.standing == OUT
    rendered: Entry | Unmappable | None = None
    if row.standing == IN and row.unmappable:
        rendered = Unmappable(code=row.unmappable)
    elif row.entry and (row.standing == IN or is_unknown_exit):
        rendered = Entry(identity=row.entry.hex(), fingerprint=row.fingerprint.hex(), payload=row.payload)
    return Member(
        key=member_key(row.member),
        membership=_memberships[row.standing],
        rendered=rendered,
        record=record_of(row),
        unknown_exit=is_unknown_exit,
    )


def orphans_of(row: RecordRow) -> list[bytes]:
    """Identities that a list may still hold of a member beside the one that was sent last."""
    return [bytes.fromhex(orphan.identity) for orphan in read_more(row.more).orphans]


def was_erasure_tried(row: RecordRow) -> bool:
    """Whether a deleted person's erasure was asked for and did not get through."""
    problem = read_more(row.more).problem
    return problem is not None and problem.op == "erase"


def with_record(row: RecordRow, record: Record, *, run: int, settles_exit: bool = False) -> RecordRow | None:
    """The stored record with the planner's record in it; None where nothing is left to be kept."""
    sent = record.sent
    is_unknown_exit = read_more(row.more).unknown_exit and row.standing == OUT and not settles_exit
    more = RecordMore(
        orphans=record.orphans,
        problem=record.problem,
        remembered=sent.remembered if sent is not None else b"",
        unknown_exit=is_unknown_exit,
    )
    if row.standing != IN and not record.is_listed and not is_unknown_exit:
        return None
    return replace(
        row,
        state=_numbers[record.state],
        sent=sent.payload if sent is not None else b"",
        sent_fingerprint=bytes.fromhex(sent.fingerprint) if sent is not None else b"",
        sent_entry=bytes.fromhex(sent.identity) if sent is not None else b"",
        more=encode_more(more),
        changed_us=record.changed_us or row.changed_us,
        run=run,
    )
