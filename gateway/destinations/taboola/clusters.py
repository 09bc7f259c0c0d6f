"""One person as Taboola gets them: the cluster of an e-mail hash and a device id. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.core.identifiers import is_hex_digest, is_zeroed_device_id, sha256_hex, trim_lower
from gateway.core.javascript import json_string, to_text

LOWER_TRIM_EMAIL: Final = "lower_trim_email"  # names of corrections
DROP_ZERO_DEVICE_ID: Final = "drop_zero_device_id"

Identifier = tuple[str, str]  # (type, user_id)
Record = Mapping[str, object]

EMAIL: Final = "EMAIL_ID"
DEVICE: Final = "DEVICE_ID"


def identifiers_of(payload: Record, corrections: frozenset[str]) -> tuple[Identifier, ...]:
    """None, one or two: the e-mail address hashed, then the device id as it is."""
    found: list[Identifier] = []
    email = _email_id(_text(payload.get("user_email")), corrections)
    if email:
        found.append((EMAIL, email))
    device = _text(payload.get("device_id"))
    if device and not (DROP_ZERO_DEVICE_ID in corrections and is_zeroed_device_id(device)):
        found.append((DEVICE, device))
    return tuple(found)


def _email_id(given: str, corrections: frozenset[str]) -> str:
    """64 hexadecimal digits stay as they are, in either case; anything else is hashed, an address or not."""
    if is_hex_digest(given):
        return given
    address = trim_lower(given) if LOWER_TRIM_EMAIL in corrections else given
    return sha256_hex(address) if address else ""


def cluster_text(identifiers: tuple[Identifier, ...]) -> str:
    """All identifiers of one person in one event, as JSON."""
    entries = [
        f'{{"user_id":{json_string(user_id)},"type":"{kind}","is_hashed":{"true" if kind == EMAIL else "false"}}}'
        for kind, user_id in identifiers
    ]
    return f'{{"cluster":[{",".join(entries)}]}}'


def member_of(payload: Record, corrections: frozenset[str]) -> dict[str, object] | None:
    """What Taboola gets for this one person, as a value: the cluster; None where there is nobody to name."""
    identifiers = identifiers_of(payload, corrections)
    if not identifiers:
        return None
    return {
        "cluster": [{"user_id": user_id, "type": kind, "is_hashed": kind == EMAIL} for kind, user_id in identifiers]
    }


def _text(value: object) -> str:
    """A payload's text; what a member question may hold besides counts as JavaScript's text of it."""
    return "" if value is None or value is False else to_text(value)
