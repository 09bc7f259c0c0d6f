"""How a validated value is bent to its field's type: the coercion rules of Segment's validator (ajv with `coerceTypes: array`)."""

from __future__ import annotations

import math
from typing import Final, Literal

from gateway.core.javascript import SAFE_INTEGER_MAX, UNDEFINED, number_text, text_number

JsonType = Literal["string", "number", "integer", "boolean", "object", "array", "null"]

_WHOLE_FROM_TEXT: Final = frozenset({"number", "integer"})


def fits(wanted: JsonType, value: object) -> bool:
    """Whether a value is of a JSON type without any help; a number must be finite to be one."""
    kind = type(value)
    if wanted == "string":
        return kind is str
    if wanted == "number":
        return (kind is int or kind is float) and math.isfinite(value)  # type: ignore[arg-type] # its kind is a number
    if wanted == "integer":
        return kind is int or (kind is float and value.is_integer())  # type: ignore[attr-defined] # its kind is float
    if wanted == "boolean":
        return kind is bool
    if wanted == "object":
        return kind is dict
    return kind is list if wanted == "array" else value is None


def coerced(types: tuple[JsonType, ...], value: object) -> tuple[bool, object]:
    """Whether a value is or can become one of `types` (tried in order), and what it becomes.

    A list of one item stands for its item, save where only an object will do. When nothing helps, the value that the
    message is about comes back: the item of such a list, else the value itself.
    """
    if any(fits(wanted, value) for wanted in types):
        return True, value
    if types == ("object",):
        return False, value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
        if len(types) == 1 and fits(types[0], value):  # With several types the reference's own test never holds.
            return True, value
    for wanted in types:
        result = _bent(wanted, value)
        if result is not UNDEFINED:
            return True, result
    return False, value


def _bent(wanted: JsonType, value: object) -> object:
    """The value as `wanted`, by that type's own rule; UNDEFINED where the rule has nothing to say."""
    if wanted == "string":
        return _as_text(value)
    if wanted in _WHOLE_FROM_TEXT:
        return _as_number(value, must_be_whole=wanted == "integer")
    if wanted == "boolean":
        return _as_boolean(value)
    if wanted == "null":
        return None if value == "" or (type(value) in {int, float, bool} and value == 0) else UNDEFINED
    if wanted == "array" and (value is None or isinstance(value, (str, int, float))):
        return [value]
    return UNDEFINED


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(value)
    return "" if value is None else UNDEFINED


def _as_number(value: object, *, must_be_whole: bool) -> object:
    if value is None or isinstance(value, bool):
        return 1 if value else 0
    if not isinstance(value, str) or not value:
        return UNDEFINED
    number = text_number(value)
    if math.isnan(number) or (must_be_whole and math.isfinite(number) and not number.is_integer()):
        return UNDEFINED
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) <= SAFE_INTEGER_MAX else number


def _as_boolean(value: object) -> object:
    if value is None or value == "false" or (type(value) in {int, float} and value == 0):
        return False
    if value == "true" or (type(value) in {int, float} and value == 1):
        return True
    return UNDEFINED
