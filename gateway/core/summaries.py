"""What is kept of one event's decision beside its bytes: the summary of a trace row, as JSON text without personal data."""

from __future__ import annotations

import msgspec

from gateway.core.decisions import Skipped

CHANGES_KEPT_MAX = 100  # one audiencelist may change thousands of people


class ChangeSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One membership change. audience: the ledger's integer id. verdict: the ledger's word. rule: which rule read it."""

    audience: int
    is_member: bool
    verdict: str
    rule: str


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one inbox item.

    warnings: tags. changes: as applied, in order, the first CHANGES_KEPT_MAX of them; more_changes: how many follow.
    skipped: mappings that matched and sent nothing (one that is not
      listed and owes no delivery did not match). withheld: deliveries the ledger kept back.
    code, pointer: why an item was rejected or set aside. deletions: people forgotten.
    """

    warnings: tuple[str, ...] = ()
    changes: tuple[ChangeSummary, ...] = ()
    more_changes: int = 0
    skipped: tuple[Skipped, ...] = ()
    withheld: int = 0
    code: str = ""
    pointer: str = ""
    deletions: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Summary).decode
_NOTHING = Summary()
_NOTHING_TEXT = _encode(_NOTHING)


def write_summary(summary: Summary) -> bytes:
    """The JSON text of a summary; members that say nothing are left out."""
    return _encode(summary)


def read_summary(text: bytes) -> Summary:
    """A summary from a trace row. Raises msgspec.DecodeError for what `write_summary` did not write."""
    return _decode(text) if text and text != _NOTHING_TEXT else _NOTHING
