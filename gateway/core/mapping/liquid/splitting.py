"""A template cut into text, tags and outputs, before anything in it is understood; and white-space control."""

import msgspec

from gateway.core.javascript import joined
from gateway.core.mapping.liquid.errors import excerpt, located
from gateway.core.mapping.liquid.scanner import BLANKS, Scanner


class Part(msgspec.Struct):
    """A piece of a template.

    kind: "text", "tag" or "output". begin, end: all of it, delimiters included. content_begin, content_end: what is
    between the delimiters, without blanks and minus signs; of a text, what white-space control has left of it.
    trims_left, trims_right: a minus sign stands there. name: of a tag. arguments_begin: where they start, in a tag.
    """

    kind: str
    begin: int
    end: int
    content_begin: int
    content_end: int
    trims_left: bool = False
    trims_right: bool = False
    name: str = ""
    arguments_begin: int = 0


def split(source: str) -> list[Part]:
    """The parts of a template given in UTF-16 units. Raises LiquidError for what is never closed."""
    parts: list[Part] = []
    at = 0
    while at < len(source):
        if source.startswith("{%", at):
            part = _tag(source, at)
        elif source.startswith("{{", at):
            part = _output(source, at)
        else:
            part = _text(at, _next_delimiter(source, at))
        parts.append(part)
        at = part.end
        if part.name == "raw" and at < len(source):
            raw_parts = _raw_parts(source, part, at)
            parts += raw_parts
            at = raw_parts[-1].end
    _trim(source, parts)
    return parts


def _next_delimiter(source: str, at: int) -> int:
    found = [place for place in (source.find("{%", at), source.find("{{", at)) if place >= 0]
    return min(found, default=len(source))


def _text(begin: int, end: int) -> Part:
    return Part("text", begin, end, begin, end)


def _tag(source: str, begin: int) -> Part:
    """A tag: up to the next `%}`, quoted or not."""
    end = source.find("%}", begin)
    if end < 0:
        raise located(f"tag {excerpt(source, begin, len(source))} not closed", source, begin)
    return named_tag(source, _delimited("tag", source, begin, end + 2))


def _output(source: str, begin: int) -> Part:
    """An output: up to the first `}}` outside quotes."""
    scanner = Scanner(source, begin, len(source))
    while not scanner.is_done():
        if scanner.peek() in ("'", '"'):
            scanner.quoted()
            continue
        scanner.at += 1
        if source.startswith("}}", scanner.at - 2):
            return _delimited("output", source, begin, scanner.at)
    raise located(f"output {excerpt(source, begin, len(source))} not closed", source, begin)


def _delimited(kind: str, source: str, begin: int, end: int) -> Part:
    low, high = begin + 2, end - 2
    trims_left, trims_right = source[low : low + 1] == "-", source[high - 1 : high] == "-"
    low, high = low + trims_left, high - trims_right
    while low < high and source[low] in BLANKS:
        low += 1
    while high > low and source[high - 1] in BLANKS:
        high -= 1
    return Part(kind, begin, end, low, high, trims_left, trims_right)


def named_tag(source: str, part: Part, complaint: str = "illegal tag syntax, tag name expected") -> Part:
    """The tag with its name, and the place where its arguments start."""
    scanner = Scanner(source, part.content_begin, part.content_end)
    scanner.skip_blanks()
    if source[scanner.at : scanner.at + 1] == "#":
        scanner.at += 1
        part.name = "#"
    else:
        part.name = scanner.identifier()
    if not part.name:
        raise scanner.error(complaint)
    scanner.skip_blanks()
    part.arguments_begin = scanner.at
    return part


def _raw_parts(source: str, raw: Part, begin: int) -> list[Part]:
    """What follows `{% raw %}`: text, if there is any, and the tag that ends it."""
    opening = source.find("{%", begin)
    scanner = Scanner(source, opening + 2, len(source))
    while opening >= 0:
        if scanner.identifier() != "endraw":
            opening = source.find("{%", scanner.at)
            scanner.at = opening + 2
            continue
        closing, again = source.find("%}", scanner.at), source.find("{%", scanner.at)
        if closing < 0:
            break
        if 0 <= again < closing:
            scanner.at = again + 2  # The tag goes on: liquidjs keeps its first opening.
            continue
        end_tag = named_tag(source, _delimited("tag", source, opening, closing + 2))
        return [_text(begin, opening), end_tag] if opening > begin else [end_tag]
    raise located(f"raw {excerpt(source, raw.begin, len(source))} not closed", source, begin)


def _trim(source: str, parts: list[Part]) -> None:
    """White-space control: a minus sign takes all blanks off the adjoining text, except inside `raw`."""
    inside_raw = False
    for index, part in enumerate(parts):
        if part.kind == "text":
            continue
        if part.trims_left and not inside_raw and index:
            before = parts[index - 1]
            while before.kind == "text" and before.content_end > 0 and source[before.content_end - 1] in BLANKS:
                before.content_end -= 1
        inside_raw = {"raw": True, "endraw": False}.get(part.name, inside_raw)
        if part.trims_right and not inside_raw and index + 1 < len(parts):
            after = parts[index + 1]
            while after.kind == "text" and source[after.content_begin : after.content_begin + 1] in _BLANK_UNITS:
                after.content_begin += 1


_BLANK_UNITS = frozenset(BLANKS)


def text_content(source: str, part: Part) -> str:
    """What is left of a text; nothing where trimming from both ends has met."""
    return joined(source[part.content_begin : max(part.content_begin, part.content_end)])
