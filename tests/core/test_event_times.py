"""Times in every form that senders write, and their correction for a wrong device clock."""

import pytest

from gateway.core.event_times import corrected, iso_text, parse_us

NOON = parse_us("2026-11-20T12:00:00.000Z") or 0
MINUTE = 60_000_000

READ = [
    ("2026-11-20T12:00:00.000Z", 0),
    ("2026-11-20T12:00:00Z", 0),
    ("2026-11-20T12:00:00z", 0),
    ("2026-11-20T12:00Z", 0),
    ("2026-11-20T12:00:00.123456+00:00", 123_456),
    ("2026-11-20T12:00:00.123456789Z", 123_456),
    ("2026-11-20T12:00:00,5Z", 500_000),
    ("2026-11-20T17:30:00+05:30", 0),
    ("2026-11-20T17:30:00+0530", 0),
    ("2026-11-20T04:00:00-08", 0),
    ("2026-11-20T12:00:00+0000", 0),
    ("2026-11-20 12:00:00", 0),
    ("2026-11-20 12:00:00 +00:00", 0),
    (" 2026-11-20T12:00:00.000Z ", 0),
    ("2026-11-20", -720 * MINUTE),
    (1_795_176_000, 0),
    (1_795_176_000.25, 250_000),
    (1_795_176_000_123, 123_000),
    ("1795176000", 0),
    ("1795176000.5", 500_000),
    ("1795176000123", 123_000),
]
UNREADABLE: list[object] = [
    "", " ", "yesterday", "20026-01-01T00:00:00Z", "2026-13-01", "2026-02-30", "2026-11-20T25:00:00Z", "1969-12-31",
    "2026-W47-5T12:00:00.123Z", "2026-11-20T12:00:00.1234567890Z", "2026-11-20T12:00:60.000Z", "0001-01-01T00:00:00+14:00",
    "2026-11-20T12:00:00+99:00", "٢٠٢٦-11-20", "9" * 16, "1" * 5000, "2026-11-20T12:00:00.000Z" + " " * 50, -5, -0.5,
    float("nan"), float("inf"), 10**400, True, None, [], {},
]  # fmt: skip


@pytest.mark.parametrize(("value", "offset"), READ)
def test_times_are_read_in_every_form(value: object, offset: int) -> None:
    """Offsets from noon, in microseconds."""
    assert parse_us(value) == NOON + offset


@pytest.mark.parametrize("value", UNREADABLE, ids=lambda value: repr(value)[:40])
def test_what_is_no_time_counts_as_absent(value: object) -> None:
    """Nothing raises, whatever it is."""
    assert parse_us(value) is None


def test_unpadded_months_and_days_are_read() -> None:
    """As in an example of Segment's own documentation."""
    assert parse_us("2015-2-02T00:30:08.276Z") == parse_us("2015-02-02T00:30:08.276Z")


def test_times_are_written_in_one_form() -> None:
    """Milliseconds, cut and not rounded, up to the last year."""
    assert iso_text(NOON + 999_999) == "2026-11-20T12:00:00.999Z"
    assert iso_text(0) == "1970-01-01T00:00:00.000Z"
    assert iso_text(253_402_300_799_999_999) == "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize(
    ("original", "timestamp", "sent", "envelope", "offset", "is_bad"),
    [
        ("2026-11-20T14:00:00Z", None, "2026-11-20T14:05:00Z", (None, None), -5 * MINUTE, False),
        (None, "2026-11-20T14:00:00Z", "2026-11-20T14:05:00Z", (None, None), -5 * MINUTE, False),
        ("2026-11-20T14:00:00Z", "1999-01-01", "2026-11-20T14:05:00Z", (None, None), -5 * MINUTE, False),
        (None, "2026-11-20T14:00:00Z", None, ("2026-11-20T14:05:00Z", "2020-01-01"), -5 * MINUTE, False),
        (None, "2026-11-20T14:00:00Z", None, (None, "2026-11-20T14:05:00Z"), -5 * MINUTE, False),
        (None, "2026-11-20T14:00:00Z", None, (None, None), 120 * MINUTE, False),
        (None, "2026-11-20T14:00:00Z", "soon", ("2026-11-20T14:05:00Z", None), -5 * MINUTE, True),
        ("soon", "2026-11-20T14:00:00Z", None, (None, None), 120 * MINUTE, True),
        (None, None, "2026-11-20T14:05:00Z", (None, None), 0, False),
        (None, "soon", "2026-11-20T14:05:00Z", (None, None), 0, True),
        (None, "1970-01-01", "9999-12-31", (None, None), 0, True),
        (None, None, None, (None, None), 0, False),
    ],
)
def test_device_clocks_are_corrected(
    original: object, timestamp: object, sent: object, envelope: tuple[object, object], offset: int, is_bad: bool
) -> None:
    """Arrival minus (sent minus original), for an arrival at noon; unreadable values are as good as absent."""
    times = corrected(original=original, timestamp=timestamp, sent=sent, envelope_sent=envelope, received_us=NOON)
    assert times == (NOON + offset, is_bad)
