"""A platform that keeps several lists, told by the id that deliveries carry, and a sync whose mapping names one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from msgspec.structs import replace
from rulebooks import audience_body
from sync_world import ACCEPT, Platform, World

from gateway.core.outcomes import Outcome
from gateway.core.rulebook import CompiledMapping
from gateway.store.rows import DeliveryRow

MANUAL: dict[str, Any] = {"schedule": {"manual": True}, "guards": {"empty_audience": "off"}}


def accept_all(_operation: str, _payload: dict[str, Any]) -> Outcome:
    """Whatever list it is about."""
    return ACCEPT


class Lists(World):
    """`lists[id]` is one list; `entries` is what the mapping's `audiences` says at first."""

    entries: ClassVar[dict[str, dict[str, Any]]] = {"*": {"external_id": "A"}}

    def __init__(self, *args: Any, **block: Any) -> None:
        self.lists: dict[str, Platform] = {}
        self._entries = self.entries
        self.answers: Callable[[str, dict[str, Any]], Outcome] | None = None
        super().__init__(*args, **{**MANUAL, **block})
        self.block = {**MANUAL, **{name: value for name, value in block.items() if name not in _OF_WORLD}}

    @property
    def entry(self) -> dict[str, Any]:
        """What the mapping's `audiences` says of every audience."""
        return self._entries["*"]

    def name_list(self, external_id: str, **block: Any) -> None:
        """The mapping file names another list."""
        self.name_entries({"*": {"external_id": external_id}}, **block)

    def name_entries(self, entries: dict[str, dict[str, Any]], **block: Any) -> None:
        """The mapping's `audiences` are edited."""
        self._entries = entries
        self.block = {**self.block, **block}
        self.edit(**self.block)

    def on(self, external_id: str) -> set[str]:
        """Who is on a list."""
        found = self.lists.get(external_id, Platform())
        people = found.uploads[-1] if found.uploads else found.listed
        return {email.partition("@")[0] for email in people}

    async def of_audience(self, key: str, *users: str, is_member: bool = True) -> None:
        """People enter or leave another audience than the usual one."""
        await self.send(*(audience_body(user, is_member=is_member, key=key) for user in users))

    def _mapping(self, *args: Any) -> CompiledMapping:
        return replace(super()._mapping(*args), audiences=self._entries)

    async def _answer(self, row: DeliveryRow) -> Outcome:
        settings = json.loads(row.audience_settings)
        usual, self.platform = self.platform, self.lists.setdefault(settings["external_id"], Platform())
        self.platform.answer = self.answers or accept_all
        try:
            return await super()._answer(row)
        finally:
            self.platform = usual


_OF_WORLD = frozenset({"capabilities", "is_whole"})
