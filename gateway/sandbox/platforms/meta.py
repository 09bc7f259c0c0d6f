"""A fake Graph API: custom audiences by rows of digests, changed person by person or replaced whole in a session.

A row that cannot be read is counted and never named. https://developers.facebook.com/docs/marketing-api/reference/custom-audience/users
"""

import hmac
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
    faults_with,
    given,
    member,
    words,
)

ROWS_MAX = 10_000
REPLACE_S_MAX = 90 * 60  # a session that is not finished by then is forgotten

COLUMNS = frozenset(
    (
        "EXTERN_ID",
        "EMAIL",
        "PHONE",
        "GEN",
        "DOBY",
        "DOBM",
        "DOBD",
        "LN",
        "FN",
        "FI",
        "CT",
        "ST",
        "ZIP",
        "MADID",
        "COUNTRY",
    )
)
PLAIN = frozenset({"EXTERN_ID", "MADID"})
NAMING = ("EXTERN_ID", "EMAIL", "PHONE", "MADID")
SOURCES = frozenset({"USER_PROVIDED_ONLY", "PARTNER_PROVIDED_ONLY", "BOTH_USER_AND_PARTNER_PROVIDED"})

_DIGEST = re.compile(r"[0-9a-f]{64}")


def _error(status: int, code: int, message: str, subcode: int = 0, *, is_transient: bool = False) -> Answer:
    """Graph API's error body."""
    error: dict[str, object] = {
        "message": message,
        "type": "OAuthException",
        "code": code,
        "is_transient": is_transient,
    }
    return json_answer(status, {"error": error | ({"error_subcode": subcode} if subcode else {})})


REFUSALS = {
    "throttled": _error(400, 80003, "There have been too many calls to this ad-account. Wait a bit and try again."),
    "token": _error(400, 190, "Error validating access token: the session has expired."),
    "blocked": _error(400, 100, "Invalid parameter", 1713230),
    "permissions": _error(403, 200, "Permissions error"),
    "transient": _error(
        500, 2, "An unexpected error has occurred. Please retry your request later.", is_transient=True
    ),
}


class MetaRefusal(OwnRefusal, tag="refusal", frozen=True, kw_only=True):
    """A refusal of Graph API: too many calls, a bad token, an audience under restriction, missing rights, its own trouble."""

    case: Literal["throttled", "token", "blocked", "permissions", "transient"] = "throttled"

    def own_answer(self) -> Answer:
        """Its error body."""
        return REFUSALS[self.case]


class MetaConfiguration(ListConfiguration, frozen=True, kw_only=True):
    """token and app_secret: who may call. ad_account: without `act_`. version: others are refused as deprecated."""

    token: Text = "sandbox-token"  # noqa: S105 - the sandbox guards nothing
    app_secret: Text = "sandbox-secret"  # noqa: S105
    ad_account: Text = "4455667788"
    version: Text = "v26.0"
    lists: dict[str, Text] = msgspec.field(default_factory=lambda: {"23850000000001": "Sandbox audience"})


class _Session:
    """A replacement under way: what came so far, and which request is next."""

    def __init__(self, session_id: int, name: str, began_s: float) -> None:
        self.id = session_id
        self.began_s = began_s
        self.next = 1
        self.made = KeptList(name)


