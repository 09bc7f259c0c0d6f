"""What a run's step has to know of all records of its sync: read beside the writer, for it takes as long as there are records.

Nobody but a run changes what is listed, and of one sync one run is on its way: what a reader has seen is still so when the
step that wants it is written.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from gateway.core.run_counters import RunCounters
from gateway.store.api import StateView
from gateway.store.sync_rows import RunRow, SyncRow
from gateway.syncs.memory import Compared, encode_json, read_counters, read_progress
from gateway.syncs.names import Standing
from gateway.syncs.planner import LOOKS_AT_ALL
from gateway.syncs.snapshots import SnapshotPart, is_kept, next_part
from gateway.syncs.whole_lists import TellPage, changes_page, compared_page


class Ahead(NamedTuple):
    """What a step was told, None where it has no use for it.

    listed: members on the list. part: the next one of the run's snapshot. compared: how far its whole list is, with the one before.
    told: the next of what a whole list changes.
    """

    listed: int | None = None
    part: SnapshotPart | None = None
    compared: Compared | None = None
    told: TellPage | None = None


def look_ahead(view: StateView, run: RunRow, standing: Standing) -> Ahead:
    """What the next step of a run has use for."""
    progress, counters = read_progress(run.progress), read_counters(run.counters)
    if progress.stage == "close" and run.kind != "replace" and progress.ends_as != "skipped":
        return Ahead(listed=listed_after(view, run, counters))
    if progress.stage == "tell":
        return Ahead(told=changes_page(view, run, standing.sync.listed_run))
    if progress.stage == "snap" and is_kept(run, standing):
        return Ahead(part=next_part(view, run))
    if progress.stage == "judge" and run.kind == "replace":
        return Ahead(compared=compared_page(view, run.id, standing.sync.listed_run, progress.compared))
    return Ahead()


def listed_after(view: StateView, run: RunRow, counters: RunCounters) -> int:
    """Members on the list when all that a run has planned is settled; a live run's few are counted as they change."""
    return counters.list_before + counters.list_change if run.kind == "live" else view.listed_count(run.sync)


def listed_before(view: StateView, run: RunRow, sync: SyncRow, *, everybody: bool) -> tuple[int, int]:
    """(members on the list, records that the run's plan passes over). A live run goes by what is known of the list."""
    if run.kind == "live":
        return sync.listed, 0
    return view.listed_count(sync.id), 0 if everybody or run.kind in LOOKS_AT_ALL else view.settled_count(sync.id)


def begun(run: RunRow, listed: int, settled: int, *, everybody: bool) -> RunRow:
    """The run with these in its counters, about to be planned."""
    counters = read_counters(run.counters)
    counters.list_before = listed
    counters.considered += settled
    counters.unchanged += settled
    counters.members_in += settled
    progress = replace(read_progress(run.progress), stage="plan", after=0, everybody=everybody)
    return replace(run, counters=encode_json(counters), progress=encode_json(progress))
