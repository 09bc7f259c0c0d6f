"""Running the cases beside the mappings: one event through one mapping, compared with what it must give."""

from __future__ import annotations

import msgspec

from gateway.config.cases import Case
from gateway.config.mapping_entries import slug_of
from gateway.core.arrivals import Arrival, Item
from gateway.core.decisions import IntendedDelivery
from gateway.core.errors import EventError, Problem
from gateway.core.events import Event, Place
from gateway.core.reading import read_event
from gateway.core.routing import Router
from gateway.core.rulebook import Rulebook
from gateway.core.sources import Source

TRYING_SOURCE = Source(name="local", kind="webhook")


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one case went. difference: empty when it passed. warnings: what surprised on the way."""

    case: Case
    passed: bool
    difference: str = ""
    warnings: tuple[Problem, ...] = ()


def event_of(body: bytes, *, received_us: int = 1_800_000_000_000_000, source: Source = TRYING_SOURCE) -> Event:
    """Read a bare event as if it had just arrived. Raises EventError when it is none."""
    arrival = Arrival(source=source.name, received_us=received_us, items=(Item(body=body),))
    return read_event(arrival, arrival.items[0], Place(inbox=0, frame=0, ordinal=0), source)


def run_cases(cases: list[Case], rulebook: Rulebook) -> list[CaseResult]:
    """Run every case against a rulebook, switched-off destinations and mappings included: their examples must hold too."""
    router = Router(_switched_on(rulebook))
    return [_run(case, rulebook, router) for case in cases]


def _switched_on(rulebook: Rulebook) -> Rulebook:
    replace = msgspec.structs.replace
    destinations = tuple(
        replace(one, enabled=True, mappings=tuple(replace(mapping, enabled=True) for mapping in one.mappings))
        for one in rulebook.destinations
    )
    return replace(rulebook, destinations=destinations)


def _run(case: Case, rulebook: Rulebook, router: Router) -> CaseResult:
    key = f"{case.destination}/{slug_of(case.mapping)}"
    if rulebook.mapping(key) is None:
        known = ", ".join(
            f"`{one.name}`" for d in rulebook.destinations if d.key == case.destination for one in d.mappings
        )
        missing = f"there is no mapping `{case.mapping}` in that file; it has {known}"
        if not known:
            missing = f"there is no file {case.destination}.json with mappings beside `cases/`: put it back, or remove its cases"
        return CaseResult(case=case, passed=False, difference=missing)
    try:
        event = event_of(case.event)
    except EventError as error:
        passed = case.skipped == error.code
        return CaseResult(
            case=case, passed=passed, difference="" if passed else f"the event is refused: {error.message}"
        )
    decision = router.route(event)
    sent = next((one for one in decision.deliveries if one.mapping == key), None)
    skipped = next((one for one in decision.skipped if one.mapping == key), None)
    record = next((one for one in decision.records if one.mapping == key), None)
    kept = "" if record is None else "in" if record.is_in else "out"
    if case.kept or kept:
        difference = (
            "" if case.kept == kept else f"expected {_expected(case)}, but the sync keeps `{kept or 'nothing'}`"
        )
    else:
        difference = _difference(case, sent if sent is not None else skipped.code if skipped else "nothing")
    return CaseResult(case=case, passed=not difference, difference=difference, warnings=_warnings(case, event))


def _expected(case: Case) -> str:
    return (
        f"`{case.kept}` to be kept"
        if case.kept
        else f"to be skipped as `{case.skipped}`"
        if case.skipped
        else "a payload"
    )


def _difference(case: Case, got: IntendedDelivery | str) -> str:
    """Say how the result differs from what was expected; empty when it does not."""
    if isinstance(got, str):
        if case.skipped:
            return "" if got == case.skipped else f"expected to be skipped as `{case.skipped}`, but it is `{got}`"
        return f"expected a payload, but the mapping skipped the event as `{got}`"
    if case.skipped:
        return f"expected to be skipped as `{case.skipped}`, but it gave a payload"
    return "; ".join(_unequal("", case.payload, got.payload))


def _unequal(pointer: str, wanted: object, got: object) -> list[str]:
    if isinstance(wanted, dict) and isinstance(got, dict):
        found: list[str] = []
        for key in [*wanted, *(key for key in got if key not in wanted)]:
            here = f"{pointer}/{key}"
            if key not in got:
                found.append(f"{here} is missing")
            elif key not in wanted:
                found.append(f"{here} was not expected")
            else:
                found.extend(_unequal(here, wanted[key], got[key]))
        return found
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [
            one
            for index, pair in enumerate(zip(wanted, got, strict=True))
            for one in _unequal(f"{pointer}/{index}", *pair)
        ]
    return (
        []
        if wanted == got and type(wanted) is type(got)
        else [f"{pointer or '/'} is {_shown(got)}, expected {_shown(wanted)}"]
    )


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"


def _warnings(case: Case, event: Event) -> tuple[Problem, ...]:
    """A membership flag that is the text "false" reads as true at platforms that ask for truth, as Segment's connectors do."""
    context = event.body.get("context")
    personas = context.get("personas") if isinstance(context, dict) else None
    key = personas.get("computation_key") if isinstance(personas, dict) else None
    holder = event.body.get("properties" if event.type == "track" else "traits")
    flag = holder.get(key) if isinstance(holder, dict) and isinstance(key, str) else None
    if not isinstance(flag, str) or flag.strip().lower() != "false":
        return ()
    return (
        Problem(
            file=case.file,
            pointer=case.pointer,
            line=case.line,
            column=1,
            severity="warning",
            what='The membership flag of this event is the text "false"; a text that is not empty counts as "enter".',
            mend="Let the sender write a JSON boolean, or filter such events out in the trigger.",
        ),
    )
