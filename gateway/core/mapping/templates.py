"""`@template`: texts with places in double or triple braces, which are paths and nothing more (no filters, no escaping)."""

from collections.abc import Callable

from gateway.core.javascript import UNDEFINED, joined, to_text, trim
from gateway.core.mapping.budget import Run
from gateway.core.mapping.paths import Lookup, compile_path, look_up, pieces_of

Render = Callable[[object, Run], str]


def split_places(template: str, braces: int) -> list[str]:
    """The template cut at its places: text, inside of a place, text, …, text.

    A place is `braces` opening braces, at least one character that is no closing brace, and as many closing braces. The
    scan never looks at a character twice, whatever the text: no place can reach beyond the next closing brace.
    """
    opening, closing = "{" * braces, "}" * braces
    cut: list[str] = []
    done = position = 0
    while (start := template.find(opening, position)) >= 0:
        end = template.find("}", start + braces)
        if end < 0:
            break
        if end > start + braces and template.startswith(closing, end):
            cut += (template[done:start], template[start + braces : end])
            done = position = end + braces
        else:
            position = end + 1
    cut.append(template[done:])
    return cut


def render(template: str, payload: object, run: Run) -> str:
    """The text with its places filled: triple braces first, then double ones, those included that the first pass wrote."""
    payload = {} if payload is UNDEFINED else payload  # no payload counts as an empty one here
    return _pass(_pass(template, 3, payload, run), 2, payload, run)


def _pass(template: str, braces: int, payload: object, run: Run) -> str:
    parts = split_places(template, braces)
    if len(parts) == 1:
        return template
    for index in range(1, len(parts), 2):
        parts[index] = _place_text(look_up(payload, pieces_of(trim(parts[index]))))
        run.spend(len(parts[index]))
    return joined("".join(parts))


def _place_text(value: object) -> str:
    return "" if value is None or value is UNDEFINED else to_text(value)


def compile_template(template: str) -> Render:
    """The rendering of one template. Without triple braces, and that is nearly always, one pass and ready paths do."""
    parts = split_places(template, 2)
    if len(split_places(template, 3)) > 1:
        return lambda payload, run: render(template, payload, run)
    if len(parts) == 1:
        return lambda _payload, _run: template
    texts = parts[0::2]
    lookups: list[Lookup] = [compile_path(trim(place)) for place in parts[1::2]]
    places = list(zip(lookups, texts[1:], strict=True))
    opening = texts[0]

    def fill(payload: object, run: Run) -> str:
        written = opening
        for look, text in places:
            value = look({} if payload is UNDEFINED else payload)
            written += (value if type(value) is str else _place_text(value)) + text
        run.spend(len(written))
        return joined(written)

    return fill
