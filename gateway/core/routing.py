"""`route(event, rulebook) -> Decision`: what one event causes, by the mappings as they stand. No clock, no I/O, no ledger.

Whether a membership change is news, stale or a repeat is the ledger's to say, when the Decision is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.audience_ids import PREFIX as OWN_ID_PREFIX
from gateway.core.audiences import audience_entry
from gateway.core.decisions import Decision, IntendedDelivery, IntendedRecord, MembershipChange, Operation, Skipped
from gateway.core.errors import GatewayError
from gateway.core.events import Event
from gateway.core.fql import TriggerError
from gateway.core.identities import deleted_people, identifiers_hash, identifiers_of, record_subject, subject_of
from gateway.core.membership import MembershipReader, Resolution, resolve_upstream
from gateway.core.payloads import PayloadError
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.core.schedules import Continuous
from gateway.core.sources import Source, SourceKind

# Why a mapping sent nothing: a stable word, and what the operator reads beside it. Details of one event follow it.
SKIPPED_BECAUSE = {
    "disabled": "The destination or the mapping is switched off: set `enabled` to true.",
    "not_matching": "The trigger does not match this event: its truth table shows the clause that decided.",
    "trigger_failed": "The trigger cannot be evaluated on this event: mend the trigger.",
    "integrations_off": "The event's `integrations` switch this destination off: change that at the sender, or let the "
    "mapping ignore it.",
    "membership_not_trusted": "The event changes an audience but comes from a browser source, whose key is public: set "
    "`trust_membership` on the source if it may.",
    "account_membership": "The event is about an account, not a person: let the mapping forward accounts if it should.",
    "not_an_audience_event": "The mapping serves audiences only, and the event says nothing of an audience: take "
    "`audiences` away to serve every event.",
    "audience_not_served": "The mapping does not name this audience: add its key or `*` to `audiences`.",
    "audience_not_connected": "The partner's list for this audience is not known: give its `external_id`, or `create`.",
    "mapping_failed": "The mapping's fields cannot be computed from this event: mend the field.",
    "payload_invalid": "The payload lacks what the action needs: map the field, or send it with the event.",
    "no_identifiers": "The payload names nobody as the platform knows people: send an e-mail address, hash or device id that "
    "the action takes, or map it from where it is.",
    "kept_by_sync": "The action takes whole lists only: the member is sent with the next run of its sync.",
    "nothing_to_delete": "The platform keeps no profile by user id: people are taken off the lists that the "
    "gateway put them on.",
    "forgotten": "The person was deleted after this event happened.",
    "stale": "The ledger knows a newer change of this person that says otherwise.",
    "too_late": "The event is older than the ledger's memory and would change it.",
}

DELETION = "delete"  # the event type of a privacy request
NAMES_OF_LIST = frozenset({"external_id", "create"})  # of an audience's settings


class _Mapping(NamedTuple):
    """One mapping with all that can be settled before any event comes."""

    destination: CompiledDestination
    mapping: CompiledMapping
    matches: Callable[[dict[str, object]], bool]
    apply: Callable[[dict[str, object]], object]
    not_matching: Skipped
    is_off: bool


class Router:
    """A rulebook ready for many events; `route` is one event's way through it."""

    def __init__(self, rulebook: Rulebook) -> None:
        self.rulebook = rulebook
        self._readers: dict[tuple[str, str], MembershipReader] = {}
        self._mappings = [
            _Mapping(
                destination,
                mapping,
                mapping.trigger.matches,
                mapping.transform.apply,
                _skipped(destination, mapping, "not_matching"),
                is_off=not (destination.enabled and mapping.enabled),
            )
            for destination in rulebook.destinations
            for mapping in destination.mappings
        ]

    def route(self, event: Event) -> Decision:
        """What the event causes; the same event and rulebook give the same Decision. Raises for no payload."""
        if event.type == DELETION:
            return self._deletion(event)
        resolution = self.membership(event)
        changes = resolution.changes
        deliveries: list[IntendedDelivery] = []
        records: list[IntendedRecord] = []
        skipped: list[Skipped] = []
        if not resolution.views:
            self._one_person(
                event, event.body, changes[0] if changes else None, 0, resolution, deliveries, records, skipped
            )
        else:
            for index, (change, view) in enumerate(zip(changes, resolution.views, strict=True)):
                self._one_person(event, view, change, index, resolution, deliveries, records, skipped)
        return Decision(
            person=changes[0].member if changes else subject_of(event.body),
            changes=changes,
            deliveries=tuple(deliveries),
            skipped=tuple(skipped) if not resolution.views else tuple(dict.fromkeys(skipped)),
            warnings=resolution.warnings,
            records=tuple(records),
        )

    def membership(self, event: Event) -> Resolution:
        """What the event says about membership, by the rules of its source."""
        reader = self._readers.get((event.source, event.source_kind))
        if reader is None:
            source = self.rulebook.sources.get(event.source)
            if source is None:  # Taken out of the configuration after the event was accepted.
                kept: SourceKind = "browser" if event.source_kind == "browser" else "webhook"
                source = Source(name=event.source, kind=kept, space=event.space)
            reader = MembershipReader(source, self.rulebook.membership)
            if len(self._readers) < _READERS_MAX:
                self._readers[event.source, event.source_kind] = reader
        return reader.read(event)

    def _one_person(
        self,
        event: Event,
        body: dict[str, object],
        change: MembershipChange | None,
        index: int,
        resolution: Resolution,
        deliveries: list[IntendedDelivery],
        records: list[IntendedRecord],
        skipped: list[Skipped],
    ) -> None:
        for prepared in self._mappings:
            if prepared.is_off:
                skipped.append(_skipped(prepared.destination, prepared.mapping, "disabled"))
                continue
            if prepared.mapping.sync is not None and change is not None and not change.is_member:
                # Leaving counts whatever the trigger says: the default triggers of whole-list actions never match it.
                kept = keep(event, body, prepared.destination, prepared.mapping, change, index)
                (records if isinstance(kept, IntendedRecord) else skipped).append(kept)  # type: ignore[arg-type] # told apart
                continue
            try:
                matched = prepared.matches(body)
            except TriggerError as error:
                skipped.append(_skipped(prepared.destination, prepared.mapping, "trigger_failed", str(error)))
                continue
            if not matched:
                skipped.append(prepared.not_matching)
                continue
            made = intend(event, body, prepared.destination, prepared.mapping, change, index, resolution)
            if isinstance(made, IntendedDelivery):
                deliveries.append(made)
            elif isinstance(made, IntendedRecord):
                records.append(made)
            else:
                skipped.append(made)

    def _deletion(self, event: Event) -> Decision:
        """A privacy request: forgotten here, and one deletion for every destination that keeps profiles by user id."""
        if event.source_kind == "browser":
            return Decision(warnings=("membership_not_trusted",))
        people = deleted_people(event.body)
        payload = {name: event.body[name] for name in ("userId", "anonymousId") if event.body.get(name)}
        deliveries: list[IntendedDelivery] = []
        skipped: list[Skipped] = []
        for destination in self.rulebook.destinations if people else ():
            keepers = _keepers(destination)
            chosen = keepers or destination.mappings[:1]
            if chosen and not destination.enabled:
                skipped.append(_skipped(destination, chosen[0], "disabled"))
            elif not keepers:
                skipped.extend(_skipped(destination, one, "nothing_to_delete") for one in chosen)
            else:
                deliveries.extend(
                    IntendedDelivery(
                        destination=destination.key,
                        mapping=keeper.key,
                        operation="delete",
                        member=people[0],
                        payload={**payload, **_account_of(keeper)},
                    )
                    for keeper in keepers
                )
        return Decision(
            person=people[0] if people else "",
            deliveries=tuple(deliveries),
            skipped=tuple(skipped),
            deletions=people,
        )


