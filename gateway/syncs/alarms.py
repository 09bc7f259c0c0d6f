"""Alerts as they stand: verdicts become rows and notices, in the transaction of what they are about; each change is logged once.

Who sends the notices is not known here; they wait in the store.
"""

from __future__ import annotations

import msgspec

from gateway.core.alert_options import ALERT_NAMES, AlertName, AlertOptions, AlertRule, Level
from gateway.core.alert_rules import OVER, Verdict, Verdicts, is_told
from gateway.core.notices import Kind, Notice, encode_notice
from gateway.observe import logs
from gateway.store.alert_rows import AlertRow
from gateway.store.api import StateTx
from gateway.syncs.names import Standing

SYNC_IS_GONE = "The sync was deleted, or no mapping serves it any more."
SWITCHED_OFF = "The alert was switched off."

log = logs.logger()


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Whose alerts these are. run: the run that meets them, 0 for none."""

    sync: int
    name: str
    rules: AlertOptions = AlertOptions()
    run: int = 0


def about(standing: Standing, *, run: int = 0) -> About:
    """The alerts of a sync that its mapping serves."""
    return About(sync=standing.sync.id, name=standing.name, rules=standing.options.alerts, run=run)


def settle_alerts(tx: StateTx, whose: About, verdicts: Verdicts, *, now_us: int, repeat_us: int = 0) -> None:
    """Let alerts stand, be told again, or end, as the verdicts say. repeat_us: least time between two tellings of one."""
    for name, verdict in verdicts.items():
        row = tx.alert(whose.sync, name)
        if not is_change(whose.rules.rule(name), row, verdict, now_us=now_us, repeat_us=repeat_us):
            continue
        if not whose.rules.rule(name).is_on:
            if row is not None:
                tx.drop_alert(whose.sync, name)
                _log_end(tx, whose, name, SWITCHED_OFF)
        elif verdict.is_on:
            _raise(tx, whose, name, verdict, row, now_us)
        elif row is not None:
            _end(tx, whose, row, now_us, "")


def is_change(rule: AlertRule, row: AlertRow | None, verdict: Verdict, *, now_us: int, repeat_us: int) -> bool:
    """Whether a verdict changes anything about an alert as it stands; for who wants to know before a transaction."""
    if not rule.is_on or not verdict.is_on:
        return row is not None
    stands_as = None if row is None else _level(row)
    told_us = 0 if row is None else row.told_us
    return is_told(rule, verdict, stands_as=stands_as, told_us=told_us, now_us=now_us, repeat_us=repeat_us)


def end_alerts(tx: StateTx, whose: About, *, now_us: int, reason: str) -> None:
    """End all alerts of a sync."""
    for row in tx.alerts(whose.sync):
        _end(tx, whose, row, now_us, reason)


def raise_held(tx: StateTx, standing: Standing, *, run: int, now_us: int, reason: str) -> None:
    """A run was held. Held again after a rejection, the alert stands already and is not told anew."""
    rule = standing.options.alerts.held
    verdict = Verdict(is_on=True, level=rule.level, message=reason)
    settle_alerts(tx, about(standing, run=run), {"held": verdict}, now_us=now_us)


def end_held(tx: StateTx, standing: Standing, *, run: int, now_us: int) -> None:
    """A run has passed its guards."""
    settle_alerts(tx, about(standing, run=run), {"held": OVER}, now_us=now_us)


def _raise(tx: StateTx, whose: About, name: AlertName, verdict: Verdict, row: AlertRow | None, now_us: int) -> None:
    since_us = now_us if row is None else row.since_us
    tx.put_alert(AlertRow(whose.sync, name, verdict.level, since_us, verdict.message, now_us))
    _tell(tx, whose, name, "raised", verdict.level, verdict.message, since_us, now_us)
    told = {"alert": name, "level": verdict.level, **_named(whose), "reason": verdict.message}
    tx.when_committed(lambda: log.warning("alert.raised", **told))


def _end(tx: StateTx, whose: About, row: AlertRow, now_us: int, reason: str) -> None:
    tx.drop_alert(whose.sync, row.name)
    name = next((one for one in ALERT_NAMES if one == row.name), None)
    if name is not None and whose.rules.rule(name).recovery:
        _tell(tx, whose, name, "recovered", _level(row), reason, row.since_us, now_us)
    _log_end(tx, whose, row.name, reason)


def _log_end(tx: StateTx, whose: About, name: str, reason: str) -> None:
    tx.when_committed(lambda: log.info("alert.recovered", alert=name, **_named(whose), reason=reason))


def _named(whose: About) -> dict[str, object]:
    return {"sync": whose.name, "sync_id": whose.sync, "run_id": whose.run}


def _tell(
    tx: StateTx, whose: About, name: AlertName, kind: Kind, level: Level, message: str, since_us: int, now_us: int
) -> None:
    notice = Notice(
        kind=kind,
        alert=name,
        level=level,
        sync=whose.name,
        message=message,
        since_us=since_us,
        at_us=now_us,
        run=whose.run,
    )
    tx.add_notice(encode_notice(notice), now_us=now_us)


def _level(row: AlertRow) -> Level:
    return "critical" if row.level == "critical" else "warning"
