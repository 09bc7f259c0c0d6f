"""JavaScript's ways with values, in one place: what Segment's code means by number, text, truth, key and blank.

Triggers and mappings must come out as they do in Segment, whose evaluator is JavaScript. Every rule of that language
the gateway relies on is here and nowhere else; the evaluators read as if the language were Python.

Values are what a JSON decoder gives (`dict`, `list`, `str`, `int`, `float`, `bool`, `None`) and `UNDEFINED`. Python's
`int` and `float` both stand for JavaScript's one number type, the double. Text is an ordinary `str` in which surrogate
pairs are always joined; where JavaScript would count or cut UTF-16 units, `code_units` and `joined` convert.
"""

import json
import math
import re
from json.encoder import encode_basestring
from typing import Final, final

import msgspec


@final
class Undefined:
    """The type of `UNDEFINED`: no value at all, which is not the same as null. It never comes from JSON."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "undefined"

    def __copy__(self) -> "Undefined":
        return self

    def __deepcopy__(self, _memo: object) -> "Undefined":
        return self

    def __reduce__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined()

SAFE_INTEGER_MAX = 2**53  # Beyond it a double no longer tells neighbouring integers apart.
ARRAY_INDEX_MAX = 4_294_967_294  # 2^32 - 2: the largest key that JavaScript orders and treats as a list index.
ARRAY_INDEX_DIGITS_MAX = 10  # of that number
JSON_DEPTH_MAX = 256  # levels of lists and objects that `parse_json` reads; ours, JavaScript has no fixed limit

# White space of `trim()`, `Number()` and `\s`. Python's own set has U+001C to U+001F and U+0085 too, and lacks U+FEFF.
WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RADIX = re.compile(r"0(?:([xX])[0-9a-fA-F]+|([oO])[0-7]+|[bB][01]+)")


# --- What a value is ---


def is_number(value: object) -> bool:
    """Whether `typeof value` is "number". In Python `True` is an `int`; in JavaScript it is not."""
    kind = type(value)
    return kind is int or kind is float


def is_truthy(value: object) -> bool:
    """Whether `if (value)` runs: all but undefined, null, false, 0, NaN and empty text. Empty lists and objects do."""
    if isinstance(value, (list, dict)):
        return True
    return bool(value) and value == value  # noqa: PLR0124  (NaN is the one value unequal to itself, and it is falsy)


def type_name(value: object) -> str:
    """The name of a value's type in the mapping kit's messages: "array" and "null" stand apart from "object"."""
    if value is UNDEFINED:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object"


# --- Numbers ---


def double(number: float) -> float:
    """The double that stands for a Python number; an integer too large for one is an infinity, as in JSON.parse."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def number_text(number: float) -> str:
    """`String(number)`: the shortest digits that read back the same, with exponents from `1e+21` and `1e-7` on."""
    if isinstance(number, int):
        if -SAFE_INTEGER_MAX <= number <= SAFE_INTEGER_MAX:
            return str(int(number))
        number = double(number)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"  # -0 too
    text = repr(float(number))  # Python and JavaScript agree on the digits and differ in the layout.
    if "e" not in text:
        return text.removesuffix(".0")
    return _laid_out(text)


def _laid_out(text: str) -> str:
    """`repr` of a float with an exponent, in JavaScript's layout."""
    mantissa, _, exponent_text = text.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits, exponent = whole + fraction, int(exponent_text)
    if 0 <= exponent < 21:
        return sign + digits.ljust(exponent + 1, "0")
    if -7 < exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{'+' if exponent > 0 else '-'}{abs(exponent)}"


def text_number(text: str) -> float:
    """`Number(text)`: blanks around it do not count, nothing is 0, `0x`, `0o`, `0b` work; else NaN."""
    text = text.strip(WHITE_SPACE)
    if not text:
        return 0.0
    if _DECIMAL.fullmatch(text):
        return float(text)
    if match := _RADIX.fullmatch(text):
        return double(int(text[2:], 16 if match[1] else 8 if match[2] else 2))
    return {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}.get(text, math.nan)


def to_number(value: object) -> float:
    """`Number(value)`: null is 0, undefined and objects are NaN, a list counts by its text (`[5]` is 5)."""
    if isinstance(value, (int, float)):
        return double(value)  # booleans are 1 and 0 in both languages
    if isinstance(value, str):
        return text_number(value)
    if value is None:
        return 0.0
    if isinstance(value, list):
        return text_number(to_text(value))
    return math.nan


# --- Text ---


def to_text(value: object) -> str:
    """`String(value)`: lists are joined by commas with empty places for null, objects are `[object Object]`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, list):
        return joined(",".join(["" if item is None or item is UNDEFINED else to_text(item) for item in value]))
    if value is None:
        return "null"
    return "undefined" if value is UNDEFINED else "[object Object]"


def trim(text: str) -> str:
    """`text.trim()`, with JavaScript's set of white space."""
    return text.strip(WHITE_SPACE)


