"""`/api/*` of the admin port: bearer token, JSON in and out, cursor paging, errors with a code and a sentence."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.operations import DeadFilter, Operations, ReplayOrder
from gateway.admin.shown import shown_attempt, shown_audience, shown_delivery
from gateway.admin.syncs import BadRequestError, Orders, SyncRoutes
from gateway.core.errors import OrderError, StoreError
from gateway.observe import metrics
from gateway.store.api import StateStore

BODY_BYTES_MAX = 1024 * 1024
PAGE_MAX = 1000
ID_MAX = 2**62
DIGITS_MAX = 19

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_delivery_states = ("due", "claimed", "dead")


class ApiError(Exception):
    """An answer other than 200. code: stable word; message: what, and how to mend it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(message)


def _answer(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status_code=status, media_type="application/json")


def _problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    body = {"success": False, "code": code, "message": message}
    return Response(_encode(body), status_code=status, media_type="application/json", headers=headers)


class AdminApi:
    """Builds the admin app for one engine."""

    def __init__(self, *, token: str, state: StateStore, operations: Operations, orders: Orders | None = None) -> None:
        """token: what a bearer must show. orders: of syncs and runs, where there are any."""
        self._token = token.encode()
        self._state = state
        self._operations = operations
        self._syncs = SyncRoutes(orders).routes() if orders is not None else []

    def app(self) -> Starlette:
        """The ASGI app of the admin port."""
        guarded: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/api/status", self._status),
            ("GET", "/api/lanes", self._lanes),
            ("POST", "/api/lanes/{lane:path}/pause", self._pause),
            ("POST", "/api/lanes/{lane:path}/resume", self._resume),
            ("POST", "/api/lanes/{lane:path}/probe", self._probe),
            ("GET", "/api/deliveries", self._deliveries),
            ("GET", "/api/deliveries/{id:int}", self._delivery),
            ("GET", "/api/attempts", self._attempts),
            ("GET", "/api/audiences", self._audiences),
            ("POST", "/api/dead/retry", self._retry),
            ("POST", "/api/dead/drop", self._drop),
            ("POST", "/api/replays", self._replay),
            ("POST", "/api/reload", self._reload),
            *self._syncs,
        ]
        routes = [Route(path, self._guard(handler), methods=[method]) for method, path, handler in guarded]
        routes += [
            Route("/healthz", self._alive, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]
        app = Starlette(routes=routes)
        app.router.redirect_slashes = False
        return app

    def _guard(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "")
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                return _problem(
                    401,
                    "unauthorized",
                    "This needs `Authorization: Bearer <admin token>`; the token is GATEWAY_ADMIN_TOKEN, "
                    "or stands in admin.key of the data folder.",
                    {"WWW-Authenticate": "Bearer"},
                )
            try:
                return await handler(request)
            except ApiError as error:
                return _problem(error.status, error.code, error.message)
            except OrderError as error:
                return _problem(error.status, error.code, str(error))
            except BadRequestError as error:
                return _problem(400, "invalid_request", str(error))
            except StoreError as error:
                return _problem(503, "storage_unavailable", str(error), {"Retry-After": str(error.retry_after_s)})

        return guarded

    # what is asked -------------------------------------------------------------------------------------------------
    async def _status(self, _: Request) -> Response:
        return _answer(await self._operations.status())

    async def _lanes(self, _: Request) -> Response:
        return _answer({"lanes": await self._operations.lanes()})

    async def _deliveries(self, request: Request) -> Response:
        query = request.query_params
        state = query.get("state", "")
        if state and state not in _delivery_states:
            raise ApiError(400, "invalid_state", f"`state` must be one of {', '.join(_delivery_states)}.")
        limit, after = _number(query, "limit", 100, PAGE_MAX, smallest=1), _number(query, "after", 0, ID_MAX)
        rows = await self._state.read(
            lambda view: view.deliveries(
                lane=query.get("lane", ""), mapping=query.get("mapping", ""), state=state, after_id=after, limit=limit
            )
        )
        return _answer(
            {"deliveries": [shown_delivery(row) for row in rows], "next": rows[-1].id if len(rows) == limit else None}
        )

    async def _delivery(self, request: Request) -> Response:
        wanted = min(int(request.path_params["id"]), ID_MAX)
        row = await self._state.read(lambda view: view.delivery(wanted))
        attempts = await self._state.read(lambda view: view.attempts(delivery_id=wanted, limit=PAGE_MAX))
        if row is None and not attempts:
            raise ApiError(404, "unknown_delivery", f"There is no delivery {wanted}, and no attempt of it is kept.")
        return _answer(
            {"delivery": shown_delivery(row) if row else None, "attempts": [shown_attempt(one) for one in attempts]}
        )

    async def _attempts(self, request: Request) -> Response:
        query = request.query_params
        limit, before = _number(query, "limit", 100, PAGE_MAX, smallest=1), _number(query, "before", 0, ID_MAX)
        rows = await self._state.read(
            lambda view: view.attempts(lane=query.get("lane", ""), before_id=before, limit=limit)
        )
        return _answer(
            {"attempts": [shown_attempt(one) for one in rows], "next": rows[-1].id if len(rows) == limit else None}
        )

    async def _audiences(self, _: Request) -> Response:
        rows = await self._state.read(lambda view: view.audiences())
        return _answer({"audiences": [shown_audience(row) for row in rows]})

    # what is ordered -----------------------------------------------------------------------------------------------
    async def _pause(self, request: Request) -> Response:
        return await self._set_paused(request, paused=True)

    async def _resume(self, request: Request) -> Response:
        return await self._set_paused(request, paused=False)

    async def _set_paused(self, request: Request, *, paused: bool) -> Response:
        lane = str(request.path_params["lane"])
        if not await self._operations.set_paused(lane, paused=paused):
            raise _no_lane(lane)
        return await self._one_lane(lane)

    async def _probe(self, request: Request) -> Response:
        lane = str(request.path_params["lane"])
        if not await self._operations.probe(lane):
            raise _no_lane(lane)
        return await self._one_lane(lane)

    async def _one_lane(self, lane: str) -> Response:
        return _answer(next(one for one in await self._operations.lanes() if one.lane == lane))

    async def _retry(self, request: Request) -> Response:
        return _answer(await self._operations.retry_dead(await self._dead_filter(request)))

    async def _drop(self, request: Request) -> Response:
        return _answer(await self._operations.drop_dead(await self._dead_filter(request)))

    async def _dead_filter(self, request: Request) -> DeadFilter:
        chosen = await _body(request, DeadFilter)
        if chosen.is_empty:
            raise ApiError(
                400, "no_filter", "Say which dead deliveries are meant: `lane`, `mapping`, `ids` or `reason`."
            )
        return chosen

    async def _replay(self, request: Request) -> Response:
        return _answer(await self._operations.replay(await _body(request, ReplayOrder)))

    async def _reload(self, _: Request) -> Response:
        return _answer({"problems": await self._operations.reload()})

    # health --------------------------------------------------------------------------------------------------------
    async def _alive(self, _: Request) -> Response:
        return _answer({"status": "alive"})

    async def _ready(self, _: Request) -> Response:
        status = await self._operations.status()
        shown = {
            "status": "ready" if status.ready else "not_ready",
            "rulebook": status.rulebook,
            "problems": status.problems,
        }
        return _answer(shown, 200 if status.ready else 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


def _no_lane(lane: str) -> ApiError:
    return ApiError(404, "unknown_lane", f"No configured destination is called `{lane}`; `gateway lanes` lists them.")


async def _body(request: Request, wanted: type[T]) -> T:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > BODY_BYTES_MAX:
            raise ApiError(400, "payload_too_large", f"The body is larger than {BODY_BYTES_MAX} bytes.")
    try:
        return msgspec.json.decode(bytes(data) or b"{}", type=wanted)
    except msgspec.DecodeError as error:
        raise ApiError(400, "invalid_body", str(error)) from error


def _number(query: Any, name: str, default: int, largest: int, *, smallest: int = 0) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS_MAX or not smallest <= int(text) <= largest:
        raise ApiError(400, "invalid_number", f"`{name}` must be a whole number from {smallest} to {largest}.")
    return int(text)
