"""Turns opened events into items for the inbox, each accepted or rejected by itself, with its own bytes.

The ordinary event costs one look by msgspec, which skips over its values; every doubt goes to `event_checks.refusal`.
"""

from __future__ import annotations

import msgspec

from gateway.core import json_slices, mparticle, tolerant_json
from gateway.core.arrivals import ITEM_REJECT, Item
from gateway.core.envelopes import CREDENTIALS, Glance, Opened, glance_at, reason
from gateway.core.errors import EventError
from gateway.core.event_checks import Asked, Refusal, people_in, refusal
from gateway.core.tolerant_json import DEPTH_MAX, TooDeepError

MESSAGE_ID_SHOWN_MAX = 200  # characters of a rejected event's messageId that the reply repeats
SURELY_KNOWN = frozenset({"track", "identify", "page", "screen"})  # types that need nothing but an id (and `event`)


class Checked(msgspec.Struct, kw_only=True):
    """The outcome of `check`, in the order of the request. rejected: index of the event, its messageId or "", why."""

    items: tuple[Item, ...]
    accepted: int
    rejected: list[tuple[int, str, Refusal]]


def check(opened: Opened, asked: Asked, *, warnings: tuple[str, ...] = ()) -> Checked:
    """Turn opened events into items. See `quick_look` and `closer_look`, which a caller short of time takes one by one."""
    found = quick_look(opened, asked, warnings=warnings)
    return closer_look(opened, asked, found, warnings=warnings)


def quick_look(opened: Opened, asked: Asked, *, warnings: tuple[str, ...] = ()) -> list[Item | None]:
    """The items of events that are surely acceptable, None for each that wants a closer look. A few µs an event.

    warnings: tags of the request, given to each of its events. Raises EventError for a batch that is empty or too long.
    """
    pieces = opened.pieces
    if opened.shape == "mparticle":
        return [None] * len(pieces)
    if not pieces:
        raise EventError(400, "empty_batch", "The batch has no events.")
    if len(pieces) > asked.events_max:
        raise EventError(400, "batch_too_many_events", f"The batch has more than {asked.events_max} events.")
    if opened.glance is not None:
        return [_ordinary(pieces[0], asked, opened.glance, warnings)]
    return [_ordinary(piece, asked, None, warnings) for piece in pieces]


def closer_look(opened: Opened, asked: Asked, found: list[Item | None], *, warnings: tuple[str, ...] = ()) -> Checked:
    """Decide what the quick look left open: every event becomes an item, accepted or rejected."""
    rejected: list[tuple[int, str, Refusal]] = []
    people = 0  # named by audience lists; each counts as an event of the batch
    items: list[Item] = []
    for index, item in enumerate(found):
        if item is not None:
            items.append(item)
            continue
        outcome = _look_closer(opened.pieces[index], opened.shape, asked, warnings, people + len(found))
        if outcome.refusal is not None:
            rejected.append((index, outcome.message_id, outcome.refusal))
        people += outcome.people
        items.append(outcome.item)
    return Checked(items=tuple(items), accepted=len(items) - len(rejected), rejected=rejected)


def _ordinary(piece: bytes, asked: Asked, glance: Glance | None, warnings: tuple[str, ...]) -> Item | None:
    """The item of an event that is surely acceptable; None means look closer."""
    if (
        len(piece) > asked.limits.event_bytes_max
        or piece.count(b"{") + piece.count(b"[") > DEPTH_MAX
        or (b"\\" in piece and b"\\u0000" in piece)  # A search for one byte is the faster by far.
    ):
        return None
    if glance is None:
        try:
            glance = glance_at(piece)
        except (msgspec.DecodeError, RecursionError):
            return None
    kind = asked.forced_type or glance.type
    if kind not in SURELY_KNOWN or glance.json:
        return None
    user, anonymous, event = glance.userId, glance.anonymousId, glance.event
    if not ((user and not user.isspace()) or (anonymous and not anonymous.isspace())):
        return None
    if kind == "track" and (not event or event.isspace()):
        return None
    if asked.limits.is_strict or glance.type not in {None, kind}:
        return None
    if glance.writeKey is not None or glance.secret is not None:
        piece = json_slices.without(piece, CREDENTIALS)
    return Item(piece, 0, warnings)


class _Outcome(msgspec.Struct):
    """What a closer look gave."""

    item: Item
    refusal: Refusal | None = None
    message_id: str = ""
    people: int = 0


def _look_closer(piece: bytes, shape: str, asked: Asked, warnings: tuple[str, ...], counted: int) -> _Outcome:
    """Decode one event, decide, and say why not. counted: events of the batch so far, people of audience lists included."""
    if piece[:1] != b"{":
        if shape != "single":
            return _rejected(piece, Refusal("not_an_event", "An event must be a JSON object."))
        piece = piece.strip()
    if shape == "array":
        piece = _unwrapped(piece)
    if len(piece) > asked.limits.event_bytes_max:
        return _rejected(
            piece, Refusal("event_too_large", f"The event is larger than {asked.limits.event_bytes_max} bytes.")
        )
    try:
        event = tolerant_json.parse(piece)[0]
    except TooDeepError:
        return _rejected(piece, Refusal("too_deep", f"The event nests deeper than {DEPTH_MAX} levels."))
    except ValueError as error:
        raise EventError(400, "invalid_json", f"Body is not valid JSON: {reason(error)}.") from error
    if not isinstance(event, dict) or (shape == "array" and event.keys() == {"body"}):
        return _rejected(piece, Refusal("not_an_event", "An event must be a JSON object."))
    people = people_in(event) if event.get("type") == "audiencelist" else 0
    problem = refusal(mparticle.as_track(event) if shape == "mparticle" else event, asked)
    if problem is None and people and counted + people > asked.events_max:
        problem = Refusal("batch_too_many_events", f"The batch names more than {asked.events_max} people and events.")
    if problem is not None:
        return _rejected(piece, problem, message_id=event.get("messageId"))
    if not CREDENTIALS.isdisjoint(event):
        piece = json_slices.without(piece, CREDENTIALS)
    return _Outcome(Item(piece, 0, _with_type_warning(event, asked, warnings)), people=people)


def _with_type_warning(event: dict[str, object], asked: Asked, warnings: tuple[str, ...]) -> tuple[str, ...]:
    own = event.get("type")
    if not asked.forced_type or own is None or (isinstance(own, str) and own.lower() == asked.forced_type):
        return warnings
    return (*warnings, "type_mismatch")


def _unwrapped(piece: bytes) -> bytes:
    """The event inside a `{"json": …}` wrapper, else the same bytes."""
    try:
        found = json_slices.members(piece)
    except ValueError:
        return piece
    if len(found) != 1 or found[0].name != "json" or piece[found[0].value_start : found[0].value_start + 1] != b"{":
        return piece
    return piece[found[0].value_start : found[0].end]


def _rejected(piece: bytes, problem: Refusal, *, message_id: object = None) -> _Outcome:
    try:
        body = json_slices.without(piece, CREDENTIALS)
    except ValueError:
        body = piece
    item = Item(body, ITEM_REJECT, (), problem.code, problem.message, problem.pointer)
    return _Outcome(item, problem, message_id[:MESSAGE_ID_SHOWN_MAX] if isinstance(message_id, str) else "")
