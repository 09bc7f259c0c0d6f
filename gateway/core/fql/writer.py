"""Tree to text: how a condition tree is written as a trigger, as Segment's app does it. The inverse of parsing, mostly.

Nothing is escaped inside strings, so a value with a double quote gives a text that reads as something else, and so does
a call inside a group (see `parser`). What the app can make comes back as the same tree.
"""

from __future__ import annotations

from gateway.core.fql.errors import FqlError
from gateway.core.fql.tree import TREE_DEPTH_MAX, Tree, field_text, member_of
from gateway.core.javascript import UNDEFINED, depth, is_truthy, number_text, to_number, to_text

# Operator of the tree → its text. F is the field, V the value as a literal, T as plain text, N as a number.
_FORMS = {
    "contains": "contains({F}, {V})",
    "not_contains": "!contains({F}, {V})",
    "starts_with": 'match({F}, "{T}*")',
    "not_starts_with": '!match({F}, "{T}*")',
    "ends_with": 'match({F}, "*{T}")',
    "not_ends_with": '!match({F}, "*{T}")',
    "exists": "{F} != null",
    "not_exists": "{F} = null",
    "is_true": "{F} = true",
    "is_false": "{F} = false",
    "<": "{F} < {N}",
    "<=": "{F} <= {N}",
    ">": "{F} > {N}",
    ">=": "{F} >= {N}",
    "number_equals": "{F} = {N}",
    "number_not_equals": "{F} != {N}",
}


def generate(tree: object) -> str:
    """The text of a tree. Raises FqlError for an error tree, a hole, an unknown type of node, or one too deep."""
    if not isinstance(tree, dict):
        raise FqlError("A condition tree is an object with `operator` and `children`.")
    if is_truthy(tree.get("error")):
        raise FqlError(to_text(tree["error"]))
    if depth(tree) > TREE_DEPTH_MAX:
        raise FqlError(f"The tree is nested deeper than {TREE_DEPTH_MAX} levels of JSON.")
    text = _group_text(tree)
    # A group that is all there is loses its parentheses; so does any text with just these two, in strings or not.
    if text.startswith("(") and text.endswith(")") and text.count("(") + text.count(")") == 2:
        return text[1:-1]
    return text


def _group_text(group: Tree) -> str:
    children = group.get("children")
    if not isinstance(children, list):
        raise FqlError("A group of the tree has no list of `children`.")
    joiner = to_text(group.get("operator", UNDEFINED))
    return f" {joiner} ".join(map(_node_text, children))


def _node_text(node: object) -> str:
    if node is None:
        raise FqlError("A hole (null in place of a condition) cannot be written as text.")
    if isinstance(node, dict) and node.get("type") == "group":
        return f"({_group_text(node)})"
    return clause_text(node)


def clause_text(node: object) -> str:
    """One clause as text. An operator that is none of the language's own is written as it stands, after the field."""
    if not isinstance(node, dict) or member_of(node) is None:
        raise FqlError("Unknown condition type")
    field, operator, value = field_text(node), node.get("operator", UNDEFINED), node.get("value", UNDEFINED)
    text = to_text(value)
    literal = text if isinstance(value, (bool, int, float)) else f'"{text}"'
    form = _FORMS.get(operator) if isinstance(operator, str) else None
    if form is None:
        return f"{field} {to_text(operator)} {literal}"
    return form.format(F=field, V=literal, T=text, N=number_text(to_number(value)))
