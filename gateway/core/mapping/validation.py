"""Validation of mappings: Segment's checks, in its order and words, each with a true place and a way to mend it.

Segment does not look everywhere: lists are accepted as they are (`@arrayPath`'s first two items and `@merge`'s objects
apart), and so is a plain object given to `@literal` or `@excludeWhenNull`. `unchecked.py` looks there.
"""

from collections.abc import Callable
from difflib import get_close_matches

from gateway.core.javascript import UNDEFINED, in_key_order, json_string, type_name, utf16_length
from gateway.core.mapping.problems import MappingProblem, Place
from gateway.core.mapping.replacing import PATTERN_UNITS_MAX

Problems = list[MappingProblem]
Check = Callable[[object, Place], Problems]


def reference_problems(mapping: object) -> Problems:
    """All that Segment refuses in a mapping, in its order."""
    return check_value(mapping, Place())


def reference_messages(mapping: object) -> list[str]:
    """The same, in Segment's words alone."""
    return [problem.reference_message or "" for problem in reference_problems(mapping)]


def check_value(value: object, place: Place) -> Problems:
    """Any value: directives and the values of plain objects are checked, everything else passes."""
    if not isinstance(value, dict):
        return []
    if _is_directive_like(value):
        return _check_directive(value, place)
    return [problem for key, item in in_key_order(value).items() for problem in check_value(item, place.key(key))]


# --- What every directive must be ---


def _check_directive(record: dict[str, object], place: Place) -> Problems:
    """An object with a key that begins with `@`: one such key, nothing beside it but `_metadata`, a known name."""
    names = [key for key in record if key.startswith("@")]
    others = [key for key in record if not key.startswith("@") and key != "_metadata"]
    if len(names) > 1 or others:
        count = len(names) if len(names) > 1 else len(record)
        return _problem(
            place,
            f"should only have one @-prefixed key but it has {count} keys",
            f"`{names[0]}` must stand alone in its object, but `{(names[1:] or others)[0]}` stands beside it. Keep one"
            " key that begins with `@`, and move the others out.",
        )
    (name,) = names
    if name not in CHECKS:
        return _problem(place, f"has an invalid directive: {name}", unknown_directive(name))
    return CHECKS[name](record[name], place.key(name))


def unknown_directive(name: str) -> str:
    """What to say of a name that is no directive."""
    near = get_close_matches(name, CHECKS, n=1)
    known = f"Did you mean `{near[0]}`?" if near else f"Write one of {', '.join(CHECKS)}."
    return f"`{name}` is not a directive; names count upper and lower case. {known}"


def _problem(place: Place, reference: str, message: str) -> Problems:
    return [
        MappingProblem(pointer=place.pointer, message=message, reference_message=place.reference_message(reference))
    ]


def _is_directive_like(value: object) -> bool:
    return isinstance(value, dict) and any(key.startswith("@") for key in value)


# --- Types ---

_OURS = {"string": "text", "array": "list", "undefined": "nothing"}


def _wrong_type(place: Place, wanted: str, ours: str, value: object, *, found: str = "") -> Problems:
    found = found or ("directive" if _is_directive_like(value) else type_name(value))
    article = "an" if found[0] in "aeiou" else "a"
    said = _OURS.get(found, found)
    return _problem(
        place,
        f"should be {wanted} but it is {article} {found}",
        f"This must be {ours}, but it is {said if said in ('nothing', 'null') else f'a {said}'}.".replace(
            "a object", "an object"
        ),
    )


def _is_text(value: object, place: Place) -> Problems:
    """A text, or a directive that gives one."""
    if isinstance(value, str) or _is_directive_like(value):
        return []
    return _wrong_type(place, "a string or a mapping directive", "a text or a directive that gives one", value)


def _is_object(value: object, place: Place) -> Problems:
    """An object, or a directive that gives one."""
    if isinstance(value, dict):
        return []
    return _wrong_type(place, "a object or a mapping directive", "an object or a directive that gives one", value)


def _is_anything(_value: object, _place: Place) -> Problems:
    return []


def _check_text(value: object, place: Place) -> Problems:
    return _is_text(value, place) or check_value(value, place)


def _check_object(value: object, place: Place) -> Problems:
    return _is_object(value, place) or check_value(value, place)


def _check_any(value: object, place: Place) -> Problems:
    """Anything; only a directive is looked into, not a plain object."""
    return check_value(value, place) if _is_directive_like(value) else []


