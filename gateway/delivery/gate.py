"""Whether a lane may send now: pause, hold, breaker and the partner's own "later", decided in one place.

paused                        nothing goes until a person resumes
held: unauthorized            one probe an hour; freed by its success, by changed settings, by a person
held: down_5_days             nothing goes until a person resumes or asks for a probe
waiting (the partner's 429)   until the time it asked for
breaker open → half open      after its pause one probe at a time, until one is answered
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.breaker import Breaker
from gateway.store.rows import LaneRow

UNAUTHORIZED = "unauthorized"
DOWN_5_DAYS = "down_5_days"
PROBE_EVERY_S = 3600

_US_PER_S = 1_000_000
_BREAKER_STATES: dict[str, Literal["closed", "open", "half_open"]] = {
    "closed": "closed",
    "open": "open",
    "half_open": "half_open",
}


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """What may go. "probe": one delivery alone. until_us: when to look again, None until somebody acts."""

    kind: Literal["open", "probe", "shut"]
    why: str = ""
    until_us: int | None = None


class Gate:
    """One lane's standing; in memory, saved as a LaneRow whenever `take_changed_row` gives one.

    held_settings: digest of the settings that were refused, so that a changed file frees the lane, restarts or not.
    """

    def __init__(self, row: LaneRow, held_settings: bytes = b"") -> None:
        self._lane = row.lane
        self.paused = row.paused
        self.hold = row.hold
        self.hold_reason = row.hold_reason
        self.held_us = row.held_us
        self.held_settings = held_settings
        self.breaker = Breaker(
            state=_BREAKER_STATES.get(row.breaker, "closed"),
            changed_us=row.breaker_us,
            failing_since_us=row.failing_since_us,
        )
        self.wait_until_us = 0
        self.probe_asked = False
        self._saved = self.row()

    def row(self) -> LaneRow:
        """The standing as the store keeps it."""
        return LaneRow(
            lane=self._lane,
            paused=self.paused,
            hold=self.hold,
            hold_reason=self.hold_reason,
            held_us=self.held_us,
            breaker=self.breaker.state,
            breaker_us=self.breaker.changed_us,
            failing_since_us=self.breaker.failing_since_us,
        )

    def take_changed_row(self) -> LaneRow | None:
        """The row to save, or None when the store has it already."""
        row = self.row()
        if row == self._saved:
            return None
        self._saved = row
        return row

    def save_again(self) -> None:
        """Forget that the row was taken: saving it failed."""
        self._saved = LaneRow(lane="")

    def look(self, now_us: int) -> Pass:
        """What may go now."""
        self.breaker = self.breaker.at(now_us)
        if self.probe_asked:
            return Pass(kind="probe", why="a probe was asked for")
        if self.paused:
            return Pass(kind="shut", why="paused")
        if self.hold == UNAUTHORIZED:
            probe_us = self.held_us + PROBE_EVERY_S * _US_PER_S
            return (
                Pass(kind="probe", why="held")
                if now_us >= probe_us
                else Pass(kind="shut", why="held", until_us=probe_us)
            )
        if self.hold:
            return Pass(kind="shut", why="held")
        if now_us < self.wait_until_us:
            return Pass(kind="shut", why="waiting", until_us=self.wait_until_us)
        if self.breaker.state == "open":
            return Pass(kind="shut", why="breaker open", until_us=self.breaker.opens_probe_us())
        if self.breaker.state == "half_open":
            return Pass(kind="probe", why="breaker half open")
        return Pass(kind="open")

    def answered(self, now_us: int, *, probe: bool) -> None:
        """The partner answered. Only a probe's answer frees a hold: others may have started before it."""
        self.breaker = self.breaker.answered(now_us)
        if probe:
            self._free()

    def failed(self, now_us: int, *, probe: bool) -> None:
        """No usable answer came."""
        self.breaker = self.breaker.failed(now_us)
        if probe and self.hold:
            self.held_us = now_us
        elif not self.hold and self.breaker.is_given_up(now_us):
            self.hold, self.hold_reason, self.held_us = DOWN_5_DAYS, "no answer for 5 days", now_us

    def refused_credentials(self, now_us: int, reason: str, settings: bytes) -> None:
        """The partner refused the credentials; a probe that meets this waits another hour. settings: their digest."""
        self.hold, self.hold_reason, self.held_us = UNAUTHORIZED, reason, now_us
        self.held_settings = settings

    def told_to_wait(self, now_us: int, *, until_us: int) -> None:
        """The partner asked to be left alone until then. A probe of a held lane has learned nothing by it."""
        self.wait_until_us = max(self.wait_until_us, until_us)
        if self.hold:
            self.held_us = now_us

    def pause(self) -> None:
        """A person stops the lane."""
        self.paused = True

    def resume(self) -> None:
        """A person starts the lane: pause, hold, wait and breaker are over, its failures forgotten."""
        self.paused = False
        self._free()
        self.wait_until_us = 0
        self.breaker = Breaker()

    def settings_are(self, settings: bytes) -> bool:
        """Free a hold for refused credentials if the settings changed since; tell whether it did."""
        if self.hold != UNAUTHORIZED or not self.held_settings or self.held_settings == settings:
            return False
        self._free()
        return True

    def _free(self) -> None:
        self.hold, self.hold_reason, self.held_us = "", "", 0
