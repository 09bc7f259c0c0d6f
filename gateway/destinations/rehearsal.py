"""What would be sent, without sending it: batches go through a destination whose partner answers success to everything.

For `gateway try` and `plan`, and for holding the wire against Segment's connectors. Secrets stand in the recorded requests
as they would on the wire: whoever shows them to a person hides them first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from gateway.core.definitions import Action
from gateway.core.fql import TriggerError, compile_trigger
from gateway.core.http_messages import Answer, Request
from gateway.core.mapping import MappingError, Transform, compile_mapping
from gateway.core.membership import personas_of, resolve_upstream
from gateway.core.outcomes import Delivered, Outcome
from gateway.core.payloads import PayloadCheck, PayloadError, compile_check, defaults_of
from gateway.destinations import destination_named
from gateway.destinations.base import Batch, Context, Destination, Notes, Owed, Performed, ShowsMembers

REHEARSED_US = (
    1_767_225_600_000_000  # 2026-01-01: a rehearsal's clock stands still, so that it gives the same bytes twice
)

_OF_A_MOMENT = ("token/", "session/", "debug/")
"""Beginnings of notes that no rehearsal is to see: secrets, how far another upload came, samples of bodies."""

_OPERATIONS = {True: "enter", False: "exit", None: "send"}


class RecordingHttp:
    """An HttpClient that keeps requests and lets the destination answer for its partner."""

    def __init__(self, destination: Destination) -> None:
        self.requests: list[Request] = []
        self._destination = destination

    async def send(self, request: Request) -> Answer:
        """Record, and answer success. A spooled body is read now, since its file will not outlive the rehearsal."""
        if request.body_file is not None:
            body = await asyncio.to_thread(Path(request.body_file).read_bytes)
            request = msgspec.structs.replace(request, body=body, body_file=None)
        self.requests.append(request)
        return self._destination.success_answer(request)


class FreshNotes:
    """Notes of a destination that has never run; forgotten with the rehearsal."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """Value or None."""
        return self._values.get(key)

    async def put(self, key: str, value: bytes) -> None:
        """Keep."""
        self._values[key] = value


class KnownNotes:
    """Notes as they are, and whatever is put into them forgotten with the rehearsal. What is of one moment is not known."""

    def __init__(self, kept: Notes) -> None:
        self._kept = kept
        self._own = FreshNotes()

    async def get(self, key: str) -> bytes | None:
        """What was put, else what is kept."""
        own = await self._own.get(key)
        return await self._kept.get(key) if own is None and not key.startswith(_OF_A_MOMENT) else own

    async def put(self, key: str, value: bytes) -> None:
        """For the rest of the rehearsal."""
        await self._own.put(key, value)


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """Every request that would go out, in order, and what each batch would have come to."""

    requests: tuple[Request, ...]
    performed: tuple[Performed, ...]


class HeldSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot in memory, for an audience that is rehearsed. people: (canonical id, payload), in order."""

    people: tuple[tuple[str, dict[str, object]], ...]

    @property
    def members(self) -> int:
        """How many rows there are."""
        return len(self.people)

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        """They, in order."""
        return iter(self.people)


async def rehearse(
    destination: Destination,
    batches: Sequence[Batch],
    *,
    now_us: int = REHEARSED_US,
    snapshot: HeldSnapshot | None = None,
    notes: Notes | None = None,
) -> Rehearsal:
    """Run batches one after the other, as one lane would. snapshot: for the operation `replace`. notes: None for fresh ones."""
    http = RecordingHttp(destination)
    context = Context(
        http=http, notes=FreshNotes() if notes is None else KnownNotes(notes), now_us=now_us, snapshot=snapshot
    )
    performed = [await destination.perform(batch, context) for batch in batches]
    return Rehearsal(requests=tuple(http.requests), performed=tuple(performed))


class WireCase(msgspec.Struct, frozen=True, kw_only=True):
    """Events, and everything that decides what is sent for them.

    mapping: whole, as Segment stores it; None is the action's defaults. trigger: None matches everything.
    batch: all events as one batch, else one by one. audience_settings: laid over each event's own.
    corrections: all of the destination's, none, or one by one.
    """

    destination: str
    events: list[dict[str, object]]
    action: str = ""
    settings: dict[str, object] = {}
    mapping: dict[str, object] | None = None
    trigger: str | dict[str, object] | None = None
    batch: bool = False
    audience_settings: dict[str, object] | None = None
    corrections: Literal["on", "off"] | dict[str, bool] = "on"


async def wire_result(case: WireCase) -> dict[str, object]:
    """`{"requests": [{"method", "url", "headers", "body"}], "results": [{"status", "error"?, "skipped"?}]}`.

    One result for each event, in order. Raises LookupError for a destination or action that does not exist, TriggerError
    or MappingError for a trigger or mapping that does not compile.
    """
    destination = destination_named(case.destination)
    if destination is None:
        raise LookupError(f"There is no destination {case.destination!r}.")
    definition = destination.definition
    action = definition.action(case.action) if case.action else definition.actions[0]
    if action is None:
        raise LookupError(f"{definition.slug} has no action {case.action!r}.")
    corrections = _corrections({correction.name for correction in definition.corrections}, case.corrections)
    settings, faults = _settings(destination, case.settings, corrections)
    if faults:
        return {"requests": [], "results": [{"status": 400, "error": " ".join(faults)} for _ in case.events]}

    results, owed = _prepared(case, action)
    groups = [owed] if case.batch and owed else [[one] for one in owed]
    requests: list[Request] = []
    for group in groups:
        whole, snapshot = _whole_list(group) if action.sync_only else (tuple(group), None)
        batch = Batch(action=action.slug, settings=settings, owed=whole, corrections=corrections)
        rehearsal = await rehearse(destination, [batch], snapshot=snapshot)
        requests += rehearsal.requests
        (performed,) = rehearsal.performed
        outcomes = performed.outcomes * len(group) if action.sync_only else performed.outcomes
        for one, outcome in zip(group, outcomes, strict=True):
            results[one.id] = _result(outcome)
    return {"requests": [_shown(request) for request in requests], "results": results}


