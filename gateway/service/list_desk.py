"""Lists at partners found, made and deleted when an operator says so, with what the lane of their destination keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.config.mapping_entries import slug_of
from gateway.core.audience_ids import PREFIX as OWN_ID_PREFIX
from gateway.core.errors import OrderError
from gateway.core.outcomes import Deferred, Refused, Unauthorized
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.delivery.notes import LaneNotes
from gateway.delivery.worker import may_be_private
from gateway.destinations.base import AudienceFound, AudienceWanted, Context, Destination, KeepsAudiences
from gateway.destinations.http_audience.list_verbs import ListShown, ListVerb, ListWanted, keep_list
from gateway.destinations.http_audience.lists import ListError
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_client import PartnerHttp
from gateway.store.api import StateStore, StateView


class ListDesk:
    """Carries out list verbs for the rulebook in force."""

    def __init__(
        self,
        *,
        state: StateStore,
        rulebook: Callable[[], Rulebook],
        registry: Mapping[str, Destination],
        http: PartnerHttp,
        clock: Callable[[], int],
    ) -> None:
        self._state = state
        self._rulebook = rulebook
        self._registry = registry
        self._http = http
        self._clock = clock

    async def keep(self, name: str, verb: ListVerb) -> ListShown:
        """One verb. name: `<file>/<mapping>/<audience>`, as a sync is called, whether it is one or not. Raises OrderError."""
        destination, mapping, audience = self._found(name)
        offered = self._registry[destination.definition.slug]
        if not isinstance(offered, (HttpAudience, KeepsAudiences)):
            raise OrderError(
                409,
                "not_a_definition",
                f"{destination.definition.title} makes its lists by itself: there is none to find, make or delete.",
            )
        entry = (mapping.audiences or {}).get(audience, (mapping.audiences or {}).get("*"))
        if entry is None:
            raise OrderError(404, "unknown_audience", f"The mapping {mapping.key} serves no audience `{audience}`.")
        key, event_id = await self._state.read(lambda view: _met(view, audience))
        wanted = ListWanted(settings=destination.settings, entry=entry, audience_key=key, event_id=event_id)
        http = self._http.lane(allow_private=may_be_private(destination))
        context = Context(http=http, notes=LaneNotes(self._state, destination.key), now_us=self._clock())
        if isinstance(offered, HttpAudience):
            try:
                return await keep_list(offered, verb, wanted, context)
            except ListError as error:
                raise _refusal(error) from None
        asked = AudienceWanted(settings=destination.settings, entry=entry, key=key, event_id=_theirs(event_id))
        found = await offered.keep_audience(verb, asked, context)
        if not isinstance(found, AudienceFound):
            raise _refusal(ListError(found))
        return ListShown(audience_id=found.external_id, origin=found.origin, warnings=found.warnings)

    def _found(self, name: str) -> tuple[CompiledDestination, CompiledMapping, str]:
        stem, _, rest = name.partition("/")
        mapping, _, audience = rest.partition("/")
        found = self._rulebook().mapping(f"{stem}/{slug_of(mapping)}")
        if found is None or not audience:
            raise OrderError(
                404,
                "unknown_list",
                f"`{name}` names no list: write FILE/MAPPING/AUDIENCE, the mapping's file and name, and the audience.",
            )
        return *found, audience


def _theirs(event_id: str) -> str:
    """An id that the gateway gave out is none of the partner's."""
    return "" if event_id.startswith(OWN_ID_PREFIX) else event_id


def _met(view: StateView, audience: str) -> tuple[str, str]:
    """(computation key, external id of the events) of an audience by id or key, id first; itself where none was met yet."""
    rows = view.audiences()
    named = [row for row in rows if row.name == audience] or [row for row in rows if row.key == audience]
    return (named[0].key, named[0].external_id) if named else (audience, "")


def _refusal(error: ListError) -> OrderError:
    """The reason with a status of ours: what the partner is to blame for is no fault of the order."""
    code, _, sentence = str(error).partition(": ")
    match error.outcome:
        case Refused():
            status = 502 if code == "rejected_by_destination" else 409
        case Unauthorized():
            status = 409
        case Deferred():
            status = 503
        case _:
            status = 502
    if not code.replace("_", "").isalnum():  # No code stands before the sentence.
        return OrderError(status, "refused", str(error))
    return OrderError(status, code, sentence or code)
