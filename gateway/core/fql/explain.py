"""Explaining a trigger: the truth table of one event, clause by clause. Nothing here runs unless somebody asks."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.core.fql.errors import TriggerError
from gateway.core.fql.evaluator import compile_node, walk
from gateway.core.fql.tree import MEMBERS, OBJECT_TYPES, VALUELESS, Tree, field_text, member_of, pieces
from gateway.core.fql.writer import clause_text
from gateway.core.javascript import UNDEFINED, is_truthy, member

# Given a clause's field as the text names it and the event's value there: what may be shown of the value.
Mask = Callable[[str, object], object]


class ClauseResult(msgspec.Struct, frozen=True, kw_only=True, tag="clause"):
    """One clause of a trigger and what an event made of it.

    text: the clause as FQL; empty for a node that has none. field: its field, `traits.email`.
    left: the event's value there, masked; null where `is_missing`. operator: the tree's. right: the trigger's value,
      null where `has_right` is false (`exists`, `is_true`, …).
    result: true or false; None where looking at it fails, and `problem` says why.
    decided: whether this clause settled the whole trigger's result. The others changed nothing.
    """

    text: str
    field: str
    operator: str
    result: bool | None
    left: object = None
    is_missing: bool = False
    right: object = None
    has_right: bool = False
    decided: bool = False
    problem: str | None = None


class GroupResult(msgspec.Struct, frozen=True, kw_only=True, tag="group"):
    """Clauses and groups joined by `operator` ("and", "or"; anything else is false), with their common result."""

    operator: str
    rows: tuple[ClauseResult | GroupResult, ...]
    result: bool | None
    decided: bool = False
    problem: str | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one event matched a trigger, and why. matched is False where the trigger fails; `problem` then says how.

    top: the outermost group; None for a trigger that is an error.
    """

    matched: bool
    top: GroupResult | None = None
    problem: str | None = None


def explain(tree: Tree, body: dict[str, object], mask: Mask | None = None) -> Explanation:
    """The truth table of an event (an object) under a tree no deeper than TREE_DEPTH_MAX. Never raises.

    Every clause is looked at, also those that the evaluator never reaches because an earlier one settles the result.
    """
    if is_truthy(tree.get("error")):
        return Explanation(matched=False, problem=str(tree["error"]))
    top = _marked(_group(tree, body, mask or _unmasked))
    assert isinstance(top, GroupResult)
    return Explanation(matched=top.result is True, top=top, problem=top.problem)


def _unmasked(_field: str, value: object) -> object:
    return value


def _row(node: object, body: dict[str, object], mask: Mask) -> ClauseResult | GroupResult:
    if isinstance(node, dict) and node.get("type") == "group":
        return _group(node, body, mask)
    return _clause(node, body, mask)


def _group(group: Tree, body: dict[str, object], mask: Mask) -> GroupResult:
    operator, children = group.get("operator"), group.get("children")
    rows = tuple(_row(child, body, mask) for child in children) if isinstance(children, list) else ()
    result, problem = _settled(operator, rows)
    if operator in ("and", "or") and not isinstance(children, list):
        result, problem = None, "A group of the tree has no list of `children`."
    return GroupResult(operator=str(operator), rows=rows, result=result, problem=problem)


def _settled(operator: object, rows: tuple[ClauseResult | GroupResult, ...]) -> tuple[bool | None, str | None]:
    """A group's result: that of the first row that stops it, else that all were passed."""
    if operator not in ("and", "or"):
        return False, None
    stopper = _stopper(operator, rows)
    if stopper is None:
        return operator == "and", None
    return stopper.result, stopper.problem


def _stopper(operator: object, rows: tuple[ClauseResult | GroupResult, ...]) -> ClauseResult | GroupResult | None:
    """The first row that settles its group: a false one for `and`, a true one for `or`, one that fails for both."""
    return next((row for row in rows if row.result is None or row.result is (operator == "or")), None)


def _marked(row: ClauseResult | GroupResult) -> ClauseResult | GroupResult:
    """The row as one that decided: in a group the row that stopped it, or, where none did, all of them."""
    if isinstance(row, ClauseResult):
        return msgspec.structs.replace(row, decided=True)
    if row.operator not in ("and", "or"):
        return msgspec.structs.replace(row, decided=True)
    stopper = _stopper(row.operator, row.rows)
    rows = tuple(_marked(one) if stopper is None or one is stopper else one for one in row.rows)
    return msgspec.structs.replace(row, rows=rows, decided=True)


def _clause(node: object, body: dict[str, object], mask: Mask) -> ClauseResult:
    try:
        result, problem = compile_node(node)(body), None
    except TriggerError as error:
        result, problem = None, str(error)
    if not isinstance(node, dict) or member_of(node) is None:
        return ClauseResult(text="", field="", operator="", result=result, problem=problem)
    field, operator = field_text(node), str(node.get("operator"))
    left = _left(node, body)
    has_right = operator not in VALUELESS and "value" in node
    return ClauseResult(
        text=clause_text(node),
        field=field,
        operator=operator,
        result=result,
        left=None if left is UNDEFINED else mask(field, left),
        is_missing=left is UNDEFINED,
        right=node["value"] if has_right else None,
        has_right=has_right,
        problem=problem,
    )


def _left(clause: Tree, body: dict[str, object]) -> object:
    """The event's value that a clause looks at; UNDEFINED where there is none."""
    value = member(body, MEMBERS[str(clause["type"])])
    if clause["type"] not in OBJECT_TYPES:
        return value
    keys = pieces(clause.get("name", UNDEFINED))
    if not keys:
        return UNDEFINED if clause.get("name") != [] else value
    return walk(value, keys)
