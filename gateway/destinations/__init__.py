"""The destinations there are: one line each."""

from __future__ import annotations

from typing import Final

from gateway.destinations.base import Destination
from gateway.destinations.stackadapt.perform import STACKADAPT
from gateway.destinations.taboola.perform import TABOOLA
from gateway.destinations.the_trade_desk.perform import THE_TRADE_DESK

REGISTRY: Final[dict[str, Destination]] = {
    destination.definition.slug: destination
    for destination in (
        STACKADAPT,
        TABOOLA,
        THE_TRADE_DESK,
    )
}  # fmt: skip
"""By slug; `destination_named` knows the other names too."""


def destination_named(name: str) -> Destination | None:
    """The destination that a name means: its slug, one of its other names (such as Segment's), or a shipped definition's."""
    from gateway.destinations.http_audience.catalog import catalog  # noqa: PLC0415 (read when first asked for)

    every: dict[str, Destination] = {**catalog(), **REGISTRY}
    found = every.get(name)
    if found is not None:
        return found
    return next((destination for destination in every.values() if name in destination.definition.names), None)
