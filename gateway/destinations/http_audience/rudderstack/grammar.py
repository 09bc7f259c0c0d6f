"""The template language of RudderStack's Custom Audience (a small part of JSONata), parsed into a tree; everything else refused.

One pass over the text; after a fault it goes on behind the next comma, so that all faults of a template are told at once.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final, NoReturn

import msgspec

from gateway.core.javascript import double

TEMPLATE_CHARS_MAX: Final = 64 * 1024
DEPTH_MAX: Final = 20
FAULTS_MAX: Final = 50
NUMBER_CHARS_MAX: Final = 400  # ours: a double has 309 digits at most before its point


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One place that cannot be used. at: characters before it."""

    at: int
    what: str


class Literal(msgspec.Struct, frozen=True):
    """A text, number, boolean or null as it stands."""

    value: object


class Path(msgspec.Struct, frozen=True):
    """What a path leads to. names: from the root (`records`, `connection`) on; is_rooted: else from the current record on."""

    names: tuple[str, ...]
    is_rooted: bool
    at: int


class Number(msgspec.Struct, frozen=True):
    """`$number(value)`."""

    value: Node


class Members(msgspec.Struct, frozen=True):
    """An object."""

    pairs: tuple[tuple[str, Node], ...]


class Items(msgspec.Struct, frozen=True):
    """A list."""

    items: tuple[Node, ...]


class Each(msgspec.Struct, frozen=True):
    """`[$$.records.{…}]`: something for every item of a list."""

    names: tuple[str, ...]
    made: Members | Items


Node = Literal | Path | Number | Members | Items | Each

