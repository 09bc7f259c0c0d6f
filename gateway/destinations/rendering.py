"""What a platform would know of one member, as digests: what a sync compares instead of sending everybody again."""

from __future__ import annotations

import msgspec

from gateway.core.rulebook import CompiledDestination, CompiledMapping
from gateway.core.sync_records import fingerprint
from gateway.destinations.base import Destination, NamesPeople, RendersRecords, ShowsMembers

DIGEST_BYTES = 16

NOTHING_TO_LIST = "no_identifiers"


class Rendered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One member's payload as a list knows it: digests of all of it and of the identifiers, and its line.

    line: 0, or for platforms that get several lines of one member the number of this one.
    """

    fingerprint: bytes
    entry: bytes
    line: int = 0


def render(
    offered: Destination, destination: CompiledDestination, mapping: CompiledMapping, payload: dict[str, object]
) -> Rendered | str:
    """The digests, or a code where the platform would get nothing for the payload."""
    action = mapping.action.slug
    if isinstance(offered, RendersRecords):
        hashing = mapping.sync.hashing if mapping.sync is not None else "on"
        found = offered.rendered(action, payload, hashing=hashing)
        if isinstance(found, str):
            return found
        record, identifiers = found
        return Rendered(
            _digest(record), _digest({name: record[name] for name in sorted(identifiers) if name in record})
        )
    if isinstance(offered, NamesPeople):
        person = offered.person(payload)
        shown = (
            offered.member(action, payload, destination.corrections) if isinstance(offered, ShowsMembers) else person
        )
        if not person or shown is None:
            return NOTHING_TO_LIST
        entry = _digest(person)
        return Rendered(_digest(shown), entry, int.from_bytes(entry[:8], "big", signed=True) or 1)
    if isinstance(offered, ShowsMembers):
        shown = offered.member(action, payload, destination.corrections)
        if shown is None:
            return NOTHING_TO_LIST
        digest = _digest(shown)
        return Rendered(digest, digest)
    digest = _digest(payload)
    return Rendered(digest, digest)


def _digest(value: object) -> bytes:
    return bytes.fromhex(fingerprint(value))[:DIGEST_BYTES]
