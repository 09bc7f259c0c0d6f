"""Where notices go: what every sink offers, and what comes of one attempt."""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.core.notices import Notice


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The sink has taken the notice."""


class NotTold(msgspec.Struct, frozen=True, kw_only=True):
    """It has not, or nobody knows. reason: short, without anything that came from the other side but a status."""

    reason: str


class Sink(Protocol):
    """One way to tell people. An attempt ends by itself, within bounds of its own, and never raises."""

    @property
    def name(self) -> str:
        """In logs, metrics and the store."""

    async def tell(self, notice: Notice, *, identity: str, now_s: int) -> Told | NotTold:
        """One attempt. identity: the same for every attempt of one notice, so that a repeated one can be known."""