def _check_string(value: object, place: Place) -> Problems:
    return [] if isinstance(value, str) else _wrong_type(place, "a string", "a text, as it stands", value)


def _check_boolean(value: object, place: Place) -> Problems:
    return [] if isinstance(value, bool) else _wrong_type(place, "a boolean", "true or false", value)


def _check_list(value: object, place: Place) -> Problems:
    if isinstance(value, list):
        return []
    # Segment does not tell a directive from an object here.
    return _wrong_type(place, "an array", "a list", value, found=type_name(value))


def _check_length(units_min: int) -> Check:
    def check(value: object, place: Place) -> Problems:
        if not isinstance(value, str):
            return _check_string(value, place)
        units = utf16_length(value)
        if units < units_min:
            return _problem(place, f"should be a string of length {units_min} or greater", "This must not be empty.")
        if units > PATTERN_UNITS_MAX:
            return _problem(
                place,
                f"should be a string of length {PATTERN_UNITS_MAX} or less",
                f"This has {units} characters, and {PATTERN_UNITS_MAX} are the most. Shorten it, or use `@liquid`.",
            )
        return []

    return check


def _check_one_of(*words: str) -> Check:
    def check(value: object, place: Place) -> Problems:
        if not isinstance(value, str):
            return _check_string(value, place)
        if value.lower() in words:
            return []
        return _problem(
            place,
            f"should be one of {', '.join(words)} but it is {json_string(value)}",
            f"This must be {' or '.join(f'`{word}`' for word in words)}.",
        )

    return check


# --- Directives ---


def _check_options(required: dict[str, Check] | None = None, optional: dict[str, Check] | None = None) -> Check:
    """An object of options. All that are there are first checked as values; only when they pass, as what they must be.

    The second stage asks for types alone: what is inside has just passed, and walking it once more at every level would
    double the work with each, as it does in Segment's code. It goes by OPTION_ORDER, required and optional mixed.
    """
    named = {**(optional or {}), **(required or {})}
    order = [name for name in OPTION_ORDER if name in named]

    def check(option: object, place: Place) -> Problems:
        if not isinstance(option, dict) or _is_directive_like(option):
            return _wrong_type(place, "an object", "an object with the directive's options", option)
        problems = check_value(option, place)
        if problems:
            return problems
        for name in order:
            if name in option:
                problems += named[name](option[name], place.key(name))
            elif required and name in required:
                problems += _problem(
                    place,
                    f'should have field "{name}" but it doesn\'t',
                    f"The option `{name}` is missing. Add it.",
                )
        return problems

    return check


OPTION_ORDER = (
    "exists", "then", "else", "operator", "pattern", "replacement", "separator", "value", "mode", "ignorecase", "global",
    "direction", "objects", "apply", "mapping",
)  # fmt: skip


def _check_array_path(option: object, place: Place) -> Problems:
    if not isinstance(option, list):
        return _check_list(option, place)
    path = option[0] if option else UNDEFINED
    return _check_text(path, place.item(0)) or (check_value(option[1], place.item(1)) if len(option) > 1 else [])


def _check_merge(option: object, place: Place) -> Problems:
    problems = _MERGE_OPTIONS(option, place)
    if problems or not isinstance(option, dict):
        return problems
    for index, item in enumerate(option["objects"]):
        if bad := _check_object(item, place.key("objects").item(index).restarted()):
            return bad  # Segment stops at the first.
    return []


_MERGE_OPTIONS = _check_options(
    required={"objects": _check_list}, optional={"direction": _check_one_of("left", "right")}
)

CHECKS: dict[str, Check] = {
    "@path": _check_text,
    "@template": _check_text,
    "@literal": _check_any,
    "@if": _check_options(optional={"exists": _is_anything, "then": _is_anything, "else": _is_anything}),
    "@case": _check_options(optional={"operator": _check_string, "value": _is_text}),
    "@replace": _check_options(
        required={"pattern": _check_length(1), "value": _is_text},
        optional={"replacement": _check_length(0), "ignorecase": _check_boolean, "global": _check_boolean},
    ),
    "@arrayPath": _check_array_path,
    "@merge": _check_merge,
    "@transform": _check_options(required={"apply": _is_object, "mapping": _is_object}),
    "@flatten": _check_options(required={"value": _is_anything}, optional={"separator": _check_string}),
    "@json": _check_options(required={"value": _is_anything, "mode": _check_one_of("encode", "decode")}),
    "@excludeWhenNull": _check_any,
    "@liquid": _check_string,
}
