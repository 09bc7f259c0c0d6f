"""A run that a guard has stopped: its plan is taken out a piece at a time, and then it waits for a person."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.observe import metrics
from gateway.syncs.alarms import raise_held
from gateway.syncs.names import Standing
from gateway.syncs.sending import PIECE_ROWS, end_waiting
from gateway.syncs.settling import RunLedger


def shelve(ledger: RunLedger, standing: Standing | None) -> bool:
    """Take out one piece; False when nothing is left: the run is held, or has ended where it was stopped meanwhile.

    standing: None where its mapping is gone.
    """
    tx, run, message = ledger.tx, ledger.run, ledger.progress.message
    if tx.drop_plan(run.id, limit=PIECE_ROWS) or tx.drop_list(run.id, limit=PIECE_ROWS):
        return True
    if standing is None or ledger.progress.ends_as:
        end_waiting(ledger, message)
        return False
    ledger.progress = replace(ledger.progress, stage="judge", message="")
    ledger.run = replace(run, status="held", reason=message, approved_by="")
    raise_held(tx, standing, run=run.id, now_us=ledger.now_us, reason=message)
    tx.when_committed(lambda: metrics.SYNC_HELD.labels(standing.name).set(1))
    return False
