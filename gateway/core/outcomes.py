"""How one delivery's attempt ended, as the partner's answer was read; what follows is `core/retries.py`'s to say."""

from __future__ import annotations

import msgspec


class Delivered(msgspec.Struct, frozen=True, kw_only=True, tag="delivered"):
    """The partner took it. status: HTTP status of the answer."""

    status: int = 200


class Deferred(msgspec.Struct, frozen=True, kw_only=True, tag="deferred"):
    """The partner asked us to come back later (`Retry-After`); uses up no attempt. wait_s: 1 to 3600."""

    wait_s: float
    reason: str
    status: int = 429


class Unreachable(msgspec.Struct, frozen=True, kw_only=True, tag="unreachable"):
    """No usable answer: connection, time-out, 5xx, or a 2xx that cannot be read. Tried again.

    sent: the request had gone out, so the partner may have acted on it.
    """

    reason: str
    status: int | None = None
    sent: bool = True


class Unauthorized(msgspec.Struct, frozen=True, kw_only=True, tag="unauthorized"):
    """The credentials were refused (401, or a partner's 403): the lane is held, nothing dies."""

    reason: str
    status: int = 401


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The partner refused the data for good.

    splittable: the whole batch was refused (400, 413, 422), one record may be at fault: halve and try again.
    """

    reason: str
    status: int = 400
    splittable: bool = False


Outcome = Delivered | Deferred | Unreachable | Unauthorized | Refused
"""One per delivery. `reason` texts name statuses and rules, never a person's data nor the partner's body."""