def _keepers(destination: CompiledDestination) -> tuple[CompiledMapping, ...]:
    """Mappings whose profiles are deleted by id: one for each account of the platform that the file's mappings name."""
    chosen: dict[object, CompiledMapping] = {}
    for mapping in destination.mappings:
        if not _is_list(mapping):
            chosen.setdefault(str(_account_of(mapping)), mapping)
    return tuple(chosen.values())


def _account_of(mapping: CompiledMapping) -> dict[str, object]:
    """The account at the platform that a mapping names itself, as a literal, over the one of the settings."""
    named = mapping.fields.get("advertiser_id")
    return {"advertiser_id": named} if isinstance(named, str | int) and not isinstance(named, bool) else {}


_READERS_MAX = 10_000  # sources are configured; this only keeps invented names from filling a memory


def route(event: Event, rulebook: Rulebook) -> Decision:
    """What one event causes. For many events, keep a `Router`."""
    return Router(rulebook).route(event)


def intend(
    event: Event,
    body: dict[str, object],
    destination: CompiledDestination,
    mapping: CompiledMapping,
    change: MembershipChange | None,
    index: int,
    resolution: Resolution,
) -> IntendedDelivery | IntendedRecord | Skipped:
    """What a mapping whose trigger matched owes for an event or keeps for its next run, or why it does neither.

    body: the event as this person's mapping sees it. change, index: the membership change it follows, and which it is.
    """
    if is_switched_off(event, destination, mapping):
        return _skipped(destination, mapping, "integrations_off")
    if change is not None:
        if change.is_account and not mapping.forward_accounts:
            return _skipped(destination, mapping, "account_membership")
        is_member: bool | None = change.is_member
    else:
        is_member = resolution.is_member
        if is_member is None and mapping.sync_mode is not None:
            is_member = resolve_upstream(body, mapping.sync_mode)
        if is_member is not None and not resolution.is_trusted:
            return _skipped(destination, mapping, "membership_not_trusted")
    operation: Operation = "send" if is_member is None else "enter" if is_member else "exit"
    entry: dict[str, object] | None = None
    if mapping.audiences is not None:
        if is_member is None:
            return _skipped(destination, mapping, "not_an_audience_event")
        entry = audience_entry(mapping.audiences, change)
        if entry is None:
            return _skipped(destination, mapping, "audience_not_served")
    if mapping.sync is not None:
        if change is None:
            return _skipped(destination, mapping, "not_an_audience_event")
        return keep(event, body, destination, mapping, change, index)
    if mapping.action.sync_only:
        return _skipped(destination, mapping, "kept_by_sync")
    payload = build_payload(body, destination, mapping)
    if isinstance(payload, Skipped):
        return payload
    return IntendedDelivery(
        destination=destination.key,
        mapping=mapping.key,
        operation=operation,
        member=change.member if change is not None else subject_of(body),
        payload=payload,
        change=None if change is None else index,
        audience_settings=settings_of(entry, change),
        identifiers=_identifiers(body, change) if mapping.action.list_shaped else None,
        needs_audience_id=mapping.action.needs_audience_id and not _names_its_list(entry, change),
    )


