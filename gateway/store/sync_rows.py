"""The frozen rows of syncs, their records and their runs. Times are Unix microseconds (`_us`)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from gateway.core.events import Place

OUT: Final = 0
IN: Final = 1
ERASED: Final = 2
Standing = Literal[0, 1, 2]
"""Of a member in a sync: out, in (and a matching event gave a payload or failed to), or deleted and still to be erased."""

ABSENT: Final = 0
PRESENT: Final = 1
ASSUMED: Final = 2
UNSURE: Final = 3
Listed = Literal[0, 1, 2, 3]
"""What the platform holds of a member: nothing, what it confirmed, what we believe, or nobody knows."""

IN_THE_MAKING: Final = "~"
SEVERAL_VERSIONS: Final = "*"

SyncStatus = Literal["active", "paused", "errored", "deleting", "deleted"]
RunStatus = Literal[
    "queued", "planning", "sending", "held", "succeeded", "partial", "failed", "skipped", "cancelled", "interrupted"
]


class SyncRow(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping and one audience, kept equal to one list at a platform.

    status_error: one sentence, where status is errored. next_us: the next tick, 0 for none. listed: members whose state is
    other than absent. listed_run: for platforms that take whole lists, the run whose list they hold. event_settings: audience
    settings as the latest event said them, JSON. memory: what the scheduler remembers, JSON of its own. rendering: the
    mapping's version that all its records were made by, "" before they were made whole, SEVERAL_VERSIONS where several made them,
    or left some out; behind IN_THE_MAKING while they are made anew.
    """

    id: int
    mapping: str
    audience: int
    status: SyncStatus = "active"
    status_error: str = ""
    next_us: int = 0
    created_us: int = 0
    updated_us: int = 0
    last_run: int = 0
    last_synced_us: int = 0
    last_success_us: int = 0
    deleted_us: int = 0
    listed: int = 0
    listed_run: int = 0
    event_settings: bytes = b""
    memory: bytes = b""
    rendering: str = ""


class WantedRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A member is in, and this is what one event wants listed of them.

    line: 0, or the number of one of several lines of the member. fingerprint, entry: digests of the rendered record and of its
    identifiers alone. unmappable: why the event gave no payload; then the older payload stays, if there is one.
    """

    sync: int
    member: int
    line: int
    at_us: int
    place: Place
    payload: bytes
    fingerprint: bytes
    entry: bytes
    unmappable: str = ""


class ExitRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A member is out. payload, fingerprint, entry: of the exit event, kept only where nothing was known of the member."""

    sync: int
    member: int
    at_us: int
    place: Place
    payload: bytes = b""
    fingerprint: bytes = b""
    entry: bytes = b""
    is_unknown: bool = False


class RecordRow(msgspec.Struct, frozen=True, array_like=True):
    """What a sync knows of one member (or of one line of theirs).

    payload, fingerprint, entry: wanted. sent, sent_fingerprint, sent_entry: as last accepted (or attempted, where unsure).
    unmappable: the latest event gave no payload, and why. more: JSON object of what is rare (`RecordMore`), b"" for nothing.
    """

    member: int
    line: int
    standing: Standing
    state: Listed
    at_us: int
    place: Place
    payload: bytes
    fingerprint: bytes
    entry: bytes
    sent: bytes
    sent_fingerprint: bytes
    sent_entry: bytes
    unmappable: str
    more: bytes
    changed_us: int
    run: int


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a sync. scheduled_us: its tick, 0 for none. counters, progress: JSON, the runner's own.

    reason: why it was skipped, held or failed. approved_by: who let a held one go. config: digest of what it was planned with.
    """

    id: int
    sync: int
    kind: str
    trigger: str
    status: RunStatus = "queued"
    scheduled_us: int = 0
    missed: int = 0
    coalesced: int = 0
    queued_us: int = 0
    due_us: int = 0
    started_us: int = 0
    finished_us: int = 0
    reason: str = ""
    approved_by: str = ""
    config: str = ""
    counters: bytes = b""
    progress: bytes = b""


class PlannedRow(msgspec.Struct, frozen=True, array_like=True):
    """One operation of a run that is not settled yet, or one record to be stored before anything is sent.

    phase: order of work; a phase begins when the one before it is done. body: msgpack, the runner's own.
    delivery: 0 until it is released to its lane.
    """

    id: int
    run: int
    phase: int
    member: int
    body: bytes
    delivery: int = 0


class RowResult(msgspec.Struct, frozen=True, array_like=True):
    """One line of the sync log. member_ref: keyed hash. fields: names. fingerprints: first 8 hex digits."""

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
    fingerprint_before: str = ""
    fingerprint_after: str = ""
    fields: str = ""


class ListChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a whole list says of one person. operation: add, update, remove, erase (of somebody deleted, member 0), "" for none.

    line: 0, or the number of one of several lines of the member. payload: JSON text, b"" where it is known no more.
    before, after: the first 8 hex digits of the fingerprints.
    """

    member: int
    line: int
    operation: str
    payload: bytes
    before: str = ""
    after: str = ""


class RecordShares(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes up the difference between an audience and its list, in records.

    to_add: those who share an entry with another member among them. gone_and_listed: to be removed, or retained where the mode
    never removes. members_in: each once. waiting: records a run may have something to do with. unmappable: by code. problems:
    (kind, code, records) of others, most first. older: listed by a run of another version of the mapping.
    """

    members_in: int = 0
    waiting: int = 0
    to_add: int = 0
    to_update: int = 0
    gone_and_listed: int = 0
    to_erase: int = 0
    unsure: int = 0
    unmappable: dict[str, int] = {}
    problems: list[tuple[str, str, int]] = []
    older: int = 0


class UnsentPage(msgspec.Struct, frozen=True, kw_only=True):
    """What some of the records that wait for a run tell.

    shared: in and not listed, with identifiers that another member holds. oldest_us: when the oldest of what is not sent yet
    changed, 0 where there is nothing. last: (member, line) to go on behind, None at the end.
    """

    shared: int = 0
    oldest_us: int = 0
    last: tuple[int, int] | None = None

    def joined(self, before: UnsentPage) -> UnsentPage:
        """With a page before it."""
        since = [one for one in (self.oldest_us, before.oldest_us) if one]
        return UnsentPage(shared=self.shared + before.shared, oldest_us=min(since, default=0), last=self.last)


class ResultCount(msgspec.Struct, frozen=True, array_like=True):
    """Lines of one run's log that ended the same way. message: of one of them."""

    stage: str
    status: str
    code: str
    http_status: int
    count: int
    message: str


class SnapshotRow(msgspec.Struct, frozen=True, array_like=True):
    """One run's kept snapshot. members: records that were other than absent. packed_bytes: compressed."""

    sync: int
    run: int
    finished_us: int
    members: int
    packed_bytes: int
