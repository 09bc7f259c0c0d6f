"""Runs, snapshots and the members of audiences in the admin API: `/api/runs…`, `/api/snapshots`, `/api/audiences/…`."""

from __future__ import annotations

from typing import get_args

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.admin import answers, order_answers
from gateway.admin.reading import NUMBER_MAX, PAGE_MAX, answer, choice, flag, number, order_of
from gateway.admin.routing import Query, route
from gateway.admin.sync_orders import ApproveOrder, NoOrder, Orders
from gateway.admin.syncs import AFTER, BEFORE, FILES, FORMAT, LIMIT, MEDIA, NOT_NOW, REVEAL, form_of

LINE_STATUSES: tuple[str, ...] = get_args(answers.LineStatus)
UNKNOWN = (404, "There is no such run.")
_RUN = "/api/runs/{run:int}"


class RunRoutes:
    """The handlers; the API adds the token and turns errors into answers."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    @route(
        "GET", "/api/runs", "Runs, newest first.", tag="runs", answer=answers.RunList,
        query=(Query("sync", "Only of this sync, by its id."), BEFORE, LIMIT), others=((404, "There is no such sync."),),
    )  # fmt: skip
    async def list_(self, request: Request) -> Response:
        """A page of runs."""
        limit, before = number(request, "limit", 100, PAGE_MAX, smallest=1), number(request, "before", 0)
        runs = await self._orders.list_runs(request.query_params.get("sync", ""), before_id=before, limit=limit)
        return answer({"runs": runs, "next": runs[-1]["id"] if len(runs) == limit else None})

    @route("GET", _RUN, "One run.", tag="runs", answer=answers.RunPage, versioned=True, others=(UNKNOWN,))
    async def show(self, request: Request) -> Response:
        """One run, with its version."""
        shown = await self._orders.show_run(_run(request))
        return answer(shown, version=shown["version"])

    @route(
        "GET", f"{_RUN}/progress", "How far a run is, in few words: to be asked again and again.", tag="runs",
        answer=answers.RunProgress, others=(UNKNOWN,),
    )  # fmt: skip
    async def progress(self, request: Request) -> Response:
        """A run's line and how long the rest takes."""
        return answer(await self._orders.run_progress(_run(request)))

    @route(
        "GET", f"{_RUN}/log", "The sync log of a run: a page, or a whole file.", tag="runs", answer=answers.LogPage,
        query=(AFTER, LIMIT, Query("status", "Only lines that ended so.", answers.LineStatus), FORMAT),
        others=(UNKNOWN,), media=FILES,
    )  # fmt: skip
    async def log(self, request: Request) -> Response:
        """A page of lines, or all of them as a file."""
        run, form, status = _run(request), form_of(request), choice(request, "status", LINE_STATUSES)
        if form is not None:
            await self._orders.run_progress(run)  # so that an unknown one is told before the file begins
            whole = self._orders.exported_run(run, form, status=status)
            return StreamingResponse(whole, media_type=MEDIA[form])
        limit, after = number(request, "limit", PAGE_MAX, PAGE_MAX, smallest=1), number(request, "after", 0)
        lines = await self._orders.run_log(run, after=after, limit=limit, status=status)
        return answer({"lines": lines, "next": lines[-1]["seq"] if len(lines) == limit else None})

    @route(
        "GET", f"{_RUN}/since/{{older:int}}", "Who came on the list, went and changed between two runs.", tag="runs",
        answer=order_answers.RunsDiffer,
        others=((400, "They are of different syncs."), (404, "Of one of them no snapshot is kept.")),
    )  # fmt: skip
    async def since(self, request: Request) -> Response:
        """Two snapshots compared."""
        return answer(await self._orders.diff_runs(_number(request, "older"), _run(request)))

    @route(
        "POST", f"{_RUN}:cancel", "Stop a run; what is not sent is planned again by the next.", tag="runs",
        answer=answers.RunLine, body=NoOrder, versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def cancel(self, request: Request) -> Response:
        """Cancel."""
        await order_of(request, NoOrder)
        return answer(await self._ordered(request).cancel(_run(request)))

    @route(
        "POST", f"{_RUN}:approve", "Let a held run go.", tag="runs", answer=answers.RunLine, body=ApproveOrder,
        versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def approve(self, request: Request) -> Response:
        """Approve."""
        given = await order_of(request, ApproveOrder)
        return answer(await self._ordered(request).approve(_run(request), by=given.by))

    @route(
        "POST", f"{_RUN}:reject", "End a held run.", tag="runs", answer=answers.RunLine, body=NoOrder, versioned=True,
        others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def reject(self, request: Request) -> Response:
        """Reject."""
        await order_of(request, NoOrder)
        return answer(await self._ordered(request).reject(_run(request)))

    @route(
        "POST", f"{_RUN}:restore-state", "Make unsure what is not as the run's snapshot has it; nothing is sent.",
        tag="runs", answer=order_answers.Restored, body=NoOrder, others=((404, "No such run, or no snapshot of it."), NOT_NOW),
    )  # fmt: skip
    async def restore_state(self, request: Request) -> Response:
        """Restore."""
        await order_of(request, NoOrder)
        return answer(await self._orders.restore_state(_run(request)))

    @route(
        "GET", "/api/snapshots", "Kept snapshots, newest run first.", tag="runs", answer=answers.SnapshotList,
        query=(Query("sync", "Only of this sync, by its id."), BEFORE, LIMIT), others=((404, "There is no such sync."),),
    )  # fmt: skip
    async def snapshots(self, request: Request) -> Response:
        """A page of snapshots."""
        limit, before = number(request, "limit", 100, PAGE_MAX, smallest=1), number(request, "before", 0)
        name = request.query_params.get("sync", "")
        found = await self._orders.snapshots(name, before_run=before, limit=limit)
        return answer({"snapshots": found, "next": found[-1]["run"] if len(found) == limit else None})

    @route(
        "GET", "/api/audiences/{audience:int}/members", "Who is in an audience.", tag="audiences",
        answer=answers.AudienceMembers, query=(AFTER, LIMIT, REVEAL), others=((404, "There is no such audience."),),
    )  # fmt: skip
    async def members(self, request: Request) -> Response:
        """A page of members."""
        limit = number(request, "limit", 100, PAGE_MAX, smallest=1)
        found, place = await self._orders.audience_members(
            _number(request, "audience"), after=number(request, "after", 0), limit=limit,
            reveal=flag(request, "reveal"),
        )  # fmt: skip
        return answer({"members": found, "next": place})

    def _ordered(self, request: Request) -> Orders:
        return self._orders.expecting(request.headers.get("if-match", ""))


def _run(request: Request) -> int:
    return _number(request, "run")


def _number(request: Request, name: str) -> int:
    """A number of the path; one that no row can have is as good as any other such."""
    return min(int(request.path_params[name]), NUMBER_MAX)
