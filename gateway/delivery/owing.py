"""Stored deliveries as destinations see them: payloads decoded, the audience's names, and what templates may say of a sync."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.core.event_times import iso_text
from gateway.core.rulebook import CompiledDestination, CompiledMapping
from gateway.destinations.base import Batch, Owed
from gateway.store.api import StateStore, StateView
from gateway.store.rows import DeliveryRow

ERASE = "erase"  # a removal that a privacy request asks for: it holds what was added, whatever flag that carries
RUNS_KNOWN_MAX = 100  # runs whose facts are kept in mind; few are open at a time

_decode_object = msgspec.json.Decoder(dict[str, object]).decode


class Owing:
    """Makes batches of one lane. It remembers audiences and runs, whose names do not change."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._audiences: dict[int, tuple[str, str]] = {}
        self._runs: dict[int, dict[str, object]] = {}

    async def batch(
        self, rows: Sequence[DeliveryRow], destination: CompiledDestination, mapping: CompiledMapping
    ) -> tuple[Batch, list[Owed | None]]:
        """The batch, and one entry for each row: None where what was stored cannot be read, so that it is not in the batch.

        rows: of one mapping and one run (or all forwarded).
        """
        owed = await self._owed(rows, needs_audience=mapping.action.needs_audience_id)
        batch = Batch(
            action=mapping.action.slug,
            settings=destination.settings,
            owed=tuple(one for one in owed if one is not None),
            corrections=destination.corrections,
            hashing=mapping.hashing,
            sync=await self._facts(rows[0].run, mapping),
        )
        return batch, owed

    async def _owed(self, rows: Sequence[DeliveryRow], *, needs_audience: bool) -> list[Owed | None]:
        known = self._audiences
        missing = {row.audience for row in rows if row.audience and row.audience not in known}
        if missing or (needs_audience and any(not known.get(row.audience, ("", "-"))[1] for row in rows)):
            found = await self._state.read(lambda view: view.audiences())
            known = self._audiences = {one.id: (one.key, one.external_id) for one in found}
        return [_owed_of(row, *known.get(row.audience, ("", ""))) for row in rows]

    async def _facts(self, run: int, mapping: CompiledMapping) -> dict[str, object]:
        """What templates may name. Forwarding has no run: the mapping stands for the sync."""
        if not run:
            return {"sync_id": mapping.key, "sync_name": mapping.name, "mode": "forward"}
        known = self._runs.get(run)
        if known is None:
            known = await self._state.read(lambda view: facts_of_run(view, run, mapping))
            if len(self._runs) >= RUNS_KNOWN_MAX:
                self._runs.clear()
            self._runs[run] = known
        return known


def facts_of_run(view: StateView, run_id: int, mapping: CompiledMapping) -> dict[str, object]:
    """The same for one run; texts all of them. Nothing of a run that is gone but its number."""
    facts: dict[str, object] = {"sync_id": mapping.key, "sync_name": mapping.name, "run_id": str(run_id)}
    if mapping.sync is not None:
        facts["mode"] = mapping.sync.mode
    run = view.run(run_id)
    sync = None if run is None else view.sync(run.sync)
    if run is None or sync is None:
        return facts
    if run.started_us:
        facts["run_started_at"] = iso_text(run.started_us)
    key = next((one.key for one in view.audiences() if one.id == sync.audience), "")
    return {**facts, "sync_id": f"{mapping.key}/{key}"}


def _owed_of(row: DeliveryRow, audience_key: str, external_id: str) -> Owed | None:
    try:
        payload = _decode_object(row.payload)
        settings = _decode_object(row.audience_settings) if row.audience_settings else {}
    except msgspec.DecodeError:
        return None
    given = settings.get("external_id")
    return Owed(
        id=row.id,
        operation="exit" if row.operation == ERASE else row.operation,
        payload=payload,
        audience_key=audience_key,
        audience_settings=settings,
        external_id=given if isinstance(given, str) and given else external_id,
        member=str(row.member) if row.member else "",
        planned=row.run != 0 or row.operation == ERASE,
    )
