"""Writing dates: the codes of `%Y-%m-%d`, with liquidjs' flags, widths and paddings, in English, at any year."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from gateway.core.dates import DAY_MS, days_from_civil
from gateway.core.javascript import number_text
from gateway.core.mapping.liquid.errors import LiquidTrouble

DATE_FORMAT = "%A, %B %-e, %Y at %-l:%M %P %z"  # liquidjs' default
_CODE = re.compile("%([-_0^#:]+)?([0-9]+)?([EO])?([^\n\r\u2028\u2029])")
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WIDTHS = {"d": 2, "e": 2, "H": 2, "I": 2, "j": 3, "k": 2, "l": 2, "L": 3, "m": 2, "M": 2, "S": 2, "U": 2, "W": 2}
_BLANK_PADDED = frozenset("aAbBceklpP")

# The years that datetime knows, less a day; the calendar, and with it summer time, repeats every 400 years.
_FIRST_S, _LAST_S = -62_135_596_800 + 86_400, 253_402_300_799 - 86_400
_CYCLE_S = 146_097 * 86_400
_YEAR_100_S = -59_011_459_200

Charge = Callable[[float], None]


class ShownDate(msgspec.Struct, frozen=True, kw_only=True):
    """A moment on the clock of a zone.

    ms: milliseconds since 1970 on that clock, so that the zone's midnights are whole days.
    offset_minutes: west of UTC. zone: its name, empty where it was given in minutes.
    """

    ms: int
    offset_minutes: float
    zone: str

    @property
    def weekday(self) -> int:
        """0 is Sunday."""
        return (self.ms // DAY_MS + 4) % 7

    @property
    def civil(self) -> tuple[int, int, int]:
        """Year, month, day."""
        return _civil_from_days(self.ms // DAY_MS)

    @property
    def clock(self) -> tuple[int, int, int, int]:
        """Hour, minute, second, millisecond."""
        rest, millisecond = divmod(self.ms % DAY_MS, 1000)
        rest, second = divmod(rest, 60)
        hour, minute = divmod(rest, 60)
        return hour, minute, second, millisecond


def _civil_from_days(days: int) -> tuple[int, int, int]:
    """The inverse of `days_from_civil`."""
    days += 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def zone_offset_minutes(name: str, ms: float) -> float:
    """Minutes west of UTC in a zone of the IANA database at a moment. Raises for a name it does not know.

    Liquidjs takes the difference of two texts that it writes and reads again, `12/31/99, 7:03:58 PM` being one; so the
    years before 100 come back from that in the twentieth or twenty-first century, and so they do here.
    """
    known = _zone_names().get(name.lower())
    if known is None:
        raise LiquidTrouble(f"Invalid time zone specified: {name}")
    second = max(math.floor(ms / 1000), _FIRST_S)
    second -= max(0, math.ceil((second - _LAST_S) / _CYCLE_S)) * _CYCLE_S
    moment = datetime.fromtimestamp(second, UTC)
    offset = ZoneInfo(known).utcoffset(moment.astimezone(ZoneInfo(known)))
    west_s = 0.0 if offset is None else -offset.total_seconds()
    if second < _YEAR_100_S + 2 * 86_400:
        return (_reread_s(math.floor(ms / 1000)) - _reread_s(math.floor(ms / 1000) - int(west_s))) / 60
    return west_s / 60


def _reread_s(second: int) -> int:
    """The second that V8 reads from the US text of a second: years of one and two digits belong to our time."""
    days, rest = divmod(second, 86_400)
    year, month, day = _civil_from_days(days)
    year = year if year > 0 else 1 - year
    year += 2000 if year < 50 else 1900 if year < 100 else 0
    return days_from_civil(year, month, day) * 86_400 + rest


@cache
def _zone_names() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


def format_date(date: ShownDate, pattern: str, charge: Charge) -> str:
    """The pattern with its codes filled in; unknown ones stay. charge: pays for padding before it is made."""
    return _CODE.sub(lambda code: _formatted(date, code, charge), pattern)


def _formatted(date: ShownDate, code: re.Match[str], charge: Charge) -> str:
    flags, width_text, _modifier, letter = code.groups()
    flags = flags or ""
    width = int(width_text[:16]) if width_text else 0
    charge(width)
    text = _fraction(date, width) if letter == "N" else _written(date, letter, flags)
    if text is None:
        return code[0]
    if "^" in flags:
        text = text.upper()
    elif "#" in flags:
        text = text.upper() if re.search("[a-z]", text) else text.lower()
    padding = " " if letter in _BLANK_PADDED else "0"
    padding = " " if "_" in flags else "0" if "0" in flags else padding
    return text.rjust(0 if "-" in flags else width or _WIDTHS.get(letter, 0), padding)


def _fraction(date: ShownDate, width: int) -> str:
    width = width or 9
    return f"{date.clock[3]:03}"[:width].ljust(width, "0")


def _written(date: ShownDate, letter: str, flags: str) -> str | None:
    """What a code stands for, before padding; None for a letter that is no code."""
    write = _CODES.get(letter)
    return _offset(date, flags) if letter == "z" or (letter == "Z" and not date.zone) else write and write(date)


def _offset(date: ShownDate, flags: str) -> str:
    minutes = abs(date.offset_minutes)
    hour, minute = math.floor(minutes / 60), math.fmod(minutes, 60)
    colon = ":" if ":" in flags else ""
    return f"{'-' if date.offset_minutes > 0 else '+'}{hour:02}{colon}{number_text(minute).rjust(2, '0')}"


def _day_of_year(date: ShownDate) -> int:
    """Liquidjs counts no leap day in the year 0."""
    year, month, day = date.civil
    number = date.ms // DAY_MS - days_from_civil(year, 1, 1) + 1
    return number - (year == 0 and (month, day) >= (3, 1))


def _week_of_year(date: ShownDate, first_weekday: int) -> str:
    """Liquidjs' count: weeks from the first Sunday or Monday of the year on."""
    year = date.civil[0]
    january = days_from_civil(year + 1900 if 0 <= year <= 99 else year, 1, 1)
    this_week = _day_of_year(date) + first_weekday - date.weekday
    first_week = 7 - (january + 4) % 7 + first_weekday
    return str((this_week - first_week) // 7 + 1)


def ordinal(date: ShownDate) -> str:
    """`st`, `nd`, `rd`, `th` for the day of the month."""
    day = date.civil[2]
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _hour_of_half(date: ShownDate) -> str:
    return str(date.clock[0] % 12 or 12)


def _half(date: ShownDate) -> str:
    return "AM" if date.clock[0] < 12 else "PM"


def _us_date(date: ShownDate) -> str:
    year, month, day = date.civil
    return f"{month}/{day}/{year if year > 0 else 1 - year}"


def _us_time(date: ShownDate) -> str:
    _hour, minute, second, _millisecond = date.clock
    return f"{_hour_of_half(date)}:{minute:02}:{second:02} {_half(date)}"


_CODES: dict[str, Callable[[ShownDate], str]] = {
    "a": lambda date: _WEEKDAYS[date.weekday][:3],
    "A": lambda date: _WEEKDAYS[date.weekday],
    "b": lambda date: _MONTHS[date.civil[1] - 1][:3],
    "B": lambda date: _MONTHS[date.civil[1] - 1],
    "c": lambda date: f"{_us_date(date)}, {_us_time(date)}",
    "C": lambda date: str(int(str(date.civil[0])[:2])),
    "d": lambda date: str(date.civil[2]),
    "e": lambda date: str(date.civil[2]),
    "H": lambda date: str(date.clock[0]),
    "h": lambda date: _MONTHS[date.civil[1] - 1][:3],
    "I": _hour_of_half,
    "j": lambda date: str(_day_of_year(date)),
    "k": lambda date: str(date.clock[0]),
    "l": _hour_of_half,
    "L": lambda date: str(date.clock[3]),
    "m": lambda date: str(date.civil[1]),
    "M": lambda date: str(date.clock[1]),
    "n": lambda _date: "\n",
    "p": _half,
    "P": lambda date: _half(date).lower(),
    "q": ordinal,
    "s": lambda date: str(math.floor(date.ms / 1000 + 0.5)),
    "S": lambda date: str(date.clock[2]),
    "t": lambda _date: "\t",
    "u": lambda date: str(date.weekday or 7),
    "U": lambda date: _week_of_year(date, 0),
    "w": lambda date: str(date.weekday),
    "W": lambda date: _week_of_year(date, 1),
    "x": _us_date,
    "X": _us_time,
    "y": lambda date: str(date.civil[0])[2:4],
    "Y": lambda date: str(date.civil[0]),
    "Z": lambda date: date.zone,
    "%": lambda _date: "%",
}
