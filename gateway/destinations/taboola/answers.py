"""Taboola's answers, read into outcomes, tokens and audience ids, and the answers it gives when all is well. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Literal

import msgspec

from gateway.core.answers import (
    RETRIED_STATUSES,
    json_object,
    outcome_of_status,
    status_text,
)
from gateway.core.definitions import Choice
from gateway.core.http_messages import Answer
from gateway.core.javascript import number_text
from gateway.core.masking import mask_text
from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable

PARTNER: Final = "Taboola"
TOO_MANY_WAIT_S: Final = 30.0  # after a 429 that says nothing of when
NOT_READY_WAIT_S: Final = 600.0  # ours: a new audience can be used after up to an hour
NOT_READY_US: Final = 2 * 3600 * 1_000_000  # ours: for so long an audience counts as new
TOKEN_LIFE_S: Final = 43_200.0  # Taboola's, where the answer does not say
TOKEN_LIFE_S_MAX: Final = 1e9  # ours; more is nonsense
TOKEN_CHARS_MAX: Final = 8_192  # ours
CODE_CHARS_MAX: Final = 100  # ours
ACCOUNTS_MAX: Final = 1_000  # ours

AUDIENCE_FIELD: Final = "audience_id"
# Where Taboola lays a refusal on one of these, one record may be at fault; on anything else, the whole request.
RECORD_FIELDS: Final = ("", "identities", "cluster", "user_id", "type", "is_hashed")

_TOO_MANY: Final = 429


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An access token and for how many seconds it is good."""

    text: str
    life_s: float


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """An audience made or found by its name. differs: settings that it keeps otherwise than was asked."""

    external_id: str
    differs: tuple[str, ...] = ()


# --- People ---


def read_users(answer: Answer, *, now_us: int, known: frozenset[str], is_new: bool = False) -> Outcome:
    """The outcome of everybody in the request: Taboola says nothing of single people, and its 200 has no body.

    known: words that reasons must not repeat. is_new: the audience was created less than NOT_READY_US ago.
    """
    fault = _Fault.of(answer)
    if is_new and blames_audience(answer):
        return Deferred(
            reason=f"Taboola does not know the new audience yet (answered {answer.status}).",
            wait_s=NOT_READY_WAIT_S,
            status=answer.status,
            concerns="delivery",
        )
    outcome = _by_status(answer, now_us, fault.told(known))
    if isinstance(outcome, Refused) and outcome.splittable and fault.field.partition("[")[0] not in RECORD_FIELDS:
        return msgspec.structs.replace(outcome, splittable=False)
    return outcome


def blames_audience(answer: Answer) -> bool:
    """A 400 that names the audience's id: it is unknown, of another kind, or too new."""
    return answer.status == 400 and _Fault.of(answer).field == AUDIENCE_FIELD


def _by_status(answer: Answer, now_us: int, reason: str = "") -> Outcome:
    outcome = outcome_of_status(answer.status, answer.headers, now_us=now_us, partner=PARTNER, reason=reason)
    if answer.status == _TOO_MANY and isinstance(outcome, Unreachable):
        return Deferred(reason=outcome.reason, wait_s=TOO_MANY_WAIT_S)
    return outcome


# --- The token ---


def read_token(answer: Answer, *, now_us: int) -> Token | Outcome:
    """The token, or what its lack means for every delivery. Bodies of refusals are not read: some are XML, some pages.

    Whatever refuses the login holds the lane, a wrong address too: no delivery is at fault.
    """
    if not 200 <= answer.status < 300:
        if answer.status in RETRIED_STATUSES or (answer.status >= 500 and answer.status != 501):
            return _by_status(answer, now_us, "no access token.")
        checked = "client_id and client_secret"
        if answer.status == HTTPStatus.NOT_FOUND:
            checked = "`backstage_base_url`: nothing gives tokens there"
        return Unauthorized(
            reason=f"Taboola answered {status_text(answer.status)}: no access token. Check {checked}.",
            status=answer.status,
        )
    body = json_object(answer.body)
    text = body.get("access_token")
    if (
        not isinstance(text, str)
        or not text
        or len(text) > TOKEN_CHARS_MAX
        or not text.isascii()
        or not text.isprintable()
    ):
        return Refused(reason=f"Taboola answered {answer.status} without an access token.", status=answer.status)
    life = body.get("expires_in")
    is_said = isinstance(life, (int, float)) and not isinstance(life, bool) and 0 <= life < TOKEN_LIFE_S_MAX
    return Token(text=text, life_s=float(life) if is_said else TOKEN_LIFE_S)  # type: ignore[arg-type] # a number if said


