"""Every question a room may ask of the store. Two databases answer: the inbox (ingest writes) and the state (engine writes).

Work on the state is a function of a transaction: `await state.write(work)` runs `work(tx)` on the one writing connection,
commits, and gives its result back; if `work` raises, nothing of it is kept. `await state.read(work)` runs on a read-only
connection that sees a consistent snapshot. `work` must not await, and must not touch anything but its arguments.
A second implementation has to pass `tests/store` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from gateway.core.events import Place
from gateway.store.alert_api import AlertTx, AlertView
from gateway.store.rows import (
    AttemptRow,
    AudienceRow,
    DeliveryRow,
    ForwardedRow,
    FrameRow,
    LaneRow,
    MembershipRow,
    NewDelivery,
    SeenKey,
    SeenVerdict,
    Settlement,
    TombstoneRow,
    TraceRow,
)
from gateway.store.sync_api import SyncTx, SyncView

T = TypeVar("T")


class InboxWriter(Protocol):
    """Keeps arrivals. One per ingest process, the only writer of its files."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes handed over and not yet committed."""

    async def put(self, encoded: bytes, items: int) -> None:
        """Return once the arrival (`encode_arrival`) is durable; it shares its commit with what arrives meanwhile.

        Raises StoreError when it cannot be kept now: buffer full, disk low, locked, read-only, closing.
        """

    async def close(self) -> None:
        """Commit what was handed over, checkpoint, close. Later `put`s raise StoreError."""


class InboxReader(Protocol):
    """Reads frames in order, across rotated files; never writes."""

    def read(self, after: tuple[int, int], *, frames_max: int, bytes_max: int) -> list[FrameRow]:
        """Frames of one ingest process after (inbox file, frame id), oldest first; at least one if there is one.

        (0, 0) is the beginning of the first. A damaged frame comes in its place, with a `problem` and no body.
        """

    def writers(self) -> list[int]:
        """Numbers of the ingest processes that have files."""

    def read_merged(self, cursors: Mapping[int, tuple[int, int]], *, frames_max: int, bytes_max: int) -> list[FrameRow]:
        """Frames of all ingest processes behind their cursors (`StateView.cursors`), by arrival between them."""

    def item(self, place: Place) -> bytes | None:
        """The frame's whole body that holds `place`, or None when it is no longer kept."""

    def backlog(self, after: tuple[int, int]) -> tuple[int, int]:
        """(frames not yet read, arrival time in µs of the oldest of them or 0)."""

    def drop_before(self, position: tuple[int, int], *, older_than_us: int) -> int:
        """Delete rotated files wholly before `position` whose last frame is older; return how many."""

    def close(self) -> None:
        """Let go of all files."""


class StateView(SyncView, AlertView, Protocol):
    """Questions that change nothing."""

    def cursor(self) -> tuple[int, int]:
        """(inbox file, frame) of the first ingest process up to which everything is decided; (0, 0) at first."""

    def cursors(self) -> dict[int, tuple[int, int]]:
        """The same for every ingest process (inbox writer) whose files were read, by its number."""

    def lanes(self) -> list[LaneRow]:
        """Standing and counts of every lane ever met."""

    def lane(self, lane: str) -> LaneRow:
        """Standing of one lane; a fresh one when it was never met."""

    def deliveries(
        self, *, lane: str = "", mapping: str = "", state: str = "", after_id: int = 0, limit: int = 100
    ) -> list[DeliveryRow]:
        """Unsettled or dead deliveries by id, filtered."""

    def mappings_due(self, lane: str) -> list[str]:
        """Mappings of a lane that have deliveries which wait to be claimed."""

    def delivery(self, delivery_id: int) -> DeliveryRow | None:
        """One that is still there (due, claimed or dead)."""

    def deliveries_of(self, member: int, *, limit: int = 100) -> list[DeliveryRow]:
        """What is owed of one person, dead ones too, by id; member: their number."""

    def forwarded_of(self, member: int) -> list[ForwardedRow]:
        """What lists hold of a person by forwarding, as it was sent; additions on their way are not among it."""

    def attempts(self, *, lane: str = "", before_id: int = 0, limit: int = 100) -> list[AttemptRow]:
        """Attempts, newest first."""

    def attempts_of(self, delivery: int, *, limit: int = 100) -> list[AttemptRow]:
        """Attempts that carried a delivery, newest first."""

    def traces(
        self, *, before: Place | None = None, outcome: str = "", source: str = "", limit: int = 100
    ) -> list[TraceRow]:
        """Traces, newest place first."""

    def trace(self, id_hash: int) -> list[TraceRow]:
        """All traces of one (source, message id), oldest first."""

    def traces_between(
        self, from_us: int, to_us: int, *, source: str = "", after: Place | None = None, limit: int = 1000
    ) -> list[TraceRow]:
        """Decided events that arrived in [from_us, to_us), by place, for replay."""

    def audiences(self) -> list[AudienceRow]:
        """All audiences with their member counts."""

    def audience(self, space: str, name: str) -> AudienceRow | None:
        """One audience by its space and name."""

    def audience_by_id(self, audience: int) -> AudienceRow | None:
        """One audience by its number."""

    def member_id(self, member_space: str, member: str) -> int | None:
        """The integer of a person met before (as deliveries carry it)."""

    def membership(self, audience: int, member_space: str, member: str) -> MembershipRow | None:
        """What the ledger holds of one person in one audience."""

    def members(self, audience: int, *, after: int = 0, limit: int = 1000) -> list[tuple[int, str, MembershipRow]]:
        """Members that are in: (member id, canonical id text, row) by member id."""

    def memberships_of(self, member_space: str, member: str) -> list[tuple[AudienceRow, MembershipRow]]:
        """Every audience the ledger connects a person with, in or out."""

    def tombstone(self, member_space: str, member: str) -> TombstoneRow | None:
        """Whether and when the person was deleted."""

    def note(self, key: str) -> bytes | None:
        """A small value kept by key (last good rulebook, tokens' meta …)."""


