"""All lanes: one per configured destination, made and kept as the rulebook changes; the verbs an operator has for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Literal

import msgspec

from gateway.core.errors import StoreError
from gateway.core.rulebook import CompiledDestination, Rulebook
from gateway.delivery.bounds import LaneLimits, limits_of
from gateway.delivery.operations import bring_forward
from gateway.delivery.runs import Runs
from gateway.delivery.send import held_settings_key
from gateway.delivery.worker import LaneWorker, may_be_private, missing_mappings
from gateway.destinations.base import Destination
from gateway.destinations.http_client import PartnerHttp
from gateway.observe import logs, metrics
from gateway.store.api import StateStore, StateTx, StateView
from gateway.store.rows import LaneRow

HOUSEKEEPING_S = 5.0  # Lanes of a changed rulebook that nobody announced.
COUNTING_S = 30.0  # Gauges and expired leases: they look at the whole backlog.
EVERYTHING_US = 2**62  # Later than any lease: frees all claims.
STOP_GRACE_S = 10.0

LaneWord = Literal["sending", "idle", "paused", "held", "waiting", "breaker open", "probing", "disabled", "removed"]

log = logs.logger()


class LaneStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A lane as operators see it. word: what it is doing; reason: why, and what to do where somebody has to act.

    row: the stored standing with counts. in_flight: claims on their way. until_us: when it looks again by itself.
    """

    row: LaneRow
    word: LaneWord
    reason: str = ""
    in_flight: int = 0
    until_us: int | None = None


