from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from gateway.core.run_timing import Due, catch_up_delays_s, due_now, first_run_at, is_list_due, on_tick
from gateway.core.schedules import (
    EVERY_S,
    Continuous,
    Cron,
    Every,
    Manual,
    Schedule,
    next_list_tick,
    next_tick,
    parse_schedule,
    schedule_words,
    stale_at,
    ticks_between,
)

BERLIN = ZoneInfo("Europe/Berlin")
HOURLY = Every(every_s=3_600)


def schedule_of(value: object) -> Schedule:
    schedule, problems = parse_schedule(value)
    assert schedule is not None, problems
    return schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


NEXT = [
    (at("05-04 10:07"), {"every": "15m"}, at("05-04 10:15")),
    (at("05-04 10:07"), {"every": "15m", "at": "00:05"}, at("05-04 10:20")),
    (at("05-04 10:07"), {"every": "3h", "at": "01:30"}, at("05-04 10:30")),
    (at("05-04 10:30"), {"every": "1h", "at": "00:30"}, at("05-04 11:30")),
    (at("05-04 10:07"), {"every": "24h", "at": "09:00"}, at("05-05 09:00")),
    (at("05-04 23:59"), {"every": "12h", "at": "06:00"}, at("05-05 06:00")),
    (at("03-06 09:00"), {"cron": "0 9 * * 1-5"}, at("03-09 09:00")),
    (
        datetime(2026, 3, 28, 12, tzinfo=BERLIN),
        {"cron": "30 2 * * *", "tz": "Europe/Berlin"},
        datetime(2026, 3, 29, 3, tzinfo=BERLIN),
    ),
    (at("05-04 10:07"), {"hourly": True}, at("05-04 11:00")),
    (at("05-04 10:07"), {"hourly": ":05"}, at("05-04 11:05")),
    (at("05-04 10:07"), {"daily": "09:00"}, at("05-05 09:00")),
    (at("05-04 10:07"), {"weekly": {"on": "mon", "at": "09:00"}}, at("05-11 09:00")),
    (at("05-04 08:07"), {"weekly": {"on": "mon", "at": "09:00"}}, at("05-04 09:00")),
    (at("05-04 08:07"), {"weekly": {"on": "sun"}}, at("05-10 00:00")),
    (at("05-04 10:07"), {"manual": True}, None),
    (at("05-04 10:07"), {"continuous": {"max_delay": "30s", "reconcile": {"daily": "03:00"}}}, at("05-05 03:00")),
    (at("05-04 10:07"), {"continuous": {"reconcile": {"manual": True}}}, None),
]


@pytest.mark.parametrize(("now", "value", "expected"), NEXT)
def test_the_next_tick_is_strictly_later_and_goes_by_the_clock(
    now: datetime, value: object, expected: datetime | None
) -> None:
    """The documented table, and one row for each spelling it leaves out."""
    assert next_tick(schedule_of(value), after=now) == expected


AUTUMN = [  # clocks go back on 25 October 2026 at 03:00 summer time
    ("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=BERLIN), at("10-25 00:30")),
    ("30 2 * * *", datetime(2026, 10, 25, 2, 45, tzinfo=BERLIN), at("10-26 01:30")),
    ("30 2 * * *", datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=BERLIN), at("10-26 01:30")),
    ("0 9 * * *", datetime(2026, 10, 24, 12, tzinfo=BERLIN), at("10-25 08:00")),
]


@pytest.mark.parametrize(("text", "now", "expected"), AUTUMN)
def test_a_time_in_the_autumn_fold_ticks_once(text: str, now: datetime, expected: datetime) -> None:
    """Also when asked from inside the fold, where the first pass is over."""
    assert next_tick(Cron(text=text, tz="Europe/Berlin"), after=now) == expected


def test_several_times_in_the_spring_gap_tick_once() -> None:
    """02:05 and 02:35 do not exist on 29 March; both mean 03:00."""
    night = Cron(text="5,35 2 * * *", tz="Europe/Berlin")
    ticks = list(ticks_between(night, after=at("03-28 12:00"), until=at("03-30 12:00")))
    assert ticks == [at("03-29 01:00"), at("03-30 00:05"), at("03-30 00:35")]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
