"""Which filters there are, which Segment has switched off, and how one is applied."""

from gateway.core.mapping.liquid.date_filters import DATE_FILTERS
from gateway.core.mapping.liquid.errors import LiquidTrouble
from gateway.core.mapping.liquid.filtering import FilterFunction
from gateway.core.mapping.liquid.list_filters import LIST_FILTERS
from gateway.core.mapping.liquid.number_filters import NUMBER_FILTERS
from gateway.core.mapping.liquid.scope import Scope
from gateway.core.mapping.liquid.text_filters import TEXT_FILTERS
from gateway.core.mapping.liquid.web_filters import WEB_FILTERS

FILTERS: dict[str, FilterFunction] = {
    **TEXT_FILTERS,
    **WEB_FILTERS,
    **NUMBER_FILTERS,
    **LIST_FILTERS,
    **DATE_FILTERS,
}
DISABLED_FILTERS = frozenset(
    (
        "array_to_sentence_string",
        "concat",
        "find",
        "find_exp",
        "find_index",
        "find_index_exp",
        "group_by",
        "group_by_exp",
        "has",
        "has_exp",
        "map",
        "newline_to_br",
        "reject",
        "reject_exp",
        "reverse",
        "sort",
        "sort_natural",
        "uniq",
        "where_exp",
        "type",
    )
)


def apply_filter(name: str, value: object, arguments: list[object], scope: Scope) -> object:
    """The value after one filter. A filter that does not exist changes nothing; a disabled one fails."""
    if name in DISABLED_FILTERS:
        raise LiquidTrouble(f'filter "{name}" is disabled')
    for each in (value, *arguments):
        scope.charge_items(each)
    function = FILTERS.get(name)
    return value if function is None else function(value, arguments, scope)
