"""Guards: what stops a plan before its first request and asks a person. They count; they never look at a member.

Erasures and removals of people never seen in are outside every guard, because nobody may hold up a deletion and the list
does not shrink by somebody it was not known to hold.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.errors import Problem
from gateway.core.option_readers import OptionReader

Reaction = Literal["hold", "warn", "off"]

APPROVED_SHIFT_SHARE = 0.10  # what a count may move by between a held plan and its approval …
APPROVED_SHIFT_COUNT = 100  # … or this many, whichever is more
REWRITE_NOTED_ABOVE = 100  # updates; below, rewriting the whole list is not worth a word
REMOVAL_FLOOR = 100
COUNT_MAX = 10**12

_reactions = ("hold", "warn", "off")


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One guard: beyond `limit` it reacts. None never does."""

    limit: float | None = None
    reaction: Reaction = "hold"


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """The guards of one sync. Percentages are 0 to 100; removals and updates of the list before, unmappable of who is in.

    removal_floor: the removal percentage is looked at only above this many. stale_source_after: seconds.
    """

    max_removal_percent: Limit = Limit(limit=30)
    removal_floor: int = REMOVAL_FLOOR
    max_removals: Limit = Limit()
    empty_audience: Reaction = "hold"
    max_add_percent: Limit = Limit()
    max_adds: Limit = Limit()
    max_update_percent: Limit = Limit(reaction="warn")
    min_size: Limit = Limit(limit=0)
    stale_source_after: Limit = Limit()
    unmappable_percent: Limit = Limit(limit=50)


GUARDS_OFF = Guards(
    max_removal_percent=Limit(reaction="off"),
    empty_audience="off",
    max_update_percent=Limit(reaction="off"),
    min_size=Limit(reaction="off"),
    unmappable_percent=Limit(reaction="off"),
)


class PlanFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the guards look at. `RunCounters.facts` makes it of a plan.

    members_in: in the audience after the filter. list_before: members with a state other than absent. adds (without those that
    only repeat what the list holds), updates (replaces among them), removes (without erasures and unknown exits): planned.
    unmappable: in, and not renderable. source_quiet_s: since the audience's last event; None where unknown. is_initial: the
    sync's first run.
    """

    members_in: int
    list_before: int
    adds: int = 0
    updates: int = 0
    removes: int = 0
    unmappable: int = 0
    source_quiet_s: float | None = None
    is_initial: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One guard that reacts. message: a sentence with the numbers, for the plan and the alert."""

    guard: str
    reaction: Literal["hold", "warn"]
    message: str


def check_guards(guards: Guards, facts: PlanFacts) -> list[Finding]:
    """All guards that react to a plan, in the order they are documented. Any with "hold" makes the run held."""
    findings: list[Finding] = []

    def judge(name: str, rule: Limit, value: float, message: str) -> None:
        if rule.limit is not None and rule.reaction != "off" and value > rule.limit:
            findings.append(Finding(guard=name, reaction=rule.reaction, message=message))

    removal_share = _percent(facts.removes, facts.list_before)
    removals = f"{facts.removes} of {facts.list_before} listed would be removed ({removal_share:.1f} %)"
    if facts.removes > guards.removal_floor:
        judge("max_removal_percent", guards.max_removal_percent, removal_share, f"{removals}.")
    judge("max_removals", guards.max_removals, facts.removes, f"{removals}.")
    if facts.members_in == 0 and facts.list_before > 0 and guards.empty_audience != "off":
        message = f"Nobody is in the audience, and {facts.list_before} are listed."
        findings.append(Finding(guard="empty_audience", reaction=guards.empty_audience, message=message))
    if not facts.is_initial:
        share = _percent(facts.adds, facts.list_before)
        judge("max_add_percent", guards.max_add_percent, share, f"{facts.adds} would be added ({share:.1f} %).")
        judge("max_adds", guards.max_adds, facts.adds, f"{facts.adds} would be added.")
    _check_rewrite(guards, facts, findings)
    if (
        guards.min_size.limit is not None
        and guards.min_size.reaction != "off"
        and facts.members_in < guards.min_size.limit
    ):
        message = f"{facts.members_in} are in, fewer than {guards.min_size.limit:g}."
        findings.append(Finding(guard="min_size", reaction=guards.min_size.reaction, message=message))
    if facts.removes and facts.source_quiet_s is not None:
        message = (
            f"The audience has been silent for {facts.source_quiet_s:.0f} s, and {facts.removes} would be removed."
        )
        judge("stale_source_after", guards.stale_source_after, facts.source_quiet_s, message)
    share = _percent(facts.unmappable, facts.members_in)
    message = f"{facts.unmappable} of {facts.members_in} cannot be rendered ({share:.1f} %)."
    judge("unmappable_percent", guards.unmappable_percent, share, message)
    return findings


