"""Turns a kept event back into values: `read_event`, the only way to make an `Event`. Pure, and hot: every event once.

The sender's members stay as they are. Filled in are `type`, ids as text, `messageId`, `receivedAt`, the corrected
`timestamp` (the raw one stays as `originalTimestamp`), and what the envelope shares; nothing else is added.
"""

from __future__ import annotations

import hashlib

import msgspec

from gateway.core import event_times, mparticle, tolerant_json
from gateway.core.arrivals import Arrival, Item
from gateway.core.errors import EventError
from gateway.core.event_checks import ALIAS_FALLBACKS, MESSAGE_ID_CHARACTERS_MAX, effective_type
from gateway.core.events import Event, Place
from gateway.core.javascript import number_text
from gateway.core.sources import Source

ID_MEMBERS = ("userId", "anonymousId", "groupId", "previousId", "messageId")
NOT_IN_DIGEST = ("sentAt", "receivedAt", "_metadata", "writeKey", "integrations")

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_blake2b = hashlib.blake2b
_parse_us = event_times.parse_us


class _Shared(msgspec.Struct, frozen=True):
    """What a batch envelope gives to its events."""

    context: dict[str, object] | None = None
    integrations: dict[str, object] | None = None
    sent: tuple[object, object] = (None, None)


_NOTHING_SHARED = _Shared()


class _Last:
    """The envelope and arrival read last: the events of one request follow each other, so one of each is remembered.

    Each with what it was made from in one tuple: the engine decides in one thread while another replays or explains.
    """

    shared: tuple[bytes, _Shared] = (b"", _NOTHING_SHARED)
    received: tuple[int, str] = (-1, "")


def read_event(arrival: Arrival, item: Item, place: Place, source: Source) -> Event:
    """Read one accepted item. Raises EventError 400 `invalid_json` when its bytes are not what ingest accepts."""
    try:
        body, warnings, is_clean = tolerant_json.read(item.body)
    except ValueError as error:
        raise EventError(400, "invalid_json", "The kept bytes are not JSON.") from error
    if type(body) is not dict:
        raise EventError(400, "not_an_event", "The kept bytes are not a JSON object.")
    if source.format == "mparticle" and mparticle.looks_like(body):
        body = mparticle.as_track(body)
    given_type = body.get("type")
    kind = arrival.forced_type or (given_type if given_type == "track" else effective_type(body, ""))
    if type(kind) is not str:
        raise EventError(400, "missing_type", "The kept event has no `type`.")
    _take_ids(body, kind, item.body if is_clean else None)
    if not is_clean:
        body, oddities = _plain(body)
        warnings += oddities
    try:
        digest = _digest(body)
    except OverflowError:  # An integer beyond 64 bits, which msgspec reads but nothing after it can write.
        body, oddities = _plain(body)
        warnings += oddities
        digest = _digest(body)
    body["type"] = kind
    message_id = _message_id(body, place)
    if len(message_id) > MESSAGE_ID_CHARACTERS_MAX:
        warnings += ("long_message_id",)
    shared = _shared(arrival.shared) if arrival.shared else _NOTHING_SHARED
    at_us, is_bad_time = _take_times(body, shared, arrival.received_us)
    if shared is not _NOTHING_SHARED:
        _take_shared(body, shared)
    if is_bad_time:
        warnings += ("bad_timestamp",)
    return Event(
        source=source.name,
        source_kind=source.kind,
        space=source.space,
        place=place,
        type=kind,
        message_id=message_id,
        body=body,
        received_us=arrival.received_us,
        at_us=at_us,
        id_hash=id_hash(source.name, message_id),
        digest=digest,
        warnings=item.warnings + warnings if warnings else item.warnings,
    )


