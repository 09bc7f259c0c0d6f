"""Reading any partner's HTTP answer: which statuses mean what, and how long `Retry-After` asks us to wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import msgspec

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable

WAIT_S_MIN: Final = 1.0
WAIT_S_MAX: Final = 3600.0  # design §11.22: a partner cannot keep a lane waiting for longer than an hour at a time
RETRY_AFTER_CHARS_MAX: Final = 64  # an HTTP-date has 29

UNAUTHORIZED_STATUSES: Final = frozenset({401, 403})
RETRIED_STATUSES: Final = frozenset({408, 423, 429})  # besides the 5xx; Segment retries the same
FINAL_SERVER_STATUSES: Final = frozenset({501})
SPLITTABLE_STATUSES: Final = frozenset({400, 413, 422})  # one record of the batch may be what the partner refuses


def outcome_of_status(
    status: int, headers: Mapping[str, str], *, now_us: int, partner: str, reason: str = ""
) -> Outcome:
    """What a status alone says about every delivery of the request.

    headers: names in lower case. partner: the name that the reason begins with. reason: what else may be said, masked.
    2xx is Delivered; redirects are Refused, since following one would hand the credentials to another place.
    """
    text = f"{partner} answered {status_text(status)}" + (f": {reason}" if reason else ".")
    if 200 <= status < 300:
        return Delivered(status=status)
    if status in UNAUTHORIZED_STATUSES:
        return Unauthorized(reason=text, status=status)
    if status in RETRIED_STATUSES or (status >= 500 and status not in FINAL_SERVER_STATUSES):
        wait_s = retry_after_s(headers, now_us)
        if wait_s is None:
            return Unreachable(reason=text, status=status)
        return Deferred(reason=text, status=status, wait_s=wait_s)
    return Refused(reason=text, status=status, splittable=status in SPLITTABLE_STATUSES)


def retry_after_s(headers: Mapping[str, str], now_us: int) -> float | None:
    """Seconds that `Retry-After` asks for, within WAIT_S_MIN and WAIT_S_MAX; None when it says nothing readable.

    Whole seconds or an HTTP-date, as RFC 9110 §10.2.3 has it. A date that has passed, or zero, is the shortest wait;
    a negative number, a fraction, words and overlong texts are no answer.
    """
    text = headers.get("retry-after", "").strip()
    if not text or len(text) > RETRY_AFTER_CHARS_MAX:
        return None
    if text.isascii() and text.isdigit():
        return min(max(float(text), WAIT_S_MIN), WAIT_S_MAX)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # `-0000`: an unknown zone, read as UTC
        moment = moment.replace(tzinfo=UTC)
    try:
        wait_s = moment.timestamp() - now_us / 1_000_000
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, WAIT_S_MIN), WAIT_S_MAX)


def status_text(status: int) -> str:
    """`403 Forbidden`; the number alone for a status nobody registered."""
    phrase = reason_phrase(status)
    return f"{status} {phrase}" if phrase else str(status)


def reason_phrase(status: int) -> str:
    """The registered phrase of a status, or nothing."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def json_object(body: bytes) -> dict[str, object]:
    """The JSON object of a body; an empty one for anything else."""
    try:
        value: object = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
