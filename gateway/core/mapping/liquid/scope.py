"""What a template can see while it is rendered, and the purse it pays from."""

from collections.abc import Callable
from typing import final

from gateway.core.javascript import code_units
from gateway.core.mapping.liquid.errors import LiquidTrouble
from gateway.core.mapping.liquid.values import BLOCK

# Units one render may use: characters that filters read and outputs write, items of lists, mostly. Segment allows
# 100,000,000 and half a second; counted instead of timed, a tenth of the units keeps every render below that time.
LIQUID_MEMORY_UNITS_MAX = 10_000_000
ITEM_UNITS = 10  # an item of a list that is compared, written or given to a filter
RANGE_ITEM_UNITS = 50  # a number in a list takes the room of that many characters

_BLOCK_SCOPE: dict[str, object] = {"block": BLOCK}


@final
class Scope:
    """The names of one render: assigned ones first, then the keys of the environment.

    environment: the current payload. `increment` and `decrement` write into it.
    now_ms: gives what "now" means to dates, milliseconds since 1970; None where nobody knows.
    """

    __slots__ = ("assigned", "block_depth", "cycles", "environment", "left", "now_ms", "stopped")

    def __init__(self, payload: object, now_ms: Callable[[], float | None]) -> None:
        self.environment = _environment(payload)
        self.assigned: dict[str, object] = {}
        self.cycles: dict[str, int] = {}
        self.block_depth = 0
        self.stopped = False  # by `break` or `continue`
        self.left = LIQUID_MEMORY_UNITS_MAX
        self.now_ms = now_ms

    def holder_of(self, name: str) -> object:
        """Where a name is looked up: an empty object when nothing has it, so that `size` alone is 0."""
        if self.block_depth and name == "block":
            return _BLOCK_SCOPE
        if name in self.assigned:
            return self.assigned
        return self.environment if name in self.environment else {}

    def evaluate_in(self, payload: object, evaluate: "Callable[[Scope], object]") -> object:
        """Something evaluated with another payload for its environment, from the same purse."""
        inner = Scope(payload, self.now_ms)
        inner.left = self.left
        value = evaluate(inner)
        self.left = inner.left
        return value

    def charge(self, units: float) -> None:
        """Pay before the work; raises when the render asks for too much. Negative amounts and NaN cost nothing."""
        if units > 0:
            if units > self.left:
                raise LiquidTrouble("memory alloc limit exceeded")
            self.left -= int(units)

    def charge_items(self, value: object) -> None:
        """Pay for walking a list, items of inner lists as often as they occur: `push` can make one stand in many places."""
        if not isinstance(value, list):
            return
        waiting = [value]
        while waiting:
            items = waiting.pop()
            self.charge(1 + len(items) * ITEM_UNITS)
            waiting.extend(item for item in items if isinstance(item, list))

    def charge_range(self, items: float) -> None:
        """Pay for a range of numbers."""
        self.charge(items * RANGE_ITEM_UNITS)


def _environment(payload: object) -> dict[str, object]:
    """The payload as an object of names: itself, the items of a list or the units of a text by index, else nothing."""
    if isinstance(payload, dict):
        return payload
    if isinstance(payload, str):
        payload = list(code_units(payload))
    if isinstance(payload, list):
        return {**{str(index): item for index, item in enumerate(payload)}, "length": len(payload)}
    return {}
