"""A fake HubSpot CRM: contacts by email, static lists by record ids; a batch answers 207 where some inputs are refused.

https://developers.hubspot.com/docs/api-reference/2026-03/crm/lists/guide
"""

import re
import time
from collections import Counter
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
    faults_with,
    objects,
    words,
)

INPUTS_MAX = 100

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def _error(status: int, category: str, message: str) -> Answer:
    """HubSpot's error body."""
    body = {"status": "error", "message": message, "category": category, "correlationId": "sandbox"}
    return json_answer(status, body)


REFUSALS = {
    "rate": json_answer(
        429,
        {
            "status": "error",
            "message": "You have reached your ten_secondly_rolling limit.",
            "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING",
        },
    ),
    "token": _error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found."),
    "scopes": _error(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call."),
    "lists_busy": _error(503, "INTERNAL_ERROR", "The service is not available at the moment."),
}


class HubSpotRefusal(OwnRefusal, tag="refusal", frozen=True, kw_only=True):
    """A refusal of HubSpot's: too many calls, a bad token, missing scopes, its own trouble."""

    case: Literal["rate", "token", "scopes", "lists_busy"] = "rate"

    def own_answer(self) -> Answer:
        """Its error body."""
        return REFUSALS[self.case]


class HubSpotConfiguration(ListConfiguration, frozen=True, kw_only=True):
    """token: who may call; version: others are unknown. contacts: emails that are contacts from the start. lists: static ones."""

    token: Text = "sandbox-token"  # noqa: S105 - the sandbox guards nothing
    version: Text = "2026-03"
    contacts: tuple[Text, ...] = ()
    lists: dict[str, Text] = msgspec.field(default_factory=lambda: {"4711": "Sandbox list"})
    calls_max: int | None = 190
    calls_window_s: float = 10.0


class HubSpot(ListPartner[HubSpotConfiguration]):
    """The partner of this name. contacts: record id → email."""

    name = "hubspot"
    title = "HubSpot"
    fault_kinds = faults_with(HubSpotRefusal)
    fault_targets = ("upsert", "read", "add", "remove", "list")

    def __init__(
        self, configuration: HubSpotConfiguration | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(configuration or HubSpotConfiguration(), clock=clock)

    def _begin(self) -> None:
        super()._begin()
        self.contacts = {str(101 + place): email for place, email in enumerate(self.configuration.contacts)}
        self._ids = {email: record for record, email in self.contacts.items()}

    def _new_list(self, name: str) -> KeptList:
        return KeptList(name, processingType="MANUAL", objectTypeId="0-1")

    def _login_told(self) -> str:
        return f"bearer token {self.configuration.token}"

    def _too_fast(self, wait_s: float) -> Answer:  # noqa: ARG002 - HubSpot does not say
        return REFUSALS["rate"]

    def _target(self, call: Call) -> str:
        match call.parts:
            case ["crm", "objects", _, "contacts", "batch", "upsert" | "read" as verb]:
                return verb
            case ["crm", "lists", _, _, "memberships", "add" | "remove" as verb]:
                return verb
            case ["crm", "lists", *_]:
                return "list"
            case _:
                return ""

    def _answer(self, call: Call) -> Answer:
        if call.bearer != self.configuration.token:
            raise RefusedError(REFUSALS["token"])
        match (call.method, *call.parts):
            case ("POST", "crm", "objects", self.configuration.version, "contacts", "batch", "upsert" | "read" as verb):
                return self._batch(call.members(), is_upsert=verb == "upsert")
            case ("GET", "crm", "lists", self.configuration.version, "object-type-id", "0-1", "name", name):
                found = next((key for key, one in self.lists.items() if one.name == name), None)
                return self._told(found) if found is not None else self._no_list()
            case ("POST", "crm", "lists", self.configuration.version):
                return self._create(call.members())
            case ("PUT", "crm", "lists", self.configuration.version, list_id, "memberships", "add" | "remove" as verb):
                return self._members(list_id, call.json(), is_added=verb == "add")
            case ("DELETE", "crm", "lists", self.configuration.version, list_id):
                return Answer(status=204) if self.lists.pop(list_id, None) is not None else self._no_list()
            case _:
                raise RefusedError(_error(404, "OBJECT_NOT_FOUND", "There is nothing at this address."))

    def _no_list(self) -> Answer:
        raise RefusedError(_error(404, "OBJECT_NOT_FOUND", "List does not exist."))

    def _told(self, list_id: str) -> Answer:
        kept = self.lists[list_id]
        return json_answer(200, {"list": {"listId": list_id, "name": kept.name, **kept.facts}})

    def _create(self, body: dict[str, object]) -> Answer:
        name = body.get("name")
        if not isinstance(name, str) or not name or body.get("objectTypeId") != "0-1":
            raise RefusedError(_error(400, "VALIDATION_ERROR", "A list needs a name and an objectTypeId."))
        if body.get("processingType") not in ("MANUAL", "SNAPSHOT", "DYNAMIC"):
            raise RefusedError(_error(400, "VALIDATION_ERROR", "A list needs a processingType."))
        if any(one.name == name for one in self.lists.values()):
            raise RefusedError(_error(400, "VALIDATION_ERROR", "A list of this name exists already."))
        list_id = self._free_id(4711)
        self._add_list(list_id, KeptList(name, processingType=body["processingType"], objectTypeId="0-1"))
        return self._told(list_id)

    def _batch(self, body: dict[str, object], *, is_upsert: bool) -> Answer:
        inputs = objects(body.get("inputs"))
        if not 0 < len(inputs) <= INPUTS_MAX:
            raise RefusedError(_error(400, "VALIDATION_ERROR", f"A batch has 1 to {INPUTS_MAX} inputs."))
        named_by = {one.get("idProperty") for one in inputs} if is_upsert else {body.get("idProperty")}
        if named_by != {"email"}:
            raise RefusedError(_error(400, "VALIDATION_ERROR", "Contacts are told apart by idProperty email here."))
        emails = [str(one.get("id", "")) for one in inputs]
        if is_upsert and any(count > 1 for count in Counter(emails).values()):
            raise RefusedError(
                _error(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input. IDs must be unique.")
            )
        results: list[object] = []
        errors: list[object] = []
        for email, one in zip(emails, inputs, strict=True):
            if is_upsert and (_EMAIL.fullmatch(email) is None or email in self.configuration.refused_people):
                context = {"objectWriteTraceId": [one.get("objectWriteTraceId")]}
                message = f"Property values were not valid: Email address {email} is invalid"
                errors.append(
                    {"status": "error", "category": "VALIDATION_ERROR", "message": message, "context": context}
                )
                continue
            if is_upsert and email not in self._ids:
                record = str(101 + len(self.contacts))
                self.contacts[record], self._ids[email] = email, record
            if email in self._ids:
                results.append({"id": self._ids[email], "properties": {"email": email}})
            else:
                errors.append({"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": [email]}})
        more = {"numErrors": len(errors), "errors": errors} if errors else {}
        return json_answer(207 if errors else 200, {"status": "COMPLETE", "results": results, **more})

    def _members(self, list_id: str, ids: object, *, is_added: bool) -> Answer:
        kept = self.lists.get(list_id)
        if kept is None:
            return self._no_list()
        if kept.facts["processingType"] == "DYNAMIC":
            raise RefusedError(_error(400, "VALIDATION_ERROR", "The members of an active list cannot be changed."))
        if not words(ids):
            raise RefusedError(_error(400, "VALIDATION_ERROR", "The body is a list of record ids."))
        known = [one for one in words(ids) if one in self.contacts]
        if is_added:
            for one in known:
                kept.put([self.contacts[one]], {"id": one})
        else:
            known = [one for one in known if kept.drop([self.contacts[one]])]
        self._count("added" if is_added else "removed", len(known))
        missing = [one for one in words(ids) if one not in self.contacts]
        changed = {"recordsIdsAdded": known if is_added else [], "recordIdsRemoved": [] if is_added else known}
        return json_answer(200, {**changed, "recordIdsMissing": missing})
