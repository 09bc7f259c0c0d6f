"""Reads the times senders write, corrects them for a wrong device clock, and writes them in one form.

Times inside are Unix microseconds. Nothing here rejects an event: what cannot be read counts as absent, with a warning.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_MAX_US = 253_402_300_800_000_000  # the first moment of the year 10000
MILLISECONDS_FROM = 10**11  # Unix times from here on are milliseconds: as seconds they would be the year 5138
TEXT_LENGTH_MAX = 64  # no time is longer; bounds the pattern's work

_SHAPE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
_UNIX = re.compile(r"\d{1,16}(?:\.\d{1,9})?", re.ASCII)


class Times(NamedTuple):
    """timestamp_us: corrected; is_bad: some given value could not be read."""

    timestamp_us: int
    is_bad: bool


def parse_us(value: object) -> int | None:
    """Read one time: ISO-8601 in the forms senders use, or Unix time (seconds below 10^11, else milliseconds).

    None for what cannot be read and for years outside 1970 to 9999.
    """
    if type(value) is str:
        return _parse_text_us(value)
    if type(value) is int or type(value) is float:
        return _unix_us(value)
    return None


def is_in_output_form(text: str) -> bool:
    """Whether a text is laid out as `2026-11-20T11:59:00.000Z`, by far the most frequent form and the one we write."""
    return (
        len(text) == 24
        and text[23] == "Z"
        and text[19] == "."
        and text[10] == "T"
        and text[7] == "-"
        and text[5] != "W"
    )


def _parse_text_us(text: str) -> int | None:
    if (
        len(text) == 24
        and text[23] == "Z"
        and text[19] == "."
        and text[10] == "T"
        and text[7] == "-"
        and text[5] != "W"
    ):
        try:
            since = datetime.fromisoformat(text) - EPOCH
        except ValueError:
            return None
        return _in_range((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    if len(text) > TEXT_LENGTH_MAX:
        return None
    text = text.strip()
    if _UNIX.fullmatch(text):
        return _unix_us(float(text) if "." in text else int(text))
    match = _SHAPE.fullmatch(text)
    return None if match is None else _from_match_us(match)


def _from_match_us(match: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=_zone(zone)
        )
        since = moment - EPOCH
    except (ValueError, OverflowError):
        return None
    micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return _in_range((since.days * 86_400 + since.seconds) * 1_000_000 + micros)


def _zone(text: str | None) -> timezone:
    """The offset as written; no zone counts as UTC."""
    if text is None or text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-offset if text[0] == "-" else offset)


def _unix_us(number: float) -> int | None:
    if not 0 <= number < YEAR_MAX_US:
        return None
    return _in_range(round(number * (1_000_000 if number < MILLISECONDS_FROM else 1_000)))


def _in_range(micros: int) -> int | None:
    return micros if 0 <= micros < YEAR_MAX_US else None


def iso_text(micros: int) -> str:
    """Unix microseconds as `YYYY-MM-DDTHH:MM:SS.mmmZ`; sub-millisecond digits are dropped."""
    return (EPOCH + timedelta(microseconds=micros)).isoformat(timespec="milliseconds")[:23] + "Z"


def corrected(
    *, original: object, timestamp: object, sent: object, envelope_sent: tuple[object, object], received_us: int
) -> Times:
    """When an event happened, by the gateway's clock: arrival minus (sent minus original).

    original, timestamp, sent: the event's `originalTimestamp`, `timestamp`, `sentAt` as they came, None where absent.
    envelope_sent: the envelope's `sentAt` and `timestamp`, which only stand in for a missing `sentAt`.
    Without a readable sent time the original stands as it is; without an original the arrival does.
    """
    is_bad = False
    original_us = sent_us = None
    for value in (original, timestamp):
        if value is not None and original_us is None:
            original_us = parse_us(value)
            is_bad |= original_us is None
    for value in (sent, *envelope_sent):
        if value is not None and sent_us is None:
            sent_us = parse_us(value)
            is_bad |= sent_us is None
    if original_us is None:
        return Times(received_us, is_bad)
    if sent_us is None:
        return Times(original_us, is_bad)
    moment = _in_range(received_us - (sent_us - original_us))
    return Times(received_us, True) if moment is None else Times(moment, is_bad)
