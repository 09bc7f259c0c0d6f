"""One `perform` of a definition: records prepared, in an order in which nobody's changes overtake each other, and sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from gateway.core.masking import words_of
from gateway.core.outcomes import Deferred, Outcome, Refused, Unauthorized, Unreachable
from gateway.destinations.base import Batch, Context, Owed
from gateway.destinations.http_audience.bodies import encoded
from gateway.destinations.http_audience.definition import CREATE
from gateway.destinations.http_audience.delivering import Courier, Sent
from gateway.destinations.http_audience.fields import Record, Rejection
from gateway.destinations.http_audience.lists import ListError, found_or_made
from gateway.destinations.http_audience.replacing import Replacement
from gateway.destinations.http_audience.shape import DefinitionFile, Hashing
from gateway.destinations.http_audience.target import facts_of, given_id
from gateway.destinations.http_audience.wire import Access, Facts, Item, Made, batches

ASKED: Final = {
    "enter": "add", "add": "add", "send": "add", "update": "update", "exit": "remove", "remove": "remove",
    "erase": "remove", "delete": "remove", "replace": "replace",
}  # fmt: skip
"""What a delivery's operation asks of the partner."""


SENDING_S_MAX: Final = (
    200.0  # ours: no request of a batch starts later, so that it ends well before its lane gives up on it
)
NOT_YET: Final = Deferred(
    reason="Not sent yet: the requests before it in the batch took long.", wait_s=1.0, status=0, concerns="delivery"
)

