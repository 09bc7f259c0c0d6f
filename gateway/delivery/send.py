"""One batch: the destination performs it, its outcomes are settled, one attempt row, one log line, one metric."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from itertools import count

import msgspec

from gateway.core.errors import StoreError
from gateway.core.hash_linter import HashWarning
from gateway.core.identifier_warnings import note_key, with_warnings
from gateway.core.outcomes import Unreachable
from gateway.core.retries import FAILURES_MAX, asked_wait_s
from gateway.core.rulebook import CompiledDestination, CompiledMapping
from gateway.delivery.attempts import AttemptLog, identifier_warnings, in_step, run_attempts
from gateway.delivery.bounds import RatedHttp
from gateway.delivery.faults import where
from gateway.delivery.gate import UNAUTHORIZED, Gate
from gateway.delivery.metering import MeteredHttp
from gateway.delivery.notes import LaneNotes
from gateway.delivery.owing import Owing
from gateway.delivery.runs import RunAttempt, Runs
from gateway.delivery.settling import (
    DEFAULT_TERMS,
    WHOLE_LIST,
    Decided,
    Reading,
    RunTerms,
    decide,
    is_single_change_of_run,
    read_attempt,
)
from gateway.destinations.base import Batch, Context, Destination, Performed
from gateway.observe import logs
from gateway.store.api import StateStore, StateTx
from gateway.store.rows import AttemptRow, DeliveryRow, LaneRow

ATTEMPT_S_MAX = 600.0  # A destination bounds its own requests; this bounds the destination.
LIST_ATTEMPT_S_MAX = 7200.0  # A whole list: writing a hundred million lines, and uploads of up to 50 minutes.
SETTLE_S_MAX = 300.0  # A lease leaves so much behind the longest attempt.
SETTLE_WAIT_S = 2.0

log = logs.logger()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that was made and is not settled yet. ended_us: when the partner's answer was there.

    requests: made by it. run_attempts: what runs hear, the first with the number of requests.
    """

    decided: Decided
    attempt: AttemptRow
    ended_us: int
    requests: int = 0
    warnings: tuple[HashWarning, ...] = ()
    run_attempts: tuple[RunAttempt, ...] = ()

    def telling(self, requests: int) -> Sent:
        """The same, but its runs hear of so many requests."""
        first, *others = self.run_attempts
        told = (msgspec.structs.replace(first, requests=requests), *others)
        return msgspec.structs.replace(self, run_attempts=told)


