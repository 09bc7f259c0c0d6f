"""The pure part of deciding: frames of the inbox become a block of decided items, ready to be recorded together.

Nothing here asks the ledger or changes anything, so it may run ahead of what is being recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from gateway.core.arrivals import ITEM_AUDIENCE, ITEM_EVENT, Arrival, Item, read_frame
from gateway.core.decisions import Decision, IntendedDelivery, IntendedRecord, MembershipChange, Skipped
from gateway.core.events import Event, Place
from gateway.core.identities import deleted_people
from gateway.core.javascript import json_text
from gateway.core.reading import read_event
from gateway.core.routing import Router
from gateway.core.rulebook import Rulebook
from gateway.core.sources import Source, SourceKind
from gateway.core.summaries import Summary, write_summary
from gateway.core.sync_records import fingerprint
from gateway.store import FILES_PER_WRITER, writer_of
from gateway.store.api import InboxReader
from gateway.store.rows import FrameRow, NewDelivery, TraceRow

Position = tuple[int, int]  # (inbox file, frame)

BLOCK_ITEMS = 1_000  # items of one transaction; the last frame may go beyond, a frame is never split
READ_FRAMES_MAX = 512
READ_BYTES_MAX = 8 * 1024 * 1024  # of frame bodies read at once; a larger frame comes alone
DETAIL_CHARS_MAX = 300  # of a skip's messages in a trace

_encode = msgspec.json.Encoder().encode
_KINDS: dict[str, SourceKind] = {"server": "server", "browser": "browser", "webhook": "webhook"}


class Owed(msgspec.Struct, frozen=True, gc=False):
    """One intended delivery (see `IntendedDelivery`) with its texts written. Nothing of the event is held on to."""

    destination: str
    mapping: str
    operation: str
    member: str
    change: int | None
    identifiers: int | None
    needs_audience_id: bool
    payload: bytes
    audience_settings: bytes


class Kept(msgspec.Struct, frozen=True, gc=False):
    """One intended record (see `IntendedRecord`), rendered: digests of what the platform would know of the member.

    payload: b"" where there is none; then unmappable says why, if the member is in.
    """

    mapping: str
    change: int
    is_in: bool
    payload: bytes = b""
    fingerprint: bytes = b""
    entry: bytes = b""
    line: int = 0
    unmappable: str = ""
    event_settings: bytes = b""
    is_live: bool = False


Render = Callable[[str, str, dict[str, object]], tuple[bytes, bytes, int] | str]
"""(destination, mapping, payload) → (fingerprint, entry, line) of a member's record, or a code where there is none."""


def as_written(_destination: str, _mapping: str, payload: dict[str, object]) -> tuple[bytes, bytes, int] | str:
    """The rendering where nobody knows the platforms: a payload is what it is."""
    digest = bytes.fromhex(fingerprint(payload))[:16]
    return digest, digest, 0


class Decided(msgspec.Struct, frozen=True, gc=False):
    """One event, decided by the rulebook; the ledger has not been asked.

    It keeps no part of the event's body: thousands of small objects in every block would keep Python's collector busy.
    people: canonical ids of whoever the event could bring back. skipped: without those that just did not match, which
    are only counted in unmatched. warnings: of the reading and of the decision.
    """

    place: Place
    source: str
    space: str
    received_us: int
    at_us: int
    id_hash: int
    digest: int
    people: tuple[str, ...]
    changes: tuple[MembershipChange, ...]
    owed: tuple[Owed, ...]
    skipped: tuple[Skipped, ...]
    unmatched: int
    warnings: tuple[str, ...]
    deletions: tuple[str, ...]
    kept: tuple[Kept, ...] = ()
    type: str = ""


def new_delivery(owed: Owed, item: Decided, *, audience: int, member: int, now_us: int) -> NewDelivery:
    """The row of a delivery that is due now. audience, member: the ledger's integers, 0 for none."""
    return NewDelivery(
        owed.destination,
        owed.mapping,
        audience,
        member,
        owed.operation,
        owed.payload,
        item.place,
        item.at_us,
        now_us,
        owed.identifiers is not None,
        owed.identifiers or 0,
        owed.audience_settings,
    )


