"""The fake StackAdapt: one GraphQL endpoint that checks in the documented order, and keeps and shows what it took."""

import secrets
from collections import OrderedDict
from typing import get_args

from gateway.sandbox.answers import Answer, html_answer, json_answer
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.faults import Fault
from gateway.sandbox.kept_partner import Shown, WatchfulPartner
from gateway.sandbox.request_log import LoggedRequest
from gateway.sandbox.stackadapt import presentation
from gateway.sandbox.stackadapt.configuration import AccessToken, StackAdaptConfiguration
from gateway.sandbox.stackadapt.contract import DELETION_FIELDS, EVENT_FIELDS, body_violations, document_violations
from gateway.sandbox.stackadapt.document import load_schema
from gateway.sandbox.stackadapt.execution import Validator, answer_document
from gateway.sandbox.stackadapt.ingestion import Ingestion
from gateway.sandbox.stackadapt.lists import Lists
from gateway.sandbox.stackadapt.mutations import DocumentCall, UserError
from gateway.sandbox.stackadapt.partner_faults import StackAdaptFault, UserErrors
from gateway.sandbox.stackadapt.request_body import BODY_BYTES_MAX, Reading, read_body

SYNC_IDS_MAX = 100_000
PROBLEM_CHARACTERS_MAX = 500


class StackAdapt(WatchfulPartner[StackAdaptConfiguration]):
    """The partner of this name."""

    name = "stackadapt"
    title = "StackAdapt"
    template = "stackadapt/page.html"
    fault_kinds = get_args(StackAdaptFault)
    fault_targets = (*EVENT_FIELDS, *DELETION_FIELDS, "tokenInfo")
    body_bytes_max = BODY_BYTES_MAX

    state = presentation.state
    page = presentation.page
    describe = staticmethod(presentation.request)
    headline = staticmethod(presentation.headline)

    def __init__(self, configuration: StackAdaptConfiguration | None = None) -> None:
        self._validator = Validator(load_schema())
        super().__init__(configuration or StackAdaptConfiguration(), {"ingest": self.ingest})

    @property
    def pending_documents(self) -> int:
        """Documents accepted and not yet in effect."""
        return len(self._ingestion)

    def counts(self) -> dict[str, int]:
        """Every counter: requests, statuses (`status_200` …), profiles, replays, dropped, deleted, violations, faults."""
        return self._counted(
            *("requests", "profiles", "replays", "user_errors", "violations"),
            dropped=self.lists.dropped,
            deleted=self.lists.deleted,
        )

    def members(self, audience_id: str, *, advertiser_id: str | None = None) -> frozenset[str]:
        """The emails in the audience now."""
        return self.lists.members(audience_id, advertiser_id=advertiser_id)

    def ingest(self) -> None:
        """Let all pending documents take effect."""
        self._ingestion.ingest()

    def list_sizes(self) -> list[tuple[str, int]]:
        """Every audience, by name, with its size."""
        with self.changes.reading():
            return sorted(
                (audience.name or key, sum(audience.members.values())) for key, audience in self.lists.audiences.items()
            )

    def _begin(self) -> None:
        super()._begin()
        self.lists = Lists(profiles_max=self.configuration.profiles_max)
        self._ingestion = Ingestion(self.lists, self.changes)
        self._sync_ids: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def _forget(self) -> None:
        self._ingestion.forget()
        super()._forget()

    def _configured(self) -> None:
        self.lists.profiles_max = self.configuration.profiles_max

    def _decide(self, exchange: Exchange, logged: LoggedRequest, body: bytes | None) -> Shown:
        """The answer and the fault to show with it, by the documented order of checks."""
        if exchange.path != "/graphql" or exchange.method != "POST":
            return html_answer(404, "Page not found", "There is nothing at this address."), None
        token = self._token(exchange.header("authorization"))
        if token is None:
            trace = {"extensions": {"traceId": secrets.token_hex(16)}}
            return json_answer(401, {"errors": [{"message": "The token is missing or not valid."} | trace]}), None
        reading = read_body(
            exchange.header("content-type"), body, unparsable_status=self.configuration.unparsable_status
        )
        logged.names = reading.names
        return self._with_fault(logged, lambda fault: self._answer(reading, token, fault, logged))

    def _answer(self, reading: Reading, token: AccessToken, fault: Fault | None, logged: LoggedRequest) -> Answer:
        """Checks 4 to 8, and the contract's beside them."""
        violations = body_violations(reading.keys)
        if reading.document is None:
            assert reading.problem is not None
            answer = reading.problem
        else:
            call = DocumentCall(
                token=token,
                configuration=self.configuration,
                lists=self.lists,
                is_replay=self._is_replay,
                refused=_refused_by(fault),
            )
            answer = answer_document(self._validator, reading, call, unfit_status=self.configuration.unfit_status)
            violations += document_violations(reading.document, call.calls)
            self._accept(call)
            logged.problem = "; ".join(error.message for error in call.user_errors) or None
        if b'"errors"' in answer.body and logged.problem is None:
            logged.problem = answer.body.decode()[:PROBLEM_CHARACTERS_MAX]
        self._note(logged, violations)
        return answer

    def _accept(self, call: DocumentCall) -> None:
        self._counter.update(profiles=call.profiles, replays=call.replays, user_errors=len(call.user_errors))
        if call.changes:
            self._ingestion.accept(
                tuple(call.changes),
                delay_s=self.configuration.ingestion_delay_s,
                profiles_first=self.configuration.profiles_first,
            )

    def _token(self, authorization: str | None) -> AccessToken | None:
        scheme, _, text = (authorization or "").partition(" ")
        return self.configuration.token(text.strip()) if scheme.lower() == "bearer" else None

    def _is_replay(self, key: tuple[str, str, str]) -> bool:
        if key in self._sync_ids:
            return True
        self._sync_ids[key] = None
        if len(self._sync_ids) > SYNC_IDS_MAX:
            self._sync_ids.popitem(last=False)
        return False


def _refused_by(fault: Fault | None) -> dict[str, tuple[UserError, ...]]:
    if not isinstance(fault, UserErrors):
        return {}
    return {fault.target: (UserError(message=fault.message, path=fault.path),)}