def keep(
    event: Event,
    body: dict[str, object],
    destination: CompiledDestination,
    mapping: CompiledMapping,
    change: MembershipChange,
    index: int,
) -> IntendedRecord | Skipped:
    """What a mapping with a sync keeps of a membership change: in with a payload, or out. An entering event has matched."""
    if change.is_account and not mapping.forward_accounts:
        return _skipped(destination, mapping, "account_membership")
    if change.is_member and is_switched_off(event, destination, mapping):
        return _skipped(destination, mapping, "integrations_off")
    if mapping.audiences is not None and audience_entry(mapping.audiences, change) is None:
        return _skipped(destination, mapping, "audience_not_served")
    is_in = change.is_member
    if is_in and mapping.sync_filter is not None:
        try:
            is_in = mapping.sync_filter.matches(body)
        except TriggerError:
            is_in = False
    payload = build_payload(body, destination, mapping)
    return IntendedRecord(
        destination=destination.key,
        mapping=mapping.key,
        change=index,
        is_in=is_in,
        payload=None if isinstance(payload, Skipped) else payload,
        unmappable=payload.code if isinstance(payload, Skipped) and is_in else "",
        event_settings=settings_of(None, change),
        is_live=mapping.sync is not None and isinstance(mapping.sync.schedule, Continuous),
    )


