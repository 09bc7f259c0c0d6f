"""The fake Taboola: logins, accounts, audiences and their people, checked as documented; it keeps and shows what it took."""

import time
from collections.abc import Callable, Mapping
from typing import get_args
from urllib.parse import parse_qs, unquote

import msgspec

from gateway.sandbox.answers import Answer, html_answer, json_answer
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.kept_partner import KeptPartner, Shown
from gateway.sandbox.request_log import LoggedRequest
from gateway.sandbox.taboola import presentation
from gateway.sandbox.taboola.audiences import Audience, Audiences
from gateway.sandbox.taboola.checking import InvalidError, checked_creation, checked_users
from gateway.sandbox.taboola.configuration import Client, TaboolaConfiguration
from gateway.sandbox.taboola.partner_faults import TaboolaFault, refusal
from gateway.sandbox.tokens import GivenTokens

BODY_BYTES_MAX = 64 * 1024 * 1024
TOKEN_LIFE_S = 43_200
TARGETS = ("token", "create", "users", "account")

_BACKSTAGE = "/backstage"
_API = f"{_BACKSTAGE}/api/1.0/"
_BAD_LOGIN = (
    b"<BadClientCredentialsException><error>invalid_client</error>"
    b"<error_description>Bad client credentials</error_description></BadClientCredentialsException>"
)


