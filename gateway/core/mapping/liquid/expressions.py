"""The tree of an expression, and how it is evaluated: literals, variables with their properties, ranges, operators, filters."""

from collections.abc import Callable, Iterator

import msgspec

from gateway.core.javascript import UNDEFINED, is_number, member, to_text
from gateway.core.mapping.liquid.errors import LiquidTrouble
from gateway.core.mapping.liquid.scope import Scope
from gateway.core.mapping.liquid.values import (
    BLOCK,
    WORDS,
    Word,
    are_equal,
    contains,
    is_less,
    is_true,
    js_number,
    plain,
)


class Constant(msgspec.Struct, frozen=True):
    """A text, a number, or the name after a dot."""

    value: object


class Literal(msgspec.Struct, frozen=True):
    """`true`, `false`, `nil`, `null`, `empty`, `blank`."""

    name: str


class Variable(msgspec.Struct, frozen=True):
    """A name and its properties, or properties of a value: `a.b[0]`, `'text'.size`. base is None for a name."""

    base: "Value | None"
    steps: tuple["Value", ...]


class Range(msgspec.Struct, frozen=True):
    """`(low..high)`, both ends included."""

    low: "Value"
    high: "Value"


Value = Constant | Literal | Variable | Range


class Operator(msgspec.Struct, frozen=True):
    """An operator in an expression's sequence."""

    name: str


class Argument(msgspec.Struct, frozen=True):
    """An argument of a filter. name: of a named one (`allow_false: true`); value: None when nothing follows its colon."""

    name: str | None
    value: "Value | None"


class Filter(msgspec.Struct, frozen=True):
    """A filter with its arguments."""

    name: str
    arguments: tuple[Argument, ...]


class Filtered(msgspec.Struct, frozen=True):
    """An expression, operands before their operators, and the filters its result goes through."""

    postfix: tuple[Value | Operator, ...]
    filters: tuple[Filter, ...]


ApplyFilter = Callable[[str, object, list[object], Scope], object]

PRECEDENCE = {
    **dict.fromkeys(("==", "!=", ">", "<", ">=", "<=", "contains"), 2),
    "not": 1,
    "and": 0,
    "or": 0,
}


def postfix(tokens: list[Value | Operator]) -> tuple[Value | Operator, ...]:
    """Operands before operators. Operators of equal precedence group from the right."""
    output: list[Value | Operator] = []
    waiting: list[Operator] = []
    for token in tokens:
        if not isinstance(token, Operator):
            output.append(token)
            continue
        while waiting and PRECEDENCE[waiting[-1].name] > PRECEDENCE[token.name]:
            output.append(waiting.pop())
        waiting.append(token)
    return (*output, *reversed(waiting))


def evaluate_filtered(filtered: Filtered, scope: Scope, apply_filter: ApplyFilter) -> object:
    """The value of an expression after its filters."""
    value = _evaluate_postfix(filtered.postfix, scope)
    for each in filtered.filters:
        value = apply_filter(each.name, value, [_argument(argument, scope) for argument in each.arguments], scope)
    return value


def _argument(argument: Argument, scope: Scope) -> object:
    """A named argument arrives as a list of its name and its value."""
    value = UNDEFINED if argument.value is None else evaluate(argument.value, scope)
    return value if argument.name is None else [argument.name, value]


def _evaluate_postfix(tokens: tuple[Value | Operator, ...], scope: Scope) -> object:
    """Both sides are always evaluated; a missing operand is undefined; of several values the first counts."""
    operands: list[object] = []
    for token in tokens:
        if not isinstance(token, Operator):
            operands.append(evaluate(token, scope))
            continue
        right = operands.pop() if operands else UNDEFINED
        scope.charge_items(right)
        if token.name == "not":
            operands.append(not is_true(right))
        else:
            left = operands.pop() if operands else UNDEFINED
            scope.charge_items(left)
            operands.append(_OPERATIONS[token.name](left, right))
    return operands[0]


_OPERATIONS: dict[str, Callable[[object, object], bool]] = {
    "==": are_equal,
    "!=": lambda left, right: not are_equal(left, right),
    "<": lambda left, right: is_less(left, right, or_equal=False),
    "<=": lambda left, right: is_less(left, right, or_equal=True),
    ">": lambda left, right: is_less(right, left, or_equal=False),
    ">=": lambda left, right: is_less(right, left, or_equal=True),
    "contains": contains,
    "and": lambda left, right: is_true(left) and is_true(right),
    "or": lambda left, right: is_true(left) or is_true(right),
}


def evaluate(value: Value, scope: Scope) -> object:
    """The value of one operand."""
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Literal):
        return WORDS[value.name]
    if isinstance(value, Range):
        return _range(evaluate(value.low, scope), evaluate(value.high, scope), scope)
    steps = [evaluate(step, scope) for step in value.steps]
    current = scope.holder_of(to_text(steps[0])) if value.base is None else evaluate(value.base, scope)
    for step in steps:
        current = property_of(current, step)
    return current


def _range(low: object, high: object, scope: Scope) -> object:
    """The numbers from low to high, by ones; charged before they are made."""
    start, stop = js_number(low), js_number(high) + 1
    scope.charge_range(js_number(high) - start + 1)
    numbers: list[object] = []
    current = start
    while current < stop:
        numbers.append(current)
        if current + 1 == current:
            raise LiquidTrouble("memory alloc limit exceeded")  # Beyond 2^53 counting by ones stands still.
        current += 1
    return numbers


def property_of(current: object, step: object) -> object:
    """`current[step]`: null and undefined stay as they are; `size`, `first` and `last` come after a key of that name."""
    if current is None or current is UNDEFINED:
        return current
    if isinstance(current, Word):
        return "" if current is BLOCK and step == "super" else UNDEFINED
    step = plain(step)
    if isinstance(current, list) and is_number(step):
        index = js_number(step)
        index = len(current) + index if index < 0 else index
        return current[int(index)] if 0 <= index < len(current) and index == int(index) else UNDEFINED
    if step == "size" and not (isinstance(current, dict) and "size" in current):
        return len(current) if isinstance(current, dict) else member(current, "length")
    if isinstance(current, list) and step in ("first", "last"):
        return (current[0] if step == "first" else current[-1]) if current else UNDEFINED
    return member(current, to_text(step))


def variables_of(value: Value | None) -> Iterator[Variable]:
    """The variables an operand reads, for value keys: those in brackets are part of the one they stand in."""
    if isinstance(value, Range):
        yield from variables_of(value.low)
        yield from variables_of(value.high)
    elif isinstance(value, Variable):
        yield value


def filtered_variables(filtered: Filtered) -> Iterator[Variable]:
    """The variables of an expression, then those of its filters' arguments."""
    for token in filtered.postfix:
        if not isinstance(token, Operator):
            yield from variables_of(token)
    for each in filtered.filters:
        for argument in each.arguments:
            yield from variables_of(argument.value)
