"""The lexer: a trigger's text to tokens, unit by unit as Segment's does it. It knows no grammar.

The text is read as UTF-16 units (`code_units`); every place below counts them. White space, letters and digits are
ASCII ones only. What surprises here, and is meant:

- A carriage return is not white space. Most characters beyond letters and digits are errors unless escaped or quoted.
- `<=`, `>=`, `!=`, `and`, `or` and `null` are only themselves when a *terminator* follows: white space, `,`, `]`, `)` or the
  end. `<=5` is `<`, `=`, 5; `or(` is a name. `=` needs nothing.
- A string has no escapes, and its closing quote counts as used only when a terminator follows. Otherwise the same
  quote is read again and opens the next string.
- Looking for one of those words at the very end of the text swallows what it looked at: `event = an` compares with `a`.
- One error anywhere and there are no tokens at all.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from gateway.core.javascript import code_units, joined

# The lexer of Segment, its "bug catcher": a name, number or string of that many units or more is an error.
TOKEN_UNITS_MAX = 100_000

Kind = Literal[
    "ident", "dot", "operator", "conditional", "string", "number", "null", "[", "]", "(", ")", "comma", "end"
]

_SPACE = " \t\n"
_TERMINATORS = _SPACE + ",])"
_AFTER_NAME = _TERMINATORS + ".(=!"
_SINGLE: dict[str, Kind] = {".": "dot", "[": "[", "]": "]", ",": "comma", "(": "(", ")": ")", "=": "operator"}

_NAME = re.compile(r"(?:\\.|[A-Za-z0-9_-])+", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_DIGITS = re.compile(r"[0-9.]*")
_LETTER = re.compile(r"[A-Za-z]")
_STARTS_NAME = re.compile(r"[A-Za-z_\\]")
_STARTS_NUMBER = re.compile(r"[0-9+-]")

# First letter → the rest of the word it may be, and the kind the word then is.
_WORDS: dict[str, tuple[str, Kind]] = {"a": ("nd", "conditional"), "o": ("r", "conditional"), "n": ("ull", "null")}


class Token(msgspec.Struct, frozen=True):
    """One token. value: its unescaped text, quotes included. start, end: its units in the trigger's text."""

    kind: Kind
    value: str
    start: int
    end: int


class UnreadableError(Exception):
    """The text is not FQL. what: one sentence. at: the unit where it stopped making sense. mend: what to write."""

    def __init__(self, what: str, at: int, mend: str) -> None:
        self.what = what
        self.at = at
        self.mend = mend
        super().__init__(what)


def tokens_of(text: str) -> list[Token]:
    """All tokens of a text, always closed by one of kind `end` (value `eos`); raises UnreadableError.

    Time and memory grow in step with the text, whatever it holds.
    """
    return _Lexer(code_units(text)).tokens()


def join_dots(tokens: list[Token]) -> list[Token]:
    """Make `name dot name` one name, again and again from the left: paths become single tokens.

    Blanks around a dot are gone by now, so `properties . a` is `properties.a`. Only names join: a path ends before a
    piece that the lexer took for a number (`properties.5x`) or for one of its words (`properties.null`).
    """
    kept: list[Token] = []
    place = 0
    while place < len(tokens):
        first = tokens[place]
        place += 1
        if first.kind != "ident":
            kept.append(first)
            continue
        parts = [first.value]
        last = first
        while place + 1 < len(tokens) and tokens[place].kind == "dot" and tokens[place + 1].kind == "ident":
            last = tokens[place + 1]
            parts.append(last.value)
            place += 2
        kept.append(Token("ident", ".".join(parts), first.start, last.end))
    return kept


def column_of(text: str, unit: int) -> int:
    """Where a unit stands for a reader of the text: characters, from 1."""
    units = code_units(text)
    return len(joined(units[: unit + 1])) if unit < len(units) else len(text) + 1


