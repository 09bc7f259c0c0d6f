"""What every filter is: a function of a value, the arguments as written, and the scope that pays for it."""

from collections.abc import Callable

from gateway.core.javascript import UNDEFINED
from gateway.core.mapping.liquid.scope import Scope

FilterFunction = Callable[[object, list[object], Scope], object]


def argument(arguments: list[object], index: int, default: object = UNDEFINED) -> object:
    """An argument; its default where it is not written, or written and undefined."""
    value = arguments[index] if index < len(arguments) else UNDEFINED
    return default if value is UNDEFINED else value
