"""Clauses that no event can satisfy: one alone, or several about the same field that exclude each other.

Found by trying: for each field there is a short list of values such that, if any value satisfies its clauses, one of the
list does. So there are no false alarms, save for what is not looked at: alternatives (`or`) are judged one by one, and a
field is not compared with a field inside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from gateway.core.fql.evaluator import TESTS, Condition, compile_node
from gateway.core.fql.tree import OBJECT_TYPES, Tree, field_text, member_of, pieces
from gateway.core.javascript import UNDEFINED, to_number, to_text

# Past that many clauses about one field they are not compared: trying would take too long, and such lists are made by code.
CLAUSES_OF_FIELD_MAX = 50

_FILLER = (
    "\ue000"  # A private character that no text of a trigger contains: what stands between texts that must not touch.
)
_ORDERINGS = ("<", "<=", ">", ">=")


class Impossible(msgspec.Struct, frozen=True, kw_only=True):
    """Clauses that can never be true together; one that can never be true alone. what, mend: a sentence each."""

    clauses: tuple[Tree, ...]
    what: str
    mend: str


def impossible_clauses(tree: Tree) -> Iterator[Impossible]:
    """All of them in a tree no deeper than TREE_DEPTH_MAX: the single ones first, then those that exclude each other."""
    clauses = list(_clauses(tree))
    alone = [clause for clause in clauses if not _possible([clause])]
    for clause in alone:
        yield _never(clause)
    never = {id(clause) for clause in alone}
    if tree.get("operator") in ("and", "or"):
        for group in _conjunctions(tree):
            by_field: dict[object, list[Tree]] = {}
            for clause in group:
                if id(clause) not in never:
                    by_field.setdefault((clause["type"], pieces(clause.get("name"))), []).append(clause)
            for same_field in by_field.values():
                if 1 < len(same_field) <= CLAUSES_OF_FIELD_MAX and not _possible(same_field):
                    yield _contradiction(same_field)


def _clauses(node: Tree) -> Iterator[Tree]:
    """Every clause of a tree with a known type."""
    if member_of(node) is not None and "children" not in node:
        yield node
    children = node.get("children")
    for child in children if isinstance(children, list) else ():
        if isinstance(child, dict):
            yield from _clauses(child)


def _conjunctions(group: Tree) -> Iterator[list[Tree]]:
    """Lists of clauses that must all be true: those of an `and` with all `and` inside it; then each alternative's own."""
    together: list[Tree] = []
    alternatives: list[Tree] = []
    open_groups = [group]
    while open_groups:
        current = open_groups.pop()
        children = current.get("children")
        nodes = [node for node in children if isinstance(node, dict)] if isinstance(children, list) else []
        inner = [node for node in nodes if node.get("type") == "group"]
        if current.get("operator") == "and" or len(nodes) == 1:
            together += [node for node in nodes if member_of(node) is not None]
            open_groups += inner
        else:
            alternatives += inner
    yield together
    for alternative in alternatives:
        yield from _conjunctions(alternative)


def _possible(clauses: list[Tree]) -> bool:
    """Whether some value satisfies them all. They are about one field."""
    first = clauses[0]
    tests = [_test_of(clause) for clause in clauses]
    if first["type"] not in OBJECT_TYPES:
        values = _candidates(clauses)
    else:
        keys = pieces(first.get("name", UNDEFINED))
        if keys is not None and not keys:
            return True  # It fails rather than being false; not our question.
        values = iter([None]) if keys is None else _candidates(clauses)
    return any(all(test({"event": value}) for test in tests) for value in values)


def _test_of(clause: Tree) -> Condition:
    """The clause's test, asked of a value that stands in for its field."""
    return compile_node({key: clause[key] for key in ("operator", "value") if key in clause} | {"type": "event"})


def _candidates(clauses: list[Tree]) -> Iterator[object]:
    """Values of every type, such that if any value satisfies the clauses, one of these does."""
    yield from (None, True, False, {})
    expected = [(clause.get("operator"), clause.get("value", UNDEFINED)) for clause in clauses]
    yield from _candidate_texts([(operator, to_text(value)) for operator, value in expected])
    yield from _candidate_numbers([to_number(value) for _, value in expected])


def _candidate_texts(expected: list[tuple[object, str]]) -> Iterator[str]:
    """Each text asked for, and one with every beginning, part and end that is asked for and nothing else."""
    yield from {text for operator, text in expected if operator == "="}
    start, end = (
        max((t for o, t in expected if o == which), key=len, default="") for which in ("starts_with", "ends_with")
    )
    parts = [text for operator, text in expected if operator == "contains"]
    yield _FILLER.join([start, *parts, end])
    yield _FILLER.join([start, *parts, _FILLER, end])


def _candidate_numbers(expected: list[float]) -> Iterator[float]:
    """Each number asked for and its neighbours: every gap between two of them has one."""
    yield 0.0
    for number in set(expected):
        yield from (number, math.nextafter(number, math.inf), math.nextafter(number, -math.inf))


def _never(clause: Tree) -> Impossible:
    operator, value = clause.get("operator"), clause.get("value", UNDEFINED)
    if not isinstance(operator, str) or operator not in TESTS:
        what = f"`{to_text(operator)}` is no operator, so this clause is never true."
        return Impossible(
            clauses=(clause,),
            what=what,
            mend="Use one of `=`, `!=`, `<`, `<=`, `>`, `>=`, or `contains(…)`, `match(…)`.",
        )
    field = field_text(clause)
    if operator in _ORDERINGS:
        what = f"`{operator}` compares numbers, and `{to_text(value)}` is none, so this clause is never true."
        mend = f"Compare with a number: `{field} {operator} 5`. Dates are texts to a trigger: they have no order."
        return Impossible(clauses=(clause,), what=what, mend=mend)
    return Impossible(
        clauses=(clause,),
        what=f"No value of `{field}` satisfies this clause, so it is never true.",
        mend="Compare with a value that the field can have.",
    )


def _contradiction(clauses: list[Tree]) -> Impossible:
    field = field_text(clauses[0])
    return Impossible(
        clauses=tuple(clauses),
        what=f"No value of `{field}` satisfies all that is asked of it here, so these clauses are never true together.",
        mend="Join alternatives with `or`; compare a number with a number and a text with a text.",
    )