def build_payload(
    body: dict[str, object], destination: CompiledDestination, mapping: CompiledMapping
) -> dict[str, object] | Skipped:
    """The checked payload of one event, or why there is none. Empty values go as they go in Segment: see `batched`."""
    try:
        raw = mapping.transform.apply(body)
        payload = mapping.check.check(raw, batched=mapping.batching)  # type: ignore[arg-type] # it refuses what is no object
        if mapping.action.names_somebody(payload, destination.corrections):
            return payload
        return _skipped(destination, mapping, "no_identifiers")
    except PayloadError as error:
        return _skipped(destination, mapping, "payload_invalid", str(error))
    except GatewayError as error:
        return _skipped(destination, mapping, "mapping_failed", str(error))
    except Exception as error:  # noqa: BLE001  (one mapping's fault must not cost the other destinations their delivery)
        return _skipped(destination, mapping, "mapping_failed", type(error).__name__)


def raw_payload(body: dict[str, object], mapping: CompiledMapping) -> object:
    """What the fields give before the check, for explaining; None where they cannot be computed."""
    try:
        return mapping.transform.apply(body)
    except Exception:  # noqa: BLE001  (`build_payload` has named the fault)
        return None


def is_switched_off(event: Event, destination: CompiledDestination, mapping: CompiledMapping) -> bool:
    """The event's `integrations` name this destination as off, or switch `All` off and do not name it.

    Only where they are honoured: on /v1 sources, unless the mapping says otherwise. Any name of the destination counts.
    """
    honoured = mapping.honour_integrations
    if honoured is None:
        honoured = event.source_kind != "webhook"
    integrations = event.body.get("integrations")
    if not honoured or not isinstance(integrations, dict):
        return False
    named = [integrations[name] for name in destination.integration_names if name in integrations]
    if named:
        return not any(value is not False and value is not None for value in named)
    return integrations.get("All", integrations.get("all")) is False


def settings_of(entry: dict[str, object] | None, change: MembershipChange | None) -> dict[str, object] | None:
    """Audience settings of a delivery: the mapping's entry laid over the event's own.

    Which list it is, and whether one is made, the entry says alone; the id that the event names has a name of its own, since
    what the gateway made or adopted comes before it.
    """
    if change is None:
        return entry or None
    said = (
        {key: value for key, value in change.settings.items() if key not in NAMES_OF_LIST} if change.settings else None
    )
    settings = {**said, **(entry or {})} if said else entry
    if _is_partners(change.external_audience_id):
        settings = {**(settings or {}), "event_external_id": change.external_audience_id}
    return settings or None


def _names_its_list(entry: dict[str, object] | None, change: MembershipChange | None) -> bool:
    if entry and (entry.get("external_id") or entry.get("create")):
        return True
    return change is not None and _is_partners(change.external_audience_id)


def _is_partners(external_id: str) -> bool:
    """An id that a partner can know: not one that the gateway gave out when the sender asked it to create the audience."""
    return bool(external_id) and not external_id.startswith(OWN_ID_PREFIX)


def _identifiers(body: dict[str, object], change: MembershipChange | None) -> int:
    found = identifiers_of(body)
    if not found:  # rows of a warehouse keep theirs elsewhere
        member = record_subject(body.get("identifiers"), body.get("fields")) if change is None else change.member
        found = (("member", member),)
    return identifiers_hash(found)


def _is_list(mapping: CompiledMapping) -> bool:
    return mapping.action.list_shaped or mapping.action.sync_only


def _skipped(destination: CompiledDestination, mapping: CompiledMapping, code: str, detail: str = "") -> Skipped:
    return Skipped(destination=destination.key, mapping=mapping.key, code=code, detail=detail)
