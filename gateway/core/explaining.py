"""Why an event was sent, or was not: every mapping's trigger, fields and payload, and one sentence that says what to do.

Nothing here runs unless somebody asks; `core/routing.py`'s own functions decide here too, so the answer is the true one. What
the ledger said then is in the event's trace, not here. Values are the event's own unless a mask is given.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.core import fql
from gateway.core.audiences import audience_name
from gateway.core.decisions import IntendedDelivery, IntendedRecord, MembershipChange, Skipped
from gateway.core.events import Event
from gateway.core.javascript import UNDEFINED
from gateway.core.mapping.explaining import FieldTrace
from gateway.core.masking import mask_identifier, mask_value
from gateway.core.membership import Resolution, personas_of
from gateway.core.routing import DELETION, SKIPPED_BECAUSE, Router, intend, keep, raw_payload
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook

PEOPLE_EXPLAINED_MAX = 10  # of one audiencelist; the others are only counted

Mask = Callable[[str, object], object]  # (name of the member, its value) → what may be shown of it

# From the reason an operator can do least about to the one nearest to a delivery: the closing sentence takes the last.
_NEARNESS = tuple(
    reversed(
        (
            "payload_invalid", "no_identifiers", "mapping_failed", "audience_not_connected", "kept_by_sync", "audience_not_served",
            "account_membership", "membership_not_trusted", "integrations_off", "not_an_audience_event", "trigger_failed",
            "nothing_to_delete", "not_matching", "disabled",
        )
    )
)  # fmt: skip


class MembershipExplained(msgspec.Struct, frozen=True, kw_only=True):
    """What the event says about membership. audience, rule, member: empty where it says nothing (of anybody)."""

    sentence: str
    audience: str = ""
    audience_key: str = ""
    member: str = ""
    is_member: bool | None = None
    rule: str = ""


class MappingExplained(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping's answer to one event (or to one person of it).

    code: why nothing is sent, empty where something is. operation: what is sent, empty where nothing is; a member who is in
    for a sync has both where the event gives no payload.
    trigger: its truth table. fields: where each field came from; None where the trigger did not match.
    raw: what the fields gave, before the check. payload: what would be sent.
    """

    destination: str
    mapping: str
    name: str
    sentence: str
    trigger: fql.Explanation
    code: str = ""
    operation: str = ""
    member: str = ""
    fields: FieldTrace | None = None
    raw: object = None
    payload: dict[str, object] | None = None
    audience_settings: dict[str, object] | None = None


