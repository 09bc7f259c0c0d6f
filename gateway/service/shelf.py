"""The destinations there are at this moment: those written in code, those that ship as files, and those of mappings/."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.config.files import parse_file
from gateway.config.folder import FolderText
from gateway.core.definitions import Definition
from gateway.core.errors import Problem
from gateway.core.rulebook import Rulebook
from gateway.destinations import REGISTRY
from gateway.destinations.base import Destination, LooksAtAudiences
from gateway.destinations.http_audience.catalog import catalog
from gateway.destinations.http_audience.loading import definitions_from


def shipped() -> dict[str, Destination]:
    """Every destination that comes with the gateway, by slug."""
    return {**REGISTRY, **catalog()}


def definitions_by_name(destinations: Mapping[str, Destination]) -> dict[str, Definition]:
    """Definitions by every name that a mapping file may use for them."""
    return {
        name: one.definition for one in destinations.values() for name in (one.definition.slug, *one.definition.names)
    }


class Shelf(Mapping[str, Destination]):
    """Destinations by slug, as the rulebook in force was compiled with them.

    `definitions` is asked at each compilation; what it made counts from `take` on, which follows when that rulebook is put
    in force.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        """variables: where `$secret` references of definition files are looked up."""
        self._variables = variables
        self._made: dict[str, Destination] = shipped()
        self._in_force = self._made

    def definitions(self, text: FolderText) -> tuple[dict[str, Definition], list[Problem]]:
        """Compile the folder's own definitions beside the shipped ones; all problems of all of them."""
        known = shipped()
        files = [parse_file(raw) for raw in text.definitions]
        readable = [one for one in files if one.document is not None]
        problems = [problem for one in files if one.document is None for problem in one.problems]
        made, found = definitions_from(readable, variables=self._variables, taken=definitions_by_name(known))
        self._made = {**known, **made}
        return definitions_by_name(self._made), [*problems, *found]

    def setting_problems(self, slug: str, settings: dict[str, object], corrections: frozenset[str]) -> Sequence[str]:
        """What the destination says of resolved settings, as it was compiled last."""
        return self._made[slug].check_settings(settings, corrections)

    def audience_warnings(self, slug: str, entry: dict[str, object]) -> Sequence[str]:
        """What the destination finds odd about one entry of `audiences`; most have nothing to say."""
        offered = self._made[slug]
        return offered.audience_warnings(entry) if isinstance(offered, LooksAtAudiences) else ()

    def take(self, _: Rulebook) -> None:
        """What the last compilation made is in force."""
        self._in_force = self._made

    def __getitem__(self, slug: str) -> Destination:
        return self._in_force[slug]

    def __iter__(self) -> Iterator[str]:
        return iter(self._in_force)

    def __len__(self) -> int:
        return len(self._in_force)
