"""Which runs' logs were written to the export folder: a row a run, as long as the run is kept."""

from __future__ import annotations

from gateway.store.sqlite.session import Session

LOG_EXPORTS = "CREATE TABLE log_export (run INTEGER PRIMARY KEY) STRICT"
"""Migration. In: the log of that run lies in the export folder, whole."""


class LogExportReads(Session):
    """Questions about exports."""

    def runs_to_export(self, *, after: int = 0, limit: int = 100) -> list[int]:
        """Ended runs with log lines that were not exported yet, behind a run, in order."""
        rows = self._rows(
            "SELECT id FROM run WHERE id > ? AND finished_us > 0 AND NOT EXISTS (SELECT 1 FROM log_export WHERE run = run.id) "
            "AND EXISTS (SELECT 1 FROM row_result WHERE row_result.run = run.id) ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [row[0] for row in rows]

    def exported_through(self, after: int) -> int:
        """The last run before the first that has not ended, behind a run: nothing up to it is still to come."""
        row = self._row("SELECT min(id) - 1 FROM run WHERE id > ? AND finished_us = 0", (after,))
        if row is not None and row[0] is not None:
            return max(after, int(row[0]))
        last = self._row("SELECT coalesce(max(id), 0) FROM run")
        return max(after, int(last[0]) if last else 0)


class LogExportWrites(LogExportReads):
    """What the exporter remembers."""

    def mark_exported(self, run: int) -> None:
        """The log of a run lies in the export folder."""
        self._run("INSERT OR IGNORE INTO log_export VALUES (?)", (run,))

    def drop_exports(self, *, limit: int) -> int:
        """Forget exports of runs that are no longer kept; return how many."""
        return self._run(
            "DELETE FROM log_export WHERE run IN (SELECT run FROM log_export WHERE run < (SELECT coalesce(min(id), 0) FROM run) "
            "LIMIT ?)",
            (limit,),
        )
