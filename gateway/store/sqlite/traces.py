"""What became of events, and which were met before.

Two trees, because one would be written all over for every event: `seen_<week>` is narrow and keyed by hash; `trace_<day>`
is wide, keyed by place and so written at its end only. Both are tables per window of arrival and are dropped whole.
"""

# ruff: noqa: S608 - what is put into statements are constants of this module and numbers of tables, never a caller's text

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.core.events import Place
from gateway.store.rows import SeenKey, SeenVerdict, TraceRow
from gateway.store.sqlite.places import pack_place, unpack_place
from gateway.store.sqlite.session import Session, json_list, pieces

DAY_S = 86_400
SEEN_WINDOW_US = 7 * DAY_S * 1_000_000
SEEN_TABLE_DAYS = 7
TRACES_PER_KEY_MAX = 1000

_COLUMNS = "place, id_hash, digest, received_us, outcome, summary, first_delivery, deliveries, source, duplicates"
_TRACE_TABLE = """CREATE TABLE {name} (
    place INTEGER PRIMARY KEY, id_hash INTEGER NOT NULL, digest INTEGER NOT NULL, received_us INTEGER NOT NULL,
    outcome INTEGER NOT NULL, summary BLOB NOT NULL, first_delivery INTEGER NOT NULL, deliveries INTEGER NOT NULL,
    source INTEGER NOT NULL, duplicates INTEGER NOT NULL DEFAULT 0
) STRICT"""
_SEEN_TABLE = """CREATE TABLE {name} (
    id_hash INTEGER NOT NULL, digest INTEGER NOT NULL, place INTEGER NOT NULL, received_s INTEGER NOT NULL,
    PRIMARY KEY (id_hash, digest)
) STRICT, WITHOUT ROWID"""
_TABLES = {"trace": (_TRACE_TABLE, 1), "seen": (_SEEN_TABLE, SEEN_TABLE_DAYS)}


class TraceReads(Session):
    """Questions about events."""

    def traces(
        self, *, before: Place | None = None, outcome: str = "", source: str = "", limit: int = 100
    ) -> list[TraceRow]:
        """Traces, newest place first."""
        condition, values = self._trace_filter(outcome, source)
        if condition is None:
            return []
        if before is not None:
            condition += " AND place < ?"
            values.append(pack_place(before))
        found: list[TraceRow] = []
        # A day's places lie apart from the next day's save around midnight and among several ingest processes: then merge.
        for day in reversed(self._windows("trace")):
            found += self._traces(f"trace_{day}", condition, values, "place DESC", limit)
        found.sort(key=lambda row: row.place, reverse=True)
        return found[:limit]

    def trace(self, id_hash: int) -> list[TraceRow]:
        """All traces of one (source, message id), oldest first."""
        found: list[TraceRow] = []
        for week in self._windows("seen"):
            met = self._rows(
                f"SELECT place, received_s FROM seen_{week} WHERE id_hash = ? LIMIT ?", (id_hash, TRACES_PER_KEY_MAX)
            )
            for place, received_s in met:
                if received_s // DAY_S in self._windows("trace"):
                    found += self._traces(f"trace_{received_s // DAY_S}", "place = ?", [place], "place", 1)
        return sorted(found, key=lambda row: (row.received_us, row.place))

    def traces_between(
        self, from_us: int, to_us: int, *, source: str = "", after: Place | None = None, limit: int = 1000
    ) -> list[TraceRow]:
        """Decided events that arrived in [from_us, to_us), by place, for replay."""
        condition, values = self._trace_filter("decided", source)
        if condition is None:
            return []
        condition += " AND received_us >= ? AND received_us < ? AND place > ?"
        values += [from_us, to_us, -1 if after is None else pack_place(after)]
        first_day, last_day = from_us // 1_000_000 // DAY_S, (to_us - 1) // 1_000_000 // DAY_S
        found: list[TraceRow] = []
        for day in self._windows("trace"):
            if first_day <= day <= last_day:
                found += self._traces(f"trace_{day}", condition, values, "place", limit)
        found.sort(key=lambda row: row.place)
        return found[:limit]

    def _trace_filter(self, outcome: str, source: str) -> tuple[str | None, list[object]]:
        """A condition and its values; None where a name was never met, so that nothing can match."""
        condition, values = "true", list[object]()
        for column, text in (("outcome", outcome), ("source", source)):
            if text:
                known = self._text_id(text)
                if known is None:
                    return None, []
                condition += f" AND {column} = ?"
                values.append(known)
        return condition, values

    def _traces(
        self, table: str, condition: str, values: Sequence[object], order: str, limit: int
    ) -> Iterator[TraceRow]:
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM {table} WHERE {condition} ORDER BY {order} LIMIT ?", (*values, limit)
        )
        return map(self._trace_row, rows)

    def _trace_row(self, row: tuple[Any, ...]) -> TraceRow:
        place, id_hash, digest, received_us, outcome, summary, first, deliveries, source, duplicates = row
        return TraceRow(
            id_hash,
            digest,
            unpack_place(place),
            received_us,
            self._text(outcome),
            summary,
            first,
            deliveries,
            self._text(source),
            duplicates,
        )

    def _windows(self, kind: str) -> list[int]:
        """Numbers of the tables of one kind, oldest first."""
        windows = self._names.windows
        if windows is None:
            windows = self._names.windows = {"seen": [], "trace": []}
            for (name,) in self._rows(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name GLOB 'seen_[0-9]*' OR name GLOB 'trace_[0-9]*')"
            ):
                prefix, number = name.split("_")
                windows[prefix].append(int(number))
            for numbers in windows.values():
                numbers.sort()
        return windows[kind]


