"""A fake Salesforce REST API: campaign members by contact or lead; collections answer in order, one result a record.

https://developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-sobjects-collections.html
"""

import re
import time
from collections.abc import Callable
from typing import Literal
from urllib.parse import unquote_plus

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
    objects,
    refused,
)

RECORDS_MAX = 200
SUBREQUESTS_MAX = 25
QUERIES_MAX = 5

_PERSON = {"ContactId": re.compile(r"003[A-Za-z0-9]{12,15}"), "LeadId": re.compile(r"00Q[A-Za-z0-9]{12,15}")}
_QUERY = re.compile(
    r"SELECT Id FROM CampaignMember WHERE CampaignId='(?P<campaign>\w+)' AND (?:ContactId|LeadId)='(?P<person>\w+)'"
)

Json = dict[str, object]


def _error(status: int, code: str, message: str) -> Answer:
    """Salesforce's error body."""
    return json_answer(status, [{"errorCode": code, "message": message}])


REFUSALS = {
    "limit": _error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "session": _error(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "access": _error(403, "INSUFFICIENT_ACCESS", "insufficient access rights on object"),
    "unavailable": _error(503, "SERVER_UNAVAILABLE", "The server is too busy to handle the request."),
}


class SalesforceRefusal(OwnRefusal, tag="refusal", frozen=True, kw_only=True):
    """A refusal of Salesforce's: the day's calls are used up, an expired session, missing rights, its own trouble."""

    case: Literal["limit", "session", "access", "unavailable"] = "limit"

    def own_answer(self) -> Answer:
        """Its error body."""
        return REFUSALS[self.case]


class SalesforceConfiguration(ListConfiguration, frozen=True, kw_only=True):
    """The login; the version, others are unknown. lists: campaigns. locked: people whose rows somebody else is writing."""

    client_id: Text = "sandbox-client"
    client_secret: Text = "sandbox-secret"  # noqa: S105 - the sandbox guards nothing
    token_life_s: Wait = 7_200.0
    version: Text = "v67.0"
    locked: frozenset[str] = frozenset()
    lists: dict[str, Text] = msgspec.field(default_factory=lambda: {"701RM000000k3TeYAI": "Sandbox campaign"})
    calls_max: int | None = 100_000
    calls_window_s: float = 86_400.0


class Salesforce(ListPartner[SalesforceConfiguration]):
    """The partner of this name."""

    name = "salesforce"
    title = "Salesforce"
    fault_kinds = faults_with(SalesforceRefusal)
    fault_targets = ("token", "add", "query", "remove", "list")

    def __init__(
        self, configuration: SalesforceConfiguration | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(configuration or SalesforceConfiguration(), clock=clock)

    def _begin(self) -> None:
        super()._begin()
        self._member_ids: dict[str, tuple[str, str]] = {}  # of a campaign member: campaign and person
        self._numbers = 0

    def _login_told(self) -> str:
        return f"client credentials {self.configuration.client_id}, secret {self.configuration.client_secret}"

    def _too_fast(self, wait_s: float) -> Answer:  # noqa: ARG002 - Salesforce does not say
        return REFUSALS["limit"]

    def _target(self, call: Call) -> str:
        match (call.method, *call.parts):
            case ("POST", "services", "oauth2", "token"):
                return "token"
            case ("POST" | "DELETE" as method, "services", "data", _, "composite", "sobjects"):
                return "add" if method == "POST" else "remove"
            case (_, "services", "data", _, "composite"):
                return "query"
            case (_, "services", "data", _, "sobjects", *_):
                return "list"
            case _:
                return ""

    def _answer(self, call: Call) -> Answer:
        if (call.method, call.parts) == ("POST", ["services", "oauth2", "token"]):
            return self._token(call.form())
        if self._tokens.owner(call.bearer) is None:
            raise RefusedError(REFUSALS["session"])
        if call.method == "POST" and not call.header("content-type").startswith("application/json"):
            raise RefusedError(
                _error(415, "UNSUPPORTED_MEDIA_TYPE", "The content type of the request is not supported.")
            )
        match (call.method, *call.parts):
            case ("POST", "services", "data", self.configuration.version, "composite", "sobjects"):
                records = objects(call.members().get("records"))
                self._check_count(len(records), RECORDS_MAX)
                return json_answer(200, [self._created(one) for one in records])
            case ("DELETE", "services", "data", self.configuration.version, "composite", "sobjects"):
                ids = call.query.get("ids", "").split(",")
                self._check_count(len(ids), RECORDS_MAX)
                return json_answer(200, [self._deleted(one) for one in ids])
            case ("POST", "services", "data", self.configuration.version, "composite"):
                return self._composite(objects(call.members().get("compositeRequest")))
            case ("POST", "services", "data", self.configuration.version, "sobjects", "Campaign"):
                return self._create(call.members())
            case ("DELETE", "services", "data", self.configuration.version, "sobjects", "Campaign", list_id):
                if self.lists.pop(list_id, None) is not None:
                    return Answer(status=204)
        raise RefusedError(_error(404, "NOT_FOUND", "The requested resource does not exist"))

    def _token(self, form: dict[str, str]) -> Answer:
        if form.get("grant_type") != "client_credentials":
            raise refused(400, {"error": "unsupported_grant_type", "error_description": "grant type not supported"})
        configuration = self.configuration
        if (form.get("client_id"), form.get("client_secret")) != (configuration.client_id, configuration.client_secret):
            raise refused(400, {"error": "invalid_client", "error_description": "invalid client credentials"})
        token = self._give_token(configuration.client_id, configuration.token_life_s)
        return json_answer(200, {"access_token": token, "token_type": "Bearer", "scope": "api"})

    def _check_count(self, count: int, most: int) -> None:
        if not 0 < count <= most:
            raise RefusedError(
                _error(400, "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {most} records")
            )

    def _create(self, body: Json) -> Answer:
        name = body.get("Name")
        if not isinstance(name, str) or not name:
            raise RefusedError(_error(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]"))
        list_id = f"701RM{len(self.lists):013d}"
        self._add_list(list_id, KeptList(name))
        return json_answer(201, {"id": list_id, "success": True, "errors": []})

    def _created(self, record: Json) -> Json:
        key, person = next(((name, record[name]) for name in _PERSON if record.get(name) is not None), ("", ""))
        kept = self.lists.get(str(record.get("CampaignId")))
        if not isinstance(person, str) or not key:
            return _failed("REQUIRED_FIELD_MISSING", "Required fields are missing: [LeadId or ContactId]")
        if kept is None or _PERSON[key].fullmatch(person) is None or person in self.configuration.refused_people:
            return _failed("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if person in self.configuration.locked:
            return _failed("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        if person in kept.people:
            return _failed("DUPLICATE_VALUE", "Already a campaign member.")
        self._numbers += 1
        member_id = f"00v{self._numbers:015d}"
        self._member_ids[member_id] = (str(record["CampaignId"]), person)
        kept.put([person], {"Id": member_id, "Status": record.get("Status")})
        self._count("added", 1)
        return {"id": member_id, "success": True, "errors": []}

    def _composite(self, requests: list[Json]) -> Answer:
        self._check_count(len(requests), SUBREQUESTS_MAX)
        if len(requests) > QUERIES_MAX:
            raise RefusedError(
                _error(400, "PROCESSING_HALTED", f"At most {QUERIES_MAX} of the subrequests can be queries")
            )
        return json_answer(200, {"compositeResponse": [self._queried(one) for one in requests]})

    def _queried(self, request: Json) -> Json:
        path, _, query = str(request.get("url")).partition("?q=")
        found = _QUERY.fullmatch(unquote_plus(query))
        if request.get("method") != "GET" or not path.endswith(f"/{self.configuration.version}/query") or found is None:
            body: object = [{"errorCode": "MALFORMED_QUERY", "message": "unexpected token"}]
            return {"httpStatusCode": 400, "referenceId": request.get("referenceId"), "body": body}
        kept = self.lists.get(found["campaign"])
        row = kept.people.get(found["person"]) if kept is not None else None
        records = [{"Id": row["Id"]}] if isinstance(row, dict) else []
        body = {"totalSize": len(records), "done": True, "records": records}
        return {"httpStatusCode": 200, "referenceId": request.get("referenceId"), "body": body}

    def _deleted(self, member_id: str) -> Json:
        campaign, person = self._member_ids.pop(member_id, ("", ""))
        kept = self.lists.get(campaign)
        if kept is None or not kept.drop([person]):
            return {"id": member_id, **_failed("ENTITY_IS_DELETED", "entity is deleted")}
        self._count("removed", 1)
        return {"id": member_id, "success": True, "errors": []}


def _failed(code: str, message: str) -> Json:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}
