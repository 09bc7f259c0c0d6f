"""Reads JSON as real senders write it: bare NaN, numbers of any size, lone surrogates, repeated members.

`msgspec` reads what is clean, at its speed; what it refuses is read once more here, and each oddity is mended into plain
JSON values and named in a warning. Bounded: texts nested deeper than DEPTH_MAX are refused before any recursive parser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import msgspec

from gateway.core import json_slices

DEPTH_MAX = 128  # levels of lists and objects in one event, its own braces included
INTEGER_DIGITS_MAX = 4300  # CPython refuses to convert longer ones (int_max_str_digits); they become null
INTEGER_EXACT_MAX = 2**64  # as far as msgspec keeps digits; larger ones become doubles, which is all JavaScript has
REPLACEMENT = "\ufffd"

_SURROGATE = re.compile("[\ud800-\udfff]")
_NON_FINITE = "non_finite_number"
_OUT_OF_RANGE = "number_out_of_range"
_DUPLICATE = "duplicate_keys"
_LONE = "lone_surrogate"


class TooDeepError(ValueError):
    """The text nests deeper than DEPTH_MAX."""


class _Notes:
    """Collects what was odd while one text is read."""

    def __init__(self) -> None:
        self.warnings: dict[str, None] = {}

    def constant(self, _name: str) -> None:
        self.warnings[_NON_FINITE] = None

    def integer(self, digits: str) -> int | None:
        if len(digits) - digits.startswith("-") > INTEGER_DIGITS_MAX:
            self.warnings[_OUT_OF_RANGE] = None
            return None
        return int(digits)

    def decimal(self, digits: str) -> float | None:
        value = float(digits)
        if value in {float("inf"), float("-inf")}:
            self.warnings[_OUT_OF_RANGE] = None
            return None
        return value

    def members(self, pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
        record = dict(pairs)
        if len(record) != len(pairs):
            self.warnings[_DUPLICATE] = None
        return record


def parse(text: bytes) -> tuple[object, tuple[str, ...]]:
    """Read UTF-8 JSON text without msgspec's strictness: value, warnings.

    Integers keep all their digits and lone surrogates stay, so that ids can still be checked; pass the value through
    `mend` before it is kept. NaN, the infinities and numbers out of range are None already.
    Raises TooDeepError, or ValueError where the text is not JSON even so.
    """
    if json_slices.depth(text, enough=DEPTH_MAX) > DEPTH_MAX:
        raise TooDeepError(f"nested deeper than {DEPTH_MAX} levels")
    notes = _Notes()
    value = json.loads(
        text.decode(),
        parse_constant=notes.constant,
        parse_int=notes.integer,
        parse_float=notes.decimal,
        object_pairs_hook=notes.members,
    )
    return value, tuple(notes.warnings)


def mend(value: object) -> tuple[object, tuple[str, ...]]:
    """Make a value of `parse` plain: lone surrogates become U+FFFD, integers beyond 64 bits their double or null."""
    warnings: dict[str, None] = {}
    return _mended(value, warnings), tuple(warnings)


def _mended(value: object, warnings: dict[str, None]) -> object:
    if isinstance(value, str):
        return _mended_text(value, warnings)
    if isinstance(value, dict):
        return {_mended_text(name, warnings): _mended(item, warnings) for name, item in value.items()}
    if isinstance(value, list):
        return [_mended(item, warnings) for item in value]
    if type(value) is int and not -INTEGER_EXACT_MAX // 2 <= value < INTEGER_EXACT_MAX:
        try:
            return float(value)
        except OverflowError:
            warnings[_OUT_OF_RANGE] = None
            return None
    return value


def _mended_text(text: str, warnings: dict[str, None]) -> str:
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    warnings[_LONE] = None
    return _SURROGATE.sub(REPLACEMENT, text)


def has_bad_characters(text: str) -> bool:
    """Whether a text cannot be an id, an event name or an audience key: it holds a NUL or half a surrogate pair."""
    return "\0" in text or (not text.isascii() and _SURROGATE.search(text) is not None)


_decode = msgspec.json.Decoder().decode


def read(text: bytes) -> tuple[object, tuple[str, ...], bool]:
    """Read kept JSON text: value, warnings, and whether it is clean (else ids still want `parse`'s digits).

    Raises ValueError where it is not JSON.
    """
    try:
        return _decode(text), (), True
    except (msgspec.DecodeError, RecursionError):
        value, warnings = parse(text)
        return value, warnings, False
