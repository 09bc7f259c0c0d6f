"""The template language of `@liquid`: the part of Liquid that Segment leaves in, exactly as its engine runs it.

A parser and renderer of our own. python-liquid (2.3.6) was held against the engine's worked examples first: of fifty texts
fourteen came out the same. Truth, numbers, white space, quoting, dates, comparisons and unknown filters are another
language's there.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import final

from gateway.core.javascript import code_units
from gateway.core.mapping.liquid.errors import LiquidError
from gateway.core.mapping.liquid.filters import DISABLED_FILTERS, FILTERS
from gateway.core.mapping.liquid.nodes import Body, Capture, Choice, Count, Group
from gateway.core.mapping.liquid.parsing import parse
from gateway.core.mapping.liquid.rendering import render_body
from gateway.core.mapping.liquid.scope import LIQUID_MEMORY_UNITS_MAX, Scope
from gateway.core.mapping.liquid.variables import filter_names, variable_names

LIQUID_UNITS_MAX = 1000  # UTF-16 units of a template, Segment's limit
TEMPLATES_CACHED_MAX = 1024  # parsed templates kept, for mappings that are compiled again

__all__ = ["LIQUID_MEMORY_UNITS_MAX", "LIQUID_UNITS_MAX", "LiquidError", "LiquidTemplate", "compile_liquid"]


def _no_clock() -> float | None:
    return None


@final
class LiquidTemplate:
    """A parsed template. changes_environment: it has an `increment` or `decrement`, which write into the payload."""

    __slots__ = ("_body", "_source", "changes_environment")

    def __init__(self, source: str) -> None:
        self._source = code_units(source)
        self._body = parse(self._source)
        self.changes_environment = _counts(self._body)

    def render(self, payload: object, *, now_ms: Callable[[], float | None] = _no_clock) -> str:
        """The text for one payload. Raises LiquidError, at the latest when LIQUID_MEMORY_UNITS_MAX are used up.

        now_ms: asked only where a date filter is given "now" or "today".
        """
        return render_body(self._body, Scope(payload, now_ms), self._source)

    def variables(self) -> list[str]:
        """The variables the template reads, in any of its branches."""
        return variable_names(self._body)

    def strange_filters(self) -> list[tuple[str, bool]]:
        """The filters that do not do what they say: (name, True) for switched-off ones, (name, False) for unknown ones."""
        return [
            (name, name in DISABLED_FILTERS)
            for name in filter_names(self._body)
            if name not in FILTERS or name in DISABLED_FILTERS
        ]


@lru_cache(maxsize=TEMPLATES_CACHED_MAX)
def compile_liquid(source: str) -> LiquidTemplate:
    """Parse a template. Raises LiquidError where it does not parse; its length is the caller's to check."""
    return LiquidTemplate(source)


def _counts(body: Body) -> bool:
    for node in body:
        if isinstance(node, Count):
            return True
        if isinstance(node, (Capture, Group)) and _counts(node.body):
            return True
        if isinstance(node, Choice) and any(
            _counts(each) for each in (*(b.body for b in node.branches), node.otherwise)
        ):
            return True
    return False