def test_a_year_of_ticks_only_goes_forward(zone: str) -> None:
    """Every day of the year has its nine o'clock, once, through both changes of the clock."""
    nine = Cron(text="0 9 * * *", tz=zone)
    ticks = list(ticks_between(nine, after=at("01-01 00:00"), until=at("01-01 00:00") + timedelta(days=365)))
    days = [tick.astimezone(ZoneInfo(zone)).date() for tick in ticks]
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))
    assert len(days) == 365
    odd = Cron(text="*/20 1-3 * * *", tz=zone)
    ticks = list(ticks_between(odd, after=at("01-01 00:00"), until=at("12-31 00:00")))
    assert all(earlier < later for earlier, later in pairwise(ticks))


def test_a_year_of_every_interval_is_even() -> None:
    """Ticks stand at the offset plus whole intervals, whatever the start."""
    for name, every_s in EVERY_S.items():
        schedule = schedule_of({"every": name, "at": "01:35"})
        start = at("01-01 00:00")
        ticks = list(ticks_between(schedule, after=start, until=start + timedelta(days=365)))
        assert len(ticks) == 365 * 86_400 // every_s
        assert {int(tick.timestamp()) % every_s for tick in ticks} == {5_700 % every_s}


BAD = [
    ("every hour", "", "must be an object"),
    ({}, "", "exactly one form"),
    ({"every": "15m", "daily": "09:00"}, "", "exactly one form"),
    ({"every": "7m"}, "/every", "cannot be `7m`"),
    ({"every": "15m", "at": "24:00"}, "/at", "cannot be `24:00`"),
    ({"daily": "9:00"}, "/daily", "cannot be `9:00`"),
    ({"daily": "09:00", "at": "09:00"}, "/at", "goes with `every`"),
    ({"daily": "09:00", "tz": "UTC"}, "/tz", "goes with `cron`"),
    ({"evry": "15m"}, "/evry", "not a member"),
    ({"manual": False}, "/manual", "only be true"),
    ({"hourly": "00:05"}, "/hourly", "cannot be"),
    ({"weekly": {"on": "monday", "at": "09:00"}}, "/weekly/on", "cannot be `monday`"),
    ({"weekly": "mon"}, "/weekly", "must be an object"),
    ({"cron": "0 9 * *"}, "/cron", "five fields"),
    ({"cron": "0 0 9 * * *"}, "/cron", "five fields"),
    ({"cron": "61 9 * * *"}, "/cron", "cannot be read"),
    ({"cron": "0 0 30 2 *"}, "/cron", "cannot be read"),
    ({"cron": "* * * * *"}, "/cron", "within five minutes"),
    ({"cron": "*/4 * * * *"}, "/cron", "within five minutes"),
    ({"cron": "0,3 9 * * *"}, "/cron", "within five minutes"),
    ({"cron": "1,58 9-10 * * *"}, "/cron", "within five minutes"),
    ({"cron": "0 9 * * *", "tz": "Mars/Base"}, "/tz", "no known time zone"),
    ({"cron": "0 9 * * *", "tz": "../etc/passwd"}, "/tz", "no known time zone"),
    ({"cron": "0 9 * * *", "tz": "Europe"}, "/tz", "no known time zone"),
    ({"continuous": {"max_delay": "2h"}}, "/continuous/max_delay", "up to `1h`"),
    ({"continuous": {"reconcile": {"continuous": {}}}}, "/continuous/reconcile", "cannot be continuous"),
    ({"continuous": {"reconcile": {"every": "1m"}}}, "/continuous/reconcile/every", "cannot be `1m`"),
]


@pytest.mark.parametrize(("value", "pointer", "what"), BAD)
def test_a_schedule_that_cannot_be_says_where_and_why(value: object, pointer: str, what: str) -> None:
    """Nothing is guessed: an unreadable schedule gives no schedule."""
    schedule, problems = parse_schedule(value, pointer="/mappings/0/sync/schedule")
    assert schedule is None
    assert problems[0].pointer == f"/mappings/0/sync/schedule{pointer}"
    assert what in problems[0].what


