"""How a sync is, in one word and one sentence: from its standing, its alerts and its last run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

HealthWord = Literal["healthy", "warning", "failing", "stale", "held"]

STALE_ALERT: Final = "stale"
HELD_ALERT: Final = "held"

_RESTING: Final = {
    "paused": "Paused by a person; `gateway sync resume` lets it go on.",
    "deleting": "Its list is being cleared; it is deleted when that has succeeded.",
    "deleted": "Deleted; `gateway sync undelete` brings it back within 30 days.",
}


class HealthFacts(msgspec.Struct, frozen=True, kw_only=True):
    """held_run: number of the run that waits for a person, 0 for none; held_reason: what the guards said.

    alerts: (name, level, message) that stand. last_status: of the last run, "" before the first; last_wrong: its members that
    did not get through. has_tick: its schedule starts another run by itself.
    """

    status: str
    status_error: str = ""
    held_run: int = 0
    held_reason: str = ""
    alerts: Sequence[tuple[str, str, str]] = ()
    last_run: int = 0
    last_status: str = ""
    last_wrong: int = 0
    has_tick: bool = True


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """word, and one sentence why."""

    word: HealthWord
    why: str


def health_of(facts: HealthFacts) -> Health:
    """The worst of what there is to say, and the sentence that belongs to it."""
    if facts.held_run:
        return Health(
            word="held",
            why=f"Run {facts.held_run} waits for a person: {facts.held_reason} `gateway run show {facts.held_run}`, then "
            "`approve` or `reject`.",
        )
    if facts.status in _RESTING:
        return Health(word="warning" if facts.status == "paused" else "healthy", why=_RESTING[facts.status])
    alerts = [one for one in facts.alerts if one[0] != HELD_ALERT]
    stale = next((message for name, _level, message in alerts if name == STALE_ALERT), None)
    if facts.status == "errored":
        failed = f"Run {facts.last_run} failed: `gateway run show {facts.last_run}`." if facts.last_run else ""
        again = "The next tick tries again." if facts.has_tick else "`gateway sync run` tries again."
        return Health(word="failing", why=f"{facts.status_error or failed or 'The last run failed.'} {again}")
    critical = next((message for name, level, message in alerts if level == "critical" and name != STALE_ALERT), None)
    if critical is not None:
        return Health(word="failing", why=critical)
    if stale is not None:
        return Health(word="stale", why=stale)
    if alerts:
        return Health(word="warning", why=alerts[0][2])
    if facts.last_status == "partial":
        return Health(
            word="warning",
            why=f"{facts.last_wrong} members of run {facts.last_run} did not get through: `gateway run show {facts.last_run}`.",
        )
    if facts.last_status == "skipped":
        return Health(word="healthy", why=f"Run {facts.last_run} had no need to run.")
    return Health(word="healthy", why="The last run got everything through." if facts.last_status else "No run yet.")