class Sender:
    """Sends one lane's batches. Shared by the lane's batches in flight."""

    def __init__(
        self,
        lane: str,
        *,
        state: StateStore,
        gate: Gate,
        clock: Callable[[], int],
        chance: Callable[[], float],
        runs: Runs,
    ) -> None:
        self._lane = lane
        self._state = state
        self._gate = gate
        self._clock = clock
        self._chance = chance
        self._runs = runs
        self._notes = LaneNotes(state, lane)
        self._owing = Owing(state)
        self._attempts = AttemptLog(lane)
        self._limits: set[asyncio.Timeout] = set()
        self.abandoned = False

    def abandon(self) -> None:
        """End what is in flight now; what it carried is released, as nobody knows whether it arrived."""
        self.abandoned = True
        for limit in self._limits:
            limit.reschedule(0.0)

    async def send(
        self,
        rows: Sequence[DeliveryRow],
        destination: CompiledDestination,
        mapping: CompiledMapping,
        offered: Destination,
        http: RatedHttp,
        *,
        probe: bool,
        may_split: bool,
        goes_on: Callable[[], Awaitable[bool]] | None = None,
    ) -> Sent | None:
        """Make one attempt and tell the gate; `settle` it next. None when it was abandoned and nothing is known.

        goes_on: asked before each further request of the batch.
        """
        started_us, started_s = self._clock(), time.perf_counter()
        batch, owed = await self._owing.batch(rows, destination, mapping)
        snapshot = await self._runs.snapshot(rows[0].run) if rows[0].operation == WHOLE_LIST else None
        metered: MeteredHttp | None = None
        if rows[0].run:
            http, metered = http.around(lambda inner: MeteredHttp(inner, self._lane))
        context = Context(http=http, notes=self._notes, now_us=started_us, snapshot=snapshot, goes_on=goes_on)
        performed = await self._perform(offered, batch, context) if batch.owed else Performed(outcomes=(), requests=0)
        if performed is None:
            return None
        outcomes = in_step(owed, performed.outcomes)
        warnings = (*identifier_warnings(batch.owed, mapping), *performed.warnings)
        now_us = self._clock()
        terms = _terms(rows[0], destination, mapping)
        reading = read_attempt(outcomes, stops=performed.stops, heeds_waits=terms.retry.respect_retry_after)
        self._tell_gate(reading, performed.requests, now_us, destination, probe=probe)
        decided = decide(
            rows,
            outcomes,
            now_us=now_us,
            jitter=self._chance(),
            may_split=may_split,
            probe_back_us=self._probe_back_us(now_us) if probe else None,
            terms=terms,
        )
        attempt = AttemptRow(
            id=0,
            lane=self._lane,
            mapping=mapping.key,
            started_us=started_us,
            duration_ms=round((time.perf_counter() - started_s) * 1000),
            outcome=reading.word,
            status=reading.status,
            deliveries=tuple(row.id for row in rows),
            reason=reading.reason,
            request=performed.request,
            answer=performed.answer,
            warnings=tuple(dict.fromkeys(warning.code for warning in warnings)),
        )
        retry_in_s = None if decided.next_us is None else round((decided.next_us - self._clock()) / 1_000_000, 1)
        self._attempts.tell(
            rows, outcomes, attempt, split=len(decided.again), retry_in_s=retry_in_s, attempts_max=_attempts_max(rows[0], terms),
            requests=performed.requests, definition=destination.definition.slug, action=mapping.action.slug, warnings=warnings,
        )  # fmt: skip
        return Sent(
            decided=decided,
            attempt=attempt,
            ended_us=now_us,
            requests=performed.requests,
            warnings=warnings,
            run_attempts=run_attempts(
                rows,
                owed,
                outcomes,
                decided,
                performed,
                sent_bytes=0 if metered is None else metered.bytes,
                waited_ms=round((retry_in_s or 0) * 1_000),
                began_us=started_us,
            ),
        )

    async def settle(self, sent: Sent) -> None:
        """Write how the deliveries are left, with the attempt and the lane's standing, in one transaction.

        Raises StoreError only when that failed for about five minutes, or the lane is abandoned.
        """
        ends_s = time.monotonic() + SETTLE_S_MAX
        for tries in count(1):
            row = self._gate.take_changed_row()
            held_settings = self._gate.held_settings
            write = partial(
                _write,
                decided=sent.decided,
                attempt=sent.attempt,
                warnings=sent.warnings,
                now_us=sent.ended_us,
                row=row,
                held_settings=held_settings,
                runs=self._runs,
                run_attempts=sent.run_attempts,
            )
            try:
                await self._state.write(write)
            except StoreError as error:
                if row is not None:
                    self._gate.save_again()
                log.warning("delivery.settle_failed", destination=self._lane, attempt=tries, error=str(error))
                if time.monotonic() >= ends_s or self.abandoned:
                    raise
                await asyncio.sleep(SETTLE_WAIT_S)
            else:
                if sent.run_attempts:
                    self._runs.wake()
                return

    async def _perform(self, offered: Destination, batch: Batch, context: Context) -> Performed | None:
        limit_s = ATTEMPT_S_MAX if context.snapshot is None else LIST_ATTEMPT_S_MAX
        try:
            async with asyncio.timeout(0.0 if self.abandoned else limit_s) as limit:
                self._limits.add(limit)
                try:
                    performed = await offered.perform(batch, context)
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            if self.abandoned:
                return None
            return _all(batch, f"the destination took longer than {limit_s:g} s")
        except Exception as error:  # noqa: BLE001 - a fault of ours in one destination must not stop its lane
            self._log_fault(type(error).__name__, where(error))
            return _all(batch, f"the gateway failed ({type(error).__name__}); see the log")
        if len(performed.outcomes) != len(batch.owed):
            self._log_fault("outcomes do not match deliveries", [])
            return _all(batch, "the gateway failed (outcomes do not match deliveries)")
        return performed

    def _tell_gate(
        self, reading: Reading, requests: int, now_us: int, destination: CompiledDestination, *, probe: bool
    ) -> None:
        if reading.unauthorized is not None:
            self._gate.refused_credentials(now_us, reading.unauthorized, settings_digest(destination))
            log.warning("lane.held", destination=self._lane, hold=UNAUTHORIZED, status=reading.status)
            return
        if reading.wait_s is not None:
            self._gate.told_to_wait(now_us, until_us=now_us + round(asked_wait_s(reading.wait_s) * 1_000_000))
            if reading.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return  # "Not so fast" is no sign of trouble; a 503 is, however politely it is put.
        if requests == 0:
            return  # Refused before any request: this says nothing of the partner.
        if reading.answered:
            self._gate.answered(now_us, probe=probe)
            return
        was_open, hold = self._gate.breaker.state == "open", self._gate.hold
        self._gate.failed(now_us, probe=probe)
        if self._gate.hold != hold:
            log.error("lane.held", destination=self._lane, hold=self._gate.hold)
        elif self._gate.breaker.state == "open" and not was_open:
            log.warning("lane.breaker_opened", destination=self._lane, pause_s=self._gate.breaker.pause_s())

    def _probe_back_us(self, now_us: int) -> int:
        """Behind the next probe but one, see `decide`."""
        return now_us + round(2.5 * self._gate.breaker.pause_s() * 1_000_000)

    def _log_fault(self, error: str, frames: list[str]) -> None:
        log.error("delivery.failed_unforeseen", destination=self._lane, error=error, where=frames)


