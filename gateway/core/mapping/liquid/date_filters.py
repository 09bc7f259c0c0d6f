"""The filters that read and write dates. What is no date comes out unchanged."""

import math
import re

from gateway.core.dates import DATE_MS_MAX, parse_date
from gateway.core.javascript import UNDEFINED, is_number, to_text, utf16_length
from gateway.core.mapping.liquid.date_formats import DATE_FORMAT, ShownDate, format_date, zone_offset_minutes
from gateway.core.mapping.liquid.errors import LiquidTrouble
from gateway.core.mapping.liquid.filtering import FilterFunction, argument
from gateway.core.mapping.liquid.scope import Scope
from gateway.core.mapping.liquid.values import js_number, plain, text_of

_DIGITS = re.compile("[0-9]+")


def _moment_ms(value: object, scope: Scope) -> float | None:
    """Milliseconds since 1970 of a value: numbers and texts of digits are seconds, booleans milliseconds."""
    if value is None or value is UNDEFINED:
        return None
    if value in ("now", "today") and isinstance(value, str):
        ms = scope.now_ms()
        if ms is None:
            raise LiquidTrouble(f'"{value}" is not known here: the event has no receivedAt')
    elif isinstance(value, bool):
        ms = float(value)
    elif is_number(value) or (isinstance(value, str) and _DIGITS.fullmatch(value)):
        ms = js_number(value) * 1000
    else:
        ms = None if isinstance(value, dict) else parse_date(to_text(value))
    if ms is None or not abs(ms) <= DATE_MS_MAX:
        return None
    return float(math.trunc(ms))


def _shown(value: object, zone: object, scope: Scope) -> ShownDate | None:
    """The value on a zone's clock. zone: a name, minutes west of UTC, or nothing for UTC."""
    ms = _moment_ms(plain(value), scope)
    if ms is None:
        return None
    if zone is None or zone is UNDEFINED:
        return ShownDate(ms=int(ms), offset_minutes=0.0, zone="UTC")
    name = zone if isinstance(zone, str) else ""
    offset = zone_offset_minutes(name, ms) if isinstance(zone, str) else js_number(zone)
    shown_ms = ms - offset * 60_000
    if not abs(shown_ms) <= DATE_MS_MAX:
        return None
    return ShownDate(ms=math.trunc(shown_ms), offset_minutes=offset, zone=name)


def _date(value: object, arguments: list[object], scope: Scope) -> object:
    if isinstance(value, str):
        scope.charge(utf16_length(value))
    date = _shown(value, argument(arguments, 1), scope)
    if date is None:
        return value
    pattern = plain(argument(arguments, 0))
    pattern = DATE_FORMAT if pattern is None or pattern is UNDEFINED else text_of(pattern)
    scope.charge(utf16_length(pattern))
    return format_date(date, pattern, scope.charge)


def _in_format(pattern: str) -> FilterFunction:
    return lambda value, _arguments, scope: _date(value, [pattern], scope)


def _as_day(month: str) -> FilterFunction:
    """`date_to_string` and its long form: with "ordinal" and perhaps "US" as people write dates."""

    def apply(value: object, arguments: list[object], scope: Scope) -> object:
        date = _shown(value, None, scope)
        if date is None:
            return value
        pattern = f"%d {month} %Y"
        if argument(arguments, 0) == "ordinal":
            day = date.civil[2]
            pattern = f"{month} {day}%q, %Y" if argument(arguments, 1) == "US" else f"{day}%q {month} %Y"
        return format_date(date, pattern, scope.charge)

    return apply


DATE_FILTERS: dict[str, FilterFunction] = {
    "date": _date,
    "date_to_xmlschema": _in_format("%Y-%m-%dT%H:%M:%S%:z"),
    "date_to_rfc822": _in_format("%a, %d %b %Y %H:%M:%S %z"),
    "date_to_string": _as_day("%b"),
    "date_to_long_string": _as_day("%B"),
}
