"""The frozen rows of alerts, and of what is told of them. Times are Unix microseconds (`_us`)."""

from __future__ import annotations

import msgspec


class AlertRow(msgspec.Struct, frozen=True, array_like=True):
    """An alert that stands. name: which one; level: "warning" or "critical"; told_us: when it was told last."""

    sync: int
    name: str
    level: str
    since_us: int
    message: str
    told_us: int = 0


class NoticeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One telling that one sink still owes. body: what `core/notices.py` encodes. number: of the telling, the same for each sink.

    sink: "" until it is known who owes it. failures: attempts that have failed.
    """

    id: int
    number: int
    sink: str
    body: bytes
    created_us: int
    due_us: int
    failures: int = 0


class WaitingCount(msgspec.Struct, frozen=True, array_like=True):
    """Records of one kind of a sync. since_us: of the oldest of them."""

    count: int = 0
    since_us: int = 0

    def joined(self, other: WaitingCount | None) -> WaitingCount:
        """Both together."""
        if other is None or not other.count:
            return self
        if not self.count:
            return other
        return WaitingCount(self.count + other.count, min(self.since_us, other.since_us))


class WaitingPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some members' records that are not as they should be.

    operations: by what the list lacks: add, update, replace, remove, erase; quarantined ones are left out. unsure: among them
    and beside them, those of whom nobody knows. last: the last member looked at, None at the end. rows: how many were read.
    """

    operations: dict[str, WaitingCount]
    unsure: WaitingCount
    last: int | None
    rows: int
