"""A route and its description in one place: handlers are marked, the app serves them, the OpenAPI document tells of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]
H = TypeVar("H", bound=Callable[..., Awaitable[Response]])

_MARK: Final = "__api_routes__"


class _Number(IntegerConvertor):
    """`{id:int}` in paths, with fewer digits than Python refuses to read; more are no path of ours."""

    regex = "[0-9]{1,99}"


register_url_convertor("int", _Number())


class Query(msgspec.Struct, frozen=True):
    """One query parameter. kind: of its value, as msgspec reads it from JSON."""

    name: str
    meaning: str
    kind: object = str


class ApiRoute(msgspec.Struct, frozen=True, kw_only=True):
    """What a route is for. path: as Starlette writes it, `{name:path}`.

    answer, body: types of the 200's (a tuple where it is one of several) and of the request's JSON; None where there is none.
    verbs: what `{verb}` in the path may be. versioned: a GET answers with an `ETag`, a POST heeds `If-Match`. others: further
    statuses with their meaning. media: of the 200. is_open: it asks for no token.
    """

    method: str
    path: str
    summary: str
    tag: str
    answer: object = None
    body: object = None
    query: tuple[Query, ...] = ()
    verbs: tuple[str, ...] = ()
    versioned: bool = False
    others: tuple[tuple[int, str], ...] = ()
    media: tuple[str, ...] = ("application/json",)
    is_open: bool = False

    @property
    def paths(self) -> list[str]:
        """Without converters, and with each verb in its place."""
        plain = self.path
        for converter in (":path", ":int", ":str"):
            plain = plain.replace(converter + "}", "}")
        return [plain.replace("{verb}", verb) for verb in self.verbs] or [plain]


def route(
    method: str,
    path: str,
    summary: str,
    *,
    tag: str,
    answer: object = None,
    body: object = None,
    query: tuple[Query, ...] = (),
    verbs: tuple[str, ...] = (),
    versioned: bool = False,
    others: tuple[tuple[int, str], ...] = (),
    media: tuple[str, ...] = ("application/json",),
    is_open: bool = False,
) -> Callable[[H], H]:
    """Mark a handler. The parameters are those of `ApiRoute`; is_open: it asks for no token."""

    def mark(handler: H) -> H:
        told = ApiRoute(
            method=method,
            path=path,
            summary=summary,
            tag=tag,
            answer=answer,
            body=body,
            query=query,
            verbs=verbs,
            versioned=versioned,
            others=others,
            media=media,
            is_open=is_open,
        )
        setattr(handler, _MARK, (told, *getattr(handler, _MARK, ())))
        return handler

    return mark


def described(*holders: type) -> list[ApiRoute]:
    """Every marked route of some classes, in the order in which they are written."""
    return [told for holder in holders for handler in vars(holder).values() for told in getattr(handler, _MARK, ())]


def bound(holder: object) -> list[tuple[ApiRoute, Handler]]:
    """The routes of one object with its handlers."""
    return [
        (told, getattr(holder, name))
        for name, handler in vars(type(holder)).items()
        for told in getattr(handler, _MARK, ())
    ]
