"""What a list was after a run: one small entry a member, compressed, without values; and how two runs differ."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from gateway.store.api import StateView
from gateway.store.sync_rows import ABSENT, RecordRow, RunRow
from gateway.syncs.memory import read_counters, read_memory, read_progress
from gateway.syncs.names import Standing
from gateway.syncs.settling import RunLedger, member_reference
from gateway.syncs.showing import Shown

PART_RECORDS = 10_000
MEMBERS_SHOWN = 50
FINGERPRINT_BYTES = 8


class Entry(NamedTuple):
    """One member (or line of theirs). state: as a record has it. fingerprint: the head of the one that was sent.

    operation: what the run did, "" for nothing, and in snapshots of earlier versions, which did not say. Who was taken off by
    the run is there, too, as absent.
    """

    member: int
    line: int
    state: int
    fingerprint: bytes
    operation: str = ""

    @property
    def key(self) -> tuple[int, int]:
        """Entries are in its order."""
        return self.member, self.line


_NOBODY = Entry(0, 0, ABSENT, b"")
_ALL = (2**63 - 1, 2**63 - 1)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Entry]).decode


class SnapshotPart(msgspec.Struct, frozen=True, kw_only=True):
    """The next part of a snapshot, packed. after: (member, line) it begins behind; last: its last one, None at the end."""

    after: tuple[int, int]
    last: tuple[int, int] | None
    members: int
    body: bytes


def is_kept(run: RunRow, standing: Standing) -> bool:
    """Whether a run's snapshot is kept: it has changed what is known of the list, and looked at everybody.

    Of a whole list, once the platform has taken it.
    """
    if standing.options.snapshots_kept == 0 or run.kind == "live":
        return False
    counters = read_counters(run.counters)
    is_changed = counters.accepted_total or counters.list_change or counters.unsure or counters.skipped.get("tracked")
    if run.kind == "replace":
        return read_progress(run.progress).outcome == "accepted"
    return bool(is_changed)


def next_part(view: StateView, run: RunRow) -> SnapshotPart:
    """The part that a run's snapshot goes on with."""
    progress = read_progress(run.progress)
    after = (progress.after, progress.line)
    rows = view.records(run.sync, after=after, limit=PART_RECORDS)
    done = view.run_operations(run.id, after=after, limit=PART_RECORDS)
    ends = [
        *((row.member, row.line) for row in rows[PART_RECORDS - 1 :]),
        *((member, line) for member, line, _operation in done[PART_RECORDS - 1 :]),
    ]
    last = min(ends, default=None)
    entries = _entries_of(rows, done, last)
    members = sum(entry.state != ABSENT for entry in entries)
    return SnapshotPart(after=after, last=last, members=members, body=zlib.compress(_encode(entries), 6))


def _entries_of(
    rows: Sequence[RecordRow], done: Sequence[tuple[int, int, str]], last: tuple[int, int] | None
) -> list[Entry]:
    """Records that are listed and members of whom the run took one off, as far as `last`."""
    found = {
        (member, line): Entry(member, line, ABSENT, b"", operation)
        for member, line, operation in done
        if last is None or (member, line) <= last
    }
    for row in rows:
        key = (row.member, row.line)
        if row.state != ABSENT and (last is None or key <= last):
            operation = found[key].operation if key in found else ""
            found[key] = Entry(*key, row.state, row.sent_fingerprint[:FINGERPRINT_BYTES], operation)
    return [found[key] for key in sorted(found)]


def keep_part(ledger: RunLedger, standing: Standing, part: SnapshotPart | None) -> None:
    """Keep one part of the run's snapshot; at its end, or where there is none, the run may close."""
    progress, run = ledger.progress, ledger.run
    if part is None:
        if standing.options.snapshots_kept < read_memory(standing.sync.memory).snapshots:
            _drop_older(ledger, standing)
        ledger.progress = replace(progress, stage="close")
        return
    assert part.after == (progress.after, progress.line), "a run has one step at a time"
    ledger.tx.add_snapshot_part(run.id, progress.part, part.members, part.body)
    is_last = part.last is None
    ledger.tx.drop_run_operations(run.id, limit=PART_RECORDS, through=part.last or _ALL)
    member, line = part.last or (0, 0)
    ledger.progress = replace(
        progress, stage="close" if is_last else "snap", part=progress.part + 1, after=member, line=line
    )
    if is_last:
        _drop_older(ledger, standing)


def _drop_older(ledger: RunLedger, standing: Standing) -> None:
    """Keep as many as the mapping says now, be they fewer than before."""
    for old in ledger.tx.snapshot_runs(ledger.run.sync)[standing.options.snapshots_kept :]:
        ledger.tx.drop_snapshot(old)


def difference(view: StateView, older: int, newer: int, *, reference_key: bytes) -> Shown | None:
    """Who came, went and changed between two runs' snapshots; None where one of them is not kept."""
    counts = {"came": 0, "went": 0, "changed": 0, "same": 0}
    shown: list[Shown] = []
    if not view.snapshot_parts(older) or not view.snapshot_parts(newer):
        return None
    left, right = _entries(view, older), _entries(view, newer)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        before, after = _NOBODY, _NOBODY
        if one is not None and (other is None or one[:2] <= other[:2]):
            before = one
        if other is not None and (one is None or other[:2] <= one[:2]):
            after = other
        one = one if before is _NOBODY else next(left, None)
        other = other if after is _NOBODY else next(right, None)
        what = _what(before, after)
        if not what:
            continue
        counts[what] += 1
        if what != "same" and len(shown) < MEMBERS_SHOWN:
            member = (before if after is _NOBODY else after).member
            reference = member_reference(reference_key, member)
            shown.append({"member": reference, "what": what, "operation": after.operation})
    return {"older": older, "newer": newer, **counts, "members": shown}


def _what(before: Entry, after: Entry) -> str:
    """What became of a member between two snapshots; "" where they were on neither list."""
    if before.state == ABSENT:
        return "" if after.state == ABSENT else "came"
    if after.state == ABSENT:
        return "went"
    return "same" if before[2:4] == after[2:4] else "changed"


def read_part(body: bytes) -> list[Entry]:
    """The entries of one stored part, in order of member and line."""
    return _decode(zlib.decompress(body))


def _entries(view: StateView, run: int) -> Iterator[Entry]:
    for _members, body in view.snapshot_parts(run):
        yield from read_part(body)
