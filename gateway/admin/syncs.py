"""Syncs in the admin API: `/api/syncs…`. A sync's id has slashes, so it stands whole in the path; orders follow a colon."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, get_args

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.admin import answers, order_answers
from gateway.admin.operations import Changed
from gateway.admin.reading import (
    NUMBER_MAX,
    PAGE_MAX,
    BadRequestError,
    answer,
    choice,
    cursor,
    flag,
    number,
    order_of,
    pair,
)
from gateway.admin.routing import Query, route
from gateway.admin.sync_orders import (
    DeleteOrder,
    NoOrder,
    Orders,
    PauseOrder,
    PlanOrder,
    ResetOrder,
    ResolveOrder,
    ResumeOrder,
    RunOrder,
)

__all__ = ["BadRequestError", "SyncRoutes"]

LIMIT = Query("limit", f"Lines of a page, up to {PAGE_MAX}.", int)
AFTER = Query("after", "The `next` of the page before.", int)
BEFORE = Query("before", "The `next` of the page before.", int)
REVEAL = Query("reveal", "Personal values in clear.", bool)
Form = Literal["ndjson", "csv"]
FORMATS: tuple[Form, ...] = get_args(Form)
FORMAT = Query("format", "A whole file instead of a page.", Form)
MEDIA = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
FILES = ("application/json", "application/x-ndjson", "text/csv")

UNKNOWN = (404, "There is no such sync.")
NOT_NOW = (409, "Not as it stands now; the message says why, and what to do first.")
_SYNC = "/api/syncs/{name:path}"
_FIRST_LINE = -(2**63)


class SyncRoutes:
    """The handlers; the API adds the token and turns errors into answers."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    @route("GET", "/api/alerts", "Alerts that stand, of all syncs.", tag="syncs", answer=answers.AlertList)
    async def alerts(self, _: Request) -> Response:
        """What people were told of, and what is not over yet."""
        return answer({"alerts": await self._orders.list_alerts()})

    @route(
        "GET", "/api/syncs", "All syncs, by number.", tag="syncs", answer=answers.SyncList,
        query=(AFTER, LIMIT, Query("deleted", "Deleted ones, too.", bool)),
    )  # fmt: skip
    async def list_(self, request: Request) -> Response:
        """A page of syncs."""
        limit = number(request, "limit", PAGE_MAX, PAGE_MAX, smallest=1)
        syncs = await self._orders.list_syncs(
            deleted=flag(request, "deleted"), after=number(request, "after", 0), limit=limit
        )
        return answer({"syncs": syncs, "next": syncs[-1]["id"] if len(syncs) == limit else None})

    @route(
        "GET", f"{_SYNC}/runs", "Runs of a sync, newest first.", tag="syncs", answer=answers.RunList, query=(BEFORE, LIMIT),
        others=(UNKNOWN,),
    )  # fmt: skip
    async def runs(self, request: Request) -> Response:
        """A page of runs."""
        limit, before = number(request, "limit", 100, PAGE_MAX, smallest=1), number(request, "before", 0)
        runs = await self._orders.list_runs(_name(request), before_id=before, limit=limit)
        return answer({"runs": runs, "next": runs[-1]["id"] if len(runs) == limit else None})

    @route(
        "GET", f"{_SYNC}/log", "A sync's log by time: a page, or a whole file.", tag="syncs", answer=answers.FlatPage,
        query=(
            Query("since", "First moment, ISO 8601; UTC unless it says otherwise."), Query("until", "End, not included."),
            Query("after", "The `next` of the page before."), LIMIT, FORMAT,
        ),
        others=(UNKNOWN,), media=FILES,
    )  # fmt: skip
    async def log(self, request: Request) -> Response:
        """A page of lines, or all of them as a file."""
        name, since_us, until_us = _name(request), moment(request, "since", 0), moment(request, "until", NUMBER_MAX)
        form = form_of(request)
        if form is not None:
            await self._orders.show_sync(name)  # so that an unknown one is told before the file begins
            pieces = self._orders.exported_sync(name, form, since_us=since_us, until_us=until_us)
            return StreamingResponse(pieces, media_type=MEDIA[form])
        limit, after = number(request, "limit", PAGE_MAX, PAGE_MAX, smallest=1), pair(request, "after", (0, 0))
        lines, place = await self._orders.sync_log(name, since_us=since_us, until_us=until_us, after=after, limit=limit)
        return answer({"lines": lines, "next": cursor(place)})

    @route(
        "GET", f"{_SYNC}/problems", "Members of a sync with whom something is wrong.", tag="syncs",
        answer=answers.ProblemPage, query=(Query("after", "The `next` of the page before."), LIMIT), others=(UNKNOWN,),
    )  # fmt: skip
    async def problems(self, request: Request) -> Response:
        """A page of members."""
        limit = number(request, "limit", 100, PAGE_MAX, smallest=1)
        after = pair(request, "after", (0, _FIRST_LINE))
        found, place = await self._orders.problems(_name(request), after=after, limit=limit)
        return answer({"problems": found, "next": cursor(place)})

    @route(
        "GET", f"{_SYNC}/members/{{key:path}}", "Why a person is on the list, or is not.", tag="syncs",
        answer=answers.MemberPage, query=(REVEAL,), others=(UNKNOWN,),
    )  # fmt: skip
    async def member(self, request: Request) -> Response:
        """One person, by canonical id."""
        key = str(request.path_params["key"])
        return answer(await self._orders.explain(_name(request), key, reveal=flag(request, "reveal")))

    @route("GET", _SYNC, "One sync.", tag="syncs", answer=answers.SyncPage, versioned=True, others=(UNKNOWN,))
    async def show(self, request: Request) -> Response:
        """One sync, with its version."""
        shown = await self._orders.show_sync(_name(request))
        return answer(shown, version=shown["version"])

    # orders --------------------------------------------------------------------------------------------------------
    @route(
        "POST", f"{_SYNC}:plan", "What the next run would do; nothing is sent.", tag="syncs", answer=order_answers.PlanPage,
        body=PlanOrder, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def plan(self, request: Request) -> Response:
        """A plan."""
        given = await order_of(request, PlanOrder)
        return answer(await self._orders.plan(_name(request), kind=given.kind, reveal=given.reveal))

    @route(
        "POST", f"{_SYNC}:run", "A run now; with `wait`, its page once it has ended.", tag="syncs",
        answer=(answers.RunLine, answers.RunPage), body=RunOrder, versioned=True,
        others=((202, "It has not ended yet; this is where it stands."), UNKNOWN, NOT_NOW),
    )  # fmt: skip
    @route(
        "POST", f"{_SYNC}:trigger", "The same as `:run`.", tag="syncs", answer=(answers.RunLine, answers.RunPage),
        body=RunOrder, versioned=True, others=((202, "It has not ended yet; this is where it stands."), UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def run(self, request: Request) -> Response:
        """Queue a run, and wait for it where that is asked for."""
        given = await order_of(request, RunOrder)
        queued = await self._ordered(request).run(
            _name(request), kind=given.kind, while_paused=given.while_paused, trigger=given.trigger
        )
        if not given.wait:
            return answer(queued)
        shown, has_ended = await self._orders.wait(int(str(queued["id"])), seconds=given.wait)
        return answer(shown, 200 if has_ended else 202, version=shown["version"])

    @route(
        "POST", f"{_SYNC}:pause", "No more scheduled runs.", tag="syncs", answer=order_answers.SyncStanding, body=PauseOrder,
        versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def pause(self, request: Request) -> Response:
        """Pause."""
        given = await order_of(request, PauseOrder)
        return answer(await self._ordered(request).pause(_name(request), now=given.now))

    @route(
        "POST", f"{_SYNC}:resume", "Go on with the next tick.", tag="syncs", answer=order_answers.SyncStanding, body=ResumeOrder,
        versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def resume(self, request: Request) -> Response:
        """Resume."""
        given = await order_of(request, ResumeOrder)
        return answer(await self._ordered(request).resume(_name(request), run=given.run))

    @route(
        "POST", f"{_SYNC}:clear", "Take everybody off the list.", tag="syncs", answer=answers.RunLine, body=NoOrder,
        versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def clear(self, request: Request) -> Response:
        """Clear."""
        await order_of(request, NoOrder)
        return answer(await self._ordered(request).clear(_name(request)))

    @route(
        "POST", f"{_SYNC}:delete", "End a sync; members stay listed unless `clear`.", tag="syncs",
        answer=(order_answers.SyncStanding, answers.RunLine), body=DeleteOrder, versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def delete(self, request: Request) -> Response:
        """Delete."""
        given = await order_of(request, DeleteOrder)
        return answer(await self._ordered(request).delete(_name(request), clear=given.clear))

    @route(
        "POST", f"{_SYNC}:undelete", "Bring a deleted sync back.", tag="syncs", answer=order_answers.SyncStanding, body=NoOrder,
        versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def undelete(self, request: Request) -> Response:
        """Undelete."""
        await order_of(request, NoOrder)
        return answer(await self._ordered(request).undelete(_name(request)))

    @route(
        "POST", f"{_SYNC}/problems:retry", "Try again with the next run what is quarantined, backing off or given up.",
        tag="syncs", answer=Changed, body=NoOrder, versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    @route(
        "POST", f"{_SYNC}:retry", "The same as `/problems:retry`.", tag="syncs", answer=Changed, body=NoOrder,
        versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def retry(self, request: Request) -> Response:
        """Retry."""
        await order_of(request, NoOrder)
        return answer(await self._ordered(request).retry(_name(request)))

    @route(
        "POST", f"{_SYNC}/problems:resolve", "Say of unsure members whether they are on the list.", tag="syncs",
        answer=Changed, body=ResolveOrder, versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    @route(
        "POST", f"{_SYNC}:resolve", "The same as `/problems:resolve`.", tag="syncs", answer=Changed, body=ResolveOrder,
        versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def resolve(self, request: Request) -> Response:
        """Resolve."""
        given = await order_of(request, ResolveOrder)
        return answer(await self._ordered(request).resolve(_name(request), listed=given.listed))

    @route(
        "POST", f"{_SYNC}:reset", "Forget what the platform holds; `forget_removals` has to be said.", tag="syncs",
        answer=Changed, body=ResetOrder, versioned=True, others=(UNKNOWN, NOT_NOW),
    )  # fmt: skip
    async def reset(self, request: Request) -> Response:
        """Reset."""
        given = await order_of(request, ResetOrder)
        if not given.forget_removals:
            raise BadRequestError("Say `forget_removals`: who left can not be removed then.")
        return answer(await self._ordered(request).reset(_name(request)))

    def _ordered(self, request: Request) -> Orders:
        return self._orders.expecting(request.headers.get("if-match", ""))


def _name(request: Request) -> str:
    return str(request.path_params["name"])


def form_of(request: Request) -> Form | None:
    """The format of a file that was asked for; None for a page. Raises BadRequestError."""
    return choice(request, "format", FORMATS) or None


def moment(request: Request, name: str, default: int) -> int:
    """A moment of the query in Unix microseconds. Raises BadRequestError."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequestError(f"`{name}` must be a time such as 2026-11-22T10:30:00Z.") from error
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)
