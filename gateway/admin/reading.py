"""What comes with a request, read and bounded; and what goes back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import inspect
from starlette.requests import Request
from starlette.responses import Response

from gateway.core.errors import OrderError

PAGE_MAX: Final = 1000
NUMBER_MAX: Final = 2**62
DIGITS_MAX: Final = 19
ORDER_BYTES_MAX: Final = 64 * 1024

T = TypeVar("T")
W = TypeVar("W", bound=str)
_encode = msgspec.json.Encoder().encode
_quoted = re.compile(r"'.*'", re.DOTALL)
_place = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_steps = re.compile(r"\.(?P<name>\w+)|(?P<item>\[)")


class BadRequestError(Exception):
    """What was given cannot be read: 400 `invalid_request`; the text says why."""


def answer(value: object, status: int = 200, *, version: object = None) -> Response:
    """JSON. version: of what is shown, for the `ETag`."""
    headers = {"ETag": f'"{version}"'} if version else None
    return Response(_encode(value), status_code=status, media_type="application/json", headers=headers)


async def order_of(request: Request, wanted: type[T], largest: int = ORDER_BYTES_MAX) -> T:
    """The body as an order; an empty one is `{}`. largest: in bytes.

    Raises OrderError 413 `payload_too_large` for a larger one, BadRequestError for one that cannot be read.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > largest:
            raise OrderError(413, "payload_too_large", f"The body is larger than {largest} bytes.")
    try:
        return msgspec.json.decode(bytes(data) or b"{}", type=wanted)
    except msgspec.ValidationError as error:
        raise BadRequestError(_choices_told(error, wanted) or without_values(error)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError(without_values(error)) from error


def one_of(name: str, among: Iterable[object]) -> str:
    """The sentence about a word that is none of those there are. An empty one among them may be left out."""
    words = [str(one) for one in among]
    return f"`{name}` must be one of {', '.join(filter(None, words))}{', or left out' if '' in words else ''}."


def _choices_told(error: msgspec.ValidationError, wanted: object) -> str:
    """What a member of a body may be, where the error is about one of a few words; else ""."""
    found = _place.search(str(error))
    if found is None:
        return ""
    kind, name = inspect.type_info(wanted), ""
    for step in _steps.finditer(found["path"]):
        name = step["name"] or name
        kind = _inside(_bare(kind), step["name"])
    match _bare(kind):
        case inspect.LiteralType(values=values):
            return one_of(name, values)
        case inspect.EnumType(cls=cls):
            return one_of(name, (one.value for one in cls))
        case _:
            return ""


def _bare(kind: inspect.Type) -> inspect.Type:
    """A type without its bounds, and without the None beside it."""
    if isinstance(kind, inspect.Metadata):
        return _bare(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind


def _inside(kind: inspect.Type, name: str | None) -> inspect.Type:
    """The type of a member, or of an item where there is no name."""
    if name is None:
        return kind.item_type if isinstance(kind, inspect.ListType) else inspect.AnyType()
    fields = kind.fields if isinstance(kind, inspect.StructType) else ()
    return next((field.type for field in fields if field.encode_name == name), inspect.AnyType())


def without_values(error: Exception) -> str:
    """What is wrong with a body and where, without the value that it quotes: it may be somebody's."""
    return _quoted.sub("…", str(error))


def number(request: Request, name: str, default: int, largest: int = NUMBER_MAX, *, smallest: int = 0) -> int:
    """A whole number of the query. Raises BadRequestError."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS_MAX or not smallest <= int(text) <= largest:
        raise BadRequestError(f"`{name}` must be a whole number from {smallest} to {largest}.")
    return int(text)


def pair(request: Request, name: str, default: tuple[int, int]) -> tuple[int, int]:
    """A cursor of two numbers, `12.-3`. Raises BadRequestError."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    first, dot, second = text.partition(".")
    digits = second.removeprefix("-")
    if not (dot and all(one.isascii() and one.isdigit() and len(one) <= DIGITS_MAX for one in (first, digits))):
        raise BadRequestError(f"`{name}` must be the `next` of the page before.")
    if not (int(first) <= NUMBER_MAX and int(digits) <= 2**63):
        raise BadRequestError(f"`{name}` must be the `next` of the page before.")
    return int(first), int(second)


def flag(request: Request, name: str) -> bool:
    """A yes or no of the query. Raises BadRequestError."""
    text = request.query_params.get(name, "")
    if text not in ("", "true", "false"):
        raise BadRequestError(f"`{name}` must be true or false.")
    return text == "true"


def choice(request: Request, name: str, among: Iterable[W]) -> W | Literal[""]:
    """A word of the query, "" for none. Raises BadRequestError."""
    text, words = request.query_params.get(name, ""), list(among)
    if not text:
        return ""
    found = next((one for one in words if one == text), None)
    if found is None:
        raise BadRequestError(one_of(name, words))
    return found


def cursor(place: tuple[int, int] | None) -> str | None:
    """A place as `pair` reads it."""
    return None if place is None else f"{place[0]}.{place[1]}"
