"""mParticle's own body: recognised, taken apart into one item per custom event, and read as Segment-shaped Tracks.

Only sources that say `format: mparticle` get this; elsewhere such a body is refused by name.
"""

from __future__ import annotations

import msgspec

from gateway.core import event_times

CUSTOM_EVENT = "custom_event"

_IDENTITY_TRAITS = (("email", "email"), ("mobile_number", "phone"))
_ADVERTISING_IDS = (("ios_advertising_id", "ios"), ("android_advertising_id", "android"))


class _Kind(msgspec.Struct):
    event_type: str = ""


def looks_like(body: object) -> bool:
    """Whether a decoded body is mParticle's: it has `events` with an `event_type` and no `type`."""
    if not isinstance(body, dict) or "type" in body or "batch" in body:
        return False
    events = body.get("events")
    return isinstance(events, list) and any(isinstance(event, dict) and "event_type" in event for event in events)


def pieces(text: bytes) -> tuple[list[bytes], int]:
    """One JSON text for each custom event, everything else of the body beside it; and how many events were left out.

    Values keep their bytes, 64-bit integers too. Raises msgspec.DecodeError (ValidationError) when it is not such a body.
    """
    rest = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    events = msgspec.json.decode(rest.pop("events"), type=list[msgspec.Raw])
    kept = [event for event in events if _event_type(event) == CUSTOM_EVENT]
    return [msgspec.json.encode({"events": [event], **rest}) for event in kept], len(events) - len(kept)


def _event_type(event: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(event, type=_Kind).event_type
    except msgspec.ValidationError:
        return ""


def as_track(body: dict[str, object]) -> dict[str, object]:
    """One piece as a Track: name, attributes, time, ids, traits and advertising ids in Segment's places."""
    data = _data(body)
    identities = _record(body.get("user_identities"))
    track: dict[str, object] = {"type": "track", "event": data.get("event_name")}
    track["properties"] = _record(data.get("custom_attributes"))
    customer = identities.get("customer_id")
    track["userId"] = customer if customer not in (None, "") else body.get("mpid")
    moment = data.get("timestamp_unixtime_ms")
    if (micros := event_times.parse_us(moment)) is not None:
        track["timestamp"] = event_times.iso_text(micros)
    traits = dict(_record(body.get("user_attributes")))
    traits |= {ours: identities[theirs] for theirs, ours in _IDENTITY_TRAITS if identities.get(theirs)}
    context: dict[str, object] = {"traits": traits}
    device = _device(_record(body.get("device_info")))
    if device:
        context["device"] = device
    track["context"] = context
    return track


def _data(body: dict[str, object]) -> dict[str, object]:
    events = body.get("events")
    return _record(_record(events[0]).get("data")) if isinstance(events, list) and events else {}


def _device(info: dict[str, object]) -> dict[str, object]:
    for name, kind in _ADVERTISING_IDS:
        if value := info.get(name):
            return {"type": kind, "advertisingId": value}
    return {}


def _record(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
