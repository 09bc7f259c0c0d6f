"""What is kept and told of an attempt: its outcomes in step with the deliveries, what runs hear, one log line, the metrics."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.hash_linter import HashWarning, identifier_fields, lint_payloads
from gateway.core.outcomes import Outcome, Refused
from gateway.core.rulebook import CompiledMapping
from gateway.delivery.runs import RunAttempt
from gateway.delivery.settling import Decided
from gateway.destinations.base import Owed, Performed
from gateway.observe import logs, metrics
from gateway.store.rows import AttemptRow, DeliveryRow

_ADDS = frozenset({"enter", "update"})

log = logs.logger()


class AttemptLog:
    """The log line and the metrics of one lane's attempts."""

    def __init__(self, lane: str) -> None:
        self._lane = lane
        self._seconds = metrics.DELIVERY_ATTEMPT_S.labels(lane)
        self._sizes = metrics.DELIVERY_BATCH.labels(lane)

    def tell(
        self,
        rows: Sequence[DeliveryRow],
        outcomes: Sequence[Outcome],
        attempt: AttemptRow,
        *,
        definition: str,
        action: str,
        requests: int,
        split: int,
        attempts_max: int,
        retry_in_s: float | None,
        warnings: Sequence[HashWarning],
    ) -> None:
        """Once an attempt. split: deliveries that go again in halves."""
        self._seconds.observe(attempt.duration_ms / 1000)
        self._sizes.observe(len(rows))
        counts: dict[str, int] = {}
        for outcome in outcomes:
            word = str(type(outcome).__struct_config__.tag)
            counts[word] = counts.get(word, 0) + 1
        for word, count in counts.items():
            metrics.DELIVERY_OUTCOMES.labels(self._lane, word).inc(count)
        for warning in warnings:
            metrics.IDENTIFIER_WARNINGS.labels(self._lane, warning.code).inc(warning.count)
        log.info(
            "delivery.attempted",
            destination=self._lane,
            definition=definition,
            mapping=attempt.mapping,
            action=action,
            first_delivery_id=rows[0].id,
            deliveries=len(rows),
            attempt=max(row.failures for row in rows) + 1,
            attempt_max=attempts_max,
            outcome=attempt.outcome,
            outcomes=counts,
            status=attempt.status,
            reason=attempt.reason,
            warnings=attempt.warnings,
            requests=requests,
            duration_ms=attempt.duration_ms,
            split=split,
            retry_in_s=retry_in_s,
        )


def identifier_warnings(owed: Sequence[Owed], mapping: CompiledMapping) -> list[HashWarning]:
    """What the mapping's identifiers look like. A run's removals are left out: they hold what was sent, hashed by ourselves."""
    payloads = [one.payload for one in owed if not one.planned or one.operation in _ADDS]
    return lint_payloads(payloads, identifier_fields(mapping.action.fields))


def run_attempts(
    rows: Sequence[DeliveryRow],
    owed: Sequence[Owed | None],
    outcomes: Sequence[Outcome],
    decided: Decided,
    performed: Performed,
    *,
    sent_bytes: int,
    waited_ms: int,
    began_us: int,
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
                    bytes=0 if told else performed.counts.get("bytes", sent_bytes),
                    waited_ms=0 if told else waited_ms,
                    began_us=began_us,
                )
            )
    return tuple(told)


def in_step(owed: Sequence[Owed | None], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The destination's outcomes with those put in that it never saw."""
    performed = iter(outcomes)
    unreadable = Refused(reason="what was stored for this delivery cannot be read", status=0)
    return [unreadable if one is None else next(performed) for one in owed]
