"""Reading expressions, names and values from left to right, in one tag or output of a template."""

import re

from gateway.core.javascript import WHITE_SPACE, joined, text_number
from gateway.core.mapping.liquid.errors import LiquidError, LiquidTrouble, excerpt, located
from gateway.core.mapping.liquid.expressions import (
    PRECEDENCE,
    Argument,
    Constant,
    Filter,
    Filtered,
    Literal,
    Operator,
    Range,
    Value,
    Variable,
    postfix,
)
from gateway.core.mapping.liquid.values import WORDS

# liquidjs' own set: U+180E, which JavaScript no longer counts, and not U+FEFF, which it does
BLANKS = WHITE_SPACE.replace("\ufeff", "\u180e")
_BLANK = re.compile(f"[{BLANKS}]*")
_IDENTIFIER = re.compile(f"(?:[A-Za-z0-9_?-]|[^\\x00-\\x7f{BLANKS}\u201c\u201d])*")
_OPERATOR = re.compile("==|!=|>=|<=|>|<|contains|not|and|or")
_LITERAL = re.compile("|".join(WORDS))
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.(?!\.)[0-9]*)?")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{0,4})|([0-7]{1,3})|([\s\S]))")

VALUE_NESTING_MAX = 50  # brackets and ranges inside each other


