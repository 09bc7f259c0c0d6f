"""An event as it arrived, read again from the inbox; for commands that tell of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.core.arrivals import read_frame
from gateway.core.errors import EventError
from gateway.core.events import Event
from gateway.core.reading import read_event
from gateway.core.sources import Source
from gateway.store.api import InboxReader
from gateway.store.rows import TraceRow

REFUSED = "rejected"  # outcome of what is no event: its sender was told so
NO_EVENTS = frozenset({REFUSED, "audience"})


def named_source(name: str) -> Source:
    """A source of which only the name is known. mParticle is told by its looks: enough to name an event, not to decide it."""
    return Source(name=name, format="mparticle")


def kept_event(reader: InboxReader, row: TraceRow, source_of: Callable[[str], Source] = named_source) -> Event | None:
    """The event of a trace; None where its bytes are no longer kept, or are no event. source_of: by its name."""
    body = reader.item(row.place)
    if body is None or row.outcome in NO_EVENTS:
        return None
    try:
        items = [(arrival, item) for arrival in read_frame(body) for item in arrival.items]
        arrival, item = items[row.place.ordinal]
        return read_event(arrival, item, row.place, source_of(arrival.source))
    except (EventError, msgspec.DecodeError, IndexError):  # it was set aside for that
        return None
