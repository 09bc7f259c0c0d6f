"""Which event fields a mapping value reads, as Segment's editor lists them (`getFieldValueKeys`).

A list for people, not a proof: `@merge`, `@transform` and everything in `@literal` and `@excludeWhenNull` give nothing
there, and the paths of an `@arrayPath` shape are those of its items.
"""

import re

from gateway.core.javascript import in_key_order, is_truthy, type_name
from gateway.core.mapping.liquid import LiquidError, compile_liquid
from gateway.core.mapping.problems import MappingError
from gateway.core.mapping.resolving import DIRECTIVES

_TEMPLATE_PLACE = re.compile(r"\{\{([^\n\r\u2028\u2029]*?)\}\}")


def value_keys(value: object) -> list[object]:
    """The fields a value reads, in order, with repeats: texts, or the option of a `@path` as written if that is no text.

    Raises MappingError for a liquid template that does not parse, and for a `@template` that is no text.
    """
    if isinstance(value, list):
        return [key for item in value for key in value_keys(item)]
    if not isinstance(value, dict):
        return []
    if not any(name in value for name in DIRECTIVES):
        return [key for item in in_key_order(value).values() for key in value_keys(item)]
    return [key for key in _directive_keys(value) if is_truthy(key)]


def _directive_keys(record: dict[str, object]) -> list[object]:
    """The keys of an object with a known directive; of several the first in this order counts."""
    if isinstance(items := record.get("@arrayPath"), list):
        return [key for item in items for key in value_keys(item)]
    if "operator" in (options := _options(record, "@case")):
        return value_keys(options.get("value"))
    if {"exists", "blank"} & (options := _options(record, "@if")).keys():
        return [key for name in ("blank", "exists", "then", "else") for key in value_keys(options.get(name))]
    if "@literal" in record:
        return []
    if "@path" in record:
        return [record["@path"]]
    if "pattern" in (options := _options(record, "@replace")):
        return value_keys(options.get("value"))
    if "@template" in record:
        return _template_keys(record["@template"])
    for name in ("@json", "@flatten"):
        if "value" in (options := _options(record, name)):
            return value_keys(options["value"])
    template = record.get("@liquid")
    if "@excludeWhenNull" in record or not isinstance(template, str):
        return []
    return _liquid_keys(template)


def _options(record: dict[str, object], name: str) -> dict[str, object]:
    options = record.get(name)
    return options if isinstance(options, dict) else {}


def _template_keys(template: object) -> list[object]:
    if not isinstance(template, str):
        raise MappingError(f"@template: expected string, got {type_name(template)}")
    return [*_TEMPLATE_PLACE.findall(template)]


def _liquid_keys(template: str) -> list[object]:
    try:
        return [*compile_liquid(template).variables()]
    except LiquidError as error:
        raise MappingError(str(error)) from error
