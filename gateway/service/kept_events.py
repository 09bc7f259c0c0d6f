"""Events whose bytes still lie in the inbox, read again for whoever explains what became of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gateway.core.errors import EventError, StoreError
from gateway.core.events import Event, Place
from gateway.core.reading import read_event
from gateway.core.rulebook import Rulebook
from gateway.decisions.blocks import source_of
from gateway.decisions.replay import items_of
from gateway.store.api import InboxReader


class KeptEvents:
    """One reader of the inbox, shared by the threads that answer questions."""

    def __init__(self, reader: InboxReader, rulebook: Callable[[], Rulebook]) -> None:
        """reader: of its own, since its file handles are used beside nobody else's."""
        self._reader = reader
        self._rulebook = rulebook
        self._lock = threading.Lock()

    def event(self, place: Place) -> Event | None:
        """The event at a place; None where it is no longer kept, cannot be read now, or was no event."""
        try:
            with self._lock:
                items = items_of(self._reader.item(place))
            if place.ordinal >= len(items):
                return None
            arrival, item = items[place.ordinal]
            return read_event(arrival, item, place, source_of(arrival, self._rulebook()))
        except (EventError, StoreError):
            return None
