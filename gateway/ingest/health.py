"""What operators and load balancers ask an ingest process: is it alive, is it ready, what has it counted."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.ingest import replies
from gateway.ingest.replies import Reply
from gateway.observe import metrics


def health_app(
    troubles: Callable[[], list[str]], problems: Callable[[], list[str]], *, metrics_token: str
) -> Starlette:
    """Build `/healthz`, `/readyz`, `/metrics`, and the answers to every other path.

    troubles: why the process is not ready, [] when it is. problems: what is wrong with the files while the last good ones
    are in force. metrics_token: Bearer token for the metrics, "" for nobody.
    """

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        found = troubles()
        return JSONResponse({"ready": not found, "problems": [*found, *problems()]}, status_code=503 if found else 200)

    async def show_metrics(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        if not metrics_token or not hmac.compare_digest(given, f"Bearer {metrics_token}".encode()):
            refusal = replies.error_reply(401, "missing_credentials", "Metrics need the admin token as Bearer.")
            return _as_response(refusal)
        troubles()  # It also measures.
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")

    app = Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics)],
        exception_handlers={404: _on_unknown_path, 405: _on_wrong_method},
    )
    app.router.redirect_slashes = False
    return app


def _as_response(reply: Reply) -> Response:
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(reply.body, status_code=reply.status, headers=headers, media_type="application/json")


async def _on_unknown_path(_request: Request, _error: Exception) -> Response:
    metrics.INGEST_REFUSALS.labels("unknown_path").inc()
    return _as_response(replies.error_reply(404, "unknown_path", "There is nothing at this path."))


async def _on_wrong_method(_request: Request, _error: Exception) -> Response:
    return _as_response(replies.not_allowed("GET"))
