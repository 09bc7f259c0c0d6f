"""The condition tree: its words and shapes, and how a field of an event is named. Nothing is parsed or evaluated here.

A tree is plain JSON, the form in which Segment keeps conditions:

    {"type": "group", "operator": "and" | "or", "children": [ …nodes… ]}
    {"type": "event-type" | "event" | "name" | "userId", "operator": OP, "value": "text"}
    {"type": "event-property" | "event-trait" | "event-context", "name": "a.b", "operator": OP, "value": "text" | 5 | true}
    {"error": "message"}

`exists`, `not_exists`, `is_true` and `is_false` have no `value`. A child that is null is a *hole*: what empty parentheses
leave behind. Trees written by hand may hold anything; whoever reads one looks before it believes.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.core.javascript import UNDEFINED, code_units, is_truthy, joined, to_text

Tree = dict[str, object]

# Word in the text → type of node. The first four are members of the event, the others objects with fields of their own.
SCALAR_ROOTS: Final = {"type": "event-type", "event": "event", "name": "name", "userId": "userId"}
OBJECT_ROOTS: Final = {"properties": "event-property", "traits": "event-trait", "context": "event-context"}
ROOTS: Final = SCALAR_ROOTS | OBJECT_ROOTS

# Type of node → member of the event.
MEMBERS: Final = {node_type: root for root, node_type in ROOTS.items()}
OBJECT_TYPES: Final = frozenset(OBJECT_ROOTS.values())

COMPARISONS: Final = ("=", "!=", "<", "<=", ">", ">=")
VALUELESS: Final = frozenset({"exists", "not_exists", "is_true", "is_false"})

HOLE: Final = None

# Levels of lists and objects in one tree; ours. A text makes 7 at most, each further group within a group 2 more.
TREE_DEPTH_MAX = 100

_CUT = re.compile(r"[\[\].]")
_NEEDS_ESCAPE = re.compile(r"[^a-zA-Z0-9._-]")


def pieces(name: object) -> tuple[str, ...] | None:
    """The keys a field name stands for, outermost first; None where the name means no field at all.

    `a.b`, `a[b]`, `a..b` and `.a.b` are the same path, so a key that contains a dot or a bracket has no name. A list
    (hand-made trees only) is taken key by key. An empty result (`.`, or a name that is no text) cannot be looked up:
    Segment's evaluator throws on it.
    """
    if isinstance(name, list):
        return tuple(map(to_text, name))
    if not is_truthy(name):
        return None
    return tuple(piece for piece in _CUT.split(name) if piece) if isinstance(name, str) else ()


def member_of(node: object) -> str | None:
    """The member of the event that a clause looks at or into; None for what is no clause."""
    node_type = node.get("type") if isinstance(node, dict) else None
    return MEMBERS.get(node_type) if isinstance(node_type, str) else None


def field_text(node: Tree) -> str:
    """A clause's field as it stands in a trigger's text, with a backslash before odd characters."""
    root = MEMBERS[str(node["type"])]
    if root in SCALAR_ROOTS:
        return root
    name = node.get("name", UNDEFINED)
    # Escaped unit by unit, so a character outside the basic plane takes two backslashes; what is cut stays cut.
    escaped = _NEEDS_ESCAPE.sub(r"\\\g<0>", code_units(name)) if isinstance(name, str) else to_text(name)
    return f"{root}.{joined(escaped)}"


def clause_count(tree: Tree) -> int:
    """How many nodes that are no groups stand in a tree, holes included. Never recurses."""
    count = 0
    groups = [tree]
    while groups:
        children = groups.pop().get("children")
        for child in children if isinstance(children, list) else ():
            if isinstance(child, dict) and child.get("type") == "group":
                groups.append(child)
            else:
                count += 1
    return count
