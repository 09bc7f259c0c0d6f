"""What one whole list changes of the one before, person by person and in pages: for the log of the run that froze it."""

from __future__ import annotations

from typing import Any

from gateway.store.sqlite.session import Session
from gateway.store.sync_rows import ListChange

_NAMED = """
    SELECT one.entry, one.member, coalesce(record.line, 0), one.payload, record.fingerprint, record.sent_fingerprint,
        other.entry IS NOT NULL,
        record.line = 0 AND EXISTS (SELECT 1 FROM listed AS old WHERE old.member = one.member AND old.run = ?2
            AND NOT EXISTS (SELECT 1 FROM listed AS kept WHERE kept.run = ?1 AND kept.entry = old.entry)),
        coalesce(record.state, 0)
    FROM (SELECT entry, member, payload FROM listed WHERE run = ?1 AND entry > ?4 ORDER BY entry LIMIT ?5) AS one
    LEFT JOIN listed AS other ON other.run = ?2 AND other.entry = one.entry
    LEFT JOIN record ON record.sync = ?3 AND record.member = one.member AND record.entry = one.entry"""

# Whoever stands on the new list under other identifiers (a member with one record) was told of with these.
_DROPPED = """
    SELECT one.entry, one.member, coalesce(record.line, 0), coalesce(record.payload, x''), record.sent_fingerprint,
        coalesce(record.state, 0)
    FROM (SELECT entry, member FROM listed WHERE run = ?2 AND entry > ?4 AND entry <= ?5) AS one
    LEFT JOIN record ON one.member <> 0 AND record.sync = ?3 AND record.member = one.member AND record.entry = one.entry
    WHERE NOT EXISTS (SELECT 1 FROM listed AS other WHERE other.run = ?1 AND other.entry = one.entry)
        AND (one.member = 0 OR NOT EXISTS (SELECT 1 FROM listed AS new
            JOIN record AS now ON now.sync = ?3 AND now.member = new.member AND now.line = 0 AND now.entry = new.entry
            WHERE new.member = one.member AND new.run = ?1
                AND NOT EXISTS (SELECT 1 FROM listed AS old WHERE old.run = ?2 AND old.entry = new.entry)))"""

_CHARACTERS = 8  # of a fingerprint, as the log shows it


class ListChangeReads(Session):
    """Questions about two frozen lists and the records they were made of. Ask before the records are marked."""

    def list_named(
        self, run: int, before: int, sync: int, *, after: bytes, limit: int
    ) -> tuple[list[ListChange], bytes | None]:
        """Of the next entries of a run's list, what is new or other than on `before`; and the last entry, None at the end.

        before: 0 for none. Those that are on both and the same have operation "".
        """
        rows = sorted(self._rows(_NAMED, (run, before, sync, after, limit)), key=_place)
        # An exit of somebody unknown has a record beside that of the line: the one that is listed comes last.
        found = {row[0]: row for row in rows}
        return [_named(*row[1:]) for row in found.values()], rows[-1][0] if len(found) == limit else None

    def list_dropped(
        self, run: int, before: int, sync: int, *, after: bytes, limit: int
    ) -> tuple[list[ListChange], bytes | None]:
        """Of the next entries of `before`, those that the run's list lacks; and the last entry looked at, None at the end.

        An entry of somebody who was deleted has member 0.
        """
        last = self._row(
            "SELECT max(entry), count(*) FROM (SELECT entry FROM listed WHERE run = ? AND entry > ? ORDER BY entry LIMIT ?)",
            (before, after, limit),
        )
        if last is None or last[0] is None:
            return [], None
        rows = sorted(self._rows(_DROPPED, (run, before, sync, after, last[0])), key=_place)
        changes = {
            entry: ListChange(member, line, "remove" if member else "erase", payload, before=_shown(sent))
            for entry, member, line, payload, sent, _state in rows
        }
        return list(changes.values()), bytes(last[0]) if last[1] == limit else None


def _place(row: tuple[Any, ...]) -> tuple[bytes, int]:
    """By entry, then by the state of its record, which comes last in both."""
    return row[0], row[-1]


def _named(
    member: int,
    line: int,
    payload: bytes,
    wanted: bytes | None,
    sent: bytes | None,
    was_there: int,
    moved: int,
    state: int,
) -> ListChange:
    if not was_there:
        if moved:
            return ListChange(member, line, "update", payload, before=_shown(sent), after=_shown(wanted))
        return ListChange(member, line, "add", payload, after=_shown(wanted))
    is_other = state != 0 and sent != wanted
    return ListChange(
        member, line, "update" if is_other else "", payload, before=_shown(sent) if state else "", after=_shown(wanted)
    )


def _shown(fingerprint: bytes | None) -> str:
    return "" if fingerprint is None else fingerprint.hex()[:_CHARACTERS]