STOPPED: Final = Deferred(
    reason="Not sent: its run or its destination was stopped before.", wait_s=1.0, status=0, concerns="delivery"
)


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that became of a batch. rejections: by place, for those that were not sent; sent: in order.

    counts: of a whole list, see `Performed`.
    """

    outcomes: tuple[Outcome, ...]
    rejections: dict[int, Rejection]
    sent: tuple[Sent, ...]
    counts: dict[str, int] = {}


class Prepares(Protocol):
    """What a run asks of its destination."""

    @property
    def file(self) -> DefinitionFile:
        """What the definition says."""

    def access(self, settings: Mapping[str, object]) -> Access:
        """Address, settings and secrets."""

    def check_settings(self, settings: dict[str, object], corrections: frozenset[str]) -> list[str]:
        """Why nothing can be sent at all."""

    def prepared(
        self, operation: str, payload: Mapping[str, object], *, hashing: Hashing = "on", planned: bool = False
    ) -> Record | Rejection:
        """One record as templates see it."""


class Run:
    """One `perform`: records prepared, sorted into waves in which no member's changes overtake each other, and sent."""

    def __init__(self, destination: Prepares, batch: Batch, context: Context) -> None:
        self._destination = destination
        self._file = destination.file
        self._batch = batch
        self._context = context
        access = destination.access(batch.settings)
        secret_words = words_of(list(access.secrets.values())) | words_of([one.payload for one in batch.owed])
        self._courier = Courier(self._file, access, context, secret_words)
        self._outcomes: dict[int, Outcome] = {}
        self._rejections: dict[int, Rejection] = {}
        self._sent: list[Sent] = []
        self._counts: dict[str, int] = {}
        self._facts: dict[tuple[str, str, bytes], Facts | Rejection | Outcome] = {}
        self._stops: Outcome | None = None
        problems = destination.check_settings(batch.settings, batch.corrections)
        self.held = Unauthorized(reason=f"config_invalid: {problems[0]}") if problems else None

    async def all(self) -> Dispatch:
        """Everything, whatever becomes of it."""
        items: list[Item] = []
        for place, owed in enumerate(self._batch.owed):
            if owed.operation == "replace" and self._context.snapshot is not None:
                await self._replace(place, owed)
                continue
            item = await self._item(place, owed)
            if item is not None:
                items.append(item)
        for wave in waves(items, [owed.member for owed in self._batch.owed]):
            for made in batches(self._file, wave, self._courier.access.settings):
                for item, rejection in made.rejected:
                    self._reject(item.place, rejection)
                if made.items:
                    await self._send(made)
        return Dispatch(
            outcomes=tuple(self._outcomes[place] for place in range(len(self._batch.owed))),
            rejections=self._rejections,
            sent=tuple(self._sent),
            counts=self._counts,
        )

    async def _item(self, place: int, owed: Owed) -> Item | None:
        asked = ASKED.get(owed.operation, owed.operation)
        record = self._destination.prepared(
            owed.operation, owed.payload, hashing=self._batch.hashing, planned=owed.planned
        )
        if isinstance(record, Rejection):
            self._reject(place, record)
            return None
        facts = await self._facts_of(owed)
        if isinstance(facts, Rejection):
            self._reject(place, facts)
            return None
        if not isinstance(facts, Facts):
            self._outcomes[place] = facts
            return None
        return Item(place=place, id=owed.id, asked=asked, action=self._file.actions[asked], record=record, facts=facts)

    async def _facts_of(self, owed: Owed) -> Facts | Rejection | Outcome:
        entry = owed.audience_settings
        key = (owed.audience_key, owed.external_id, encoded(entry))
        if key not in self._facts:
            external_id = owed.external_id
            facts: Facts | Rejection | Outcome = self._known_facts(owed, external_id)
            if not given_id(entry, external_id) and entry.get(CREATE) is True and self._file.lists.create is not None:
                facts = await self._made_facts(owed)
            self._facts[key] = facts
        return self._facts[key]

    def _known_facts(self, owed: Owed, external_id: str, *, without_id: bool = False) -> Facts | Rejection:
        return facts_of(
            self._file,
            owed.audience_settings,
            external_id=external_id,
            audience_key=owed.audience_key,
            sync=self._batch.sync,
            without_id=without_id,
        )

    async def _made_facts(self, owed: Owed) -> Facts | Rejection | Outcome:
        """The facts with the id of a list that is found or made now."""
        without = self._known_facts(owed, "", without_id=True)
        if isinstance(without, Rejection):
            return without
        try:
            audience_id, _ = await found_or_made(self._courier, without)
            return self._known_facts(owed, audience_id)
        except ListError as error:
            return error.outcome

    async def _send(self, made: Made) -> None:
        items = made.items
        if self._stops is not None:
            self._outcomes.update((item.place, _not_sent(self._stops)) for item in items)
            return
        if self._courier.spent_s > SENDING_S_MAX:
            self._outcomes.update((item.place, NOT_YET) for item in items)
            return
        if self._sent and not await self._courier.goes_on():
            self._stops = STOPPED
            self._outcomes.update((item.place, STOPPED) for item in items)
            return
        sent = await self._courier.send(made)
        self._sent.append(sent)
        self._stops = sent.stops
        for item, outcome in zip(items, sent.outcomes, strict=True):
            self._outcomes[item.place] = outcome
            if sent.rejection is not None:
                self._rejections[item.place] = sent.rejection

    async def _replace(self, place: int, owed: Owed) -> None:
        """A whole list, which `replacing.py` sends."""
        facts = await self._facts_of(owed)
        action = self._file.actions.get("replace")
        if action is None:
            self._reject(
                place, Rejection(code="action_not_configured", message="The definition has no action `replace`.")
            )
        elif isinstance(facts, Rejection):
            self._reject(place, facts)
        elif not isinstance(facts, Facts):
            self._outcomes[place] = facts
        else:
            snapshot = self._context.snapshot
            assert snapshot is not None, "asked for only where there is one"
            replacement = Replacement(self._courier, action, facts, snapshot, self._listed, hashing=self._batch.hashing)
            done = await replacement.run(owed)
            self._outcomes[place], self._stops, self._counts = done.outcome, done.stops, done.counts
            self._sent += done.sent
            if done.rejection is not None:
                self._rejections[place] = done.rejection

    def _listed(self, payload: dict[str, object]) -> Record | Rejection:
        """Somebody of a whole list."""
        return self._destination.prepared("replace", payload, hashing=self._batch.hashing, planned=True)

    def _reject(self, place: int, rejection: Rejection) -> None:
        self._rejections[place] = rejection
        self._outcomes[place] = Refused(reason=rejection.reason)


def waves(items: Sequence[Item], members: Sequence[str]) -> list[list[Item]]:
    """Records in order, cut where a member's next change would go in another batch than the one before it."""
    found: list[list[Item]] = []
    last: dict[str, tuple[int, object]] = {}
    for item in items:
        member = members[item.place]
        kind = (item.action.name, item.facts.connection, [item.record.get(name) for name in item.action.group_by])
        wave = 0
        if member and member in last:
            wave, before = last[member]
            wave += before != kind
        if member:
            last[member] = (wave, kind)
        while wave >= len(found):
            found.append([])
        found[wave].append(item)
    return found


def _not_sent(stops: Outcome) -> Outcome:
    """The same for what stood behind it and therefore did not go out."""
    if isinstance(stops, (Unauthorized, Deferred)):
        return stops
    return Unreachable(reason="Not sent: a request before it in the batch got no usable answer.", sent=False)
