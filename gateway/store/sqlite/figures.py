"""What operators ask of syncs and runs: sums over records and log lines, kept snapshots, requests of a run. Reads only."""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from gateway.store.rows import AttemptRow
from gateway.store.sqlite.records import _RECORD, RecordReads, _record_row
from gateway.store.sqlite.runs import _RESULT, RunReads
from gateway.store.sqlite.session import json_list
from gateway.store.sqlite.settlements import _ATTEMPT, AttemptReads
from gateway.store.sync_rows import RecordRow, RecordShares, ResultCount, RowResult, SnapshotRow

ATTEMPT_SLACK_US = 60 * 1_000_000  # between a request's end and its keeping
_TROUBLED = """(unmappable <> '' OR (more <> x'' AND instr(more, '"problem"') > 0))"""
_SHARED = (
    "(EXISTS (SELECT 1 FROM record AS other INDEXED BY record_holds WHERE other.sync = mine.sync "
    "AND other.sent_entry = mine.entry AND other.sent_entry <> x'' AND other.member <> mine.member) "
    "OR EXISTS (SELECT 1 FROM record AS other INDEXED BY record_wants WHERE other.sync = mine.sync "
    "AND other.entry = mine.entry AND other.entry <> x'' AND other.standing = 1 AND other.member < mine.member))"
)