def _write(
    tx: StateTx,
    *,
    decided: Decided,
    attempt: AttemptRow,
    warnings: Sequence[HashWarning],
    now_us: int,
    row: LaneRow | None,
    held_settings: bytes,
    runs: Runs,
    run_attempts: Sequence[RunAttempt],
) -> None:
    tx.settle(decided.settlements, attempt, now_us=now_us)
    if run_attempts:
        runs.settled(tx, run_attempts, now_us=now_us)
    if warnings:
        key = note_key(attempt.lane)
        tx.put_note(key, with_warnings(tx.note(key), attempt.mapping, warnings, now_us=now_us))
    if row is not None:
        tx.save_lane(row)
        if row.hold == UNAUTHORIZED:
            tx.put_note(held_settings_key(row.lane), held_settings)


def _terms(row: DeliveryRow, destination: CompiledDestination, mapping: CompiledMapping) -> RunTerms:
    """What holds for a batch, by its first delivery: all are of one run, or forwarded."""
    if not is_single_change_of_run(row):
        return DEFAULT_TERMS
    return RunTerms(retry=destination.definition.run_retry, may_repeat=mapping.capabilities.idempotent)


def _attempts_max(row: DeliveryRow, terms: RunTerms) -> int:
    return terms.retry.max_attempts if is_single_change_of_run(row) else FAILURES_MAX


def held_settings_key(lane: str) -> str:
    """Under this note stands with which settings a lane was held, so that a changed file frees it, restarts or not."""
    return f"lane/{lane}/held_settings"


def settings_digest(destination: CompiledDestination) -> bytes:
    """A digest of the settings, secrets included; it tells that they changed and nothing else."""
    text = msgspec.json.encode(destination.settings, order="deterministic", enc_hook=str)
    return hashlib.blake2b(text, digest_size=16, person=b"lane-settings").digest()


def _all(batch: Batch, reason: str) -> Performed:
    return Performed(outcomes=(Unreachable(reason=reason),) * len(batch.owed))
