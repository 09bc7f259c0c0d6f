"""The `alerts` of a `sync` block: which alerts a sync has, how grave each is, from which threshold on, and how often it is told.

An alert is left as it is, `"off"`, `"on"`, a level, its threshold alone, or an object with the members it knows.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from gateway.core.errors import Problem
from gateway.core.option_readers import OptionReader, duration_s, shown

AlertName = Literal[
    "run_failed", "problem_share", "held", "below_minimum", "stale", "freshness", "list_difference", "size_change",
    "long_run", "credentials_refused", "unsure", "given_up",
]  # fmt: skip
"""run_failed: the last run failed. problem_share: too much of what a run planned was refused or failed. held: a run waits for
a person. below_minimum: too few people for a whole list. stale: no acceptable run for too long. freshness: a change has not
been sent for too long. list_difference: list and audience differ run after run. size_change: the audience has changed a lot
within a day. long_run: a run takes too long. credentials_refused: the platform refuses the login. unsure: nobody has known
for too long what the platform holds of somebody. given_up: members are not tried again."""

Level = Literal["warning", "critical"]
Occurrence = Literal["first", "every"]
"""first: told when it comes up, and when it becomes graver. every: told again by each run that meets it, and hourly where no
run is what meets it."""

ALERT_NAMES: tuple[AlertName, ...] = get_args(AlertName)
PROBLEM_WARNING_PERCENT = 5.0
PROBLEM_CRITICAL_PERCENT = 25.0
DIFFERENCE_PERCENT = 10.0
DIFFERENCE_RUNS = 3
DIFFERENCE_RUNS_MAX = 10
UNSURE_S = 86_400
PERCENT_MAX = 1_000_000.0
MEDIAN = "median"

Measure = Literal["none", "share", "percent", "age"]
"""What a threshold is: none; two percentages, one a level; one percentage; a time."""


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of one sync.

    limit: percent, or seconds; None for the alert's own measure (or none). critical: percent from which `problem_share` is
    critical. runs: in a row, of `list_difference`. recovery: its end is told too.
    """

    is_on: bool = True
    level: Level = "warning"
    occurrence: Occurrence = "first"
    recovery: bool = True
    limit: float | None = None
    critical: float | None = None
    runs: int = 1


class AlertOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All alerts of one sync, defaults filled in."""

    run_failed: AlertRule = AlertRule(level="critical")
    problem_share: AlertRule = AlertRule(limit=PROBLEM_WARNING_PERCENT, critical=PROBLEM_CRITICAL_PERCENT)
    held: AlertRule = AlertRule(level="critical")
    below_minimum: AlertRule = AlertRule()
    stale: AlertRule = AlertRule(level="critical")
    freshness: AlertRule = AlertRule(is_on=False)
    list_difference: AlertRule = AlertRule(limit=DIFFERENCE_PERCENT, runs=DIFFERENCE_RUNS)
    size_change: AlertRule = AlertRule(is_on=False)
    long_run: AlertRule = AlertRule(is_on=False)
    credentials_refused: AlertRule = AlertRule(level="critical")
    unsure: AlertRule = AlertRule(limit=UNSURE_S)
    given_up: AlertRule = AlertRule()

    def rule(self, name: AlertName) -> AlertRule:
        """The rule of one alert."""
        found = getattr(self, name)
        assert isinstance(found, AlertRule)
        return found


MEASURES: dict[AlertName, Measure] = {
    "run_failed": "none",
    "problem_share": "share",
    "held": "none",
    "below_minimum": "none",
    "stale": "age",
    "freshness": "age",
    "list_difference": "percent",
    "size_change": "percent",
    "long_run": "age",
    "credentials_refused": "none",
    "unsure": "age",
    "given_up": "none",
}
_needs_limit: frozenset[AlertName] = frozenset({"freshness", "size_change"})
_levels: tuple[Level, ...] = get_args(Level)
_occurrences: tuple[Occurrence, ...] = get_args(Occurrence)


def read_alerts(value: object, pointer: str, problems: list[Problem]) -> AlertOptions:
    """Read `alerts`; what is wrong is added to `problems` and left at its default."""
    reader = OptionReader(value, pointer, ALERT_NAMES, problems, what="`alerts`")
    base = AlertOptions()
    return AlertOptions(**{name: _rule(reader, name, base.rule(name)) for name in ALERT_NAMES})


def members_of(name: AlertName) -> tuple[str, ...]:
    """The members that the object of an alert may have."""
    told = ("occurrence", "recovery")
    match MEASURES[name]:
        case "share":
            return ("warning", "critical", *told)
        case "percent":
            return ("level", *told, "percent", *(("runs",) if name == "list_difference" else ()))
        case "age":
            return ("level", *told, "after")
        case "none":
            return ("level", *told)


def _rule(reader: OptionReader, name: AlertName, base: AlertRule) -> AlertRule:
    if name not in reader.members:
        return base
    value = reader.members[name]
    if value == "off":
        return msgspec.structs.replace(base, is_on=False)
    rule = _of_object(reader, name, base) if isinstance(value, dict) else _of_word(reader, name, base)
    if rule.is_on and rule.limit is None and name in _needs_limit and not _has_problem(reader, name):
        member = "after" if MEASURES[name] == "age" else "percent"
        example = '`"2h"`' if member == "after" else "`30`"
        reader.add(name, f"`{name}` needs its threshold.", f"Write for example {example}, or `off`.")
    return rule


def _has_problem(reader: OptionReader, name: AlertName) -> bool:
    place = f"{reader.pointer}/{name}"
    return any(one.pointer == place or one.pointer.startswith(f"{place}/") for one in reader.problems)


def _of_word(reader: OptionReader, name: AlertName, base: AlertRule) -> AlertRule:
    """`"on"`, a level, or the threshold alone."""
    value, measure = reader.members[name], MEASURES[name]
    rule = msgspec.structs.replace(base, is_on=True)
    level = next((one for one in _levels if one == value), None)
    if value == "on":
        return rule
    if level is not None and measure != "share":
        return msgspec.structs.replace(rule, level=level)
    if measure == "age" and (duration_s(value) is not None or (name == "long_run" and value == MEDIAN)):
        return msgspec.structs.replace(rule, limit=duration_s(value))
    if measure == "percent" and isinstance(value, int | float) and not isinstance(value, bool):
        return msgspec.structs.replace(rule, limit=_percent(reader, name))
    reader.add(name, f"`{name}` cannot be {shown(value)}.", f"Write {_allowed(name)}.")
    return rule


def _allowed(name: AlertName) -> str:
    words = '`"off"`, `"on"`'
    match MEASURES[name]:
        case "share":
            return f'{words}, or an object such as `{{"warning": 5, "critical": 25}}`'
        case "percent":
            return f"{words}, a percentage, or an object"
        case "age":
            return f'{words}, a duration such as `"2h"`{", `median`" if name == "long_run" else ""}, or an object'
        case "none":
            return f'{words}, `"warning"`, `"critical"`, or an object'


def _of_object(reader: OptionReader, name: AlertName, base: AlertRule) -> AlertRule:
    place = f"{reader.pointer}/{name}"
    inner = OptionReader(reader.members[name], place, members_of(name), reader.problems, what=f"`{name}`")
    occurrence = inner.choice("occurrence", _occurrences, base.occurrence)
    level = inner.choice("level", _levels, base.level)
    rule = msgspec.structs.replace(
        base,
        is_on=True,
        level="critical" if level == "critical" else "warning",
        occurrence="every" if occurrence == "every" else "first",
        recovery=inner.flag("recovery", default=True),
    )
    match MEASURES[name]:
        case "share":
            return _with_shares(inner, rule)
        case "percent":
            limit = _percent(inner, "percent") if "percent" in inner.members else base.limit
            runs = inner.whole("runs", base.runs, low=1, high=DIFFERENCE_RUNS_MAX) or base.runs
            return msgspec.structs.replace(rule, limit=limit, runs=runs)
        case "age":
            return msgspec.structs.replace(rule, limit=_age(inner, name, base.limit))
        case "none":
            return rule


def _with_shares(inner: OptionReader, rule: AlertRule) -> AlertRule:
    """Null takes one of the two levels away."""
    warning, critical = rule.limit, rule.critical
    if "warning" in inner.members:
        warning = inner.number("warning", None, low=0, high=100)
    if "critical" in inner.members:
        critical = inner.number("critical", None, low=0, high=100)
    if warning is not None and critical is not None and warning > critical:
        inner.add("warning", "`warning` is above `critical`, so it would never be told.", "Write the smaller one here.")
    return msgspec.structs.replace(rule, limit=warning, critical=critical)


def _percent(reader: OptionReader, key: str) -> float | None:
    return reader.number(key, None, low=0, high=PERCENT_MAX)


def _age(inner: OptionReader, name: AlertName, default: float | None) -> float | None:
    value = inner.members.get("after", default)
    if "after" not in inner.members:
        return default
    if name == "long_run" and value == MEDIAN:
        return None
    if value is None:
        inner.add("after", "`after` must be a duration, but it is null.", 'Write for example `"2h"`.')
        return default
    return inner.duration("after", None)
