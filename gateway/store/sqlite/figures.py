"""What operators ask of syncs and runs: sums over records and log lines, kept snapshots, requests of a run. Reads only."""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from gateway.store.rows import AttemptRow
from gateway.store.sqlite.records import _RECORD, _SETTLED, RecordReads, _record_row
from gateway.store.sqlite.runs import _RESULT, RunReads
from gateway.store.sqlite.session import json_list
from gateway.store.sqlite.settlements import _ATTEMPT, AttemptReads
from gateway.store.sync_rows import IN, RecordRow, RecordShares, ResultCount, RowResult, SnapshotRow

LINES_LOOKED_AT = 20_000  # of a run's log, for its last requests
ATTEMPT_SLACK_US = 60 * 1_000_000  # between a request's end and its keeping
# CASE, as AND and OR look for the word in the many records with nothing rare, too.
_TROUBLED = """CASE WHEN unmappable <> '' THEN 1 WHEN more <> x'' THEN instr(more, '"problem"') > 0 ELSE 0 END"""
_SHARED = (
    "(EXISTS (SELECT 1 FROM record AS other INDEXED BY record_holds WHERE other.sync = mine.sync "
    "AND other.sent_entry = mine.entry AND other.sent_entry <> x'' AND other.member <> mine.member) "
    "OR EXISTS (SELECT 1 FROM record AS other INDEXED BY record_wants WHERE other.sync = mine.sync "
    "AND other.entry = mine.entry AND other.entry <> x'' AND other.standing = 1 AND other.member < mine.member))"
)
# Each member once, however many lines: its line 0, else the first of the others.
_FIRST_LINE_IN = (
    "CASE WHEN standing = 1 THEN line = 0 OR NOT EXISTS (SELECT 1 FROM record AS other WHERE other.sync = mine.sync "
    "AND other.member = mine.member AND other.standing = 1 AND (other.line = 0 OR other.line < mine.line)) END"
)
_OLDER = "CASE WHEN ?2 <> '' AND state <> 0 THEN (SELECT config NOT IN (?2, '') FROM run WHERE run.id = mine.run) END"


class FigureReads(AttemptReads, RecordReads, RunReads):
    """Sums and samples for pages that people read."""

    def record_shares(self, sync: int, *, version: str = "") -> RecordShares:
        """Who makes up the difference between a sync's audience and its list; reads all its records, once.

        Those with trouble are read a second time, where there are any. version: of the mapping, for `older`; "" counts none.
        """
        row = self._row(
            f"SELECT total({_FIRST_LINE_IN}), count(*) - total({_SETTLED}), "
            "total(standing = 1 AND state = 0 AND unmappable = '' AND more = x''), "
            "total(standing = 1 AND state IN (1, 2) AND unmappable = '' AND fingerprint <> sent_fingerprint), "
            "total(standing = 0 AND state <> 0), total(standing = 2), total(state = 3), "
            "min(CASE WHEN NOT (standing = 1 AND state IN (1, 2) AND fingerprint = sent_fingerprint) AND unmappable = '' "
            "AND (standing = 1 OR state <> 0) THEN changed_us END), "
            f"total(CASE WHEN standing = 1 AND state = 0 AND entry <> x'' THEN {_SHARED} END), total({_TROUBLED}), "
            f"total({_OLDER}) FROM record AS mine WHERE sync = ?1",
            (sync, version),
        )
        assert row is not None
        shared = int(row[8])
        unmappable, problems = self._troubles(sync) if row[9] else ({}, [])
        return RecordShares(
            members_in=int(row[0]),
            waiting=int(row[1]),
            to_add=max(0, int(row[2]) - shared),
            to_update=int(row[3]),
            gone_and_listed=int(row[4]),
            to_erase=int(row[5]),
            unsure=int(row[6]),
            shared=shared,
            unmappable=unmappable,
            problems=problems,
            older=int(row[10]),
            oldest_unsent_us=int(row[7] or 0),
        )

    def _troubles(self, sync: int) -> tuple[dict[str, int], list[tuple[str, str, int]]]:
        """(members in that are unmappable, by code; (kind, code, records) of other problems, most first)."""
        unmappable: dict[str, int] = {}
        problems: dict[tuple[str, str], int] = {}
        for standing, why, kind, code, count in self._rows(
            "SELECT standing, unmappable, coalesce(json_extract(more_text, '$.problem.kind'), ''), "
            "coalesce(json_extract(more_text, '$.problem.code'), ''), count(*) FROM (SELECT standing, unmappable, "
            f"iif(more = x'', NULL, CAST(more AS TEXT)) AS more_text FROM record WHERE sync = ? AND {_TROUBLED}) "
            "GROUP BY 1, 2, 3, 4",
            (sync,),
        ):
            if why and standing == IN:
                unmappable[why] = unmappable.get(why, 0) + count
            if kind not in ("", "unmappable"):
                problems[kind, code] = problems.get((kind, code), 0) + count
        found = sorted(problems.items(), key=lambda one: -one[1])
        return unmappable, [(*key, count) for key, count in found]

    def troubled(self, sync: int, *, after: tuple[int, int] = (0, -(2**63)), limit: int = 1000) -> list[RecordRow]:
        """Records with a problem, or of whom nothing can be listed, in order of member and line."""
        rows = self._rows(
            f"SELECT {_RECORD} FROM record WHERE sync = ? AND (member, line) > (?, ?) AND {_TROUBLED} "
            "ORDER BY member, line LIMIT ?",
            (sync, *after, limit),
        )
        return [_record_row(row) for row in rows]

    def result_counts(self, run: int) -> list[ResultCount]:
        """Lines of a run's log that did not get through, by how and why, most first; the first message of each."""
        rows = self._rows(
            "SELECT one.stage, one.status, one.code, one.http_status, one.lines, row_result.message FROM "
            "(SELECT stage, status, code, http_status, count(*) AS lines, min(seq) AS first FROM row_result "
            "INDEXED BY row_result_wrong WHERE run = ?1 AND status IN ('rejected', 'failed', 'unsure', 'cancelled') "
            "AND status <> 'accepted' GROUP BY stage, status, code, http_status) AS one "
            "CROSS JOIN row_result ON row_result.run = ?1 AND row_result.seq = one.first ORDER BY one.lines DESC",
            (run,),
        )
        return [ResultCount(*row) for row in rows]

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
        # Asked for apart, each is one step into the table; asked for together, all of it is read.
        ends = self._row("SELECT (SELECT min(id) FROM attempt), (SELECT max(id) + 1 FROM attempt)")
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
        """Which of some deliveries a run planned: not settled yet, or among the last LINES_LOOKED_AT lines of its log."""
        listed = json_list(deliveries)
        rows = self._rows(
            "SELECT batch FROM (SELECT batch FROM row_result WHERE run = ?1 ORDER BY seq DESC LIMIT ?3) "
            "WHERE batch IN (SELECT value FROM json_each(?2)) UNION "
            "SELECT delivery FROM planned INDEXED BY planned_released WHERE delivery <> 0 "
            "AND delivery IN (SELECT value FROM json_each(?2)) AND run = ?1",
            (run, listed, LINES_LOOKED_AT),
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
