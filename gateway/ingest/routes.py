"""The public surface: a small ASGI switch for calls and webhooks, Starlette behind it for health and metrics.

The switch exists because routing through Starlette costs more than storing the event (measured). It never redirects: an
SDK would follow with a GET, get a 200, and lose its events.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import structs
from prometheus_client import Counter

from gateway.core import signatures
from gateway.core.envelopes import cleaned
from gateway.core.errors import EventError, StoreError
from gateway.core.sources import Source
from gateway.ingest import replies
from gateway.ingest.accept import Acceptor
from gateway.ingest.auth import source_of_call, source_of_header
from gateway.ingest.bodies import Bodies, DisconnectedError, OverloadedError, Receive
from gateway.ingest.calls import BATCH, SELF_METRICS, SINGLE, Call, Scope, call_kinds, webhook_target
from gateway.ingest.encodings import GZIP_MAGIC, TooLargeError, decoded, encoding_of
from gateway.ingest.health import health_app
from gateway.ingest.limits import IngestLimits
from gateway.ingest.rates import RateLimits
from gateway.ingest.replies import Header, Reply, Send
from gateway.ingest.source_table import SourceTable
from gateway.ingest.tallies import Tallies
from gateway.observe import metrics
from gateway.observe.logs import logger
from gateway.store.api import InboxWriter

Handler = Callable[[Call], Awaitable[Reply]]

WEBHOOK_PREFIX = "/webhook/"
WEBHOOK_METHODS = frozenset({"POST", "PUT", "PATCH"})


class IngestApp:
    """The ASGI application of the public port.

    sources: gives the table of the moment. now_us: Unix time in microseconds. key: GATEWAY_KEY.
    problems: what is wrong with the files while the last good ones are in force; [] when all is well.
    exposition: the metrics as text; metrics_token: who may read them, "" for nobody.
    """

    def __init__(
        self,
        sources: Callable[[], SourceTable],
        inbox: InboxWriter,
        *,
        key: bytes,
        now_us: Callable[[], int],
        limits: IngestLimits,
        metrics_token: str,
        problems: Callable[[], list[str]],
    ) -> None:
        self._sources = sources
        self._inbox = inbox
        self._now_us = now_us
        self._limits = limits
        self._bodies = Bodies(limits)
        self._rates = RateLimits()
        self._tallies = Tallies()
        self._acceptor = Acceptor(inbox, key=key, limits=limits, tallies=self._tallies)
        self._log = logger()
        self._requests: dict[tuple[str, int], Counter] = {}
        self._calls = call_kinds()
        self._handlers: dict[str, Handler] = dict.fromkeys(SINGLE, self._single)
        self._handlers |= {BATCH: self._batch, SELF_METRICS: self._self_metrics}
        self._others = health_app(self._troubles, problems, metrics_token=metrics_token)
        self.is_closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return  # Lifespan events are switched off, websockets are not spoken.
        received_us = self._now_us()
        path: str = scope["path"]
        kind = self._calls.get(path)
        if kind is None and not path.startswith(WEBHOOK_PREFIX):
            await self._answer_elsewhere(scope, receive, send)
            return
        call = Call(scope, receive, kind or "webhook", path, received_us)
        try:
            if kind is None:
                reply = await self._answer_webhook(call)
            elif scope["method"] == "POST":
                reply = await self._answered(call, self._handlers[kind])
            else:
                reply = await self._unread(call, self._answer_other(call))
        except DisconnectedError:
            self._log.debug("request.abandoned", route=call.kind)
            return
        finally:
            if call.held:
                self._bodies.release(call.held)
        cors = self._cors(call) if kind is not None and call.origin is not None and reply.status != 204 else ()
        self._count(call.kind, reply)
        await replies.send_reply(send, reply, cors=cors)

    async def _answered(self, call: Call, handler: Handler) -> Reply:
        """What a handler gives, or the error that stopped it."""
        try:
            if self.is_closing or self._inbox.waiting_bytes > self._limits.waiting_bytes_max:
                await self._refuse(call)
            return await handler(call)
        except EventError as error:
            return replies.refused(error)
        except TooLargeError as error:
            return await self._too_large(call, error)
        except StoreError as error:
            return replies.not_kept(error)
        except DisconnectedError:
            raise
        except Exception as error:  # noqa: BLE001 (the one place where an unforeseen fault becomes an honest 500)
            reply = replies.error_reply(500, "internal_error", "The gateway failed; the events may or may not be kept.")
            self._log.error(
                "request.failed",
                route=call.kind,
                request_id=reply.request_id,
                error=type(error).__name__,
                exc_info=True,
            )
            return reply

    async def _refuse(self, call: Call) -> None:
        """Turn a request away before its body is kept, but not before it is read: a reset would hide the answer."""
        is_drained = await self._bodies.discard(call.receive)
        message = "The gateway is shutting down." if self.is_closing else "The gateway is busy."
        raise OverloadedError(message, is_drained=is_drained and not self.is_closing)

    # --- /v1 ---

    async def _unread(self, call: Call, reply: Reply) -> Reply:
        """An answer that needs no body, once the body is out of the way: a sender still writing would see a reset."""
        is_drained = await self._bodies.discard(call.receive)
        return reply if is_drained else structs.replace(reply, headers=(*reply.headers, replies.CLOSE))

    async def _answer_elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Health, metrics, and paths that mean nothing."""
        if scope["method"] not in {"GET", "HEAD"}:
            try:
                await self._bodies.discard(receive)
            except DisconnectedError:
                return
        await self._others(scope, receive, send)

    def _answer_other(self, call: Call) -> Reply:
        """The answer to a method other than POST."""
        if call.scope["method"] != "OPTIONS":
            return replies.not_allowed("POST, OPTIONS")
        return replies.preflight(self._sources().allowed_origin((call.origin or b"").decode("latin-1"), None))

    async def _single(self, call: Call) -> Reply:
        body = await self._body(call)
        text = cleaned(body)
        opened = self._acceptor.open_at_once(text, "single") or await self._acceptor.open(text, "single")
        source = self._source(call, opened.keys)
        return await self._acceptor.keep(source, opened, len(body), received_us=call.received_us, forced_type=call.kind)

    async def _batch(self, call: Call) -> Reply:
        body = await self._body(call)
        text = cleaned(body)
        opened = self._acceptor.open_at_once(text, "batch") or await self._acceptor.open(text, "batch")
        source = self._source(call, opened.keys)
        return await self._acceptor.keep(source, opened, len(body), received_us=call.received_us)

    async def _self_metrics(self, call: Call) -> Reply:
        await self._bodies.discard(call.receive)
        return replies.OK

    def _source(self, call: Call, keys: list[str]) -> Source:
        source = call.source = source_of_call(self._sources(), call.authorization, keys)
        if source.rate_per_s:
            self._rates.take(source, call.received_us / 1e6)
        return source

    # --- /webhook ---

    async def _answer_webhook(self, call: Call) -> Reply:
        parts = call.path.removesuffix("/")[len(WEBHOOK_PREFIX) :].split("/")
        source = self._sources().by_name(parts[0]) if parts[0] else None
        if source is None:
            return await self._unread(call, replies.error_reply(404, "unknown_source", "No source has this name."))
        call.source = source
        token, verb = webhook_target(parts[1:])
        if verb is None or (token is not None and not source.auth.path_token and not source.auth.none):
            return await self._unread(call, replies.error_reply(404, "unknown_path", "There is nothing at this path."))
        if call.scope["method"] not in WEBHOOK_METHODS:
            return await self._unread(call, replies.not_allowed("POST, PUT, PATCH"))

        async def handler(call: Call) -> Reply:
            return await (self._posted(call, source, token) if not verb else self._audience(call, source, token, verb))

        return await self._answered(call, handler)

    async def _posted(self, call: Call, source: Source, token: str | None) -> Reply:
        body = await self._body(call)
        warnings: tuple[str, ...] = ()
        if not source.auth.none:
            now_s = call.received_us / 1e6
            warnings = await self._acceptor.worked(
                len(body), signatures.check_webhook, source, call.headers(), body, path_token=token, now_s=now_s
            )
        self._admit(call, source)
        is_foreign = source.format == "mparticle"
        text = cleaned(body)
        opened = self._acceptor.open_at_once(text, "webhook") or await self._acceptor.open(
            text, "webhook", takes_mparticle=is_foreign
        )
        return await self._acceptor.keep(
            source, opened, len(body), received_us=call.received_us, is_webhook=True, warnings=warnings
        )

    async def _audience(self, call: Call, source: Source, token: str | None, verb: str) -> Reply:
        body = await self._body(call)
        if not source.auth.none:
            if not source.auth.path_token:
                raise EventError(
                    401, "missing_credentials", "Audience calls are unsigned: give the source a `path_token`."
                )
            signatures.check_path_token(source.auth, token)
        self._admit(call, source)
        if verb == "create":
            return await self._acceptor.create_audience(source, body, call.received_us)
        return self._acceptor.get_audience(source, body)

    def _admit(self, call: Call, source: Source) -> None:
        if not source.enabled:
            raise EventError(401, "source_disabled", "This source is disabled.")
        if source.rate_per_s:
            self._rates.take(source, call.received_us / 1e6)

    # --- What all of them need ---

    async def _body(self, call: Call) -> bytes:
        """The plain body. Raises what `Bodies.read` and `decoded` raise."""
        body = await self._bodies.read(call.receive, call.length)
        call.held = len(body)
        self._tallies.add(metrics.INGEST_BODY_BYTES, call.held)
        encoding = encoding_of(call.encoding)
        if not encoding and not body.startswith(GZIP_MAGIC):
            return body
        plain = await self._acceptor.worked(len(body), decoded, body, encoding, bytes_max=self._limits.body_bytes_max)
        call.held += self._bodies.hold(len(plain))
        return plain

    async def _too_large(self, call: Call, error: TooLargeError) -> Reply:
        source = call.source
        if source is None and call.authorization is not None:
            source = call.source = source_of_header(self._sources(), call.authorization)
        try:
            await self._acceptor.note_too_large(source.name if source else "", call.received_us, error)
        except StoreError:
            self._log.warning("refusal.not_kept", code="payload_too_large")
        return replies.error_reply(
            400,
            "payload_too_large",
            f"The body is larger than {self._limits.body_bytes_max} bytes.",
            headers=() if error.is_drained else (replies.CLOSE,),
        )

    def _cors(self, call: Call) -> tuple[Header, ...]:
        origin = (call.origin or b"").decode("latin-1")
        return replies.cors_headers(self._sources().allowed_origin(origin, call.source))

    def _count(self, kind: str, reply: Reply) -> None:
        counter = self._requests.get((kind, reply.status))
        if counter is None:
            counter = self._requests[kind, reply.status] = metrics.INGEST_REQUESTS.labels(kind, str(reply.status))
        self._tallies.add(counter, 1)
        if reply.code:
            metrics.INGEST_REFUSALS.labels(reply.code).inc()
            self._log.debug("request.refused", route=kind, code=reply.code, request_id=reply.request_id)

    def _troubles(self) -> list[str]:
        """Why this process should get no traffic now."""
        troubles = ["shutting down"] if self.is_closing else []
        if self._inbox.waiting_bytes > self._limits.waiting_bytes_max:
            troubles.append("the inbox does not keep up")
        metrics.INGEST_WAITING_BYTES.set(self._inbox.waiting_bytes)
        self._tallies.flush()
        return troubles

    def close(self) -> None:
        """Answer 503 from now on."""
        self.is_closing = True
        self._tallies.flush()


def create_ingest_app(
    sources: Callable[[], SourceTable],
    inbox: InboxWriter,
    *,
    key: bytes,
    now_us: Callable[[], int],
    limits: IngestLimits | None = None,
    metrics_token: str = "",
    problems: Callable[[], list[str]] = list,
) -> IngestApp:
    """Build the public ASGI application; see `IngestApp` for what it is given."""
    return IngestApp(
        sources,
        inbox,
        key=key,
        now_us=now_us,
        limits=limits or IngestLimits(),
        metrics_token=metrics_token,
        problems=problems,
    )
