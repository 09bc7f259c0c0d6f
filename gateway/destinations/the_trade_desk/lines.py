"""One member as The Trade Desk knows them: the line of the file, and the person key by which members are counted. Pure."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final

from gateway.core.identifiers import GMAIL, is_email, is_hex_digest, normalise_email_uid2, reencoded, sha256_base64
from gateway.core.javascript import to_text
from gateway.destinations.the_trade_desk.definition import EMAIL, HASHED

BASE64_CHARS_MAX: Final = 88  # ours: a SHA-512; no longer value can be an identifier
HEX_CHARS: Final = 64
EMAILS_PER_MEMBER_MAX: Final = 100  # ours: the oldest goes when one member has given more addresses than these

PAYLOADS: Final = "payloads"
AT_US: Final = "at_us"

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={1,2}")
_KEPT = ("external_id", "pii_type", "email")

Record = Mapping[str, object]


def person_key(value: str) -> str:
    """Who a value means, whatever its spelling: the UID2 hash in Base64; nothing where it is no identifier.

    A SHA-256 in hexadecimal is written in Base64, Base64 with padding stays as it is (whatever it spells), an address is
    normalised and hashed.
    """
    if "@" in value:  # No hash has one, and every address does.
        return address_key(value) if is_email(value) else ""
    if len(value) == HEX_CHARS and is_hex_digest(value):
        return reencoded(value, encoding="base64")
    return value if len(value) <= BASE64_CHARS_MAX and _BASE64.fullmatch(value) else ""


def address_key(value: str) -> str:
    """The person key of what `is_email` lets pass. As `sha256_base64(normalise_email_uid2(value))`, in two thirds of its time."""
    address = value.lower()
    if address.endswith(GMAIL):
        address = normalise_email_uid2(value)
    # An address has no white space, so there is nothing to trim: of the normalisation only Gmail's part is left.
    if not address.isascii():
        return sha256_base64(address)
    return b2a_base64(sha256(address.encode()).digest(), newline=False).decode()


def line_of(value: str, pii_type: str) -> str:
    """The line a value gives, without its line feed; nothing where the value is left out of the file.

    In the mode Email the address exactly as given, and no hashes; in the other one the person key.
    """
    if pii_type == EMAIL:
        return value if is_email(value) else ""
    return person_key(value) if pii_type == HASHED else ""


def member_line(payload: Record, corrections: frozenset[str] = frozenset()) -> str | None:  # noqa: ARG001 - none applies
    """The line of one payload (the conformance kind `member`); None where the platform gets nothing."""
    return line_of(email_of(payload), to_text(payload.get("pii_type") or "")) or None


def email_of(payload: Record) -> str:
    """A payload's value; null and a missing one are empty."""
    value = payload.get("email")
    return value if isinstance(value, str) else "" if value is None else to_text(value)


# --- What a sync keeps of one member ---


def with_payload(record: Record | None, payload: Record, at_us: int) -> dict[str, object] | None:
    """A member's record after an entering event: `{"payloads": [{"email", "pii_type", "at_us" …}, …]}`, oldest first.

    One payload per person key, the latest event's (of equal times, the later call's). A payload that gives nobody leaves
    the record as it was (None where there was none). At most EMAILS_PER_MEMBER_MAX stay.
    """
    key = person_key(email_of(payload))
    kept = {person_key(email_of(one)): one for one in payloads_of(record)} if record is not None else {}
    if key and at_us >= _at_us(kept.get(key)):
        kept[key] = {**{name: payload[name] for name in _KEPT if name in payload}, AT_US: at_us}
    if not kept:
        return None
    latest = sorted(kept.values(), key=_at_us)[-EMAILS_PER_MEMBER_MAX:]
    return {PAYLOADS: latest}


def payloads_of(record: Record) -> Iterator[Record]:
    """The payloads of a record: its list of them, or the record itself where it is one payload."""
    listed = record.get(PAYLOADS)
    if not isinstance(listed, list):
        yield record
        return
    for one in listed:
        if isinstance(one, dict):
            yield one


def _at_us(payload: Record | None) -> int:
    at_us = payload.get(AT_US) if payload is not None else None
    return at_us if isinstance(at_us, int) and at_us > 0 else 0


def emails_of(rows: Iterable[tuple[str, Record]]) -> Iterator[str]:
    """The value of every payload of every member, in order."""
    for _member, record in rows:
        if PAYLOADS in record:
            yield from map(email_of, payloads_of(record))
        else:
            value = record.get("email")
            yield value if type(value) is str else email_of(record)


def timed_emails_of(rows: Iterable[tuple[str, Record]]) -> Iterator[tuple[str, int]]:
    """The same with the time of its event in µs, 0 where unknown."""
    for _member, record in rows:
        if PAYLOADS in record:
            for payload in payloads_of(record):
                yield email_of(payload), _at_us(payload)
        else:
            value, at_us = record.get("email"), record.get(AT_US)
            yield value if type(value) is str else email_of(record), at_us if type(at_us) is int and at_us > 0 else 0