class Block(NamedTuple):
    """Items to be recorded together.

    after, upto: for each ingest process that has frames in it, the cursor before (None at first) and behind them.
    items: decided events, and the finished trace rows of what is no event or could not be decided, in inbox order.
    versions: of the mappings that keep lists, as they were when the items were decided.
    """

    after: dict[int, Position | None]
    upto: dict[int, Position]
    items: list[Decided | TraceRow]
    versions: Mapping[str, str] = MappingProxyType({})


class BlockReader:
    """Reads the inbox in order from its cursors and decides block after block. One thread at a time may use it.

    cursors: as the state keeps them, by ingest process; a process that is not among them is read from its beginning.
    """

    def __init__(
        self,
        inbox: InboxReader,
        rulebook: Callable[[], Rulebook],
        *,
        cursors: Mapping[int, Position],
        items_max: int = BLOCK_ITEMS,
        render: Render = as_written,
    ) -> None:
        self._inbox = inbox
        self._rulebook = rulebook
        self._router: Router | None = None
        self._versions: dict[str, str] = {}
        self._items_max = items_max
        self._render = render
        self._decided_to = dict(cursors)
        self._read_to = dict(cursors)
        self._frames: deque[FrameRow] = deque()

    def next_block(self) -> Block | None:
        """The next block, or None where the inbox has nothing more now. A new rulebook holds from here on."""
        router = self._current_router()
        items: list[Decided | TraceRow] = []
        upto: dict[int, Position] = {}
        try:
            while len(items) < self._items_max and (frame := self._next_frame()) is not None:
                decide_frame(frame, router, items, self._render)
                upto[writer_of(frame.inbox)] = (frame.inbox, frame.id)
        except (
            BaseException
        ):  # The inbox could not be read: nothing of this block was handed out, so all of it comes again.
            self._frames.clear()
            self._read_to = dict(self._decided_to)
            raise
        if not upto:
            return None
        after = {writer: self._decided_to.get(writer) for writer in upto}
        self._decided_to.update(upto)
        return Block(after, upto, items, self._versions)

    def backlog(self) -> tuple[int, int]:
        """(frames that no block was made of yet, arrival time in µs of the oldest of them or 0)."""
        waiting, oldest_us = 0, 0
        for writer in self._inbox.writers():
            frames, first_us = self._inbox.backlog(self._decided_to.get(writer, (writer * FILES_PER_WRITER, 0)))
            waiting += frames
            oldest_us = min(oldest_us or first_us, first_us or oldest_us)
        return waiting, oldest_us

    def _current_router(self) -> Router:
        rulebook = self._rulebook()
        if self._router is None or self._router.rulebook is not rulebook:
            self._router = Router(rulebook)
            self._versions = {
                mapping.key: mapping.version
                for destination in rulebook.destinations
                for mapping in destination.mappings
                if mapping.sync is not None
            }
        return self._router

    def _next_frame(self) -> FrameRow | None:
        if not self._frames:
            frames = self._inbox.read_merged(self._read_to, frames_max=READ_FRAMES_MAX, bytes_max=READ_BYTES_MAX)
            if not frames:
                return None
            self._frames.extend(frames)
            self._read_to.update((writer_of(frame.inbox), (frame.inbox, frame.id)) for frame in frames)
        return self._frames.popleft()


def decide_frame(frame: FrameRow, router: Router, items: list[Decided | TraceRow], render: Render = as_written) -> None:
    """Append every item of a frame, decided. Bytes that are no frame become one set-aside row, and the rest goes on."""
    try:
        arrivals = read_frame(frame.body)
    except msgspec.MsgspecError:  # Damaged frames come with an empty body, which is no frame either.
        place = Place(frame.inbox, frame.id, 0)
        items.append(_row(place, frame.received_us, "set_aside", Summary(code="unreadable_frame")))
        return
    ordinal = 0
    for arrival in arrivals:
        source = source_of(arrival, router.rulebook)
        for item in arrival.items:
            place = Place(frame.inbox, frame.id, ordinal)
            ordinal += 1
            if item.kind == ITEM_EVENT:
                items.append(decide_item(arrival, item, place, source, router, render))
            else:
                outcome = "audience" if item.kind == ITEM_AUDIENCE else "rejected"
                summary = Summary(code=item.code, pointer=item.pointer, warnings=item.warnings)
                items.append(_row(place, arrival.received_us, outcome, summary, arrival.source))


