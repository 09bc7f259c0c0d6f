"""What became of one event, in one line for people: names instead of numbers, nothing personal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from gateway.cli.output import counted
from gateway.core.decisions import Skipped
from gateway.core.events import Event
from gateway.core.routing import SKIPPED_BECAUSE
from gateway.core.summaries import ChangeSummary, Summary, read_summary
from gateway.store.api import StateView
from gateway.store.rows import AttemptRow, DeliveryRow, TraceRow

TOLD_MAX: Final = 4  # of one event's changes and of its mappings; a line is no page
MESSAGE_ID_TOLD: Final = 12
NAME_TOLD_MAX: Final = 80

_ADDRESS: Final = re.compile(r"\S*@\S*")  # some senders make ids, and even names, of e-mail addresses

_CHANGES: Final = {
    "entered": ("entered", "entered"),
    "left": ("left", "left"),
    "unknown_exit": ("entered", "left, though never seen in it"),
    "repeat": ("was in it already", "was out of it already"),
    "stale": ("enters, but a newer change says otherwise", "leaves, but a newer change says otherwise"),
    "too_late": ("enters, but too late", "leaves, but too late"),
    "deleted": ("enters, but was deleted since", "leaves, but was deleted since"),
}
"""By the ledger's verdict: of who is in by the event, and of who is out."""

_ANSWERED: Final = {
    "delivered": "delivered",
    "mixed": "settled; its request was taken in part",
    "refused": "refused",
}


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """How far one delivery is. mapping: `file/mapping`, "" where nothing of it is kept."""

    mapping: str
    how: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A trace and what the store knows beside it. audiences: keys by number; answered: of the first TOLD_MAX deliveries."""

    row: TraceRow
    summary: Summary
    audiences: dict[int, str]
    answered: tuple[Answered, ...]


def look_up(view: StateView, rows: Sequence[TraceRow]) -> list[Told]:
    """Names and answers for some traces, in one look at the store."""
    summaries = [read_summary(row.summary) for row in rows]
    numbers = {one.audience for summary in summaries for one in summary.changes[:TOLD_MAX]}
    audiences = {number: _key(view, number) for number in sorted(numbers)}
    owed = {number: view.delivery(number) for row in rows for number in _deliveries(row)}
    gone = {number for number, found in owed.items() if found is None}
    attempts = {number: next(iter(view.attempts_of(number, limit=1)), None) for number in gone}
    return [
        Told(
            row=row,
            summary=summary,
            audiences=audiences,
            answered=tuple(_answered(owed[number], attempts.get(number)) for number in _deliveries(row)),
        )
        for row, summary in zip(rows, summaries, strict=True)
    ]


def line_of(told: Told, event: Event | None) -> str:
    """What came, what it changed, what was sent; plain text. event: None where it cannot be read any more."""
    parts = [_name(event)] if event is not None else []
    parts += [", ".join(found) for found in (list(_changes(told)), list(_mappings(told))) if found]
    if told.summary.deletions:
        parts.append(f"{counted(told.summary.deletions, 'person', 'people')} forgotten")
    if told.summary.code:
        parts.append(" at ".join(one for one in (told.summary.code, told.summary.pointer) if one))
    if told.row.outcome == "decided" and not _is_accounted_for(told):
        parts.append("nothing to send now" if told.summary.changes else "no mapping matches")
    if told.summary.warnings:
        parts.append(f"warning: {', '.join(told.summary.warnings)}")
    return printable("; ".join(parts))


def printable(text: str) -> str:
    """Without line breaks and what moves a terminal's cursor: names come from senders."""
    return "".join(one if one.isprintable() else "�" for one in text)


def _name(event: Event) -> str:
    named = event.body.get("event") if event.type == "track" else None
    name = f' "{_cut(named, NAME_TOLD_MAX)}"' if isinstance(named, str) else ""
    return f"{event.type}{name} (message {_cut(event.message_id, MESSAGE_ID_TOLD)})"


def _changes(told: Told) -> Iterator[str]:
    changes = told.summary.changes
    for one in changes[:TOLD_MAX]:
        yield f"{told.audiences[one.audience]}: {_verdict(one)}"
    more = len(changes) + told.summary.more_changes - min(len(changes), TOLD_MAX)
    if more:
        yield f"and {counted(more, 'more change', 'more changes')}"


def _is_accounted_for(told: Told) -> bool:
    """Whether something was sent, or the line says already why nothing was."""
    said = told.summary
    return bool(told.row.deliveries or said.skipped or said.withheld or said.deletions)


def _verdict(change: ChangeSummary) -> str:
    words = _CHANGES.get(change.verdict)
    return words[0 if change.is_member else 1] if words else change.verdict


def _mappings(told: Told) -> Iterator[str]:
    for one in told.answered:
        yield f"{one.mapping or 'a mapping'} → {one.how}"
    skipped = told.summary.skipped
    for refused in skipped[:TOLD_MAX]:
        yield f"{refused.mapping} → not sent, {_why(refused)}"
    if told.summary.withheld:
        yield f"{counted(told.summary.withheld, 'delivery', 'deliveries')} kept back by the ledger"
    more = told.row.deliveries - len(told.answered) + max(0, len(skipped) - TOLD_MAX)
    if more:
        yield f"and {more} more"


def _why(skipped: Skipped) -> str:
    """The first half of the sentence, which says why; the second says what to change, and `explain` has it."""
    why = SKIPPED_BECAUSE.get(skipped.code, "").partition(":")[0].rstrip(".")
    inner = ": ".join(one for one in (skipped.code, skipped.detail) if one)
    return f"{why[:1].lower()}{why[1:]} ({inner})" if why else inner


def _key(view: StateView, number: int) -> str:
    row = view.audience_by_id(number)
    return (row.key or row.name) if row is not None else f"audience {number}"


def _deliveries(row: TraceRow) -> range:
    return range(row.first_delivery, row.first_delivery + min(row.deliveries, TOLD_MAX))


def _answered(owed: DeliveryRow | None, attempt: AttemptRow | None) -> Answered:
    if owed is not None:
        tries = f" after {counted(owed.failures, 'failure', 'failures')}" if owed.failures else ""
        reason = f" ({owed.reason})" if owed.reason else ""
        word = {"due": "waits", "claimed": "is being sent", "dead": "given up"}[owed.state]
        return Answered(mapping=owed.mapping, how=f"{word}{tries}{reason}")
    if attempt is not None:
        return Answered(mapping=attempt.mapping, how=_ANSWERED.get(attempt.outcome, f"settled ({attempt.outcome})"))
    return Answered(mapping="", how="no longer owed")


def _cut(text: str, characters: int) -> str:
    text = _ADDRESS.sub("…", text)
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
