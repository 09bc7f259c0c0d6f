"""Conditional requirements of fields, compiled: which fields a payload must hold because of what others hold.

They are read before any value is coerced, as the reference does, with its own ideas of what a condition on a missing value,
a dotted key or a single condition means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.core.coercion import coerced
from gateway.core.definitions import Condition, Field, RequiredWhen

Payload = dict[str, object]
Test = Callable[[Payload], bool]
Requirement = Callable[[Payload, str, list[str]], None]
"""(payload, JSON Pointer to it, messages): appends a sentence for every field that is missing, then one for the rule."""


def compile_requirements(fields: Sequence[Field]) -> tuple[Requirement, ...]:
    """One function for each conditionally required field of one object, those one level inside its objects included."""
    conditions: dict[str, RequiredWhen] = {}
    for field in fields:
        if field.type == "object":
            for inner in field.properties:
                if isinstance(inner.required, RequiredWhen):
                    conditions[f"{field.key}.{inner.key}"] = inner.required
        if isinstance(field.required, RequiredWhen):
            conditions[field.key] = field.required
    return tuple(_requirement(key, when) for key, when in conditions.items() if when.conditions)


def subject(pointer: str) -> str:
    """What a sentence calls a value that has no label."""
    return f"The value at {pointer}" if pointer else "The root value"


def _requirement(key: str, when: RequiredWhen) -> Requirement:
    holds = _single(when.conditions[0]) if len(when.conditions) == 1 else _several(when)
    # With several conditions the reference asks for the dotted key as it stands, as one name at this level.
    outer, inner = key.split(".")[:2] if "." in key and len(when.conditions) == 1 else (key, "")

    def check(payload: Payload, pointer: str, messages: list[str]) -> None:
        if not holds(payload):
            return
        if outer not in payload:
            messages.append(f"{subject(pointer)} is missing the required field '{outer}'.")
        elif inner and isinstance(held := payload[outer], dict) and inner not in held:
            messages.append(f"{subject(f'{pointer}/{outer}')} is missing the required field '{inner}'.")
        else:
            return
        messages.append(f'{subject(pointer)} must match "then" schema.')

    return check


def _single(condition: Condition) -> Test:
    key, wants_match = condition.field_key, condition.operator == "is"
    if "." in key or condition.value is not _NO_VALUE:
        return _holds_value(condition)
    if wants_match:
        return lambda payload: key not in payload or _is_nothing(payload[key])
    return lambda payload: key in payload and not _is_nothing(payload[key])


def _several(when: RequiredWhen) -> Test:
    tests = [_one_of_several(condition) for condition in when.conditions]
    if when.match == "any":
        return lambda payload: any(test(payload) for test in tests)
    return lambda payload: all(test(payload) for test in tests)


def _one_of_several(condition: Condition) -> Test:
    key = condition.field_key
    if "." in key or condition.value is not _NO_VALUE:
        return _holds_value(condition)
    if condition.operator == "is":
        return lambda payload: key not in payload
    return lambda payload: key in payload


def _holds_value(condition: Condition) -> Test:
    """Whether the other field is there and (not) equal to the value. A value that is not an object hides its members."""
    key, _, inner = condition.field_key.partition(".")
    inner = inner.partition(".")[0]
    wanted, wants_match = condition.value, condition.operator == "is"

    def agrees(value: object) -> bool:
        if wanted is _NO_VALUE:  # The reference forgets the comparison: `is` holds, `is_not` does not.
            return wants_match
        return _same(value, wanted) is wants_match

    if not inner:
        return lambda payload: key in payload and agrees(payload[key])

    def test(payload: Payload) -> bool:
        if key not in payload:
            return False
        held = payload[key]
        return not isinstance(held, dict) or (inner in held and agrees(held[inner]))

    return test


def _same(left: object, right: object) -> bool:
    """Deep equality of JSON values; in Python `True == 1`, in JSON it is not."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _is_nothing(value: object) -> bool:
    """Null, or what the validator coerces to null when it asks: empty text, zero, false, a list of one such."""
    return coerced(("null",), value)[0]


_NO_VALUE = Condition(field_key="", operator="is").value
