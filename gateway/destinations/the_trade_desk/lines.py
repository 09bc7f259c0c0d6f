"""One member as The Trade Desk knows them: the line of the file, and the person key by which members are counted. Pure."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from gateway.core.identifiers import (
    EMAIL_CHARS_MAX,
    GMAIL,
    is_email,
    is_hex_digest,
    normalise_email_uid2,
    reencoded,
    sha256_base64,
)
from gateway.core.javascript import to_text

EMAIL: Final = "Email"
HASHED: Final = "EmailHashedUnifiedId2"
BASE64_CHARS_MAX: Final = 88  # ours: a SHA-512; no longer value can be an identifier
HEX_CHARS: Final = 64
AT_US: Final = "at_us"  # what a snapshot adds to a payload
AT_US_MAX: Final = 10**18  # ours: the year 33658; what lies behind is no time

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={1,2}")

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


def person_keys(values: Sequence[str]) -> list[str]:
    """`person_key` of each value, in two thirds of the time where they are addresses all."""
    return address_keys(values) if are_addresses(values) else [person_key(value) for value in values]


def address_keys(values: Iterable[str]) -> list[str]:
    """`address_key` of each value."""
    lower = [value.lower() for value in values]
    addresses = [normalise_email_uid2(one) if one.endswith(GMAIL) else one for one in lower]
    if not "".join(addresses).isascii():
        return [sha256_base64(address) for address in addresses]
    return [b2a_base64(sha256(address.encode()).digest(), newline=False).decode() for address in addresses]


def are_addresses(values: Sequence[str]) -> bool:
    """Whether `is_email` lets every one of these values pass. A doubt counts as no: ask one by one then.

    Of the first at sign that something stands before, and of any dot behind it that stands between others, it is enough
    that they are there. Python splits at all of JavaScript's white space but U+FEFF, and at some more, hence the doubt.
    """
    joined = "".join(values)
    if len(joined.split(None, 1)) != 1 or joined[0].isspace() or joined[-1].isspace() or "\ufeff" in joined:
        return False
    good = [value for value in values if (at := value.find("@", 1)) > 0 and value.find(".", at + 2, -1) > 0]
    return len(good) == len(values) and max(map(len, values)) <= EMAIL_CHARS_MAX


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


# --- The rows of a list ---


def emails_of(rows: Iterable[tuple[str, Record]]) -> Iterator[str]:
    """The value of every row, in order."""
    for _member, payload in rows:
        value = payload.get("email")
        yield value if type(value) is str else email_of(payload)


def timed_emails_of(rows: Iterable[tuple[str, Record]]) -> Iterator[tuple[str, int]]:
    """The same with the time of its event in µs, 0 where unknown."""
    for _member, payload in rows:
        value, at_us = payload.get("email"), payload.get(AT_US)
        is_time = type(at_us) is int and 0 < at_us < AT_US_MAX
        yield value if type(value) is str else email_of(payload), at_us if is_time else 0  # type: ignore[misc] # an int if so
