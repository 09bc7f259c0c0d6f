"""The sandbox's own API below `/sandbox/<partner>/`: read a partner's state, wait for it to change, tell it to fail."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Union
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.sandbox.faults import Armed, Fault
from gateway.sandbox.partner import Partner

BODY_BYTES_MAX = 1024 * 1024
WAIT_S_MAX = 60.0
ROWS_MAX = 1_000_000
ROWS_DEFAULT = 10_000
REQUESTS_DEFAULT = 20

_FORM = "application/x-www-form-urlencoded"

Handler = Callable[[Partner, Request], Awaitable[Response]]


class _Refusal(Exception):  # noqa: N818 - it is an answer, told to the client, not a fault of ours
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def control_routes(partners: Mapping[str, Partner]) -> list[Route]:
    """The routes, for all partners."""

    def route(path: str, method: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            partner = partners.get(request.path_params["partner"])
            if partner is None:
                return _json({"error": "There is no partner of this name."}, 404)
            if method != "GET" and request.headers.get("sec-fetch-site") == "cross-site":
                return _json({"error": "Other sites may not change the sandbox."}, 403)
            try:
                return await handler(partner, request)
            except _Refusal as refusal:
                return _json({"error": str(refusal)}, refusal.status)

        return Route(f"/sandbox/{{partner}}/{path}", endpoint, methods=[method])

    return [
        route("state", "GET", _state),
        route("requests", "GET", _requests),
        route("faults", "GET", _faults),
        route("faults", "POST", _add_fault),
        route("faults", "DELETE", _clear_faults),
        route("faults/clear", "POST", _clear_faults),
        route("config", "GET", _configuration),
        route("config", "POST", _configure),
        route("reset", "POST", _reset),
        route("{command}", "POST", _command),
    ]


async def _state(partner: Partner, request: Request) -> Response:
    """The state; with `after_version` only once there is a later version, or after `wait_s` as it is."""
    rows_max = int(_number(request, "limit", ROWS_DEFAULT, most=ROWS_MAX))
    if "after_version" in request.query_params:
        after = _number(request, "after_version", 0, most=float("inf"))
        wait_s = _number(request, "wait_s", 10.0, most=WAIT_S_MAX)
        with contextlib.suppress(TimeoutError):
            await partner.changes.wait_for(lambda: partner.changes.version > after, wait_s)
    with partner.changes.reading():
        return _json(partner.state(rows_max))


async def _requests(partner: Partner, request: Request) -> Response:
    limit = int(_number(request, "limit", REQUESTS_DEFAULT, most=ROWS_MAX))
    with partner.changes.reading():
        described = [partner.describe(logged) for logged in partner.log.latest(limit)]
        return _json({"version": partner.changes.version, "requests": described})


async def _faults(partner: Partner, request: Request) -> Response:  # noqa: ARG001 - a handler like the others
    return _json({"faults": [_shown(armed) for armed in partner.faults.armed]})


async def _add_fault(partner: Partner, request: Request) -> Response:
    kinds = Union[tuple(partner.fault_kinds)]  # type: ignore[valid-type]  # noqa: UP007 - built at run time
    body = await _body(request)
    is_json = not _is_form(request) or body.lstrip().startswith(b"{")  # curl -d calls everything a form
    try:
        if not is_json:
            filled = {key: value for key, value in parse_qsl(body.decode("utf-8", "replace")) if value}
            fault: Fault = msgspec.convert(filled, kinds, strict=False)
        else:
            fault = msgspec.json.decode(body, type=kinds)
        armed = partner.faults.add(fault)
    except (msgspec.DecodeError, ValueError) as error:
        raise _Refusal(400, str(error)) from error
    return _json(_shown(armed), 201) if is_json else _done(request, partner, _shown(armed))


async def _clear_faults(partner: Partner, request: Request) -> Response:
    partner.faults.clear()
    return _done(request, partner, {"faults": []})


async def _configuration(partner: Partner, request: Request) -> Response:  # noqa: ARG001 - a handler like the others
    return _json(partner.shown_configuration())


async def _configure(partner: Partner, request: Request) -> Response:
    try:
        partner.configure(await _body(request))
    except msgspec.DecodeError as error:
        raise _Refusal(400, str(error)) from error
    return _json(partner.shown_configuration())


async def _reset(partner: Partner, request: Request) -> Response:
    partner.reset()
    return _done(request, partner, {"version": partner.changes.version})


async def _command(partner: Partner, request: Request) -> Response:
    command = partner.commands.get(request.path_params["command"])
    if command is None:
        raise _Refusal(404, "There is no command of this name.")
    command()
    return _done(request, partner, {"version": partner.changes.version})


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise _Refusal(413, f"The body is larger than {BODY_BYTES_MAX} bytes.")
    return bytes(body)


def _number(request: Request, name: str, default: float, *, most: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError as error:
        raise _Refusal(400, f"`{name}` is not a number.") from error
    if not 0 <= number <= most:
        raise _Refusal(400, f"`{name}` is not between 0 and {most:g}.")
    return number


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(_FORM)


def _shown(armed: Armed) -> dict[str, object]:
    return {"number": armed.number, "left": armed.left, "fault": armed.fault}


def _done(request: Request, partner: Partner, value: object, status: int = 200) -> Response:
    """The answer to a change: JSON for programs, back to the partner's page for a form."""
    if _is_form(request):
        return RedirectResponse(f"/{partner.name}", status_code=303)
    return _json(value, status)


def _json(value: object, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store", "x-content-type-options": "nosniff"},
    )