def is_held(findings: list[Finding]) -> bool:
    """Whether a person has to look first."""
    return any(one.reaction == "hold" for one in findings)


def is_still_approved(held: PlanFacts, now: PlanFacts, *, held_by: frozenset[str], findings: list[Finding]) -> bool:
    """Whether an approval covers the plan as it is now; else the run is held again, with the new numbers.

    held, held_by: facts of the plan that was shown, and the guards that held it. findings: of the new plan.
    No count may have moved by more than a tenth or a hundred, whichever is more, and no other guard may hold.
    """
    if any(one.reaction == "hold" and one.guard not in held_by for one in findings):
        return False
    counts = ("adds", "updates", "removes")
    return all(_is_near(int(getattr(held, name)), int(getattr(now, name))) for name in counts)


def read_guards(value: object, pointer: str, problems: list[Problem]) -> Guards:
    """Read `guards`. A guard is its limit, "off", null, or `{"limit": 30, "reaction": "hold" | "warn" | "off"}`."""
    known = Guards.__struct_fields__
    reader = OptionReader(value, pointer, known, problems, what="`guards`")
    base = Guards()
    reaction = reader.choice("empty_audience", _reactions, base.empty_audience)
    return Guards(
        max_removal_percent=_limit(reader, "max_removal_percent", base.max_removal_percent, 100),
        removal_floor=reader.whole("removal_floor", REMOVAL_FLOOR, low=0, high=COUNT_MAX) or 0,
        max_removals=_limit(reader, "max_removals", base.max_removals, COUNT_MAX),
        empty_audience="off" if reaction == "off" else "warn" if reaction == "warn" else "hold",
        max_add_percent=_limit(reader, "max_add_percent", base.max_add_percent, COUNT_MAX),
        max_adds=_limit(reader, "max_adds", base.max_adds, COUNT_MAX),
        max_update_percent=_limit(reader, "max_update_percent", base.max_update_percent, 100),
        min_size=_limit(reader, "min_size", base.min_size, COUNT_MAX),
        stale_source_after=_limit(reader, "stale_source_after", base.stale_source_after, None),
        unmappable_percent=_limit(reader, "unmappable_percent", base.unmappable_percent, 100),
    )


def _check_rewrite(guards: Guards, facts: PlanFacts, findings: list[Finding]) -> None:
    """Beyond its limit the guard reacts as told; without one, a rewrite of the whole list is only mentioned."""
    rule, share = guards.max_update_percent, _percent(facts.updates, facts.list_before)
    message = f"{facts.updates} of {facts.list_before} listed would be rewritten ({share:.1f} %)."
    is_whole = rule.limit is None and facts.updates > REWRITE_NOTED_ABOVE and share >= 100
    if rule.reaction == "off" or not (is_whole or (rule.limit is not None and share > rule.limit)):
        return
    reaction: Literal["hold", "warn"] = "warn" if is_whole else rule.reaction
    findings.append(Finding(guard="max_update_percent", reaction=reaction, message=message))


def _limit(reader: OptionReader, key: str, default: Limit, high: float | None) -> Limit:
    """High None: the limit is a duration, in seconds."""
    value = reader.members.get(key, default)
    if isinstance(value, Limit):
        return value
    if value == "off":
        return Limit(limit=default.limit, reaction="off")
    if not isinstance(value, dict):
        return Limit(limit=_bound(reader, key, high), reaction=default.reaction)
    known = ("limit", "reaction")
    inner = OptionReader(value, f"{reader.pointer}/{key}", known, reader.problems, what=f"`{key}`")
    reaction = inner.choice("reaction", _reactions, default.reaction)
    limit = _bound(inner, "limit", high) if "limit" in inner.members else default.limit
    return Limit(limit=limit, reaction="off" if reaction == "off" else "warn" if reaction == "warn" else "hold")


def _bound(reader: OptionReader, key: str, high: float | None) -> float | None:
    return reader.duration(key, None) if high is None else reader.number(key, None, low=0, high=high)


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def _is_near(before: int, after: int) -> bool:
    return abs(after - before) <= max(APPROVED_SHIFT_SHARE * before, APPROVED_SHIFT_COUNT)