def _whole_list(group: Sequence[Owed]) -> tuple[tuple[Owed], HeldSnapshot]:
    """For an action that takes whole lists only: the events as everybody there is, and the one delivery of that list.

    As in Segment's connectors the first event speaks for all where a list can have one value only.
    """
    owed = msgspec.structs.replace(group[0], operation="replace", planned=True)
    return (owed,), HeldSnapshot(people=tuple((one.member, one.payload) for one in group))


class MemberCase(msgspec.Struct, frozen=True, kw_only=True):
    """One payload, whose destination is asked what its partner gets for it alone. corrections: as in WireCase."""

    destination: str
    payload: dict[str, object]
    action: str = ""
    corrections: Literal["on", "off"] | dict[str, bool] = "on"


def member_result(case: MemberCase) -> object:
    """A line, cluster or profile; None where the partner gets nothing. Raises LookupError where there is no such thing."""
    destination = destination_named(case.destination)
    if destination is None:
        raise LookupError(f"There is no destination {case.destination!r}.")
    definition = destination.definition
    action = definition.action(case.action) if case.action else definition.actions[0]
    if action is None:
        raise LookupError(f"{definition.slug} has no action {case.action!r}.")
    if not isinstance(destination, ShowsMembers):
        raise LookupError(f"{definition.slug} sends no members one by one.")  # noqa: TRY004 - there is none to ask
    corrections = _corrections({correction.name for correction in definition.corrections}, case.corrections)
    return destination.member(action.slug, case.payload, corrections)


def _prepared(case: WireCase, action: Action) -> tuple[list[dict[str, object]], list[Owed]]:
    """A result for each event that goes no further, `{}` for the others; and those, numbered by their place."""
    transform = compile_mapping(defaults_of(action.fields) if case.mapping is None else case.mapping)
    check = compile_check(action.fields)
    matched = _matched(case)
    # Segment reports an event that does not match only where the rest of its batch goes on.
    unmatched: dict[str, object] = (
        {"status": 400, "error": "The event does not match the trigger."}
        if case.batch and any(found is True for found in matched)
        else {"status": 200, "skipped": "not subscribed"}
    )
    results: list[dict[str, object]] = []
    owed: list[Owed] = []
    for place, event in enumerate(case.events):
        result: dict[str, object] = {}
        found = matched[place]
        if isinstance(found, TriggerError):
            result = {"status": 400, "error": str(found)}
        elif found:
            try:
                payload = _payload(event, transform, check, batched=case.batch)
            except (MappingError, PayloadError) as error:
                result = {"status": 400, "error": str(error)}
            else:
                owed.append(_owed(place, event, payload, case.audience_settings))
        else:
            result = unmatched
        results.append(result)
    return results, owed


def _matched(case: WireCase) -> list[bool | TriggerError]:
    """For each event whether the trigger matches, or why that cannot be said of it."""
    if case.trigger is None:
        return [True] * len(case.events)
    trigger = compile_trigger(case.trigger)
    matched: list[bool | TriggerError] = []
    for event in case.events:
        try:
            matched.append(trigger.matches(event))
        except TriggerError as error:
            matched.append(error)
    return matched


def _payload(
    event: dict[str, object], transform: Transform, check: PayloadCheck, *, batched: bool
) -> dict[str, object]:
    made = transform.apply(event)
    if not isinstance(made, dict):
        raise PayloadError(["The mapping gives no object."])
    return check.check(made, batched=batched)


def _owed(
    place: int, event: dict[str, object], payload: dict[str, object], audience_settings: dict[str, object] | None
) -> Owed:
    personas = personas_of(event)
    own = personas.get("audience_settings")
    settings = {**(own if isinstance(own, dict) else {}), **(audience_settings or {})}
    # The event's own id reaches the payload by its mapping, as it does where deliveries are decided.
    external_id = settings.get("external_id")
    return Owed(
        id=place,
        operation=_OPERATIONS[resolve_upstream(event)],
        payload=payload,
        audience_key=str(personas.get("computation_key") or ""),
        audience_settings=settings,
        external_id=external_id if isinstance(external_id, str) else "",
        member=str(event.get("userId") or event.get("anonymousId") or ""),
    )


def _settings(
    destination: Destination, given: dict[str, object], corrections: frozenset[str]
) -> tuple[dict[str, object], list[str]]:
    """The settings as deliveries get them, and what is wrong with them."""
    fields = destination.definition.settings
    try:
        settings = compile_check(fields).check_settings({**defaults_of(fields), **given})
    except PayloadError as error:
        return given, error.messages
    return settings, destination.check_settings(settings, corrections)


def _corrections(names: set[str], asked: Literal["on", "off"] | dict[str, bool]) -> frozenset[str]:
    if isinstance(asked, dict):
        return frozenset(name for name in names if asked.get(name, True))
    return frozenset(names if asked == "on" else ())


def _result(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Delivered):
        return {"status": outcome.status}
    return {"status": outcome.status, "error": outcome.reason}


def _shown(request: Request) -> dict[str, object]:
    return {
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
        "body": request.body.decode("utf-8", "replace"),
    }
