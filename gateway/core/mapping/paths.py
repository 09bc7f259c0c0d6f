"""Paths of the mapping kit (`$.traits.address[0].city`): cutting one into pieces, and looking pieces up in a payload.

There are no wildcards, no negative indexes and no escapes: a key that contains a dot or a quote cannot be reached.
Dots inside quotes still cut.
"""

import re
from typing import Protocol

from gateway.core.javascript import UNDEFINED, is_truthy, member


class Lookup(Protocol):
    """What a compiled path is. It takes a second argument and ignores it, to stand where any directive may stand."""

    def __call__(self, payload: object, run: object = None, /) -> object:
        """What the path leads to in a payload."""
        ...


# A dot; a bracket that opens on a quote or an ASCII digit; any closing brackets behind a quote or an ASCII digit.
_CUTS = re.compile(r"""\[(?=["'0-9])|\.|(?<=["'0-9])\]+""")
_QUOTES = str.maketrans("", "", "'\"")


def without_prefix(path: str) -> str:
    """The path as `@path` and `@arrayPath` look it up: the first `$.` is deleted, wherever it stands."""
    return path.replace("$.", "", 1)


def pieces_of(path: str) -> tuple[str, ...]:
    """The keys a path names, outermost first; none for `""`, `.` and `..`, which mean the payload itself."""
    if path in ("", "."):
        return ()
    return tuple(piece.translate(_QUOTES) for piece in _CUTS.split(path) if piece)


def look_up(payload: object, pieces: tuple[str, ...]) -> object:
    """What the pieces lead to. A falsy value on the way ends the walk and is the result, as in `a && a.b && a.b.c`."""
    current = payload
    for piece in pieces:
        if type(current) is dict:
            current = current.get(piece, UNDEFINED)
        elif is_truthy(current):
            current = member(current, piece)
        else:
            return current
    return current


def compile_path(path: str) -> Lookup:
    """The lookup of one path, cut once. Most paths have one to three pieces, and most values on the way are objects."""
    pieces = pieces_of(path)
    if not pieces:
        return lambda payload, _run=None: payload
    if len(pieces) == 1:
        return _one_piece(pieces)
    return _two_pieces(pieces) if len(pieces) == 2 else lambda payload, _run=None: look_up(payload, pieces)


def _one_piece(pieces: tuple[str, ...]) -> Lookup:
    (first,) = pieces

    def look(payload: object, _run: object = None, /) -> object:
        if type(payload) is dict:
            return payload.get(first, UNDEFINED)
        return look_up(payload, pieces)

    return look


def _two_pieces(pieces: tuple[str, ...]) -> Lookup:
    first, second = pieces

    def look(payload: object, _run: object = None, /) -> object:
        if type(payload) is dict:
            value = payload.get(first, UNDEFINED)
            if type(value) is dict:
                return value.get(second, UNDEFINED)
            if value is UNDEFINED or value is None:
                return value
        return look_up(payload, pieces)

    return look
