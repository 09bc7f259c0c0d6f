"""What operators ask of syncs and runs: sums over records and log lines, kept snapshots, requests of a run. Reads only."""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from gateway.store.rows import AttemptRow
from gateway.store.sqlite.attempts import ATTEMPT_COLUMNS, AttemptReads
from gateway.store.sqlite.record_counts import WAITING
from gateway.store.sqlite.records import _RECORD, RecordReads, _record_row
from gateway.store.sqlite.runs import _RESULT, RunReads
from gateway.store.sqlite.session import json_list
from gateway.store.sync_rows import (
    ABSENT,
    ASSUMED,
    ERASED,
    IN,
    OUT,
    PRESENT,
    UNSURE,
    RecordRow,
    RecordShares,
    ResultCount,
    RowResult,
    SnapshotRow,
    UnsentPage,
)

LINES_LOOKED_AT = 20_000  # of a run's log, for its last requests
UNSENT_ROWS = 10_000  # of one look at what waits: some tens of milliseconds
_BEHIND_ALL = (2**63 - 1, 2**63 - 1)
ATTEMPT_SLACK_US = 60 * 1_000_000  # between a request's end and its keeping
# CASE, as AND and OR look for the word in the many records with nothing rare, too.
_TROUBLED = """CASE WHEN unmappable <> '' THEN 1 WHEN more <> x'' THEN instr(more, '"problem"') > 0 ELSE 0 END"""
_SHARED = (
    "(EXISTS (SELECT 1 FROM record AS other INDEXED BY record_holds WHERE other.sync = mine.sync "
    "AND other.sent_entry = mine.entry AND other.sent_entry <> x'' AND other.member <> mine.member) "
    "OR EXISTS (SELECT 1 FROM record AS other INDEXED BY record_wants WHERE other.sync = mine.sync "
    "AND other.entry = mine.entry AND other.entry <> x'' AND other.standing = 1 AND other.member < mine.member))"
)
# Since when a record waits for its next run; NULL where nothing of it would be sent.
_SINCE = (
    "CASE WHEN NOT (standing = 1 AND state IN (1, 2) AND fingerprint = sent_fingerprint) AND unmappable = '' "
    "AND (standing = 1 OR state <> 0) THEN changed_us END"
)


class FigureReads(AttemptReads, RecordReads, RunReads):
    """Sums and samples for pages that people read."""

    def record_shares(self, sync: int, *, version: str = "") -> RecordShares:
        """Who makes up the difference between a sync's audience and its list, as counted.

        version: of the mapping, for `older`; "" counts none. `unsent_page` adds what only a look at those that wait can tell.
        """
        rows = self._rows(
            "SELECT standing, state, is_same, has_more, unmappable, problem, records FROM record_count "
            "WHERE sync = ? AND records > 0",
            (sync,),
        )
        unmappable: dict[str, int] = {}
        problems: dict[str, int] = {}
        kinds = dict.fromkeys(("waiting", "to_add", "to_update", "gone_and_listed", "to_erase", "unsure"), 0)
        for standing, state, is_same, has_more, why, problem, count in rows:
            is_in = standing == IN
            is_sent = is_in and state in (PRESENT, ASSUMED)
            kinds["waiting"] += 0 if is_sent and is_same and not has_more and not why else count
            kinds["to_add"] += count if is_in and state == ABSENT and not why and not has_more else 0
            kinds["to_update"] += count if is_sent and not why and not is_same else 0
            kinds["gone_and_listed"] += count if standing == OUT and state != ABSENT else 0
            kinds["to_erase"] += count if standing == ERASED else 0
            kinds["unsure"] += count if state == UNSURE else 0
            if why and is_in:
                unmappable[why] = unmappable.get(why, 0) + count
            if problem and not problem.startswith(("unmappable ", " ")):
                problems[problem] = problems.get(problem, 0) + count
        return RecordShares(
            members_in=self._people_in(sync),
            unmappable=unmappable,
            problems=[
                (*_kind_and_code(one), count) for one, count in sorted(problems.items(), key=lambda each: -each[1])
            ],
            older=self._older(sync, version) if version else 0,
            **kinds,
        )

    def _people_in(self, sync: int) -> int:
        row = self._row("SELECT people FROM record_people WHERE sync = ?", (sync,))
        return int(row[0]) if row else 0

    def _older(self, sync: int, version: str) -> int:
        """Records listed by runs of other versions of the mapping, as far as those runs are kept."""
        row = self._row(
            "SELECT total(record_run.records) FROM record_run CROSS JOIN run ON run.id = record_run.run "
            "WHERE record_run.sync = ? AND run.config NOT IN (?, '')",
            (sync, version),
        )
        return int(row[0]) if row else 0

    def unsent_page(self, sync: int, *, after: tuple[int, int], limit: int = UNSENT_ROWS) -> UnsentPage:
        """What of the next records that wait is shared, and since when the oldest of them does; behind (member, line)."""
        rows = self._rows(
            f"SELECT member, line FROM {WAITING} AND sync = ? AND (member, line) > (?, ?) ORDER BY member, line LIMIT 1 OFFSET ?",
            (sync, *after, limit - 1),
        )
        last = (rows[0][0], rows[0][1]) if rows else None
        row = self._row(
            f"SELECT total(CASE WHEN standing = 1 AND state = 0 AND entry <> x'' THEN {_SHARED} END), min({_SINCE}) "
            f"FROM {WAITING.replace('record', 'record AS mine', 1)} AND sync = ? AND (member, line) > (?, ?) "
            "AND (member, line) <= (?, ?)",
            (sync, *after, *(last or _BEHIND_ALL)),
        )
        assert row is not None
        return UnsentPage(shared=int(row[0]), oldest_us=int(row[1] or 0), last=last)

    def troubled(self, sync: int, *, after: tuple[int, int] = (0, -(2**63)), limit: int = 1000) -> list[RecordRow]:
        """Records with a problem, or of whom nothing can be listed, in order of member and line."""
        rows = self._rows(
            f"SELECT {_RECORD} FROM {WAITING} AND sync = ? AND (member, line) > (?, ?) AND {_TROUBLED} "
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
            f"SELECT (SELECT sync FROM run WHERE id = ?1), {_RESULT} FROM row_result INDEXED BY row_result_member "
            "WHERE run = ?1 AND member_ref = ?2 "
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
            f"SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE id >= ? AND id < ? AND lane = ? AND mapping = ? "
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


def _kind_and_code(problem: str) -> tuple[str, str]:
    kind, _, code = problem.partition(" ")
    return kind, code