def _plain(body: dict[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """The event with its odd values mended, and what was odd."""
    mended, oddities = tolerant_json.mend(body)
    assert isinstance(mended, dict)  # An object stays one.
    return mended, oddities


def id_hash(source: str, message_id: str) -> int:
    """Signed 64-bit hash of (source, message id), by which duplicates and traces are found."""
    return int.from_bytes(_blake2b(f"{source}\0{message_id}".encode(), digest_size=8).digest(), "big", signed=True)


def derived_message_id(place: Place) -> str:
    """The message id of an event that came without one: where its bytes lie, so that every reading gives the same."""
    return f"gw-{place.inbox}-{place.frame}-{place.ordinal}"


# --- Ids ---


def _take_ids(body: dict[str, object], kind: str, text: bytes | None) -> None:
    """Make ids text, with every digit the sender wrote. text: the event's bytes, when msgspec has read `body` from them."""
    if kind == "alias":
        for name, spelled in ALIAS_FALLBACKS:
            if body.get(name) is None and body.get(spelled) is not None:
                body[name] = body[spelled]
    for name in ID_MEMBERS:
        value = body.get(name)
        if value is not None and type(value) is not str:
            body[name] = _digits(value, name, text)


def _digits(value: object, name: str, text: bytes | None) -> object:
    """A number as the text of its digits; other values as they are. msgspec rounds integers beyond 64 bits, ids must not."""
    if type(value) is float and text is not None:
        exact = tolerant_json.parse(text)[0]
        value = exact[name] if isinstance(exact, dict) and type(exact.get(name)) is int else value
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return str(int(value)) if value.is_integer() else number_text(value)
    return value


def _message_id(body: dict[str, object], place: Place) -> str:
    """The event's message id, filled in: the sender's, RudderStack's old `message_id`, else one made from the place."""
    for name in ("messageId", "message_id"):
        value = body.get(name)
        if type(value) is str and value and not value.isspace():
            break
    else:
        value = derived_message_id(place)
    body["messageId"] = value
    return value


# --- Digest ---


def _digest(body: dict[str, object]) -> int:
    """Signed 64-bit hash of the content: without what changes when the same event is sent again."""
    content = body.copy()
    for name in NOT_IN_DIGEST:
        content.pop(name, None)
    if content.get("originalTimestamp") is not None:
        content.pop("timestamp", None)
    context = content.get("context")
    if type(context) is dict and "library" in context:
        content["context"] = {name: value for name, value in context.items() if name != "library"}
    return int.from_bytes(_blake2b(_encode(content), digest_size=8).digest(), "big", signed=True)


# --- Time ---


def _take_times(body: dict[str, object], shared: _Shared, received_us: int) -> tuple[int, bool]:
    """Fill in `timestamp`, `originalTimestamp` and `receivedAt`; give the ordering time and whether one was unreadable."""
    get = body.get
    timestamp = get("timestamp")
    upstream = get("receivedAt")
    stamp_us = None if timestamp is None else _parse_us(timestamp)
    upstream_us = None
    if upstream is not None:
        upstream_us = stamp_us if upstream == timestamp else _parse_us(upstream)
    if upstream_us is not None and stamp_us is not None:  # Corrected by whoever forwarded it; never correct twice.
        if type(timestamp) is not str or not event_times.is_in_output_form(timestamp):
            body["timestamp"] = event_times.iso_text(stamp_us)
        return min(stamp_us, received_us), False
    times = event_times.corrected(
        original=get("originalTimestamp"),
        timestamp=timestamp,
        sent=get("sentAt"),
        envelope_sent=shared.sent,
        received_us=received_us,
    )
    if timestamp is not None and get("originalTimestamp") is None:
        body["originalTimestamp"] = timestamp
    body["timestamp"] = event_times.iso_text(times.timestamp_us)
    if upstream_us is None:
        body["receivedAt"] = _received_text(received_us)
    return min(times.timestamp_us, received_us), times.is_bad or (upstream is not None and upstream_us is None)


def _received_text(received_us: int) -> str:
    last = _Last.received
    if last[0] != received_us:
        last = _Last.received = (received_us, event_times.iso_text(received_us))
    return last[1]


# --- What the envelope shares ---


def _shared(text: bytes) -> _Shared:
    last = _Last.shared
    if text is not last[0] and text != last[0]:
        last = _Last.shared = (text, _read_shared(text))
    return last[1]


def _read_shared(text: bytes) -> _Shared:
    try:
        record = tolerant_json.mend(tolerant_json.read(text)[0])[0]
    except ValueError:
        return _Shared()
    if not isinstance(record, dict):
        return _Shared()
    context, integrations = record.get("context"), record.get("integrations")
    return _Shared(
        context if isinstance(context, dict) else None,
        integrations if isinstance(integrations, dict) else None,
        (record.get("sentAt"), record.get("timestamp")),
    )


def _take_shared(body: dict[str, object], shared: _Shared) -> None:
    for name, given in (("context", shared.context), ("integrations", shared.integrations)):
        if given:
            own = body.get(name)
            if own is None:
                body[name] = _merged({}, given)
            elif isinstance(own, dict):
                body[name] = _merged(own, given)


def _merged(own: dict[str, object], given: dict[str, object]) -> dict[str, object]:
    """Both objects as one, recursively: the event's own values win, arrays are not merged."""
    merged = dict(own)
    for name, value in given.items():
        mine = merged.get(name)
        if isinstance(value, dict):
            if name not in merged:
                merged[name] = _merged({}, value)
            elif isinstance(mine, dict):
                merged[name] = _merged(mine, value)
        elif name not in merged:
            merged[name] = value
    return merged
