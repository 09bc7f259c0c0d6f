"""How one delivery's attempt ended, as the partner's answer was read; what follows is `core/retries.py`'s to say."""

from __future__ import annotations

from typing import Literal

import msgspec


class Delivered(msgspec.Struct, frozen=True, kw_only=True, tag="delivered"):
    """The partner took it. status: HTTP status of the answer."""

    status: int = 200


class Deferred(msgspec.Struct, frozen=True, kw_only=True, tag="deferred"):
    """To be sent later, which uses up no attempt. wait_s: 1 to 3600.

    concerns: "lane": the partner asked us to come back later (`Retry-After`), so its whole lane waits. "delivery": only this
    one waits (with what is owed for the same person behind it), say until a list that was just made can be used.
    """

    wait_s: float
    reason: str
    status: int = 429
    concerns: Literal["lane", "delivery"] = "lane"


class Unreachable(msgspec.Struct, frozen=True, kw_only=True, tag="unreachable"):
    """No usable answer: connection, time-out, 5xx, or a 2xx that cannot be read. Tried again.

    sent: the request had gone out, so the partner may have acted on it.
    """

    reason: str
    status: int | None = None
    sent: bool = True

    @property
    def may_have_worked(self) -> bool:
        """Nobody knows what it did. An error status is an answer: the partner says that it did nothing."""
        return self.sent and (self.status is None or self.status < 400)


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