def decide_item(
    arrival: Arrival, item: Item, place: Place, source: Source, router: Router, render: Render = as_written
) -> Decided | TraceRow:
    """One event, decided. What fails where no rule foresaw it is set aside under the name of its fault."""
    try:
        event = read_event(arrival, item, place, source)
        return _compact(event, router.route(event), render)
    except Exception as error:  # noqa: BLE001  (one event must not hold up the rest; its trace names the fault)
        return set_aside(place, arrival.received_us, arrival.source, type(error).__name__)


def _compact(event: Event, decision: Decision, render: Render) -> Decided:
    skipped = tuple([_kept(skip) for skip in decision.skipped if skip.code != "not_matching"])
    return Decided(
        event.place,
        event.source,
        event.space,
        event.received_us,
        event.at_us,
        event.id_hash,
        event.digest,
        _people(event, decision),
        decision.changes,
        tuple([_owed(delivery) for delivery in decision.deliveries]),
        skipped,
        len(decision.skipped) - len(skipped),
        event.warnings + decision.warnings,
        decision.deletions,
        tuple([_rendered(record, render) for record in decision.records]),
        event.type,
    )


def _rendered(record: IntendedRecord, render: Render) -> Kept:
    settings = payload_text(record.event_settings) if record.event_settings else b""
    found: tuple[bytes, bytes, int] | str = record.unmappable
    if record.payload is not None:
        found = render(record.destination, record.mapping, record.payload)
    if record.payload is None or isinstance(found, str):
        code = str(found) if record.is_in else ""
        return Kept(
            record.mapping,
            record.change,
            record.is_in,
            unmappable=code,
            event_settings=settings,
            is_live=record.is_live,
        )
    text = payload_text(record.payload)
    return Kept(record.mapping, record.change, record.is_in, text, *found, "", settings, record.is_live)


def _kept(skip: Skipped) -> Skipped:
    """A skip as traces keep it: faults of fields may quote the event, so they go without; explaining tells them again."""
    if skip.code == "mapping_failed" or len(skip.detail) > DETAIL_CHARS_MAX:
        detail = "" if skip.code == "mapping_failed" else skip.detail[:DETAIL_CHARS_MAX]
        return msgspec.structs.replace(skip, detail=detail)
    return skip


def _people(event: Event, decision: Decision) -> tuple[str, ...]:
    """Everybody an event could bring back: its person, by both ids, and whoever else it changes."""
    anonymous_id = event.body.get("anonymousId")
    if len(decision.changes) < 2 and not anonymous_id:
        return (decision.person,) if decision.person else ()
    named = [decision.person, *deleted_people(event.body), *(change.member for change in decision.changes)]
    return tuple(dict.fromkeys(one for one in named if one))


def set_aside(place: Place, received_us: int, source: str, fault: str) -> TraceRow:
    """The trace of an event that could not be decided. fault: the name of an error, never its text, which may quote it."""
    return _row(place, received_us, "set_aside", Summary(code="fault:" + fault), source)


def source_of(arrival: Arrival, rulebook: Rulebook) -> Source:
    """The source of a request, of the kind it was when ingest took it. One that is no longer configured was known then."""
    source = rulebook.sources.get(arrival.source)
    if source is None:
        return Source(name=arrival.source, kind=_KINDS.get(arrival.source_kind, "webhook"))
    kind = _KINDS.get(arrival.source_kind, source.kind)
    return source if source.kind == kind else msgspec.structs.replace(source, kind=kind)


def payload_text(payload: dict[str, object]) -> bytes:
    """A payload as JSON text; numbers beyond 64 bits and undefined list items are written as JavaScript writes them."""
    try:
        return _encode(payload)
    except (TypeError, OverflowError, ValueError):
        return str(json_text(payload)).encode("utf-8", "replace")


def _owed(delivery: IntendedDelivery) -> Owed:
    settings = delivery.audience_settings
    return Owed(
        delivery.destination,
        delivery.mapping,
        delivery.operation,
        delivery.member,
        delivery.change,
        delivery.identifiers,
        delivery.needs_audience_id,
        payload_text(delivery.payload),
        payload_text(settings) if settings else b"",
    )


def _row(place: Place, received_us: int, outcome: str, summary: Summary, source: str = "") -> TraceRow:
    """A row without keys: nothing can be its duplicate."""
    return TraceRow(0, 0, place, received_us, outcome, write_summary(summary), source=source)
