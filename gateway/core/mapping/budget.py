"""The named bounds of mappings, and the purse each evaluation pays from, so that no input makes one slow or large.

Segment's own code has none of these but the liquid ones; a mapping or an event that meets them there exhausts a stack
or a memory. Ordinary ones stay orders of magnitude below.
"""

from typing import final

from gateway.core.dates import parse_date
from gateway.core.mapping.problems import MappingError

MAPPING_DEPTH_MAX = 64  # levels of objects and lists in a mapping, directives and their options included
MAPPING_VALUES_MAX = 20_000  # values in a mapping, of any kind

# What one evaluation may spend: a unit is a character written by @template, @replace, @flatten (keys), @json or @liquid. An
# event has half a million characters at most, so this is some twenty times all of it, and about a second of work.
RESOLVE_UNITS_MAX = 10_000_000
INDEX_KEY_UNITS = 25  # for a list item or a character that @merge gives a key of its own
VALUE_UNITS = 5  # for a value visited by @arrayPath, @merge, @transform, @flatten or @excludeWhenNull


@final
class Run:
    """One evaluation: what is left to spend, and the moment it counts as running at."""

    __slots__ = ("_body", "_now_ms", "left")

    def __init__(self, body: object, now_ms: float | None) -> None:
        self.left = RESOLVE_UNITS_MAX
        self._body = body
        self._now_ms = now_ms

    def now_ms(self) -> float | None:
        """Milliseconds since 1970, UTC: what the caller says, else the event's `receivedAt`; None where there is neither."""
        if self._now_ms is None and isinstance(self._body, dict):
            received_at = self._body.get("receivedAt")
            self._now_ms = parse_date(received_at) if isinstance(received_at, str) else None
        return self._now_ms

    def spend_on_values(self, values: int) -> None:
        """Pay for visiting that many values."""
        self.spend(values * VALUE_UNITS)

    def spend(self, units: int) -> None:
        """Pay for work before it is done; MappingError when the evaluation asks for too much."""
        self.left -= units
        if self.left < 0:
            raise MappingError(
                f"the mapping makes too much of this event: more than {RESOLVE_UNITS_MAX:,} characters and values"
            )
