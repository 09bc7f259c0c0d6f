"""From one attempt's outcomes to how each delivery is left; pure, so that the rules can be read and tested by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.core.retries import Dead, DueAgain, Held, Next, Settled, Split, after, after_in_run
from gateway.core.run_limits import RunRetry
from gateway.store.rows import DeliveryRow, SettledAs, Settlement

WHOLE_LIST = "replace"  # the operation of the one delivery that carries a run's list


class RunTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for single changes that runs planned. may_repeat: the same change twice is the same as once."""

    retry: RunRetry = RunRetry()
    may_repeat: bool = True


DEFAULT_TERMS = RunTerms()


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
    terms: RunTerms = DEFAULT_TERMS,
) -> Decided:
    """Settle one attempt. rows, outcomes: in step and in order.

    may_split: False once a batch had its share of requests; what is refused with others then waits its turn.
    probe_back_us: set for a probe of an open or held lane: its failure uses up nothing, and the delivery stands back
      until then, so that the next probe tries another one (this one may itself be what the partner fails on).
    terms: for those that a run planned.
    """
    left = _Left()
    spends = probe_back_us is None

    def step_of(row: DeliveryRow, outcome: Outcome, *, alone: bool) -> Next:
        failures = row.failures
        if not is_single_change_of_run(row):
            return after(outcome, failures=failures, now_us=now_us, jitter=jitter, alone=alone, spends=spends)
        return after_in_run(
            outcome, retry=terms.retry, failures=failures, now_us=now_us, jitter=jitter, alone=alone, spends=spends,
            may_repeat=terms.may_repeat,
        )  # fmt: skip

    alone = sum(isinstance(outcome, Refused) and outcome.splittable for outcome in outcomes) <= 1
    for row, outcome in zip(rows, outcomes, strict=True):
        step = step_of(row, outcome, alone=alone)
        if isinstance(step, Split) and not may_split:
            blamed = Unreachable(reason=f"{step.reason}; which record is at fault is not known yet", status=step.status)
            step = step_of(row, blamed, alone=True)
        if isinstance(step, DueAgain) and probe_back_us is not None:
            step = msgspec.structs.replace(step, due_us=max(step.due_us, probe_back_us))
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
            case Settled() if is_single_change_of_run(row):
                # A run has one change of a person and list on its way at a time: the others are about other lists.
                self.settlements.append(Settlement(row.id, "delivered"))
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


def read_attempt(outcomes: Sequence[Outcome], *, stops: Outcome | None = None, heeds_waits: bool = True) -> Reading:
    """Sum up the outcomes of one attempt, for the attempt row, the log line and the lane's gate.

    stops: what was said of the whole lane; the outcomes may keep silent about it, where nobody knows what came of a change.
    heeds_waits: False where the definition says that a run does not wait for `Retry-After`.
    """
    words = {_word(outcome) for outcome in outcomes}
    worst = next((outcome for outcome in outcomes if not isinstance(outcome, Delivered)), outcomes[0])
    of_lane = outcomes if stops is None else (*outcomes, stops)
    return Reading(
        word=words.pop() if len(words) == 1 else "mixed",
        status=worst.status or (stops.status if stops is not None else 0) or 0,
        reason="" if isinstance(worst, Delivered) else worst.reason,
        answered=any(isinstance(outcome, Delivered | Refused) or _waits_alone(outcome) for outcome in outcomes),
        unauthorized=next((outcome.reason for outcome in of_lane if isinstance(outcome, Unauthorized)), None),
        wait_s=max(_asked_waits_s(of_lane), default=None) if heeds_waits else None,
    )


def _asked_waits_s(outcomes: Sequence[Outcome]) -> list[float]:
    return [one.wait_s for one in outcomes if isinstance(one, Deferred) and one.concerns == "lane"]


def _waits_alone(outcome: Outcome) -> bool:
    """The partner answered, and asked for no pause: only this delivery comes later. Without a status nobody asked it."""
    return isinstance(outcome, Deferred) and outcome.concerns == "delivery" and outcome.status > 0


def _word(outcome: Outcome) -> str:
    return str(type(outcome).__struct_config__.tag)
