"""What a template can be told off for, with the place, as liquidjs words it."""

from gateway.core.javascript import joined, json_string


class LiquidError(Exception):
    """A template does not parse, or cannot be rendered; the text ends in line and column, both from 1."""


class LiquidTrouble(Exception):  # noqa: N818  (not an error yet: it becomes a LiquidError where the place is known)
    """Trouble whose place only the tag or output around it knows."""


def located(message: str, source: str, position: int) -> LiquidError:
    """The error for a place in a template. source: the template in UTF-16 units; position: index into it."""
    before = source[:position]
    line = before.count("\n") + 1
    column = position - (before.rfind("\n") + 1) + 1
    return LiquidError(f"{joined(message)}, line:{line}, col:{column}")


EXCERPT_UNITS_MAX = 32  # of a template quoted in a message, liquidjs' number


def excerpt(source: str, begin: int, end: int) -> str:
    """A part of a template as messages quote it."""
    text = source[begin:end]
    if len(text) > EXCERPT_UNITS_MAX:
        text = text[: EXCERPT_UNITS_MAX - 3] + "..."
    return json_string(joined(text))
