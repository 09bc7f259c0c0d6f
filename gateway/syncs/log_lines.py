"""The sync log as other programs read it: one flat line an operation, as JSON or CSV, by run or by time, in pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec

from gateway.store.api import StateView
from gateway.store.sync_rows import RowResult, RunRow
from gateway.syncs.names import find_sync
from gateway.syncs.showing import Shown, iso

LogFormat = Literal["ndjson", "csv"]
FORMATS: Final[tuple[LogFormat, ...]] = ("ndjson", "csv")

COLUMNS: Final = (
    "sync_id", "run_id", "seq", "member_ref", "operation", "status", "stage", "code", "message", "http_status",
    "destination_code", "fields", "batch_id", "attempts", "first_at", "finished_at", "fingerprint_before", "fingerprint_after",
    "run_started_at", "run_finished_at",
)  # fmt: skip
"""In this order. sync_id: `file/mapping/audience`. Moments are RFC 3339, UTC. http_status, batch_id: empty for none."""

PAGE_LINES: Final = 1_000
RUNS_PAGE: Final = 500

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the beginning of a formula
_encode = msgspec.json.Encoder().encode
_ENDLESS_US = 2**62


class LogLines:
    """Turns rows of the log into lines. Keeps what it needs of the runs it has met."""

    def __init__(self, view: StateView, name: str = "") -> None:
        """name: of the sync, where it is known."""
        self._view = view
        self._name = name
        self._runs: dict[int, tuple[str | None, str | None, str]] = {}

    def line(self, row: RowResult) -> Shown:
        """One line by column."""
        started_at, finished_at, name = self._run_of(row.run)
        return {
            "sync_id": name,
            "run_id": row.run,
            "seq": row.seq,
            "member_ref": row.member_ref,
            "operation": row.operation,
            "status": row.status,
            "stage": row.stage,
            "code": row.code,
            "message": row.message,
            "http_status": row.http_status or None,
            "destination_code": row.code if row.stage == "destination" else "",
            "fields": row.fields,
            "batch_id": row.batch or None,
            "attempts": row.attempts,
            "first_at": iso(row.first_us),
            "finished_at": iso(row.finished_us),
            "fingerprint_before": row.fingerprint_before,
            "fingerprint_after": row.fingerprint_after,
            "run_started_at": started_at,
            "run_finished_at": finished_at,
        }

    def _run_of(self, run: int) -> tuple[str | None, str | None, str]:
        known = self._runs.get(run)
        if known is None:
            row = self._view.run(run)
            known = self._runs[run] = (None, None, self._name) if row is None else self._told(row)
        return known

    def _told(self, row: RunRow) -> tuple[str | None, str | None, str]:
        name = self._name
        if not name:
            found = find_sync(self._view, str(row.sync))
            name = f"{found[0].mapping}/{found[1].key}" if found is not None else str(row.sync)
        return iso(row.started_us), iso(row.finished_us), name


def runs_between(view: StateView, sync: int, *, since_us: int, until_us: int, first: int = 0) -> Iterator[int]:
    """Runs of a sync that may have lines in [since, until), oldest first. first: none before this one."""
    after = first - 1
    while page := view.runs_after(sync, after, limit=RUNS_PAGE):
        for run in page:
            if (run.finished_us or _ENDLESS_US) >= since_us and (run.started_us or run.queued_us) < until_us:
                yield run.id
        after = page[-1].id


def lines_between(
    view: StateView,
    lines: LogLines,
    sync: int,
    *,
    since_us: int = 0,
    until_us: int = _ENDLESS_US,
    after: tuple[int, int] = (0, 0),
    limit: int = PAGE_LINES,
) -> tuple[list[Shown], tuple[int, int] | None]:
    """Lines that ended in [since, until) behind (run, seq), run by run; and where to go on, None at the end."""
    found: list[Shown] = []
    for run in runs_between(view, sync, since_us=since_us, until_us=until_us, first=after[0]):
        seq = after[1] if run == after[0] else 0
        while True:
            rows = view.row_results(run=run, after_seq=seq, limit=PAGE_LINES)
            for row in rows:
                if since_us <= row.finished_us < until_us:
                    found.append(lines.line(row))
                    if len(found) == limit:
                        return found, (run, row.seq)
            if len(rows) < PAGE_LINES:
                break
            seq = rows[-1].seq
    return found, None


def encoder(form: LogFormat) -> tuple[bytes, Callable[[Iterable[Shown]], bytes]]:
    """(what a file begins with, lines → bytes)."""
    if form == "ndjson":
        return b"", lambda lines: b"".join(_encode(line) + b"\n" for line in lines)
    return _csv([COLUMNS]), lambda lines: _csv([_cell(line[name]) for name in COLUMNS] for line in lines)


def encoded_page(
    view: StateView, *, run: int, after: int, encode: Callable[[Iterable[Shown]], bytes], status: str = ""
) -> tuple[bytes, int, int | None]:
    """(bytes of the next lines, how many, behind which to go on or None at the end)."""
    rows = view.row_results(run=run, after_seq=after, status=status, limit=PAGE_LINES)
    lines = LogLines(view)
    return encode(map(lines.line, rows)), len(rows), rows[-1].seq if len(rows) == PAGE_LINES else None


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """A value that no spreadsheet takes for a formula: an apostrophe before it shows it as the text it is."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
