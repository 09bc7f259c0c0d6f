"""What a list was after a run: one small entry a member, compressed, without values; and how two runs differ."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from gateway.store.api import StateView
from gateway.store.sync_rows import ABSENT, RunRow
from gateway.syncs.memory import read_counters, read_memory, read_progress
from gateway.syncs.names import Standing
from gateway.syncs.settling import RunLedger, member_reference
from gateway.syncs.showing import Shown

PART_RECORDS = 10_000
MEMBERS_SHOWN = 50
FINGERPRINT_BYTES = 8

Entry = tuple[int, int, int, bytes]  # member, line, state, head of the fingerprint as sent

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

    A whole list comes here once the platform has taken it.
    """
    if standing.options.snapshots_kept == 0 or run.kind == "live":
        return False
    counters = read_counters(run.counters)
    is_changed = counters.accepted_total or counters.list_change or counters.unsure or counters.skipped.get("tracked")
    return run.kind == "replace" or bool(is_changed)


def next_part(view: StateView, run: RunRow) -> SnapshotPart:
    """The part that a run's snapshot goes on with."""
    progress = read_progress(run.progress)
    after = (progress.after, progress.line)
    rows = view.records(run.sync, after=after, limit=PART_RECORDS)
    entries = [
        (row.member, row.line, row.state, row.sent_fingerprint[:FINGERPRINT_BYTES])
        for row in rows
        if row.state != ABSENT
    ]
    last = (rows[-1].member, rows[-1].line) if len(rows) == PART_RECORDS else None
    return SnapshotPart(after=after, last=last, members=len(entries), body=zlib.compress(_encode(entries), 6))


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
        if other is None or (one is not None and one[:2] < other[:2]):
            assert one is not None
            what, member, one = "went", one[0], next(left, None)
        elif one is None or other[:2] < one[:2]:
            what, member, other = "came", other[0], next(right, None)
        else:
            what, member = ("same" if one[2:] == other[2:] else "changed"), one[0]
            one, other = next(left, None), next(right, None)
        counts[what] += 1
        if what != "same" and len(shown) < MEMBERS_SHOWN:
            shown.append({"member": member_reference(reference_key, member), "what": what})
    return {"older": older, "newer": newer, **counts, "members": shown}


def read_part(body: bytes) -> list[Entry]:
    """The entries of one stored part, in order of member and line."""
    return _decode(zlib.decompress(body))


def _entries(view: StateView, run: int) -> Iterator[Entry]:
    for _members, body in view.snapshot_parts(run):
        yield from read_part(body)
