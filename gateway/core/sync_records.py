"""What a sync knows of one member: the entries a list holds of it, how sure that is, and what is wrong.

Also the fingerprint that tells whether two rendered payloads are the same to a list.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

CANONICAL_DEPTH_MAX = 100  # deeper values are compared as they are spelled

State = Literal["absent", "present", "assumed", "unsure"]
"""absent: nothing of the member is on the list. present: confirmed there. assumed: believed there, not put by us.
unsure: the last request about it had no answer."""

Operation = Literal["add", "update", "replace", "remove", "erase"]
"""replace takes what was sent away and adds anew; erase is a removal that a privacy request asks for."""

ProblemKind = Literal["failed", "rejected", "unsure", "unmappable"]

_digest = re.compile(r"(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})")


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a list, as rendered or as sent: mapped, normalised, hashed.

    identity: `fingerprint` of the identifiers alone: two entries of one identity are one entry of the list.
    fingerprint: of the whole payload. payload: JSON text, opaque here. remembered: JSON text of values that the platform
    gave for it, needed to remove it.
    """

    identity: str
    fingerprint: str
    payload: bytes = b"{}"
    remembered: bytes = b""


class Unmappable(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The member is in, and no entry can be made of it. code: which rule said so, without personal data."""

    code: str


class RecordProblem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why the last operation on a member did not get through.

    op: None for unmappable. fingerprint, mapping_version, destination_version: of what was tried; a change of any lifts
    quarantine and back-off. attempts: runs in a row. next_try_us: not before this (Unix µs), 0 for at once.
    """

    kind: ProblemKind
    op: Operation | None = None
    code: str = ""
    fingerprint: str = ""
    mapping_version: str = ""
    destination_version: str = ""
    attempts: int = 1
    first_us: int = 0
    next_try_us: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One (sync, member). No row means ABSENT; a row that is absent and without a problem may be deleted.

    sent: the entry as last accepted (attempted, where unsure); removals use it and never the payload of today.
    orphans: earlier entries that may still be on the list. A record that is not absent has a `sent`.
    """

    state: State = "absent"
    sent: Entry | None = None
    orphans: tuple[Entry, ...] = ()
    problem: RecordProblem | None = None
    mapping_version: str = ""
    destination_version: str = ""
    changed_us: int = 0

    @property
    def is_listed(self) -> bool:
        """Counts towards the size of the list."""
        return self.state != "absent"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything of the member that the list may hold, `sent` first."""
        return () if self.sent is None else (self.sent, *self.orphans)


ABSENT = Record()


def fingerprint(value: object) -> str:
    """SHA-256, in hex, of the canonical JSON of a decoded value.

    Key order, the spelling of a number (1 and 1.0) and the case of a hex digest make no difference.
    """
    return hashlib.sha256(msgspec.json.encode(_canonical(value, 0), order="sorted")).hexdigest()


def render(payload: dict[str, object], identifiers: Collection[str], *, remembered: bytes = b"") -> Entry:
    """An entry of a payload as the platform gets it. identifiers: names of the fields that tell who it is."""
    return Entry(
        identity=fingerprint({name: payload[name] for name in identifiers if name in payload}),
        fingerprint=fingerprint(payload),
        payload=msgspec.json.encode(payload),
        remembered=remembered,
    )


def without(record: Record, identities: Collection[str]) -> Record:
    """The record after these entries have gone; none left is absent.

    An orphan that takes the place of `sent` is unsure: it may be of a request that had no answer.
    """
    if not identities:
        return record
    left = tuple(entry for entry in record.entries if entry.identity not in identities)
    if len(left) == len(record.entries):
        return record
    if not left:
        return msgspec.structs.replace(record, state="absent", sent=None, orphans=())
    state = record.state if left[0] is record.entries[0] else "unsure"
    return msgspec.structs.replace(record, state=state, sent=left[0], orphans=left[1:])


def with_sent(record: Record, entry: Entry, state: State) -> Record:
    """The record with `entry` as its `sent`; what was sent under other identifiers becomes orphans."""
    others = distinct(one for one in record.entries if one.identity != entry.identity)
    return msgspec.structs.replace(record, state=state, sent=entry, orphans=others)


def with_orphan(record: Record, entry: Entry, state: State) -> Record:
    """The record with an entry that another member leaves to it; it becomes `sent` where there was none."""
    if record.sent is None:
        return msgspec.structs.replace(record, state=state, sent=entry, orphans=())
    if any(one.identity == entry.identity for one in record.entries):
        return record
    return msgspec.structs.replace(record, orphans=(*record.orphans, entry))


def distinct(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Each identity once, the first of it, in order."""
    return tuple({entry.identity: entry for entry in reversed(list(entries))}.values())[::-1]


def _canonical(value: object, depth: int) -> object:
    if depth > CANONICAL_DEPTH_MAX:
        return value
    if isinstance(value, dict):
        return {key: _canonical(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(member, depth + 1) for member in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _digest.fullmatch(value):
        return value.lower()
    return value
