"""When an alert stands and when it is over: facts of a run's end, or of a look in between, become verdicts. No clock, no store.

A verdict that is missing says nothing: what stands goes on standing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median

import msgspec

from gateway.core.alert_options import AlertName, AlertOptions, AlertRule, Level
from gateway.core.run_counters import RunStatus
from gateway.core.sync_options import Mode

LONG_RUN_FACTOR = 3
LONG_RUN_RUNS = 10  # the median is that of the last ten runs
LONG_RUN_RUNS_MIN = 3  # fewer say nothing of what is usual
LONG_RUN_S_MIN = 60.0  # a run that takes a second usually may take a minute
REPEAT_US = 3_600 * 1_000_000  # between two tellings of an alert that no run meets, with `"occurrence": "every"`

Verdicts = dict[AlertName, "Verdict"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """An alert stands (with its level and a sentence with the numbers), or does not."""

    is_on: bool
    level: Level = "warning"
    message: str = ""


OVER = Verdict(is_on=False)


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended.

    wrong: of planned, refused or failed. given_up: members not tried any more, None where not all were looked at.
    sizes: (members in, members listed) after each of the last runs that looked at everybody, newest first.
    """

    status: RunStatus
    message: str = ""
    is_below_minimum: bool = False
    planned: int = 0
    wrong: int = 0
    given_up: int | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    mode: Mode = "mirror"


class LookFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How a sync stands between runs. Of what is None nothing is known now.

    stale_us: when it counts as stale; 0 never. last_good_us: its last acceptable run, or its making.
    oldest_us: since when the oldest change waits, 0 for none waiting. sizes: the audience's, (earlier, now).
    running_s: of the run that is on its way, 0 for none. usual_s: durations of the last runs. unsure: (how many, since when).
    """

    now_us: int
    stale_us: int | None = None
    last_good_us: int = 0
    oldest_us: int | None = None
    sizes: tuple[int, int] | None = None
    running_s: float | None = None
    usual_s: tuple[float, ...] = ()
    is_refused: bool | None = None
    unsure: tuple[int, int] | None = None


def judge_run(rules: AlertOptions, facts: RunFacts) -> Verdicts:
    """What a run's end says. A run that was skipped or cancelled says nothing but that it was too small."""
    verdicts: Verdicts = {}
    if facts.is_below_minimum:
        verdicts["below_minimum"] = Verdict(is_on=True, level=rules.below_minimum.level, message=facts.message)
    if facts.status not in ("succeeded", "partial", "failed"):
        return verdicts
    verdicts.setdefault("below_minimum", OVER)
    is_failed = facts.status == "failed"
    told = facts.message or "Nothing of what the run planned got through."
    verdicts["run_failed"] = Verdict(is_on=True, level=rules.run_failed.level, message=told) if is_failed else OVER
    verdicts["problem_share"] = _problem_share(rules.problem_share, facts)
    if facts.given_up is not None:
        verdicts["given_up"] = OVER
        if facts.given_up:
            told = f"{facts.given_up} members are not tried any more, until they change or a person says so."
            verdicts["given_up"] = Verdict(is_on=True, level=rules.given_up.level, message=told)
    if facts.sizes:
        verdicts["list_difference"] = _list_difference(rules.list_difference, facts)
    return verdicts


def judge_look(rules: AlertOptions, facts: LookFacts) -> Verdicts:
    """What a look between runs says."""
    verdicts: Verdicts = {}
    if facts.stale_us is not None:
        verdicts["stale"] = _stale(rules.stale, facts)
    if facts.oldest_us is not None and rules.freshness.limit is not None:
        age_s = (facts.now_us - facts.oldest_us) / 1e6 if facts.oldest_us else 0.0
        told = f"The oldest change has waited for {spoken_s(age_s)}, more than {spoken_s(rules.freshness.limit)}."
        verdicts["freshness"] = _over(rules.freshness, age_s, rules.freshness.limit, told)
    if facts.sizes is not None and rules.size_change.limit is not None:
        verdicts["size_change"] = _size_change(rules.size_change, *facts.sizes)
    if facts.running_s is not None:
        limit_s = long_run_s(rules.long_run, facts.usual_s)
        verdicts["long_run"] = OVER
        if limit_s is not None:
            told = f"A run has taken {spoken_s(facts.running_s)} so far, more than {spoken_s(limit_s)}."
            verdicts["long_run"] = _over(rules.long_run, facts.running_s, limit_s, told)
    if facts.is_refused is not None:
        told = "The platform refuses the credentials. Mend them in the settings, then resume the lane."
        refused = Verdict(is_on=True, level=rules.credentials_refused.level, message=told)
        verdicts["credentials_refused"] = refused if facts.is_refused else OVER
    if facts.unsure is not None and rules.unsure.limit is not None:
        count, since_us = facts.unsure
        age_s = (facts.now_us - since_us) / 1e6 if count else 0.0
        told = f"{count} members are unsure, the oldest for {spoken_s(age_s)}."
        verdicts["unsure"] = _over(rules.unsure, age_s, rules.unsure.limit, told)
    return verdicts


