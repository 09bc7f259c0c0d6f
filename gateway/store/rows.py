"""The frozen rows that rooms get from the store. Times are Unix microseconds (`_us`) unless the name says otherwise."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.events import Place


class FrameRow(msgspec.Struct, frozen=True, array_like=True):
    """One commit group of the inbox. body: see `core/arrivals.py`; count: items in it.

    problem: why the frame cannot be read (then body is empty), else "": report it and pass on.
    """

    inbox: int
    id: int
    received_us: int
    count: int
    body: bytes
    problem: str = ""


class SeenKey(msgspec.Struct, frozen=True, array_like=True):
    """An event's place and its duplicate keys (signed 64-bit hashes)."""

    id_hash: int
    digest: int
    place: Place


SeenVerdict = Literal["new", "duplicate", "id_reused"]


class MembershipRow(msgspec.Struct, frozen=True, array_like=True):
    """What the ledger holds for one (audience, member).

    at_us: ordering time of the event that set it; arrived_us: its arrival; place: where its bytes lie.
    since_us: ordering time since when the state is what it is.
    """

    audience: int
    member: int
    is_member: bool
    at_us: int
    arrived_us: int
    since_us: int
    place: Place


class AudienceRow(msgspec.Struct, frozen=True, array_like=True):
    """A named set of people. space: the event's space_id, else the source; name: computation id, else key.

    key: the computation key last seen; first_us: when the ledger met it first. Read side only: members, the number in it;
    last_event_us: arrival of the last event that the ledger took, 0 before the first.
    """

    id: int
    space: str
    name: str
    key: str
    first_us: int
    external_id: str = ""
    members: int = 0
    last_event_us: int = 0


class NewDelivery(msgspec.Struct, frozen=True, array_like=True):
    """A delivery to be stored. lane, mapping: texts, interned by the store. member 0: order does not matter.

    replaces: list-shaped: unsent deliveries of the same (lane, mapping, audience, member, identifiers) are dropped for it.
    identifiers: hash of what the partner knows the member by, for that rule.
    payload: JSON text. event_at_us, place: of the causing event. run: the sync's run that planned it, 0 where it is forwarded.
    """

    lane: str
    mapping: str
    audience: int
    member: int
    operation: str
    payload: bytes
    place: Place
    event_at_us: int
    due_us: int
    replaces: bool = False
    identifiers: int = 0
    audience_settings: bytes = b""
    run: int = 0


DeliveryState = Literal["due", "claimed", "dead"]


class DeliveryRow(msgspec.Struct, frozen=True, array_like=True):
    """One thing owed to one destination. failures: attempts that failed so far. reason: of the last failure. run: as planned."""

    id: int
    lane: str
    mapping: str
    audience: int
    member: int
    operation: str
    payload: bytes
    place: Place
    event_at_us: int
    due_us: int
    state: DeliveryState
    failures: int
    created_us: int
    reason: str = ""
    status: int = 0
    audience_settings: bytes = b""
    run: int = 0


class ForwardedRow(msgspec.Struct, frozen=True, array_like=True):
    """Somebody whom a forwarding mapping put on a list, as it was sent. identifiers: see NewDelivery."""

    mapping: str
    audience: int
    member: int
    identifiers: int
    payload: bytes
    audience_settings: bytes


SettledAs = Literal["delivered", "due", "dead", "closed"]


class Settlement(msgspec.Struct, frozen=True, array_like=True):
    """How one claimed delivery is left. due_us: for "due"; counts: the failure uses up an attempt.

    closed: it goes like a delivered one, though it was not: its run keeps what became of it.
    """

    id: int
    settled: SettledAs
    due_us: int = 0
    counts: bool = True
    reason: str = ""
    status: int = 0


class AttemptRow(msgspec.Struct, frozen=True, array_like=True):
    """One request to a partner (or the refusal to make one). outcome: tag of the outcome, "mixed" when they differ.

    request, answer: masked one-line summaries, no personal data. deliveries: ids it carried.
    warnings: what the identifiers it carried look like, by the codes of `core/hash_linter.py`.
    """

    id: int
    lane: str
    mapping: str
    started_us: int
    duration_ms: int
    outcome: str
    status: int
    deliveries: tuple[int, ...]
    reason: str = ""
    request: str = ""
    answer: str = ""
    warnings: tuple[str, ...] = ()


class TraceRow(msgspec.Struct, frozen=True, array_like=True):
    """What became of one event. outcome: "decided", "duplicate", "rejected", "set_aside", "audience".

    summary: JSON text: warnings, changes as applied (audience, verdict), skipped mappings; without personal data.
    first_delivery, deliveries: ids first_delivery … first_delivery + deliveries - 1 are owed to it.
    duplicates: how often it came again (kept by the store; not written).
    id_hash 0: it has no key; a trace is kept, `check_seen` does not know it.
    """

    id_hash: int
    digest: int
    place: Place
    received_us: int
    outcome: str
    summary: bytes
    first_delivery: int = 0
    deliveries: int = 0
    source: str = ""
    duplicates: int = 0


class LaneRow(msgspec.Struct, frozen=True, kw_only=True):
    """A lane's standing. hold: why it is held ("unauthorized", "down_5_days" …) or "". breaker: "closed", "open", "half_open"."""

    lane: str
    paused: bool = False
    hold: str = ""
    hold_reason: str = ""
    held_us: int = 0
    breaker: str = "closed"
    breaker_us: int = 0
    failing_since_us: int = 0
    due: int = 0
    claimed: int = 0
    dead: int = 0
    oldest_due_us: int = 0


class TombstoneRow(msgspec.Struct, frozen=True, array_like=True):
    """A deleted person. member: hash of the space and canonical id; events with at_us before deleted_us are not applied."""

    member: bytes
    deleted_us: int