class Lanes:
    """Owns every lane's task. `run` until `stop`; the other methods belong to the same event loop."""

    def __init__(
        self,
        *,
        state: StateStore,
        rulebook: Callable[[], Rulebook],
        registry: Mapping[str, Destination],
        http: PartnerHttp,
        clock: Callable[[], int],
        chance: Callable[[], float],
        limits: LaneLimits | None = None,
        allow_private: Callable[[CompiledDestination], bool] = may_be_private,
        runs: Runs | None = None,
    ) -> None:
        """rulebook: the one in force. registry: destinations by definition slug. clock: now in Unix µs. chance: 0 to 1.

        runs: the syncs, where there are any.
        """
        self._state = state
        self._rulebook = rulebook
        self._registry = registry
        self._http = http
        self._clock = clock
        self._chance = chance
        self._limits = limits or LaneLimits()
        self._allow_private = allow_private
        self._runs = runs
        self._workers: dict[str, LaneWorker] = {}
        self._changed = asyncio.Event()
        self._making = asyncio.Lock()  # a pause given while a lane is being made must not miss it
        self._ended = asyncio.Event()
        self._ended.set()
        self._stopping = False
        self._count_us = 0

    async def run(self) -> None:
        """Free every claim (nobody else holds any: one engine), then work until `stop`.

        Raises StoreError when the store cannot even be read at the start.
        """
        self._ended.clear()
        try:
            freed = await self._state.write(lambda tx: tx.release_expired(now_us=EVERYTHING_US))
            log.info("lanes.started", destinations=len(self._rulebook().destinations), deliveries_freed=freed)
            async with asyncio.TaskGroup() as group:
                while not self._stopping:
                    self._changed.clear()
                    await self._housekeeping(group)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(HOUSEKEEPING_S):
                            await self._changed.wait()
        finally:
            self._ended.set()

    def wake(self, lanes: Iterable[str]) -> None:
        """Deliveries were recorded for these lanes."""
        for lane in lanes:
            worker = self._workers.get(lane)
            if worker is None:
                self._changed.set()
            else:
                worker.wake()

    def rulebook_changed(self) -> None:
        """Look at the rulebook again: new lanes start, bounds change at once, changed settings from the next batch on."""
        self._changed.set()
        for worker in self._workers.values():
            worker.take_bounds()
            worker.wake()

    async def pause(self, lane: str) -> None:
        """Start nothing more in this lane; what is in flight ends."""
        await self._change(lane, LaneWorker.pause)

    async def resume(self, lane: str) -> None:
        """End pause and hold, close the breaker; what waits for its next try is due now."""
        await self._change(lane, LaneWorker.resume)
        brought = await bring_forward(self._state, now_us=self._clock(), lane=lane)
        if brought:
            log.info("lane.brought_forward", destination=lane, deliveries=brought)
            self.wake([lane])

    async def probe(self, lane: str) -> None:
        """Send one delivery now, whatever the lane's standing; its answer frees a hold."""
        await self._change(lane, LaneWorker.probe)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Claim no more, let what is in flight end within `grace_s`, cut off the rest and release it; wait for `run`."""
        self._stopping = True
        self._changed.set()
        for worker in self._workers.values():
            worker.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._ended.wait()
        for worker in self._workers.values():
            worker.sender.abandon()
        await self._ended.wait()

    async def standing(self) -> list[LaneStanding]:
        """Every lane, configured or with a backlog, by name."""
        rows, missing = await self._state.read(self._look)
        for destination in self._rulebook().destinations:
            rows.setdefault(destination.key, LaneRow(lane=destination.key))
        return [self._standing(row, missing.get(lane, [])) for lane, row in sorted(rows.items())]

    def _look(self, view: StateView) -> tuple[dict[str, LaneRow], dict[str, list[str]]]:
        """Rows by lane, and by lane the mappings of its oldest due deliveries that the rulebook does not have."""
        rows = {row.lane: row for row in view.lanes()}
        missing: dict[str, list[str]] = {}
        for destination in self._rulebook().destinations:
            if destination.key in rows and rows[destination.key].due:
                missing[destination.key] = missing_mappings(view, destination)
        return rows, missing

    def _standing(self, row: LaneRow, missing: list[str]) -> LaneStanding:
        destination = self._rulebook().destination(row.lane)
        worker = self._workers.get(row.lane)
        if destination is None:
            return LaneStanding(
                row=row, word="removed", reason="destination removed: its file is gone; put it back or drop the backlog"
            )
        if not destination.enabled:
            return LaneStanding(row=row, word="disabled", reason='the mapping file says "enabled": false')
        if worker is None:
            return LaneStanding(row=row, word="idle")
        return _standing_of(row, worker, self._clock(), missing)

    async def _change(self, lane: str, verb: Callable[[LaneWorker], None]) -> None:
        async with self._making:
            worker = self._workers.get(lane)
            if worker is None:
                # Met neither in the rulebook yet nor running: the same verbs on a worker that never runs, for its row.
                worker = await self._worker(lane)
            verb(worker)
            await worker.save_standing()
        worker.wake()
        log.info("lane.changed", destination=lane, verb=verb.__name__)

    async def _worker(self, lane: str) -> LaneWorker:
        row, held = await self._state.read(lambda view: (view.lane(lane), view.note(held_settings_key(lane))))
        return LaneWorker(
            row,
            held or b"",
            state=self._state,
            rulebook=self._rulebook,
            registry=self._registry,
            http=self._http,
            clock=self._clock,
            chance=self._chance,
            limits=self._limits_of,
            allow_private=self._allow_private,
            runs=self._runs,
        )

    def _limits_of(self, lane: str) -> LaneLimits:
        """What holds for a lane by the rulebook in force."""
        destination = self._rulebook().destination(lane)
        offered = self._registry.get(destination.definition.slug) if destination is not None else None
        return limits_of(destination, offered, self._limits)

    async def _housekeeping(self, group: asyncio.TaskGroup) -> None:
        """One round; a store in trouble costs this round and nothing else."""
        try:
            for destination in self._rulebook().destinations:
                if destination.key not in self._workers:
                    async with self._making:
                        worker = self._workers[destination.key] = await self._worker(destination.key)
                    if self._stopping:
                        worker.stop()
                    group.create_task(worker.run(), name=f"lane {destination.key}")
            if (now_us := self._clock()) >= self._count_us:
                self._count_us = now_us + round(COUNTING_S * 1_000_000)
                await self._count(now_us)
        except StoreError as error:
            log.warning("lanes.store_failed", error=str(error))

    async def _count(self, now_us: int) -> None:
        freed = await self._state.write(lambda tx: self._released(tx, now_us))
        if freed:
            log.warning("lanes.leases_expired", deliveries=freed)
            self.wake(list(self._workers))
        self._show(await self._state.read(lambda view: view.lanes()))

    def _released(self, tx: StateTx, now_us: int) -> int:
        """Give back what nobody settled in time: it was sent, and the store failed until its lane gave up."""
        if self._runs is not None:
            self._runs.doubt_expired(tx, now_us=now_us)
        return tx.release_expired(now_us=now_us)

    def _show(self, rows: Iterable[LaneRow]) -> None:
        for row in rows:
            metrics.LANE_DUE.labels(row.lane).set(row.due)
            metrics.LANE_DEAD.labels(row.lane).set(row.dead)
            held = row.paused or bool(row.hold) or row.breaker != "closed"
            metrics.LANE_HELD.labels(row.lane).set(int(held))


def _standing_of(row: LaneRow, worker: LaneWorker, now_us: int, missing: list[str]) -> LaneStanding:
    allowed = worker.gate.look(now_us)
    word: LaneWord
    match allowed.why:
        case "paused":
            word, reason = "paused", "paused by a person; resume it"
        case "held":
            word, reason = "held", f"{worker.gate.hold}: {worker.gate.hold_reason}"
        case "waiting":
            word, reason = "waiting", "the partner asked for a pause"
        case "breaker open":
            word, reason = "breaker open", "most requests fail; the next probe decides"
        case "":
            word, reason = ("sending" if worker.in_flight else "idle"), ""
        case _:
            word, reason = "probing", allowed.why
    if missing:
        lost = f"mapping removed: {', '.join(missing)}; put it back, its deliveries wait"
        reason = f"{reason}; {lost}" if reason else lost
    return LaneStanding(row=row, word=word, reason=reason, in_flight=worker.in_flight, until_us=allowed.until_us)
