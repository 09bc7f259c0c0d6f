"""The three functions of Segment's own evaluator, input for input: parse, validate and generate, for any JSON at all.

They are how ours is held against it, case by case. The engine compiles triggers once instead (`compile_trigger`). Texts
and numbers of clauses have no bound here, as there; time grows in step with them.
"""

from __future__ import annotations

import math
from typing import NoReturn

from gateway.core.fql.errors import FqlError, TriggerError
from gateway.core.fql.evaluator import compile_condition
from gateway.core.fql.parser import parse
from gateway.core.fql.tree import Tree
from gateway.core.javascript import UNDEFINED, is_truthy


def parse_json(text: str) -> Tree:
    """The tree of a text as JSON shows it: NaN and the infinities are null. Raises FqlError where there is no tree."""
    tree = parse(text)
    if "error" in tree:
        raise FqlError(str(tree["error"]))
    return _shown_node(tree)


def _shown_node(node: Tree) -> Tree:
    if isinstance(children := node.get("children"), list):
        return node | {"children": [child and _shown_node(child) for child in children]}
    value = node.get("value")
    return node | {"value": None} if isinstance(value, float) and not math.isfinite(value) else node


def evaluate(text: str, event: object = UNDEFINED) -> bool:
    """Whether an event (any JSON, or UNDEFINED for none) matches a text. Raises TriggerError where Segment throws."""
    return evaluate_tree(parse(text), event)


def evaluate_tree(tree: object, event: object = UNDEFINED) -> bool:
    """The same for a tree, which may be any JSON. Raises FqlError for one nested too deep, else as `evaluate`."""
    if tree is None or tree is UNDEFINED:
        raise TriggerError(f"Cannot read properties of {'null' if tree is None else 'undefined'} (reading 'error')")
    if not isinstance(tree, dict) or is_truthy(tree.get("error")) or event is UNDEFINED:
        return False
    condition = compile_condition(tree)
    if event is None:
        return condition(_NullEvent())
    return condition(event if isinstance(event, dict) else {})


class _NullEvent(dict[str, object]):
    """The event null: looking at a member of it is an error, where lists, texts and numbers just have none."""

    def get(self, key: str, _default: object = None, /) -> NoReturn:
        raise TriggerError(f"Cannot read properties of null (reading '{key}')")
