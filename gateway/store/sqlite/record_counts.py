"""How many records stand how, kept by triggers as they are written: nobody has to go through a million of them to know.

One row of `record_count` is one way to stand. Rows of forwarding mappings (below zero, see `forwarded.py`) are not counted.
Triggers do not see what REPLACE puts in the place of a row, so records are written by INSERT … ON CONFLICT. A way to stand in which
there is nobody any more keeps its row for a while, as somebody may soon be there again.
"""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from typing import Final

SETTLED: Final = (
    "standing = 1 AND state IN (1, 2) AND fingerprint = sent_fingerprint AND more = x'' AND unmappable = ''"
)
"""In, listed, the same as what was sent, and nothing rare: no run has anything to do with it."""
WAITING: Final = f"record INDEXED BY record_unsettled WHERE NOT ({SETTLED})"
"""Where the others are found, in order of sync, member and line."""

SETTLED_COUNT: Final = "standing = 1 AND state IN (1, 2) AND is_same = 1 AND has_more = 0 AND unmappable = ''"
"""The same of rows of `record_count`."""

_KEY: Final = "sync, standing, state, is_same, has_entry, has_more, unmappable, problem"
EMPTY_COUNTS_GO: Final = (
    f"DELETE FROM record_count WHERE ({_KEY}) IN (SELECT {_KEY} FROM record_count WHERE records = 0 LIMIT ?)"
)
_ADDED: Final = "ON CONFLICT ({}) DO UPDATE SET records = records + 1"
_STANDS: Final = ("standing", "state", "fingerprint = {0}.sent_fingerprint", "entry <> x''", "unmappable", "more")


def _key(row: str) -> str:
    """How a record stands. problem: its kind and code with a blank between, as far as there is one."""
    text = f"CAST({row}.more AS TEXT)"
    problem = " || ' ' || ".join(f"coalesce(json_extract({text}, '$.problem.{part}'), '')" for part in ("kind", "code"))
    return (
        f"{row}.sync, {row}.standing, {row}.state, {row}.fingerprint = {row}.sent_fingerprint, {row}.entry <> x'', "
        f"{row}.more <> x'', {row}.unmappable, iif(instr({row}.more, CAST('\"problem\"' AS BLOB)) > 0, {problem}, '')"
    )


def _stands(row: str) -> str:
    return ", ".join(f"{row}.{one}".format(row) for one in _STANDS)


def _one_more(row: str) -> str:
    return f"INSERT INTO record_count VALUES ({_key(row)}, 1) {_ADDED.format(_KEY)};"


def _one_less(row: str) -> str:
    return f"UPDATE record_count SET records = records - 1 WHERE ({_KEY}) = ({_key(row)});"


def _is_alone(row: str) -> str:
    """No other line of the member is in: they are counted once, however many lines they have."""
    return (
        f"NOT EXISTS (SELECT 1 FROM record AS other WHERE other.sync = {row}.sync AND other.member = {row}.member "
        f"AND other.line <> {row}.line AND other.standing = 1)"
    )


def _people(row: str, by: int) -> str:
    return (
        f"INSERT INTO record_people VALUES ({row}.sync, {by}) ON CONFLICT (sync) DO UPDATE SET people = people + {by};"
    )


def _run_gains(row: str) -> str:
    return (
        f"INSERT INTO record_run SELECT {row}.sync, {row}.run, 1 WHERE {row}.state <> 0 {_ADDED.format('sync, run')};"
    )


def _run_loses(row: str) -> str:
    of_run = f"sync = {row}.sync AND run = {row}.run"
    return (
        f"UPDATE record_run SET records = records - 1 WHERE {of_run} AND {row}.state <> 0; "
        f"DELETE FROM record_run WHERE {of_run} AND records = 0;"
    )


def _trigger(name: str, when: str, condition: str, *does: str) -> str:
    return f"CREATE TRIGGER record_{name} AFTER {when} ON record WHEN {condition} BEGIN {' '.join(does)} END"


