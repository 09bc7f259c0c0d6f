"""The text formats a field may ask for, as Segment's validator (ajv-formats in full mode) reads them, without its slow patterns.

Every pattern here is linear in its input, or its input is bounded first: texts come from strangers. Two formats are ours to
approximate: `regex` asks Python, not JavaScript, whether the text is a pattern, and `date-like` knows the date texts of
`core/dates.py`.
"""

from __future__ import annotations

import ipaddress
import math
import re
import warnings
from collections.abc import Callable
from typing import Final

from gateway.core.dates import parse_date
from gateway.core.javascript import WHITE_SPACE, number_text, text_number

TextTest = Callable[[str], bool]

TEXT_CHARS_MAX = 65_536  # Longer texts fit no format; ours, so that no pattern meets a text of a whole event's size.
REGEX_CHARS_MAX = 1_000  # ours; Python's pattern compiler is not linear
DATE_LIKE_CHARS_MAX = 256  # ours
DATE_MS_MAX = 8.64e15  # ECMAScript: the farthest moment a Date can hold, in milliseconds from 1970

_SPACE = "[" + re.escape(WHITE_SPACE) + "]"

# --- Dates and times ---

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[zZ]|[+-][0-9]{2}(?::?[0-9]{2})?)?")
_DATE_TIME_SEPARATOR = re.compile(f"[tT]|{_SPACE}")
_DURATION = re.compile(
    r"P(?!\Z)(?:(?:[0-9]+Y)?(?:[0-9]+M)?(?:[0-9]+D)?(?:T(?=[0-9])(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+S)?)?|(?:[0-9]+W)?)"
)
_MONTH_DAYS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# dayjs' reading of a text without offset: four digits, then date and time parts as far as they go, unchecked.
_LOOSE_DATE = re.compile(
    r"[0-9]{4}[-/]?(?:[0-9]{1,2})?[-/]?[0-9]{0,2}"
    rf"(?:[Tt]|{_SPACE})*(?:[0-9]{{1,2}})?:?(?:[0-9]{{1,2}})?:?(?:[0-9]{{1,2}})?[.:]?(?:[0-9]+)?"
)


def is_date(text: str) -> bool:
    """`YYYY-MM-DD`, a day of the calendar, and nothing else."""
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if not 1 <= month <= 12 or day < 1:
        return False
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= (29 if month == 2 and is_leap else _MONTH_DAYS[month])


def is_time(text: str) -> bool:
    """`hh:mm:ss`, fraction and offset optional; one leap second a day, 23:59:60."""
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    hour, minute, second = int(match[1]), int(match[2]), int(match[3])
    return (hour <= 23 and minute <= 59 and second <= 59) or (hour, minute, second) == (23, 59, 60)


def is_date_time(text: str) -> bool:
    """A date and a time with one `T` or blank between. The offset is optional, as it is in the reference."""
    parts = _DATE_TIME_SEPARATOR.split(text)
    return len(parts) == 2 and is_date(parts[0]) and is_time(parts[1])


def is_date_like(text: str) -> bool:
    """What a datetime field takes: seconds or milliseconds spelled plainly, loose date forms, or a JavaScript date."""
    if len(text) > DATE_LIKE_CHARS_MAX:
        return False
    number = text_number(text)
    if number_text(number) == text:
        return math.isfinite(number) and abs(number) * 1000 <= DATE_MS_MAX
    if text[-1:] not in {"Z", "z"} and _LOOSE_DATE.fullmatch(text):
        return True
    return parse_date(text) is not None


