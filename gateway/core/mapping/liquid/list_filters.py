"""The filters that work on lists, and those that show or replace a value whatever it is."""

import math

from gateway.core.javascript import (
    UNDEFINED,
    code_units,
    is_number,
    is_truthy,
    joined,
    json_text,
    member,
    to_text,
    utf16_length,
)
from gateway.core.mapping.liquid.errors import LiquidTrouble
from gateway.core.mapping.liquid.expressions import evaluate, property_of
from gateway.core.mapping.liquid.filtering import FilterFunction, argument
from gateway.core.mapping.liquid.scanner import Scanner
from gateway.core.mapping.liquid.scope import Scope
from gateway.core.mapping.liquid.values import (
    Word,
    are_equal,
    is_true,
    js_number,
    list_of,
    plain,
    text_of,
    whole_number,
)

JSON_INDENT_MAX = 10  # JSON.stringify's own bound, blanks or characters


def _join(value: object, arguments: list[object], scope: Scope) -> object:
    items, separator = list_of(value), plain(argument(arguments, 0))
    between = " " if separator is None or separator is UNDEFINED else text_of(separator)
    texts = ["" if item is None or item is UNDEFINED else to_text(item) for item in items]
    scope.charge(len(between) * max(len(items) - 1, 0) + sum(map(len, texts)))
    return joined(between.join(texts))


def _end(index: int) -> FilterFunction:
    """The first or last item of a list, or unit of a text; of an object with a length, what it has there."""

    def apply(value: object, _arguments: list[object], _scope: Scope) -> object:
        value = plain(value)
        if isinstance(value, dict) and is_number(value.get("length")):
            place = js_number(value["length"]) - 1 if index else 0.0
            return member(value, to_text(place))
        items = code_units(value) if isinstance(value, str) else value
        if isinstance(items, list):
            return items[index] if items else UNDEFINED
        return items[index] if isinstance(items, str) and items else ""

    return apply


def _size(value: object, _arguments: list[object], _scope: Scope) -> object:
    """The length of a text or list; what an object calls its length."""
    length = member(value, "length")
    return length if is_truthy(length) else 0


def _items(value: object, scope: Scope) -> list[object]:
    """A copy of the value as a list, paid for."""
    items = list_of(value)
    scope.charge(len(items))
    return list(items)


def _compact(value: object, _arguments: list[object], scope: Scope) -> object:
    return [item for item in _items(value, scope) if plain(item) is not None and item is not UNDEFINED]


def _push(value: object, arguments: list[object], scope: Scope) -> object:
    scope.charge(1)
    return [*_items(value, scope), argument(arguments, 0)]


def _unshift(value: object, arguments: list[object], scope: Scope) -> object:
    return [argument(arguments, 0), *_items(value, scope)]


def _pop(value: object, _arguments: list[object], scope: Scope) -> object:
    return _items(value, scope)[:-1]


def _shift(value: object, _arguments: list[object], scope: Scope) -> object:
    return _items(value, scope)[1:]


def _where(value: object, arguments: list[object], scope: Scope) -> object:
    """Items whose property, given as a path, is truthy or equals a second argument."""
    items = _items(value, scope)
    source = code_units(text_of(argument(arguments, 0)))
    path = Scanner(source, 0, len(source)).scope_value()
    expected = argument(arguments, 1)
    kept: list[object] = []
    for item in items:
        found = UNDEFINED if path is None else scope.evaluate_in(item, lambda inner: evaluate(path, inner))
        if is_true(found) if expected is UNDEFINED else are_equal(found, expected):
            kept.append(item)
    return kept


def _sum(value: object, arguments: list[object], _scope: Scope) -> object:
    """The sum of the items, or of a property of each; what is no number counts 0."""
    path = argument(arguments, 0)
    total = 0.0
    for item in list_of(value):
        found = item
        for step in text_of(path).split(".") if is_truthy(path) else ():
            found = property_of(found, step)
        number = math.nan if found is UNDEFINED else js_number(found)
        total += 0.0 if math.isnan(number) else number
    return total


def _sample(value: object, arguments: list[object], scope: Scope) -> object:
    """Items "at random": always the first ones, so that the same event gives the same payload."""
    value = plain(value)
    if value is None or value is UNDEFINED:
        return []
    items: list[object] = value if isinstance(value, list) else list(text_of(value))
    scope.charge(len(items))
    count = argument(arguments, 0, 1)
    if is_number(count) and count == 1:
        return items[0] if items else UNDEFINED
    wanted = whole_number(count)
    return items[: int(max(min(wanted, len(items)), -len(items)))]


def _default(value: object, arguments: list[object], _scope: Scope) -> object:
    """The value, or a default where it is null, undefined, false, or an empty text or list."""
    value = plain(value)
    fallback = argument(arguments, 0)
    if isinstance(value, (list, str)):
        return value or fallback
    if value is False and _option(arguments[1:], "allow_false"):
        return False
    return value if is_true(value) else fallback


def _option(options: list[object], name: str) -> bool:
    """A named argument among others. Anything unnamed there is an error, as JavaScript's Map finds it."""
    found: object = UNDEFINED
    for option in options:
        if not isinstance(option, (list, dict, Word)):
            raise LiquidTrouble(f"Iterator value {to_text(plain(option))} is not an entry object")
        if isinstance(option, list) and option[:1] == [name]:
            found = option[1] if len(option) > 1 else UNDEFINED
    return is_truthy(found)


def _json(value: object, arguments: list[object], scope: Scope) -> object:
    """JSON text, indented by a number of blanks or by a text."""
    indent = argument(arguments, 0, 0)
    by, in_lines = "", False
    if isinstance(indent, str):
        by = code_units(indent)[:JSON_INDENT_MAX]
    elif is_number(indent):
        by = " " * int(max(min(whole_number(indent), JSON_INDENT_MAX), 0))
        in_lines = 0 < js_number(indent) < 1  # V8: lines without indentation
    text = json_text(_without_words(value), by, in_lines=in_lines)
    if isinstance(text, str):
        scope.charge(utf16_length(text))
    return text


def _without_words(value: object) -> object:
    """The value, special words as the empty objects they are to JSON."""
    if isinstance(value, Word):
        return {}
    return [_without_words(item) for item in value] if isinstance(value, list) else value


def _raw(value: object, _arguments: list[object], _scope: Scope) -> object:
    return value


LIST_FILTERS: dict[str, FilterFunction] = {
    "join": _join,
    "first": _end(0),
    "last": _end(-1),
    "size": _size,
    "compact": _compact,
    "push": _push,
    "unshift": _unshift,
    "pop": _pop,
    "shift": _shift,
    "where": _where,
    "sum": _sum,
    "sample": _sample,
    "default": _default,
    "json": _json,
    "jsonify": _json,
    "inspect": _json,
    "raw": _raw,
}
