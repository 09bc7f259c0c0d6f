"""The parser: tokens to the condition tree, taking what it recognises and skipping the rest, as Segment's does.

What people mean to write:

    trigger    = clause { ("and" | "or") clause }              all joined alike, see below
    clause     = comparison | call | "(" comparison { ("and" | "or") comparison } ")"
    call       = [ "!" ] ( "contains" | "match" ) "(" field "," string ")"
    comparison = ( "type" | field ) ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
    field      = "event" | "name" | "userId" | ( "properties" | "traits" | "context" ) "." piece { "." piece }
    value      = '"text"' | number | "true" | "false" | "null"

What is done with anything at all:

- A root takes the next two tokens as operator and value, whatever they are.
- `contains` and `match` take five: a parenthesis, the field, a comma, the value, a parenthesis. Nothing is checked.
- `(` takes what stands before the first `)` as a level of its own. So a call inside parentheses ends the group early, at
  its own `)`, and the rest goes on outside; and parentheses in parentheses never find their end.
- There is no precedence. On each level the last `and` or `or` joins everything; without any it is `and`.
- Everything else is skipped: unknown fields, commas, stray strings, `AND`, `not`, a `!` before anything but a call.

The parser keeps what it did in *steps*, so that warnings can say what became of each word. The tree is read off the steps.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.fql.clauses import call_nodes, comparison_node
from gateway.core.fql.lexer import Token, UnreadableError, join_dots, tokens_of
from gateway.core.fql.tree import HOLE, ROOTS, Tree

# What Segment's parser says whenever it trips over its own feet: a lexer error, no clause, no closing parenthesis.
UNREADABLE = "Cannot read properties of undefined (reading 'type')"

FUNCTIONS = ("contains", "match")

# Segment looks roots up in a JavaScript object, which answers to these names too: they take two tokens and mean nothing.
_INHERITED = frozenset(
    [
        *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString"),
        *("valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    ]
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What the parser did with some tokens of one level.

    kind: `comparison` (field, operator, value), `call` (name, parenthesis, field, comma, value, parenthesis; the last
      may be missing, with `!` in front if `negated`), `group` (the parentheses; what is inside is `inner`), `joiner`
      (`and`, `or`), `skipped` (one token).
    nodes: what it adds to the tree, one node, or none; a hole is a node.
    """

    kind: Literal["comparison", "call", "group", "joiner", "skipped"]
    tokens: tuple[Token, ...]
    nodes: tuple[Tree | None, ...] = ()
    inner: Level | None = None
    negated: bool = False


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One level of parentheses: its steps in order, and the word that joins its clauses."""

    steps: tuple[Step, ...]
    joiner: str = "and"

    def node(self) -> Tree | None:
        """The level as a node: a group of two or more, the only one as it is, a hole where there is none."""
        nodes = [node for step in self.steps for node in step.nodes]
        if len(nodes) > 1:
            return {"type": "group", "operator": self.joiner, "children": nodes}
        return nodes[0] if nodes else HOLE


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a text is no trigger. message: Segment's. what, mend: ours, a sentence each. at: the unit it is about."""

    message: str
    what: str
    at: int
    mend: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A text as the parser read it: its tree, the outermost level, or the reason why the tree is an error.

    Where nothing was recognised there are both.
    """

    tree: Tree
    level: Level | None = None
    failure: Failure | None = None


def parse(text: str) -> Tree:
    """The condition tree of a text; one with an `error` where there is none. Never raises."""
    return read(text).tree


def read(text: str) -> Reading:
    """The tree of a text together with how it came about. Never raises; takes time in step with the text's length."""
    try:
        level = _Cursor(join_dots(tokens_of(text))).level()
    except UnreadableError as error:
        return _failed(Failure(message=UNREADABLE, what=error.what, at=error.at, mend=error.mend))
    except _FailedError as error:
        return _failed(error.failure)
    node = level.node()
    if node is HOLE:
        nothing = "There is no clause in it."
        return _failed(
            Failure(message=UNREADABLE, what=nothing, at=0, mend='Write one, such as `type = "track"`.'), level
        )
    alone: Tree = {"type": "group", "operator": "and", "children": [node]}
    return Reading(tree=node if node["type"] == "group" else alone, level=level)


