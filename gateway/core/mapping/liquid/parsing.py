"""From the parts of a template to its tree; which tags there are, and which Segment has switched off."""

import re
from collections.abc import Callable

from gateway.core.javascript import WHITE_SPACE, joined, json_string
from gateway.core.mapping.liquid.errors import LiquidError, LiquidTrouble, located
from gateway.core.mapping.liquid.expressions import Filtered, Value
from gateway.core.mapping.liquid.nodes import (
    Assign,
    Body,
    Branch,
    Capture,
    Choice,
    Count,
    Cycle,
    Group,
    Node,
    Output,
    Stop,
    Text,
)
from gateway.core.mapping.liquid.scanner import BLANKS, Scanner
from gateway.core.mapping.liquid.splitting import Part, named_tag, split, text_content

TAG_NESTING_MAX = 50  # tags inside each other; a template of 1,000 characters could hold a good hundred
DISABLED_TAGS = frozenset(("case", "for", "include", "layout", "render", "tablerow"))

_COMMENT_LINE = re.compile(f"\n[{WHITE_SPACE}]*[^#{WHITE_SPACE}]")


def parse(source: str) -> Body:
    """The tree of a template given in UTF-16 units. Raises LiquidError."""
    try:
        parts = split(source)
    except LiquidTrouble as trouble:
        raise LiquidError(str(trouble)) from trouble  # Nobody knows the place yet, liquidjs neither.
    return _Parser(source, parts).body()


class _Parser:
    """The parts of one template, and how many have been taken."""

    def __init__(self, source: str, parts: list[Part], nesting: int = 0) -> None:
        self.source = source
        self.parts = parts
        self.taken = 0
        self.nesting = nesting

    def take(self) -> Part | None:
        if self.taken >= len(self.parts):
            return None
        self.taken += 1
        return self.parts[self.taken - 1]

    def body(self) -> Body:
        nodes: list[Node] = []
        while (part := self.take()) is not None:
            nodes += self.node(part)
        return tuple(nodes)

    def node(self, part: Part) -> list[Node]:
        """What a part becomes: a node, or none for a comment."""
        try:
            if part.kind == "text":
                return [Text(begin=part.begin, text=text_content(self.source, part))]
            if part.kind == "output":
                return [Output(begin=part.begin, value=self.content(part).filtered())]
            return self._tag(part)
        except LiquidTrouble as trouble:
            raise located(str(trouble), self.source, part.begin) from trouble

    def _tag(self, part: Part) -> list[Node]:
        if part.name in DISABLED_TAGS:
            raise LiquidTrouble(f'tag "{part.name}" is disabled')
        parse_tag = _TAGS.get(part.name)
        if parse_tag is None:
            raise LiquidTrouble(f'tag "{part.name}" not found')
        self.nesting += 1
        if self.nesting > TAG_NESTING_MAX:
            raise LiquidTrouble(f"tags are nested deeper than {TAG_NESTING_MAX} levels")
        nodes = parse_tag(self, part)
        self.nesting -= 1
        return nodes

    def content(self, part: Part) -> Scanner:
        return Scanner(self.source, part.content_begin, part.content_end)

    def arguments(self, part: Part) -> Scanner:
        return Scanner(self.source, part.arguments_begin, part.content_end)

    def until(self, part: Part, end: str) -> Body:
        """The nodes up to the tag that ends this one."""
        nodes: list[Node] = []
        while (inner := self.take()) is not None:
            if inner.name == end:
                return tuple(nodes)
            nodes += self.node(inner)
        raise self.not_closed(part)

    def not_closed(self, part: Part) -> LiquidTrouble:
        return LiquidTrouble(f"tag {self.source[part.begin : part.end]} not closed")

    def assert_no_arguments(self, part: Part) -> None:
        arguments = self.source[part.arguments_begin : part.content_end]
        if arguments:
            raise LiquidTrouble(f"unexpected {json_string(joined(arguments))}")


def _assign(parser: _Parser, part: Part) -> list[Node]:
    scanner = parser.arguments(part)
    name = scanner.identifier()
    if not name:
        raise scanner.error("expected variable name")
    scanner.skip_blanks()
    if scanner.peek() != "=":
        raise scanner.error('expected "="')
    scanner.at += 1
    return [Assign(begin=part.begin, name=name, value=scanner.filtered())]


def _capture(parser: _Parser, part: Part) -> list[Node]:
    scanner = parser.arguments(part)
    name = scanner.identifier()
    if not name:
        quoted = scanner.quoted()
        if quoted is None:
            raise scanner.error("invalid capture name")
        name = str(quoted.value)
    return [Capture(begin=part.begin, name=name, body=parser.until(part, "endcapture"))]


def _if(parser: _Parser, part: Part) -> list[Node]:
    """`if`: nothing may stand behind `else` and `endif`, and `else` comes last."""
    condition: Filtered | None = parser.arguments(part).filtered()
    branches: list[Branch] = []
    nodes: list[Node] = []
    while True:
        inner = parser.take()
        if inner is None:
            raise parser.not_closed(part)
        if inner.name not in ("elsif", "else", "endif"):
            nodes += parser.node(inner)
            continue
        if inner.name == "elsif" and condition is None:
            raise LiquidTrouble("unexpected elsif after else")
        if inner.name != "elsif":
            parser.assert_no_arguments(inner)
        if inner.name == "else" and condition is None:
            raise LiquidTrouble("duplicated else")
        otherwise = tuple(nodes) if condition is None else ()
        if condition is not None:
            branches.append(Branch(condition=condition, when=True, body=tuple(nodes)))
        nodes = []
        if inner.name == "endif":
            return [Choice(begin=part.begin, branches=tuple(branches), otherwise=otherwise)]
        condition = parser.arguments(inner).filtered() if inner.name == "elsif" else None


