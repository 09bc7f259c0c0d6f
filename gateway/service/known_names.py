"""Names in orders held against those that exist: a misspelt one is refused instead of meaning nobody and nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.core.errors import OrderError
from gateway.store.api import StateView

if TYPE_CHECKING:  # commands that only look need no evaluator of triggers and mappings, which takes a while to load
    from gateway.core.rulebook import Rulebook

NAMES_SHOWN: Final = 20
UNCONFIGURED: Final = "local"  # the source of every event where none is configured


def listed(names: Iterable[str]) -> str:
    """Names for a sentence."""
    every = sorted(names)
    more = f" and {len(every) - NAMES_SHOWN} more" if len(every) > NAMES_SHOWN else ""
    return ", ".join(f"`{name}`" for name in every[:NAMES_SHOWN]) + more if every else "none yet"


def sources_of(rulebook: Rulebook) -> set[str]:
    """Names that sources may be called by."""
    return set(rulebook.sources) or {UNCONFIGURED}


def refuse_unknown(view: StateView, rulebook: Rulebook, *, lane: str = "", mapping: str = "", source: str = "") -> None:
    """Raise OrderError 404 for a name that is neither configured nor that of anything kept; "" is none."""
    if lane:
        lanes = {one.key for one in rulebook.destinations} | {row.lane for row in view.lanes()}
        if lane not in lanes:
            raise OrderError(404, "unknown_lane", f"No destination is called `{lane}`; there are {listed(lanes)}.")
    if mapping and rulebook.mapping(mapping) is None and not view.deliveries(mapping=mapping, limit=1):
        keys = {one.key for destination in rulebook.destinations for one in destination.mappings}
        raise OrderError(404, "unknown_mapping", f"No mapping is called `{mapping}`; there are {listed(keys)}.")
    if source and source not in sources_of(rulebook) and not view.traces(source=source, limit=1):
        known = sources_of(rulebook)
        raise OrderError(404, "unknown_source", f"No source is called `{source}`; there are {listed(known)}.")
