"""The audience ledger's rules: which audience a change means, which of two events wins, which entry of a mapping serves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from gateway.core.decisions import MembershipChange
from gateway.core.events import Place

ANY_AUDIENCE = "*"  # the entry of a mapping's `audiences` that serves every audience without its own
LATE_WINDOW_US = 30 * 24 * 3_600 * 1_000_000  # as long as tombstones of members that left are kept

Word = Literal["entered", "left", "unknown_exit", "repeat", "stale", "too_late", "deleted"]


class Standing(Protocol):
    """What the ledger holds of one member in one audience; the store's row is one."""

    @property
    def is_member(self) -> bool:
        """In, or out."""

    @property
    def at_us(self) -> int:
        """Ordering time of the event that set it."""

    @property
    def arrived_us(self) -> int:
        """Arrival of that event."""

    @property
    def place(self) -> Place:
        """Where that event's bytes lie."""

    @property
    def since_us(self) -> int:
        """Ordering time since when the state is what it is."""


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one change. applied: the ledger takes its time and state; forwarded: destinations hear of it."""

    word: Word
    applied: bool
    forwarded: bool


ENTERED = Verdict("entered", applied=True, forwarded=True)
LEFT = Verdict("left", applied=True, forwarded=True)
UNKNOWN_EXIT = Verdict("unknown_exit", applied=True, forwarded=True)
REPEAT = Verdict("repeat", applied=True, forwarded=True)
STALE = Verdict("stale", applied=False, forwarded=False)
STALE_AGREES = Verdict("stale", applied=False, forwarded=True)
TOO_LATE = Verdict("too_late", applied=False, forwarded=False)
TOO_LATE_AGREES = Verdict("too_late", applied=False, forwarded=True)
DELETED = Verdict("deleted", applied=False, forwarded=False)


def apply_change(
    current: Standing | None,
    *,
    is_member: bool,
    at_us: int,
    arrived_us: int,
    place: Place,
    audience_first_us: int,
    deleted_us: int | None = None,
    late_window_us: int = LATE_WINDOW_US,
) -> Verdict:
    """Latest wins: by ordering time, then arrival, then place; of two equal ones the later call wins.

    current: the ledger's row, None for a member never met (or forgotten). deleted_us: when the person was deleted.
    audience_first_us: since when the ledger knows the audience. Only behind a window's length of it can the row of a
    member that left be gone, so only there is an old event of an unknown member `too_late`.
    A change that is not applied is forwarded all the same where it says what the ledger says.
    """
    if deleted_us is not None and at_us < deleted_us:
        return DELETED
    if current is None:
        if arrived_us - at_us > late_window_us and arrived_us - audience_first_us > late_window_us:
            return TOO_LATE if is_member else TOO_LATE_AGREES
        return ENTERED if is_member else UNKNOWN_EXIT
    same = is_member is current.is_member
    if at_us < current.at_us or (at_us == current.at_us and (arrived_us, place) < (current.arrived_us, current.place)):
        return STALE_AGREES if same else STALE
    if same:
        return REPEAT
    return ENTERED if is_member else LEFT


def agrees(current: Standing | None, *, is_member: bool) -> bool:
    """The ledger says of the member what the change says; a member never met counts as out."""
    return is_member is (current is not None and current.is_member)


def audience_name(change: MembershipChange) -> str:
    """The ledger's name of the audience within its space: the computation id, else the key."""
    return change.computation_id or change.audience_key


def audience_entry(
    audiences: Mapping[str, dict[str, object]], change: MembershipChange | None
) -> dict[str, object] | None:
    """The entry of a mapping's `audiences` that serves a change: its id, its key, then `*`; None where none does."""
    if change is not None:
        for name in (change.computation_id, change.audience_key):
            if name and name in audiences:
                return audiences[name]
    return audiences.get(ANY_AUDIENCE)
