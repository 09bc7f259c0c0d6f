"""Reading dates as V8's `Date.parse` does, with UTC for local time: ISO forms exactly, everything else by its guessing.

The guessing takes numbers, month names, `AM`, time zone words and signs as they come and puts them into places by their
order and size; it knows no format. What it makes of odd texts is what Segment makes of them.
"""

import re
from typing import NamedTuple

from gateway.core.javascript import WHITE_SPACE

DATE_MS_MAX = 8.64e15  # JavaScript's dates end a hundred million days from 1970
DAY_MS = 86_400_000
NUMBER_DIGITS_MAX = 9  # V8 reads that many digits of a number and skips the rest

_SPACE = WHITE_SPACE.replace("\u2028", "").replace("\u2029", "")  # V8 takes these two for letters here
_TOKEN = re.compile(
    rf"(?P<number>[0-9]+)|(?P<sign>[:.)+-])|(?P<space>[{_SPACE}])|(?P<word>(?:(?![{_SPACE}])[A-\U0010ffff])+)"
    r"|(?P<other>[\s\S])"
)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_ZONES = {"ut": 0, "utc": 0, "z": 0, "gmt": 0, "cdt": -5, "cst": -6, "edt": -4, "est": -5}
_ZONES |= {"mdt": -6, "mst": -7, "pdt": -7, "pst": -8}
_HALVES = {"am": 0, "pm": 12}


class _Token(NamedTuple):
    kind: str  # number, sign, space, word, other, end
    text: str


_END = _Token("end", "")


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a day of the Gregorian calendar, for any year."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def parse_date(text: str) -> float | None:
    """Milliseconds since 1970 of a date text, or None where it is no date."""
    reader = _Reader(text)
    first = reader.iso()
    return None if first is None or not reader.guess(first) else reader.moment_ms()