class Meta(ListPartner[MetaConfiguration]):
    """The partner of this name."""

    name = "meta"
    title = "Meta"
    place = "/v26.0"
    fault_kinds = faults_with(MetaRefusal)
    fault_targets = ("add", "remove", "replace", "list")

    def __init__(
        self, configuration: MetaConfiguration | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(configuration or MetaConfiguration(), clock=clock)

    def _begin(self) -> None:
        super()._begin()
        self._sessions: dict[str, _Session] = {}

    def _login_told(self) -> str:
        return f"bearer token {self.configuration.token}, app secret {self.configuration.app_secret}"

    def _too_fast(self, wait_s: float) -> Answer:  # noqa: ARG002 - Meta does not say
        return REFUSALS["throttled"]

    def _target(self, call: Call) -> str:
        match (call.method, *call.parts[1:]):
            case ("POST", _, "users"):
                return "add"
            case ("DELETE", _, "users"):
                return "remove"
            case ("POST", _, "usersreplace"):
                return "replace"
            case (_, _, "customaudiences") | ("DELETE", _):
                return "list"
            case _:
                return ""

    def _answer(self, call: Call) -> Answer:
        self._check_login(call)
        match (call.method, *call.parts[1:]):
            case ("POST", account, "customaudiences") if account == f"act_{self.configuration.ad_account}":
                return self._create(call.members())
            case ("POST" | "DELETE", list_id, "users"):
                return self._change(call, list_id)
            case ("POST", list_id, "usersreplace"):
                return self._replace(call, list_id)
            case ("DELETE", list_id) if list_id in self.lists:
                del self.lists[list_id]
                return json_answer(200, {"success": True})
            case _:
                raise RefusedError(_error(400, 100, "Unsupported request: no such object, or missing permissions.", 33))

    def _check_login(self, call: Call) -> None:
        configuration = self.configuration
        if call.parts[0] != configuration.version:
            raise RefusedError(_error(400, 2635, "You are calling a deprecated version of the Ads API."))
        token = call.bearer or call.query.get("access_token", "")
        if token != configuration.token:
            raise RefusedError(REFUSALS["token"])
        proof = call.query.get("appsecret_proof")
        wanted = hmac.new(configuration.app_secret.encode(), token.encode(), "sha256").hexdigest()
        if proof is not None and proof != wanted:
            raise RefusedError(_error(400, 100, "Invalid appsecret_proof provided in the API argument"))

    def _create(self, body: dict[str, object]) -> Answer:
        name = body.get("name")
        if not isinstance(name, str) or not name or body.get("subtype") != "CUSTOM":
            raise RefusedError(_error(400, 100, "(#100) The parameters name and subtype are required"))
        if body.get("customer_file_source") not in SOURCES:
            raise RefusedError(_error(400, 100, "(#100) Param customer_file_source must be one of its values"))
        list_id = self._free_id(23850000000001)
        self._add_list(list_id, KeptList(name))
        return json_answer(200, {"id": list_id})

    def _change(self, call: Call, list_id: str) -> Answer:
        kept = self._list(list_id)
        if self._open_session(list_id) is not None:
            raise RefusedError(
                _error(400, 2650, "Failed to update the custom audience: an update is in progress", 1870145)
            )
        good, received = self._rows(call.members().get("payload"))
        for names, row in good:
            if call.method == "POST":
                kept.put(names, row)
            else:
                kept.drop(names)
        self._count("added" if call.method == "POST" else "removed", len(good))
        return _received(list_id, received, received - len(good))

    def _replace(self, call: Call, list_id: str) -> Answer:
        kept, session = self._list(list_id), call.members().get("session")
        number, sequence = member(session, "session_id"), member(session, "batch_seq")
        is_last = member(session, "last_batch_flag")
        if not _is_number(number) or not _is_number(sequence) or not isinstance(is_last, bool):
            raise RefusedError(_error(400, 100, "(#100) The parameter session is required, with its id and sequence"))
        assert isinstance(number, int)
        opened = self._open_session(list_id)
        if opened is not None and opened.id != number:
            raise RefusedError(
                _error(400, 2650, "Failed to update the custom audience: an update is in progress", 1870145)
            )
        good, received = self._rows(call.members().get("payload"))
        if opened is None:
            opened = self._sessions[list_id] = _Session(number, kept.name, self._clock())
        assert isinstance(sequence, int)
        if sequence > opened.next:
            if opened.next == 1:
                del self._sessions[list_id]
            raise RefusedError(
                _error(400, 2650, "Invalid Upload Batch for Replace: a batch before it is missing", 1870147)
            )
        for names, row in good:
            opened.made.put(names, row)
        opened.next = max(opened.next, sequence + 1)
        self._count("added", len(good))
        if is_last:
            del self._sessions[list_id]
            self.lists[list_id] = opened.made
        return _received(list_id, received, received - len(good), session_id=str(number))

    def _open_session(self, list_id: str) -> _Session | None:
        opened = self._sessions.get(list_id)
        if opened is not None and opened.began_s + REPLACE_S_MAX <= self._clock():
            del self._sessions[list_id]
            return None
        return opened

    def _list(self, list_id: str) -> KeptList:
        kept = self.lists.get(list_id)
        if kept is None:
            raise RefusedError(_error(400, 100, "Unsupported request: no such object, or missing permissions.", 33))
        return kept

    def _rows(self, payload: object) -> tuple[list[tuple[list[str], object]], int]:
        """(identifiers, row) of the good ones, and how many there were."""
        schema, data = member(payload, "schema"), member(payload, "data")
        columns = words(schema)
        if not columns or not set(columns) <= COLUMNS or not isinstance(data, list):
            raise RefusedError(_error(400, 100, "(#100) param payload must have a schema of known keys and data"))
        if len(data) > ROWS_MAX:
            raise RefusedError(_error(400, 100, f"(#100) At most {ROWS_MAX} entries can be sent at once"))
        good: list[tuple[list[str], object]] = []
        for row in data:
            cells = dict(zip(columns, row, strict=False)) if isinstance(row, list) and len(row) == len(columns) else {}
            if self._is_good(cells):
                named = given(*(cells.get(name) for name in NAMING))
                good.append((named or ["|".join(map(str, row))], row))
        return good, len(data)

    def _is_good(self, cells: dict[str, object]) -> bool:
        return any(cells.values()) and all(
            isinstance(cell, str)
            and cell not in self.configuration.refused_people
            and (name in PLAIN or not cell or _DIGEST.fullmatch(cell) is not None)
            for name, cell in cells.items()
        )


def _received(list_id: str, received: int, invalid: int, **more: object) -> Answer:
    return json_answer(
        200,
        {
            "audience_id": list_id,
            **more,
            "num_received": received,
            "num_invalid_entries": invalid,
            "invalid_entry_samples": {},
        },
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