class Scanner:
    """A part of a template, and how far it has been read.

    source: the whole template in UTF-16 units, so that places are those of the whole; begin, end: the part.
    """

    def __init__(self, source: str, begin: int, end: int) -> None:
        self.source = source
        self.at = begin
        self.end_at = end
        self.nesting = 0

    # --- Small steps ---

    def error(self, message: str, position: int | None = None) -> LiquidError:
        """Trouble at a place, by default at the next unread character."""
        return located(message, self.source, self.at if position is None else position)

    def is_done(self) -> bool:
        """Whether all of the part is read."""
        return self.at >= self.end_at

    def peek(self, ahead: int = 0) -> str:
        """An unread character, or nothing beyond the end."""
        position = self.at + ahead
        return self.source[position] if position < self.end_at else ""

    def skip_blanks(self) -> None:
        """Step over blanks."""
        match = _BLANK.match(self.source, self.at, max(self.at, self.end_at))
        self.at = match.end() if match else self.at

    def read_to(self, stop: str) -> bool:
        """Step behind the next character that is `stop`; to the end when there is none."""
        found = self.source.find(stop, self.at, self.end_at)
        self.at = self.end_at if found < 0 else found + 1
        return found >= 0

    def excerpt(self) -> str:
        """What is unread, as messages quote it."""
        return excerpt(self.source, self.at, self.end_at)

    def identifier(self) -> str:
        """A name, after blanks; empty when there is none."""
        self.skip_blanks()
        match = _IDENTIFIER.match(self.source, self.at, max(self.at, self.end_at))
        if match is None:
            return ""
        self.at = match.end()
        return joined(match[0])

    def _matched(self, pattern: re.Pattern[str]) -> str | None:
        """A word or sign of a list; words must not go on behind it."""
        match = pattern.match(self.source, self.at, max(self.at, self.end_at))
        if match is None or (match[0].isalpha() and _is_word(self.peek(len(match[0])))):
            return None
        self.at = match.end()
        return match[0]

    # --- Expressions ---

    def filtered(self) -> Filtered:
        """An expression and its filters."""
        tokens = self._expression()
        if not tokens:
            raise self.error(f"invalid value expression: {self.excerpt()}")
        filters: list[Filter] = []
        while (each := self._filter()) is not None:
            filters.append(each)
        return Filtered(postfix(tokens), tuple(filters))

    def _expression(self) -> list[Value | Operator]:
        tokens: list[Value | Operator] = []
        while not self.is_done():
            self.skip_blanks()
            name = self._matched(_OPERATOR)
            token = Operator(name) if name in PRECEDENCE and name is not None else self.value()
            if token is None:
                break
            tokens.append(token)
        return tokens

    def _filter(self) -> Filter | None:
        self.skip_blanks()
        if self.is_done():
            return None
        bar = self.peek()
        self.at += 1
        if bar != "|":
            raise self.error('expected "|" before filter')
        name = self.identifier()
        if not name:
            if not self.is_done():
                raise self.error("expected filter name")
            return None
        self.skip_blanks()
        if self.peek() == ":":
            return Filter(name, tuple(self._arguments()))
        if self.peek() not in ("|", ""):
            raise self.error('expected ":" after filter name')
        return Filter(name, ())

    def _arguments(self) -> list[Argument]:
        arguments: list[Argument] = []
        while True:
            self.at += 1  # the colon, then each comma
            begin = self._after_blanks()
            value = self.value()
            if value is not None:
                name = self.source[begin : self.at]
                self.skip_blanks()
                if self.peek() == ":":
                    self.at += 1
                    arguments.append(Argument(joined(name), self.value()))
                else:
                    arguments.append(Argument(None, value))
            self.skip_blanks()
            if self.peek() not in (",", "|", ""):
                raise self.error(f"unexpected character {self.excerpt()}")
            if self.peek() != ",":
                return arguments

    def _after_blanks(self) -> int:
        self.skip_blanks()
        return self.at

    # --- Values ---

    def value(self) -> Value | None:
        """A literal, text, range, number or variable, with the properties behind it; None when nothing fits."""
        self.nesting += 1
        if self.nesting > VALUE_NESTING_MAX:
            raise self.error(f"brackets are nested deeper than {VALUE_NESTING_MAX} levels")
        self.skip_blanks()
        base = self._literal() or self.quoted() or self._range() or self._number()
        steps = self._properties(begins=base is None)
        self.nesting -= 1
        return Variable(base, tuple(steps)) if steps else base

    def scope_value(self) -> Variable | None:
        """A variable and nothing else: here `true` and `5` are names."""
        self.skip_blanks()
        steps = self._properties(begins=True)
        return Variable(None, tuple(steps)) if steps else None

    def _literal(self) -> Literal | None:
        name = self._matched(_LITERAL)
        return None if name is None else Literal(name)

    def quoted(self) -> Constant | None:
        """A text in quotes. Without its closing quote it runs to the end and loses its last character."""
        self.skip_blanks()
        quote = self.peek()
        if quote not in ("'", '"') or not quote:
            return None
        begin = self.at
        self.at += 1
        while not self.is_done():
            unit = self.source[self.at]
            self.at += 2 if unit == "\\" else 1
            if unit == quote:
                break
        self.at = min(self.at, self.end_at)
        return Constant(_unescaped(self.source[begin : self.at]))

    def _range(self) -> Range | None:
        if self.peek() != "(":
            return None
        self.at += 1
        low = self._needed_value()
        self._expect("..")
        high = self._needed_value()
        self._expect(")")
        return Range(low, high)

    def _needed_value(self) -> Value:
        value = self.value()
        if value is None:
            raise self.error(f"unexpected token {self.excerpt()}, value expected")
        return value

    def _expect(self, text: str) -> None:
        self.skip_blanks()
        for unit in text:
            found = self.peek()
            self.at += 1
            if found != unit:
                raise self.error("invalid range syntax")

    def _number(self) -> Constant | None:
        match = _NUMBER.match(self.source, self.at, max(self.at, self.end_at))
        if match is None or _is_word(self.peek(match.end() - self.at)) or self._has_second_point(match):
            return None
        self.at = match.end()
        return Constant(text_number(match[0]))

    def _has_second_point(self, match: re.Match[str]) -> bool:
        """`1.2.3` is no number, `1..3` begins with one."""
        behind = self.peek(match.end() - self.at), self.peek(match.end() - self.at + 1)
        return behind[0] == "." and behind[1] != "." and "." in match[0]

    def _properties(self, *, begins: bool) -> list[Value]:
        """`.name` and `[value]` in any number. begins: a plain name may come first."""
        steps: list[Value] = []
        while True:
            if self.peek() == "[":
                self.at += 1
                step = self.value()
                if not self.read_to("]"):
                    raise self.error("[ not closed")
                steps.append(Constant("") if step is None else step)
                continue
            if begins and not steps and (name := self.identifier()):
                steps.append(Constant(name))
                continue
            if self.peek() != "." or self.peek(1) == ".":
                return steps
            self.at += 1
            name = self.identifier()
            if not name:
                return steps
            steps.append(Constant(name))


def _is_word(unit: str) -> bool:
    return bool(unit) and _IDENTIFIER.fullmatch(unit) is not None


def _unescaped(quoted: str) -> str:
    """What a quoted text says. An escape may take in the last unit, even if that is the closing quote."""
    pieces: list[str] = []
    at = 1
    while at < len(quoted) - 1:
        escape = _ESCAPE.match(quoted, at)
        if escape is None:
            pieces.append(quoted[at])
            at += 1
            continue
        if escape[1] is not None and len(escape[1]) < 4 and escape.end() == len(quoted):
            raise LiquidTrouble("Cannot read properties of undefined (reading 'charCodeAt')")
        pieces.append(_escaped_character(escape))
        at = escape.end()
    return joined("".join(pieces))


def _escaped_character(escape: re.Match[str]) -> str:
    if escape[1] is not None:
        return chr(int(escape[1] or "0", 16))
    if escape[2] is not None:
        return chr(int(escape[2], 8))
    return _ESCAPES.get(escape[3], escape[3])
