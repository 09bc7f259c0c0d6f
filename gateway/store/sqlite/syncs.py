"""Syncs: one row a mapping and audience, made when the first event of a member comes."""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.store.sqlite.session import Session
from gateway.store.sync_rows import IN_THE_MAKING, SyncRow

_SYNC = (
    "id, mapping, audience, status, status_error, next_us, created_us, updated_us, last_run, last_synced_us, last_success_us, "
    "deleted_us, listed, listed_run, event_settings, memory, rendering"
)
_FIELDS = SyncRow.__struct_fields__


class SyncReads(Session):
    """Questions about syncs."""

    def syncs(self) -> list[SyncRow]:
        """All syncs, deleted ones too, by id."""
        return [self._sync_row(row) for row in self._rows(f"SELECT {_SYNC} FROM sync ORDER BY id")]

    def sync(self, sync: int) -> SyncRow | None:
        """One sync by its number."""
        row = self._row(f"SELECT {_SYNC} FROM sync WHERE id = ?", (sync,))
        return None if row is None else self._sync_row(row)

    def sync_of(self, mapping: str, audience: int) -> SyncRow | None:
        """The sync of a mapping and an audience."""
        known = self._text_id(mapping)
        if known is None:
            return None
        row = self._row(f"SELECT {_SYNC} FROM sync WHERE mapping = ? AND audience = ?", (known, audience))
        return None if row is None else self._sync_row(row)

    def _sync_row(self, row: Sequence[Any]) -> SyncRow:
        values = dict(zip(_FIELDS, row, strict=True))
        return SyncRow(**{**values, "mapping": self._text(row[1])})


class SyncWrites(SyncReads):
    """What decisions and the scheduler change."""

    def intern_syncs(self, keys: Iterable[tuple[str, int]], *, now_us: int) -> dict[tuple[str, int], int]:
        """(mapping, audience) → numbers, made where missing."""
        known = self._names.syncs
        found: dict[tuple[str, int], int] = {}
        for key in dict.fromkeys(keys):
            if key not in known:
                row = self.sync_of(*key)
                known[key] = row.id if row else self._new_sync(*key, now_us)
            found[key] = known[key]
        return found

    def _new_sync(self, mapping: str, audience: int, now_us: int) -> int:
        made = self._connection.execute(
            "INSERT INTO sync (mapping, audience, created_us, updated_us) VALUES (?, ?, ?, ?)",
            (self._intern(mapping), audience, now_us, now_us),
        ).lastrowid
        return made or 0

    def note_event_settings(self, sync: int, settings: bytes) -> None:
        """Keep audience settings as an event said them, where they are news."""
        if self._names.event_settings.get(sync) == settings:
            return
        self._run("UPDATE sync SET event_settings = ? WHERE id = ? AND event_settings <> ?", (settings, sync, settings))
        self._names.event_settings[sync] = settings

    def note_rendering(self, sync: int, version: str) -> None:
        """An event's record was made by this version of the mapping: of records made whole by another they are several now."""
        if self._names.renderings.get(sync) == version:
            return
        self._run(
            "UPDATE sync SET rendering = '*' WHERE id = ?1 AND rendering NOT IN ('', '*', ?2, ?3 || ?2)",
            (sync, version, IN_THE_MAKING),
        )
        self._names.renderings[sync] = version

    def save_sync(self, row: SyncRow) -> None:
        """Keep a sync's standing; read it in the same transaction before. event_settings are not written."""
        self._run(
            "UPDATE sync SET status = ?, status_error = ?, next_us = ?, updated_us = ?, last_run = ?, last_synced_us = ?, "
            "last_success_us = ?, deleted_us = ?, listed = ?, listed_run = ?, memory = ?, rendering = ? WHERE id = ?",
            (
                row.status,
                row.status_error,
                row.next_us,
                row.updated_us,
                row.last_run,
                row.last_synced_us,
                row.last_success_us,
                row.deleted_us,
                row.listed,
                row.listed_run,
                row.memory,
                row.rendering,
                row.id,
            ),
        )
        self._names.renderings.pop(row.id, None)
