"""Giving fixture events new message ids and times, so that sending one twice is two events and not a duplicate."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

_TIMES = ("timestamp", "originalTimestamp")
_DROPPED = ("receivedAt", "sentAt")


def freshened(body: bytes, *, now: str, new_id: Callable[[], str]) -> bytes:
    """Return a request body with new ids and the time `now` (ISO) in every event of it.

    Bodies that are not plain JSON objects or lists are returned as they are: their bytes are their point.
    """
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body
    if isinstance(value, list):
        fresh: object = [_event(one, now, new_id) for one in value]
    elif isinstance(value, dict) and isinstance(value.get("batch"), list):
        envelope = {key: one for key, one in value.items() if key not in (*_TIMES, *_DROPPED)}
        fresh = {**envelope, "batch": [_event(one, now, new_id) for one in value["batch"]]}
    else:
        fresh = _event(value, now, new_id)
    return msgspec.json.encode(fresh)


def _event(value: object, now: str, new_id: Callable[[], str]) -> object:
    if not isinstance(value, dict):
        return value
    if set(value) == {"json"}:
        return {"json": _event(value["json"], now, new_id)}
    kept = {key: one for key, one in value.items() if key not in _DROPPED}
    return {**kept, **{key: now for key in _TIMES if key in kept}, "messageId": new_id()}