class _Lexer:
    """One pass over one text. at: the next unit to read."""

    def __init__(self, units: str) -> None:
        self.units = units
        self.at = 0

    def tokens(self) -> list[Token]:
        found: list[Token] = []
        while self.at < len(self.units):
            start = self.at
            unit = self.units[start]
            self.at += 1
            if unit in _SPACE:
                continue
            kind, value = self._token(unit)
            found.append(Token(kind, joined(value), start, self.at))
        found.append(Token("end", "eos", len(self.units), len(self.units)))
        return found

    def _token(self, unit: str) -> tuple[Kind, str]:
        """The token that begins with a unit which has just been read."""
        if unit in _SINGLE:
            return _SINGLE[unit], unit
        if unit == "!":
            return "operator", self._exclamation_mark()
        if unit in "<>":
            return "operator", unit + "=" if self._accept("=") else unit
        if unit in _WORDS:
            rest, kind = _WORDS[unit]
            if self._accept(rest):
                return kind, unit + rest
            swallowed_the_end = self.at == len(self.units)
            return "ident", unit if swallowed_the_end else self._name()
        if _STARTS_NAME.match(unit):
            return "ident", self._name()
        if _STARTS_NUMBER.match(unit):
            return "number", unit + self._rest_of_number()
        if unit in "\"'":
            return "string", unit + self._rest_of_string(unit) + unit
        raise UnreadableError(
            f"`{_shown(unit)}` has no meaning outside quotes.", self.at - 1, _MENDS.get(unit, _ESCAPE_IT)
        )

    def _exclamation_mark(self) -> str:
        """`!` in front of a name or a parenthesis, else `!=`; anything else is an error."""
        following = self._peek()
        if following == "(" or _LETTER.match(following):
            return "!"
        if self._accept("="):
            return "!="
        raise UnreadableError(
            "`!` must be followed by `contains` or `match`, or be part of `!=` with a blank after it.",
            self.at - 1,
            'Write `properties.plan != "pro"` or `!contains(event, "Order")`.',
        )

    def _name(self) -> str:
        """The name whose first unit was just read; a backslash makes the unit after it part of it, whatever it is."""
        start = self.at - 1
        match = _NAME.match(self.units, start)
        if match is None:
            raise UnreadableError("A backslash at the end escapes nothing.", start, "Take it away.")
        self.at = match.end()
        name = _ESCAPE.sub(r"\1", match[0])
        if len(name) >= TOKEN_UNITS_MAX:
            raise UnreadableError(f"A name has {TOKEN_UNITS_MAX:,} characters or more.", start, "Write a shorter one.")
        following = self._peek()
        if following and following not in _AFTER_NAME:
            raise UnreadableError(
                f"`{_shown(following)}` cannot directly follow a name.",
                self.at,
                _MENDS.get(following, "Put a blank between them." if following in "<>'\"" else _ESCAPE_IT),
            )
        return name

    def _rest_of_number(self) -> str:
        """Digits and at most one dot, which something other than a terminator must follow. No exponent."""
        start = self.at
        match = _DIGITS.match(self.units, start)
        rest = match[0] if match else ""
        self.at += len(rest)
        if rest.count(".") > 1 or (rest.endswith(".") and self._peek() in _TERMINATORS):
            raise UnreadableError("A number ends with its dot, or has two.", start - 1, "Write `5` or `5.0`.")
        if len(rest) >= TOKEN_UNITS_MAX:
            raise UnreadableError(
                f"A number has {TOKEN_UNITS_MAX:,} digits or more.", start - 1, "Write a shorter one."
            )
        return rest

    def _rest_of_string(self, quote: str) -> str:
        """What stands between the quotes. The closing one is only used up when a terminator follows it."""
        start = self.at
        close = self.units.find(quote, start)
        if close < 0:
            raise UnreadableError("A string is not closed.", start - 1, f"Put a `{quote}` at its end.")
        if close - start >= TOKEN_UNITS_MAX:
            raise UnreadableError(
                f"A string has {TOKEN_UNITS_MAX:,} characters or more.", start - 1, "Write a shorter one."
            )
        self.at = close
        self._accept(quote)
        return self.units[start:close]

    def _accept(self, word: str) -> bool:
        """Read a word that a terminator must follow, or nothing if it is not there.

        Save where the text ends first: then what was read stays read, and is lost. Segment's lexer forgets to step back
        there, which is why bare words at the end of a trigger lose letters.
        """
        start = self.at
        for _ in word:
            if self.at == len(self.units):
                return False
            self.at += 1
            if self.units[self.at - 1] in _TERMINATORS:
                break
        if self.units[start : self.at] == word and self._peek() in _TERMINATORS:
            return True
        self.at = start
        return False

    def _peek(self) -> str:
        """The next unit, or nothing at the end; nothing is `in` every text, so the end is a terminator."""
        return self.units[self.at : self.at + 1]


_ESCAPE_IT = "Quote the text it belongs to, or escape it with `\\` in a field name."
_MENDS = {
    "&": "Write `and` between clauses.",
    "|": "Write `or` between clauses.",
    "$": "Begin with the field itself: `properties.plan`, `traits.email`, `userId`; no `$.` in front.",
    "\r": "Use plain line feeds: a carriage return is no blank.",
    "[": "Write a list's item as `properties.items\\[0\\].id`.",
    "\u201c": 'Use straight quotes: `"`.',
    "\u201d": 'Use straight quotes: `"`.',
}


def _shown(unit: str) -> str:
    """A unit for a message: itself where it can be printed, else its number."""
    return unit if unit.isprintable() else f"U+{ord(unit):04X}"
