"""What a sync is called, and what of the rulebook belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.core.errors import OrderError
from gateway.core.sync_options import SyncOptions
from gateway.store.api import StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import SyncRow
from gateway.syncs.memory import Target, read_memory, read_target

if TYPE_CHECKING:  # commands that only look need no evaluator of triggers and mappings, which takes a while to load
    from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook

FIRST_RUN_WAITS = "The first run waits for a person."
PARKED_MARK = "#"  # behind the mapping's key in that of a sync that keeps what was delivered to a list it has left

_decode_object = msgspec.json.Decoder(dict[str, object]).decode


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A sync with everything it needs to run. parked: the list its mapping has left, where it keeps what that one holds."""

    sync: SyncRow
    audience: AudienceRow
    destination: CompiledDestination
    mapping: CompiledMapping
    options: SyncOptions
    parked: Target | None = None

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
        if self.parked is not None:
            return self.parked.settings
        said = _decode_object(self.sync.event_settings) if self.sync.event_settings else {}
        return {**said, **(self.entry() or {})}


def is_connected(standing: Standing) -> bool:
    """Whether anything names the platform's list: the entry, what was made before, or the events."""
    if not standing.mapping.action.needs_audience_id or standing.audience.external_id:
        return True
    settings = standing.audience_settings()
    return any(settings.get(name) for name in ("external_id", "create", "event_external_id"))


def awaits_first_approval(standing: Standing) -> bool:
    """Whether nothing but deletions may go out, because a person has not let the first run go yet."""
    return standing.options.first_run_approval and not read_memory(standing.sync.memory).has_run


def sync_name(sync: SyncRow, audience: AudienceRow) -> str:
    """`<file stem>/<slug of the mapping>/<audience>`."""
    return f"{sync.mapping}/{audience.key}"


def sync_names(view: StateView) -> dict[int, str]:
    """All syncs' ids as people write them, by number."""
    audiences = {one.id: one for one in view.audiences()}
    return {one.id: sync_name(one, audiences[one.audience]) for one in view.syncs() if one.audience in audiences}


def standing_of(sync: SyncRow, audiences: dict[int, AudienceRow], rulebook: Rulebook) -> Standing | None:
    """The sync with its mapping, or None where the rulebook has none for it (any more)."""
    parked = parked_target(sync)
    found = rulebook.mapping(sync.mapping if parked is None else sync.mapping.rpartition(PARKED_MARK)[0])
    audience = audiences.get(sync.audience)
    if found is None or audience is None or found[1].sync is None:
        return None
    standing = Standing(
        sync=sync, audience=audience, destination=found[0], mapping=found[1], options=found[1].sync, parked=parked
    )
    return standing if standing.entry() is not None else None


def standing_in(view: StateView, sync: SyncRow, rulebook: Rulebook) -> Standing | None:
    """`standing_of`, where the audience is not known yet."""
    audience = view.audience_by_id(sync.audience)
    return standing_of(sync, {} if audience is None else {audience.id: audience}, rulebook)


def parked_target(sync: SyncRow) -> Target | None:
    """The list that its mapping has left, where a sync keeps what was delivered to one; else None."""
    if PARKED_MARK not in sync.mapping:
        return None
    memory = read_memory(sync.memory)
    return read_target(memory.target) if memory.is_parked else None


def source_quiet_s(audience: AudienceRow, now_us: int) -> float | None:
    """Seconds since the audience's last event; None before its first. What the guard `stale_source_after` looks at."""
    return max(0, now_us - audience.last_event_us) / 1_000_000 if audience.last_event_us else None


def standings(view: StateView, rulebook: Rulebook) -> list[Standing]:
    """All syncs that the rulebook serves, by number."""
    audiences = {one.id: one for one in view.audiences()}
    found = (standing_of(sync, audiences, rulebook) for sync in view.syncs())
    return [one for one in found if one is not None]


def find_sync(view: StateView, wanted: str) -> tuple[SyncRow, AudienceRow] | None:
    """The sync that a person means: its number, or its whole id with the audience's id or key as its last part.

    Raises OrderError where several audiences have the key.
    """
    audiences = {one.id: one for one in view.audiences()}
    known = [(sync, audiences[sync.audience]) for sync in view.syncs() if sync.audience in audiences]
    for sync, audience in known:
        if wanted in (f"{sync.mapping}/{audience.name}", str(sync.id)):
            return sync, audience
    found = [one for one in known if wanted == sync_name(*one)]
    if len(found) > 1:
        exact = ", ".join(f"{sync.mapping}/{audience.name} ({sync.id})" for sync, audience in found)
        raise OrderError(
            400, "ambiguous_sync", f"Several syncs are called {wanted}. Name one by id or number: {exact}."
        )
    return found[0] if found else None
