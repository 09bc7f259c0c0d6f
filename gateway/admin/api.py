"""`/api/*` of the admin port: bearer token, JSON in and out, cursor paging, errors with a code and a sentence."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Final, Literal

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.answers import AudienceList
from gateway.admin.destinations import DestinationOrders, DestinationRoutes
from gateway.admin.openapi import document
from gateway.admin.operations import Changed, DeadFilter, LaneShown, Operations, ReplayOrder, ReplayResult, Status
from gateway.admin.people import PeopleOrders, PeopleRoutes
from gateway.admin.reading import NUMBER_MAX, PAGE_MAX, BadRequestError, answer, choice, number, order_of
from gateway.admin.routing import ApiRoute, Handler, Query, bound, described, route
from gateway.admin.runs import RunRoutes
from gateway.admin.shown import (
    Attempts,
    Deliveries,
    DeliveryFound,
    Lanes,
    Problems,
    shown_attempt,
    shown_audience,
    shown_delivery,
)
from gateway.admin.sync_orders import Orders
from gateway.admin.syncs import SyncRoutes
from gateway.core.errors import OrderError, StoreError
from gateway.observe import metrics
from gateway.store.api import StateStore

BODY_BYTES_MAX: Final = 1024 * 1024

LIMIT = Query("limit", f"Lines of a page, up to {PAGE_MAX}.", int)
NO_LANE = ((404, "No configured destination is called so."),)

DELIVERY_STATES: Final = ("due", "claimed", "dead")


def _problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    said = answer({"success": False, "code": code, "message": message}, status)
    said.headers.update(headers or {})
    return said


class AdminApi:
    """Builds the admin app for one engine."""

    def __init__(
        self,
        *,
        token: str,
        state: StateStore,
        operations: Operations,
        orders: Orders | None = None,
        destinations: DestinationOrders | None = None,
        people: PeopleOrders | None = None,
    ) -> None:
        """token: what a bearer must show. orders: of syncs and runs, where there are any; destinations, people: of theirs."""
        self._token = token.encode()
        self._state = state
        self._operations = operations
        self._routes = bound(self)
        if orders is not None:
            self._routes += [*bound(SyncRoutes(orders)), *bound(RunRoutes(orders))]
        if destinations is not None:
            self._routes += bound(DestinationRoutes(destinations))
        if people is not None:
            self._routes += bound(PeopleRoutes(people))

    def app(self) -> Starlette:
        """The ASGI app of the admin port."""
        routes = [
            Route(told.path, handler if told.is_open else self._guard(handler), methods=[told.method])
            for told, handler in self._routes
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _not_there})
        app.router.redirect_slashes = False
        return app

    def _guard(self, handler: Handler) -> Handler:
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
            except OrderError as error:
                return _problem(error.status, error.code, str(error))
            except BadRequestError as error:
                return _problem(400, "invalid_request", str(error))
            except StoreError as error:
                return _problem(503, "storage_unavailable", str(error), {"Retry-After": str(error.retry_after_s)})

        return guarded

    # what is asked -------------------------------------------------------------------------------------------------
    @route("GET", "/api/status", "How the engine stands.", tag="engine", answer=Status)
    async def _status(self, _: Request) -> Response:
        return answer(await self._operations.status())

    @route("GET", "/api/lanes", "Every lane, configured or with a backlog, by name.", tag="deliveries", answer=Lanes)
    async def _lanes(self, _: Request) -> Response:
        return answer({"lanes": await self._operations.lanes()})

    @route(
        "GET", "/api/deliveries", "What is owed, and what died, by id.", tag="deliveries", answer=Deliveries,
        query=(
            Query("lane", "Only of this destination."), Query("mapping", "Only of this mapping, `file/mapping`."),
            Query("state", "Only in this state.", Literal["due", "claimed", "dead"]),
            Query("after", "The `next` of the page before.", int), LIMIT,
        ),
    )  # fmt: skip
    async def _deliveries(self, request: Request) -> Response:
        query = request.query_params
        state = choice(request, "state", DELIVERY_STATES)
        limit, after = number(request, "limit", 100, PAGE_MAX, smallest=1), number(request, "after", 0)
        rows = await self._state.read(
            lambda view: view.deliveries(
                lane=query.get("lane", ""), mapping=query.get("mapping", ""), state=state, after_id=after, limit=limit
            )
        )
        return answer(
            {"deliveries": [shown_delivery(row) for row in rows], "next": rows[-1].id if len(rows) == limit else None}
        )

    @route(
        "GET", "/api/deliveries/{id:int}", "One delivery and its attempts.", tag="deliveries", answer=DeliveryFound,
        others=((404, "There is no such delivery."),),
    )  # fmt: skip
    async def _delivery(self, request: Request) -> Response:
        wanted = min(int(request.path_params["id"]), NUMBER_MAX)
        row = await self._state.read(lambda view: view.delivery(wanted))
        attempts = await self._state.read(lambda view: view.attempts_of(wanted, limit=PAGE_MAX))
        if row is None and not attempts:
            raise OrderError(404, "unknown_delivery", f"There is no delivery {wanted}, and no attempt of it is kept.")
        return answer(
            {"delivery": shown_delivery(row) if row else None, "attempts": [shown_attempt(one) for one in attempts]}
        )

    @route(
        "GET", "/api/attempts", "Requests that were made, newest first.", tag="deliveries", answer=Attempts,
        query=(Query("lane", "Only of this destination."), Query("before", "The `next` of the page before.", int), LIMIT),
    )  # fmt: skip
    async def _attempts(self, request: Request) -> Response:
        query = request.query_params
        limit, before = number(request, "limit", 100, PAGE_MAX, smallest=1), number(request, "before", 0)
        rows = await self._state.read(
            lambda view: view.attempts(lane=query.get("lane", ""), before_id=before, limit=limit)
        )
        return answer(
            {"attempts": [shown_attempt(one) for one in rows], "next": rows[-1].id if len(rows) == limit else None}
        )

    @route(
        "GET", "/api/audiences", "All audiences, by number.", tag="audiences", answer=AudienceList,
        query=(Query("after", "The `next` of the page before.", int), LIMIT),
    )  # fmt: skip
    async def _audiences(self, request: Request) -> Response:
        limit, after = number(request, "limit", PAGE_MAX, PAGE_MAX, smallest=1), number(request, "after", 0)
        rows = [row for row in await self._state.read(lambda view: view.audiences()) if row.id > after]
        page = sorted(rows, key=lambda row: row.id)[:limit]
        shown = [shown_audience(row) for row in page]
        return answer({"audiences": shown, "next": page[-1].id if len(rows) > limit else None})

    @route("GET", "/api/openapi.json", "This document.", tag="engine")
    async def _openapi(self, _: Request) -> Response:
        return answer(document(all_routes()))

    # what is ordered -----------------------------------------------------------------------------------------------
    @route(
        "POST",
        "/api/lanes/{lane:path}/pause",
        "Stop sending; the backlog is kept.",
        tag="deliveries",
        answer=LaneShown,
        others=NO_LANE,
    )
    async def _pause(self, request: Request) -> Response:
        return await self._set_paused(request, paused=True)

    @route(
        "POST", "/api/lanes/{lane:path}/resume", "Send again.", tag="deliveries", answer=LaneShown,
        others=NO_LANE,
    )  # fmt: skip
    async def _resume(self, request: Request) -> Response:
        return await self._set_paused(request, paused=False)

    async def _set_paused(self, request: Request, *, paused: bool) -> Response:
        lane = str(request.path_params["lane"])
        if not await self._operations.set_paused(lane, paused=paused):
            raise _no_lane(lane)
        return await self._one_lane(lane)

    @route(
        "POST", "/api/lanes/{lane:path}/probe", "Send one delivery.", tag="deliveries", answer=LaneShown, others=NO_LANE
    )
    async def _probe(self, request: Request) -> Response:
        lane = str(request.path_params["lane"])
        if not await self._operations.probe(lane):
            raise _no_lane(lane)
        return await self._one_lane(lane)

    async def _one_lane(self, lane: str) -> Response:
        return answer(next(one for one in await self._operations.lanes() if one.lane == lane))

    @route(
        "POST", "/api/dead/retry", "Make dead deliveries due again.", tag="deliveries", answer=Changed, body=DeadFilter
    )
    async def _retry(self, request: Request) -> Response:
        return answer(await self._operations.retry_dead(await self._dead_filter(request)))

    @route(
        "POST", "/api/dead/drop", "Delete dead deliveries for good.", tag="deliveries", answer=Changed, body=DeadFilter
    )
    async def _drop(self, request: Request) -> Response:
        return answer(await self._operations.drop_dead(await self._dead_filter(request)))

    async def _dead_filter(self, request: Request) -> DeadFilter:
        chosen = await order_of(request, DeadFilter, BODY_BYTES_MAX)
        if chosen.is_empty:
            raise OrderError(
                400, "no_filter", "Say which dead deliveries are meant: `lane`, `mapping`, `ids` or `reason`."
            )
        return chosen

    @route(
        "POST", "/api/replays", "Route kept events again.", tag="events", answer=ReplayResult, body=ReplayOrder,
        others=((404, "No file and no mapping is called so."),),
    )  # fmt: skip
    async def _replay(self, request: Request) -> Response:
        return answer(await self._operations.replay(await order_of(request, ReplayOrder, BODY_BYTES_MAX)))

    @route("POST", "/api/reload", "Look at mappings/ now.", tag="engine", answer=Problems)
    async def _reload(self, _: Request) -> Response:
        return answer({"problems": await self._operations.reload()})

    # health --------------------------------------------------------------------------------------------------------
    @route("GET", "/healthz", "The process lives.", tag="health", is_open=True)
    async def _alive(self, _: Request) -> Response:
        return answer({"status": "alive"})

    @route(
        "GET", "/readyz", "The store can be used and a rulebook is loaded.", tag="health", is_open=True,
        others=((503, "Not ready."),),
    )  # fmt: skip
    async def _ready(self, _: Request) -> Response:
        status = await self._operations.status()
        shown = {
            "status": "ready" if status.ready else "not_ready",
            "rulebook": status.rulebook,
            "problems": status.problems,
        }
        return answer(shown, 200 if status.ready else 503)

    @route("GET", "/metrics", "Prometheus text.", tag="health", is_open=True, media=("text/plain",))
    async def _metrics(self, _: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


def all_routes() -> list[ApiRoute]:
    """Every route of the admin port, whether or not this engine has something behind it."""
    return described(AdminApi, SyncRoutes, RunRoutes, DestinationRoutes, PeopleRoutes)


async def _not_there(request: Request, error: Exception) -> Response:
    """Paths and methods that nothing answers, in the words of the others."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _problem(
            405, "wrong_method", f"{request.method} is not for this path; GET /api/openapi.json tells what is."
        )
    return _problem(status, "unknown_path", "There is nothing at this path; GET /api/openapi.json lists what there is.")


def _no_lane(lane: str) -> OrderError:
    return OrderError(404, "unknown_lane", f"No configured destination is called `{lane}`; `gateway lanes` lists them.")
