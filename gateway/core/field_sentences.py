"""The sentences that a payload's faults are told in, the reference's word for word; `field_rules.py` finds the faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.coercion import JsonType
from gateway.core.javascript import UNDEFINED, json_string, number_text
from gateway.core.requirements import subject

_FORMAT_LABELS: Final = {
    "date-time": "date and time",
    "email": "email address",
    "ipv4": "IPv4 address",
    "ipv6": "IPv6 address",
    "uri": "URI",
    "uri-reference": "URI Reference",
    "uri-template": "URI-template",
    "json-pointer": "JSON Pointer",
    "relative-json-pointer": "relative JSON Pointer",
    "regex": "regular expression",
}


def field_name(label: str, pointer: str) -> str:
    """A field by its label, with a capital; without one, by its place."""
    return label[:1].upper() + label[1:] if label else subject(pointer)


def wrong_type(name: str, types: tuple[JsonType, ...], value: object) -> str:
    """A value of another type than any of these."""
    wanted = listed(list(types))
    return f"{name} must be {'an' if wanted[0] in 'aeiou' else 'a'} {wanted} but it was {_kind_of(value)}."


def wrong_format(name: str, format_name: str) -> str:
    """A text that is not of the format."""
    return f"{name} must be a valid {_FORMAT_LABELS.get(format_name, format_name)} string but it was not."


def _kind_of(value: object) -> str:
    if value is UNDEFINED:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def characters(count: float) -> str:
    """`1 character`, `5 characters`."""
    return f"{number_text(count)} character{'' if count == 1 else 's'}"


def quoted(choice: str | None) -> str:
    """A choice as JSON writes it."""
    return "null" if choice is None else json_string(choice)


def listed(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b, or c`."""
    if len(words) <= 2:
        return " or ".join(words)
    return f"{', '.join(words[:-1])}, or {words[-1]}"
