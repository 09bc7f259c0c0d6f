"""What becomes of ticks: on time, missed, overlapping, too early for a whole list. Values in, a verdict out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from gateway.core.schedules import Manual, Schedule, next_tick, ticks_between

LATE_S_MAX = 60  # a tick late by less than this is on time
CATCH_UP_SPREAD_S = 60  # over this long the catch-ups after a stop are spread

MissedPolicy = Literal["once", "skip"]
OverlapPolicy = Literal["queue", "skip"]
StartPolicy = Literal["now", "schedule"]
Trigger = Literal["schedule", "catch_up", "manual", "api", "event", "approval"]


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """One run that is due now.

    scheduled_for: the tick it stands for: the one on time, else the first missed, so that every instance claims the same.
    missed: ticks that passed unserved and that this run makes up for. next_at: the sync's next tick after now.
    """

    scheduled_for: datetime
    trigger: Literal["schedule", "catch_up"]
    missed: int
    next_at: datetime | None


def due_now(schedule: Schedule, *, expected_at: datetime, now: datetime, missed: MissedPolicy) -> Due | None:
    """What a scheduler that looks at `now` has to start for a sync whose next tick was `expected_at`.

    None: nothing, because the tick is still to come, or because `missed` is "skip" and all that passed is past
    (move the sync on to `next_tick(schedule, after=now)`; so does resuming a paused sync, where nothing counts as missed).
    Claiming the run and moving the sync's next tick to `next_at` belong in one transaction.
    """
    if expected_at > now:
        return None
    passed = [expected_at, *ticks_between(schedule, after=expected_at, until=now)]
    next_at = next_tick(schedule, after=now)
    is_on_time = now - passed[-1] < timedelta(seconds=LATE_S_MAX)
    if is_on_time:
        late = len(passed) - 1 if missed == "once" else 0
        return Due(scheduled_for=passed[-1], trigger="schedule", missed=late, next_at=next_at)
    if missed == "skip":
        return None
    return Due(scheduled_for=passed[0], trigger="catch_up", missed=len(passed), next_at=next_at)


def catch_up_delays_s(count: int) -> list[float]:
    """Seconds to wait before each of `count` catch-ups, given oldest first: evenly spread over CATCH_UP_SPREAD_S."""
    return [position * CATCH_UP_SPREAD_S / count for position in range(count)]


def first_run_at(schedule: Schedule, *, start: StartPolicy, created_at: datetime) -> datetime | None:
    """When a new sync runs first: at once, at its first tick, or (a manual one) when a person says so."""
    if isinstance(schedule, Manual):
        return None
    return created_at if start == "now" else next_tick(schedule, after=created_at)


Overlap = Literal["start", "queue", "coalesce", "record_skipped"]


def on_tick(*, is_running: bool, is_queued: bool, overlap: OverlapPolicy) -> Overlap:
    """What a tick does to a sync: start a run, leave one queued, raise the queued one's `coalesced`, or be skipped.

    A run counts as running from its start to its end, held included; a request by hand queues whatever the policy.
    """
    if not is_running:
        return "coalesce" if is_queued else "start"
    if overlap == "skip":
        return "record_skipped"
    return "coalesce" if is_queued else "queue"


def is_list_due(
    *, now: datetime, last_upload_at: datetime | None, min_gap_s: int | None, trigger: Trigger = "schedule"
) -> bool:
    """Whether a whole list may be uploaded again; False ends the run skipped as `not_due`. By hand it always may."""
    if last_upload_at is None or min_gap_s is None or trigger in ("manual", "api", "approval"):
        return True
    return now - last_upload_at >= timedelta(seconds=min_gap_s)
