"""The evaluator: a condition tree to one Python function that says whether an event matches.

How FQL looks at an event, in four rules:

1. **Which value.** `type`, `event`, `name` and `userId` are members of the event. `properties.a.b` starts at the event's
   `properties` and goes down key by key; it stops at a value that is falsy in JavaScript and takes that one (with
   `properties.a = 0`, `properties.a.b` is 0), so a missing field is simply null. Lists and texts have items by number
   and a `length`.
2. **Which operator.** `TESTS` below is the whole list. Each asks for one type of value and is false for every other. Only
   `!=` is true for other types, for missing fields too: it is the plain opposite of `=`. Every other `not_…` operator
   needs the right type as well, so a missing field neither contains nor does not contain anything.
3. **What is coerced.** Nothing on the event's side: "5" is never a number, 5 never a text, `true` neither. The trigger's
   value is coerced once, to what its operator compares with.
4. **How clauses combine.** `and` stops at the first false, `or` at the first true, from left to right. An empty `and` is
   true, an empty `or` false; a group joined by anything else, and an unknown type of node, are false.

The tree becomes Python source, compiled once, in which `and`, `or` and the tests stand as Python's own: one call per event
for the whole trigger. A closure for each node was the alternative; it is shorter, but pays one more call for each clause
and group. Beside the same condition as a function written by hand, closures took 1.0 time for one clause and 1.3 to 1.8
times for two; this takes 0.7 to 1.4 times for one to eight (`benchmarks/fql_match.py`, Python 3.11). Nothing of the
trigger ever becomes source: keys and values are constants in the function's namespace (`c0`, `c1`, …), and the source is
made of this module's own pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from gateway.core.fql.errors import FqlError, TriggerError
from gateway.core.fql.tree import MEMBERS, OBJECT_TYPES, TREE_DEPTH_MAX, Tree, member_of, pieces
from gateway.core.javascript import (
    SAFE_INTEGER_MAX,
    UNDEFINED,
    code_units,
    depth,
    double,
    is_truthy,
    member,
    to_number,
    to_text,
)

Condition = Callable[[dict[str, object]], bool]

_IS_TEXT = "type(v := {actual}) is str and "
_IS_NUMBER = "(type(v := {actual}) is int or type(v) is float) and "

# Operator → when it holds. {actual} is the event's value, null where there is none, and `v` the same once its type is
# known; {text} and {number} are the trigger's value, coerced (no number is NaN: nothing compares with it but "differs").
# {v} is `v`, or what `_number_seen` and `_splits_a_pair` make of it in two rare cases.
TESTS = {
    "=": "{actual} == {text}",
    "!=": "{actual} != {text}",
    "contains": _IS_TEXT + "{text} in {v}",
    "not_contains": _IS_TEXT + "{text} not in {v}",
    "starts_with": _IS_TEXT + "{v}.startswith({text})",
    "not_starts_with": _IS_TEXT + "not {v}.startswith({text})",
    "ends_with": _IS_TEXT + "{v}.endswith({text})",
    "not_ends_with": _IS_TEXT + "not {v}.endswith({text})",
    "number_equals": _IS_NUMBER + "{v} == {number}",
    "number_not_equals": _IS_NUMBER + "{v} != {number}",
    "<": _IS_NUMBER + "{v} < {number}",
    "<=": _IS_NUMBER + "{v} <= {number}",
    ">": _IS_NUMBER + "{v} > {number}",
    ">=": _IS_NUMBER + "{v} >= {number}",
    "exists": "{actual} is not None",
    "not_exists": "{actual} is None",
    "is_true": "{actual} is True",
    "is_false": "{actual} is False",
}

_KEYS_INLINE_MAX = 4  # Deeper paths are walked by a loop: Python's own nesting has an end, a field name has none.


def compile_condition(tree: Tree) -> Condition:
    """The function that says whether an event (an object) matches a tree. It raises TriggerError where Segment throws.

    Raises FqlError for a tree nested deeper than TREE_DEPTH_MAX. Anything else in a tree has a meaning, if only "false".
    """
    if depth(tree) > TREE_DEPTH_MAX:
        raise FqlError(f"The condition tree is nested deeper than {TREE_DEPTH_MAX} levels of JSON.")
    if is_truthy(tree.get("error")):
        return never
    source = _Source()
    return source.function(source.group(tree))


def compile_node(node: object) -> Condition:
    """The same for a single node of a tree, as `compile_condition` would treat it inside a group."""
    source = _Source()
    return source.function(source.node(node))


def never(_body: dict[str, object]) -> bool:
    """The condition of an error tree: no event matches."""
    return False


def walk(start: object, keys: tuple[str, ...]) -> object:
    """Go down key by key, and stop at a value that is falsy in JavaScript; UNDEFINED where there is nothing."""
    current = start
    for key in keys:
        if not is_truthy(current):
            break
        current = member(current, key)
    return current


def _walk_to_null(start: object, keys: tuple[str, ...]) -> object:
    """As `walk`, with null for UNDEFINED: no test tells them apart."""
    found = walk(start, keys)
    return None if found is UNDEFINED else found


def _fail(message: str, *_looked_at: object) -> NoReturn:
    raise TriggerError(message)


class _Source:
    """The source of one condition, and the constants it names."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {
            "double": double,
            "code_units": code_units,
            "walk": _walk_to_null,
            "fail": _fail,
        }

    def function(self, expression: str) -> Condition:
        """Compile an expression over `body`, the event."""
        exec(compile(f"def condition(body): return {expression}", "<trigger>", "exec"), self.names)  # noqa: S102 (see above)
        condition: Condition = self.names["condition"]  # type: ignore[assignment] # just defined
        return condition

    def constant(self, value: object) -> str:
        """A name for a value."""
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def node(self, node: object) -> str:
        """A group or a clause; what is neither is false, save that looking at null is an error in JavaScript."""
        if node is None:
            return self.failure("Cannot read properties of null (reading 'type')")
        if not isinstance(node, dict):
            return "False"
        if node.get("type") == "group":
            return self.group(node)
        return "False" if member_of(node) is None else self.clause(node)

    def group(self, group: Tree) -> str:
        """Its children, joined. Whoever calls has seen to its type: the outermost node is a group whatever it says."""
        operator, children = group.get("operator"), group.get("children")
        if operator not in ("and", "or"):
            return "False"
        if not isinstance(children, list):
            return self.failure("A group of the tree has no list of `children`.")
        if not children:
            return str(operator == "and")
        return "(" + f" {operator} ".join([f"({self.node(child)})" for child in children]) + ")"

    def clause(self, clause: Tree) -> str:
        """One test of one value."""
        operator, expected = clause.get("operator"), clause.get("value", UNDEFINED)
        test = TESTS.get(operator) if isinstance(operator, str) else None
        actual = self.actual(clause)
        if test is None:
            return f"({actual}, False)[1]"  # The value is looked at all the same: that may be an error.
        if "{number}" in test:
            number = to_number(expected)
            return test.format(actual=actual, number=self.constant(number), v=_number_seen(number))
        text = to_text(expected)
        if "{v}" in test and _splits_a_pair(text):
            return test.format(actual=actual, text=self.constant(code_units(text)), v="code_units(v)")
        return test.format(actual=actual, text=self.constant(text), v="v")

    def actual(self, clause: Tree) -> str:
        """The value a clause looks at, null where there is none."""
        node_type = str(clause["type"])
        value = f'body.get("{MEMBERS[node_type]}")'
        if node_type not in OBJECT_TYPES:
            return value
        name = clause.get("name", UNDEFINED)
        keys = pieces(name)
        if keys is None:
            return f"({value}, None)[1]"
        if not keys and name != []:
            return self.failure("Cannot read properties of null (reading 'reduce')", value)
        if len(keys) > _KEYS_INLINE_MAX:
            return f"walk({value}, {self.constant(keys)})"
        for key in keys:
            name = self.constant(key)
            other = f"walk(v, ({name},))"
            value = f"(v.get({name}) if type(v := {value}) is dict else None if v is None else {other})"
        return value

    def failure(self, message: str, looked_at: str = "None") -> str:
        """An expression that raises."""
        return f"fail({self.constant(message)}, {looked_at})"


def _number_seen(expected: float) -> str:
    """How an event's number `v` is seen. Its integers are Python's, exact, where JavaScript has doubles.

    That only shows next to a number that is itself beyond a double's precision; elsewhere rounding changes no comparison.
    """
    return "double(v)" if abs(expected) >= SAFE_INTEGER_MAX else "v"


def _splits_a_pair(text: str) -> bool:
    """Whether the text begins or ends with half of a surrogate pair: it may be found inside a whole character then."""
    return text != "" and ("\udc00" <= text[0] <= "\udfff" or "\ud800" <= text[-1] <= "\udbff")
