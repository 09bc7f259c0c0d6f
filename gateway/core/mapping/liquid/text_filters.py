"""The filters that work on text. Lengths, positions and single characters are UTF-16 units."""

import re
from collections.abc import Callable

from gateway.core.javascript import UNDEFINED, WHITE_SPACE, code_units, is_truthy, joined, utf16_length
from gateway.core.mapping.liquid.errors import LiquidTrouble
from gateway.core.mapping.liquid.filtering import FilterFunction, argument
from gateway.core.mapping.liquid.scope import Scope
from gateway.core.mapping.liquid.values import added, is_less, js_number, plain, position, text_of

_BLANK_RUN = re.compile(f"[{WHITE_SPACE}]+")
_CJK = "\u4e00-\u9fff\uf900-\ufaff\u3400-\u4dbf\u3040-\u309f\u30a0-\u30ff\uac00-\ud7af"
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
_OTHER_RUN = re.compile(f"[^{_CJK}{WHITE_SPACE}]+")


def _units(value: object, scope: Scope) -> str:
    """The value as text in UTF-16 units, paid for."""
    units = code_units(text_of(value))
    scope.charge(len(units))
    return units


def _on_text(function: Callable[[str], str]) -> FilterFunction:
    """A filter that looks at nothing but the text."""

    def apply(value: object, _arguments: list[object], scope: Scope) -> object:
        text = text_of(value)
        scope.charge(utf16_length(text))
        return function(text)

    return apply


def _put(name: str, *, before: bool) -> FilterFunction:
    def apply(value: object, arguments: list[object], scope: Scope) -> object:
        if len(arguments) != 1:
            raise LiquidTrouble(f"{name} expect 2 arguments")
        text, other = _units(value, scope), _units(arguments[0], scope)
        return joined(other + text if before else text + other)

    return apply


def _capitalize(text: str) -> str:
    units = code_units(text)
    return joined(units[:1].upper() + joined(units[1:]).lower())


def _strip(*, left: bool, right: bool) -> FilterFunction:
    """Without an argument white space goes, with one its characters, as a set of units."""

    def apply(value: object, arguments: list[object], scope: Scope) -> object:
        units, characters = _units(value, scope), WHITE_SPACE
        given = argument(arguments, 0)
        if is_truthy(given):
            # A set of whole characters: one that is a surrogate pair never equals a single unit.
            characters = "".join(character for character in text_of(given) if character <= "\uffff")
        units = units.lstrip(characters) if left and characters else units
        return joined(units.rstrip(characters) if right and characters else units)

    return apply


def _replace(value: object, arguments: list[object], scope: Scope) -> object:
    """All occurrences; an empty pattern stands between all units."""
    units = code_units(text_of(value))
    pattern, replacement = (code_units(text_of(argument(arguments, index))) for index in (0, 1))
    pieces = _cut(units, pattern)
    scope.charge(len(units) + (len(pieces) - 1) * (len(replacement) - len(pattern)))
    return joined(replacement.join(pieces))


def _remove(value: object, arguments: list[object], scope: Scope) -> object:
    units, pattern = _units(value, scope), _units(argument(arguments, 0), scope)
    return joined(units.replace(pattern, "") if pattern else units)


def _cut(units: str, separator: str) -> list[str]:
    """`split`: an empty separator gives single units, and none for empty text."""
    return units.split(separator) if separator else list(units)


def _once(*, last: bool, removes: bool) -> FilterFunction:
    """`replace_first`, `replace_last`, `remove_first`, `remove_last`."""

    def apply(value: object, arguments: list[object], scope: Scope) -> object:
        units, pattern = _units(value, scope), _units(argument(arguments, 0), scope)
        replacement = "" if removes else _units(argument(arguments, 1), scope)
        start = units.rfind(pattern) if last else units.find(pattern)
        if start < 0:
            return joined(units)
        return joined(units[:start] + replacement + units[start + len(pattern) :])

    return apply


def _split(value: object, arguments: list[object], scope: Scope) -> object:
    """Pieces; empty ones at the end are dropped."""
    units = _units(value, scope)
    separator = code_units(text_of(argument(arguments, 0)))
    pieces = _cut(units, separator)
    scope.charge(len(pieces))
    while pieces and not pieces[-1]:
        pieces.pop()
    return [joined(piece) for piece in pieces]


def _slice(value: object, arguments: list[object], scope: Scope) -> object:
    """A part of a list or text, as JavaScript adds positions up: texts as positions are put together, not summed."""
    value = plain(value)
    if value is None or value is UNDEFINED:
        return []
    whole: list[object] | str = value if isinstance(value, list) else code_units(text_of(value))
    begin, length = argument(arguments, 0), argument(arguments, 1, 1.0)
    if is_less(plain(begin), 0, or_equal=False):
        begin = added(len(whole), begin)
    if is_less(plain(begin), 0, or_equal=False) or is_less(plain(length), 0, or_equal=False):
        return [] if isinstance(whole, list) else ""
    scope.charge(js_number(length))
    part = whole[position(begin, len(whole)) : position(added(begin, length), len(whole))]
    return part if isinstance(part, list) else joined(part)


def _truncate(value: object, arguments: list[object], scope: Scope) -> object:
    units, ending = _units(value, scope), _units(argument(arguments, 1, "..."), scope)
    length = plain(argument(arguments, 0, 50))
    if is_less(len(units), length, or_equal=True):
        return value
    return joined(units[: _clamped(js_number(length) - len(ending), len(units))] + ending)


def _clamped(number: float, length: int) -> int:
    """A position of `substring`: negative ones and NaN are 0."""
    return position(number, length) if number > 0 else 0


def _truncatewords(value: object, arguments: list[object], scope: Scope) -> object:
    text, ending = joined(_units(value, scope)), joined(_units(argument(arguments, 1, "..."), scope))
    words, count = _BLANK_RUN.split(text), plain(argument(arguments, 0, 15))
    if is_less(count, 0, or_equal=True):
        count = 1
    kept = " ".join(words[: position(count, len(words))])
    return kept + ending if is_less(count, len(words), or_equal=True) else kept


def _number_of_words(value: object, arguments: list[object], scope: Scope) -> object:
    text = joined(_units(value, scope)).strip(WHITE_SPACE)
    if not text:
        return 0
    mode = argument(arguments, 0)
    characters = len(_CJK_CHARACTER.findall(text)) if mode in ("cjk", "auto") else 0
    if mode == "cjk" or characters:
        return characters + len(_OTHER_RUN.findall(text))
    return len(_BLANK_RUN.split(text))


TEXT_FILTERS: dict[str, FilterFunction] = {
    "append": _put("append", before=False),
    "prepend": _put("prepend", before=True),
    "upcase": _on_text(str.upper),
    "downcase": _on_text(str.lower),
    "capitalize": _on_text(_capitalize),
    "strip": _strip(left=True, right=True),
    "lstrip": _strip(left=True, right=False),
    "rstrip": _strip(left=False, right=True),
    "strip_newlines": _on_text(lambda text: text.replace("\r\n", "").replace("\n", "")),
    "normalize_whitespace": _on_text(lambda text: _BLANK_RUN.sub(" ", text)),
    "replace": _replace,
    "remove": _remove,
    "replace_first": _once(last=False, removes=False),
    "replace_last": _once(last=True, removes=False),
    "remove_first": _once(last=False, removes=True),
    "remove_last": _once(last=True, removes=True),
    "split": _split,
    "slice": _slice,
    "truncate": _truncate,
    "truncatewords": _truncatewords,
    "number_of_words": _number_of_words,
}
