"""Values inside a template: JSON values, undefined, and the special words `nil`, `empty`, `blank`; truth and comparison.

The special words are objects of their own that compare in their own ways, and count as null, "" and "" for everything
else. Only false, null, undefined and `nil` are false.
"""

import math
from typing import final

from gateway.core.javascript import (
    UNDEFINED,
    WHITE_SPACE,
    code_units,
    double,
    is_number,
    joined,
    to_number,
    to_text,
)


@final
class Word:
    """`nil`, `empty`, `blank`, or the object `block` inside a block tag."""

    __slots__ = ("name", "stands_for")

    def __init__(self, name: str, stands_for: object) -> None:
        self.name = name
        self.stands_for = stands_for

    def __repr__(self) -> str:
        return self.name


NIL = Word("nil", None)
EMPTY = Word("empty", "")
BLANK = Word("blank", "")
BLOCK = Word("block", {})  # an object without keys, as far as a template can see
COMPARED = (NIL, EMPTY, BLANK)  # the words that decide how they are compared
WORDS: dict[str, object] = {"true": True, "false": False, "nil": NIL, "null": NIL, "empty": EMPTY, "blank": BLANK}


def plain(value: object) -> object:
    """The value, a special word as what it stands for."""
    return value.stands_for if isinstance(value, Word) else value


def text_of(value: object) -> str:
    """The value as output writes it: nothing for null and undefined, list items one after the other."""
    value = plain(value)
    if isinstance(value, str):
        return value
    if value is None or value is UNDEFINED:
        return ""
    if isinstance(value, list):
        return joined("".join(map(text_of, value)))
    return to_text(value)


def number_of(value: object) -> float:
    """The value as filters calculate with it: what is no number is 0."""
    number = js_number(value)
    return 0.0 if math.isnan(number) else number


def js_number(value: object) -> float:
    """`Number(value)`, a special word as what it stands for."""
    return to_number(plain(value))


def list_of(value: object) -> list[object]:
    """The value as a list: nothing for null and undefined, a list of one for what is no list."""
    value = plain(value)
    if value is None or value is UNDEFINED:
        return []
    return value if isinstance(value, list) else [value]


def is_true(value: object) -> bool:
    """Whether a condition holds: 0, empty text and empty lists do."""
    value = plain(value)
    return value is not False and value is not None and value is not UNDEFINED


def are_equal(left: object, right: object) -> bool:
    """`==`: same type and value; lists item by item; objects only when they are the same object."""
    if isinstance(left, Word) and left in COMPARED:
        return _word_equals(left, right)
    if isinstance(right, Word) and right in COMPARED:
        return _word_equals(right, left)
    if isinstance(left, list):
        return (
            isinstance(right, list)
            and len(left) == len(right)
            and all(are_equal(one, other) for one, other in zip(left, right, strict=True))
        )
    if is_number(left) and is_number(right):
        return js_number(left) == js_number(right)
    if isinstance(left, str):
        return isinstance(right, str) and left == right
    return left is right


def _word_equals(word: Word, value: object) -> bool:
    if word is NIL:
        return plain(value) is None or value is UNDEFINED
    if value is EMPTY or value is BLANK:
        # `blank` takes itself and `empty`; `empty` takes neither.
        return False
    value = plain(value)
    if word is BLANK and (value is False or value is None or value is UNDEFINED):
        return True
    if isinstance(value, str):
        return not (value.strip(WHITE_SPACE) if word is BLANK else value)
    return isinstance(value, (list, dict)) and not value


def is_less(left: object, right: object, *, or_equal: bool) -> bool:
    """`<` and `<=`: two texts by UTF-16 unit, everything else as numbers; never with `nil`, `empty`, `blank`."""
    if left in COMPARED or right in COMPARED:
        return False
    left, right = _primitive(left), _primitive(right)
    if isinstance(left, str) and isinstance(right, str):
        one, other = code_units(left), code_units(right)
        return one <= other if or_equal else one < other
    low, high = js_number(left), js_number(right)
    return low <= high if or_equal else low < high


def _primitive(value: object) -> object:
    return to_text(value) if isinstance(value, (list, dict, Word)) else value


def contains(whole: object, part: object) -> bool:
    """`contains`: some item of a list equals the part, or a text has the part's text in it."""
    whole = plain(whole)
    if isinstance(whole, list):
        return any(are_equal(item, part) for item in whole)
    if isinstance(whole, str):
        return code_units(to_text(plain(part))) in code_units(whole)
    return False


def whole_number(value: object) -> float:
    """`ToIntegerOrInfinity`: what JavaScript takes for a position. NaN is 0."""
    number = js_number(value)
    if math.isnan(number):
        return 0.0
    return number if math.isinf(number) else float(math.trunc(number))


def position(value: object, length: int) -> int:
    """A position of `slice` in something of some length; negative ones count from the end."""
    number = whole_number(value)
    if number < 0:
        return int(max(length + number, 0))
    return int(min(number, length))


def added(left: object, right: object) -> object:
    """`left + right`: a sum of numbers, or texts put together as soon as one side is no number."""
    left, right = _primitive(plain(left)), _primitive(plain(right))
    if isinstance(left, str) or isinstance(right, str):
        return to_text(left) + to_text(right)
    return double(to_number(left) + to_number(right))
