"""The subjects put together: all questions (`View`), all questions and changes (`Transaction`)."""

from __future__ import annotations

from collections.abc import Callable

from gateway.store.rows import ForwardedRow
from gateway.store.sqlite.alerts import AlertReads, AlertWrites
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.figures import FigureReads
from gateway.store.sqlite.forwarded import ForwardedReads
from gateway.store.sqlite.lanes import LaneReads, LaneWrites, PositionReads, PositionWrites
from gateway.store.sqlite.lists import ListReads, ListWrites
from gateway.store.sqlite.log_exports import LogExportReads, LogExportWrites
from gateway.store.sqlite.memberships import MembershipReads, MembershipWrites
from gateway.store.sqlite.records import RecordWrites
from gateway.store.sqlite.reviving import RevivalWrites
from gateway.store.sqlite.run_operations import RunOperationReads, RunOperationWrites
from gateway.store.sqlite.runs import RunWrites
from gateway.store.sqlite.session import Names
from gateway.store.sqlite.settlements import SettlementWrites
from gateway.store.sqlite.syncs import SyncReads, SyncWrites
from gateway.store.sqlite.traces import TraceReads, TraceWrites

PIECE_ROWS = 5_000  # deleted at most per table and call, so that the writer is never away for long
TOMBSTONE_US = 400 * 86_400 * 1_000_000


class View(
    PositionReads,
    LaneReads,
    FigureReads,
    ForwardedReads,
    TraceReads,
    MembershipReads,
    SyncReads,
    ListReads,
    RunOperationReads,
    LogExportReads,
    AlertReads,
):
    """Questions that change nothing."""


class Transaction(
    PositionWrites,
    LaneWrites,
    RevivalWrites,
    SettlementWrites,
    TraceWrites,
    MembershipWrites,
    SyncWrites,
    RecordWrites,
    RunWrites,
    ListWrites,
    RunOperationWrites,
    LogExportWrites,
    AlertWrites,
    View,
):
    """Questions and changes of one piece of work."""

    def __init__(self, connection: driver.Connection, names: Names) -> None:
        super().__init__(connection, names)
        self.tells: list[Callable[[], None]] = []

    def when_committed(self, tell: Callable[[], None]) -> None:
        """Call it, on the caller's loop, once everything here is on disk; never where it is not kept."""
        self.tells.append(tell)

    def take_forwarded(self, member_space: str, member: str) -> list[ForwardedRow]:
        """What lists may hold of a person by forwarding, to be removed there; it is forgotten here."""
        identifier = self.member_id(member_space, member)
        return [] if identifier is None else self._take_forwarded(identifier)

    def forget_member(self, member_space: str, member: str) -> None:
        """Remove the person's identifiers, memberships, and unsent deliveries other than deletes.

        Request bodies kept for debugging go whole, since nobody knows whom they name.
        """
        identifier = self.member_id(member_space, member)
        if identifier is not None:
            self._forget_deliveries(identifier)
            self._erase_records(identifier)
            self._erase_listed(identifier)
            self._forget_in_ledger(member_space, member, identifier)
        self._drop_debug_notes()

    def prune(
        self, *, now_us: int, retain_seen_us: int, retain_dead_us: int, retain_attempts_us: int, retain_out_us: int
    ) -> int:
        """Delete what has outlived its time, in bounded pieces; return rows (or whole windows) deleted."""
        deleted = self._drop_windows("trace", before_us=now_us - retain_seen_us)
        deleted += self._drop_windows("seen", before_us=now_us - retain_seen_us)
        deleted += self.drop_dead(older_than_us=now_us - retain_dead_us, limit=PIECE_ROWS)
        deleted += self._drop_attempts(before_us=now_us - retain_attempts_us, limit=PIECE_ROWS)
        deleted += self._run(
            "DELETE FROM membership WHERE (audience, member) IN (SELECT audience, member FROM membership "
            "INDEXED BY membership_out WHERE is_member = 0 AND arrived_us < ? ORDER BY arrived_us LIMIT ?)",
            (now_us - retain_out_us, PIECE_ROWS),
        )
        deleted += self._run(
            "DELETE FROM tombstone WHERE member IN (SELECT member FROM tombstone WHERE deleted_us < ? LIMIT ?)",
            (now_us - TOMBSTONE_US, PIECE_ROWS),
        )
        return deleted
