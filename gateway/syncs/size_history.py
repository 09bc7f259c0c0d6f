"""How large an audience was, hour by hour, over the last day: kept for syncs whose alert asks for it."""

from __future__ import annotations

import msgspec

HOUR_US = 3_600 * 1_000_000
DAY_US = 24 * HOUR_US


class SizeHistory(msgspec.Struct, frozen=True):
    """(Moment, members) once an hour, oldest first, as far as a day and an hour back."""

    taken: tuple[tuple[int, int], ...] = ()

    def earliest(self, now: int, now_us: int) -> int:
        """The size a day ago; the first one known where that is less than a day ago. now: the size now, for an empty history."""
        within = [size for at_us, size in self.taken if at_us >= now_us - DAY_US - HOUR_US]
        return within[0] if within else now

    def encoded(self) -> bytes:
        """As the store keeps it."""
        return msgspec.json.encode(self)


_decoder = msgspec.json.Decoder(SizeHistory)


def size_key(sync: int) -> str:
    """The note that keeps a sync's history."""
    return f"audience-sizes/{sync}"


def read_sizes(note: bytes | None) -> SizeHistory:
    """A kept history; an empty one for none."""
    return _decoder.decode(note) if note else SizeHistory()


def with_size(history: SizeHistory, size: int, now_us: int) -> SizeHistory | None:
    """The history with the size of this hour; None where it has one already."""
    if history.taken and now_us - history.taken[-1][0] < HOUR_US:
        return None
    kept = tuple(one for one in history.taken if one[0] >= now_us - DAY_US - HOUR_US)
    return SizeHistory((*kept, (now_us, size)))