class FigureReads(AttemptReads, RecordReads, RunReads):
    """Sums and samples for pages that people read."""

    def record_shares(self, sync: int) -> RecordShares:
        """Who makes up the difference between a sync's audience and its list; reads all its records."""
        row = self._row(
            "SELECT total(standing = 1 AND state = 0 AND unmappable = '' AND more = x''), "
            "total(standing = 1 AND state IN (1, 2) AND unmappable = '' AND fingerprint <> sent_fingerprint), "
            "total(standing = 0 AND state <> 0), total(standing = 2), total(state = 3), "
            "min(CASE WHEN NOT (standing = 1 AND state IN (1, 2) AND fingerprint = sent_fingerprint) AND unmappable = '' "
            "AND (standing = 1 OR state <> 0) THEN changed_us END) FROM record WHERE sync = ?",
            (sync,),
        )
        assert row is not None
        shared = self._row(
            "SELECT count(*) FROM record AS mine WHERE sync = ? AND standing = 1 AND state = 0 AND entry <> x'' "
            f"AND {_SHARED}",
            (sync,),
        )
        assert shared is not None
        unmappable = dict(
            self._rows(
                "SELECT unmappable, count(*) FROM record WHERE sync = ? AND standing = 1 AND unmappable <> '' GROUP BY unmappable",
                (sync,),
            )
        )
        return RecordShares(
            to_add=max(0, int(row[0]) - int(shared[0])),
            to_update=int(row[1]),
            gone_and_listed=int(row[2]),
            to_erase=int(row[3]),
            unsure=int(row[4]),
            shared=int(shared[0]),
            unmappable=unmappable,
            oldest_unsent_us=int(row[5] or 0),
        )

    def listed_by_version(self, sync: int) -> dict[str, int]:
        """Listed records by the mapping version of the run that stored them last; "" where that run is no longer kept."""
        rows = self._rows(
            "SELECT coalesce((SELECT config FROM run WHERE run.id = stored.run), ''), total(stored.listed) FROM "
            "(SELECT run, count(*) AS listed FROM record WHERE sync = ? AND state <> 0 GROUP BY run) AS stored GROUP BY 1",
            (sync,),
        )
        return {row[0]: int(row[1]) for row in rows}

    def problem_counts(self, sync: int) -> list[tuple[str, str, int]]:
        """(kind, code, how many records) of problems, unmappable ones aside."""
        return self._rows(
            "SELECT coalesce(json_extract(CAST(more AS TEXT), '$.problem.kind'), '') AS kind, "
            "coalesce(json_extract(CAST(more AS TEXT), '$.problem.code'), '') AS code, count(*) FROM record WHERE sync = ? "
            """AND more <> x'' AND instr(more, '"problem"') > 0 GROUP BY kind, code HAVING kind <> 'unmappable' """
            "ORDER BY 3 DESC",
            (sync,),
        )

    def troubled(self, sync: int, *, after: tuple[int, int] = (0, -(2**63)), limit: int = 1000) -> list[RecordRow]:
        """Records with a problem, or of whom nothing can be listed, in order of member and line."""
        rows = self._rows(
            f"SELECT {_RECORD} FROM record WHERE sync = ? AND (member, line) > (?, ?) AND {_TROUBLED} "
            "ORDER BY member, line LIMIT ?",
            (sync, *after, limit),
        )
        return [_record_row(row) for row in rows]

    def result_counts(self, run: int) -> list[ResultCount]:
        """Lines of a run's log that did not get through, by how and why, most first; one message of each."""
        rows = self._rows(
            "SELECT stage, status, code, http_status, count(*), max(message) FROM row_result WHERE run = ? "
            "AND status IN ('rejected', 'failed', 'unsure', 'cancelled') GROUP BY stage, status, code, http_status "
            "ORDER BY 5 DESC",
            (run,),
        )
        return [ResultCount(*row) for row in rows]

    def result_span(self, run: int) -> tuple[int, int]:
        """(first request, last answer) of a run, by its log; zeros where it holds no line of a request."""
        row = self._row(
            "SELECT min(first_us), max(finished_us) FROM row_result WHERE run = ? AND batch <> 0 AND first_us > 0",
            (run,),
        )
        return (int(row[0] or 0), int(row[1] or 0)) if row else (0, 0)

    def results_of_member(self, run: int, member_ref: str, *, limit: int = 100) -> list[RowResult]:
        """Lines of one run's log about one member, newest first."""
        rows = self._rows(
            f"SELECT (SELECT sync FROM run WHERE id = ?1), {_RESULT} FROM row_result WHERE run = ?1 AND member_ref = ?2 "
            "ORDER BY seq DESC LIMIT ?3",
            (run, member_ref, limit),
        )
        return [RowResult(*row) for row in rows]

    def attempts_between(
        self, lane: str, mapping: str, from_us: int, to_us: int, *, limit: int = 1000
    ) -> list[AttemptRow]:
        """The last requests of one mapping that began and ended in [from_us, to_us], oldest first."""
        ids = self._text_id(lane), self._text_id(mapping)
        if None in ids:
            return []
        rows = self._rows(
            f"SELECT {_ATTEMPT} FROM attempt WHERE id >= ? AND id < ? AND lane = ? AND mapping = ? "
            "AND started_us BETWEEN ? AND ? ORDER BY id DESC LIMIT ?",
            (
                self._first_attempt(from_us - ATTEMPT_SLACK_US),
                self._first_attempt(to_us + ATTEMPT_SLACK_US),
                *ids,
                from_us,
                to_us,
                limit,
            ),
        )
        return [self._attempt_row(row) for row in reversed(rows)]

    def _first_attempt(self, ended_us: int) -> int:
        """The id of about the first request that ended at a moment or later: ids are given when requests have ended."""
        ends = self._row("SELECT min(id), max(id) + 1 FROM attempt")
        low, high = ends if ends is not None and ends[0] is not None else (0, 0)
        while low < high:
            middle = (low + high) // 2
            row = self._row(
                "SELECT id, started_us + duration_ms * 1000 FROM attempt WHERE id >= ? ORDER BY id LIMIT 1", (middle,)
            )
            if row is not None and row[1] < ended_us:
                low = int(row[0]) + 1
            else:
                high = middle
        return int(low)

    def deliveries_of_run(self, run: int, deliveries: list[int]) -> set[int]:
        """Which of some deliveries a run planned, settled or not."""
        listed = json_list(deliveries)
        rows = self._rows(
            "SELECT batch FROM row_result WHERE run = ?1 AND batch IN (SELECT value FROM json_each(?2)) UNION "
            "SELECT delivery FROM planned INDEXED BY planned_released WHERE delivery <> 0 "
            "AND delivery IN (SELECT value FROM json_each(?2)) AND run = ?1",
            (run, listed),
        )
        return {row[0] for row in rows}

    def snapshots(self, *, sync: int = 0, before_run: int = 0, limit: int = 100) -> list[SnapshotRow]:
        """Kept snapshots, newest run first, of one sync or of all."""
        rows = self._rows(
            "SELECT run.sync, snapshot.run, run.finished_us, sum(members), sum(length(body)) FROM snapshot JOIN run "
            "ON run.id = snapshot.run WHERE (?1 = 0 OR run.sync = ?1) AND (?2 = 0 OR snapshot.run < ?2) "
            "GROUP BY snapshot.run ORDER BY snapshot.run DESC LIMIT ?3",
            (sync, before_run, limit),
        )
        return [SnapshotRow(*row) for row in rows]
