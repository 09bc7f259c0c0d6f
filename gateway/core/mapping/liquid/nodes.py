"""The tree of a template: what each text, output and tag became."""

import msgspec

from gateway.core.mapping.liquid.expressions import Filtered, Value


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a template. begin: its place in the source, for messages."""

    begin: int


class Text(Node, frozen=True, kw_only=True):
    """Text as it stands."""

    text: str


class Output(Node, frozen=True, kw_only=True):
    """`{{ … }}` or `echo`; nothing in an empty `echo`."""

    value: Filtered | None


class Assign(Node, frozen=True, kw_only=True):
    """`assign name = value`."""

    name: str
    value: Filtered


class Capture(Node, frozen=True, kw_only=True):
    """`capture name` … `endcapture`."""

    name: str
    body: tuple[Node, ...]


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """A body and its condition. when: what the condition must be (False for the first branch of `unless`)."""

    condition: Filtered
    when: bool
    body: tuple[Node, ...]


class Choice(Node, frozen=True, kw_only=True):
    """`if` and `unless`: the first branch whose condition is right, else `otherwise`."""

    branches: tuple[Branch, ...]
    otherwise: tuple[Node, ...]


class Count(Node, frozen=True, kw_only=True):
    """`increment` (step 1, writes the old value) and `decrement` (step -1, writes the new one)."""

    name: str
    step: int


class Cycle(Node, frozen=True, kw_only=True):
    """`cycle`: the next of some values on each call."""

    group: Value | None
    values: tuple[Value, ...]


class Stop(Node, frozen=True, kw_only=True):
    """`break` and `continue`: the rest of the template is not rendered."""


class Group(Node, frozen=True, kw_only=True):
    """The tags of a `liquid` tag, or the content of a `block` (named)."""

    body: tuple[Node, ...]
    is_block: bool = False


Body = tuple[Node, ...]
