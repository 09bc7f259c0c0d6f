"""A walk over every value of a mapping, directives known for what they are: what the checks for people go by.

Unlike validation it looks everywhere: into lists, into `@literal`, into options nobody has heard of.
"""

from collections.abc import Iterator
from enum import Enum

import msgspec

from gateway.core.javascript import in_key_order
from gateway.core.mapping.problems import Place
from gateway.core.mapping.resolving import directive_name


class Reader(Enum):
    """Whose payload a part sees."""

    EVENT = "event"
    ITEM = "item"  # of an @arrayPath
    RESULT = "result"  # of a @transform's `apply`


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a mapping and where it stands.

    directive: its name when the value is one, and then option is what it is given. is_checked: Segment validates it.
    is_literal: it stands in a `@literal`, which is there to hold texts that look like something else.
    reads: whose payload its paths start at.
    """

    value: object
    place: Place
    directive: str | None
    option: object
    is_checked: bool
    is_literal: bool
    reads: Reader


def parts_of(
    value: object,
    place: Place,
    *,
    is_checked: bool = True,
    is_literal: bool = False,
    reads: Reader = Reader.EVENT,
) -> Iterator[Part]:
    """The value and everything in it, outermost first, in the mapping's order."""
    name = directive_name(value) if isinstance(value, dict) else None
    option = value[name] if isinstance(value, dict) and name is not None else None
    yield Part(
        value=value,
        place=place,
        directive=name,
        option=option,
        is_checked=is_checked,
        is_literal=is_literal,
        reads=reads,
    )
    if name is not None:
        yield from _parts_of_directive(
            name, option, place.key(name), is_checked=is_checked, is_literal=is_literal, reads=reads
        )
        return
    items = (
        in_key_order(value).items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, item in items:
        checked = is_checked and isinstance(value, dict)
        yield from parts_of(item, place.key(str(key)), is_checked=checked, is_literal=is_literal, reads=reads)


def _parts_of_directive(
    name: str, option: object, place: Place, *, is_checked: bool, is_literal: bool, reads: Reader
) -> Iterator[Part]:
    """What is inside a directive: its option as a value, or its options' values; texts that are paths or templates are not."""
    if name in ("@literal", "@excludeWhenNull"):
        checked = is_checked and isinstance(option, dict) and any(key.startswith("@") for key in option)
        literal = is_literal or name == "@literal"
        yield from parts_of(option, place, is_checked=checked, is_literal=literal, reads=reads)
    elif isinstance(option, dict) and any(key.startswith("@") for key in option):
        yield from parts_of(option, place, is_checked=is_checked, is_literal=is_literal, reads=reads)
    elif name == "@arrayPath" and isinstance(option, list):
        for index, item in enumerate(option):
            if isinstance(item, (dict, list)):
                item_reads = Reader.ITEM if index == 1 else reads
                checked = is_checked and index < 2
                yield from parts_of(
                    item, place.key(str(index)), is_checked=checked, is_literal=is_literal, reads=item_reads
                )
    elif isinstance(option, dict):
        for key, item in option.items():
            item_reads = Reader.RESULT if (name, key) == ("@transform", "mapping") else reads
            if name == "@merge" and key == "objects" and isinstance(item, list):
                for index, each in enumerate(item):
                    where = place.key(key).key(str(index))
                    yield from parts_of(each, where, is_checked=is_checked, is_literal=is_literal, reads=reads)
            elif key not in _PLAIN_OPTIONS.get(name, ()):
                yield from parts_of(
                    item, place.key(key), is_checked=is_checked, is_literal=is_literal, reads=item_reads
                )


# Options that are settings, not values of the payload.
_PLAIN_OPTIONS: dict[str, tuple[str, ...]] = {
    "@case": ("operator",),
    "@replace": ("pattern", "replacement", "pattern2", "replacement2", "ignorecase", "global"),
    "@flatten": ("separator", "omitArrays"),
    "@json": ("mode",),
    "@merge": ("direction",),
}
