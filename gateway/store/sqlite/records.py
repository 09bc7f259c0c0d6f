"""Records: what each sync knows of each member. Written by decisions, planned from in member order, changed by settling."""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gateway.store.sqlite.places import pack_place, unpack_place
from gateway.store.sqlite.record_counts import EMPTY_COUNTS_GO, SETTLED_COUNT, WAITING
from gateway.store.sqlite.session import Session, json_list
from gateway.store.sync_rows import ERASED, OUT, ExitRow, RecordRow, WantedRow

_RECORD = (
    "member, line, standing, state, at_us, place, payload, fingerprint, entry, sent, sent_fingerprint, sent_entry, unmappable, "
    "more, changed_us, run"
)
EVER_US = 2**62
TOUCHED_MAX = 10_000  # more than any batch holds; a sync that is paused may have gathered any number
_COLUMNS = _RECORD.split(", ")


class RecordReads(Session):
    """Questions about records."""

    def records(
        self, sync: int, *, after: tuple[int, int] = (0, -1), limit: int = 1000, settled: bool = True
    ) -> list[RecordRow]:
        """Records in order of member and line, behind `after`. settled False: only those a run may have something to do with."""
        of = "record WHERE" if settled else f"{WAITING} AND"
        rows = self._rows(
            f"SELECT {_RECORD} FROM {of} sync = ? AND (member, line) > (?, ?) ORDER BY member, line LIMIT ?",
            (sync, *after, limit),
        )
        return [_record_row(row) for row in rows]

    def settled_count(self, sync: int) -> int:
        """Records that no run has anything to do with."""
        return self._counted(sync, SETTLED_COUNT)

    def unmappable_count(self, sync: int) -> int:
        """Records of members that are in and of whom nothing can be listed."""
        return self._counted(sync, "standing = 1 AND has_entry = 0")

    def listed_count(self, sync: int) -> int:
        """Members whose state is other than absent."""
        return self._counted(sync, "state <> 0")

    def _counted(self, sync: int, which: str) -> int:
        row = self._row(f"SELECT total(records) FROM record_count WHERE sync = ? AND {which}", (sync,))
        return int(row[0]) if row else 0

    def record(self, sync: int, member: int) -> list[RecordRow]:
        """All lines of one member."""
        rows = self._rows(f"SELECT {_RECORD} FROM record WHERE sync = ? AND member = ? ORDER BY line", (sync, member))
        return [_record_row(row) for row in rows]

    def records_of(self, sync: int, members: Iterable[int]) -> list[RecordRow]:
        """All lines of some members, in order."""
        rows = self._rows(
            f"SELECT {_RECORD} FROM record WHERE sync = ? AND member IN (SELECT value FROM json_each(?)) ORDER BY member, line",
            (sync, json_list(sorted(set(members)))),
        )
        return [_record_row(row) for row in rows]

    def claimants(self, sync: int, entries: Iterable[bytes]) -> list[RecordRow]:
        """Records that want or hold one of these entries (as what was sent, or as an orphan), whoever's they are, in order."""
        found: dict[tuple[int, int], RecordRow] = {}
        has_orphans = self._row("SELECT 1 FROM orphan WHERE sync = ? LIMIT 1", (sync,)) is not None
        for entry in dict.fromkeys(entries):
            if has_orphans:
                for row in self._orphaned(sync, entry):
                    found[row.member, row.line] = row
            for index, column in (("record_wants", "entry"), ("record_holds", "sent_entry")):
                for row in self._connection.execute(
                    f"SELECT {_RECORD} FROM record INDEXED BY {index} WHERE sync = ? AND {column} = ? "
                    f"AND {column} <> x'' {'AND standing = 1' if column == 'entry' else ''}",
                    (sync, entry),
                ):
                    found[row[0], row[1]] = _record_row(row)
        return [found[key] for key in sorted(found)]

    def _orphaned(self, sync: int, entry: bytes) -> list[RecordRow]:
        """Records that hold an entry as an orphan."""
        rows = self._rows(
            f"SELECT {_RECORD} FROM record WHERE (sync, member, line) IN "
            "(SELECT sync, member, line FROM orphan WHERE sync = ? AND entry = ?)",
            (sync, entry),
        )
        return [_record_row(row) for row in rows]

    def erased_syncs(self) -> list[int]:
        """Syncs that have deleted people left to erase."""
        return [
            row[0] for row in self._rows("SELECT DISTINCT sync FROM record INDEXED BY record_erased WHERE standing = 2")
        ]

    def erased_members(self, sync: int, *, limit: int) -> list[int]:
        """Deleted people of a sync who are left to be erased, in order."""
        rows = self._rows(
            "SELECT DISTINCT member FROM record INDEXED BY record_erased WHERE sync = ? AND standing = 2 ORDER BY member LIMIT ?",
            (sync, limit),
        )
        return [row[0] for row in rows]

    def has_member(self, member: int) -> bool:
        """Whether the person is known; one who was deleted is not."""
        return self._row("SELECT 1 FROM member WHERE id = ?", (member,)) is not None

    def touched(self, sync: int, *, limit: int) -> list[int]:
        """Members with news that no live run has taken yet, in order."""
        rows = self._rows("SELECT member FROM touched WHERE sync = ? ORDER BY member LIMIT ?", (sync, limit))
        return [row[0] for row in rows]

    def touched_since(self) -> dict[int, tuple[int, int]]:
        """Syncs with such members: (time of the oldest news, how many), of TOUCHED_MAX members each at most."""
        found: dict[int, tuple[int, int]] = {}
        sync = 0
        while (row := self._row("SELECT min(sync) FROM touched WHERE sync > ?", (sync,))) and row[0] is not None:
            sync = int(row[0])
            news = self._row(
                "SELECT min(at_us), count(*) FROM (SELECT at_us FROM touched WHERE sync = ? LIMIT ?)",
                (sync, TOUCHED_MAX),
            )
            assert news is not None
            found[sync] = (news[0], news[1])
        return found


