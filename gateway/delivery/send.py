"""One batch: the destination performs it, its outcomes are settled, one attempt row, one log line, one metric."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus

import msgspec
from aiolimiter import AsyncLimiter

from gateway.core.errors import StoreError
from gateway.core.hash_linter import HashWarning, identifier_fields, lint_payloads
from gateway.core.http_messages import Answer, Request
from gateway.core.identifier_warnings import note_key, with_warnings
from gateway.core.outcomes import Outcome, Refused, Unreachable
from gateway.core.retries import FAILURES_MAX, asked_wait_s
from gateway.core.rulebook import CompiledDestination, CompiledMapping
from gateway.delivery.faults import where
from gateway.delivery.gate import UNAUTHORIZED, Gate
from gateway.delivery.notes import LaneNotes
from gateway.delivery.runs import RunAttempt, Runs
from gateway.delivery.settling import ERASE, WHOLE_LIST, Decided, Reading, decide, read_attempt
from gateway.destinations.base import Batch, Context, Destination, HttpClient, Owed, Performed
from gateway.observe import logs, metrics
from gateway.store.api import StateStore, StateTx
from gateway.store.rows import AttemptRow, DeliveryRow, LaneRow

ATTEMPT_S_MAX = 600.0  # A destination bounds its own requests; this bounds the destination.
SETTLE_TRIES_MAX = 30
SETTLE_WAIT_S = 2.0
_ADDS = frozenset({"enter", "update"})

log = logs.logger()
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


class RatedHttp:
    """The lane's way out, every request of it counted against the lane's rate."""

    def __init__(self, http: HttpClient, limiter: AsyncLimiter) -> None:
        self._http = http
        self._limiter = limiter

    async def send(self, request: Request) -> Answer:
        """As `HttpClient.send`, once the rate allows."""
        await self._limiter.acquire()
        return await self._http.send(request)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that was made and is not settled yet. ended_us: when the partner's answer was there."""

    decided: Decided
    attempt: AttemptRow
    ended_us: int
    warnings: tuple[HashWarning, ...] = ()
    run_attempts: tuple[RunAttempt, ...] = ()


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
        self._limits: set[asyncio.Timeout] = set()
        self._audiences: dict[int, tuple[str, str]] = {}
        self._seconds = metrics.DELIVERY_ATTEMPT_S.labels(lane)
        self._sizes = metrics.DELIVERY_BATCH.labels(lane)
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
        http: HttpClient,
        *,
        probe: bool,
        may_split: bool,
    ) -> Sent | None:
        """Make one attempt and tell the gate; `settle` it next. None when it was abandoned and nothing is known."""
        started_us, started_s = self._clock(), time.perf_counter()
        owed = await self._owed(rows, needs_audience=mapping.action.needs_audience_id)
        batch = Batch(
            action=mapping.action.slug,
            settings=destination.settings,
            owed=tuple(one for one in owed if one is not None),
            corrections=destination.corrections,
            hashing=mapping.hashing,
        )
        snapshot = await self._runs.snapshot(rows[0].run) if rows[0].operation == WHOLE_LIST else None
        context = Context(http=http, notes=self._notes, now_us=started_us, snapshot=snapshot)
        performed = await self._perform(offered, batch, context) if batch.owed else Performed(outcomes=(), requests=0)
        if performed is None:
            return None
        outcomes = _in_step(owed, performed.outcomes)
        warnings = (*_look_at_identifiers(batch.owed, mapping), *performed.warnings)
        now_us = self._clock()
        reading = read_attempt(outcomes)
        self._tell_gate(reading, performed.requests, now_us, destination, probe=probe)
        decided = decide(
            rows,
            outcomes,
            now_us=now_us,
            jitter=self._chance(),
            may_split=may_split,
            probe_back_us=self._probe_back_us(now_us) if probe else None,
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
        self._report(rows, outcomes, attempt, decided, destination, mapping, performed.requests)
        for warning in warnings:
            metrics.IDENTIFIER_WARNINGS.labels(self._lane, warning.code).inc(warning.count)
        return Sent(
            decided=decided,
            attempt=attempt,
            ended_us=now_us,
            warnings=warnings,
            run_attempts=_run_attempts(rows, owed, outcomes, decided, performed),
        )

    async def settle(self, sent: Sent) -> None:
        """Write how the deliveries are left, with the attempt and the lane's standing, in one transaction.

        Raises StoreError only when that failed for about a minute; the lease then repeats the batch.
        """
        for tries in range(1, SETTLE_TRIES_MAX + 1):
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
                if tries == SETTLE_TRIES_MAX or self.abandoned:
                    raise
                await asyncio.sleep(SETTLE_WAIT_S)
            else:
                if sent.run_attempts:
                    self._runs.wake()
                return

    async def _perform(self, offered: Destination, batch: Batch, context: Context) -> Performed | None:
        try:
            async with asyncio.timeout(0.0 if self.abandoned else ATTEMPT_S_MAX) as limit:
                self._limits.add(limit)
                try:
                    performed = await offered.perform(batch, context)
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            if self.abandoned:
                return None
            return _all(batch, f"the destination took longer than {ATTEMPT_S_MAX:g} s")
        except Exception as error:  # noqa: BLE001 - a fault of ours in one destination must not stop its lane
            self._log_fault(type(error).__name__, where(error))
            return _all(batch, f"the gateway failed ({type(error).__name__}); see the log")
        if len(performed.outcomes) != len(batch.owed):
            self._log_fault("outcomes do not match deliveries", [])
            return _all(batch, "the gateway failed (outcomes do not match deliveries)")
        return performed

    async def _owed(self, rows: Sequence[DeliveryRow], *, needs_audience: bool) -> list[Owed | None]:
        """The rows as destinations see them; None where what was stored cannot be read."""
        known = self._audiences
        missing = {row.audience for row in rows if row.audience and row.audience not in known}
        if missing or (needs_audience and any(not known.get(row.audience, ("", "-"))[1] for row in rows)):
            found = await self._state.read(lambda view: view.audiences())
            known = self._audiences = {one.id: (one.key, one.external_id) for one in found}
        return [_owed_of(row, *known.get(row.audience, ("", ""))) for row in rows]

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

    def _report(
        self,
        rows: Sequence[DeliveryRow],
        outcomes: Sequence[Outcome],
        attempt: AttemptRow,
        decided: Decided,
        destination: CompiledDestination,
        mapping: CompiledMapping,
        requests: int,
    ) -> None:
        self._seconds.observe(attempt.duration_ms / 1000)
        self._sizes.observe(len(rows))
        counts: dict[str, int] = {}
        for outcome in outcomes:
            word = str(type(outcome).__struct_config__.tag)
            counts[word] = counts.get(word, 0) + 1
        for word, count in counts.items():
            metrics.DELIVERY_OUTCOMES.labels(self._lane, word).inc(count)
        log.info(
            "delivery.attempted",
            destination=self._lane,
            definition=destination.definition.slug,
            mapping=mapping.key,
            action=mapping.action.slug,
            first_delivery_id=rows[0].id,
            deliveries=len(rows),
            attempt=max(row.failures for row in rows) + 1,
            attempt_max=FAILURES_MAX,
            outcome=attempt.outcome,
            outcomes=counts,
            status=attempt.status,
            reason=attempt.reason,
            warnings=attempt.warnings,
            requests=requests,
            duration_ms=attempt.duration_ms,
            split=len(decided.again),
            retry_in_s=None if decided.next_us is None else round((decided.next_us - self._clock()) / 1_000_000, 1),
        )

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


def held_settings_key(lane: str) -> str:
    """Under this note stands with which settings a lane was held, so that a changed file frees it, restarts or not."""
    return f"lane/{lane}/held_settings"


def settings_digest(destination: CompiledDestination) -> bytes:
    """A digest of the settings, secrets included; it tells that they changed and nothing else."""
    text = msgspec.json.encode(destination.settings, order="deterministic", enc_hook=str)
    return hashlib.blake2b(text, digest_size=16, person=b"lane-settings").digest()


def _owed_of(row: DeliveryRow, audience_key: str, external_id: str) -> Owed | None:
    try:
        payload = _decode_object(row.payload)
        settings = _decode_object(row.audience_settings) if row.audience_settings else {}
    except msgspec.DecodeError:
        return None
    given = settings.get("external_id")
    return Owed(
        id=row.id,
        operation="exit" if row.operation == ERASE else row.operation,
        payload=payload,
        audience_key=audience_key,
        audience_settings=settings,
        external_id=given if isinstance(given, str) and given else external_id,
        member=str(row.member) if row.member else "",
        planned=row.run != 0 or row.operation == ERASE,
    )


def _look_at_identifiers(owed: Sequence[Owed], mapping: CompiledMapping) -> list[HashWarning]:
    """What the mapping's identifiers look like. A run's removals are left out: they hold what was sent, hashed by ourselves."""
    payloads = [one.payload for one in owed if not one.planned or one.operation in _ADDS]
    return lint_payloads(payloads, identifier_fields(mapping.action.fields))


def _run_attempts(
    rows: Sequence[DeliveryRow],
    owed: Sequence[Owed | None],
    outcomes: Sequence[Outcome],
    decided: Decided,
    performed: Performed,
) -> tuple[RunAttempt, ...]:
    """What runs hear of the attempt: nothing of what is forwarded, nor of what is sent again in halves."""
    if not any(row.run for row in rows):
        return ()
    settled = {settlement.id: settlement.settled for settlement in decided.settlements}
    remembered = iter(performed.remembered)
    told: list[RunAttempt] = []
    for row, one, outcome in zip(rows, owed, outcomes, strict=True):
        values = next(remembered, {}) if one is not None else {}
        if row.run and row.id in settled:
            told.append(
                RunAttempt(
                    row=row,
                    outcome=outcome,
                    is_final=settled[row.id] != "due",
                    skipped=performed.skipped,
                    counts=performed.counts,
                    remembered=values,
                    requests=0 if told else performed.requests,
                )
            )
    return tuple(told)


def _in_step(owed: Sequence[Owed | None], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The destination's outcomes with those put in that it never saw."""
    performed = iter(outcomes)
    unreadable = Refused(reason="what was stored for this delivery cannot be read", status=0)
    return [unreadable if one is None else next(performed) for one in owed]


def _all(batch: Batch, reason: str) -> Performed:
    return Performed(outcomes=(Unreachable(reason=reason),) * len(batch.owed))