class StateTx(StateView, SyncTx, AlertTx, Protocol):
    """Questions and changes inside one transaction of the one writer."""

    def when_committed(self, tell: Callable[[], None]) -> None:
        """Call it, on the loop of whoever writes, once everything here is on disk; never where it is not kept."""

    # what the engine records -------------------------------------------------------------------------------------
    def move_cursor(self, inbox: int, frame: int) -> None:
        """Remember how far the inbox is decided."""

    def check_seen(self, keys: Sequence[SeenKey], *, now_us: int) -> list[SeenVerdict]:
        """Tell for each key, in order (keys of this call count too), whether it was met in the window; `add_traces` keeps it.

        "duplicate": same id and digest. "id_reused": same id, other digest.
        """

    def add_traces(self, rows: Sequence[TraceRow], *, now_us: int) -> None:
        """Keep what became of events; the rows also are what `check_seen` knows. A duplicate's trace is only counted."""

    def intern_audiences(
        self, keys: Iterable[tuple[str, str, str]], *, now_us: int
    ) -> dict[tuple[str, str], AudienceRow]:
        """(space, name, key) → rows by (space, name), made where missing; `key` is remembered as the latest."""

    def intern_members(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """(space, canonical id) → integer ids, made where missing."""

    def memberships(self, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], MembershipRow]:
        """Ledger rows of (audience, member) pairs that exist."""

    def save_memberships(self, rows: Sequence[MembershipRow]) -> None:
        """Write rows, replacing those of the same pair."""

    def tombstones(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """(space, canonical id) → deletion time of those that were deleted; cheap when there are none at all."""

    def add_tombstone(self, member_space: str, member: str, *, deleted_us: int) -> None:
        """Keep that a person was deleted, as a hash."""

    def take_forwarded(self, member_space: str, member: str) -> list[ForwardedRow]:
        """What lists may hold of a person by forwarding, to be removed there; it is forgotten here. Before `forget_member`.

        Additions on their way count, and those tried without an answer.
        """

    def forget_member(self, member_space: str, member: str) -> None:
        """Remove the person's identifiers, memberships, and unsent deliveries other than deletes.

        What a platform holds of them by a sync stays on record until it is erased there.
        """

    def add_deliveries(self, rows: Sequence[NewDelivery], *, now_us: int) -> int:
        """Store deliveries under consecutive ids; return the first id. `replaces` rows drop what they replace."""

    # what delivery settles ---------------------------------------------------------------------------------------
    def claim(
        self,
        lane: str,
        *,
        now_us: int,
        lease_until_us: int,
        events_max: int,
        bytes_max: int,
        mappings: Sequence[str] | None = None,
    ) -> list[DeliveryRow]:
        """Lease the oldest due deliveries of one mapping of the lane, in id order, to be sent as one batch.

        A delivery is left out while an earlier one of its (lane, member) is unsettled and not part of this claim before it
        (waiting, or claimed by another batch), so that a person's changes never overtake each other. member 0 is free.
        """

    def settle(self, settlements: Sequence[Settlement], attempt: AttemptRow | None, *, now_us: int) -> None:
        """Leave claimed deliveries as told: delivered rows go, due ones wait, dead ones stay; keep the attempt (id 0: given).

        What a forwarding mapping of a list put there by a delivered one is remembered until it is removed, for `take_forwarded`.
        """

    def release(self, ids: Sequence[int]) -> None:
        """Give claimed deliveries back, due at once, nothing counted."""

    def release_expired(self, *, now_us: int) -> int:
        """Give back every claim whose lease is over (all of them when now_us is large); return how many."""

    def next_due_us(self, lane: str) -> int | None:
        """When the earliest due delivery of the lane is due; None when there is none."""

    def save_lane(self, row: LaneRow) -> None:
        """Keep pause, hold and breaker of a lane (counts are not written)."""

    def retry_dead(
        self,
        *,
        lane: str = "",
        mapping: str = "",
        ids: Sequence[int] = (),
        reason_like: str = "",
        now_us: int,
        limit: int = 10_000,
    ) -> int:
        """Make dead deliveries due again with no failures; return how many. At least one filter must be given."""

    def bring_forward(
        self,
        *,
        lane: str = "",
        mapping: str = "",
        ids: Sequence[int] = (),
        reason_like: str = "",
        now_us: int,
        limit: int = 10_000,
    ) -> int:
        """Make deliveries due that wait for a later time, followers along; return how many. At least one filter must be given."""

    def drop_dead(self, *, ids: Sequence[int] = (), older_than_us: int = 0, limit: int = 10_000) -> int:
        """Delete dead deliveries by id or age; return how many."""

    def set_external_id(self, audience: int, external_id: str) -> None:
        """Remember a partner's id of an audience."""

    def put_note(self, key: str, value: bytes) -> None:
        """Keep a small value by key."""

    def prune(
        self, *, now_us: int, retain_seen_us: int, retain_dead_us: int, retain_attempts_us: int, retain_out_us: int
    ) -> int:
        """Delete what has outlived its time, in bounded pieces; return rows deleted (call again while > 0)."""


class StateStore(Protocol):
    """The engine's database."""

    async def write(self, work: Callable[[StateTx], T]) -> T:
        """Run `work` in a transaction on the writer; several small works may share one commit. StoreError when it cannot."""

    async def read(self, work: Callable[[StateView], T]) -> T:
        """Run `work` on a read-only snapshot."""

    async def close(self) -> None:
        """Finish what runs, checkpoint, close."""
