"""Rendering a template's tree. A template has no loops, so that its length bounds the steps and the scope's purse the rest."""

from gateway.core.javascript import UNDEFINED, is_number, is_truthy, joined, number_text, to_text
from gateway.core.mapping.liquid.errors import LiquidTrouble, located
from gateway.core.mapping.liquid.expressions import evaluate, evaluate_filtered
from gateway.core.mapping.liquid.filters import apply_filter
from gateway.core.mapping.liquid.nodes import (
    Assign,
    Body,
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
from gateway.core.mapping.liquid.scope import Scope
from gateway.core.mapping.liquid.values import Word, is_true, js_number, text_of


def render_body(body: Body, scope: Scope, source: str) -> str:
    """The text some nodes write. Trouble becomes a LiquidError with the place of the innermost node."""
    written: list[str] = []
    for node in body:
        try:
            text = _render(node, scope, source)
        except LiquidTrouble as trouble:
            raise located(str(trouble), source, node.begin) from trouble
        scope.charge(len(text))
        written.append(text)
        if scope.stopped:
            break
    return joined("".join(written))


def _render(node: Node, scope: Scope, source: str) -> str:
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Output):
        value = "" if node.value is None else evaluate_filtered(node.value, scope, apply_filter)
        scope.charge_items(value)
        return text_of(value)
    if isinstance(node, Choice):
        return _render_choice(node, scope, source)
    if isinstance(node, Assign):
        scope.assigned[node.name] = evaluate_filtered(node.value, scope, apply_filter)
    elif isinstance(node, Capture):
        scope.assigned[node.name] = render_body(node.body, scope, source)
    elif isinstance(node, Group):
        scope.block_depth += node.is_block
        text = render_body(node.body, scope, source)
        scope.block_depth -= node.is_block
        return text
    elif isinstance(node, Count):
        return _render_count(node, scope)
    elif isinstance(node, Cycle):
        return _render_cycle(node, scope)
    elif isinstance(node, Stop):
        scope.stopped = True
    return ""


def _render_choice(node: Choice, scope: Scope, source: str) -> str:
    for branch in node.branches:
        if is_true(evaluate_filtered(branch.condition, scope, apply_filter)) is branch.when:
            return render_body(branch.body, scope, source)
    return render_body(node.otherwise, scope, source)


def _render_count(node: Count, scope: Scope) -> str:
    """Counts in the environment, whatever is assigned: later directives of the same mapping see it."""
    current = scope.environment.get(node.name, UNDEFINED)
    before = js_number(current) if is_number(current) else 0.0
    scope.environment[node.name] = before + node.step
    return number_text(before if node.step > 0 else before + node.step)


def _render_cycle(node: Cycle, scope: Scope) -> str:
    """Calls of one group with the same number of values share a position. A falsy value writes nothing."""
    group = UNDEFINED if node.group is None else evaluate(node.group, scope)
    key = f"{to_text(group)}:{len(node.values)}"
    index = scope.cycles.get(key, 0)
    scope.cycles[key] = (index + 1) % len(node.values)
    value = evaluate(node.values[index], scope)
    scope.charge_items(value)
    return text_of(value) if isinstance(value, Word) or is_truthy(value) else ""
