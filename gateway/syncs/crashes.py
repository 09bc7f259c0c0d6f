"""What a run's operations are that were on their way when the engine died: asked for again, or left to a person."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.store.api import StateTx
from gateway.store.rows import Settlement
from gateway.store.sync_rows import PlannedRow
from gateway.syncs.memory import LIST, encode_body, read_body
from gateway.syncs.runner import Runner
from gateway.syncs.settling import cancel

EVERY_LEASE_US = 2**62


def doubt_claimed(tx: StateTx, runner: Runner, *, lease_until_us: int = EVERY_LEASE_US) -> int:
    """Note of every operation that was on its way that nobody knows what its attempt came to; how many there are.

    lease_until_us: only of those whose lanes had them up to then.

    Lanes ask for it again. Where a destination must not be asked twice, it ends unsure here and waits for `resolve`.
    """
    claimed = tx.planned_of(tx.run_deliveries_claimed(lease_until_us=lease_until_us))
    by_run: dict[int, list[PlannedRow]] = {}
    for row in claimed.values():
        doubted = replace(row, body=encode_body(replace(read_body(row.body), earlier="unsure")))
        by_run.setdefault(row.run, []).append(doubted)
    for number, rows in by_run.items():
        run, standing = runner.look(tx, number)
        may_repeat = standing is None or standing.mapping.capabilities.idempotent
        if run is None or may_repeat or rows[0].phase == LIST:  # a whole list says the same twice
            for row in rows:
                tx.save_planned(row)
            continue
        ledger = runner.ledger(tx, run, standing)
        tx.settle([Settlement(row.delivery, "closed") for row in rows], None, now_us=ledger.now_us)
        tx.drop_planned(row.id for row in rows)
        cancel(ledger, rows)
        ledger.save()
    return len(claimed)
