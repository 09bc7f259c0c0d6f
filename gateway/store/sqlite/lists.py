"""Whole lists as runs froze them: copied from the records in pages, read by uploads, compared with the list before."""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from gateway.store.sqlite.list_changes import ListChangeReads

PAGE_ROWS = 5_000
KEPT_PAGE_ROWS = 50_000  # where who is out is looked for, too, which no index helps with: fewer, larger pages

Wanted = tuple[bytes, int, int, int, bytes]
"""(entry, member, line, time of the event, payload)"""

_FIRST_LINE = -(2**63)
_KEPT = "standing = 0 AND state <> 0"  # who is out and stays on an additive list

_decode = msgspec.json.Decoder(dict[str, object]).decode


def _copied(*, keeps_out: bool) -> str:
    """Whose records a list is made of; one value is bound: since when."""
    wanted = "standing = 1 AND at_us >= ?"
    return f"({wanted} OR ({_KEPT}))" if keeps_out else wanted


class ListReads(ListChangeReads):
    """Questions about frozen lists."""

    def list_size(self, run: int) -> int:
        """Distinct entries of a frozen list."""
        row = self._row("SELECT count(*) FROM listed WHERE run = ?", (run,))
        return int(row[0]) if row else 0

    def list_page(self, run: int, *, after: bytes, limit: int = PAGE_ROWS) -> list[tuple[bytes, int, int, bytes]]:
        """(entry, member, time of the event, payload) behind an entry, in its order."""
        return [
            (row[0], row[1], row[2], row[3])
            for row in self._rows(
                "SELECT entry, member, at_us, payload FROM listed WHERE run = ? AND entry > ? ORDER BY entry LIMIT ?",
                (run, after, limit),
            )
        ]

    def list_difference(self, run: int, before: int, *, after: bytes, limit: int) -> tuple[int, int, bytes | None]:
        """(entries, those of them that list `before` does not hold, the last entry) of the next ones of `run` behind one.

        The last entry is None where there are no more.
        """
        row = self._row(
            "SELECT count(*), total(NOT EXISTS (SELECT 1 FROM listed AS other WHERE other.run = ?2 AND other.entry = one.entry)), "
            "max(entry) FROM (SELECT entry FROM listed WHERE run = ?1 AND entry > ?3 ORDER BY entry LIMIT ?4) AS one",
            (run, before, after, limit),
        )
        assert row is not None
        return int(row[0]), int(row[1]), row[2]

    def list_plan(self, sync: int, before: int, *, keeps_out: bool = False, since_us: int = 0) -> tuple[int, int, int]:
        """(distinct entries wanted now, those of them that list `before` lacks, those of `before` not wanted any more).

        keeps_out, since_us: as `freeze_page` has them.
        """
        kept = f"SELECT entry FROM record WHERE sync = ?1 AND {_KEPT} AND entry <> x''"
        row = self._row(
            "SELECT count(*), total(NOT EXISTS (SELECT 1 FROM listed WHERE run = ?2 AND listed.entry = wanted.entry)) "
            "FROM (SELECT DISTINCT entry FROM record INDEXED BY record_wants WHERE sync = ?1 AND standing = 1 AND entry <> x'' "
            f"AND (?3 = 0 OR at_us >= ?3){f' UNION {kept}' if keeps_out else ''}) AS wanted",
            (sync, before, since_us),
        )
        gone = self._row(
            "SELECT count(*) FROM listed WHERE run = ?2 AND NOT EXISTS (SELECT 1 FROM record INDEXED BY record_wants "
            "WHERE sync = ?1 AND standing = 1 AND record.entry <> x'' AND record.entry = listed.entry "
            f"AND (?3 = 0 OR record.at_us >= ?3)){f' AND listed.entry NOT IN ({kept})' if keeps_out else ''}",
            (sync, before, since_us),
        )
        assert row is not None
        assert gone is not None
        return int(row[0]), int(row[1]), int(gone[0])

    def wanted_page(
        self, sync: int, *, after: Wanted | None, limit: int, keeps_out: bool, since_us: int = 0
    ) -> list[Wanted]:
        """What a list frozen now would be made of, behind a row, in order of entry, then as `freeze_page` takes them."""
        entry, member, line = (b"", 0, _FIRST_LINE) if after is None else after[:3]
        columns = "SELECT entry, member, line, at_us, payload FROM record"
        behind = "sync = ?1 AND (entry, member, line) > (?2, ?3, ?4) AND entry <> x''"
        asked = f"{columns} INDEXED BY record_wants WHERE {behind} AND standing = 1 AND at_us >= ?5"
        if keeps_out:
            asked += f" UNION ALL {columns} WHERE {behind} AND {_KEPT}"
        return [
            (row[0], row[1], row[2], row[3], row[4])
            for row in self._rows(f"{asked} ORDER BY 1, 2, 3 LIMIT ?6", (sync, entry, member, line, since_us, limit))
        ]

    def wants(
        self, sync: int, *, after: int, members: int, keeps_out: bool, since_us: int = 0
    ) -> tuple[list[tuple[int, bytes]], int | None]:
        """(member, fingerprint) of what `freeze_page` would copy of the next members, in its order; the last member."""
        last = self._last_of(sync, after, members)
        if last is None:
            return [], None
        rows = self._rows(
            "SELECT member, fingerprint FROM record WHERE sync = ? AND member > ? AND member <= ? "
            f"AND {_copied(keeps_out=keeps_out)} AND entry <> x'' ORDER BY member, line",
            (sync, after, last, since_us),
        )
        return [(row[0], row[1]) for row in rows], last

    def unlisted(self, sync: int, *, after: int, last: int) -> list[tuple[int, str]]:
        """(member, why) of members in (after, last] who are in and of whom nothing can be listed, in order."""
        rows = self._rows(
            "SELECT member, unmappable FROM record WHERE sync = ? AND member > ? AND member <= ? "
            "AND standing = 1 AND entry = x'' ORDER BY member, line",
            (sync, after, last),
        )
        return [(row[0], row[1]) for row in rows]

    def _last_of(self, sync: int, after: int, members: int) -> int | None:
        row = self._row(
            "SELECT max(member) FROM (SELECT DISTINCT member FROM record WHERE sync = ? AND member > ? ORDER BY member LIMIT ?)",
            (sync, after, members),
        )
        return None if row is None or row[0] is None else int(row[0])

    def is_listed(self, run: int, entry: bytes) -> bool:
        """Whether a frozen list holds an entry."""
        return self._row("SELECT 1 FROM listed WHERE run = ? AND entry = ?", (run, entry)) is not None