def test_five_minutes_apart_is_allowed() -> None:
    """The bound itself, within the hour and over its edge."""
    assert schedule_of({"cron": "*/5 * * * *"}) == Cron(text="*/5 * * * *")
    assert schedule_of({"cron": "1,58 9,11 * * *"}) == Cron(text="1,58 9,11 * * *")
    assert schedule_of({"continuous": {}}) == Continuous(
        max_delay_s=30, reconcile=Every(every_s=86_400, offset_s=10_800)
    )


def overlapping(*, start: str, end: str, overlap: str) -> tuple[list[str], int, datetime | None]:
    """What the ticks during one run come to: verdicts, coalesced, next tick after its end."""
    verdicts: list[str] = []
    queued, coalesced = False, 0
    for _ in ticks_between(HOURLY, after=at(start), until=at(end)):
        verdict = on_tick(is_running=True, is_queued=queued, overlap=overlap)  # type: ignore[arg-type]
        verdicts.append(verdict)
        queued = queued or verdict == "queue"
        coalesced += verdict == "coalesce"
    return verdicts, coalesced, next_tick(HOURLY, after=at(end))


def test_t1_one_tick_during_a_run_waits_for_its_end() -> None:
    """10:00 to 11:20: the tick of 11:00 is queued."""
    assert overlapping(start="05-04 10:00", end="05-04 11:20", overlap="queue") == (["queue"], 0, at("05-04 12:00"))


def test_t2_more_ticks_during_a_run_are_one_run() -> None:
    """10:00 to 13:40: one queued, two coalesced."""
    expected = (["queue", "coalesce", "coalesce"], 2, at("05-04 14:00"))
    assert overlapping(start="05-04 10:00", end="05-04 13:40", overlap="queue") == expected


def test_t5_ticks_during_a_run_can_be_skipped() -> None:
    """The same with `overlap: skip`: three skipped runs, next at 14:00."""
    assert overlapping(start="05-04 10:00", end="05-04 13:40", overlap="skip") == (
        ["record_skipped"] * 3,
        0,
        at("05-04 14:00"),
    )


def test_t3_a_stop_is_made_up_for_by_one_run() -> None:
    """Down from 03:10 to 12:30: one catch-up, nine missed, next at 13:00; with `missed: skip` none."""
    expected_at, now = at("05-04 04:00"), at("05-04 12:30")
    assert due_now(HOURLY, expected_at=expected_at, now=now, missed="once") == Due(
        scheduled_for=expected_at, trigger="catch_up", missed=9, next_at=at("05-04 13:00")
    )
    assert due_now(HOURLY, expected_at=expected_at, now=now, missed="skip") is None


def test_t4_resuming_waits_for_the_next_tick() -> None:
    """A pause misses nothing: the sync moves on to the next tick, and until then nothing is due."""
    moved_on = next_tick(HOURLY, after=at("05-04 12:30"))
    assert moved_on == at("05-04 13:00")
    assert due_now(HOURLY, expected_at=moved_on, now=at("05-04 12:30"), missed="once") is None


@pytest.mark.parametrize(
    ("now", "missed", "expected"),
    [
        ("05-04 12:00:00", "once", ("schedule", 0)),
        ("05-04 12:00:59", "once", ("schedule", 0)),
        ("05-04 12:00:59", "skip", ("schedule", 0)),
        ("05-04 12:01:00", "once", ("catch_up", 1)),
        ("05-04 12:01:00", "skip", None),
        ("05-04 13:00:10", "once", ("schedule", 1)),
        ("05-04 13:00:10", "skip", ("schedule", 0)),
        ("05-04 11:59:59", "once", None),
    ],
)
def test_a_tick_late_by_less_than_a_minute_is_not_missed(now: str, missed: str, expected: object) -> None:
    """The tick of 12:00, looked at around it."""
    due = due_now(HOURLY, expected_at=at("05-04 12:00"), now=at(now), missed=missed)  # type: ignore[arg-type]
    assert (due and (due.trigger, due.missed)) == expected


