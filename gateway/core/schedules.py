"""When a sync's runs are due: the spellings of a schedule and the instants they mean. Reading the clock is the caller's.

Every form is a set of instants, its ticks, fixed by the clock and never by when the last run ended. All datetimes here are
aware; what is returned is UTC, to the second. Whether a tick becomes a run is `core/run_timing.py`'s to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from gateway.core.errors import Problem
from gateway.core.option_readers import OptionReader, duration_s, shown

DAY_S = 86_400
EVERY_S = {
    "5m": 300, "10m": 600, "15m": 900, "30m": 1_800,
    "1h": 3_600, "3h": 10_800, "6h": 21_600, "12h": 43_200, "24h": DAY_S,
}  # fmt: skip
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CRON_GAP_S_MIN = 300  # two ticks closer than this are refused
CRON_CHARACTERS_MAX = 200
MAX_DELAY_S_MAX = 3_600  # events of a continuous sync wait at most an hour for company
TICKS_MAX = 200_000  # what `ticks_between` gives at most: nearly two years of the densest schedule

_epoch = datetime(1970, 1, 1, tzinfo=UTC)  # a Thursday
_thursday = 3
_units = ((3600, "hour"), (60, "minute"), (1, "second"))
_forms = ("manual", "every", "at", "hourly", "daily", "weekly", "cron", "tz", "continuous")
_time_of_day = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_probe = datetime(2024, 1, 1, tzinfo=UTC)  # where a cron text is asked whether it ever fires


class Manual(msgspec.Struct, frozen=True, kw_only=True, tag="manual"):
    """No ticks: runs start by hand."""


class Every(msgspec.Struct, frozen=True, kw_only=True, tag="every"):
    """Ticks at offset_s + n * every_s, counted from 1 January 1970, 00:00 UTC. every_s divides a day, or is a week."""

    every_s: int
    offset_s: int = 0


class Cron(msgspec.Struct, frozen=True, kw_only=True, tag="cron"):
    """Five cron fields read in a time zone.

    A time inside the spring gap ticks once, at the first instant behind it; one in the autumn fold once, at its first pass.
    """

    text: str
    tz: str = "UTC"


class Continuous(msgspec.Struct, frozen=True, kw_only=True, tag="continuous"):
    """Events are gathered for up to max_delay_s and sent as live runs; `reconcile` says when a diff makes sure."""

    max_delay_s: int
    reconcile: Manual | Every | Cron


Schedule = Manual | Every | Cron | Continuous


def parse_schedule(value: object, *, pointer: str = "") -> tuple[Schedule | None, list[Problem]]:
    """Read a `schedule`; None with at least one error where it cannot be used. pointer: of `value`, for the problems."""
    problems: list[Problem] = []
    schedule = _schedule(value, pointer, problems)
    return (None if any(one.severity == "error" for one in problems) else schedule), problems


def next_tick(schedule: Schedule, *, after: datetime) -> datetime | None:
    """The first tick strictly after `after`; None when there is none (manual, or a cron that has run out of years)."""
    match schedule:
        case Manual():
            return None
        case Every(every_s=every_s, offset_s=offset_s):
            passed_s = (after - _epoch) // timedelta(seconds=1) - offset_s
            return _epoch + timedelta(seconds=(passed_s // every_s + 1) * every_s + offset_s)
        case Cron():
            return next(_cron_ticks(schedule, after), None)
        case Continuous(reconcile=reconcile):
            return next_tick(reconcile, after=after)
        case _:
            assert_never(schedule)


def schedule_words(schedule: Schedule) -> str:
    """A schedule as a person says it: `every 15 minutes from 00:05 UTC`, `every week on mon at 09:00 UTC`."""
    match schedule:
        case Manual():
            return "by hand"
        case Every(every_s=every_s, offset_s=offset_s):
            return _every_words(every_s, offset_s)
        case Cron(text=text, tz=tz):
            return f"cron {text} ({tz})"
        case Continuous(max_delay_s=max_delay_s, reconcile=reconcile):
            return f"as events come, within {_span_words(max_delay_s)}; a whole run {schedule_words(reconcile)}"
        case _:
            assert_never(schedule)


def _every_words(every_s: int, offset_s: int) -> str:
    at = f"{offset_s % DAY_S // 3600:02d}:{offset_s % 3600 // 60:02d} UTC"
    if every_s == DAY_S:
        return f"every day at {at}"
    if every_s == 7 * DAY_S:
        return f"every week on {WEEKDAYS[(_thursday + offset_s // DAY_S) % 7]} at {at}"
    return f"every {_span_words(every_s).removeprefix('1 ')} from {at}"


def _span_words(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in _units if seconds % size == 0)
    count = seconds // size
    return f"{count} {unit}{'s' if count > 1 else ''}"


def ticks_between(schedule: Schedule, *, after: datetime, until: datetime) -> Iterator[datetime]:
    """The ticks in (after, until], oldest first, at most TICKS_MAX of them."""
    if isinstance(schedule, Continuous):
        schedule = schedule.reconcile
    ticks = _cron_ticks(schedule, after) if isinstance(schedule, Cron) else _counted_ticks(schedule, after)
    for _, tick in zip(range(TICKS_MAX), ticks, strict=False):
        if tick > until:
            return
        yield tick


def next_list_tick(
    schedule: Schedule, *, after: datetime, last_upload_at: datetime | None, full_every_s: int | None
) -> datetime | None:
    """`next_tick` for a platform that takes whole lists.

    Its copy ages, so an upload falls due full_every_s after the last one even where the schedule is slower. A manual sync
    stays manual.
    """
    tick = next_tick(schedule, after=after)
    if tick is None or last_upload_at is None or full_every_s is None:
        return tick
    return min(tick, max(last_upload_at + timedelta(seconds=full_every_s), after + timedelta(seconds=1)))


def stale_at(schedule: Schedule, *, last_good_at: datetime) -> datetime | None:
    """When a sync without an acceptable run since `last_good_at` counts as stale: two ticks on, and ten minutes."""
    first = next_tick(schedule, after=last_good_at)
    second = None if first is None else next_tick(schedule, after=first)
    return None if second is None else second + timedelta(minutes=10)


def _counted_ticks(schedule: Manual | Every, after: datetime) -> Iterator[datetime]:
    tick = next_tick(schedule, after=after)
    while tick is not None:
        yield tick
        tick = next_tick(schedule, after=tick)


def _cron_ticks(schedule: Cron, after: datetime) -> Iterator[datetime]:
    """Strictly later instants. In a fold the library may give one that has passed, behind a gap the same one twice."""
    last = after.astimezone(UTC)
    start = after.astimezone(UTC if schedule.tz == "UTC" else ZoneInfo(schedule.tz))
    for local in CronSim(schedule.text, start):
        tick = local.astimezone(UTC)
        if tick > last:
            yield tick
            last = tick


def _schedule(value: object, pointer: str, problems: list[Problem]) -> Schedule | None:
    reader = OptionReader(value, pointer, _forms, problems, what="a schedule")
    members = reader.members
    forms = [form for form in _forms if form in members and form not in ("at", "tz")]
    if len(forms) != 1:
        if not problems:
            reader.add(
                "", "A schedule has exactly one form.", 'Write one, such as `{"every": "1h"}` or `{"manual": true}`.'
            )
        return None
    form = forms[0]
    for extra, owner in (("at", "every"), ("tz", "cron")):
        if extra in members and form != owner:
            reader.add(extra, f"`{extra}` goes with `{owner}` only; every other time of day is in UTC.", "Take it out.")
    match form:
        case "manual":
            return _manual(reader)
        case "every":
            return _every(reader)
        case "hourly":
            return _hourly(reader)
        case "daily":
            return Every(every_s=DAY_S, offset_s=_time_s(reader, "daily"))
        case "weekly":
            return _weekly(reader)
        case "cron":
            return _cron(reader)
        case _:
            return _continuous(reader)


def _manual(reader: OptionReader) -> Manual:
    if reader.members["manual"] is not True:
        reader.add("manual", "`manual` can only be true.", "Write `true`, or another form of schedule.")
    return Manual()


def _every(reader: OptionReader) -> Every:
    every_s = EVERY_S.get(reader.choice("every", tuple(EVERY_S), "1h"), 3_600)
    return Every(every_s=every_s, offset_s=_time_s(reader, "at", "00:00") % every_s)


def _hourly(reader: OptionReader) -> Every:
    """`true`, or the minute as `":05"`."""
    value = reader.members["hourly"]
    if value is True:
        return Every(every_s=3_600)
    found = re.fullmatch(r":([0-5][0-9])", value) if isinstance(value, str) else None
    if found is None:
        reader.add("hourly", f"`hourly` cannot be {shown(value)}.", 'Write `true`, or the minute such as `":05"`.')
        return Every(every_s=3_600)
    return Every(every_s=3_600, offset_s=int(found[1]) * 60)


def _weekly(reader: OptionReader) -> Every:
    inner = OptionReader(
        reader.members["weekly"], f"{reader.pointer}/weekly", ("on", "at"), reader.problems, what="`weekly`"
    )
    day = WEEKDAYS.index(inner.choice("on", WEEKDAYS, "mon"))
    offset_s = (day - _thursday) % 7 * DAY_S + _time_s(inner, "at", "00:00")
    return Every(every_s=7 * DAY_S, offset_s=offset_s)


def _time_s(reader: OptionReader, key: str, default: str = "") -> int:
    value = reader.members.get(key, default)
    found = _time_of_day.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        reader.add(key, f"`{key}` cannot be {shown(value)}.", 'Write a time of day in UTC such as `"09:00"`.')
        return 0
    return int(found[1]) * 3_600 + int(found[2]) * 60


def _cron(reader: OptionReader) -> Cron | None:
    text, tz = reader.members["cron"], reader.members.get("tz", "UTC")
    if not isinstance(text, str) or len(text) > CRON_CHARACTERS_MAX or len(text.split()) != 5:
        mend = "Minute, hour, day of month, month, day of week, such as `0 9 * * 1-5`."
        reader.add("cron", f"`cron` must be five fields, but it is {shown(text)}.", mend)
        return None
    if not _is_zone(tz):
        reader.add("tz", f"`tz` is no known time zone: {shown(tz)}.", 'Write a name such as `"Europe/Berlin"`.')
        return None
    try:
        cron = CronSim(text, _probe)
    except CronSimError as error:
        reader.add("cron", f"`cron` cannot be read: {error}.")
        return None
    if next(cron, None) is None:
        reader.add("cron", f"`cron` never fires: {shown(text)}.")
        return None
    if _is_too_dense(cron):
        mend = "Five minutes is the fastest; `continuous` sends as events arrive."
        reader.add("cron", f"`cron` fires twice within five minutes: {shown(text)}.", mend)
        return None
    return Cron(text=text, tz=str(tz))


def _is_zone(name: object) -> bool:
    if not isinstance(name, str) or not name or len(name) > CRON_CHARACTERS_MAX:
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of the zone database, such as "Europe"
        return False
    return True


def _is_too_dense(cron: CronSim) -> bool:
    """Within an hour by its minutes; over the hour's edge where two hours in a row are named. Midnight counts as one."""
    minutes, hours = sorted(cron.minutes), cron.hours
    gap = CRON_GAP_S_MIN // 60
    if any(later - earlier < gap for earlier, later in pairwise(minutes)):
        return True
    return minutes[0] + 60 - minutes[-1] < gap and any((hour + 1) % 24 in hours for hour in hours)


def _continuous(reader: OptionReader) -> Continuous | None:
    inner = OptionReader(
        reader.members["continuous"],
        f"{reader.pointer}/continuous", ("max_delay", "reconcile"), reader.problems, what="`continuous`",
    )  # fmt: skip
    delay_s = duration_s(inner.members.get("max_delay", "30s"))
    if delay_s is None or delay_s > MAX_DELAY_S_MAX:
        inner.add("max_delay", "`max_delay` must be a duration up to `1h`.", 'Write for example `"30s"`.')
        return None
    reconcile = _schedule(
        inner.members.get("reconcile", {"daily": "03:00"}), f"{inner.pointer}/reconcile", inner.problems
    )
    if isinstance(reconcile, Continuous):
        inner.add("reconcile", "`reconcile` cannot be continuous itself.", 'Write for example `{"daily": "03:00"}`.')
        return None
    return None if reconcile is None else Continuous(max_delay_s=delay_s, reconcile=reconcile)
