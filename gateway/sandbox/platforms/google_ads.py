"""A fake Data Manager API: whole requests or nothing, violations that name members by place, effects that come later.

https://developers.google.com/data-manager/api/reference/rest/v1/audienceMembers/ingest
"""

import re
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.calls import Call
from gateway.sandbox.configuring import Text
from gateway.sandbox.list_partner import (
    KeptList,
    ListConfiguration,
    ListPartner,
    OwnRefusal,
    RefusedError,
    Wait,
    faults_with,
    given,
    member,
    objects,
    refused,
)

MEMBERS_MAX = 10_000
IDENTIFIERS_MAX = 10
MEMBERSHIP_S_MAX = 540 * 86_400
CONSENTS = frozenset({"CONSENT_STATUS_UNSPECIFIED", "CONSENT_GRANTED", "CONSENT_DENIED"})

_DIGEST = re.compile(r"[0-9a-f]{64}")
_REGION = re.compile(r"[A-Za-z]{2}")
_SECONDS = re.compile(r"([0-9]{1,9})s")


def _error(code: int, status: str, message: str, *details: object) -> Answer:
    """The error body of Google's APIs."""
    return json_answer(code, {"error": {"code": code, "status": status, "message": message, "details": list(details)}})


def _invalid(field: str, reason: str) -> RefusedError:
    violation = {"field": field, "description": "This is not as it should be.", "reason": reason}
    details = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    return RefusedError(_error(400, "INVALID_ARGUMENT", "There was a problem with the request.", details))


REFUSALS = {
    "quota": _error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for requests per minute."),
    "unauthenticated": _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "permission": _error(403, "PERMISSION_DENIED", "The caller does not have permission."),
    "internal": _error(500, "INTERNAL", "Internal error encountered."),
}


class GoogleRefusal(OwnRefusal, tag="refusal", frozen=True, kw_only=True):
    """A refusal of Google's: quota, a token that is no longer good, missing rights, its own trouble."""

    case: Literal["quota", "unauthenticated", "permission", "internal"] = "quota"

    def own_answer(self) -> Answer:
        """Its error body."""
        return REFUSALS[self.case]


class GoogleAdsConfiguration(ListConfiguration, frozen=True, kw_only=True):
    """The login, the account that owns the lists and the one the login is a user of.

    process_at_once: members are on the list when a request is answered; else when `process` is commanded.
    """

    client_id: Text = "sandbox-client"
    client_secret: Text = "sandbox-secret"  # noqa: S105 - the sandbox guards nothing
    refresh_token: Text = "sandbox-refresh"  # noqa: S105
    customer_id: Text = "1234567890"
    login_customer_id: Text = "1234567890"
    token_life_s: Wait = 3_599.0
    process_at_once: bool = True
    lists: dict[str, Text] = msgspec.field(default_factory=lambda: {"8181000111": "Sandbox list"})
    calls_max: int | None = 300


