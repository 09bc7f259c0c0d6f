"""The `sync` block of a mapping: its members, their defaults, and what a destination's abilities make of them.

Reading is strict and complete: unknown members are errors, and every problem comes at once with pointer and mend. Compiling
the `filter` and finding two syncs on one target need the rest of the rulebook and are `config`'s.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypeVar

import msgspec

from gateway.core.alert_options import AlertOptions, read_alerts
from gateway.core.errors import Problem
from gateway.core.guards import Guards, read_guards
from gateway.core.option_readers import OptionReader, duration_s
from gateway.core.run_timing import MissedPolicy, OverlapPolicy, StartPolicy
from gateway.core.schedules import DAY_S, Continuous, Every, Schedule, next_tick, parse_schedule

Mode = Literal["mirror", "additive", "subtractive"]
"""mirror: the list becomes the audience. additive: people are added, never removed. subtractive: removed, never added."""

BACKOFF_AFTER = 10
RECHECK_REJECTED_S = 7 * DAY_S
LOG_DAYS = 30
LOG_DAYS_MAX = 3_660
SNAPSHOTS_KEPT = 5
SNAPSHOTS_KEPT_MAX = 1_000
ATTEMPTS_MAX = 1_000_000
FORGET_DAYS_MAX = 3_660
FILTER_CHARACTERS_MAX = 10_000

_L = TypeVar("_L", bound=str)
_some_day = datetime(2024, 1, 3, tzinfo=UTC)
_members = (
    "mode", "schedule", "start", "initial", "overlap", "missed", "guards", "retry", "log", "snapshots", "hashing",
    "first_run_approval", "on_target_change", "filter", "alerts", "resend_every", "forget_after_days",
)  # fmt: skip


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What one action of a destination can do to a list.

    idempotent: an add or remove may be repeated; without it unsure members wait for a person. replace: whole lists.
    full_replace_every_s: the platform's copy ages and has to be uploaded this often. full_replace_min_gap_s: never sooner.
    min_distinct: people a whole list must hold. The Trade Desk: replace, 24 h, 20 h, 1500.
    """

    add: bool = True
    remove: bool = True
    update: bool = False
    replace: bool = False
    idempotent: bool = True
    full_replace_every_s: int | None = None
    full_replace_min_gap_s: int | None = None
    min_distinct: int = 0

    @property
    def takes_whole_lists(self) -> bool:
        """Single changes are not possible, so every run uploads the whole list."""
        return self.replace and not (self.add or self.remove)


SINGLE_CHANGES = Capabilities()
WHOLE_LISTS = Capabilities(
    add=False,
    remove=False,
    replace=True,
    full_replace_every_s=DAY_S,
    full_replace_min_gap_s=20 * 3_600,
    min_distinct=1_500,
)


class GiveUp(msgspec.Struct, frozen=True, kw_only=True):
    """After how many failed tries, or how long after the first, a member is given up. None: this one never."""

    attempts: int | None = None
    age_s: int | None = None


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How members that did not get through are planned again in later runs.

    failed: again at every run; False waits for a change of the member, the mapping or the destination.
    rejected: "on_change" waits for such a change or for recheck_rejected_after_s; "every_run" waits for nothing; "never" waits
    for a person. backoff_after: from so many failures in a row on, one try a day.
    """

    failed: bool = True
    rejected: Literal["on_change", "every_run", "never"] = "on_change"
    recheck_rejected_after_s: int | None = RECHECK_REJECTED_S
    backoff_after: int = BACKOFF_AFTER
    give_up: GiveUp = GiveUp()


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The sync log. keep False: counters and the first problems only. days None: for ever. sample: share of rows kept."""

    keep: bool = True
    days: int | None = LOG_DAYS
    sample: float = 1.0
    skipped: bool = False


class SyncOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One sync block, checked, defaults filled in.

    initial: "adopt" takes everybody for listed at the first run and sends nothing. snapshots_kept: newest runs; 0 keeps none.
    filter: FQL text or condition tree over the member's latest membership event, not yet compiled; None lets all through.
    resend_every_s: add everybody again when the last time is so long ago; None never. forget_after_s: leave members out of a
    whole list whose latest event is older; None keeps them.
    """

    mode: Mode = "mirror"
    schedule: Schedule = Every(every_s=3_600)
    start: StartPolicy = "now"
    initial: Literal["full", "adopt"] = "full"
    overlap: OverlapPolicy = "queue"
    missed: MissedPolicy = "once"
    guards: Guards = Guards()
    retry: Retry = Retry()
    log: Log = Log()
    snapshots_kept: int = SNAPSHOTS_KEPT
    hashing: Literal["on", "off", "auto"] = "on"
    first_run_approval: bool = False
    on_target_change: Literal["leave", "clear_old"] = "leave"
    filter: str | dict[str, object] | None = None
    alerts: AlertOptions = AlertOptions()
    resend_every_s: int | None = None
    forget_after_s: int | None = None


def default_options(capabilities: Capabilities = SINGLE_CHANGES) -> SyncOptions:
    """What holds without a `sync` block: mirror, every hour from now on; whole lists daily at 03:00, from the first tick."""
    if capabilities.takes_whole_lists:
        return SyncOptions(schedule=Every(every_s=DAY_S, offset_s=3 * 3_600), start="schedule")
    return SyncOptions()


def read_sync_options(
    value: object,
    *,
    pointer: str = "",
    capabilities: Capabilities = SINGLE_CHANGES,
    default: SyncOptions | None = None,
) -> tuple[SyncOptions | None, list[Problem]]:
    """Read a `sync` block; None with at least one error where it cannot be used. Warnings come beside the options.

    pointer: JSON Pointer of `value`. default: what missing members mean, where it is not `default_options(capabilities)`
    (a schedule that another member of the mapping gives).
    """
    problems: list[Problem] = []
    base = default or default_options(capabilities)
    reader = OptionReader(value, pointer, _members, problems, what="a `sync` block")
    if not isinstance(value, dict):
        return None, problems
    options = SyncOptions(
        mode=_literal(reader, "mode", ("mirror", "additive", "subtractive"), base.mode),
        schedule=_schedule(reader, base.schedule),
        start=_literal(reader, "start", ("now", "schedule"), base.start),
        initial=_literal(reader, "initial", ("full", "adopt"), base.initial),
        overlap=_literal(reader, "overlap", ("queue", "skip"), base.overlap),
        missed=_literal(reader, "missed", ("once", "skip"), base.missed),
        guards=read_guards(reader.members.get("guards", {}), f"{pointer}/guards", problems),
        retry=_retry(reader),
        log=_log(reader),
        snapshots_kept=_snapshots(reader),
        hashing=_literal(reader, "hashing", ("on", "off", "auto"), base.hashing),
        first_run_approval=reader.flag("first_run_approval", default=base.first_run_approval),
        on_target_change=_literal(reader, "on_target_change", ("leave", "clear_old"), base.on_target_change),
        filter=_filter(reader),
        alerts=read_alerts(reader.members.get("alerts", {}), f"{pointer}/alerts", problems),
        resend_every_s=reader.duration("resend_every", None),
        forget_after_s=_days(reader, "forget_after_days"),
    )
    problems.extend(check_capabilities(options, capabilities, pointer=pointer))
    return (None if any(one.severity == "error" for one in problems) else options), problems


def check_capabilities(options: SyncOptions, capabilities: Capabilities, *, pointer: str = "") -> list[Problem]:
    """What of the options a destination cannot do (errors) or does otherwise than one might think (warnings)."""
    problems = []

    def add(member: str, what: str, mend: str = "", severity: str = "error") -> None:
        problems.append(Problem(what=what, mend=mend, pointer=f"{pointer}/{member}", severity=severity))

    can = capabilities
    able = {"mirror": can.replace or (can.add and can.remove), "additive": can.replace or can.add,
            "subtractive": can.remove}  # fmt: skip
    if not able[options.mode]:
        can_do = [f"`{mode}`" for mode, is_able in able.items() if is_able]
        mend = f"It can do {' and '.join(can_do)}." if can_do else "It cannot keep a list at all."
        add("mode", f"This destination cannot keep a list in mode `{options.mode}`.", mend)
    if not can.takes_whole_lists:
        if options.forget_after_s is not None:
            add("forget_after_days", "This destination takes single changes, so nobody is forgotten by leaving them out.",
                "Take it out.")  # fmt: skip
        return problems
    if options.resend_every_s is not None:
        add(
            "resend_every",
            "This destination takes whole lists: everybody is sent with each of them.",
            "Take it out.",
            "warning",
        )
    if isinstance(options.schedule, Continuous):
        add("schedule/continuous", "This destination takes whole lists, so it cannot follow single events.",
            'Write for example `{"daily": "03:00"}`.')  # fmt: skip
    elif _interval_s(options.schedule) < (can.full_replace_min_gap_s or 0):
        hours = (can.full_replace_min_gap_s or 0) / 3_600
        add("schedule", f"The schedule is faster than this destination allows: a list goes out once in {hours:g} hours.",
            "Runs in between end skipped, with reason `not_due`.", "warning")  # fmt: skip
    if options.initial == "adopt":
        add("initial", "This destination takes whole lists: each upload replaces what was there, there is nothing to adopt.",
            'Take it out, or write `"full"`.')  # fmt: skip
    if options.on_target_change == "clear_old":
        add("on_target_change", "This destination takes whole lists and none below its minimum: an old list cannot be emptied.",
            'Take it out, or write `"leave"`, and delete the old list at the platform.')  # fmt: skip
    return problems


def _interval_s(schedule: Schedule) -> float:
    """Seconds between the next two ticks of some day; endless for a schedule without."""
    if isinstance(schedule, Every):
        return schedule.every_s
    first = next_tick(schedule, after=_some_day)
    second = None if first is None else next_tick(schedule, after=first)
    return float("inf") if first is None or second is None else (second - first).total_seconds()


def _literal(reader: OptionReader, key: str, choices: tuple[_L, ...], default: _L) -> _L:
    found = reader.choice(key, choices, default)
    return next((one for one in choices if one == found), default)


def _schedule(reader: OptionReader, default: Schedule) -> Schedule:
    if "schedule" not in reader.members:
        return default
    schedule, problems = parse_schedule(reader.members["schedule"], pointer=f"{reader.pointer}/schedule")
    reader.problems.extend(problems)
    return schedule or default


def _inner(reader: OptionReader, key: str, known: tuple[str, ...]) -> OptionReader:
    value = reader.members.get(key, {})
    return OptionReader(value, f"{reader.pointer}/{key}", known, reader.problems, what=f"`{key}`")


def _retry(reader: OptionReader) -> Retry:
    known = ("failed", "rejected", "recheck_rejected_after", "backoff_after", "give_up_after")
    inner = _inner(reader, "retry", known)
    return Retry(
        failed=inner.flag("failed", default=True),
        rejected=_literal(inner, "rejected", ("on_change", "every_run", "never"), "on_change"),
        recheck_rejected_after_s=inner.duration("recheck_rejected_after", RECHECK_REJECTED_S),
        backoff_after=inner.whole("backoff_after", BACKOFF_AFTER, low=1, high=ATTEMPTS_MAX) or BACKOFF_AFTER,
        give_up=_give_up(inner),
    )


def _give_up(reader: OptionReader) -> GiveUp:
    if reader.members.get("give_up_after") is None:
        return GiveUp()
    inner = _inner(reader, "give_up_after", ("attempts", "age"))
    age_s = inner.members.get("age")
    if age_s is not None and duration_s(age_s) is None:
        inner.add("age", "`age` must be a duration.", 'Write for example `"14d"`.')
    return GiveUp(attempts=inner.whole("attempts", None, low=1, high=ATTEMPTS_MAX), age_s=duration_s(age_s))


def _log(reader: OptionReader) -> Log:
    inner = _inner(reader, "log", ("keep", "days", "sample", "skipped"))
    days: int | None = None
    if inner.members.get("days", LOG_DAYS) is not None:  # null keeps the log for ever
        days = inner.whole("days", LOG_DAYS, low=1, high=LOG_DAYS_MAX)
    return Log(
        keep=inner.flag("keep", default=True),
        days=days,
        sample=inner.number("sample", 1.0, low=0.0, high=1.0) or 0.0,
        skipped=inner.flag("skipped", default=False),
    )


def _days(reader: OptionReader, key: str) -> int | None:
    days = reader.whole(key, None, low=1, high=FORGET_DAYS_MAX)
    return None if days is None else days * DAY_S


def _snapshots(reader: OptionReader) -> int:
    kept = _inner(reader, "snapshots", ("keep",)).whole("keep", SNAPSHOTS_KEPT, low=0, high=SNAPSHOTS_KEPT_MAX)
    return SNAPSHOTS_KEPT if kept is None else kept


def _filter(reader: OptionReader) -> str | dict[str, object] | None:
    value = reader.members.get("filter")
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, str) and value.strip() and len(value) <= FILTER_CHARACTERS_MAX:
        return value
    reader.add(
        "filter", "`filter` must be FQL text or a condition tree.", 'For example `"properties.ads_consent = true"`.'
    )
    return None
