"""A receiver of Standard Webhooks: calls about single members, and the four calls of a webhook audience.

It takes no call without a right signature of the last minutes. https://www.standardwebhooks.com/
"""

import base64
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.calls import Call
from gateway.sandbox.list_partner import (
    KeptList,
    ListConfiguration,
    ListPartner,
    OwnRefusal,
    Wait,
    faults_with,
    given,
    member,
    objects,
    refused,
)

MEMBERS_MAX = 1_000
MESSAGES_MAX = 100_000  # ids remembered
TYPES = {
    "audience.member.entered": True,
    "audience.member.updated": True,
    "audience.member.left": False,
}
SECRET = "whsec_" + base64.b64encode(b"a key of twenty-four byte").decode()

REFUSALS = {
    "busy": json_answer(429, {"error": "busy"}, headers=(("retry-after", "1"),)),
    "gone": json_answer(410, {"error": "gone"}),
    "signature": json_answer(401, {"error": "signature"}),
}


class WebhookRefusal(OwnRefusal, tag="refusal", frozen=True, kw_only=True):
    """A refusal of the receiver: too many calls, nobody listens any more, a signature that is not right."""

    case: Literal["busy", "gone", "signature"] = "busy"

    def own_answer(self) -> Answer:
        """Its error body."""
        return REFUSALS[self.case]


class WebhookConfiguration(ListConfiguration, frozen=True, kw_only=True):
    """secret: `whsec_` and Base64. tolerance_s: how far the time of a call may be off. lists: audiences that exist."""

    secret: Annotated[str, msgspec.Meta(pattern=r"^whsec_[A-Za-z0-9+/]+=*$", max_length=500)] = SECRET
    tolerance_s: Wait = 300.0


class Webhook(ListPartner[WebhookConfiguration]):
    """The partner of this name: `/webhook/hook` for single changes, `/webhook/audiences` for lists."""

    name = "webhook"
    title = "Webhook receiver"
    fault_kinds = faults_with(WebhookRefusal)
    fault_targets = ("change", "add", "remove", "list")

    def __init__(
        self, configuration: WebhookConfiguration | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(configuration or WebhookConfiguration(), clock=clock)

    def _begin(self) -> None:
        super()._begin()
        self._answered_ids: OrderedDict[str, Answer] = OrderedDict()

    def _login_told(self) -> str:
        return f"signing secret {self.configuration.secret}; single changes at /{self.name}/hook"

    def _too_fast(self, wait_s: float) -> Answer:
        return json_answer(429, {"error": "busy"}, headers=(("retry-after", str(max(1, round(wait_s)))),))

    def _target(self, call: Call) -> str:
        match call.parts:
            case ["hook"]:
                return "change"
            case ["audiences", _, "members", "add" | "remove" as verb]:
                return verb
            case ["audiences", *_]:
                return "list"
            case _:
                return ""

    def _answer(self, call: Call) -> Answer:
        message_id = self._checked_id(call)
        if message_id in self._answered_ids:
            return self._answered_ids[message_id]
        answer = self._done(call)
        if call.method != "GET":
            self._answered_ids[message_id] = answer
            if len(self._answered_ids) > MESSAGES_MAX:
                self._answered_ids.popitem(last=False)
        return answer

    def _checked_id(self, call: Call) -> str:
        """The message's id, when id, time and body are signed with the secret."""
        message_id, sent_at = call.header("webhook-id"), call.header("webhook-timestamp")
        key = base64.b64decode(self.configuration.secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"{message_id}.{sent_at}.".encode() + call.body, "sha256").digest()
        wanted = "v1," + base64.b64encode(digest).decode()
        is_signed = any(hmac.compare_digest(wanted, one) for one in call.header("webhook-signature").split(" "))
        is_recent = sent_at.isdecimal() and abs(int(sent_at) - self._clock()) <= self.configuration.tolerance_s
        if not message_id or not is_signed or not is_recent:
            raise refused(401, {"error": "signature"})
        return message_id

    def _done(self, call: Call) -> Answer:
        match (call.method, *call.parts):
            case ("POST", "hook"):
                return self._told(call.members())
            case ("GET", "audiences"):
                found = next((key for key, one in self.lists.items() if one.name == call.query.get("name")), None)
                if found is not None:
                    return json_answer(200, {"id": found})
            case ("POST", "audiences"):
                return self._create(call.members())
            case ("POST", "audiences", list_id, "members", "add" | "remove" as verb) if list_id in self.lists:
                return self._change(self.lists[list_id], objects(call.members().get("members")), is_added=verb == "add")
            case ("DELETE", "audiences", list_id) if list_id in self.lists:
                del self.lists[list_id]
                return Answer(status=204)
        raise refused(404, {"error": "There is nothing at this address."})

    def _told(self, body: dict[str, object]) -> Answer:
        kind, audience = body.get("type"), member(body, "data", "audience")
        names = _names(member(body, "data", "member"))
        list_id = next(iter(given(member(audience, "id"), member(audience, "key"))), "")
        if kind not in TYPES or not names or not list_id:
            raise refused(400, {"error": "A call has a type, an audience and a member."})
        kept = self.lists.setdefault(list_id, KeptList(list_id))
        if TYPES[str(kind)]:
            kept.put(names, member(body, "data", "member"))
        else:
            kept.drop(names)
        self._count("added" if TYPES[str(kind)] else "removed", 1)
        return Answer(status=204)

    def _create(self, body: dict[str, object]) -> Answer:
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise refused(400, {"error": "A list has a name."})
        list_id = self._free_id(1)
        self._add_list(list_id, KeptList(name, key=body.get("key")))
        return json_answer(201, {"id": list_id})

    def _change(self, kept: KeptList, people: list[dict[str, object]], *, is_added: bool) -> Answer:
        if len(people) > MEMBERS_MAX:
            raise refused(413, {"error": f"At most {MEMBERS_MAX} members."})
        errors: list[object] = []
        for one in people:
            names = _names(one)
            if not names or self.configuration.refused_people & set(names):
                errors.append({"index": one.get("index"), "code": "UNKNOWN", "message": f"{names} is unknown"})
            elif is_added:
                kept.put(names, one)
            else:
                kept.drop(names)
        self._count("added" if is_added else "removed", len(people) - len(errors))
        return json_answer(200, {"errors": errors})


def _names(person: object) -> list[str]:
    return given(*(member(person, name) for name in ("user_id", "anonymous_id", "email")))
