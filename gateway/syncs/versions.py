"""The version of a sync or run as a person saw it, so that an order given to what it was is not carried out on what it is."""

from __future__ import annotations

import hashlib

import msgspec

from gateway.core.errors import OrderError
from gateway.store.sync_rows import RunRow, SyncRow
from gateway.syncs.memory import read_progress

DIGITS = 16


def sync_version(sync: SyncRow) -> str:
    """Changes with every order and with every run that ends; not with events and ticks."""
    return _digest("sync", sync.id, sync.status, sync.status_error, sync.updated_us, sync.last_run, sync.deleted_us)


def run_version(run: RunRow) -> str:
    """Changes with the run's standing and with what the guards say of its plan; not with each answer."""
    progress = read_progress(run.progress)
    findings = [(one.guard, one.message) for one in progress.findings]
    return _digest("run", run.id, run.status, run.reason, run.approved_by, run.finished_us, findings)


def etag(version: str) -> str:
    """As HTTP writes it."""
    return f'"{version}"'


def check_version(expected: str, version: str, what: str) -> None:
    """expected: an `If-Match` header; "" and `*` fit everything. Raises OrderError 412 where it names other versions only."""
    given = {one.strip() for one in expected.split(",")} - {""}
    if not given or "*" in given or etag(version) in given:
        return
    raise OrderError(
        412,
        "changed_meanwhile",
        f"{what} has changed since you looked. Get it again, look at what is new, and send the order with its present `ETag`.",
    )


def _digest(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:DIGITS]
