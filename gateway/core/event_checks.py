"""What makes one event acceptable: the careful check, on a decoded event, with the code its sender is told.

`envelopes.py` accepts the ordinary event without coming here; whatever it is not sure of is decided here, so that this
page alone says which events are refused and why.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.core.tolerant_json import has_bad_characters

KNOWN_TYPES = frozenset(
    {"track", "identify", "page", "screen", "group", "alias", "delete", "record", "audiencelist"}
)  # the last two are RudderStack's
MESSAGE_ID_CHARACTERS_MAX = 100  # Segment's documented length; longer ones are accepted unless limits are strict

ALIAS_FALLBACKS = (("userId", "User ID"), ("previousId", "Previous ID"))  # as Segment's webhook page prints them
_ADVERTISING_MEMBERS = ("ios_idfa", "android_idfa", "idfa", "gaid")
_AUDIENCE_KEYS = ("computation_key", "computation_id", "audience_key")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one source may send at once; see `envelopes.LIMITS` and `envelopes.STRICT_LIMITS` for the two sets."""

    event_bytes_max: int
    single_bytes_max: int
    batch_bytes_max: int
    events_max: int
    webhook_events_max: int
    is_strict: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the request says about its events. forced_type: of a single route, else "". is_webhook, is_browser: how it came.

    kind: of the source; for the source that stands for all while none is configured, of the route.
    """

    limits: Limits
    forced_type: str = ""
    is_webhook: bool = False
    is_browser: bool = False
    kind: str = ""
    events_max: int = 10_000


class Refusal(NamedTuple):
    """Why an event is not accepted: code, a sentence for the sender, JSON Pointer into the event."""

    code: str
    message: str
    pointer: str = ""


def effective_type(event: dict[str, object], forced_type: str) -> object:
    """The event's type: the route's, else its own in lower case, else what clients before 2014 called `action`."""
    if forced_type:
        return forced_type
    own = event.get("type")
    if own is None:
        legacy = event.get("action")
        own = legacy if isinstance(legacy, str) and legacy.lower() in KNOWN_TYPES else None
    return own.lower() if isinstance(own, str) else own


def refusal(event: dict[str, object], asked: Asked) -> Refusal | None:
    """Why a decoded event (values of `tolerant_json.parse`) is refused, or None. One code, by precedence."""
    kind = effective_type(event, asked.forced_type)
    if kind is None:
        return Refusal("missing_type", "The event has no `type`.", "/type")
    if not isinstance(kind, str):
        return Refusal("invalid_type", "`type` must be a string.", "/type")
    if kind not in KNOWN_TYPES:
        return Refusal(
            "unknown_type", "`type` is none of track, identify, page, screen, group, alias, delete.", "/type"
        )
    if kind == "alias":
        event = {**event, **{name: _alias_id(event, name, spelled) for name, spelled in ALIAS_FALLBACKS}}
    return (
        _bad_characters(event)
        or _bad_ids(event)
        or _bad_members(event, kind, asked)
        or _no_identity(event, kind, asked)
        or _too_long_message_id(event, asked)
    )


def _alias_id(event: dict[str, object], name: str, spelled: str) -> object:
    own = event.get(name)
    return event.get(spelled) if own is None else own


def _bad_characters(event: dict[str, object]) -> Refusal | None:
    for name in ("userId", "anonymousId", "groupId", "previousId", "event"):
        value = event.get(name)
        if isinstance(value, str) and has_bad_characters(value):
            return Refusal("invalid_characters", f"`{name}` holds a NUL or half a surrogate pair.", f"/{name}")
    personas = _record(_record(event.get("context")).get("personas"))
    for where, record in (("/context/personas", personas), ("/properties", _record(event.get("properties")))):
        for name in _AUDIENCE_KEYS:
            value = record.get(name)
            if isinstance(value, str) and has_bad_characters(value):
                return Refusal(
                    "invalid_characters", f"`{name}` holds a NUL or half a surrogate pair.", f"{where}/{name}"
                )
    return None


def _bad_ids(event: dict[str, object]) -> Refusal | None:
    for name, code in (("userId", "invalid_user_id"), ("anonymousId", "invalid_anonymous_id")):
        if not _is_id(event.get(name)):
            return Refusal(code, f"`{name}` must be a string or an integer.", f"/{name}")
    return None


def _is_id(value: object) -> bool:
    if value is None or isinstance(value, str):
        return True
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _bad_members(event: dict[str, object], kind: str, asked: Asked) -> Refusal | None:
    match kind:
        case "track" if not _has_text(event.get("event")):
            return Refusal("missing_event_name", "A track event needs `event`, a non-empty string.", "/event")
        case "group" if not _has_id(event.get("groupId")):
            return Refusal("missing_group_id", "A group event needs `groupId`, a string or an integer.", "/groupId")
        case "alias" if not _has_id(event.get("previousId")):
            return Refusal("missing_previous_id", "An alias event needs `previousId`.", "/previousId")
        case "delete" if asked.is_browser:
            return Refusal("delete_not_allowed", "A browser's write key is public and may not delete people.", "/type")
        case "audiencelist" if people_in(event) > asked.events_max:
            return Refusal(
                "batch_too_many_events", f"The list names more than {asked.events_max} people.", "/properties/listData"
            )
    for name in ("properties", "traits", "context"):
        value = event.get(name)
        if value is not None and not isinstance(value, dict):
            return Refusal(f"invalid_{name}", f"`{name}` must be an object.", f"/{name}")
    return None


def people_in(event: dict[str, object]) -> int:
    """How many people a RudderStack `audiencelist` event names; each counts as an event of the batch."""
    lists = _record(_record(event.get("properties")).get("listData"))
    return sum(len(people) for people in (lists.get("add"), lists.get("remove")) if isinstance(people, list))


def _no_identity(event: dict[str, object], kind: str, asked: Asked) -> Refusal | None:
    if kind == "group" or _has_id(event.get("userId")) or _has_id(event.get("anonymousId")):
        return None
    if asked.is_webhook and kind != "delete" and _has_other_identifier(event):
        return None
    return Refusal("no_user_anon_id", "The event has neither a `userId` nor an `anonymousId`.")


def _has_other_identifier(event: dict[str, object]) -> bool:
    """Whether a forwarded event names its person otherwise: e-mail, advertising id, external id, warehouse row."""
    context, properties, traits = (_record(event.get(name)) for name in ("context", "properties", "traits"))
    device, external = _record(context.get("device")), context.get("externalIds")
    return (
        any(_has_id(place.get("email")) for place in (_record(context.get("traits")), traits, properties, event))
        or any(_has_id(device.get(name)) for name in ("advertisingId", "idfa"))
        or any(_has_id(place.get(name)) for place in (properties, traits) for name in _ADVERTISING_MEMBERS)
        or _has_id(properties.get("__segment_id"))
        or (isinstance(external, list) and any(_has_id(_record(entry).get("id")) for entry in external))
        or any(bool(_record(event.get(name))) for name in ("fields", "identifiers"))
        or people_in(event) > 0
    )


def _too_long_message_id(event: dict[str, object], asked: Asked) -> Refusal | None:
    value = event.get("messageId")
    if asked.limits.is_strict and isinstance(value, str) and len(value) > MESSAGE_ID_CHARACTERS_MAX:
        return Refusal(
            "long_message_id", f"`messageId` is longer than {MESSAGE_ID_CHARACTERS_MAX} characters.", "/messageId"
        )
    return None


def _has_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and not value.isspace()


def _has_id(value: object) -> bool:
    return _has_text(value) or (value is not None and not isinstance(value, str) and _is_id(value))


def _record(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
