"""A fake Braze REST API: an array attribute of profiles; wrong objects are listed by place, right ones are taken.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track
"""

import time
from collections.abc import Callable
from typing import Literal

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.calls import Call
from gateway.sandbox.configuring import Text
from gateway.sandbox.list_partner import (
    ListConfiguration,
    ListPartner,
    OwnRefusal,
    RefusedError,
    faults_with,
    member,
    objects,
    words,
)

OBJECTS_MAX = 75
NAMING = ("external_id", "braze_id", "email", "phone")
EXTERNAL_ID_CHARACTERS_MAX = 997
ATTRIBUTE = "audiences"

REFUSALS = {
    "rate": json_answer(429, {"message": "Rate limit exceeded"}),
    "key": json_answer(401, {"message": "Invalid API key"}),
    "permission": json_answer(403, {"message": "The API key has no users.track permission"}),
    "internal": json_answer(500, {"message": "Internal Server Error"}),
}


class BrazeRefusal(OwnRefusal, tag="refusal", frozen=True, kw_only=True):
    """A refusal of Braze's: too many calls, a bad key, a key without the permission, its own trouble."""

    case: Literal["rate", "key", "permission", "internal"] = "rate"

    def own_answer(self) -> Answer:
        """Its error body."""
        return REFUSALS[self.case]


class BrazeConfiguration(ListConfiguration, frozen=True, kw_only=True):
    """api_key: who may call. strangers: identifiers no profile has. lists: values of the array attribute `audiences`."""

    api_key: Text = "sandbox-key"
    strangers: frozenset[str] = frozenset()
    calls_max: int | None = 3_000
    calls_window_s: float = 3.0


class Braze(ListPartner[BrazeConfiguration]):
    """The partner of this name. A list is the set of profiles whose array holds its value; ids and names are the same."""

    name = "braze"
    title = "Braze"
    fault_kinds = faults_with(BrazeRefusal)
    fault_targets = ("track",)

    def __init__(
        self, configuration: BrazeConfiguration | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(configuration or BrazeConfiguration(), clock=clock)

    def _login_told(self) -> str:
        return f"bearer token {self.configuration.api_key}"

    def _too_fast(self, wait_s: float) -> Answer:
        reset = ("x-ratelimit-reset", str(round(self._clock() + wait_s)))
        return json_answer(429, {"message": "Rate limit exceeded"}, headers=(reset,))

    def _target(self, call: Call) -> str:
        return "track" if call.parts == ["users", "track"] else ""

    def _answer(self, call: Call) -> Answer:
        if call.bearer != self.configuration.api_key:
            raise RefusedError(REFUSALS["key"])
        if (call.method, call.parts) != ("POST", ["users", "track"]):
            raise RefusedError(json_answer(404, {"message": "There is nothing at this address."}))
        attributes = objects(call.members().get("attributes"))
        if len(attributes) > OBJECTS_MAX:
            raise RefusedError(json_answer(400, {"message": f"'attributes' may have at most {OBJECTS_MAX} objects."}))
        errors: list[object] = []
        for place, one in enumerate(attributes):
            if problem := self._take(one):
                errors.append({"type": problem, "input_array": "attributes", "index": place})
        listed: dict[str, object] = {"errors": errors} if errors else {}
        if len(errors) == len(attributes):
            message = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
            raise RefusedError(json_answer(400, {"message": message, **listed}))
        processed = {"attributes_processed": len(attributes) - len(errors)}
        return json_answer(201, {"message": "success", **processed, **listed})

    def _take(self, one: dict[str, object]) -> str:
        """Change one profile; why not, or nothing."""
        named = [one[name] for name in NAMING if name in one]
        if len(named) != 1 or not isinstance(named[0], str) or not named[0]:
            return "one of 'external_id', 'user_alias', 'braze_id', 'email' or 'phone' is required"
        person = named[0]
        if len(person) > EXTERNAL_ID_CHARACTERS_MAX or person in self.configuration.refused_people:
            return f"'{next(name for name in NAMING if name in one)}' is not valid"
        added, removed = words(member(one, ATTRIBUTE, "add")), words(member(one, ATTRIBUTE, "remove"))
        if person in self.configuration.strangers and one.get("_update_existing_only") is True:
            return ""  # Braze passes over those in silence.
        for value in added:
            self.lists.setdefault(value, self._new_list(value)).put([person], {})
        for value in removed:
            self.lists.setdefault(value, self._new_list(value)).drop([person])
        self._count("added", len(added))
        self._count("removed", len(removed))
        return ""
