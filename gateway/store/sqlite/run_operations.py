"""What a run has done for each member so far, until its snapshot has taken it in."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.store.sqlite.session import Session

RUNS_REMEMBER_OPERATIONS = (
    """CREATE TABLE run_operation (
        run INTEGER NOT NULL, member INTEGER NOT NULL, line INTEGER NOT NULL, operation TEXT NOT NULL,
        PRIMARY KEY (run, member, line)
    ) STRICT, WITHOUT ROWID""",
)


class RunOperationReads(Session):
    """Questions about them."""

    def run_operations(self, run: int, *, after: tuple[int, int], limit: int) -> list[tuple[int, int, str]]:
        """(member, line, operation) behind a member and line, in order."""
        rows = self._rows(
            "SELECT member, line, operation FROM run_operation WHERE run = ? AND (member, line) > (?, ?) "
            "ORDER BY member, line LIMIT ?",
            (run, *after, limit),
        )
        return [(row[0], row[1], row[2]) for row in rows]


class RunOperationWrites(RunOperationReads):
    """What runs and snapshots change of them."""

    def add_run_operations(self, run: int, rows: Sequence[tuple[int, int, str]]) -> None:
        """Keep (member, line, operation) of what the platform has accepted."""
        self._run_many(
            "INSERT OR REPLACE INTO run_operation VALUES (?, ?, ?, ?)",
            [(run, member, line, operation) for member, line, operation in rows],
        )

    def drop_run_operations(self, run: int, *, limit: int, through: tuple[int, int] = (2**63 - 1, 2**63 - 1)) -> int:
        """Forget the first ones up to a member and line, in pieces; return how many."""
        return self._run(
            "DELETE FROM run_operation WHERE (run, member, line) IN (SELECT run, member, line FROM run_operation "
            "WHERE run = ? AND (member, line) <= (?, ?) ORDER BY member, line LIMIT ?)",
            (run, *through, limit),
        )

    def drop_operations_left(self, *, limit: int) -> int:
        """Forget those of runs that ended without a snapshot, in pieces; return how many."""
        row = self._row(
            "SELECT min(run.id) FROM run WHERE run.finished_us > 0 AND run.id IN ("
            "WITH RECURSIVE kept(run) AS (SELECT min(run) FROM run_operation UNION ALL "
            "SELECT (SELECT min(run) FROM run_operation WHERE run > kept.run) FROM kept WHERE kept.run IS NOT NULL) "
            "SELECT run FROM kept WHERE run IS NOT NULL)"
        )
        return 0 if row is None or row[0] is None else self.drop_run_operations(row[0], limit=limit)