_STANDING: Final = "UPDATE OF standing, state, fingerprint, sent_fingerprint, entry, unmappable, more"
_TURNED: Final = f"({_stands('NEW')}) IS NOT ({_stands('OLD')})"
_RELISTED: Final = "(NEW.state <> 0, NEW.run) IS NOT (OLD.state <> 0, OLD.run)"

RECORD_KEY: Final = _key("record")
"""How a record stands, as columns of a question about `record`."""
COUNT_TABLES: Final = ("record_count", "record_people", "record_run")
SUMS_ARE_MADE: Final = (
    # One by one: sorted into groups, they would all be in memory.
    f"INSERT INTO record_count SELECT {_key('record')}, 1 FROM record WHERE sync > 0 {_ADDED.format(_KEY)}",
    """INSERT INTO record_people SELECT sync, count(*) FROM
        (SELECT DISTINCT sync, member FROM record WHERE sync > 0 AND standing = 1) GROUP BY sync""",
    f"INSERT INTO record_run SELECT sync, run, 1 FROM record WHERE sync > 0 AND state <> 0 {_ADDED.format('sync, run')}",
)
"""Fills them where they are empty."""

RECORDS_ARE_COUNTED: Final = (
    f"CREATE INDEX record_unsettled ON record (sync, member, line) WHERE NOT ({SETTLED})",
    f"""CREATE TABLE record_count (
        sync INTEGER NOT NULL, standing INTEGER NOT NULL, state INTEGER NOT NULL, is_same INTEGER NOT NULL,
        has_entry INTEGER NOT NULL, has_more INTEGER NOT NULL, unmappable TEXT NOT NULL, problem TEXT NOT NULL,
        records INTEGER NOT NULL, PRIMARY KEY ({_KEY})
    ) STRICT, WITHOUT ROWID""",
    # Members who are in, and records that are listed by the run that wrote them last.
    "CREATE TABLE record_people (sync INTEGER PRIMARY KEY, people INTEGER NOT NULL) STRICT",
    """CREATE TABLE record_run (
        sync INTEGER NOT NULL, run INTEGER NOT NULL, records INTEGER NOT NULL, PRIMARY KEY (sync, run)
    ) STRICT, WITHOUT ROWID""",
    *SUMS_ARE_MADE,
    _trigger("comes", "INSERT", "NEW.sync > 0", _one_more("NEW")),
    _trigger("goes", "DELETE", "OLD.sync > 0", _one_less("OLD")),
    _trigger("changes", _STANDING, f"NEW.sync > 0 AND {_TURNED}", _one_less("OLD"), _one_more("NEW")),
    _trigger("enters", "INSERT", f"NEW.standing = 1 AND NEW.sync > 0 AND {_is_alone('NEW')}", _people("NEW", 1)),
    _trigger("leaves", "DELETE", f"OLD.standing = 1 AND OLD.sync > 0 AND {_is_alone('OLD')}", _people("OLD", -1)),
    _trigger(
        "turns_in", "UPDATE OF standing",
        f"NEW.standing = 1 AND OLD.standing <> 1 AND NEW.sync > 0 AND {_is_alone('NEW')}", _people("NEW", 1),
    ),
    _trigger(
        "turns_out", "UPDATE OF standing",
        f"NEW.standing <> 1 AND OLD.standing = 1 AND NEW.sync > 0 AND {_is_alone('NEW')}", _people("NEW", -1),
    ),
    _trigger("listed", "INSERT", "NEW.state <> 0 AND NEW.sync > 0", _run_gains("NEW")),
    _trigger("delisted", "DELETE", "OLD.state <> 0 AND OLD.sync > 0", _run_loses("OLD")),
    _trigger("relisted", "UPDATE OF state, run", f"NEW.sync > 0 AND {_RELISTED}", _run_loses("OLD"), _run_gains("NEW")),
)  # fmt: skip
"""Migration. What was there already is counted once."""
