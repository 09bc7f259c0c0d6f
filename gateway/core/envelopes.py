"""Takes a request's body apart: where its events lie, which key stands in it, what its events share.

The first of two steps, because a write key may stand in the body: opening comes before the sender is known, checking
(`items.py`) after. Values are skipped over, not decoded; clean JSON is msgspec's, the rest
is found by a scanner that nesting cannot hurt.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from gateway.core import json_slices, mparticle, tolerant_json
from gateway.core.errors import EventError
from gateway.core.event_checks import Limits
from gateway.core.tolerant_json import DEPTH_MAX, TooDeepError

LIMITS = Limits(
    event_bytes_max=512 * 1024,
    single_bytes_max=10 * 1024 * 1024,
    batch_bytes_max=10 * 1024 * 1024,
    events_max=10_000,
    webhook_events_max=10_000,
)
STRICT_LIMITS = Limits(  # Segment HTTP API, "Max request size" and "Batch"; Webhooks (Actions), "Batch size"
    event_bytes_max=32 * 1024,
    single_bytes_max=32 * 1024,
    batch_bytes_max=500 * 1024,
    events_max=2_500,
    webhook_events_max=4_000,
    is_strict=True,
)

BOM = b"\xef\xbb\xbf"
CREDENTIALS: Final = frozenset({"writeKey", "secret"})
SHARED_MEMBERS = ("context", "integrations", "sentAt", "timestamp")


_ABSENT = msgspec.Raw()  # An optional type will not do: beside null, msgspec takes Raw for nothing else.


class _AnObject(msgspec.Struct, gc=False):
    """Any JSON object: msgspec checks that it is one and skips what is in it."""


class Glance(msgspec.Struct, gc=False):
    """What has to be seen of an event to accept it without a closer look. A decoding error means: look closer."""

    type: str | None = None
    userId: str | None = None  # noqa: N815 (the sender's spelling, as below)
    anonymousId: str | None = None  # noqa: N815
    event: str | None = None
    messageId: str | None = None  # noqa: N815
    properties: _AnObject | None = None
    traits: _AnObject | None = None
    context: _AnObject | None = None
    writeKey: str | None = None  # noqa: N815
    secret: str | None = None
    json: msgspec.Raw = _ABSENT


class _Batch(msgspec.Struct, gc=False):
    batch: list[msgspec.Raw]
    writeKey: str | None = None  # noqa: N815
    secret: str | None = None
    context: msgspec.Raw = _ABSENT
    integrations: msgspec.Raw = _ABSENT
    sentAt: msgspec.Raw = _ABSENT  # noqa: N815
    timestamp: msgspec.Raw = _ABSENT


Route = Literal["single", "batch", "webhook"]  # what a body may be: one event, an envelope, or whatever a webhook posts


class Opened(msgspec.Struct, kw_only=True):
    """A request's events before they are checked.

    pieces: the bytes of each event. keys: what stands for a write key in the body, in the order in which the first one
    present decides; a value that is no text is "". shared: see `Arrival`. glance: of a single event, when it was clean.
    shape: what the body was. ignored: parts that are no event for us (mParticle's other event types).
    """

    pieces: list[bytes]
    keys: list[str]
    shape: Literal["single", "batch", "array", "mparticle"]
    shared: bytes = b""
    glance: Glance | None = None
    ignored: int = 0


glance_at = msgspec.json.Decoder(Glance).decode
_batch = msgspec.json.Decoder(_Batch).decode
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


# --- Opening ---


def cleaned(body: bytes) -> bytes:
    """The body without a byte-order mark. Raises EventError for an empty body and for anything but UTF-8."""
    body = body.removeprefix(BOM)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise EventError(400, "invalid_encoding", f"Body is not UTF-8 (byte {error.start}).") from error
    if b"\0" in body[:2]:
        raise EventError(400, "invalid_encoding", "Body looks like UTF-16 or UTF-32; send UTF-8.")
    if not body or body.isspace():
        raise EventError(400, "empty_body", "Body is empty.")
    return body


def open_quickly(text: bytes, route: Route) -> Opened | None:
    """Open a clean body; None when it wants care. text: as `cleaned` gave it. Linear and fast, whatever the body holds."""
    try:
        if route == "batch":
            envelope = _batch(text)
            pieces = [bytes(piece) for piece in envelope.batch]
            keys = [key for key in (envelope.writeKey, envelope.secret) if key is not None]
            return Opened(pieces=pieces, keys=keys or _first_keys(pieces), shape="batch", shared=_shared(envelope))
        if route == "webhook" and text.startswith(b"["):
            return Opened(pieces=[bytes(piece) for piece in _raws(text)], keys=[], shape="array")
        glance = glance_at(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    if glance.type is None and route == "webhook":
        return open_quickly(text, "batch")
    if glance.type is None and glance.userId is None and glance.anonymousId is None:
        return None
    keys = [key for key in (glance.writeKey, glance.secret) if key is not None]
    return Opened(pieces=[text], keys=keys, shape="single", glance=glance)


def open_with_care(text: bytes, route: Route, *, takes_mparticle: bool = False) -> Opened:
    """Open any body, or raise the EventError that says what is wrong with it. Slower by far; hostile bodies end here.

    takes_mparticle: the source says `format: mparticle`.
    """
    if route == "webhook" and text.lstrip()[:1] == b"[":
        return Opened(pieces=_array_pieces(text), keys=[], shape="array")
    found = _object_members(text)
    names = {member.name for member in found}
    if takes_mparticle and "events" in names:
        return _open_mparticle(text)
    if route == "batch" or (route == "webhook" and "batch" in names and "type" not in names):
        return _open_batch_with_care(text, found)
    if "events" in names and "type" not in names:
        _refuse_mparticle(text)
    return Opened(pieces=[text], keys=_keys(text, found), shape="single")


def opened(body: bytes, route: Route, *, takes_mparticle: bool = False) -> Opened:
    """Open a body as it came: quickly where that is possible, else with care. Raises EventError."""
    text = cleaned(body)
    return open_quickly(text, route) or open_with_care(text, route, takes_mparticle=takes_mparticle)


def _object_members(text: bytes) -> list[json_slices.Member]:
    """Top-level members of the one object a body must be, or the EventError that says what is wrong with it."""
    try:
        found = json_slices.members(text)
    except ValueError:
        raise _not_an_object(text) from None
    _parse_or_refuse(text)
    return found


def _parse_or_refuse(text: bytes) -> object:
    """Decode JSON of any depth up to DEPTH_MAX; deeper text passes unread, its events are looked at one by one."""
    try:
        return msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return tolerant_json.parse(text)[0]
    except TooDeepError:
        return None
    except ValueError as error:
        raise EventError(400, "invalid_json", f"Body is not valid JSON: {reason(error)}.") from error


def _not_an_object(text: bytes) -> EventError:
    try:
        tolerant_json.parse(text)
    except TooDeepError:
        return EventError(400, "too_deep", f"Body nests deeper than {DEPTH_MAX} levels.")
    except ValueError as error:
        return EventError(400, "invalid_json", f"Body is not valid JSON: {reason(error)}.")
    return EventError(400, "expected_object", "Body must be a JSON object.")


def reason(error: ValueError) -> str:
    """A parser's complaint without any of the sender's text: json's messages name a place, never a value."""
    return str(error) if len(str(error)) < 200 else "malformed"


def _keys(text: bytes, found: list[json_slices.Member]) -> list[str]:
    """Values of the credential members, the last of each name winning; what is not text counts as a wrong key."""
    values: dict[str, str] = {}
    for member in found:
        if member.name in CREDENTIALS:
            raw = text[member.value_start : member.end]
            if raw != b"null":
                values[member.name] = _text_of(raw)
    return [values[name] for name in ("writeKey", "secret") if name in values]


def _text_of(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return ""


def _first_keys(pieces: list[bytes]) -> list[str]:
    """Old clients put the key on each event; the first event's counts."""
    if not pieces or b'"' not in pieces[0] or not pieces[0].startswith(b"{"):
        return []
    try:
        glance = glance_at(pieces[0])
    except (msgspec.DecodeError, RecursionError):
        return _keys(pieces[0], json_slices.members(pieces[0]))
    return [glance.writeKey] if glance.writeKey is not None else []


def _open_batch_with_care(text: bytes, found: list[json_slices.Member]) -> Opened:
    values = {member.name: text[member.value_start : member.end] for member in found}
    if "batch" not in values:
        _refuse_mparticle(text)
        raise EventError(400, "missing_batch", "The envelope has no `batch`.", pointer="/batch")
    if not values["batch"].startswith(b"["):
        raise EventError(400, "invalid_batch", "`batch` must be an array of events.", pointer="/batch")
    pieces = _array_pieces(values["batch"])
    shared = _joined({name: values[name] for name in SHARED_MEMBERS if name in values})
    keys = _keys(text, found) or _first_keys(pieces)
    return Opened(pieces=pieces, keys=keys, shape="batch", shared=shared)


def _shared(envelope: _Batch) -> bytes:
    """The envelope's members that its events share, as one JSON object."""
    given = {name: bytes(getattr(envelope, name)) for name in SHARED_MEMBERS if getattr(envelope, name)}
    return _joined(given)


def _joined(given: dict[str, bytes]) -> bytes:
    """One JSON object of the given members' texts; nothing for none. Raises EventError `too_deep`."""
    pairs = []
    for name, value in given.items():
        if json_slices.depth(value, enough=DEPTH_MAX) > DEPTH_MAX:
            raise EventError(400, "too_deep", f"`{name}` nests deeper than {DEPTH_MAX} levels.", pointer=f"/{name}")
        if value != b"null":
            pairs.append(b'"%s":%s' % (name.encode(), value))
    return b"{%s}" % b",".join(pairs) if pairs else b""


def _array_pieces(text: bytes) -> list[bytes]:
    """The bytes of each element of an array. Raises EventError where it is none that can be taken apart."""
    try:
        return [bytes(piece) for piece in _raws(text)]
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        pieces = [text[start:end] for start, end in json_slices.elements(text)]
    except ValueError:
        raise _not_an_object(text) from None
    for piece in pieces:
        _parse_or_refuse(piece)
    _parse_or_refuse(text)
    return pieces


def _open_mparticle(text: bytes) -> Opened:
    try:
        pieces, ignored = mparticle.pieces(text)
    except msgspec.DecodeError as error:
        raise EventError(400, "unsupported_format", "Body is not an mParticle event batch.") from error
    return Opened(pieces=pieces, keys=[], shape="mparticle", ignored=ignored)


def _refuse_mparticle(text: bytes) -> None:
    if b'"event_type"' not in text:
        return
    try:
        body = tolerant_json.parse(text)[0]
    except ValueError:
        return
    if mparticle.looks_like(body):
        raise EventError(
            400,
            "unsupported_format",
            "Body is in mParticle's format; set `format: mparticle` on this source to take it.",
        )
