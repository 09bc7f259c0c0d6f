"""What a sync is called, and what of the rulebook belongs to it."""

from __future__ import annotations

import msgspec

from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.core.sync_options import SyncOptions
from gateway.store.api import StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import SyncRow

_decode_object = msgspec.json.Decoder(dict[str, object]).decode


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A sync with everything it needs to run."""

    sync: SyncRow
    audience: AudienceRow
    destination: CompiledDestination
    mapping: CompiledMapping
    options: SyncOptions

    @property
    def name(self) -> str:
        """Its id, as people write it."""
        return sync_name(self.sync, self.audience)

    @property
    def is_enabled(self) -> bool:
        """Neither the file nor the mapping is switched off."""
        return self.destination.enabled and self.mapping.enabled

    def entry(self) -> dict[str, object] | None:
        """The mapping's own settings for the audience: by its id, its key, then `*`; None where it is not served."""
        audiences = self.mapping.audiences
        if audiences is None:
            return {}
        for name in (self.audience.name, self.audience.key, "*"):
            if name in audiences:
                return audiences[name]
        return None

    def audience_settings(self) -> dict[str, object]:
        """The mapping's own settings laid over what the latest event said."""
        said = _decode_object(self.sync.event_settings) if self.sync.event_settings else {}
        return {**said, **(self.entry() or {})}


def is_connected(standing: Standing) -> bool:
    """Whether anything names the platform's list: the entry, what was made before, or the events."""
    if not standing.mapping.action.needs_audience_id or standing.audience.external_id:
        return True
    settings = standing.audience_settings()
    return any(settings.get(name) for name in ("external_id", "create", "event_external_id"))


def sync_name(sync: SyncRow, audience: AudienceRow) -> str:
    """`<file stem>/<slug of the mapping>/<audience>`."""
    return f"{sync.mapping}/{audience.key}"


def standing_of(sync: SyncRow, audiences: dict[int, AudienceRow], rulebook: Rulebook) -> Standing | None:
    """The sync with its mapping, or None where the rulebook has none for it (any more)."""
    found = rulebook.mapping(sync.mapping)
    audience = audiences.get(sync.audience)
    if found is None or audience is None or found[1].sync is None:
        return None
    standing = Standing(sync=sync, audience=audience, destination=found[0], mapping=found[1], options=found[1].sync)
    return standing if standing.entry() is not None else None


def standings(view: StateView, rulebook: Rulebook) -> list[Standing]:
    """All syncs that the rulebook serves, by number."""
    audiences = {one.id: one for one in view.audiences()}
    found = (standing_of(sync, audiences, rulebook) for sync in view.syncs())
    return [one for one in found if one is not None]


def find_sync(view: StateView, wanted: str) -> tuple[SyncRow, AudienceRow] | None:
    """The sync that a person means: its whole id, with the audience's key or id as its last part."""
    audiences = {one.id: one for one in view.audiences()}
    for sync in view.syncs():
        audience = audiences.get(sync.audience)
        if audience is not None and wanted in (
            sync_name(sync, audience), f"{sync.mapping}/{audience.name}", str(sync.id)
        ):  # fmt: skip
            return sync, audience
    return None