class Taboola(KeptPartner[TaboolaConfiguration]):
    """The partner of this name.

    clock: seconds; tokens and members fall out by it.
    """

    name = "taboola"
    title = "Taboola"
    template = "taboola/page.html"
    fault_kinds = get_args(TaboolaFault)
    fault_targets = TARGETS
    body_bytes_max = BODY_BYTES_MAX

    state = presentation.state
    page = presentation.page
    describe = staticmethod(presentation.request)
    headline = staticmethod(presentation.headline)

    def __init__(
        self, configuration: TaboolaConfiguration | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        super().__init__(configuration or TaboolaConfiguration(), {"expire-tokens": self.expire_tokens})

    @property
    def audiences(self) -> Mapping[int, Audience]:
        """All audiences by number."""
        return self._audiences.by_number

    @property
    def tokens_issued(self) -> int:
        """How many tokens were given so far."""
        return self._counter["tokens"]

    def counts(self) -> dict[str, int]:
        """Every counter: requests, tokens, created, added, removed, refused, faults, statuses (`status_200` …)."""
        return self._counted("requests", "tokens", "created", "added", "removed", "refused")

    def create(self, account: str, name: str, **settings: object) -> Audience:
        """Make an audience without a request, as somebody in Taboola's account would through another integration."""
        with self.changes.change():
            return self._audiences.create(account, name, checked_creation({"audience_name": name, **settings}))

    def expire_tokens(self) -> None:
        """No token given so far is good any more."""
        with self.changes.change():
            self._tokens.expire()

    def audience_not_ready(self, number: int, *, until_s: float) -> None:
        """Refuse the users of this audience until the clock says so, as for one that was made a moment ago."""
        with self.changes.change():
            self._audiences.by_number[number].ready_at_s = until_s

    def list_sizes(self) -> list[tuple[str, int]]:
        """Every audience, by name, with its size."""
        with self.changes.reading():
            return sorted((audience.name, len(audience.members)) for audience in self.audiences.values())

    def _begin(self) -> None:
        super()._begin()
        self._audiences = Audiences(self._clock, first_number=self.configuration.first_audience_id)
        self._tokens = GivenTokens[Client](self._clock)

    def _decide(self, exchange: Exchange, logged: LoggedRequest, body: bytes | None) -> Shown:
        """The answer and the fault to show with it."""
        call, account = _route(exchange.method, exchange.path)
        logged.names = (call,) if call in TARGETS else ()
        return self._with_fault(
            logged, lambda _: self._refusal_noted(logged, self._answer(call, account, exchange, body))
        )

    def _answer(self, call: str, account: str, exchange: Exchange, body: bytes | None) -> Answer:
        if call == "slash":
            return html_answer(403, "Forbidden", "There is a slash too many.")
        if call == "token":
            return self._token(exchange.header("content-type") or "", body or b"")
        if call == "nothing":
            return html_answer(404, "Not found", "There is nothing at this address.")
        client = self._client(exchange.header("authorization") or "")
        if client is None:
            return refusal(401, "Unauthorized")
        if call == "account":
            return _accounts(client, all_of_them=account == "allowed-accounts")
        if account not in client.accounts:
            return refusal(400, "Bad request", message_code="api.action.bad_request.null")
        try:
            decoded = _decoded(exchange.header("content-type") or "", body)
            return self._create(account, decoded) if call == "create" else self._users(account, decoded)
        except InvalidError as error:
            return refusal(400, str(error), offending_field=error.offending_field, message_code="api.invalid.value")

    def _token(self, content_type: str, body: bytes) -> Answer:
        if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            return refusal(400, "The token call takes a form")
        form = {key: values[-1] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            return refusal(400, "The grant type is client_credentials", offending_field="grant_type")
        client = self.configuration.client(form.get("client_id", ""), form.get("client_secret", ""))
        if client is None:
            return Answer(status=400, body=_BAD_LOGIN, headers=(("content-type", "application/xml"),))
        life_s = self.configuration.token_life_s
        token = self._tokens.give(client, TOKEN_LIFE_S if life_s is None else life_s)
        self._counter["tokens"] += 1
        told = {"access_token": token, "token_type": "bearer"}
        return json_answer(200, told if life_s is None else told | {"expires_in": life_s})

    def _client(self, authorization: str) -> Client | None:
        scheme, _, token = authorization.partition(" ")
        return self._tokens.owner(token) if scheme == "Bearer" else None

    def _create(self, account: str, decoded: object) -> Answer:
        body = checked_creation(decoded)
        before = len(self.audiences)
        audience = self._audiences.create(account, str(body["audience_name"]), body)
        self._counter["created"] += len(self.audiences) - before
        return json_answer(200, audience.described())

    def _users(self, account: str, decoded: object) -> Answer:
        operation, number, members = checked_users(decoded)
        audience = self._audiences.of_account(account, number)
        if audience is None or audience.ready_at_s > self._clock():
            raise InvalidError(f"Invalid value '{number}'", "audience_id")
        if operation == "REMOVE":
            audience.remove(members)
            self._counter["removed"] += len(members)
        elif not audience.has_room(members, self.configuration.members_max):
            raise InvalidError("There are too many people in this audience", "identities")
        else:
            audience.add(members)
            self._counter["added"] += len(members)
        return Answer(status=200)


def _route(method: str, path: str) -> tuple[str, str]:
    """(call, account) of a request: token, create, users, account, or `slash` and `nothing` for what there is not."""
    if path == f"{_BACKSTAGE}/oauth/token" and method == "POST":
        return "token", ""
    if path == f"{_BACKSTAGE}/oauth/token/":
        return "slash", ""
    if not path.startswith(_API):
        return "nothing", ""
    pieces = path.removeprefix(_API).split("/")
    match method, pieces:
        case "GET", ["users", "current", "account" | "allowed-accounts" as which]:
            return "account", which
        case "POST", [account, "audience_onboarding", "create"]:
            return "create", unquote(account)
        case "POST", [account, "audience_onboarding"] | [account, "audience_onboarding", ""]:
            return "users", unquote(account)
        case _:
            return "nothing", ""


def _accounts(client: Client, *, all_of_them: bool) -> Answer:
    described = [
        {
            "id": 1163 + place,
            "name": f"Advertiser {place + 1}",
            "account_id": account,
            "partner_types": ["ADVERTISER"],
            "type": "PARTNER",
            "campaign_types": ["PAID"],
            "currency": "USD",
            "time_zone_name": "US/Eastern",
        }
        for place, account in enumerate(client.accounts)
    ]
    return json_answer(200, {"results": described} if all_of_them else described[0])


def _decoded(content_type: str, body: bytes | None) -> object:
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise InvalidError("The body is no JSON", "")
    try:
        value: object = msgspec.json.decode(body or b"")
    except (ValueError, RecursionError) as error:
        raise InvalidError("The body is no JSON", "") from error
    return value
