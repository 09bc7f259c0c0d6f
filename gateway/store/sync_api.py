"""What syncs ask of the store and change in it: the part of `api.py`'s questions that is theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.store.rows import AttemptRow
from gateway.store.sync_rows import (
    ExitRow,
    ListChange,
    PlannedRow,
    RecordRow,
    RecordShares,
    ResultCount,
    RowResult,
    RunRow,
    RunStatus,
    SnapshotRow,
    SyncRow,
    UnsentPage,
    WantedRow,
)


class SyncView(Protocol):
    """Questions about syncs, their records, runs and lists."""

    def syncs(self) -> list[SyncRow]:
        """All syncs, deleted ones too, by id."""

    def sync(self, sync: int) -> SyncRow | None:
        """One sync by its number."""

    def sync_of(self, mapping: str, audience: int) -> SyncRow | None:
        """The sync of a mapping and an audience."""

    def records(
        self, sync: int, *, after: tuple[int, int] = (0, -1), limit: int = 1000, settled: bool = True
    ) -> list[RecordRow]:
        """Records in order of member and line, behind `after`. settled False: only those a run may have something to do with."""

    def settled_count(self, sync: int) -> int:
        """Records that no run has anything to do with."""

    def unmappable_count(self, sync: int) -> int:
        """Records of members that are in and of whom nothing can be listed."""

    def listed_count(self, sync: int) -> int:
        """Members whose state is other than absent."""

    def record(self, sync: int, member: int) -> list[RecordRow]:
        """All lines of one member."""

    def records_of(self, sync: int, members: Iterable[int]) -> list[RecordRow]:
        """All lines of some members, in order."""

    def claimants(self, sync: int, entries: Iterable[bytes]) -> list[RecordRow]:
        """Records that want or hold one of these entries (as what was sent, or as an orphan), whoever's they are, in order."""

    def erased_syncs(self) -> list[int]:
        """Syncs that have deleted people left to erase."""

    def erased_members(self, sync: int, *, limit: int) -> list[int]:
        """Deleted people of a sync who are left to be erased, in order."""

    def has_member(self, member: int) -> bool:
        """Whether the person is known; one who was deleted is not."""

    def touched(self, sync: int, *, limit: int) -> list[int]:
        """Members with news that no live run has taken yet, in order."""

    def touched_since(self) -> dict[int, tuple[int, int]]:
        """Syncs with such members: (time of the oldest news, how many), of 10,000 members each at most."""

    def run(self, run: int) -> RunRow | None:
        """One run by its number."""

    def runs(
        self, *, sync: int = 0, before_id: int = 0, status: RunStatus | str = "", limit: int = 100
    ) -> list[RunRow]:
        """Runs, newest first, filtered."""

    def runs_after(self, sync: int, run: int, *, limit: int = 100) -> list[RunRow]:
        """Runs of a sync behind one of them, oldest first."""

    def finished_runs(self, sync: int, *, limit: int) -> list[RunRow]:
        """Runs of a sync that have ended and looked at everybody, newest first."""

    def open_runs(self) -> list[RunRow]:
        """Runs that are planning, sending, held or queued, oldest first."""

    def open_run(self, sync: int) -> RunRow | None:
        """The sync's run that is planning or sending, else the one that is held."""

    def running_run(self, sync: int) -> RunRow | None:
        """The sync's run that is planning or sending."""

    def held_run(self, sync: int) -> RunRow | None:
        """The sync's run that waits for a person; a live run may go on beside it."""

    def queued_run(self, sync: int) -> RunRow | None:
        """The sync's run that waits to start."""

    def planned(self, run: int, *, phase: int, limit: int = 1000) -> list[PlannedRow]:
        """Operations of one phase that wait to be released to their lane, by id."""

    def planned_of(self, deliveries: Iterable[int]) -> dict[int, PlannedRow]:
        """Operations by the deliveries they were released as."""

    def planned_left(self, run: int) -> tuple[int, int]:
        """(not released, released and not settled) of a run; counts all of them."""

    def released_count(self, run: int) -> int:
        """Operations of a run that were released to its lane and are not settled."""

    def next_phase(self, run: int) -> int | None:
        """The first phase of a run with anything left in it."""

    def row_results(self, *, run: int, after_seq: int = 0, status: str = "", limit: int = 1000) -> list[RowResult]:
        """Lines of the sync log of one run, in order."""

    def snapshot_parts(self, run: int) -> list[tuple[int, bytes]]:
        """(members, compressed body) of a run's snapshot, in order."""

    def run_operations(self, run: int, *, after: tuple[int, int], limit: int) -> list[tuple[int, int, str]]:
        """(member, line, operation) of what a run has got through, behind a member and line, until its snapshot is whole."""

    def snapshot_runs(self, sync: int) -> list[int]:
        """Runs of a sync that have a snapshot, newest first."""

    def snapshots(self, *, sync: int = 0, before_run: int = 0, limit: int = 100) -> list[SnapshotRow]:
        """Kept snapshots, newest run first, of one sync or of all."""

    def record_shares(self, sync: int, *, version: str = "") -> RecordShares:
        """Who makes up the difference between a sync's audience and its list, as counted.

        version: of the mapping, for `older`; "" counts none. `unsent_page` adds what only a look at those that wait can tell.
        """

    def unsent_page(self, sync: int, *, after: tuple[int, int], limit: int = 10_000) -> UnsentPage:
        """What of the next records that wait is shared, and since when the oldest of them does; behind (member, line)."""

    def troubled(self, sync: int, *, after: tuple[int, int] = (0, -(2**63)), limit: int = 1000) -> list[RecordRow]:
        """Records with a problem, or of whom nothing can be listed, in order of member and line."""

    def result_counts(self, run: int) -> list[ResultCount]:
        """Lines of a run's log that did not get through, by how and why, most first; the first message of each."""

    def results_of_member(self, run: int, member_ref: str, *, limit: int = 100) -> list[RowResult]:
        """Lines of one run's log about one member, newest first."""

    def attempts_between(
        self, lane: str, mapping: str, from_us: int, to_us: int, *, limit: int = 1000
    ) -> list[AttemptRow]:
        """The last requests of one mapping that began and ended in [from_us, to_us], oldest first."""

    def deliveries_of_run(self, run: int, deliveries: list[int]) -> set[int]:
        """Which of some deliveries a run planned: not settled yet, or among the last 20,000 lines of its log."""

    def runs_to_export(self, *, after: int = 0, limit: int = 100) -> list[int]:
        """Ended runs with log lines that were not exported yet, behind a run, in order."""

    def exported_through(self, after: int) -> int:
        """The last run before the first that has not ended, behind a run: nothing up to it is still to come."""

    def list_size(self, run: int) -> int:
        """Distinct entries of a frozen list."""

    def list_page(self, run: int, *, after: bytes, limit: int = 5_000) -> list[tuple[bytes, int, int, bytes]]:
        """(entry, member, time of the event, payload) behind an entry, in its order."""

    def list_difference(self, run: int, before: int, *, after: bytes, limit: int) -> tuple[int, int, bytes | None]:
        """(entries, those of them that list `before` does not hold, the last entry) of the next ones of `run` behind one.

        The last entry is None where there are no more.
        """

    def list_plan(self, sync: int, before: int, *, keeps_out: bool = False, since_us: int = 0) -> tuple[int, int, int]:
        """(distinct entries wanted now, those of them that list `before` lacks, those of `before` not wanted any more).

        keeps_out, since_us: as `freeze_page` has them.
        """

    def wants(
        self, sync: int, *, after: int, members: int, keeps_out: bool, since_us: int = 0
    ) -> tuple[list[tuple[int, bytes]], int | None]:
        """(member, fingerprint) of what `freeze_page` would copy of the next members, in its order; the last member."""

    def unlisted(self, sync: int, *, after: int, last: int) -> list[tuple[int, str]]:
        """(member, why) of members in (after, last] who are in and of whom nothing can be listed, in order."""

    def list_named(
        self, run: int, before: int, sync: int, *, after: bytes, limit: int
    ) -> tuple[list[ListChange], bytes | None]:
        """Of the next entries of a run's list, what is new or other than on `before`; and the last entry, None at the end.

        before: 0 for none. Those that are on both and the same have operation "". Ask before the records are marked.
        """

    def list_dropped(
        self, run: int, before: int, sync: int, *, after: bytes, limit: int
    ) -> tuple[list[ListChange], bytes | None]:
        """Of the next entries of `before`, those that the run's list lacks; and the last entry looked at, None at the end.

        An entry of somebody who was deleted has member 0.
        """

    def is_listed(self, run: int, entry: bytes) -> bool:
        """Whether a frozen list holds an entry."""