# --- Accounts ---


def read_accounts(answer: Answer) -> tuple[Choice, ...]:
    """The accounts by alphabetic id, with their names; none for an answer that lists none."""
    listed = json_object(answer.body).get("results") if answer.status == 200 else None
    if not isinstance(listed, list):
        return ()
    named = [(one.get("account_id"), one.get("name")) for one in listed[:ACCOUNTS_MAX] if isinstance(one, dict)]
    return tuple(Choice(value=value, label=str(label or value)) for value, label in named if isinstance(value, str))


# --- Creating ---


def read_created(answer: Answer, *, asked: dict[str, object], now_us: int, known: frozenset[str]) -> Created | Outcome:
    """The audience's id, or why there is none. A refusal is the audience's, never one person's."""
    outcome = _by_status(answer, now_us, _Fault.of(answer).told(known))
    if not isinstance(outcome, Delivered):
        outcome = msgspec.structs.replace(outcome, reason=f"AUDIENCE_CREATION_FAILED: {outcome.reason}")
        return msgspec.structs.replace(outcome, splittable=False) if isinstance(outcome, Refused) else outcome
    body = json_object(answer.body)
    external_id = _id_text(body.get("audience_id"))
    if not external_id:
        return Refused(
            reason=f"AUDIENCE_CREATION_FAILED: Taboola answered {answer.status} without an audience id.",
            status=answer.status,
        )
    compared = ("ttl_in_hours", "exclude_from_campaigns")
    differs = tuple(key for key in compared if key in asked and key in body and body[key] != asked[key])
    return Created(external_id=external_id, differs=differs)


def _id_text(value: object) -> str:
    """An id as text; nothing for one that is missing, null, zero or no id at all."""
    if isinstance(value, str):
        text = value.strip()
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif isinstance(value, float):
        text = number_text(value)
    else:
        return ""
    return text if text.isascii() and text.isdigit() and text.strip("0") and len(text) <= 40 else ""


# --- Refusals ---


class _Fault(msgspec.Struct, frozen=True):
    """What an error body says: `offending_field` and `message_code`; its message is not read."""

    field: str = ""
    code: str = ""

    @classmethod
    def of(cls, answer: Answer) -> _Fault:
        if 200 <= answer.status < 300:
            return cls()
        body = json_object(answer.body)
        return cls(_word(body.get("offending_field")), _word(body.get("message_code")))

    def told(self, known: frozenset[str]) -> str:
        parts = [("field ", self.field), ("code ", self.code)]
        said = ", ".join(f"{name}{mask_text(text, known=known)}" for name, text in parts if text)
        return f"{said}." if said else ""


def _word(value: object) -> str:
    return value.strip() if isinstance(value, str) and len(value) <= CODE_CHARS_MAX else ""


# --- Rehearsals ---


def success_answer(call: Literal["token", "create", "users"], body: bytes) -> Answer:
    """What Taboola answers to a call when everything is in order."""
    if call == "users":
        return Answer(status=200)
    if call == "token":
        value: dict[str, object] = {"access_token": "rehearsal-token", "token_type": "bearer", "expires_in": 43_200}
    else:
        value = {**json_object(body), "audience_id": 1}
    return Answer(status=200, headers={"content-type": "application/json"}, body=msgspec.json.encode(value))