def _unless(parser: _Parser, part: Part) -> list[Node]:
    """`unless`: what follows a second `else`, or an `elsif` behind an `else`, is parsed and thrown away."""
    condition = parser.arguments(part).filtered()
    bodies: list[list[Node]] = [[]]
    conditions = [condition]
    otherwise: list[Node] = []
    current = bodies[0]
    elses = 0
    while True:
        inner = parser.take()
        if inner is None:
            raise parser.not_closed(part)
        if inner.name == "endunless":
            break
        if inner.name == "else":
            elses += 1
            current = otherwise if elses == 1 else []
        elif inner.name == "elsif" and elses:
            current = []
        elif inner.name == "elsif":
            conditions.append(parser.arguments(inner).filtered())
            current = []
            bodies.append(current)
        else:
            current += parser.node(inner)
    branches = tuple(
        Branch(condition=each, when=index > 0, body=tuple(body))
        for index, (each, body) in enumerate(zip(conditions, bodies, strict=True))
    )
    return [Choice(begin=part.begin, branches=branches, otherwise=tuple(otherwise))]


def _comment(parser: _Parser, part: Part) -> list[Node]:
    while (inner := parser.take()) is not None:
        if inner.name == "endcomment":
            return []
    raise parser.not_closed(part)


def _raw(parser: _Parser, part: Part) -> list[Node]:
    text = ""
    while (inner := parser.take()) is not None:
        if inner.name == "endraw":
            return [Text(begin=part.begin, text=joined(text))]
        text += parser.source[inner.begin : inner.end]
    raise parser.not_closed(part)


def _echo(parser: _Parser, part: Part) -> list[Node]:
    scanner = parser.arguments(part)
    return [Output(begin=part.begin, value=None if scanner.is_done() else scanner.filtered())]


def _liquid(parser: _Parser, part: Part) -> list[Node]:
    """`liquid`: every line is a tag without delimiters."""
    scanner = parser.arguments(part)
    parts: list[Part] = []
    while True:
        scanner.skip_blanks()
        if scanner.is_done():
            break
        begin = scanner.at
        scanner.read_to("\n")
        parts.append(_line_tag(parser.source, begin, scanner.at))
    inner = _Parser(parser.source, parts, parser.nesting)
    return [Group(begin=part.begin, body=inner.body())]


def _line_tag(source: str, begin: int, end: int) -> Part:
    low, high = begin, end
    trims_left, trims_right = source[low] == "-", source[high - 1] == "-"
    low, high = low + trims_left, high - trims_right
    while low < high and source[low] in BLANKS:
        low += 1
    while high > low and source[high - 1] in BLANKS:
        high -= 1
    return named_tag(source, Part("tag", begin, end, low, high), "illegal liquid tag syntax")


def _counter(step: int) -> Callable[[_Parser, Part], list[Node]]:
    def parse_counter(parser: _Parser, part: Part) -> list[Node]:
        return [Count(begin=part.begin, name=parser.arguments(part).identifier(), step=step)]

    return parse_counter


def _cycle(parser: _Parser, part: Part) -> list[Node]:
    """`cycle`: an optional group and a colon, then values; what does not fit is skipped up to the next comma."""
    scanner = parser.arguments(part)
    group: Value | None = scanner.value()
    values: list[Value] = []
    scanner.skip_blanks()
    if group is not None and scanner.peek() == ":":
        scanner.at += 1
    elif group is not None:
        values.append(group)
        group = None
    while not scanner.is_done():
        value = scanner.value()
        if value is not None:
            values.append(value)
        scanner.read_to(",")
    if not values:
        raise scanner.error(f'empty candidates: "{parser.source[part.begin : part.end]}"')
    return [Cycle(begin=part.begin, group=group, values=tuple(values))]


def _stop(_parser: _Parser, part: Part) -> list[Node]:
    return [Stop(begin=part.begin)]


def _block(parser: _Parser, part: Part) -> list[Node]:
    return [Group(begin=part.begin, body=parser.until(part, "endblock"), is_block=True)]


def _inline_comment(parser: _Parser, part: Part) -> list[Node]:
    if _COMMENT_LINE.search(parser.source[part.arguments_begin : part.content_end]):
        raise LiquidTrouble("every line of an inline comment must start with a '#' character")
    return []


_TAGS: dict[str, Callable[[_Parser, Part], list[Node]]] = {
    "assign": _assign,
    "capture": _capture,
    "if": _if,
    "unless": _unless,
    "comment": _comment,
    "raw": _raw,
    "echo": _echo,
    "liquid": _liquid,
    "increment": _counter(1),
    "decrement": _counter(-1),
    "cycle": _cycle,
    "break": _stop,
    "continue": _stop,
    "block": _block,
    "#": _inline_comment,
}