_SKIPPED = re.compile(r"(?:\s|/\*.*?\*/)+", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<quoted>`[^`]*`)
    |(?P<root>\$\$)
    |(?P<variable>\$[A-Za-z0-9_]*)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>:=|\.\.|~>|!=|<=|>=|\*\*|[{}\[\]():,.+\-*/%&=<>^|?@\#;!~])""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: Final = {"true": True, "false": False, "null": None}
_OPERATORS: Final = frozenset(
    ["+", "-", "*", "/", "%", "&", "=", "!=", "<", ">", "<=", ">=", "and", "or", "in", "..", "?", "~>", ":=", "^", "|", "**",
     "@", "#", ";"]
)  # fmt: skip


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int


class _FaultError(Exception):
    def __init__(self, at: int, what: str) -> None:
        self.fault = Fault(at=at, what=what)
        super().__init__(what)


def parse(template: str) -> tuple[Node | None, list[Fault]]:
    """The tree of a template, or None with everything that is wrong with it, in the order of the text."""
    if len(template) > TEMPLATE_CHARS_MAX:
        return None, [Fault(at=0, what=f"The template is longer than {TEMPLATE_CHARS_MAX} characters.")]
    try:
        tokens = _tokens(template)
    except _FaultError as error:
        return None, [error.fault]
    parser = _Parser(tokens)
    node = parser.whole()
    if parser.faults:
        return None, sorted(parser.faults, key=lambda fault: fault.at)[:FAULTS_MAX]
    return node, []


def _tokens(template: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(template):
        if skipped := _SKIPPED.match(template, at):
            at = skipped.end()
            continue
        match = _TOKEN.match(template, at)
        if match is None:
            what = "This text or name is not closed." if template[at] in "\"'`" else "This character has no place here."
            raise _FaultError(at, what)
        tokens.append(_Token(str(match.lastgroup), match[0], at))
        at = match.end()
    tokens.append(_Token("end", "", len(template)))
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.faults: list[Fault] = []

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def whole(self) -> Node | None:
        first = self._next
        node = self._value(depth=0, in_each=False)
        if self._next.kind != "end":
            self._note(self._next.at, self._refused(self._next))
        if node is not None and not isinstance(node, (Members, Items, Each)):
            self._note(first.at, "The body must be an object or a list.")
        return node

    def _note(self, at: int, what: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(Fault(at=at, what=what))

    # --- Values ---

    def _value(self, *, depth: int, in_each: bool) -> Node | None:
        """One value; None after noting a fault, with everything up to the next comma or bracket of this level skipped."""
        try:
            node = self._plain_value(depth, in_each=in_each)
            if self._next.text not in {",", "}", "]", ")", ""} and self._next.kind != "end":
                self._stop(self._next)
        except _FaultError as error:
            self._note(error.fault.at, error.fault.what)
            self._skip()
            return None
        return node

    def _plain_value(self, depth: int, *, in_each: bool) -> Node:
        if depth > DEPTH_MAX:
            raise _FaultError(self._next.at, f"The template is nested deeper than {DEPTH_MAX} levels.")
        token = self._take()
        match token.kind:
            case "text":
                return Literal(_unquoted(token))
            case "number":
                return Literal(_number(token))
            case "root":
                return self._rooted(token)
            case "variable":
                return self._call(token, depth, in_each=in_each)
            case "name" if token.text in _WORDS:
                return Literal(_WORDS[token.text])
            case "name" | "quoted":
                return self._record_path(token, in_each=in_each)
            case "mark" if token.text == "{":
                return self._members(depth, in_each=in_each)
            case "mark" if token.text == "[":
                return self._list(depth, in_each=in_each)
            case _:
                return self._stop(token)

    def _members(self, depth: int, *, in_each: bool) -> Members:
        pairs: list[tuple[str, Node]] = []
        seen: set[str] = set()
        if self._next.text == "}" and self._next.kind == "mark":
            self._take()
            return Members(())
        while True:
            key = self._take()
            name = _unquoted(key) if key.kind == "text" else None
            if name is None:
                self._note(key.at, "A key must be a text in quotes: any other key would depend on the data.")
                if key.kind == "mark" and key.text in {"{", "[", "("}:
                    self._at -= 1
                    self._skip(stop_at_colon=True)
            elif name in seen:
                self._note(key.at, f"The key `{name}` stands here twice.")
            colon = self._take()
            if colon.text != ":":
                raise _FaultError(colon.at, "A colon should follow a key.")
            value = self._value(depth=depth + 1, in_each=in_each)
            if name is not None:
                seen.add(name)
                if value is not None:
                    pairs.append((name, value))
            if not self._more("}"):
                return Members(tuple(pairs))

    def _list(self, depth: int, *, in_each: bool) -> Node:
        items: list[Node] = []
        if self._next.text == "]":
            self._take()
            return Items(())
        while True:
            start = self._next
            each = self._iteration(depth, in_each=in_each) if start.kind == "root" else None
            node = each or self._value(depth=depth + 1, in_each=in_each)
            if node is not None:
                items.append(node)
            is_more = self._more("]")
            if each is not None and (is_more or len(items) > 1):
                self._note(start.at, "An iteration must stand alone in its brackets.")
            if not is_more:
                return each if each is not None and len(items) == 1 else Items(tuple(items))

    def _iteration(self, depth: int, *, in_each: bool) -> Each | None:
        """`$$.records.{…}` or `$$.records.[…]`, if that is what stands here; the caller has taken the bracket around it."""
        begin = self._at
        self._take()
        names: list[str] = []
        while self._next.text == ".":
            self._take()
            token = self._take()
            if token.kind in {"name", "quoted"}:
                names.append(token.text.strip("`"))
                continue
            if token.kind == "mark" and token.text in {"{", "["}:
                if in_each or not names or names[0] not in {"records", "connection"}:
                    self._note(
                        token.at, "An iteration goes over `$$.records` (or a list of `$$.connection`), on the outside."
                    )
                if names[:1] == ["records"] and len(names) > 1:
                    self._note(token.at, "An iteration below a field of a record is not possible.")
                made = self._members(depth + 1, in_each=True) if token.text == "{" else Items(self._row(depth + 1))
                if self._next.text == ".":
                    raise _FaultError(self._next.at, "Nothing may follow what an iteration makes.")
                return Each(tuple(names), made)
            break
        self._at = begin
        return None

    def _row(self, depth: int) -> tuple[Node, ...]:
        """The inside of a row, up to its bracket: every item keeps its place."""
        items: list[Node] = []
        if self._next.text == "]":
            self._take()
            return ()
        while True:
            node = self._value(depth=depth + 1, in_each=True)
            if node is not None:
                items.append(node)
            if not self._more("]"):
                return tuple(items)

    def _rooted(self, token: _Token) -> Path:
        names: list[str] = []
        while self._next.text == ".":
            self._take()
            names.append(self._path_name())
        if not names:
            raise _FaultError(
                token.at, "`$$` alone would send everything, the whole connection included; name a part of it."
            )
        if names[0] not in {"records", "connection"}:
            raise _FaultError(token.at, f"`$$.{names[0]}` is nothing: there are `$$.records` and `$$.connection`.")
        if names[0] == "records" and len(names) > 2:
            raise _FaultError(token.at, "`$$.records` is followed by one field, or by one `{…}` or `[…]`.")
        if names == ["connection"]:
            raise _FaultError(token.at, "`$$.connection` alone would send the whole connection; name a part of it.")
        return Path(tuple(names), is_rooted=True, at=token.at)

    def _record_path(self, token: _Token, *, in_each: bool) -> Path:
        if token.text in _OPERATORS or token.text == "function":
            self._stop(token)
        names = [token.text.strip("`")]
        if self._next.text == "(":
            raise _FaultError(token.at, f"`{token.text}()` is a function, and only `$number()` may be called.")
        while self._next.text == ".":
            self._take()
            names.append(self._path_name())
        if not in_each:
            raise _FaultError(
                token.at, f"`{'.'.join(names)}` is a field of a record, and this is outside `[$$.records.{{…}}]`."
            )
        return Path(tuple(names), is_rooted=False, at=token.at)

    def _path_name(self) -> str:
        token = self._take()
        if token.kind not in {"name", "quoted"}:
            if token.text in {"{", "["}:
                raise _FaultError(token.at, "An iteration must stand directly inside brackets: `[$$.records.{…}]`.")
            self._stop(token)
        return token.text.strip("`")

    def _call(self, token: _Token, depth: int, *, in_each: bool) -> Number:
        if self._next.text != "(":
            raise _FaultError(token.at, f"`{token.text}` is a variable, and there are none.")
        if token.text != "$number":
            raise _FaultError(token.at, f"`{token.text}()` may not be called; only `$number()` may.")
        opening = self._take()
        if self._next.text == ")":
            raise _FaultError(opening.at, "`$number()` takes exactly one value.")
        value = self._plain_value(depth + 1, in_each=in_each)
        closing = self._take()
        if closing.text != ")":
            if closing.text != ",":
                self._stop(closing)
            raise _FaultError(closing.at, "`$number()` takes exactly one value.")
        return Number(value)

    # --- Marks ---

    def _more(self, closing: str) -> bool:
        token = self._take()
        if token.text == closing:
            return False
        if token.text == ",":
            if self._next.text == closing:
                raise _FaultError(token.at, "There is a comma too many.")
            return True
        raise _FaultError(token.at, f"A comma or `{closing}` should stand here.")

    def _skip(self, *, stop_at_colon: bool = False) -> None:
        """Go on to the next comma or closing bracket of this level."""
        level = 0
        while (token := self._next).kind != "end":
            if level == 0 and (token.text in {",", "}", "]", ")"} or (stop_at_colon and token.text == ":")):
                return
            if token.kind == "mark":
                level += {"{": 1, "[": 1, "(": 1, "}": -1, "]": -1, ")": -1}.get(token.text, 0)
            self._take()

    def _stop(self, token: _Token) -> NoReturn:
        raise _FaultError(token.at, self._refused(token))

    @staticmethod
    def _refused(token: _Token) -> str:
        if token.kind == "end":
            return "The template ends where something should stand."
        if token.text in _OPERATORS:
            return f"The operator `{token.text}` is not possible: a template only places values."
        words = {
            "[": 'Filters and places in lists (`[0]`, `[x=1]`, `["x"]`) are not possible.',
            "{": "Grouping (`… { key: value }` without a dot) is not possible.",
            "(": "Parentheses, blocks and calls are not possible.",
            ":": "A colon has no place here.",
            "function": "Functions cannot be defined.",
        }
        return words.get(token.text, f"`{token.text}` has no place here.")


def _number(token: _Token) -> int | float:
    value: int | float = json.loads(token.text) if len(token.text) <= NUMBER_CHARS_MAX else math.inf
    if not math.isfinite(double(value)):
        raise _FaultError(token.at, "This number is larger than any that JSON readers know.")
    return value


def _unquoted(token: _Token) -> str:
    text = token.text
    if text.startswith("'"):
        text = '"' + re.sub(r'\\.|"', _as_double, text[1:-1]) + '"'
    try:
        value = json.loads(text, strict=True)
    except ValueError:
        raise _FaultError(token.at, "This text has an escape or a line break that JSON does not have.") from None
    if not isinstance(value, str) or re.search("[\ud800-\udfff]", value):
        raise _FaultError(token.at, "This text holds half of a surrogate pair.")
    return value


def _as_double(match: re.Match[str]) -> str:
    if match[0] == '"':
        return '\\"'
    return "'" if match[0] == "\\'" else match[0]
