"""Two mappings of one file that keep the same audience on two lists of one platform; either may be taken out of the file."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace
from one_thread_store import OneThreadWorld
from sync_world import SINGLE, Platform

from gateway.core.outcomes import Outcome
from gateway.core.rulebook import CompiledMapping, Rulebook
from gateway.core.sync_options import read_sync_options
from gateway.store.rows import DeliveryRow

OTHER: Final = "lister/other"
_GUARDS: Final = {"empty_audience": "off", "max_removal_percent": "off", "unmappable_percent": "off"}
_BLOCK: Final = {"schedule": {"manual": True}, "guards": _GUARDS}


class TwoLists(Platform):
    """The usual list, and that of the other mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Platform()

    def handle(self, row: DeliveryRow, payload: dict[str, Any]) -> Outcome:
        """Both answer alike."""
        if row.mapping != OTHER:
            return super().handle(row, payload)
        self.other.answer = self.answer
        return self.other.handle(row, payload)


class TwoSyncs(OneThreadWorld):
    """The second mapping is never edited: a mirror, run by hand."""

    def __init__(self, *args: Any, **block: Any) -> None:
        super().__init__(*args, **block)
        self.platform = TwoLists()

    def take_out(self) -> None:
        """The first mapping is taken out of the file; the next edit puts it back."""
        (one,) = self.rules.destinations
        kept = tuple(mapping for mapping in one.mappings if mapping.key == OTHER)
        self.rules = replace(self.rules, destinations=(replace(one, mappings=kept),))

    def _rulebook(self, block: dict[str, Any]) -> Rulebook:
        rules = super()._rulebook(block)
        (one,) = rules.destinations
        return replace(rules, destinations=(replace(one, mappings=(*one.mappings, self._other())),))

    def _other(self) -> CompiledMapping:
        options, problems = read_sync_options(_BLOCK, capabilities=self.capabilities)
        assert options is not None, problems
        edited, self.fields = self.fields, {}
        try:
            return replace(self._mapping(SINGLE, options), key=OTHER, name="other", version="other")
        finally:
            self.fields = edited
