"""Finds where members and elements of a JSON text lie, byte for byte, without building values and without recursion.

Signatures cover exact bytes, stored events are exact bytes, and hostile nesting must not reach a recursive parser; so
this scanner follows strings and brackets only. It does not validate what lies inside a value: parse the slice for that.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_BLANK = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STRUCTURE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}"]', re.DOTALL)
_PLAIN = re.compile(rb'[^\s,:\[\]{}"]++')
_STRINGS_OUT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING, _CLOSING = b"[{", b"]}"


class Member(NamedTuple):
    """One member of an object: its decoded name, where it starts (its quote), and where its value lies."""

    name: str
    start: int
    value_start: int
    end: int


def depth(text: bytes, *, enough: int) -> int:
    """How deep brackets outside strings nest. Stops counting once it is more than `enough`; linear, never recursive."""
    if text.count(b"[") + text.count(b"{") <= enough:
        return 0  # Cannot be deeper than that: the common case costs two counts.
    level = deepest = 0
    for bracket in _STRINGS_OUT.sub(b"", text).translate(None, _NOT_BRACKETS):
        if bracket in _OPENING:
            level += 1
            if level > deepest:
                deepest = level
                if deepest > enough:
                    return deepest
        else:
            level -= 1
    return deepest


def elements(text: bytes, start: int = 0, *, first_only: bool = False) -> list[tuple[int, int]]:
    """(start, end) of each element of the array at `start`. Raises ValueError where it is not an array, well closed."""
    at = _blank_end(text, start)
    if text[at : at + 1] != b"[":
        raise ValueError("not an array")
    found: list[tuple[int, int]] = []
    at = _blank_end(text, at + 1)
    if text[at : at + 1] == b"]":
        return found
    while True:
        end = _value_end(text, at)
        found.append((at, end))
        if first_only:
            return found
        at = _blank_end(text, end)
        separator = text[at : at + 1]
        if separator == b"]":
            return found
        if separator != b",":
            raise ValueError(f"expected ',' or ']' at byte {at}")
        at = _blank_end(text, at + 1)


def members(text: bytes, start: int = 0) -> list[Member]:
    """Every member of the object at `start`, repeated names included. Raises ValueError where it is not one, well closed."""
    at = _blank_end(text, start)
    if text[at : at + 1] != b"{":
        raise ValueError("not an object")
    found: list[Member] = []
    at = _blank_end(text, at + 1)
    if text[at : at + 1] == b"}":
        return found
    while True:
        name = _STRING.match(text, at)
        if name is None:
            raise ValueError(f"expected a member name at byte {at}")
        colon = _blank_end(text, name.end())
        if text[colon : colon + 1] != b":":
            raise ValueError(f"expected ':' at byte {colon}")
        value_start = _blank_end(text, colon + 1)
        end = _value_end(text, value_start)
        found.append(Member(json.loads(name[0]), at, value_start, end))
        at = _blank_end(text, end)
        separator = text[at : at + 1]
        if separator == b"}":
            return found
        if separator != b",":
            raise ValueError(f"expected ',' or '}}' at byte {at}")
        at = _blank_end(text, at + 1)


def without(text: bytes, names: frozenset[str]) -> bytes:
    """The object's text with the named top-level members cut out; the same bytes where none of them occurs.

    What stays keeps its exact spelling; members are joined as JavaScript writes them, by a bare comma.
    Raises ValueError where `text` is not an object.
    """
    found = members(text)
    kept = [text[member.start : member.end] for member in found if member.name not in names]
    if len(kept) == len(found):
        return text
    return b"{" + b",".join(kept) + b"}"


def _blank_end(text: bytes, at: int) -> int:
    blank = _BLANK.match(text, at)
    assert blank is not None  # It matches nothing, too.
    return blank.end()


def _value_end(text: bytes, at: int) -> int:
    """Where the value that starts at `at` ends. Raises ValueError where there is none or it is never closed."""
    opening = text[at : at + 1]
    if opening == b'"':
        string = _STRING.match(text, at)
        if string is None:
            raise ValueError(f"unclosed string at byte {at}")
        return string.end()
    if opening not in {b"[", b"{"}:
        plain = _PLAIN.match(text, at)
        if plain is None:
            raise ValueError(f"expected a value at byte {at}")
        return plain.end()
    level = 0
    for token in _STRUCTURE.finditer(text, at):
        piece = token[0]
        if len(piece) > 1:
            continue
        if piece == b'"':
            raise ValueError(f"unclosed string at byte {token.start()}")
        if piece in _OPENING:
            level += 1
        else:
            level -= 1
            if level == 0:
                return token.end()
    raise ValueError(f"unclosed bracket at byte {at}")
