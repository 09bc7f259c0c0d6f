"""Syncs and runs in the admin API: `/api/syncs…`, `/api/runs…`. A sync's id has slashes, so it stands whole in the path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

Shown = dict[str, object]
Handler = Callable[[Request], Awaitable[Response]]

BODY_BYTES_MAX = 64 * 1024
PAGE_MAX = 1000

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


class Orders(Protocol):
    """What can be asked of syncs and ordered of them, as the service hands it over. Names are sync ids."""

    async def list_syncs(self) -> list[Shown]:
        """All of them."""

    async def show_sync(self, name: str) -> Shown:
        """One."""

    async def list_runs(self, name: str = "", *, before_id: int = 0, limit: int = 100) -> list[Shown]:
        """Runs, newest first."""

    async def show_run(self, run: int) -> Shown:
        """One run."""

    async def run_log(self, run: int, *, after: int = 0, limit: int = 1000) -> list[Shown]:
        """The sync log of one run."""

    async def diff_runs(self, older: int, newer: int) -> Shown:
        """What changed between two runs."""

    async def plan(self, name: str, *, kind: str = "", reveal: bool = False) -> Shown:
        """What the next run would do."""

    async def run(self, name: str, *, kind: str = "", while_paused: bool = False, trigger: str = "manual") -> Shown:
        """Queue a run."""

    async def pause(self, name: str, *, now: bool = False) -> Shown:
        """No more scheduled runs."""

    async def resume(self, name: str, *, run: bool = False) -> Shown:
        """Go on."""

    async def cancel(self, run: int) -> Shown:
        """Stop a run."""

    async def approve(self, run: int, *, by: str) -> Shown:
        """Let a held run go."""

    async def reject(self, run: int) -> Shown:
        """End a held run."""

    async def clear(self, name: str) -> Shown:
        """Take everybody off the list."""

    async def delete(self, name: str, *, clear: bool = False) -> Shown:
        """End a sync."""

    async def undelete(self, name: str) -> Shown:
        """Bring it back."""

    async def retry(self, name: str) -> Shown:
        """Try again what is quarantined, backing off or given up."""

    async def resolve(self, name: str, *, listed: bool) -> Shown:
        """Say of unsure members whether they are listed."""

    async def reset(self, name: str) -> Shown:
        """Forget what the platform holds."""


class SyncOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may go with an order; each order reads its own members.

    kind: of a run or plan ("resend", "diff"). forget_removals: said before a reset, since who left can not be removed then.
    """

    kind: str = ""
    while_paused: bool = False
    now: bool = False
    run: bool = False
    clear: bool = False
    listed: bool = False
    forget_removals: bool = False
    reveal: bool = False
    by: str = ""


class SyncRoutes:
    """The handlers; the API adds the token and turns errors into answers."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def routes(self) -> list[tuple[str, str, Handler]]:
        """(method, path, handler). Orders of a sync come last in the path, after a colon."""
        return [
            ("GET", "/api/syncs", self._list),
            ("GET", "/api/syncs/{name:path}/runs", self._runs_of),
            ("POST", "/api/syncs/{name:path}:{verb:str}", self._order),
            ("GET", "/api/syncs/{name:path}", self._show),
            ("GET", "/api/runs", self._runs),
            ("GET", "/api/runs/{run:int}", self._run),
            ("GET", "/api/runs/{run:int}/log", self._log),
            ("GET", "/api/runs/{run:int}/since/{older:int}", self._since),
            ("POST", "/api/runs/{run:int}:{verb:str}", self._run_order),
        ]

    async def _list(self, _: Request) -> Response:
        return _answer({"syncs": await self._orders.list_syncs()})

    async def _show(self, request: Request) -> Response:
        return _answer(await self._orders.show_sync(str(request.path_params["name"])))

    async def _runs_of(self, request: Request) -> Response:
        return await self._runs(request, str(request.path_params["name"]))

    async def _runs(self, request: Request, name: str = "") -> Response:
        limit, before = _number(request, "limit", 100, PAGE_MAX), _number(request, "before", 0, 2**62)
        runs = await self._orders.list_runs(name or request.query_params.get("sync", ""), before_id=before, limit=limit)
        return _answer({"runs": runs, "next": runs[-1]["id"] if len(runs) == limit else None})

    async def _run(self, request: Request) -> Response:
        return _answer(await self._orders.show_run(int(request.path_params["run"])))

    async def _since(self, request: Request) -> Response:
        return _answer(await self._orders.diff_runs(int(request.path_params["older"]), int(request.path_params["run"])))

    async def _log(self, request: Request) -> Response:
        limit, after = _number(request, "limit", PAGE_MAX, PAGE_MAX), _number(request, "after", 0, 2**62)
        lines = await self._orders.run_log(int(request.path_params["run"]), after=after, limit=limit)
        return _answer({"lines": lines, "next": lines[-1]["seq"] if len(lines) == limit else None})

    async def _order(self, request: Request) -> Response:
        name, verb = str(request.path_params["name"]), str(request.path_params["verb"])
        given = await _body(request)
        orders = self._orders
        match verb:
            case "plan":
                shown = await orders.plan(name, kind=given.kind, reveal=given.reveal)
            case "run":
                shown = await orders.run(name, kind=given.kind, while_paused=given.while_paused, trigger="api")
            case "pause":
                shown = await orders.pause(name, now=given.now)
            case "resume":
                shown = await orders.resume(name, run=given.run)
            case "clear":
                shown = await orders.clear(name)
            case "delete":
                shown = await orders.delete(name, clear=given.clear)
            case "undelete":
                shown = await orders.undelete(name)
            case "retry":
                shown = await orders.retry(name)
            case "resolve":
                shown = await orders.resolve(name, listed=given.listed)
            case "reset" if given.forget_removals:
                shown = await orders.reset(name)
            case "reset":
                return _answer(
                    {
                        "success": False,
                        "code": "not_confirmed",
                        "message": "Say `forget_removals`: who left cannot be removed then.",
                    },
                    400,
                )
            case _:
                return _answer(
                    {"success": False, "code": "unknown_verb", "message": f"There is no order `{verb}`."}, 404
                )
        return _answer(shown)

    async def _run_order(self, request: Request) -> Response:
        run, verb = int(request.path_params["run"]), str(request.path_params["verb"])
        given = await _body(request)
        match verb:
            case "cancel":
                shown = await self._orders.cancel(run)
            case "approve":
                shown = await self._orders.approve(run, by=given.by)
            case "reject":
                shown = await self._orders.reject(run)
            case _:
                return _answer(
                    {"success": False, "code": "unknown_verb", "message": f"There is no order `{verb}`."}, 404
                )
        return _answer(shown)


class BadRequestError(Exception):
    """What was given cannot be read; the text says why."""


def _answer(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status_code=status, media_type="application/json")


async def _body(request: Request) -> SyncOrder:
    data = await request.body()
    if len(data) > BODY_BYTES_MAX:
        raise BadRequestError(f"The body is larger than {BODY_BYTES_MAX} bytes.")
    try:
        return msgspec.json.decode(data or b"{}", type=SyncOrder)
    except msgspec.DecodeError as error:
        raise BadRequestError(str(error)) from error


def _number(request: Request, name: str, default: int, largest: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= largest:
        raise BadRequestError(f"`{name}` must be a whole number from 0 to {largest}.")
    return int(text)