def _failed(failure: Failure, level: Level | None = None) -> Reading:
    return Reading(tree={"error": failure.message}, level=level, failure=failure)


class _FailedError(Exception):
    """The tokens make no trigger."""

    def __init__(self, message: str, what: str, at: int, mend: str) -> None:
        self.failure = Failure(message=message, what=what, at=at, mend=mend)
        super().__init__(message)


class _Cursor:
    """Takes the tokens of one level from the front."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def level(self) -> Level:
        """Read up to the end token; one step each time around."""
        steps: list[Step] = []
        joiner = "and"
        while (token := self._take()) is not None and token.kind != "end":
            steps.append(self._step(token))
            if token.kind == "conditional":
                joiner = token.value
        return Level(steps=tuple(steps), joiner=joiner)

    def _step(self, token: Token) -> Step:
        if token.kind == "ident":
            root = token.value.split(".", 1)[0]
            if root in ROOTS or root in _INHERITED:
                return self._comparison(root, token)
            if token.value in FUNCTIONS:
                return self._call(token)
        if token.kind == "operator" and token.value == "!" and (name := self._take_function()):
            return self._call(name, bang=token)
        if token.kind == "(":
            return self._group(token)
        if token.kind == "conditional":
            return Step(kind="joiner", tokens=(token,))
        return Step(kind="skipped", tokens=(token,))

    def _take(self) -> Token | None:
        if self.at == len(self.tokens):
            return None
        self.at += 1
        return self.tokens[self.at - 1]

    def _take_function(self) -> Token | None:
        following = self.tokens[self.at] if self.at < len(self.tokens) else None
        if following is None or following.kind != "ident" or following.value not in FUNCTIONS:
            return None
        return self._take()

    def _comparison(self, root: str, field: Token) -> Step:
        """A root, with the next two tokens as its operator and value."""
        operator, value = self._take(), self._take()
        if operator is None or value is None:  # The end token always follows, so it is the value that is missing.
            raise _FailedError(
                "Value token is missing",
                f"It ends right after `{field.value}`.",
                field.start,
                f'Write an operator and a value: `{field.value} = "…"`.',
            )
        nodes = (comparison_node(root, field, operator, value),) if root in ROOTS else ()
        return Step(kind="comparison", tokens=(field, operator, value), nodes=nodes)

    def _call(self, name: Token, bang: Token | None = None) -> Step:
        """`contains` or `match`, with the next five tokens as what a call is made of."""
        opening, field, comma, value, closing = (self._take() for _ in range(5))
        if field is None or value is None:
            raise _FailedError(
                f"{name.value}() is missing a {'1st' if field is None else '2nd'} argument",
                f"`{name.value}` needs a field and a text in parentheses.",
                name.start,
                f'Write `{name.value}(event, "{"Order" if name.value == "contains" else "Order*"}")`.',
            )
        taken = (bang, name, opening, field, comma, value, closing)
        return Step(
            kind="call",
            tokens=tuple(token for token in taken if token is not None),
            nodes=call_nodes(name.value, field, value, negated=bang is not None),
            negated=bang is not None,
        )

    def _group(self, opening: Token) -> Step:
        """`(` and what stands before the first `)`, read as a level of its own."""
        start = self.at
        while (token := self._take()) is not None and token.kind != ")":
            pass
        if token is None:
            raise _FailedError(
                UNREADABLE,
                "A parenthesis is not closed, or stands inside another: there is one level of them.",
                opening.start,
                "Write the missing `)`, or take the inner parentheses away.",
            )
        end = Token("end", "eos", token.start, token.start)
        try:
            inner = _Cursor([*self.tokens[start : self.at - 1], end]).level()
        except _FailedError as error:
            before = self.tokens[start - 2] if start > 1 else None
            if before is None or before.kind != "ident" or before.end != opening.start:
                raise
            what = f"`{before.value}` is no function of triggers: there are `contains` and `match`."
            raise _FailedError(error.failure.message, what, before.start, "Compare the field itself.") from error
        return Step(kind="group", tokens=(opening, token), nodes=(inner.node(),), inner=inner)
