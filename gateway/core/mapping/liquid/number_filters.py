"""The filters that calculate, in doubles: no integer division, no exceptions, NaN and infinities as they come."""

import math
import sys
from collections.abc import Callable

from gateway.core.javascript import UNDEFINED, is_truthy
from gateway.core.mapping.liquid.filtering import FilterFunction, argument
from gateway.core.mapping.liquid.scope import Scope
from gateway.core.mapping.liquid.values import js_number, number_of


def _of_one(function: Callable[[float], float]) -> FilterFunction:
    """A filter of the value alone; infinities stay as they are."""

    def apply(value: object, _arguments: list[object], _scope: Scope) -> object:
        number = number_of(value)
        return abs(number) if function is abs else number if math.isinf(number) else float(function(number))

    return apply


def _of_two(function: Callable[[float, float], float]) -> FilterFunction:
    """A filter of the value and an argument; without the argument NaN. One that is written and no number is 0."""

    def apply(value: object, arguments: list[object], _scope: Scope) -> object:
        return function(number_of(value), number_of(arguments[0])) if arguments else math.nan

    return apply


def _quotient(dividend: float, divisor: float) -> float:
    if divisor:
        return dividend / divisor
    if not dividend or math.isnan(dividend):
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def _divided_by(value: object, arguments: list[object], _scope: Scope) -> object:
    """A truthy second argument rounds down."""
    if not arguments:
        return math.nan
    quotient = _quotient(number_of(value), number_of(arguments[0]))
    floors = len(arguments) > 1 and is_truthy(number_of(arguments[1]))
    return float(math.floor(quotient)) if floors and math.isfinite(quotient) else quotient


def _remainder(number: float, divisor: float) -> float:
    """`number % divisor`: the sign of the number."""
    return math.fmod(number, divisor) if divisor and math.isfinite(number) else math.nan


def _modulo(number: float, divisor: float) -> float:
    """The remainder with the sign of the divisor."""
    return _remainder(_remainder(number, divisor) + divisor, divisor)


def _extreme(function: Callable[[list[float]], float]) -> FilterFunction:
    def apply(value: object, arguments: list[object], _scope: Scope) -> object:
        return function([number_of(each) for each in (value, *arguments)])

    return apply


def _round(value: object, arguments: list[object], _scope: Scope) -> object:
    """Halves go up, and a factor a little above 1 makes them of what is nearly one."""
    scale = _power_of_ten(number_of(argument(arguments, 0, 0)))
    scaled = number_of(value) * scale * (1 + sys.float_info.epsilon)
    if not math.isfinite(scaled):
        return _quotient(scaled, scale) if math.isfinite(scale) else math.nan
    whole = math.floor(scaled)
    return _quotient(float(whole + 1 if scaled - whole >= 0.5 else whole), scale)


def _power_of_ten(exponent: float) -> float:
    """Exact up to 22 digits either way; far beyond, and between whole numbers, V8's last bit may be another."""
    try:
        return math.pow(10.0, exponent)
    except OverflowError:
        return math.inf


def _to_integer(value: object, _arguments: list[object], _scope: Scope) -> object:
    """`Number(value)`, which need not be whole."""
    return js_number(value) if value is not UNDEFINED else math.nan


NUMBER_FILTERS: dict[str, FilterFunction] = {
    "abs": _of_one(abs),
    "ceil": _of_one(math.ceil),
    "floor": _of_one(math.floor),
    "plus": _of_two(lambda number, other: number + other),
    "minus": _of_two(lambda number, other: number - other),
    "times": _of_two(lambda number, other: number * other),
    "divided_by": _divided_by,
    "modulo": _of_two(_modulo),
    "at_least": _extreme(max),
    "at_most": _extreme(min),
    "round": _round,
    "to_integer": _to_integer,
}
