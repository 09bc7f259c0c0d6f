"""Runs: one open and one queued for each sync, their planned operations, the sync log, and the list a run froze."""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.store.sqlite.deliveries import DeliveryOrder
from gateway.store.sqlite.session import Session, json_list, pieces
from gateway.store.sync_rows import PlannedRow, RowResult, RunRow, RunStatus

_RUN = (
    'id, sync, kind, "trigger", status, scheduled_us, missed, coalesced, queued_us, due_us, started_us, finished_us, reason, '
    "approved_by, config, counters, progress"
)
_RUN_FIELDS = RunRow.__struct_fields__
_PLANNED = "id, run, phase, member, body, delivery"
_RESULT = (
    "run, seq, member_ref, operation, status, stage, code, message, http_status, attempts, batch, first_us, finished_us, "
    "fingerprint_before, fingerprint_after, fields"
)
_OPEN = (
    "run_open WHERE status IN ('planning', 'sending')",
    "run_held WHERE status = 'held'",
    "run_queued WHERE status = 'queued'",
)
_ID_MAX = 2**63 - 1
_RESULT_VALUES = ", ".join("?" for _ in RowResult.__struct_fields__[1:])  # the sync is the run's


class RunReads(Session):
    """Questions about runs."""

    def run(self, run: int) -> RunRow | None:
        """One run by its number."""
        row = self._row(f"SELECT {_RUN} FROM run WHERE id = ?", (run,))
        return None if row is None else _run_row(row)

    def runs(
        self, *, sync: int = 0, before_id: int = 0, status: RunStatus | str = "", limit: int = 100
    ) -> list[RunRow]:
        """Runs, newest first, filtered."""
        of_sync = "INDEXED BY run_sync WHERE sync = ?1" if sync else "WHERE ?1 = 0"
        rows = self._rows(
            f"SELECT {_RUN} FROM run {of_sync} AND id < ?2 AND (?3 = '' OR status = ?3) ORDER BY id DESC LIMIT ?4",
            (sync, before_id or _ID_MAX, status, limit),
        )
        return [_run_row(row) for row in rows]

    def runs_after(self, sync: int, run: int, *, limit: int = 100) -> list[RunRow]:
        """Runs of a sync behind one of them, oldest first."""
        rows = self._rows(
            f"SELECT {_RUN} FROM run INDEXED BY run_sync WHERE sync = ? AND id > ? ORDER BY id LIMIT ?",
            (sync, run, limit),
        )
        return [_run_row(row) for row in rows]

    def finished_runs(self, sync: int, *, limit: int) -> list[RunRow]:
        """Runs of a sync that have ended and looked at everybody, newest first."""
        rows = self._rows(
            f"SELECT {_RUN} FROM run INDEXED BY run_whole WHERE sync = ? AND finished_us > 0 "
            "AND kind NOT IN ('', 'live', 'clear') AND status IN ('succeeded', 'partial', 'failed') ORDER BY id DESC LIMIT ?",
            (sync, limit),
        )
        return [_run_row(row) for row in rows]

    def open_runs(self) -> list[RunRow]:
        """Runs that are planning, sending, held or queued, oldest first."""
        # One piece an index: asked for all at once, every run that was ever kept is looked at.
        pieces_of = " UNION ALL ".join(f"SELECT {_RUN} FROM run INDEXED BY {one}" for one in _OPEN)
        return [_run_row(row) for row in self._rows(f"{pieces_of} ORDER BY id")]

    def open_run(self, sync: int) -> RunRow | None:
        """The sync's run that is planning or sending, else the one that is held."""
        return self.running_run(sync) or self.held_run(sync)

    def running_run(self, sync: int) -> RunRow | None:
        """The sync's run that is planning or sending."""
        row = self._row(
            f"SELECT {_RUN} FROM run INDEXED BY run_open WHERE sync = ? AND status IN ('planning', 'sending')", (sync,)
        )
        return None if row is None else _run_row(row)

    def held_run(self, sync: int) -> RunRow | None:
        """The sync's run that waits for a person; a live run may go on beside it."""
        row = self._row(f"SELECT {_RUN} FROM run INDEXED BY run_held WHERE sync = ? AND status = 'held'", (sync,))
        return None if row is None else _run_row(row)

    def queued_run(self, sync: int) -> RunRow | None:
        """The sync's run that waits to start."""
        row = self._row(f"SELECT {_RUN} FROM run INDEXED BY run_queued WHERE sync = ? AND status = 'queued'", (sync,))
        return None if row is None else _run_row(row)

    def planned(self, run: int, *, phase: int, limit: int = 1000) -> list[PlannedRow]:
        """Operations of one phase that wait to be released to their lane, by id."""
        rows = self._rows(
            f"SELECT {_PLANNED} FROM planned INDEXED BY planned_waiting WHERE run = ? AND phase = ? AND delivery = 0 "
            "ORDER BY id LIMIT ?",
            (run, phase, limit),
        )
        return [PlannedRow(*row) for row in rows]

    def planned_of(self, deliveries: Iterable[int]) -> dict[int, PlannedRow]:
        """Operations by the deliveries they were released as."""
        found: dict[int, PlannedRow] = {}
        for piece in pieces(sorted(set(deliveries))):
            for row in self._connection.execute(
                f"SELECT {_PLANNED} FROM planned INDEXED BY planned_released "
                "WHERE delivery <> 0 AND delivery IN (SELECT value FROM json_each(?))",
                (json_list(piece),),
            ):
                found[row[5]] = PlannedRow(*row)
        return found

    def planned_left(self, run: int) -> tuple[int, int]:
        """(not released, released and not settled) of a run; counts all of them."""
        row = self._row(
            "SELECT count(*) FROM planned INDEXED BY planned_waiting WHERE run = ? AND delivery = 0", (run,)
        )
        return int(row[0]) if row else 0, self.released_count(run)

    def released_count(self, run: int) -> int:
        """Operations of a run that were released to its lane and are not settled."""
        row = self._row("SELECT count(*) FROM planned INDEXED BY planned_sent WHERE run = ? AND delivery <> 0", (run,))
        return int(row[0]) if row else 0

    def next_phase(self, run: int) -> int | None:
        """The first phase of a run with anything left in it."""
        row = self._row(
            "SELECT min(phase) FROM (SELECT min(phase) AS phase FROM planned INDEXED BY planned_waiting WHERE run = ?1 "
            "AND delivery = 0 UNION ALL SELECT min(phase) FROM planned INDEXED BY planned_sent WHERE run = ?1 AND delivery <> 0)",
            (run,),
        )
        return None if row is None or row[0] is None else int(row[0])

    def row_results(self, *, run: int, after_seq: int = 0, status: str = "", limit: int = 1000) -> list[RowResult]:
        """Lines of the sync log of one run, in order."""
        which = "row_result WHERE ?4 = ''" if not status else "row_result WHERE status = ?4"
        if status not in ("", "accepted"):
            which = "row_result INDEXED BY row_result_wrong WHERE status = ?4 AND status <> 'accepted'"
        rows = self._rows(
            f"SELECT (SELECT sync FROM run WHERE id = ?1), {_RESULT} FROM {which} "
            "AND run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            (run, after_seq, limit, status),
        )
        return [RowResult(*row) for row in rows]

    def snapshot_parts(self, run: int) -> list[tuple[int, bytes]]:
        """(members, compressed body) of a run's snapshot, in order."""
        return [
            (row[0], row[1])
            for row in self._rows("SELECT members, body FROM snapshot WHERE run = ? ORDER BY part", (run,))
        ]

    def snapshot_runs(self, sync: int) -> list[int]:
        """Runs of a sync that have a snapshot, newest first."""
        return [
            row[0]
            for row in self._rows(
                "SELECT DISTINCT run FROM snapshot JOIN run ON run.id = snapshot.run WHERE run.sync = ? ORDER BY run DESC",
                (sync,),
            )
        ]


