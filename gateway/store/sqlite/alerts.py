"""Alerts that stand, the notices that sinks owe, and bounded counts over what alerts are judged by."""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from collections.abc import Sequence

from gateway.store.alert_rows import AlertRow, NoticeRow, WaitingCount, WaitingPage
from gateway.store.sqlite.record_counts import WAITING
from gateway.store.sqlite.session import Session

ALERTS_ARE_TOLD = (
    "ALTER TABLE alert ADD COLUMN told_us INTEGER NOT NULL DEFAULT 0",
    # One row a sink; the one with an empty sink stands for all of them, until the courier has looked.
    """CREATE TABLE notice (
        id INTEGER PRIMARY KEY, number INTEGER NOT NULL, sink TEXT NOT NULL, body BLOB NOT NULL, created_us INTEGER NOT NULL,
        due_us INTEGER NOT NULL, failures INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX notice_due ON notice (sink, due_us)",
)

_ALERT = "sync, name, level, since_us, message, told_us"
_NOTICE = "id, number, sink, body, created_us, due_us, failures"
_MEMBER_MAX = 2**63 - 1
_PROBLEM = "json_extract(CAST(more AS TEXT), '$.problem.{}')"
# Refused, and still what was refused: nothing waits to be sent.
_QUARANTINED = (
    f"(more <> x'' AND {_PROBLEM.format('kind')} = 'rejected' "
    f"AND {_PROBLEM.format('fingerprint')} IN (lower(hex(fingerprint)), lower(hex(sent_fingerprint))))"
)
# Another member holds the same entry: one line of the list stands for both.
_SHARED = (
    "EXISTS (SELECT 1 FROM record AS other INDEXED BY record_holds WHERE other.sync = record.sync "
    "AND other.sent_entry = record.entry AND other.sent_entry <> x'' AND other.member <> record.member)"
)
_OPERATION = f"""CASE
    WHEN standing = 1 AND state IN (1, 2) AND fingerprint = sent_fingerprint AND more = x'' THEN ''
    WHEN {_QUARANTINED} THEN ''
    WHEN standing = 2 THEN 'erase'
    WHEN standing = 0 THEN iif(state <> 0 OR instr(more, CAST('"unknown_exit":true' AS BLOB)) > 0, 'remove', '')
    WHEN unmappable <> '' OR entry = x'' THEN ''
    WHEN state = 0 THEN iif({_SHARED}, '', 'add')
    WHEN entry <> sent_entry THEN 'replace'
    WHEN state = 3 THEN 'add'
    WHEN fingerprint <> sent_fingerprint THEN 'update'
    ELSE '' END"""
_SINCE = f"iif(state = 3 AND more <> x'', coalesce({_PROBLEM.format('first_us')}, changed_us), changed_us)"


class AlertReads(Session):
    """Questions about alerts and notices."""

    def alerts(self, sync: int = 0) -> list[AlertRow]:
        """Alerts that stand, of one sync or of all."""
        of_sync = "sync = ?1" if sync else "?1 = 0"
        rows = self._rows(f"SELECT {_ALERT} FROM alert WHERE {of_sync} ORDER BY sync, name", (sync,))
        return [AlertRow(*row) for row in rows]

    def alert(self, sync: int, name: str) -> AlertRow | None:
        """One alert, where it stands."""
        row = self._row(f"SELECT {_ALERT} FROM alert WHERE sync = ? AND name = ?", (sync, name))
        return None if row is None else AlertRow(*row)

    def notices_due(self, sink: str, *, now_us: int, limit: int) -> list[NoticeRow]:
        """What a sink owes and may try now, the longest due first; "" gives what nobody was told to owe yet."""
        rows = self._rows(
            f"SELECT {_NOTICE} FROM notice WHERE sink = ? AND due_us <= ? ORDER BY due_us, id LIMIT ?",
            (sink, now_us, limit),
        )
        return [NoticeRow(**dict(zip(NoticeRow.__struct_fields__, row, strict=True))) for row in rows]

    def lane_holds(self) -> dict[str, str]:
        """Lanes that are held, with what holds them."""
        return {self._text(row[0]): row[1] for row in self._rows("SELECT lane, hold FROM lane WHERE hold <> ''")}

    def waiting_page(self, sync: int, *, after: int, rows: int) -> WaitingPage:
        """How the records of the next members stand, behind a member; about `rows` of them are read, the settled ones not."""
        found = self._row(
            f"SELECT member FROM {WAITING} AND sync = ? AND member > ? ORDER BY member LIMIT 1 OFFSET ?",
            (sync, after, max(0, rows - 1)),
        )
        last = None if found is None else int(found[0])
        operations: dict[str, WaitingCount] = {}
        unsure = WaitingCount()
        read = 0
        for operation, is_unsure, count, since_us in self._rows(
            f"SELECT {_OPERATION} AS operation, state = 3 AS is_unsure, count(*), min({_SINCE}) FROM {WAITING} "
            "AND sync = ? AND member > ? AND member <= ? GROUP BY 1, 2",
            (sync, after, _MEMBER_MAX if last is None else last),
        ):
            read += count
            one = WaitingCount(count, since_us)
            if operation:
                operations[operation] = one.joined(operations.get(operation))
            if is_unsure:
                unsure = one.joined(unsure)
        return WaitingPage(operations=operations, unsure=unsure, last=last, rows=read)


class AlertWrites(AlertReads):
    """What judging and telling change."""

    def put_alert(self, row: AlertRow) -> None:
        """Let an alert stand, or write anew how it stands."""
        self._run(
            f"INSERT OR REPLACE INTO alert ({_ALERT}) VALUES (?, ?, ?, ?, ?, ?)",
            (row.sync, row.name, row.level, row.since_us, row.message, row.told_us),
        )

    def drop_alert(self, sync: int, name: str) -> bool:
        """Take an alert back; False where there was none."""
        return self._run("DELETE FROM alert WHERE sync = ? AND name = ?", (sync, name)) > 0

    def add_notice(self, body: bytes, *, now_us: int) -> int:
        """Keep a telling that nobody owes yet; return its number."""
        number = self._take_ids("notice", 1)
        self._run(
            "INSERT INTO notice (number, sink, body, created_us, due_us, failures) VALUES (?, '', ?, ?, ?, 0)",
            (number, body, now_us, now_us),
        )
        return number

    def share_notices(self, sinks: Sequence[str], *, now_us: int, kept_max: int) -> int:
        """Let each sink owe what nobody owed yet. Each keeps the newest kept_max; return how many were lost."""
        lost = 0
        for sink in sinks:
            self._run(
                "INSERT INTO notice (number, sink, body, created_us, due_us, failures) "
                "SELECT number, ?, body, created_us, ?, 0 FROM notice WHERE sink = '' ORDER BY id",
                (sink, now_us),
            )
            lost += self._run(
                "DELETE FROM notice WHERE sink = ?1 AND id <= "
                "(SELECT id FROM notice WHERE sink = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (sink, kept_max),
            )
        self._run("DELETE FROM notice WHERE sink = ''")
        # A sink that was taken out of the settings owes nothing any more.
        marks = ", ".join("?" for _ in sinks) or "''"
        self._run(f"DELETE FROM notice WHERE sink NOT IN ({marks})", tuple(sinks))
        return lost

    def save_notice(self, row: NoticeRow) -> None:
        """Write how a notice stands after an attempt."""
        self._run("UPDATE notice SET due_us = ?, failures = ? WHERE id = ?", (row.due_us, row.failures, row.id))

    def drop_notice(self, notice: int) -> None:
        """Nobody owes it any more."""
        self._run("DELETE FROM notice WHERE id = ?", (notice,))