class GoogleAds(ListPartner[GoogleAdsConfiguration]):
    """The partner of this name."""

    name = "google-ads"
    title = "Google Ads"
    place = "/v1"
    fault_kinds = faults_with(GoogleRefusal)
    fault_targets = ("token", "add", "remove", "status", "list")

    def __init__(
        self, configuration: GoogleAdsConfiguration | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(configuration or GoogleAdsConfiguration(), clock=clock)
        self.commands = {**self.commands, "process": self.process}

    def process(self) -> None:
        """Let everything accepted take effect."""
        with self.changes.change():
            for request_id, work in self._waiting.items():
                work()
                self._statuses[request_id] = "SUCCESS"
            self._waiting.clear()

    def _begin(self) -> None:
        super()._begin()
        self._waiting: dict[str, Callable[[], None]] = {}
        self._statuses: dict[str, str] = {}

    def _login_told(self) -> str:
        configuration = self.configuration
        return (
            f"tokens at /{self.name}/token for client {configuration.client_id}, secret {configuration.client_secret}, "
            f"refresh token {configuration.refresh_token}; customer {configuration.customer_id}"
        )

    def _too_fast(self, wait_s: float) -> Answer:  # noqa: ARG002 - Google does not say
        return REFUSALS["quota"]

    def _target(self, call: Call) -> str:
        match call.parts:
            case ["token"]:
                return "token"
            case ["v1", "audienceMembers:ingest"]:
                return "add"
            case ["v1", "audienceMembers:remove"]:
                return "remove"
            case ["v1", "requestStatus:retrieve"]:
                return "status"
            case ["v1", "accountTypes", *_]:
                return "list"
            case _:
                return ""

    def _answer(self, call: Call) -> Answer:
        if (call.method, call.parts) == ("POST", ["token"]):
            return self._token(call.form())
        if self._tokens.owner(call.bearer) is None:
            raise RefusedError(REFUSALS["unauthenticated"])
        match (call.method, *call.parts):
            case ("POST", "v1", "audienceMembers:ingest" | "audienceMembers:remove" as verb):
                return self._change(call.members(), is_ingest=verb.endswith("ingest"))
            case ("GET", "v1", "requestStatus:retrieve"):
                return self._status(call.query.get("requestId", ""))
            case (method, "v1", "accountTypes", "GOOGLE_ADS", "accounts", account, "userLists", *rest):
                return self._list_call(call, method, account, rest)
            case _:
                raise RefusedError(_error(404, "NOT_FOUND", "There is nothing at this address."))

    def _token(self, form: dict[str, str]) -> Answer:
        configuration = self.configuration
        if form.get("grant_type") != "refresh_token":
            raise refused(400, {"error": "unsupported_grant_type"})
        if (form.get("client_id"), form.get("client_secret")) != (configuration.client_id, configuration.client_secret):
            raise refused(401, {"error": "invalid_client"})
        if form.get("refresh_token") != configuration.refresh_token:
            raise refused(400, {"error": "invalid_grant"})
        token = self._give_token(configuration.client_id, configuration.token_life_s)
        return json_answer(
            200, {"access_token": token, "token_type": "Bearer", "expires_in": configuration.token_life_s}
        )

    def _change(self, body: dict[str, object], *, is_ingest: bool) -> Answer:
        kept = self._destination(body)
        if body.get("encoding") not in ("HEX", "BASE64"):
            raise _invalid("encoding", "REQUIRED_FIELD_MISSING")
        if is_ingest and member(body, "termsOfService", "customerMatchTermsOfServiceStatus") != "ACCEPTED":
            raise _invalid("terms_of_service", "TERMS_AND_CONDITIONS_NOT_SIGNED")
        people = objects(body.get("audienceMembers"))
        if not people or len(people) > MEMBERS_MAX:
            raise _invalid("request", "TOO_MANY_ENTITIES_IN_REQUEST" if people else "REQUIRED_FIELD_MISSING")
        named = [self._identifiers(one, place) for place, one in enumerate(people)]
        request_id = f"r-{self._counter['requests']}"
        self._waiting[request_id] = lambda: _take(kept, named, people, is_ingest=is_ingest)
        self._statuses[request_id] = "PROCESSING"
        self._count("added" if is_ingest else "removed", len(people))
        if self.configuration.process_at_once:
            self.process()
        return json_answer(200, {"requestId": request_id})

    def _destination(self, body: dict[str, object]) -> KeptList:
        configuration = self.configuration
        wanted = (objects(body.get("destinations")) or [{}])[0]
        for name, account in (
            ("operatingAccount", configuration.customer_id),
            ("loginAccount", configuration.login_customer_id),
        ):
            if (member(wanted, name, "accountType"), member(wanted, name, "accountId")) != ("GOOGLE_ADS", account):
                raise _invalid(f"destinations[0].{name}", "INVALID_ACCOUNT")
        kept = self.lists.get(str(wanted.get("productDestinationId")))
        if kept is None:
            raise _invalid("destinations[0].product_destination_id", "INVALID_USER_LIST_ID")
        return kept

    def _identifiers(self, person: dict[str, object], place: int) -> list[str]:
        field = f"audience_members.audience_members[{place}].user_data"
        listed = objects(member(person, "userData", "userIdentifiers"))
        if not 0 < len(listed) <= IDENTIFIERS_MAX:
            raise _invalid(field, "TOO_MANY_USER_IDENTIFIERS" if listed else "REQUIRED_FIELD_MISSING")
        for name in ("adUserData", "adPersonalization"):
            if (said := member(person, "consent", name)) is not None and said not in CONSENTS:
                raise _invalid(f"{field}.consent", "INVALID_ENUM_VALUE")
        named: list[str] = []
        for one in listed:
            text = one.get("emailAddress") or one.get("phoneNumber") or _address(one.get("address"))
            if len(one) != 1 or not isinstance(text, str) or text in self.configuration.refused_people:
                raise _invalid(field, "INVALID_USER_IDENTIFIER")
            if any(_DIGEST.fullmatch(part) is None for part in text.split("|")[:2]):
                raise _invalid(field, "INVALID_SHA256_FORMAT")
            named.append(text)
        return named

    def _status(self, request_id: str) -> Answer:
        if request_id not in self._statuses:
            raise RefusedError(_error(404, "NOT_FOUND", "There is no such request."))
        return json_answer(200, {"requestStatusPerDestination": [{"requestStatus": self._statuses[request_id]}]})

    def _list_call(self, call: Call, method: str, account: str, rest: list[str]) -> Answer:
        wanted = f"accountTypes/GOOGLE_ADS/accounts/{self.configuration.login_customer_id}"
        if account != self.configuration.customer_id or call.header("login-account") != wanted:
            raise RefusedError(REFUSALS["permission"])
        if method == "POST" and not rest:
            return self._create(call.members())
        if method == "DELETE" and rest and self.lists.pop(rest[0], None) is not None:
            return json_answer(200, {})
        raise RefusedError(_error(404, "NOT_FOUND", "There is no such user list."))

    def _create(self, body: dict[str, object]) -> Answer:
        name, lasts = body.get("displayName"), _SECONDS.fullmatch(str(body.get("membershipDuration")))
        if not given(name) or any(one.name == name for one in self.lists.values()):
            raise _invalid("user_list.display_name", "NAME_ALREADY_USED" if name else "REQUIRED_FIELD_MISSING")
        if lasts is None or int(lasts[1]) > MEMBERSHIP_S_MAX or int(lasts[1]) % 86_400:
            raise _invalid("user_list.membership_duration", "INVALID_MEMBERSHIP_DURATION")
        if member(body, "ingestedUserListInfo", "uploadKeyTypes") != ["CONTACT_ID"]:
            raise _invalid("user_list.ingested_user_list_info", "REQUIRED_FIELD_MISSING")
        list_id = self._free_id(8181000111)
        self._add_list(list_id, KeptList(str(name)))
        place = f"accountTypes/GOOGLE_ADS/accounts/{self.configuration.customer_id}/userLists/{list_id}"
        return json_answer(200, {"name": place, "id": list_id, "displayName": name})


def _take(kept: KeptList, named: list[list[str]], people: list[dict[str, object]], *, is_ingest: bool) -> None:
    for names, person in zip(named, people, strict=True):
        if is_ingest:
            kept.put(names, person)
        else:
            kept.drop(names)


def _address(address: object) -> str | None:
    """An address as one identifier; None where a part of it is missing or cannot be."""
    parts = [member(address, name) for name in ("givenName", "familyName", "regionCode", "postalCode")]
    if len(given(*parts)) < len(parts) or _REGION.fullmatch(str(parts[2])) is None:
        return None
    return "|".join(map(str, parts))
