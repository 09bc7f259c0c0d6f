"""What is remembered of a lane's identifier warnings: the latest of each kind, small enough to be kept in one note."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.core.hash_linter import FAULTS, HashFault, HashWarning

KEPT_US: Final = 7 * 86_400 * 1_000_000  # ours: what was not seen for a week has been mended, or nothing is sent
KEPT_MAX: Final = 200  # ours: kinds of one lane (by mapping, field and code); the latest stay


class IdentifierWarning(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault of one mapping. count: values in the batches since first_us; last_us: of the latest batch."""

    mapping: str
    field: str
    code: HashFault
    count: int
    first_us: int
    last_us: int

    @property
    def sentence(self) -> str:
        """What is wrong, for an operator."""
        return FAULTS[self.code][0]

    @property
    def mend(self) -> str:
        """What to do about it."""
        return FAULTS[self.code][1]


_decode = msgspec.json.Decoder(list[IdentifierWarning]).decode
_encode = msgspec.json.Encoder().encode


def note_key(lane: str) -> str:
    """Under which the store keeps them."""
    return f"lane/{lane}/identifier_warnings"


def read_warnings(note: bytes | None, *, now_us: int) -> list[IdentifierWarning]:
    """Those seen in the last KEPT_US, the latest first. A note that cannot be read holds none."""
    if not note:
        return []
    try:
        kept = _decode(note)
    except msgspec.DecodeError:
        return []
    return sorted((one for one in kept if one.last_us > now_us - KEPT_US), key=lambda one: -one.last_us)


def with_warnings(note: bytes | None, mapping: str, found: Iterable[HashWarning], *, now_us: int) -> bytes:
    """The note after one more batch."""
    kept = {(one.mapping, one.field, one.code): one for one in read_warnings(note, now_us=now_us)}
    for warning in found:
        key = (mapping, warning.field, warning.code)
        before = kept.get(key)
        kept[key] = IdentifierWarning(
            mapping=mapping,
            field=warning.field,
            code=warning.code,
            count=warning.count + (before.count if before else 0),
            first_us=before.first_us if before else now_us,
            last_us=now_us,
        )
    latest = sorted(kept.values(), key=lambda one: -one.last_us)
    return _encode(latest[:KEPT_MAX])