# --- Names of things and places on the network ---

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_DOMAIN_LABEL = r"(?!-)[A-Za-z0-9-]++(?<!-)"
_EMAIL = re.compile(rf"{_ATEXT}++(?:\.{_ATEXT}++)*+@(?:{_DOMAIN_LABEL}\.)++{_DOMAIN_LABEL}")
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\.?\Z){_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_IPV4_TEXT = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
_IPV4 = re.compile(_IPV4_TEXT)
_IPV6_CHARACTERS = re.compile(r"[0-9A-Fa-f:.]{2,45}")


def is_email(text: str) -> bool:
    """One `@`, dot-separated runs before it, two or more plain labels after it; no quotes, no address literals."""
    return len(text) <= TEXT_CHARS_MAX and _EMAIL.fullmatch(text) is not None


def is_ipv6(text: str) -> bool:
    """Hexadecimal groups, at most one `::`, a dotted IPv4 at the end allowed; no zone."""
    if _IPV6_CHARACTERS.fullmatch(text) is None:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


# --- Addresses of resources (RFC 3986, RFC 6570), built from their parts ---

_HEX = r"%[0-9a-fA-F]{2}"
_H16 = r"[0-9a-fA-F]{1,4}"
_IP_LITERAL = (
    rf"\[(?:(?:(?:{_H16}:){{6}}|::(?:{_H16}:){{5}}|(?:{_H16})?::(?:{_H16}:){{4}}|(?:(?:{_H16}:)?{_H16})?::(?:{_H16}:){{3}}"
    rf"|(?:(?:{_H16}:){{0,2}}{_H16})?::(?:{_H16}:){{2}}|(?:(?:{_H16}:){{0,3}}{_H16})?::{_H16}:|(?:(?:{_H16}:){{0,4}}{_H16})?::)"
    rf"(?:{_H16}:{_H16}|{_IPV4_TEXT})|(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}|(?:(?:{_H16}:){{0,6}}{_H16})?::"
    r"|[Vv][0-9a-fA-F]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+)\]"
)


def _resource(quote: str, path: str, *, scheme_is_required: bool) -> re.Pattern[str]:
    """The pattern of a URI or a URI reference. quote: `"` where ajv lets it into names and paths. path: quantifier."""
    user = rf"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|{_HEX})*+@"
    name = rf"(?:[A-Za-z0-9\-._~!$&'{quote}()*+,;=]|{_HEX})*"
    character = rf"(?:[A-Za-z0-9\-._~!$&'{quote}()*+,;=:@]|{_HEX})"
    query = rf"(?:[A-Za-z0-9\-._~!$&'{quote}()*+,;=:@/?]|{_HEX})*"
    rest = rf"(?:/{character}*)*"
    scheme = r"(?:[A-Za-z][A-Za-z0-9+\-.]*:)" + ("" if scheme_is_required else "?")
    return re.compile(
        rf"{scheme}(?:/?/(?:{user})?(?:{_IP_LITERAL}|{_IPV4_TEXT}|{name})(?::[0-9]*)?{rest}"
        rf"|/(?:{character}+{rest})?|{character}+{rest}){path}(?:\?{query})?(?:\#{query})?"
    )


_URI = _resource("", "", scheme_is_required=True)
_URI_REFERENCE = _resource('"', "?", scheme_is_required=False)
_TEMPLATE_NAME = rf"(?:[A-Za-z0-9_]|{_HEX})+(?::[1-9][0-9]{{0,3}}|\*)?"
_URI_TEMPLATE = re.compile(
    rf"(?:[^\x00-\x20\"'<>%\\^`{{|}}]|{_HEX}|\{{[+#./;?&=,!@|]?{_TEMPLATE_NAME}(?:,{_TEMPLATE_NAME})*\}})*+"
)
_URL_WORD = r"[A-Za-z0-9\u00a1-\uffff]"
_URL_LABEL = rf"{_URL_WORD}++(?:-{_URL_WORD}++)*+"
_URL = re.compile(
    r"(?:https?|ftp)://(?:[^\s]+@)?(?:"
    r"(?!(?:10|127)(?:\.[0-9]{1,3}){3})(?!(?:169\.254|192\.168)(?:\.[0-9]{1,3}){2})(?!172\.(?:1[6-9]|2[0-9]|3[0-1])(?:\.[0-9]{1,3}){2})"
    r"(?:[1-9][0-9]?|1[0-9][0-9]|2[01][0-9]|22[0-3])(?:\.(?:1?[0-9]{1,2}|2[0-4][0-9]|25[0-5])){2}"
    r"\.(?:[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-4])"
    rf"|(?:{_URL_LABEL}\.)+[A-Za-z\u00a1-\uffff]{{2,}})(?::[0-9]{{2,5}})?(?:/[^\s]*)?",
    re.IGNORECASE,
)
URL_CHARS_MAX = 4_096  # ours; several `@` make this one pattern quadratic


def is_uri(text: str) -> bool:
    """An absolute URI."""
    return ("/" in text or ":" in text) and _URI.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """An http, https or ftp address of a public host."""
    return len(text) <= URL_CHARS_MAX and _URL.fullmatch(text) is not None


# --- The rest ---

_UUID = re.compile(r"(?:[uU][rR][nN]:[uU][uU][iI][dD]:)?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_POINTER = r"(?:/(?:[^~/]|~0|~1)*+)*+"
_JSON_POINTER = re.compile(_POINTER, re.DOTALL)
_JSON_POINTER_FRAGMENT = re.compile(rf"\#(?:/(?:[A-Za-z0-9_\-.!$&'()*+,;:=@]|{_HEX}|~0|~1)*+)*+")
_RELATIVE_JSON_POINTER = re.compile(rf"(?:0|[1-9][0-9]*)(?:\#|{_POINTER})", re.DOTALL)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_LINE_END = re.compile("[\n\r\u2028\u2029]")
_Z_ANCHOR = re.compile(r"[^\\]\\Z")
_JS_GROUP_NAME = re.compile(r"\(\?<(?![=!])")


def is_base64(text: str) -> bool:
    """Base64 with its padding, on any one line of the text, as in the reference."""
    return any(_BASE64.fullmatch(line) for line in _LINE_END.split(text))


def is_regex(text: str) -> bool:
    """A regular expression, as Python understands the text once JavaScript's group names are rewritten."""
    if len(text) > REGEX_CHARS_MAX or _Z_ANCHOR.search(text):
        return False
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(_JS_GROUP_NAME.sub("(?P<", text))
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _matches(pattern: re.Pattern[str]) -> TextTest:
    match = pattern.fullmatch
    return lambda text: len(text) <= TEXT_CHARS_MAX and match(text) is not None


TEXT_FORMATS: Final[dict[str, TextTest]] = {
    "date": is_date,
    "time": is_time,
    "date-time": is_date_time,
    "date-like": is_date_like,
    "duration": _matches(_DURATION),
    "uri": lambda text: len(text) <= TEXT_CHARS_MAX and is_uri(text),
    "uri-reference": _matches(_URI_REFERENCE),
    "uri-template": _matches(_URI_TEMPLATE),
    "url": is_url,
    "email": is_email,
    "hostname": _matches(_HOSTNAME),
    "ipv4": _matches(_IPV4),
    "ipv6": is_ipv6,
    "regex": is_regex,
    "uuid": _matches(_UUID),
    "json-pointer": _matches(_JSON_POINTER),
    "json-pointer-uri-fragment": _matches(_JSON_POINTER_FRAGMENT),
    "relative-json-pointer": _matches(_RELATIVE_JSON_POINTER),
    "byte": is_base64,
}
"""Tests by format name; `UNCHECKED_FORMATS` and `NUMBER_FORMATS` are the names with no test on text."""

UNCHECKED_FORMATS: Final = frozenset({"text", "password", "binary"})


def _is_whole(number: float) -> bool:
    return math.isfinite(number) and number == math.floor(number)


NUMBER_FORMATS: Final[dict[str, Callable[[float], bool]]] = {
    "int32": lambda number: _is_whole(number) and -(2**31) <= number < 2**31,
    "int64": _is_whole,
    "float": lambda _number: True,
    "double": lambda _number: True,
}

FORMAT_NAMES: Final = frozenset({*TEXT_FORMATS, *UNCHECKED_FORMATS, *NUMBER_FORMATS})
