"""Statuses and `Retry-After` of any partner."""

import pytest

from gateway.core.answers import outcome_of_status, retry_after_s
from gateway.core.outcomes import Deferred, Delivered, Refused, Unauthorized, Unreachable

NOW_US = 1_795_338_000_000_000  # Sun, 22 Nov 2026 09:00:00 GMT


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("3", 3.0),
        ("0", 1.0),
        ("3600", 3600.0),
        ("99999999", 3600.0),
        ("9" * 60, 3600.0),
        ("9" * 65, None),
        ("-5", None),
        ("1.5", None),
        ("1e9", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        ("Sun, 22 Nov 2026 09:01:40 GMT", 100.0),
        ("Sun, 22 Nov 2026 09:01:40 -0000", 100.0),
        ("Sun, 22 Nov 1999 09:00:00 GMT", 1.0),
        ("Tue, 22 Nov 2050 09:00:00 GMT", 3600.0),
        ("Sun, 99 Nov 2026 09:00:00 GMT", None),
        ("Sun, 22 Nov 9999999 09:00:00 GMT", None),
    ],
)
def test_retry_after_counts_from_a_second_to_an_hour(text: str, wait_s: float | None):
    """Seconds or a date; everything unreadable counts as absent."""
    assert retry_after_s({"retry-after": text}, NOW_US) == wait_s


@pytest.mark.parametrize(
    ("status", "kind", "splittable"),
    [
        (200, Delivered, None), (204, Delivered, None), (302, Refused, False), (304, Refused, False), (400, Refused, True),
        (401, Unauthorized, None), (403, Unauthorized, None), (404, Refused, False), (408, Unreachable, None),
        (409, Refused, False), (413, Refused, True), (422, Refused, True), (423, Unreachable, None), (429, Unreachable, None),
        (499, Refused, False), (500, Unreachable, None), (501, Refused, False), (502, Unreachable, None), (503, Unreachable, None),
        (504, Unreachable, None), (529, Unreachable, None), (599, Unreachable, None),
    ],
)  # fmt: skip
def test_a_status_says_what_becomes_of_the_request(status: int, kind: type, splittable: bool | None):
    """With `Retry-After`, what is retried is deferred instead; nothing else changes."""
    outcome = outcome_of_status(status, {}, now_us=NOW_US, partner="Partner")
    assert (type(outcome), outcome.status, getattr(outcome, "splittable", None)) == (kind, status, splittable)
    waiting = outcome_of_status(status, {"retry-after": "7"}, now_us=NOW_US, partner="Partner")
    assert type(waiting) is (Deferred if kind is Unreachable else kind)
    if isinstance(waiting, Deferred):
        assert (waiting.wait_s, waiting.status) == (7.0, status)
