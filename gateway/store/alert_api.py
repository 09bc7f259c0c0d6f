"""What alerts ask of the store and change in it, and the notices that their sinks still owe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.store.alert_rows import AlertRow, NoticeRow, WaitingPage


class AlertView(Protocol):
    """Questions about alerts, notices, and what alerts are judged by."""

    def alerts(self, sync: int = 0) -> list[AlertRow]:
        """Alerts that stand, of one sync or of all."""

    def alert(self, sync: int, name: str) -> AlertRow | None:
        """One alert, where it stands."""

    def notices_due(self, sink: str, *, now_us: int, limit: int) -> list[NoticeRow]:
        """What a sink owes and may try now, the longest due first; "" gives what nobody was told to owe yet."""

    def lane_holds(self) -> dict[str, str]:
        """Lanes that are held, with what holds them."""

    def waiting_page(self, sync: int, *, after: int, rows: int) -> WaitingPage:
        """How the records of the next members stand, behind a member; about `rows` of them are read."""


class AlertTx(AlertView, Protocol):
    """Changes of alerts and notices."""

    def put_alert(self, row: AlertRow) -> None:
        """Let an alert stand, or write anew how it stands."""

    def drop_alert(self, sync: int, name: str) -> bool:
        """Take an alert back; False where there was none."""

    def add_notice(self, body: bytes, *, now_us: int) -> int:
        """Keep a telling that nobody owes yet; return its number."""

    def share_notices(self, sinks: Sequence[str], *, now_us: int, kept_max: int) -> int:
        """Let each sink owe what nobody owed yet. Each keeps the newest kept_max; return how many were lost."""

    def save_notice(self, row: NoticeRow) -> None:
        """Write how a notice stands after an attempt."""

    def drop_notice(self, notice: int) -> None:
        """Nobody owes it any more."""