def utf16_length(text: str) -> int:
    """`text.length`: UTF-16 units, so that an emoji outside the basic plane is 2."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def code_units(text: str) -> str:
    """The text with one `str` character for each UTF-16 unit, so that `len`, indexes and slices are JavaScript's.

    Pass what was cut or put together through `joined` before it is compared or kept.
    """
    if text.isascii():
        return text
    return _ASTRAL.sub(_surrogate_pair, text)


def _surrogate_pair(match: re.Match[str]) -> str:
    offset = ord(match[0]) - 0x10000
    return chr(0xD800 + (offset >> 10)) + chr(0xDC00 + (offset & 0x3FF))


def joined(text: str) -> str:
    """The text with every surrogate pair made one character again; halves without a partner stay."""
    if text.isascii():
        return text
    return _PAIR.sub(_astral_character, text)


def _astral_character(match: re.Match[str]) -> str:
    pair = match[0]
    return chr(0x10000 + ((ord(pair[0]) - 0xD800) << 10) + (ord(pair[1]) - 0xDC00))


# --- Properties ---


def array_index(key: str) -> int | None:
    """The list index a key stands for, or None: `0` and `12` do, `01`, `-1`, `1.0` and `٣` do not."""
    if not key.isdecimal() or len(key) > ARRAY_INDEX_DIGITS_MAX or not key.isascii() or (key[0] == "0" and key != "0"):
        return None
    index = int(key)
    return index if index <= ARRAY_INDEX_MAX else None


def member(current: object, piece: str) -> object:
    """`current[piece]`, own members only: keys; indexes and `length` of a list or (in UTF-16 units) text.

    Anything else is UNDEFINED, inherited members (`constructor`, `toString`) included: no event means those.
    """
    if isinstance(current, dict):
        return current.get(piece, UNDEFINED)
    if isinstance(current, list):
        index = array_index(piece)
        if index is not None:
            return current[index] if index < len(current) else UNDEFINED
        return len(current) if piece == "length" else UNDEFINED
    if isinstance(current, str):
        index = array_index(piece)
        if index is not None:
            units = code_units(current)
            return units[index] if index < len(units) else UNDEFINED
        return utf16_length(current) if piece == "length" else UNDEFINED
    return UNDEFINED


def in_key_order(record: dict[str, object]) -> dict[str, object]:
    """The object as JavaScript lists it: keys that are list indexes first, ascending, then the others as inserted.

    Gives back the same object, untouched, when no key is an index: one C-speed scan is all that most objects cost.
    """
    if not record or min(record) >= ":":  # ":" follows "9", so no key starts with a digit.
        return record
    indexes = sorted(index for index in map(array_index, record) if index is not None)
    if not indexes:
        return record
    ordered = {str(index): record[str(index)] for index in indexes}
    ordered.update((key, value) for key, value in record.items() if key not in ordered)
    return ordered


# --- JSON ---


def json_text(value: object, indent: str = "", *, in_lines: bool = False) -> str | Undefined:
    """`JSON.stringify(value, null, indent)`; UNDEFINED for undefined itself. in_lines: with line breaks in any case.

    Undefined disappears as the value of a key and is `null` in a list, as are NaN and the infinities. Surrogates
    without a partner are written as escapes, everything else beyond ASCII as it is.
    """
    if value is UNDEFINED:
        return UNDEFINED
    parts: list[str] = []
    _write_json(value, parts, indent, "\n" if indent or in_lines else "")
    return "".join(parts)


def _write_json(value: object, parts: list[str], indent: str, line: str) -> None:
    """Append the pieces of one value. line: the line break and indentation this value stands at, or nothing."""
    if isinstance(value, str):
        parts.append(json_string(value))
    elif value is True or value is False:
        parts.append("true" if value else "false")
    elif isinstance(value, (int, float)):
        number = double(value)
        parts.append(number_text(value) if math.isfinite(number) else "null")
    elif isinstance(value, dict):
        _write_items(
            "{}",
            [(key, item) for key, item in in_key_order(value).items() if item is not UNDEFINED],
            parts,
            indent,
            line,
        )
    elif isinstance(value, list):
        _write_items("[]", [(None, item) for item in value], parts, indent, line)
    else:
        parts.append("null")


def _write_items(
    brackets: str, items: list[tuple[str | None, object]], parts: list[str], indent: str, line: str
) -> None:
    """The inside of a list or, where the items have keys, of an object."""
    parts.append(brackets[0])
    inner = line + indent
    for position, (key, item) in enumerate(items):
        parts.append("," + inner if position else inner)
        if key is not None:
            parts.append(json_string(key) + (": " if line else ":"))
        _write_json(item, parts, indent, inner)
    parts.append(line + brackets[1] if items else brackets[1])


def json_string(text: str) -> str:
    """A text as JSON.stringify quotes it."""
    quoted = encode_basestring(text)
    if quoted.isascii():
        return quoted
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


class JsonDepthError(ValueError):
    """JSON text goes deeper than JSON_DEPTH_MAX."""

    def __init__(self) -> None:
        super().__init__(f"JSON nested deeper than {JSON_DEPTH_MAX} levels")


def parse_json(text: str) -> object:
    """`JSON.parse(text)`: strict JSON, of which `1e400` (an infinity) and lone surrogate escapes are part.

    Raises ValueError where JavaScript throws, and JsonDepthError where lists and objects go deeper than JSON_DEPTH_MAX.
    """
    try:
        value: object = msgspec.json.decode(text)
    except (ValueError, RecursionError):  # msgspec is stricter than JSON.parse in the two points above.
        try:
            value = json.loads(text, parse_int=_json_integer, parse_constant=_refuse_constant)
        except RecursionError as error:
            raise JsonDepthError from error
    if text.count("[") + text.count("{") > JSON_DEPTH_MAX and depth(value) > JSON_DEPTH_MAX:
        raise JsonDepthError
    return value


def _json_integer(digits: str) -> float:
    return int(digits) if len(digits) < len(str(SAFE_INTEGER_MAX)) else float(digits)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def depth(value: object) -> int:
    """How many lists and objects stand inside each other at most; 0 for a plain value. Never recurses."""
    levels = 0
    level: list[object] = [value]
    while True:
        containers = [item for item in level if isinstance(item, (list, dict))]
        if not containers:
            return levels
        levels += 1
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