class ListWrites(ListReads):
    """What a run of whole lists changes."""

    def freeze_page(
        self, run: int, sync: int, *, after: int, members: int, keeps_out: bool, since_us: int = 0
    ) -> int | None:
        """Copy what the next `members` members of a sync want into the run's list; each entry once, the latest event's.

        after: the last member copied. keeps_out: members that are out and listed stay on the list (additive).
        since_us: of those who are in, only they whose latest event is not older.
        Returns the last member copied now, None when there are no more.
        """
        last = self._last_of(sync, after, members)
        if last is None:
            return None
        self._run(
            "INSERT INTO listed SELECT ?, entry, member, at_us, payload FROM record WHERE sync = ? AND member > ? AND member <= ? "
            f"AND {_copied(keeps_out=keeps_out)} AND entry <> x'' ORDER BY member, line "
            "ON CONFLICT (run, entry) DO UPDATE SET member = excluded.member, at_us = excluded.at_us, "
            "payload = excluded.payload WHERE excluded.at_us >= listed.at_us",
            (run, sync, after, last, since_us),
        )
        return last

    def strip_list(self, run: int, *, after: bytes, limit: int) -> bytes | None:
        """Take the payloads out of a frozen list that was uploaded, in pages; returns where to go on, None at its end."""
        last = self._row(
            "SELECT max(entry), count(*) FROM (SELECT entry FROM listed WHERE run = ? AND entry > ? ORDER BY entry LIMIT ?)",
            (run, after, limit),
        )
        if last is None or last[0] is None:
            return None
        self._run("UPDATE listed SET payload = x'' WHERE run = ? AND entry > ? AND entry <= ?", (run, after, last[0]))
        return bytes(last[0])

    def drop_list(self, run: int, *, limit: int) -> int:
        """Delete a frozen list in pieces; return how many entries went."""
        return self._run(
            "DELETE FROM listed WHERE (run, entry) IN (SELECT run, entry FROM listed WHERE run = ? LIMIT ?)",
            (run, limit),
        )

    def lists_left(self) -> list[int]:
        """Runs whose frozen list nobody needs: they ended, and no sync says that its platform holds it."""
        return [
            row[0]
            for row in self._rows(  # from list to list, without going through their entries
                "WITH RECURSIVE kept(run) AS (SELECT min(run) FROM listed UNION ALL "
                "SELECT (SELECT min(run) FROM listed WHERE run > kept.run) FROM kept WHERE kept.run IS NOT NULL) "
                "SELECT kept.run FROM kept LEFT JOIN run ON run.id = kept.run WHERE kept.run IS NOT NULL "
                "AND (run.id IS NULL OR run.finished_us > 0) AND kept.run NOT IN (SELECT listed_run FROM sync)"
            )
        ]

    def mark_listed(self, run: int, sync: int, *, after: int, members: int, now_us: int) -> int | None:
        """After an upload: records whose entry the list holds are present, others are not, and who is out and off it goes.

        In pages of members, as `freeze_page`.
        """
        last = self._last_of(sync, after, members)
        if last is None:
            return None
        held = "EXISTS (SELECT 1 FROM listed WHERE listed.run = ? AND listed.entry = record.entry)"
        page = (sync, after, last)
        self._run(
            "UPDATE record SET state = 1, sent_fingerprint = fingerprint, run = ?, changed_us = ? "
            f"WHERE sync = ? AND member > ? AND member <= ? AND (state <> 1 OR sent_fingerprint <> fingerprint) AND {held}",
            (run, now_us, *page, run),
        )
        self._run(
            f"DELETE FROM record WHERE sync = ? AND member > ? AND member <= ? AND standing <> 1 AND NOT {held}",
            (*page, run),
        )
        self._run(
            "UPDATE record SET state = 0, sent_fingerprint = x'', changed_us = ? "
            f"WHERE sync = ? AND member > ? AND member <= ? AND state <> 0 AND NOT {held}",
            (now_us, *page, run),
        )
        return last

    def _erase_listed(self, member: int) -> None:
        """A person was deleted: what frozen lists still say of them goes; a list that is being uploaded loses their lines."""
        self._run("DELETE FROM listed WHERE member = ? AND payload <> x''", (member,))
        self._run("UPDATE listed SET member = 0 WHERE member = ?", (member,))


