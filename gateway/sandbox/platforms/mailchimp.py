"""A fake Mailchimp Marketing API: static segments of an audience; addresses that are no contacts are listed.

https://mailchimp.com/developer/marketing/api/list-segments/batch-add-or-remove-members/
"""

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
    faults_with,
    is_texts,
    words,
)

MEMBERS_MAX = 500
CONNECTIONS_MAX = 10


def _problem(status: int, title: str, detail: str) -> Answer:
    """Mailchimp's error body, a problem document."""
    body = {"type": "https://mailchimp.com/developer/marketing/docs/errors/", "title": title, "status": status}
    return json_answer(status, {**body, "detail": detail, "instance": "sandbox"})


REFUSALS = {
    "rate": _problem(
        429, "Too Many Requests", f"You have exceeded the limit of {CONNECTIONS_MAX} simultaneous connections."
    ),
    "key": _problem(
        401, "API Key Invalid", "Your API key may be invalid, or you've attempted to access the wrong datacenter."
    ),
    "disabled": _problem(403, "User Disabled", "This account has been disabled."),
    "blocked": Answer(
        status=403,
        headers=(("content-type", "text/html"),),
        body=b"<html><head><title>Access Denied</title></head><body><h1>Access Denied</h1></body></html>",
    ),
    "internal": _problem(500, "Internal Server Error", "An unexpected internal error has occurred."),
}


class MailchimpRefusal(OwnRefusal, tag="refusal", frozen=True, kw_only=True):
    """A refusal of Mailchimp's: too many calls at a time, a bad key, a disabled account, a flood of calls, its own trouble."""

    case: Literal["rate", "key", "disabled", "blocked", "internal"] = "rate"

    def own_answer(self) -> Answer:
        """Its error body."""
        return REFUSALS[self.case]


class MailchimpConfiguration(ListConfiguration, frozen=True, kw_only=True):
    """api_key: who may call. audience: the one there is. lists: its tags. refused_people: addresses that are no contacts."""

    api_key: Text = "sandbox-key-us6"
    audience: Text = "a1b2c3d4e5"
    lists: dict[str, Text] = msgspec.field(default_factory=lambda: {"49381": "Sandbox tag"})


class Mailchimp(ListPartner[MailchimpConfiguration]):
    """The partner of this name."""

    name = "mailchimp"
    title = "Mailchimp"
    place = "/3.0"
    fault_kinds = faults_with(MailchimpRefusal)
    fault_targets = ("change", "list")

    def __init__(
        self, configuration: MailchimpConfiguration | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(configuration or MailchimpConfiguration(), clock=clock)

    def _login_told(self) -> str:
        return f"any user with the password {self.configuration.api_key}, audience {self.configuration.audience}"

    def _too_fast(self, wait_s: float) -> Answer:  # noqa: ARG002 - Mailchimp does not say
        return REFUSALS["rate"]

    def _target(self, call: Call) -> str:
        match call.parts:
            case ["3.0", "lists", _, "segments", _] if call.method == "POST":
                return "change"
            case ["3.0", "lists", _, "segments", *_]:
                return "list"
            case _:
                return ""

    def _answer(self, call: Call) -> Answer:
        if not call.basic.endswith(f":{self.configuration.api_key}"):
            raise RefusedError(REFUSALS["key"])
        if sum(not one.is_done for one in self.log) > CONNECTIONS_MAX:
            raise RefusedError(REFUSALS["rate"])
        match (call.method, *call.parts):
            case ("POST", "3.0", "lists", self.configuration.audience, "segments"):
                return self._create(call.members())
            case ("POST", "3.0", "lists", self.configuration.audience, "segments", list_id) if list_id in self.lists:
                return self._change(self.lists[list_id], call.members())
            case ("DELETE", "3.0", "lists", self.configuration.audience, "segments", list_id) if list_id in self.lists:
                del self.lists[list_id]
                return Answer(status=204)
            case _:
                raise RefusedError(_problem(404, "Resource Not Found", "The requested resource could not be found."))

    def _create(self, body: dict[str, object]) -> Answer:
        name = body.get("name")
        if not isinstance(name, str) or not name or not is_texts(body.get("static_segment")):
            raise RefusedError(_problem(400, "Invalid Resource", "The resource submitted could not be validated."))
        list_id = self._free_id(49381)
        self._add_list(list_id, KeptList(name))
        return json_answer(200, {"id": int(list_id), "name": name, "member_count": 0, "type": "static"})

    def _change(self, kept: KeptList, body: dict[str, object]) -> Answer:
        adds, removes = words(body.get("members_to_add")), words(body.get("members_to_remove"))
        if not adds and not removes:
            raise RefusedError(_problem(400, "Invalid Resource", "The resource submitted could not be validated."))
        if max(len(adds), len(removes)) > MEMBERS_MAX:
            detail = f"Maximum allowed member items exceeded, please provide at most {MEMBERS_MAX} items"
            raise RefusedError(
                _problem(400, "Invalid Resource", f"{detail} in members_to_add field or members_to_remove field")
            )
        strangers = [one for one in adds if one in self.configuration.refused_people]
        added = [one for one in adds if one not in self.configuration.refused_people]
        for one in added:
            kept.put([one], {"email_address": one})
        removed = [one for one in removes if kept.drop([one])]
        self._count("added", len(added))
        self._count("removed", len(removed))
        told = "Email addresses are not subscribed to the list"
        errors = [{"email_addresses": strangers, "error": told}] if strangers else []
        return json_answer(
            200,
            {
                "members_added": [{"email_address": one} for one in added],
                "members_removed": [{"email_address": one} for one in removed],
                "errors": errors,
                "total_added": len(added),
                "total_removed": len(removed),
                "error_count": len(strangers),
            },
        )