class TraceWrites(TraceReads):
    """What the engine records of events."""

    def check_seen(self, keys: Sequence[SeenKey], *, now_us: int, window_us: int = SEEN_WINDOW_US) -> list[SeenVerdict]:
        """Tell for each key, in order (keys of this call count too), whether it was met in the window before now_us."""
        known: dict[int, set[int]] = {}
        since_s = (now_us - window_us) // 1_000_000
        hashes = sorted({key.id_hash for key in keys if key.id_hash})
        for week in self._windows("seen"):
            if (week + 1) * SEEN_TABLE_DAYS * DAY_S <= since_s:
                continue
            for piece in pieces(hashes):
                for id_hash, digest in self._connection.execute(
                    f"SELECT id_hash, digest FROM seen_{week} "
                    "WHERE id_hash IN (SELECT value FROM json_each(?)) AND received_s >= ?",
                    (json_list(piece), since_s),
                ):
                    known.setdefault(id_hash, set()).add(digest)
        verdicts: list[SeenVerdict] = []
        for key in keys:
            digests = known.get(key.id_hash) if key.id_hash else None
            if digests is None:
                verdicts.append("new")
                known[key.id_hash] = {key.digest}
            elif key.digest in digests:
                verdicts.append("duplicate")
            else:
                verdicts.append("id_reused")
                digests.add(key.digest)
        return verdicts

    def add_traces(self, rows: Sequence[TraceRow], *, now_us: int) -> None:  # noqa: ARG002 - windows go by arrival
        """Keep what became of events; a duplicate's trace is only counted at the one it repeats."""
        seen: dict[int, list[tuple[int, int, int, int]]] = {}
        traces: dict[int, list[tuple[object, ...]]] = {}
        repeats: list[TraceRow] = []
        for row in rows:
            if row.outcome == "duplicate":
                repeats.append(row)
                continue
            place, received_s = pack_place(row.place), row.received_us // 1_000_000
            day = received_s // DAY_S
            if row.id_hash:
                seen.setdefault(day // SEEN_TABLE_DAYS, []).append((row.id_hash, row.digest, place, received_s))
            traces.setdefault(day, []).append(
                (
                    place,
                    row.id_hash,
                    row.digest,
                    row.received_us,
                    self._intern(row.outcome),
                    row.summary,
                    row.first_delivery,
                    row.deliveries,
                    self._intern(row.source),
                )
            )
        for week, keys in seen.items():
            keys.sort()
            self._run_many(f"INSERT OR REPLACE INTO {self._table('seen', week)} VALUES (?, ?, ?, ?)", keys)
        for day, values in traces.items():
            self._run_many(
                f"INSERT OR REPLACE INTO {self._table('trace', day)} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", values
            )
        for row in repeats:
            self._count_repeat(row)

    def _count_repeat(self, row: TraceRow) -> None:
        for week in reversed(self._windows("seen")):
            met = self._row(
                f"SELECT place, received_s FROM seen_{week} WHERE id_hash = ? AND digest = ?", (row.id_hash, row.digest)
            )
            if met is not None:
                day = met[1] // DAY_S
                if day in self._windows("trace"):
                    self._run(f"UPDATE trace_{day} SET duplicates = duplicates + 1 WHERE place = ?", (met[0],))
                return

    def _table(self, kind: str, number: int) -> str:
        """Name of a window's table, made where missing."""
        name = f"{kind}_{number}"
        windows = self._windows(kind)
        if number not in windows:
            self._connection.execute(_TABLES[kind][0].format(name=name))
            windows.append(number)
            windows.sort()
        return name

    def _drop_windows(self, kind: str, *, before_us: int) -> int:
        """Drop the tables whose whole window lies before the moment."""
        days = _TABLES[kind][1]
        windows = self._windows(kind)
        over = [number for number in windows if (number + 1) * days * DAY_S * 1_000_000 <= before_us]
        for number in over:
            self._connection.execute(f"DROP TABLE {kind}_{number}")
            windows.remove(number)
        return len(over)
