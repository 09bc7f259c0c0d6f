"""The look between runs: what no run's end can tell (stale, freshness, long runs …) is judged, and the syncs' gauges are set.

One look reads a bounded number of records, so a large sync is gone through in several looks; its pending counts, its
freshness and its unsure members are those of the last time it was gone through whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from gateway.core.alert_options import ALERT_NAMES, AlertOptions
from gateway.core.alert_rules import LONG_RUN_RUNS, OVER, REPEAT_US, LookFacts, Verdicts, judge_look
from gateway.core.rulebook import Rulebook
from gateway.core.schedules import stale_at
from gateway.core.sync_options import Capabilities, Mode
from gateway.observe import metrics
from gateway.store.alert_rows import AlertRow, WaitingCount
from gateway.store.api import StateStore, StateTx, StateView
from gateway.store.sync_rows import RunRow
from gateway.syncs.alarms import SYNC_IS_GONE, About, about, end_alerts, is_change, settle_alerts
from gateway.syncs.names import Standing, standings, sync_names
from gateway.syncs.record_walk import RecordWalk, Waiting
from gateway.syncs.runner import moment
from gateway.syncs.size_history import SizeHistory, read_sizes, size_key, with_size

LOOK_US = 10 * 1_000_000  # between two looks
GRACE_US = 600 * 1_000_000  # after a start or a resume a sync has a chance to run before it counts as stale
REFUSED = "unauthorized"  # what the delivery room calls a lane's hold for refused credentials

OPERATIONS = ("add", "update", "replace", "remove", "erase")


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One sync as a look found it.

    running: number of the run on its way, 0 for none. waiting: None until its records were gone through once. is_news: a
    verdict changes an alert. sizes: None where not news.
    """

    standing: Standing
    is_held: bool
    running: int
    waiting: Waiting | None
    verdicts: Verdicts
    is_news: bool
    sizes: SizeHistory | None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All syncs at one look.

    names: also of those that only keep what a list holds that their mapping has left. gone: numbers of syncs that are no
    more and still have alerts, with their names.
    """

    looks: list[Look]
    names: set[str]
    gone: dict[int, str]


class Watch:
    """One per engine. `look` does nothing until the next look is due."""

    def __init__(self, *, state: StateStore, rulebook: Callable[[], Rulebook], clock: Callable[[], int]) -> None:
        self._state = state
        self._rulebook = rulebook
        self._clock = clock
        self._walk = RecordWalk()
        self._due_us = 0
        self._stale_from_us: dict[int, int] = {}
        self._resting: set[int] = set()
        self._going_since_us: dict[int, int] = {}
        self._shown: set[str] = set()

    async def look(self) -> None:
        """Judge all syncs, where it is time to. Raises StoreError."""
        now_us = self._clock()
        if now_us < self._due_us:
            return
        self._due_us = now_us + LOOK_US
        seen = await self._state.read(lambda view: self._see(view, now_us))
        self._show(seen, now_us)
        if seen.gone or any(one.is_news or one.sizes is not None for one in seen.looks):
            await self._state.write(lambda tx: keep(tx, seen, now_us))

    # seeing --------------------------------------------------------------------------------------------------------------
    def _see(self, view: StateView, now_us: int) -> Seen:
        known = [one for one in standings(view, self._rulebook()) if one.sync.status != "deleted"]
        served = [one for one in known if one.parked is None]
        alerts: dict[int, dict[str, AlertRow]] = {}
        for row in view.alerts():
            alerts.setdefault(row.sync, {})[row.name] = row
        holds = view.lane_holds()
        self._walk.go_on(view, [one.sync.id for one in served])
        looks = [self._look(view, one, holds, alerts.get(one.sync.id, {}), now_us) for one in served]
        self._forget(looks)
        gone = _gone(view, set(alerts) - {one.sync.id for one in known})
        return Seen(looks=looks, names={one.name for one in known}, gone=gone)

    def _look(
        self, view: StateView, standing: Standing, holds: dict[str, str], alerts: dict[str, AlertRow], now_us: int
    ) -> Look:
        sync, rules = standing.sync, standing.options.alerts
        running = view.running_run(sync.id)
        waiting = self._walk.waiting(sync.id)
        sizes = news = None
        if rules.size_change.is_on:
            sizes = read_sizes(view.note(size_key(sync.id)))
            news = with_size(sizes, standing.audience.members, now_us)
        is_resting = self._is_resting(standing, now_us)
        usual_s: tuple[float, ...] = ()
        if running is not None and rules.long_run.is_on and rules.long_run.limit is None:
            usual_s = _durations(view.finished_runs(sync.id, limit=LONG_RUN_RUNS))
        facts = LookFacts(
            now_us=now_us,
            stale_us=None if is_resting else self._stale_us(standing, now_us),
            last_good_us=sync.last_synced_us or sync.created_us,
            oldest_us=None if is_resting or waiting is None else _oldest_us(waiting, standing),
            sizes=None
            if sizes is None
            else (sizes.earliest(standing.audience.members, now_us), standing.audience.members),
            running_s=self._running_s(running, now_us),
            usual_s=usual_s,
            is_refused=holds.get(standing.destination.key, "") == REFUSED,
            unsure=None if waiting is None else (waiting.unsure.count, waiting.unsure.since_us),
        )
        verdicts = judge_look(rules, facts) | _switched_off(rules, alerts)
        is_news = any(
            is_change(rules.rule(name), alerts.get(name), verdict, now_us=now_us, repeat_us=REPEAT_US)
            for name, verdict in verdicts.items()
        )
        return Look(
            standing=standing,
            is_held=view.held_run(sync.id) is not None,
            running=0 if running is None else running.id,
            waiting=waiting,
            verdicts=verdicts,
            is_news=is_news,
            sizes=news,
        )

    def _is_resting(self, standing: Standing, now_us: int) -> bool:
        """Nothing is expected of a sync that is paused, being deleted or switched off; when it wakes, it has its grace."""
        sync = standing.sync
        if sync.status not in ("active", "errored") or not standing.is_enabled:
            self._resting.add(sync.id)
            return True
        if sync.id in self._resting:
            self._resting.discard(sync.id)
            self._stale_from_us[sync.id] = max(now_us, sync.next_us) + GRACE_US
        self._stale_from_us.setdefault(sync.id, now_us + GRACE_US)
        return False

    def _stale_us(self, standing: Standing, now_us: int) -> int | None:
        """When the sync counts as stale, 0 for never; None while its grace lasts."""
        sync = standing.sync
        stale_us = _stale_us(standing)
        return None if stale_us and stale_us < now_us < self._stale_from_us[sync.id] else stale_us

    def _running_s(self, run: RunRow | None, now_us: int) -> float:
        """How long the run has been on its way; one that a person let go counts from when it was first seen going again."""
        if run is None:
            return 0.0
        if not run.approved_by:
            return (now_us - run.started_us) / 1e6 if run.started_us else 0.0
        return (now_us - self._going_since_us.setdefault(run.id, now_us)) / 1e6

    def _forget(self, looks: list[Look]) -> None:
        """Know nothing of syncs and runs that are no more."""
        syncs = {one.standing.sync.id for one in looks}
        running = {one.running for one in looks}
        self._going_since_us = {run: us for run, us in self._going_since_us.items() if run in running}
        self._stale_from_us = {sync: us for sync, us in self._stale_from_us.items() if sync in syncs}
        self._resting &= syncs

    # telling -------------------------------------------------------------------------------------------------------------
    def _show(self, seen: Seen, now_us: int) -> None:
        for name in self._shown - seen.names:
            metrics.forget_sync(name)
        self._shown = seen.names
        for one in seen.looks:
            standing, name = one.standing, one.standing.name
            metrics.SYNC_LIST_SIZE.labels(name).set(standing.sync.listed)
            metrics.SYNC_AUDIENCE_SIZE.labels(name).set(standing.audience.members)
            metrics.SYNC_HELD.labels(name).set(int(one.is_held))
            metrics.SYNC_NEXT_RUN.labels(name).set(standing.sync.next_us / 1_000_000)
            if one.waiting is None:
                continue
            oldest_us = _oldest_us(one.waiting, standing)
            metrics.SYNC_FRESHNESS_S.labels(name).set(max(0, now_us - oldest_us) / 1_000_000 if oldest_us else 0)
            pending = expected(one.waiting, standing.options.mode, standing.mapping.capabilities)
            for operation in OPERATIONS:
                metrics.SYNC_PENDING.labels(name, operation).set(pending.get(operation, WaitingCount()).count)


def keep(tx: StateTx, seen: Seen, now_us: int) -> None:
    """What a look found out, in one transaction."""
    for one in seen.looks:
        if one.is_news:
            settle_alerts(tx, about(one.standing), one.verdicts, now_us=now_us, repeat_us=REPEAT_US)
        if one.sizes is not None:
            tx.put_note(size_key(one.standing.sync.id), one.sizes.encoded())
    for sync, name in seen.gone.items():
        end_alerts(tx, About(sync=sync, name=name), now_us=now_us, reason=SYNC_IS_GONE)


def expected(waiting: Waiting, mode: Mode, capabilities: Capabilities) -> dict[str, WaitingCount]:
    """What the next run would have to do, of what the list lacks: each mode leaves something out."""
    found = dict(waiting.operations)
    if mode == "subtractive":
        found = {name: count for name, count in found.items() if name in ("remove", "erase")}
    if mode == "additive":
        found.pop("remove", None)
        moved = found.pop("replace", None)  # added anew, the old identifiers stay
        if moved is not None:
            found["add"] = moved.joined(found.get("add"))
    if not (capabilities.update or capabilities.takes_whole_lists):
        found.pop("update", None)
    return found


def _oldest_us(waiting: Waiting, standing: Standing) -> int:
    """Since when the oldest change waits that the next run would send; 0 for none."""
    pending = expected(waiting, standing.options.mode, standing.mapping.capabilities)
    return min((one.since_us for one in pending.values() if one.count), default=0)


def _stale_us(standing: Standing) -> int:
    """When the sync counts as stale: two ticks and ten minutes after its last acceptable run, or as its alert says; 0 never."""
    last_us = standing.sync.last_synced_us or standing.sync.created_us
    limit_s = standing.options.alerts.stale.limit
    if limit_s is not None:
        return last_us + round(limit_s * 1_000_000)
    at = stale_at(standing.options.schedule, last_good_at=moment(last_us))
    if at is None:
        return 0
    # Where a platform takes whole lists, ticks in between are skipped as not due.
    every_us = (standing.mapping.capabilities.full_replace_every_s or 0) * 1_000_000
    return max(round(at.timestamp() * 1_000_000), last_us + 2 * every_us + GRACE_US)


def _switched_off(rules: AlertOptions, alerts: Iterable[str]) -> Verdicts:
    """Alerts that stand and are not wanted any more, whoever judges them."""
    return {name: OVER for name in ALERT_NAMES if name in alerts and not rules.rule(name).is_on}


def _durations(runs: list[RunRow]) -> tuple[float, ...]:
    """How long runs took, without those that waited for a person."""
    return tuple((run.finished_us - run.started_us) / 1e6 for run in runs if run.started_us and not run.approved_by)


def _gone(view: StateView, syncs: set[int]) -> dict[int, str]:
    if not syncs:
        return {}
    names = sync_names(view)
    return {sync: names.get(sync, str(sync)) for sync in sorted(syncs)}