class EventExplained(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. people_left_out: of an audiencelist, those beyond PEOPLE_EXPLAINED_MAX."""

    source: str
    type: str
    message_id: str
    received_us: int
    at_us: int
    warnings: tuple[str, ...]
    membership: tuple[MembershipExplained, ...]
    mappings: tuple[MappingExplained, ...]
    sentence: str
    people_left_out: int = 0


def hide(name: str, value: object) -> object:
    """The mask for whoever may not see people: same keys and shape, values hidden."""
    return value if value is UNDEFINED else mask_value(value, key=name.rsplit(".", 1)[-1])


def explain_event(event: Event, rulebook: Rulebook, *, mask: Mask | None = hide, mapping: str = "") -> EventExplained:
    """Explain one event under a rulebook. mask: None shows everything. mapping: only this one (or this destination's)."""
    router = Router(rulebook)
    resolution = router.membership(event)
    shown: Mask = mask or (lambda _name, value: value)
    people = _people(event, resolution)
    wanted = [
        (destination, one)
        for destination in rulebook.destinations
        for one in destination.mappings
        if not mapping or mapping in (destination.key, one.key)
    ]
    mappings: list[MappingExplained] = []
    if event.type == DELETION:
        mappings = _deletion(event, router, wanted, shown)
    else:
        for index, (body, change) in enumerate(people[:PEOPLE_EXPLAINED_MAX]):
            mappings += [_mapping(event, body, change, index, resolution, *one, shown) for one in wanted]
    return EventExplained(
        source=event.source,
        type=event.type,
        message_id=event.message_id,
        received_us=event.received_us,
        at_us=event.at_us,
        warnings=event.warnings + resolution.warnings,
        membership=tuple(_memberships(event, resolution, is_masked=mask is not None)),
        mappings=tuple(mappings),
        sentence=_closing(mappings, rulebook),
        people_left_out=max(0, len(people) - PEOPLE_EXPLAINED_MAX),
    )


def _people(event: Event, resolution: Resolution) -> list[tuple[dict[str, object], MembershipChange | None]]:
    """(body as mappings see it, change) of each person the event is about."""
    if resolution.views:
        return list(zip(resolution.views, resolution.changes, strict=True))
    return [(event.body, resolution.changes[0] if resolution.changes else None)]


def _mapping(
    event: Event,
    body: dict[str, object],
    change: MembershipChange | None,
    index: int,
    resolution: Resolution,
    destination: CompiledDestination,
    mapping: CompiledMapping,
    shown: Mask,
) -> MappingExplained:
    trigger = mapping.trigger.explain(body, shown)
    if mapping.sync is not None and change is not None and not change.is_member:
        made: IntendedDelivery | IntendedRecord | Skipped = keep(event, body, destination, mapping, change, index)
    elif not trigger.matched:
        code = "trigger_failed" if trigger.problem is not None else "not_matching"
        made = Skipped(destination=destination.key, mapping=mapping.key, code=code, detail=trigger.problem or "")
    else:
        made = intend(event, body, destination, mapping, change, index, resolution)
    if not (destination.enabled and mapping.enabled):
        made = Skipped(destination=destination.key, mapping=mapping.key, code="disabled")
    fields = mapping.transform.explain(body).masked(lambda value: shown("", value)) if trigger.matched else None
    return _explained(made, mapping, trigger, shown, fields=fields, raw=raw_payload(body, mapping) if fields else None)


def _kept_sentence(made: IntendedRecord) -> str:
    if not made.is_in:
        return "The member is out for this sync: the next run removes them where they are listed."
    if made.unmappable:
        why = SKIPPED_BECAUSE.get(made.unmappable, "")
        sentence = f"The member is in, but the event gives no payload ({made.unmappable}): an older one stays, if there is one."
        return f"{sentence} {why}" if why else sentence
    return "Kept for the next run of the sync: the member is in, with this payload."


def _explained(
    made: IntendedDelivery | IntendedRecord | Skipped,
    mapping: CompiledMapping,
    trigger: fql.Explanation,
    shown: Mask,
    *,
    fields: FieldTrace | None = None,
    raw: object = None,
) -> MappingExplained:
    if isinstance(made, IntendedRecord):
        return MappingExplained(
            destination=made.destination,
            mapping=made.mapping,
            name=mapping.name,
            sentence=_kept_sentence(made),
            trigger=trigger,
            code=made.unmappable,
            operation="enter" if made.is_in else "exit",
            fields=fields,
            raw=_shown(raw, shown),
        )
    if isinstance(made, Skipped):
        return MappingExplained(
            destination=made.destination,
            mapping=made.mapping,
            name=mapping.name,
            sentence=sentence_of(made),
            trigger=trigger,
            code=made.code,
            fields=fields,
            raw=_shown(raw, shown),
        )
    return MappingExplained(
        destination=made.destination,
        mapping=made.mapping,
        name=mapping.name,
        sentence=_sent_sentence(made),
        trigger=trigger,
        operation=made.operation,
        member=str(shown("member", made.member)),
        fields=fields,
        raw=_shown(raw, shown),
        payload={key: shown(key, value) for key, value in made.payload.items()},
        audience_settings=made.audience_settings,
    )


def _deletion(
    event: Event, router: Router, wanted: list[tuple[CompiledDestination, CompiledMapping]], shown: Mask
) -> list[MappingExplained]:
    """A privacy request asks no trigger: one mapping of each destination stands for it."""
    decision = router.route(event)
    mappings = {mapping.key: mapping for _, mapping in wanted}
    answers: list[IntendedDelivery | Skipped] = [*decision.deliveries, *decision.skipped]
    return [
        _explained(made, mappings[made.mapping], mappings[made.mapping].trigger.explain(event.body, shown), shown)
        for made in answers
        if made.mapping in mappings
    ]


def _memberships(event: Event, resolution: Resolution, *, is_masked: bool) -> list[MembershipExplained]:
    if not resolution.changes:
        return [MembershipExplained(sentence=_no_membership(event, resolution), is_member=resolution.is_member)]
    return [
        MembershipExplained(
            sentence=f"By rule {change.rule} the {'account' if change.is_account else 'person'} "
            f"{'entered' if change.is_member else 'left'} the audience `{change.audience_key}`.",
            audience=audience_name(change),
            audience_key=change.audience_key,
            member=mask_identifier(change.member) if is_masked else change.member,
            is_member=change.is_member,
            rule=change.rule,
        )
        for change in resolution.changes[:PEOPLE_EXPLAINED_MAX]
    ]


def _no_membership(event: Event, resolution: Resolution) -> str:
    """Why the ledger learns nothing from the event, and what would change that."""
    if resolution.is_member is not None and not resolution.is_trusted:
        return SKIPPED_BECAUSE["membership_not_trusted"]
    if resolution.is_member is not None:
        return (
            "The event says who entered or left, but names no person or no audience: send a userId and an audience key."
        )
    personas = personas_of(event.body)
    if not personas:
        return "The event is not about an audience: it has no `context.personas`."
    if personas.get("computation_class") not in ("audience", "journey_step"):
        return "The event is not about an audience: `context.personas.computation_class` is neither audience nor journey_step."
    where = "traits" if event.type in ("identify", "group") else "properties"
    return (
        f"The event has an audience context but no true or false under its key in `{where}`, so nobody entered or left. "
        "Check that `computation_key` is the name of that member."
    )


def sentence_of(skipped: Skipped) -> str:
    """Why a mapping sent nothing and what to change, with the event's own details where there are any."""
    sentence = SKIPPED_BECAUSE.get(skipped.code, skipped.code)
    return f"{sentence} ({skipped.detail})" if skipped.detail else sentence


def _sent_sentence(made: IntendedDelivery) -> str:
    what = {"enter": "an entry", "exit": "an exit", "send": "an event", "delete": "a deletion"}[made.operation]
    if made.needs_audience_id:
        return f"Owed as {what} once the partner's list is known: {SKIPPED_BECAUSE['audience_not_connected']}"
    if made.change is None:
        return f"Owed as {what}."
    return f"Owed as {what}, unless the ledger knows a newer change that says otherwise."


def _closing(mappings: list[MappingExplained], rulebook: Rulebook) -> str:
    """One sentence for the whole event: what is owed, or the reason that is nearest to being mended."""
    if not mappings:
        return (
            "There is no mapping to ask: write one in `mappings/`."
            if not rulebook.destinations
            else "No mapping is meant."
        )
    owed = [one.mapping for one in mappings if one.operation and not one.code]
    if owed:
        return f"Owed by {', '.join(dict.fromkeys(owed))}."
    nearest = max(mappings, key=lambda one: _NEARNESS.index(one.code) if one.code in _NEARNESS else -1)
    return f"Nothing is sent. Nearest was `{nearest.mapping}`: {nearest.sentence}"


def _shown(raw: object, shown: Mask) -> object:
    return {key: shown(key, value) for key, value in raw.items()} if isinstance(raw, dict) else shown("", raw)
