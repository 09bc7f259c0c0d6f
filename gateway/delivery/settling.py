"""From one attempt's outcomes to how each delivery is left; pure, so that the rules can be read and tested by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.core.retries import FAILURES_MAX, Dead, DueAgain, Held, Settled, Split, after, after_in_run
from gateway.store.rows import DeliveryRow, SettledAs, Settlement

ERASE = "erase"  # a removal that a privacy request asks for: it holds what was added, whatever flag that carries
WHOLE_LIST = "replace"  # the operation of the one delivery that carries a run's list


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """settlements: to be written. again: refused with the whole batch, to be sent in halves at once.

    waiting: members with a delivery that waits, so that nothing later of theirs may go. next_us: when the first is due.
    """

    settlements: tuple[Settlement, ...]
    again: tuple[DeliveryRow, ...] = ()
    waiting: frozenset[int] = frozenset()
    next_us: int | None = None


def decide(
    rows: Sequence[DeliveryRow],
    outcomes: Sequence[Outcome],
    *,
    now_us: int,
    jitter: float,
    may_split: bool = True,
    probe_back_us: int | None = None,
) -> Decided:
    """Settle one attempt. rows, outcomes: in step and in order.

    may_split: False once a batch had its share of requests; what is refused with others then waits its turn.
    probe_back_us: set for a probe of an open or held lane: its failure uses up nothing, and the delivery stands back
      until then, so that the next probe tries another one (this one may itself be what the partner fails on).
    """
    left = _Left()
    alone = sum(isinstance(outcome, Refused) and outcome.splittable for outcome in outcomes) <= 1
    for row, outcome in zip(rows, outcomes, strict=True):
        # A probe must not be what finishes a delivery off, so its count stops short of the last failure.
        failures = row.failures if probe_back_us is None else min(row.failures, FAILURES_MAX - 2)
        next_of = after_in_run if is_single_change_of_run(row) else after
        step = next_of(outcome, failures=failures, now_us=now_us, jitter=jitter, alone=alone)
        if isinstance(step, Split) and not may_split:
            blamed = Unreachable(reason=f"{step.reason}; which record is at fault is not known yet", status=step.status)
            step = next_of(blamed, failures=failures, now_us=now_us, jitter=jitter)
        if isinstance(step, DueAgain) and probe_back_us is not None:
            step = msgspec.structs.replace(step, due_us=max(step.due_us, probe_back_us), counts=False)
        left.add(row, step, now_us)
    return Decided(
        settlements=tuple(left.settlements),
        again=tuple(left.again),
        waiting=frozenset(left.waits),
        next_us=min(left.due, default=None),
    )


def is_single_change_of_run(row: DeliveryRow) -> bool:
    """Planned by a run, and not its whole list: that one waits like what is forwarded, up to its next tick."""
    return row.run != 0 and row.operation != WHOLE_LIST


class _Left:
    """Collects, and keeps each member's order: what was taken after something that waits is sent once more, after it."""

    def __init__(self) -> None:
        self.settlements: list[Settlement] = []
        self.again: list[DeliveryRow] = []
        self.waits: dict[int, int] = {}
        self.due: list[int] = []
        self._split: set[int] = set()

    def add(self, row: DeliveryRow, step: Settled | DueAgain | Held | Split | Dead, now_us: int) -> None:
        match step:
            case Settled():
                if row.member in self._split:
                    self.again.append(row)
                elif row.member in self.waits:
                    self._wait(row, DueAgain(due_us=self.waits[row.member], counts=False, reason="repeated in order"))
                else:
                    self.settlements.append(Settlement(row.id, "delivered"))
            case DueAgain():
                self._wait(row, step)
            case Held(reason=reason, status=status):
                self._wait(row, DueAgain(due_us=now_us, counts=False, reason=reason, status=status))
            case Split():
                self.again.append(row)
                if row.member:
                    self._split.add(row.member)
            case Dead(reason=reason, status=status):
                # A run keeps what became of its operations; nobody retries those by hand one by one.
                how: SettledAs = "closed" if row.run else "dead"
                self.settlements.append(Settlement(row.id, how, counts=True, reason=reason, status=status))
            case _:
                assert_never(step)

    def _wait(self, row: DeliveryRow, step: DueAgain) -> None:
        self.settlements.append(
            Settlement(row.id, "due", due_us=step.due_us, counts=step.counts, reason=step.reason, status=step.status)
        )
        self.due.append(step.due_us)
        if row.member:
            self.waits[row.member] = max(self.waits.get(row.member, 0), step.due_us)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt says of the partner as a whole. word: tag of the outcomes, "mixed" when they differ."""

    word: str
    status: int
    reason: str
    answered: bool
    unauthorized: str | None = None
    wait_s: float | None = None


def read_attempt(outcomes: Sequence[Outcome]) -> Reading:
    """Sum up the outcomes of one attempt, for the attempt row, the log line and the lane's gate."""
    words = {_word(outcome) for outcome in outcomes}
    worst = next((outcome for outcome in outcomes if not isinstance(outcome, Delivered)), outcomes[0])
    return Reading(
        word=words.pop() if len(words) == 1 else "mixed",
        status=worst.status or 0,
        reason="" if isinstance(worst, Delivered) else worst.reason,
        answered=any(isinstance(outcome, Delivered | Refused) for outcome in outcomes),
        unauthorized=next((outcome.reason for outcome in outcomes if isinstance(outcome, Unauthorized)), None),
        wait_s=max((outcome.wait_s for outcome in outcomes if isinstance(outcome, Deferred)), default=None),
    )


def _word(outcome: Outcome) -> str:
    return str(type(outcome).__struct_config__.tag)