def test_catch_ups_after_a_long_stop_are_spread_over_a_minute() -> None:
    """Oldest first, evenly."""
    assert catch_up_delays_s(4) == [0.0, 15.0, 30.0, 45.0]
    assert catch_up_delays_s(0) == []


def test_the_first_run_is_at_once_or_at_the_first_tick_and_never_for_manual_syncs() -> None:
    """`start`, for each kind of schedule."""
    created_at = at("05-04 10:07")
    assert first_run_at(HOURLY, start="now", created_at=created_at) == created_at
    assert first_run_at(HOURLY, start="schedule", created_at=created_at) == at("05-04 11:00")
    assert first_run_at(Manual(), start="now", created_at=created_at) is None


def test_a_whole_list_goes_out_daily_and_never_twice_within_its_gap() -> None:
    """Five hours after an upload nothing is due, twenty hours after it is; by hand it always is."""
    uploaded_at = at("05-04 03:00")
    gap_s = 20 * 3_600
    cases = [
        (5, "schedule", False),
        (19.99, "catch_up", False),
        (20, "schedule", True),
        (5, "manual", True),
        (5, "api", True),
    ]
    for hours, trigger, expected in cases:
        now = uploaded_at + timedelta(hours=hours)
        is_due = is_list_due(now=now, last_upload_at=uploaded_at, min_gap_s=gap_s, trigger=trigger)  # type: ignore[arg-type]
        assert is_due is expected
    assert is_list_due(now=uploaded_at, last_upload_at=None, min_gap_s=gap_s)


def test_an_ageing_list_is_uploaded_sooner_than_a_slow_schedule_says() -> None:
    """A weekly sync of a platform whose copy ages after a day ticks after a day; a manual one does not."""
    weekly = schedule_of({"weekly": {"on": "mon", "at": "03:00"}})
    uploaded_at = at("05-04 03:00")

    def tick(schedule: Schedule, hours: int) -> datetime | None:
        now = uploaded_at + timedelta(hours=hours)
        return next_list_tick(schedule, after=now, last_upload_at=uploaded_at, full_every_s=86_400)

    assert tick(weekly, 1) == at("05-05 03:00")
    assert tick(weekly, 30) == uploaded_at + timedelta(hours=30, seconds=1)
    assert tick(Manual(), 1) is None
    assert next_list_tick(weekly, after=uploaded_at, last_upload_at=None, full_every_s=86_400) == at("05-11 03:00")


def test_a_sync_is_stale_two_ticks_and_ten_minutes_after_its_last_good_run() -> None:
    """Never, where there are no ticks."""
    assert stale_at(HOURLY, last_good_at=at("05-04 10:07")) == at("05-04 12:10")
    assert stale_at(Manual(), last_good_at=at("05-04 10:07")) is None


WORDS = [
    ({"manual": True}, "by hand"),
    ({"every": "15m", "at": "00:05"}, "every 15 minutes from 00:05 UTC"),
    ({"every": "1h", "at": "00:30"}, "every hour from 00:30 UTC"),
    ({"every": "12h", "at": "06:00"}, "every 12 hours from 06:00 UTC"),
    ({"every": "24h", "at": "09:00"}, "every day at 09:00 UTC"),
    ({"daily": "03:00"}, "every day at 03:00 UTC"),
    ({"weekly": {"on": "mon", "at": "09:00"}}, "every week on mon at 09:00 UTC"),
    ({"weekly": {"on": "sun"}}, "every week on sun at 00:00 UTC"),
    ({"cron": "0 9 * * 1-5", "tz": "Europe/Berlin"}, "cron 0 9 * * 1-5 (Europe/Berlin)"),
    (
        {"continuous": {"max_delay": "30s", "reconcile": {"daily": "03:00"}}},
        "as events come, within 30 seconds; a whole run every day at 03:00 UTC",
    ),
]


@pytest.mark.parametrize(("value", "words"), WORDS)
def test_a_schedule_is_said_in_words(value: object, words: str) -> None:
    """Times with their zone."""
    assert schedule_words(schedule_of(value)) == words
