"""A list's life on an operator's explicit command: found, made, deleted. What its id is known from is told with it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from gateway.core.outcomes import Refused, Unauthorized
from gateway.destinations.base import Context
from gateway.destinations.http_audience.delivering import Courier
from gateway.destinations.http_audience.fields import Rejection
from gateway.destinations.http_audience.lists import ListError, delete_list, find_list, found_or_made, noted_list
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_audience.target import facts_of, given_id
from gateway.destinations.http_audience.wire import Facts

ListVerb = Literal["find", "create", "delete"]
LIST_VERBS: Final[tuple[ListVerb, ...]] = ("find", "create", "delete")


class ListShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A list after the verb. audience_id: "" where none is known. warnings: where it is not quite what was asked for.

    origin: where the id is from. mapping: the file says it; kept: found or made before; event: an event brought it; partner:
    the partner was asked now; created, deleted: by this very command.
    """

    audience_id: str
    origin: Literal["mapping", "kept", "event", "partner", "created", "deleted", ""]
    warnings: tuple[str, ...] = ()


class ListWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which list. entry: of the mapping's `audiences`; event_id: the id an event brought."""

    settings: dict[str, object]
    entry: dict[str, object]
    audience_key: str
    event_id: str = ""


async def keep_list(destination: HttpAudience, verb: ListVerb, wanted: ListWanted, context: Context) -> ListShown:
    """Carry out one verb. Raises ListError.

    find: asks the partner only where no id is known. create: makes none where one is known or found. delete: needs an id.
    """
    problems = destination.check_settings(wanted.settings, frozenset())
    if problems:
        raise ListError(Unauthorized(reason=f"config_invalid: {problems[0]}"))
    courier = Courier(
        destination.file,
        destination.access(wanted.settings),
        destination.way_out(wanted.settings, context),
        frozenset(),
    )
    known = await _known(destination, courier, wanted)
    if verb == "delete":
        return await _deleted(destination, courier, wanted, known)
    if known.audience_id:
        return known
    without = _facts(destination, wanted, "", without_id=True)
    if verb == "create":
        audience_id, origin = await found_or_made(courier, without)
        return ListShown(audience_id=audience_id, origin=origin)
    found = await find_list(courier, without)
    return ListShown(audience_id=found, origin="partner" if found else "")


async def _known(destination: HttpAudience, courier: Courier, wanted: ListWanted) -> ListShown:
    """The id as far as nobody has to be asked, in the order in which deliveries take it."""
    given = given_id(wanted.entry, "")
    if given:
        return ListShown(audience_id=given, origin="mapping")
    facts = _facts(destination, wanted, "", without_id=True)
    kept = await noted_list(courier, facts)
    if kept:
        return ListShown(audience_id=kept, origin="kept")
    return ListShown(audience_id=wanted.event_id, origin="event" if wanted.event_id else "")


async def _deleted(destination: HttpAudience, courier: Courier, wanted: ListWanted, known: ListShown) -> ListShown:
    if not known.audience_id and destination.file.needs_audience_id:
        message = "No list of this audience is known, so there is none to delete; `find-list` asks the partner."
        raise ListError(Refused(reason=f"audience_not_connected: {message}"))
    await delete_list(courier, _facts(destination, wanted, known.audience_id, without_id=not known.audience_id))
    return ListShown(audience_id=known.audience_id, origin="deleted")


def _facts(destination: HttpAudience, wanted: ListWanted, list_id: str, *, without_id: bool) -> Facts:
    facts = facts_of(
        destination.file,
        wanted.entry,
        external_id=list_id,
        audience_key=wanted.audience_key,
        without_id=without_id,
    )
    if isinstance(facts, Rejection):
        raise ListError(Refused(reason=facts.reason))
    return facts
