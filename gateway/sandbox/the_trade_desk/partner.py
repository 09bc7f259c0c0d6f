"""The fake Trade Desk: two listeners over one set of segments; it checks in the documented order, keeps and shows what it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.sandbox.answers import Answer
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.faults import Fault
from gateway.sandbox.kept_partner import Shown, WatchfulPartner
from gateway.sandbox.request_log import LoggedRequest, Violation
from gateway.sandbox.the_trade_desk import api, presentation, uploads
from gateway.sandbox.the_trade_desk.configuration import SIZE_BYTES_MAX, TheTradeDeskConfiguration
from gateway.sandbox.the_trade_desk.partner_faults import TheTradeDeskFault
from gateway.sandbox.the_trade_desk.segments import UPLOAD_LIFE_S, Drop, Segment, Segments

TARGETS = ("list", "create", "drop", "upload", "status", "delete")
UPLOADS_AT = "http://127.0.0.1:8091"  # where the sandbox listens for uploads unless told otherwise


class TheTradeDesk(WatchfulPartner[TheTradeDeskConfiguration]):
    """The partner of this name.

    now_s: a clock that stands still until `advance`; upload addresses age by it.
    """

    name = "the-trade-desk"
    title = "The Trade Desk"
    template = "the_trade_desk/page.html"
    fault_kinds = get_args(TheTradeDeskFault)
    fault_targets = TARGETS

    state = presentation.state
    page = presentation.page
    headline = staticmethod(presentation.headline)

    def __init__(self, configuration: TheTradeDeskConfiguration | None = None) -> None:
        self.upload_base = f"{UPLOADS_AT}/{self.name}"
        super().__init__(
            configuration or TheTradeDeskConfiguration(),
            {"process": self.process, "expire-uploads": lambda: self.advance(UPLOAD_LIFE_S + 1)},
        )

    @property
    def app(self) -> ASGIApp:
        """The API, at `/v3` below the mount."""
        return self._serve_api

    @property
    def upload_app(self) -> ASGIApp | None:
        """The storage host."""
        return self._serve_upload

    @property
    def segments(self) -> Mapping[str, Segment]:
        """All segments by `CrmDataId`."""
        return self.store.by_id

    @property
    def drops(self) -> Sequence[Drop]:
        """All drops, oldest first."""
        return self.store.drops

    def uploads_at(self, url: str) -> None:
        """Where the uploads port is, without a slash at the end; upload addresses begin with it."""
        self.upload_base = f"{url}/{self.name}"

    def calls(self) -> tuple[str, ...]:
        """The calls so far, in order, by name; `drop`, `upload` is a whole list."""
        return tuple(name for logged in self.log for name in logged.names)

    def create(self, advertiser: str, name: str, region: str = "EU") -> Segment:
        """Make a segment without a request, as somebody in the platform's own pages would."""
        with self.changes.change():
            segment = self.store.create(advertiser, name, region)
        assert segment is not None, "a test that makes so many wants to know"
        return segment

    def process(self) -> None:
        """Let every uploaded file that waits take effect."""
        with self.changes.change():
            for drop in self.drops:
                if drop.status == "Processing" and drop.body is not None:
                    drop.process(self.configuration.distinct_min)

    def advance(self, seconds: float) -> None:
        """Put the clock forward."""
        with self.changes.change():
            self.now_s += seconds

    def counts(self) -> dict[str, int]:
        """Every counter: requests, refused, violations, drops by state, faults, statuses (`status_200` …)."""
        states = Counter(drop.status for drop in self.drops)
        drops = {f"drops_{state.lower()}": states[state] for state in ("Processing", "Completed", "Failed")}
        return self._counted("requests", "refused", "violations", **drops)

    def list_sizes(self) -> list[tuple[str, int]]:
        """Every segment, by name, with its size."""
        with self.changes.reading():
            return sorted((segment.name, len(segment.members)) for segment in self.segments.values())

    def _begin(self) -> None:
        super()._begin()
        self.store = Segments()
        self.now_s = 0.0

    async def _serve_api(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        call = api.call_of(exchange.method, exchange.path)

        def decide(exchange: Exchange, logged: LoggedRequest, body: bytes | None) -> Shown:
            return self._checked(
                logged,
                call.name,
                lambda: api.violations_of(call, exchange),
                lambda: api.answered(self, call, exchange, body),
            )

        await self._exchange(exchange, decide, bytes_max=api.BODY_BYTES_MAX)

    async def _serve_upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1")

        def decide(exchange: Exchange, logged: LoggedRequest, body: bytes | None) -> Shown:
            return self._checked(
                logged,
                "upload",
                lambda: uploads.violations_of(exchange),
                lambda: uploads.uploaded(self, path, exchange, body),
            )

        await self._exchange(Exchange(scope, receive, send), decide, bytes_max=SIZE_BYTES_MAX)

    def _checked(
        self,
        logged: LoggedRequest,
        name: str,
        violations: Callable[[], list[Violation]],
        answered: Callable[[], Answer],
    ) -> Shown:
        """The answer and the fault to show with it; violations are looked for where the fault lets the request through."""
        logged.names = (name,) if name else ()

        def answer_with(_: Fault | None) -> Answer:
            self._note(logged, violations())
            return self._refusal_noted(logged, answered())

        return self._with_fault(logged, answer_with)
