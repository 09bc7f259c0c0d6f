"""One event as the engine sees it: the sender's members, coerced and completed, beside what the gateway knows of it.

`read_event` (in `core/envelopes.py`'s terms: after the checks that the sender hears about) is the only way to make one.
"""

from __future__ import annotations

import msgspec


class Place(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Where an event's bytes lie. inbox: number of the inbox file; frame: row id; ordinal: item within the frame, from 0."""

    inbox: int
    frame: int
    ordinal: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted event.

    source, source_kind ("server", "browser", "webhook"), space: which feed it came from; space separates ids.
    body: what triggers and mappings see: the sender's members with ids as text, envelope context merged in, `type`,
      `messageId`, `receivedAt` and the corrected `timestamp` filled in; nothing else added.
    message_id: the sender's, else derived from the place.
    received_us: gateway's arrival time; at_us: ordering time, min(corrected timestamp, arrival). Unix microseconds.
    id_hash, digest: signed 64-bit hashes of (source, message id) and of the content, for duplicates.
    warnings: tags of the envelope check and of the reading.
    """

    source: str
    source_kind: str
    space: str
    place: Place
    type: str
    message_id: str
    body: dict[str, object]
    received_us: int
    at_us: int
    id_hash: int
    digest: int
    warnings: tuple[str, ...] = ()
