"""Texts with `{{ path }}` for URLs, query values and headers: each place is encoded for where it stands, or refused.

What data gives can never add a path segment, a parameter or a header line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from gateway.core.javascript import UNDEFINED, is_number, number_text
from gateway.core.mapping.paths import look_up, pieces_of

TEMPLATE_CHARS_MAX = 4_000  # ours
VALUE_CHARS_MAX = 2_000  # ours; whole URLs are rarely taken beyond 8,000 characters

ROOTS = frozenset(
    {"records", "record", "index", "connection", "settings", "audience", "batch", "run", "steps", "session", "job"}
)
"""What a path may begin with; which of them are filled depends on where it stands."""

Paths = tuple[tuple[str, ...], ...]

_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
_HEADER_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPED = re.compile(r"%[0-9a-fA-F]{2}")
_PATH_TEXT = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9a-fA-F]{2})*")


class TemplateError(Exception):
    """A template cannot be read. what: one sentence; at: column from 1."""

    def __init__(self, what: str, at: int) -> None:
        self.what = what
        self.at = at
        super().__init__(what)


class UnresolvedError(Exception):
    """A place of a template has no usable value. place: as written; why: without the value."""

    def __init__(self, place: str, why: str) -> None:
        self.place = place
        self.why = why
        super().__init__(f"`{place}` {why}")


class TextTemplate:
    """A text with places. source: as written; paths: what its places look up, each from its root on."""

    def __init__(self, source: str) -> None:
        """Raises TemplateError."""
        if len(source) > TEMPLATE_CHARS_MAX:
            raise TemplateError(f"This is longer than {TEMPLATE_CHARS_MAX} characters.", 1)
        for triple in ("{{{", "}}}"):
            if triple in source:
                raise TemplateError("Triple braces are not allowed: every value is encoded.", source.index(triple) + 1)
        self.source = source
        self._texts: list[str] = []
        self._places: list[tuple[str, tuple[str, ...]]] = []
        done = 0
        for match in _PLACE.finditer(source):
            self._texts.append(source[done : match.start()])
            self._places.append((match[0], _pieces(match[1], match.start() + 3)))
            done = match.end()
        self._texts.append(source[done:])
        for text in self._texts:
            if "{{" in text or "}}" in text:
                at = source.index("{{" if "{{" in text else "}}")
                raise TemplateError("A place is `{{` path `}}`, closed and with nothing else in it.", at + 1)
        self.paths: Paths = tuple(pieces for _, pieces in self._places)

    @property
    def is_constant(self) -> bool:
        """No place in it."""
        return not self._places

    @property
    def single(self) -> tuple[str, ...] | None:
        """What its only place looks up, when it is nothing but that place."""
        return self.paths[0] if len(self._places) == 1 and self._texts == ["", ""] else None

    @property
    def literal_text(self) -> str:
        """The text around the places."""
        return "".join(self._texts)

    def fill(self, scope: dict[str, object], encoded: Callable[[str, str], str]) -> str:
        """The text with its places filled. encoded: (place, value's text) → what is written, or UnresolvedError."""
        parts = [self._texts[0]]
        for (place, pieces), text in zip(self._places, self._texts[1:], strict=True):
            parts.append(encoded(place, text_at(scope, pieces, place)))
            parts.append(text)
        return "".join(parts)


def text_at(scope: dict[str, object], pieces: tuple[str, ...], place: str) -> str:
    """The value at a path as text. Raises UnresolvedError for none, for lists and objects, and for endless texts."""
    value = look_up(scope, pieces)
    if value is None or value is UNDEFINED:
        raise UnresolvedError(place, "has no value")
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return number_text(value)  # type: ignore[arg-type] # it is a number
    if not isinstance(value, str):
        raise UnresolvedError(place, "is a list or an object, and only texts and numbers can stand in a text")
    if len(value) > VALUE_CHARS_MAX:
        raise UnresolvedError(place, f"has more than {VALUE_CHARS_MAX} characters")
    return value


# --- Where they stand ---


def path_text(template: TextTemplate, scope: dict[str, object]) -> str:
    """A URL path: each value is (part of) one segment, whatever it holds. Raises UnresolvedError."""
    filled = template.fill(scope, _path_value)
    if template.is_constant:
        return filled
    for segment in filled.partition("?")[0].split("/"):
        if segment in {".", ".."}:  # Two values that stand side by side can make one.
            raise UnresolvedError(template.source, "would make a `.` or `..` segment")
    return filled


def _path_value(place: str, text: str) -> str:
    if text in {"", ".", ".."}:
        raise UnresolvedError(place, "is empty, `.` or `..`, which cannot be a part of a path")
    return _percent(place, text)


def query_text(parameters: tuple[tuple[str, TextTemplate], ...], scope: dict[str, object]) -> str:
    """`a=1&b=2` with everything encoded; parameters whose text is empty are left out. Raises UnresolvedError."""
    pairs = [(name, template.fill(scope, lambda _, text: text)) for name, template in parameters]
    return "&".join(f"{_percent(name, name)}={_percent(name, text)}" for name, text in pairs if text)


def header_text(template: TextTemplate, scope: dict[str, object]) -> str:
    """A header's value: one line of Latin-1. Raises UnresolvedError."""

    def checked(place: str, text: str) -> str:
        problem = header_problem(text)
        if problem:
            raise UnresolvedError(place, problem)
        return text

    return template.fill(scope, checked).strip(" \t")


def header_problem(text: str) -> str:
    """Why a text cannot stand in a header; empty when it can."""
    if _HEADER_FORBIDDEN.search(text):
        return "holds a line break or another control character, which cannot stand in a header"
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return "holds characters beyond Latin-1, which cannot stand in a header"
    return ""


def is_path_literal(text: str) -> bool:
    """Whether the fixed text of a path holds only characters that stand in URLs as they are."""
    return _PATH_TEXT.fullmatch(text) is not None


def _percent(place: str, text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise UnresolvedError(place, "holds half of a surrogate pair, which is no character") from None


def _pieces(inside: str, at: int) -> tuple[str, ...]:
    path = inside.strip()
    pieces = pieces_of(path.removeprefix("$."))
    if not pieces or pieces[0] not in ROOTS:
        known = ", ".join(sorted(ROOTS))
        raise TemplateError(f"`{path}` does not begin with a root; roots are {known}.", at)
    return pieces