class RecordWrites(RecordReads):
    """What decisions and settling change."""

    def touch(self, keys: Iterable[tuple[int, int]], *, now_us: int) -> None:
        """(sync, member): there is news for a sync that follows events."""
        self._run_many("INSERT OR IGNORE INTO touched VALUES (?, ?, ?)", [(*key, now_us) for key in keys])

    def drop_touched(self, sync: int, members: Iterable[int]) -> None:
        """A live run has taken their news."""
        self._run_many("DELETE FROM touched WHERE sync = ? AND member = ?", [(sync, member) for member in members])

    def drop_news(self, sync: int, *, before_us: int, limit: int) -> int:
        """Forget news that came before a moment, in pieces; return of how many members."""
        return self._run(
            "DELETE FROM touched WHERE sync = ?1 AND member IN "
            "(SELECT member FROM touched WHERE sync = ?1 AND at_us < ?2 ORDER BY member LIMIT ?3)",
            (sync, before_us, limit),
        )

    def save_wanted(self, rows: Sequence[WantedRow], *, now_us: int) -> None:
        """Members are in; what is listed of them is left as it is. Where an event gave no payload, the older one stays."""
        known = self._entries_in(rows)
        seen: set[tuple[int, int, int]] = set()
        again: list[tuple[object, ...]] = []
        others: list[tuple[object, ...]] = []
        for row in rows:
            key = (row.sync, row.member, row.line)
            if key in seen:  # a second event of the member: what the first one said comes first
                self._save_again(again)
                self._save_others(others)
                again, others, seen = [], [], set()
            seen.add(key)
            place = pack_place(row.place)
            if not row.unmappable and known.get(key) == row.entry:
                # In as before, under the same identifiers: no index is touched.
                again.append((*key, row.at_us, place, row.payload, row.fingerprint, now_us))
                continue
            known.pop(key, None)
            others.append((*key, row.at_us, place, row.payload, row.fingerprint, row.entry, row.unmappable, now_us))
        self._save_again(again)
        self._save_others(others)

    def _entries_in(self, rows: Sequence[WantedRow]) -> dict[tuple[int, int, int], bytes]:
        """Entries of the records that are in and renderable, by their keys."""
        by_sync: dict[int, set[int]] = {}
        for row in rows:
            by_sync.setdefault(row.sync, set()).add(row.member)
        found: dict[tuple[int, int, int], bytes] = {}
        for sync, members in by_sync.items():
            for member, line, entry in self._connection.execute(
                "SELECT member, line, entry FROM record WHERE sync = ? AND member IN (SELECT value FROM json_each(?)) "
                "AND standing = 1 AND unmappable = ''",
                (sync, json_list(sorted(members))),
            ):
                found[sync, member, line] = entry
        return found

    def _save_again(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Of records that are there: what is inserted is never what is stored."""
        self._put_many(
            "INSERT INTO record",
            "(?, ?, ?, 1, 0, ?, ?, ?, ?, x'', x'', x'', x'', '', x'', ?, 0)",
            "ON CONFLICT (sync, member, line) DO UPDATE SET at_us = excluded.at_us, place = excluded.place, "
            "payload = excluded.payload, changed_us = iif(fingerprint = excluded.fingerprint, changed_us, excluded.changed_us), "
            "fingerprint = excluded.fingerprint",
            rows,
        )

    def _save_others(self, rows: Sequence[tuple[object, ...]]) -> None:
        self._put_many(
            "INSERT INTO record",
            "(?, ?, ?, 1, 0, ?, ?, ?, ?, ?, x'', x'', x'', ?, x'', ?, 0)",
            "ON CONFLICT (sync, member, line) DO UPDATE SET standing = 1, at_us = excluded.at_us, place = excluded.place, "
            "payload = iif(excluded.unmappable = '', excluded.payload, payload), "
            "fingerprint = iif(excluded.unmappable = '', excluded.fingerprint, fingerprint), "
            "entry = iif(excluded.unmappable = '', excluded.entry, entry), unmappable = excluded.unmappable, "
            "changed_us = iif(standing = 1 AND fingerprint = excluded.fingerprint AND unmappable = excluded.unmappable, "
            "changed_us, excluded.changed_us)",
            rows,
        )

    def save_exits(self, rows: Sequence[ExitRow], *, now_us: int) -> None:
        """Members are out: what is not listed is forgotten, what is listed waits for its removal.

        A member of whom nothing was known, and whose exit names identifiers, is kept so that they can be removed once.
        """
        for row in rows:
            self._run(
                "DELETE FROM record WHERE sync = ? AND member = ? AND state = 0 AND more = x''", (row.sync, row.member)
            )
            left = self._run(
                "UPDATE record SET standing = 0, at_us = ?, place = ?, unmappable = '', "
                "changed_us = iif(standing = 0, changed_us, ?) WHERE sync = ? AND member = ? AND standing <> 2",
                (row.at_us, pack_place(row.place), now_us, row.sync, row.member),
            )
            if row.is_unknown and not left and row.entry:
                self.put_records(
                    row.sync,
                    [
                        RecordRow(
                            row.member, 0, OUT, 0, row.at_us, row.place, row.payload, row.fingerprint, row.entry,
                            b"", b"", b"", "", UNKNOWN_EXIT, now_us, 0,
                        )
                    ],
                )  # fmt: skip

    def note_left(self, sync: int, audience: int, *, after: int, limit: int, now_us: int) -> int | None:
        """Of the records behind a member, about `limit`: who is in though the ledger says out is out from now on.

        Returns the last member looked at, None when there are no more.
        """
        row = self._row(
            "SELECT max(member) FROM (SELECT member FROM record WHERE sync = ? AND member > ? ORDER BY member LIMIT ?)",
            (sync, after, limit),
        )
        if row is None or row[0] is None:
            return None
        gone = "sync = ?1 AND member > ?4 AND member <= ?5 AND standing = 1 AND NOT EXISTS (SELECT 1 FROM membership "
        gone += "WHERE audience = ?2 AND membership.member = record.member AND is_member = 1)"
        page = (sync, audience, now_us, after, row[0])
        self._run(f"DELETE FROM record WHERE {gone} AND state = 0 AND more = x''", page)
        self._run(f"UPDATE record SET standing = 0, unmappable = '', changed_us = ?3 WHERE {gone}", page)
        return int(row[0])

    def put_records(self, sync: int, rows: Sequence[RecordRow]) -> None:
        """Write records whole."""
        self._put_many(
            f"INSERT INTO record (sync, {_RECORD})",
            _PLACES,
            _PUT,
            [
                (
                    sync,
                    row.member,
                    row.line,
                    row.standing,
                    row.state,
                    row.at_us,
                    pack_place(row.place),
                    *_rest(row),
                )
                for row in rows
            ],
        )
        self._note_orphans(sync, rows)

    def drop_records(self, sync: int, keys: Iterable[tuple[int, int]]) -> None:
        """Delete records by member and line."""
        gone = [(sync, *key) for key in keys]
        self._run_many("DELETE FROM record WHERE sync = ? AND member = ? AND line = ?", gone)
        self._run_many("DELETE FROM orphan WHERE sync = ? AND member = ? AND line = ?", gone)

    def drop_all_records(self, sync: int, *, limit: int = 10_000) -> int:
        """Delete a sync's records, and what belongs to them, in pieces; return how many rows."""
        gone = self.drop_news(sync, before_us=EVER_US, limit=limit)
        for table in ("orphan", "record"):
            row = self._row(
                f"SELECT max(member) FROM (SELECT member FROM {table} WHERE sync = ? ORDER BY member LIMIT ?)",
                (sync, max(1, limit - gone)),
            )
            if row is not None and row[0] is not None:
                gone += self._run(f"DELETE FROM {table} WHERE sync = ? AND member <= ?", (sync, row[0]))
        return gone

    def drop_empty_counts(self, *, limit: int) -> int:
        """Forget ways to stand that no record has; return how many. Problems have codes of the platforms' making: any number."""
        return self._run(EMPTY_COUNTS_GO, (limit,))

    def _note_orphans(self, sync: int, rows: Sequence[RecordRow]) -> None:
        """Let orphans be found by what they are."""
        keys = [(sync, row.member, row.line) for row in rows]
        self._run_many("DELETE FROM orphan WHERE sync = ? AND member = ? AND line = ?", keys)
        self._run_many(
            "INSERT OR IGNORE INTO orphan VALUES (?, ?, ?, ?)",
            [
                (sync, bytes.fromhex(orphan.identity), row.member, row.line)
                for row in rows
                if _ORPHANS in row.more
                for orphan in _read_orphans(row.more).orphans
            ],
        )

    def _erase_records(self, member: int) -> None:
        """A person was deleted: what no platform holds goes, the rest keeps what its removal needs and nothing else."""
        for (sync,) in self._rows("SELECT id FROM sync"):
            self._run(
                "DELETE FROM record WHERE sync = ? AND member = ? AND state = 0 AND instr(more, ?) = 0",
                (sync, member, _ORPHANS),
            )
            self._run(
                "UPDATE record SET standing = ?, payload = x'', fingerprint = x'', entry = x'', unmappable = '' "
                "WHERE sync = ? AND member = ?",
                (ERASED, sync, member),
            )


_PLACES = f"({', '.join('?' for _ in ('sync', *_COLUMNS))})"
_PUT = f"ON CONFLICT (sync, member, line) DO UPDATE SET {', '.join(f'{one} = excluded.{one}' for one in _COLUMNS[2:])}"


class _Orphan(msgspec.Struct, frozen=True):
    identity: str


class _Orphans(msgspec.Struct, frozen=True):
    orphans: tuple[_Orphan, ...] = ()


_ORPHANS = b'"orphans"'  # is in `more` of a record that has any
_read_orphans = msgspec.json.Decoder(_Orphans).decode

UNKNOWN_EXIT = b'{"unknown_exit":true}'
"""What `more` of a record says of an exit of a member never seen in, until it is settled."""


def _record_row(row: Sequence[Any]) -> RecordRow:
    return RecordRow(row[0], row[1], row[2], row[3], row[4], unpack_place(row[5]), *row[6:])


def _rest(row: RecordRow) -> tuple[object, ...]:
    return (
        row.payload,
        row.fingerprint,
        row.entry,
        row.sent,
        row.sent_fingerprint,
        row.sent_entry,
        row.unmappable,
        row.more,
        row.changed_us,
        row.run,
    )