class RunWrites(DeliveryOrder, RunReads):
    """What the scheduler, the runner and settling change."""

    def add_run(self, row: RunRow) -> int:
        """Keep a new run; return its number, or 0 where its tick was claimed before, or another is open or queued."""
        number = self._take_ids("run", 1)
        kept = self._run(
            f"INSERT OR IGNORE INTO run ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, *_run_values(row)),
        )
        return number if kept else 0

    def save_run(self, row: RunRow) -> None:
        """Write a run that is there."""
        self._run(
            'UPDATE run SET sync = ?, kind = ?, "trigger" = ?, status = ?, scheduled_us = ?, missed = ?, coalesced = ?, '
            "queued_us = ?, due_us = ?, started_us = ?, finished_us = ?, reason = ?, approved_by = ?, config = ?, counters = ?, "
            "progress = ? WHERE id = ?",
            (*_run_values(row), row.id),
        )

    def add_planned(self, rows: Sequence[PlannedRow]) -> None:
        """Keep operations; their ids are given here, in order."""
        if not rows:
            return
        first = self._take_ids("planned", len(rows))
        self._run_many(
            "INSERT INTO planned VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, row.run, row.phase, row.member, row.body, row.delivery)
                for number, row in enumerate(rows, first)
            ],
        )

    def save_planned(self, row: PlannedRow) -> None:
        """Write an operation that is there: its next part waits, or it has met trouble."""
        self._run(
            "UPDATE planned SET phase = ?, body = ?, delivery = ? WHERE id = ?",
            (row.phase, row.body, row.delivery, row.id),
        )

    def drop_plan(self, run: int, *, limit: int, unreleased: bool = True) -> list[PlannedRow]:
        """Take out what a run has not released (or, unreleased False, what was released and is owed no more); in pieces."""
        source = (
            "planned_waiting WHERE run = ? AND delivery = 0 ORDER BY phase, id"
            if unreleased
            else "planned_sent WHERE run = ? AND delivery <> 0 "
            "AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.id = planned.delivery) ORDER BY phase, delivery"
        )
        rows = self._rows(f"SELECT {_PLANNED} FROM planned INDEXED BY {source} LIMIT ?", (run, limit))
        self.drop_planned(row[0] for row in rows)
        return [PlannedRow(*row) for row in rows]

    def drop_unsent(self, run: int) -> int:
        """Delete a run's deliveries that no lane has claimed; return how many. What is on its way ends as it ends.

        Whatever else waits behind them, of another run or forwarded, is due from now on.
        """
        unsent = (
            "delivery WHERE state IN (0, 3) AND id IN "
            "(SELECT delivery FROM planned INDEXED BY planned_sent WHERE run = ? AND delivery <> 0)"
        )
        owners = {(row[0], row[1]) for row in self._rows(f"SELECT lane, member FROM {unsent}", (run,))}
        gone = self._run(f"DELETE FROM {unsent}", (run,))
        self._promote(sorted(owner for owner in owners if owner[1]))
        return gone

    def run_deliveries_claimed(self, *, lease_until_us: int) -> list[int]:
        """Deliveries of runs that are on their way, or were when the engine died, and whose leases end until then."""
        return [
            row[0]
            for row in self._rows(
                "SELECT id FROM delivery INDEXED BY delivery_claimed WHERE state = 1 AND run <> 0 AND lease_us <= ?",
                (lease_until_us,),
            )
        ]

    def release_planned(self, ids: Sequence[int], first_delivery: int) -> None:
        """Operations have become deliveries, of consecutive numbers."""
        self._run_many(
            "UPDATE planned SET delivery = ? WHERE id = ?", [(first_delivery + at, one) for at, one in enumerate(ids)]
        )

    def drop_planned(self, ids: Iterable[int]) -> None:
        """Operations are settled, or will not be sent."""
        self._run_many("DELETE FROM planned WHERE id = ?", ((one,) for one in ids))

    def add_row_results(self, rows: Sequence[RowResult]) -> None:
        """Keep lines of the sync log."""
        self._run_many(
            f"INSERT OR REPLACE INTO row_result ({_RESULT}) VALUES ({_RESULT_VALUES})",
            [tuple(getattr(row, name) for name in RowResult.__struct_fields__[1:]) for row in rows],
        )

    def next_result_seq(self, run: int) -> int:
        """The number of the next line of a run's log."""
        row = self._row("SELECT coalesce(max(seq), 0) + 1 FROM row_result WHERE run = ?", (run,))
        return int(row[0]) if row else 1

    def drop_results(self, run: int, *, limit: int) -> int:
        """Delete the first lines of a run's log; return how many. More may follow."""
        return self._run(
            "DELETE FROM row_result WHERE run = ?1 AND seq IN (SELECT seq FROM row_result WHERE run = ?1 ORDER BY seq LIMIT ?2)",
            (run, limit),
        )

    def drop_row_results(self, sync: int, *, finished_before_us: int, limit: int, only_exported: bool = False) -> int:
        """Delete log lines of a sync's runs that finished before the moment, in pieces; 0 when none is left.

        only_exported: of those whose log was exported.
        """
        exported = "AND EXISTS (SELECT 1 FROM log_export WHERE log_export.run = run.id)" if only_exported else ""
        runs = self._rows(
            "SELECT id FROM run INDEXED BY run_logged WHERE sync = ? AND has_log = 1 AND finished_us > 0 AND finished_us < ? "
            f"{exported} ORDER BY finished_us LIMIT ?",
            (sync, finished_before_us, limit),
        )
        gone = 0
        for (run,) in runs:
            if gone >= limit:
                break
            gone += self._drop_log(run, limit - gone)
        return gone

    def _drop_log(self, run: int, limit: int) -> int:
        """Delete up to so many lines of a run's log; a run that has none left is not looked at again, and counts as one."""
        gone = self.drop_results(run, limit=limit)
        if gone == limit:
            return gone
        return gone + self._run("UPDATE run SET has_log = 0 WHERE id = ?", (run,))

    def drop_runs(self, *, finished_before_us: int, limit: int) -> int:
        """Delete runs that finished before the moment and whose log is gone, save the one whose list the platform holds."""
        return self._run(
            "DELETE FROM run WHERE id IN (SELECT id FROM run INDEXED BY run_finished WHERE finished_us > 0 AND finished_us < ? "
            "AND NOT EXISTS (SELECT 1 FROM row_result WHERE run = run.id) "
            "AND NOT EXISTS (SELECT 1 FROM sync WHERE listed_run = run.id) LIMIT ?)",
            (finished_before_us, limit),
        )

    def add_snapshot_part(self, run: int, part: int, members: int, body: bytes) -> None:
        """Keep one part of a run's snapshot."""
        self._run("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)", (run, part, members, body))

    def drop_snapshot(self, run: int) -> int:
        """Delete a run's snapshot."""
        return self._run("DELETE FROM snapshot WHERE run = ?", (run,))


def _run_row(row: Sequence[Any]) -> RunRow:
    return RunRow(**dict(zip(_RUN_FIELDS, row, strict=True)))


def _run_values(row: RunRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in _RUN_FIELDS[1:])