class SyncTx(SyncView, Protocol):
    """Changes of syncs, inside one transaction of the one writer."""

    def intern_syncs(self, keys: Iterable[tuple[str, int]], *, now_us: int) -> dict[tuple[str, int], int]:
        """(mapping, audience) → numbers, made where missing."""

    def note_event_settings(self, sync: int, settings: bytes) -> None:
        """Keep audience settings as an event said them, where they are news."""

    def note_rendering(self, sync: int, version: str) -> None:
        """An event's record was made by this version of the mapping."""

    def save_sync(self, row: SyncRow) -> None:
        """Keep a sync's standing; read it in the same transaction before. event_settings are not written."""

    def touch(self, keys: Iterable[tuple[int, int]], *, now_us: int) -> None:
        """(sync, member): there is news for a sync that follows events."""

    def drop_touched(self, sync: int, members: Iterable[int]) -> None:
        """A live run has taken their news."""

    def drop_news(self, sync: int, *, before_us: int, limit: int) -> int:
        """Forget news that came before a moment, in pieces; return of how many members."""

    def save_wanted(self, rows: Sequence[WantedRow], *, now_us: int) -> None:
        """Members are in; what is listed of them is left as it is. Where an event gave no payload, the older one stays."""

    def save_exits(self, rows: Sequence[ExitRow], *, now_us: int) -> None:
        """Members are out: what is not listed is forgotten, what is listed waits for its removal.

        A member of whom nothing was known, and whose exit names identifiers, is kept so that they can be removed once.
        """

    def note_left(self, sync: int, audience: int, *, after: int, limit: int, now_us: int) -> int | None:
        """Of the records behind a member, about `limit`: who is in though the ledger says out is out from now on.

        Returns the last member looked at, None when there are no more.
        """

    def put_records(self, sync: int, rows: Sequence[RecordRow]) -> None:
        """Write records whole."""

    def drop_records(self, sync: int, keys: Iterable[tuple[int, int]]) -> None:
        """Delete records by member and line."""

    def drop_all_records(self, sync: int, *, limit: int = 10_000) -> int:
        """Delete a sync's records, and what belongs to them, in pieces; return how many rows."""

    def drop_empty_counts(self, *, limit: int) -> int:
        """Forget how records stood where none does so any more; return how many ways."""

    def add_run(self, row: RunRow) -> int:
        """Keep a new run; return its number, or 0 where its tick was claimed before, or another is open or queued."""

    def save_run(self, row: RunRow) -> None:
        """Write a run that is there."""

    def add_planned(self, rows: Sequence[PlannedRow]) -> None:
        """Keep operations; their ids are given here, in order."""

    def save_planned(self, row: PlannedRow) -> None:
        """Write an operation that is there: its next part waits, or it has met trouble."""

    def drop_plan(self, run: int, *, limit: int, unreleased: bool = True) -> list[PlannedRow]:
        """Take out what a run has not released (or, unreleased False, what was released and is owed no more); in pieces."""

    def drop_unsent(self, run: int) -> int:
        """Delete a run's deliveries that no lane has claimed; return how many. What is on its way ends as it ends."""

    def run_deliveries_claimed(self, *, lease_until_us: int) -> list[int]:
        """Deliveries of runs that are on their way, or were when the engine died, and whose leases end until then."""

    def release_planned(self, ids: Sequence[int], first_delivery: int) -> None:
        """Operations have become deliveries, of consecutive numbers."""

    def drop_planned(self, ids: Iterable[int]) -> None:
        """Operations are settled, or will not be sent."""

    def add_row_results(self, rows: Sequence[RowResult]) -> None:
        """Keep lines of the sync log."""

    def next_result_seq(self, run: int) -> int:
        """The number of the next line of a run's log."""

    def mark_exported(self, run: int) -> None:
        """The log of a run lies in the export folder."""

    def drop_exports(self, *, limit: int) -> int:
        """Forget exports of runs that are no longer kept; return how many."""

    def drop_results(self, run: int, *, limit: int) -> int:
        """Delete the first lines of a run's log; return how many. More may follow."""

    def drop_row_results(self, sync: int, *, finished_before_us: int, limit: int, only_exported: bool = False) -> int:
        """Delete log lines of a sync's runs that finished before the moment, in pieces; 0 when none is left.

        only_exported: of those whose log was exported.
        """

    def drop_runs(self, *, finished_before_us: int, limit: int) -> int:
        """Delete runs that finished before the moment and whose log is gone, save the one whose list the platform holds."""

    def add_snapshot_part(self, run: int, part: int, members: int, body: bytes) -> None:
        """Keep one part of a run's snapshot."""

    def add_run_operations(self, run: int, rows: Sequence[tuple[int, int, str]]) -> None:
        """Keep (member, line, operation) of what the platform has accepted."""

    def drop_run_operations(self, run: int, *, limit: int, through: tuple[int, int] = ...) -> int:
        """Forget the first ones up to a member and line, or all, in pieces; return how many."""

    def drop_operations_left(self, *, limit: int) -> int:
        """Forget those of runs that ended without a snapshot, in pieces; return how many."""

    def drop_snapshot(self, run: int) -> int:
        """Delete a run's snapshot."""

    def freeze_page(
        self, run: int, sync: int, *, after: int, members: int, keeps_out: bool, since_us: int = 0
    ) -> int | None:
        """Copy what the next `members` members of a sync want into the run's list; each entry once, the latest event's.

        after: the last member copied. keeps_out: members that are out and listed stay on the list (additive).
        since_us: of those who are in, only they whose latest event is not older.
        Returns the last member copied now, None when there are no more.
        """

    def strip_list(self, run: int, *, after: bytes, limit: int) -> bytes | None:
        """Take the payloads out of a frozen list that was uploaded, in pages; returns where to go on, None at its end."""

    def drop_list(self, run: int, *, limit: int) -> int:
        """Delete a frozen list in pieces; return how many entries went."""

    def lists_left(self) -> list[int]:
        """Runs whose frozen list nobody needs: they ended, and no sync says that its platform holds it."""

    def mark_listed(self, run: int, sync: int, *, after: int, members: int, now_us: int) -> int | None:
        """After an upload: records whose entry the list holds are present, others are not, and who is out and off it goes.

        In pages of members, as `freeze_page`.
        """