def spool_folder(folder: Path) -> Path:
    """Where files made of a list lie while they are sent; what is there at a start was left by a kill."""
    return folder / "spool"


def clear_spool(folder: Path) -> None:
    """Delete what a killed gateway left there: it names people. For the one that holds the data folder's lock."""
    shutil.rmtree(spool_folder(folder), ignore_errors=True)


class ListSnapshot:
    """`destinations.base.Snapshot` of a frozen list; it opens a reader of its own, so it may go to another process."""

    is_portable = True

    def __init__(self, folder: Path, run: int, members: int) -> None:
        self._folder = folder
        self.spool = spool_folder(folder)
        self._run = run
        self._members = members

    @property
    def members(self) -> int:
        """Entries of the list."""
        return self._members

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        """(member number, payload with `at_us`) in order of entry, a page at a time."""
        from gateway.store.sqlite.state import SqliteStateReader  # noqa: PLC0415 - the state is built of this module

        reader = SqliteStateReader(self._folder)
        after = b""
        try:
            while page := reader.read(lambda view, after=after: view.list_page(self._run, after=after)):  # type: ignore[misc] # a default of a lambda has no type
                for _entry, member, at_us, payload in page:
                    yield str(member), {**_decode(payload), "at_us": at_us}
                after = page[-1][0]
        finally:
            reader.close()


class ListForetold:
    """`destinations.base.Snapshot` of the list that a run would freeze now, read from the records; nothing is kept of it.

    Its rows are those of the `ListSnapshot` that would be frozen, in the same order, as long as no event changes them.
    """

    is_portable = True

    def __init__(self, folder: Path, sync: int, members: int, *, keeps_out: bool, since_us: int) -> None:
        self._folder = folder
        self.spool = spool_folder(folder)
        self._sync = sync
        self._members = members
        self._keeps_out = keeps_out
        self._since_us = since_us

    @property
    def members(self) -> int:
        """Entries of the list."""
        return self._members

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        """(member number, payload with `at_us`) in order of entry, a page at a time: of each entry the latest event's."""
        best: Wanted | None = None
        for row in self._records():
            if best is not None and row[0] == best[0]:
                best = row if row[3] >= best[3] else best
                continue
            if best is not None:
                yield _row_of(best)
            best = row
        if best is not None:
            yield _row_of(best)

    def _records(self) -> Iterator[Wanted]:
        from gateway.store.sqlite.state import SqliteStateReader  # noqa: PLC0415 - the state is built of this module

        reader = SqliteStateReader(self._folder)
        limit = KEPT_PAGE_ROWS if self._keeps_out else PAGE_ROWS
        after: Wanted | None = None

        def behind(view: ListReads, after: Wanted | None) -> list[Wanted]:
            return view.wanted_page(
                self._sync, after=after, limit=limit, keeps_out=self._keeps_out, since_us=self._since_us
            )

        try:
            while page := reader.read(partial(behind, after=after)):
                yield from page
                after = page[-1]
        finally:
            reader.close()


def _row_of(wanted: Wanted) -> tuple[str, dict[str, object]]:
    return str(wanted[1]), {**_decode(wanted[4]), "at_us": wanted[3]}