class _Reader:
    """The tokens of a date text, and the parts of a date found so far."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.day: list[int] = []
        self.month: int | None = None
        self.time: list[int] = []
        self.half: int | None = None
        self.zone_sign: int | None = None
        self.zone_hour: int | None = None
        self.zone_minute: int | None = None
        self.is_iso = False

    def peek(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else _END

    def next(self) -> _Token:
        token = self.peek()
        self.at += 1
        return token

    def skip(self, sign: str) -> bool:
        if self.peek() == ("sign", sign):
            self.at += 1
            return True
        return False

    def fixed(self, digits: int, low: int, high: int) -> int | None:
        """The next token's number, if it has that many digits and lies between the two."""
        token = self.peek()
        if token.kind != "number" or len(token.text) != digits or not low <= _number(token.text) <= high:
            return None
        return _number(token.text)

    # --- ISO 8601, the part of it that JavaScript promises ---

    def iso(self) -> _Token | None:
        """Read an ISO date. Gives the first token that is none of it, for the guessing; None where there is no hope."""
        sign = self.next() if self.peek().text in ("+", "-") else None
        year = self.fixed(6 if sign else 4, 0, 999_999)
        if year is None or (sign and sign.text == "-" and year == 0):
            if year is not None:
                self.at += 1
            return sign or self.next()
        self.at += 1
        self.day.append(-year if sign and sign.text == "-" else year)
        for high in (12, 31):
            if not self.skip("-"):
                break
            part = self.fixed(2, 1, high)
            if part is None:
                return self.next()
            self.at += 1
            self.day.append(part)
        if self.peek().kind == "word" and self.peek().text.lower() == "t":
            self.at += 1
            if not (self._iso_time() and self._iso_zone()) or self.peek() != _END:
                return None
        elif self.peek() != _END:
            return self.next()
        if not self.time:
            self.set_zone(0)
        self.is_iso = True
        return _END

    def _iso_time(self) -> bool:
        hour = self.fixed(2, 0, 24)
        highest = 0 if hour == 24 else 59
        if hour is None:
            return False
        self.at += 1
        self.time.append(hour)
        for needed in (True, False):
            if not self.skip(":"):
                return not needed
            part = self.fixed(2, 0, highest)
            if part is None:
                return False
            self.at += 1
            self.time.append(part)
        if self.skip("."):
            token = self.next()
            if token.kind != "number" or (hour == 24 and _number(token.text)):
                return False
            self.time.append(_milliseconds(token.text))
        return True

    def _iso_zone(self) -> bool:
        token = self.peek()
        if token.kind == "word" and token.text.lower() == "z":
            self.at += 1
            self.set_zone(0)
        elif token.text in ("+", "-"):
            self.at += 1
            self.zone_sign = 1 if token.text == "+" else -1
            together = self.fixed(4, 0, 9999)
            hour = self.fixed(2, 0, 23) if together is None else together // 100
            self.at += 1
            if hour is None or hour > 23 or (together is None and not self.skip(":")):
                return False
            minute = self.fixed(2, 0, 59) if together is None else together % 100
            self.at += together is None
            if minute is None or minute > 59:
                return False
            self.zone_hour, self.zone_minute = hour, minute
        return True

    def set_zone(self, hours: int) -> None:
        self.zone_sign, self.zone_hour, self.zone_minute = (-1 if hours < 0 else 1), abs(hours), 0

    # --- Guessing ---

    def guess(self, token: _Token) -> bool:
        """Take the tokens one after the other. False where they make no date."""
        seen_number = bool(self.day)
        while token != _END:
            if token.kind == "number":
                seen_number = True
                if not self._number(token):
                    return False
            elif token.kind == "word":
                if not self._word(token.text, seen_number=seen_number):
                    return False
            elif token.text in ("+", "-") and (self._is_utc() or self.time):
                seen_number = True
                if not self._offset(token):
                    return False
            elif token.text in ("+", "-", ")") and seen_number:
                return False
            token = self.next()
        return True

    def _is_utc(self) -> bool:
        return self.zone_hour == 0 and self.zone_minute == 0

    def _number(self, token: _Token) -> bool:
        number = _number(token.text)
        if self.skip(":"):
            if self.skip(":"):
                if self.time:
                    return False
                self.time += [number, 0]
                return True
            if len(self.time) == 4:
                return False
            self.time.append(number)
            self.skip(".")
            return True
        if self.skip(".") and self._expects(number):
            self.time.append(number)
            fraction = self.next()
            if fraction.kind != "number":
                return False
            self._finish_time(_milliseconds(fraction.text))
            return True
        if self.zone_hour is not None and self.zone_minute is None and number <= 59:
            self.zone_minute = number
            return True
        if self._expects(number):
            self._finish_time(number)
            behind = self.peek()
            return behind.kind in ("end", "space") or behind.text in ("+", "-", "z", "Z")
        if len(self.day) == 3:
            return False
        self.day.append(number)
        self.skip("-")
        return True

    def _expects(self, number: int) -> bool:
        """Whether the time so far goes on with this number."""
        return (len(self.time) in (1, 2) and number <= 59) or (len(self.time) == 3 and number <= 999)

    def _finish_time(self, number: int) -> None:
        self.time = [*self.time, number, 0, 0, 0][:4]

    def _word(self, word: str, *, seen_number: bool) -> bool:
        word = word.lower()
        month = _MONTHS.get(word[:3])
        if word in _HALVES and self.time:
            self.half = _HALVES[word]
        elif month is not None:
            self.month = month
            self.skip("-")
        elif word in _ZONES and seen_number:
            self.set_zone(_ZONES[word])
        else:
            # Other words are fine before the first number, unless it follows without a gap.
            return not seen_number and self.peek().kind != "number"
        return True

    def _offset(self, sign: _Token) -> bool:
        self.zone_sign = 1 if sign.text == "+" else -1
        digits = self.next().text if self.peek().kind == "number" else ""
        number = _number(digits)
        if self.peek() == ("sign", ":"):
            self.zone_hour, self.zone_minute = number, None
        elif len(digits) in (1, 2):
            self.zone_hour, self.zone_minute = number, 0
        elif len(digits) in (3, 4):
            self.zone_hour, self.zone_minute = number // 100, number % 100
        else:
            return False
        return True

    # --- The date ---

    def moment_ms(self) -> float | None:
        """The parts put together; None where one is out of range or missing."""
        civil, time_ms = self._civil(), self._time_ms()
        if civil is None or time_ms is None:
            return None
        offset_minutes = (self.zone_hour or 0) * 60 + (self.zone_minute or 0)
        moment = days_from_civil(*civil) * DAY_MS + time_ms - (self.zone_sign or 0) * offset_minutes * 60_000
        return float(moment) if abs(moment) <= DATE_MS_MAX else None

    def _civil(self) -> tuple[int, int, int] | None:
        """Year, month, day. A first number that is no day is the year; two-digit years are 1950 to 2049."""
        if not self.day:
            return None
        first, second, third = (*self.day, 1, 1)[:3]
        if self.month is not None:
            year, month, day = (second, self.month, first) if 1 <= first <= 31 else (first, self.month, second)
        elif self.is_iso or not 1 <= first <= 31:
            year, month, day = first, second, third
        else:
            year, month, day = third, first, second
        if not self.is_iso and 0 <= year <= 99:
            year += 2000 if year < 50 else 1900
        return (year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None

    def _time_ms(self) -> int | None:
        hour, minute, second, millisecond = (*self.time, 0, 0, 0, 0)[:4]
        if self.half is not None:
            if hour > 12:
                return None
            hour = hour % 12 + self.half
        is_midnight = (hour, minute, second, millisecond) == (24, 0, 0, 0)
        if not is_midnight and (hour > 23 or minute > 59 or second > 59 or millisecond > 999):
            return None
        return ((hour * 60 + minute) * 60 + second) * 1000 + millisecond


def _tokens(text: str) -> list[_Token]:
    """Numbers, words, signs, blanks; parentheses with what is in them are one token of no meaning."""
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at] == "(":
            at = _behind_parentheses(text, at)
            tokens.append(_Token("other", "("))
            continue
        match = _TOKEN.match(text, at)
        assert match is not None
        assert match.lastgroup is not None
        tokens.append(_Token(match.lastgroup, match[0]))
        at = match.end()
    return tokens


def _behind_parentheses(text: str, at: int) -> int:
    balance = 0
    while at < len(text):
        balance += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
        if balance == 0:
            break
    return at


def _number(digits: str) -> int:
    return int(digits.lstrip("0")[:NUMBER_DIGITS_MAX] or "0")


def _milliseconds(digits: str) -> int:
    """A fraction of a second, cut after three digits."""
    number, length = _number(digits), min(len(digits), NUMBER_DIGITS_MAX)
    return int(number * 10 ** (3 - length) if length <= 3 else number // 10 ** (length - 3))