def long_run_s(rule: AlertRule, usual_s: Sequence[float]) -> float | None:
    """From when on a run is long: the rule's own time, else three times the median; None where that cannot be told."""
    if rule.limit is not None:
        return rule.limit
    if len(usual_s) < LONG_RUN_RUNS_MIN:
        return None
    return max(LONG_RUN_S_MIN, LONG_RUN_FACTOR * median(usual_s[:LONG_RUN_RUNS]))


def is_told(
    rule: AlertRule, verdict: Verdict, *, stands_as: Level | None, told_us: int, now_us: int, repeat_us: int
) -> bool:
    """Whether an alert whose verdict is on is told now. stands_as: its level so far, None where it is new."""
    if stands_as is None or (stands_as == "warning" and verdict.level == "critical"):
        return True
    return rule.occurrence == "every" and now_us - told_us >= repeat_us


def spoken_s(seconds: float) -> str:
    """A time as people say it: `45 s`, `12 min`, `5 h`, `3 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _over(rule: AlertRule, value: float, limit: float, message: str) -> Verdict:
    return Verdict(is_on=True, level=rule.level, message=message) if value > limit else OVER


def _problem_share(rule: AlertRule, facts: RunFacts) -> Verdict:
    share = 100.0 * facts.wrong / facts.planned if facts.planned else 0.0
    told = f"{facts.wrong} of {facts.planned} planned operations were refused or failed ({share:.1f} %)."
    if rule.critical is not None and facts.wrong and share >= rule.critical:
        return Verdict(is_on=True, level="critical", message=told)
    if rule.limit is not None and facts.wrong and share >= rule.limit:
        return Verdict(is_on=True, level="warning", message=told)
    return OVER


def _list_difference(rule: AlertRule, facts: RunFacts) -> Verdict:
    """The last runs all left list and audience apart. An additive list may hold more, a subtractive one says nothing."""
    limit = rule.limit or 0.0
    if facts.mode == "subtractive":
        return OVER
    latest = facts.sizes[: rule.runs]
    if len(latest) < rule.runs or not all(_difference(*one, facts.mode) > limit for one in latest):
        return OVER
    members_in, listed = latest[0]
    told = f"The list holds {listed}, the audience {members_in}: more than {limit:g} % apart for {rule.runs} runs."
    return Verdict(is_on=True, level=rule.level, message=told)


def _difference(members_in: int, listed: int, mode: Mode) -> float:
    apart = members_in - listed if mode == "additive" else abs(members_in - listed)
    return 100.0 * max(0, apart) / (members_in or 1)


def _size_change(rule: AlertRule, before: int, now: int) -> Verdict:
    if rule.limit is None or not before:
        return OVER
    change = 100.0 * (now - before) / before
    told = f"The audience went from {before} to {now} within a day ({change:+.1f} %)."
    return _over(rule, abs(change), rule.limit, told)


def _stale(rule: AlertRule, facts: LookFacts) -> Verdict:
    if not facts.stale_us or facts.now_us <= facts.stale_us:
        return OVER
    since = datetime.fromtimestamp(facts.last_good_us // 1_000_000, UTC)
    told = f"There has been no acceptable run since {since:%Y-%m-%d %H:%M} UTC."
    return Verdict(is_on=True, level=rule.level, message=told)
