"""The sandbox as ASGI apps: partners by path, their pages, and the control API; `server.py` runs them."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from gateway.sandbox.control import control_routes
from gateway.sandbox.pages import overview_page, partner_page
from gateway.sandbox.partner import Partner


def create_app(partners: Sequence[Partner]) -> Starlette:
    """The app of the main port: `/`, `/<partner>`, `/<partner>/…` and `/sandbox/<partner>/…`."""

    async def overview(request: Request) -> HTMLResponse:  # noqa: ARG001 - an endpoint
        return overview_page(partners)

    routes: list[BaseRoute] = [Route("/", overview), *control_routes({partner.name: partner for partner in partners})]
    for partner in partners:
        routes += [_page_route(partner), Mount(f"/{partner.name}", app=partner.app)]
    return Starlette(routes=routes)


def create_upload_app(partners: Sequence[Partner]) -> Starlette | None:
    """The app of the uploads port; None when no partner takes uploads."""
    apps = {partner.name: partner.upload_app for partner in partners}
    mounts = [Mount(f"/{name}", app=app) for name, app in apps.items() if app is not None]
    return Starlette(routes=mounts) if mounts else None


def _page_route(partner: Partner) -> Route:
    async def page(request: Request) -> Response:  # noqa: ARG001 - an endpoint
        return partner_page(partner)

    return Route(f"/{partner.name}", page)
