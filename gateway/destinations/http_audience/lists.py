"""The optional life cycle of a list: found by name or made at first need, its id kept in notes; deleted only when told to."""

from __future__ import annotations

import hashlib

from gateway.core.answers import status_text
from gateway.core.http_messages import Answer, NoAnswerError
from gateway.core.outcomes import Deferred, Outcome, Refused, Unauthorized, Unreachable
from gateway.destinations.base import Notes
from gateway.destinations.http_audience.answers import is_success, saved_values
from gateway.destinations.http_audience.bodies import body_bytes
from gateway.destinations.http_audience.delivering import REHEARSED, Courier
from gateway.destinations.http_audience.fields import Rejection
from gateway.destinations.http_audience.login import LoginError
from gateway.destinations.http_audience.shape import AUDIENCE_ID, AnswerError, RequestRule
from gateway.destinations.http_audience.tokens import TokenRefusedError
from gateway.destinations.http_audience.wire import Facts, build_request

ID_CHARS_MAX = 500


class ListError(Exception):
    """The list could not be found, made or deleted. outcome: what that means for the records that wait for it."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(getattr(outcome, "reason", ""))


def note_key(audience_key: str) -> str:
    """Under this note stands the id of the list made for an audience."""
    return f"list/{hashlib.blake2b(audience_key.encode(), digest_size=12).hexdigest()}"


async def found_or_made(courier: Courier, facts: Facts) -> str:
    """The id of the list for an audience: as noted, else found by `audience.get`, else made. Raises ListError."""
    noted = await noted_list(courier.context.notes, facts)
    if noted:
        return noted
    found = await find_list(courier, facts)
    return found or await make_list(courier, facts)


async def noted_list(notes: Notes, facts: Facts) -> str:
    """The id kept for an audience, or nothing."""
    return (await notes.get(_note_of(facts)) or b"").decode()


async def find_list(courier: Courier, facts: Facts) -> str:
    """The id that `audience.get` gives, which is kept; nothing where there is no such request or no such list. Raises ListError."""
    rule = courier.file.lists.get
    found = await _found(courier, rule, facts) if rule is not None else ""
    if found:
        await courier.context.notes.put(_note_of(facts), found.encode())
    return found


async def make_list(courier: Courier, facts: Facts) -> str:
    """The id of a list made now, which is kept. Raises ListError."""
    rule = courier.file.lists.create
    if rule is None:
        raise ListError(Refused(reason="action_not_configured: The definition has no `audience.create`."))
    made = _id_of(courier, rule, await _asked(courier, rule, facts))
    await courier.context.notes.put(_note_of(facts), made.encode())
    return made


async def delete_list(courier: Courier, facts: Facts) -> None:
    """Delete a list at the partner; one that is gone already is deleted. Raises ListError."""
    rule = courier.file.lists.delete
    if rule is None:
        raise ListError(Refused(reason="action_not_configured: The definition has no `audience.delete`."))
    await _asked(courier, rule, facts, accepted=frozenset({404, 410}))
    await courier.context.notes.put(_note_of(facts), b"")


def _note_of(facts: Facts) -> str:
    return note_key(str(facts.audience.get("key", "")))


async def _found(courier: Courier, rule: RequestRule, facts: Facts) -> str:
    """The id that `get` gives; nothing when there is no such list."""
    answer = await _asked(courier, rule, facts, accepted=frozenset({404}))
    if answer.status == 404:
        return ""
    try:
        return _checked_id(saved_values(rule, answer)) if answer is not REHEARSED else ""
    except AnswerError:
        return ""


def _id_of(courier: Courier, rule: RequestRule, answer: Answer) -> str:
    if answer is REHEARSED:
        return next((one.example for one in courier.file.target if one.key == AUDIENCE_ID and one.example), "0")
    try:
        return _checked_id(saved_values(rule, answer))
    except AnswerError as error:
        reason = f"response_unreadable: {courier.file.name} made a list, and {error}."
        raise ListError(Unreachable(reason=reason, status=answer.status)) from None


def _checked_id(saved: dict[str, object]) -> str:
    given = saved.get(AUDIENCE_ID)
    if isinstance(given, bool) or not isinstance(given, (str, int)) or not 0 < len(str(given)) <= ID_CHARS_MAX:
        raise AnswerError("the list's id is no text and no number")
    return str(given)


async def _asked(
    courier: Courier, rule: RequestRule, facts: Facts, *, accepted: frozenset[int] = frozenset()
) -> Answer:
    """Send one request that carries no records. Raises ListError unless it went well."""
    scope: dict[str, object] = {
        "connection": facts.connection, "settings": courier.access.settings, "audience": facts.audience, "run": facts.run,
        "records": [], "steps": {},
    }  # fmt: skip
    body, _, whole = body_bytes(rule, scope, 0)
    if whole is not None:
        raise ListError(Refused(reason=whole.reason))
    try:
        built = build_request(courier.file, rule, scope, body, await courier.ready())
        if isinstance(built, Rejection):
            raise ListError(Refused(reason=built.reason))
        answer = await courier.context.http.send(built)
        if answer is REHEARSED or answer.status in accepted or is_success(rule.response, answer):
            return answer
    except NoAnswerError as error:
        reason = f"destination_unavailable: {courier.file.name} gave no answer about its list: {error.reason}"
        raise ListError(Unreachable(reason=reason, sent=False)) from None
    except TokenRefusedError as error:
        raise ListError(error.outcome) from None
    except (LoginError, AnswerError) as error:
        raise ListError(Unauthorized(reason=f"config_invalid: {error}.")) from None
    raise ListError(_outcome(courier, rule, answer))


def _outcome(courier: Courier, rule: RequestRule, answer: Answer) -> Outcome:
    read = courier.reader(rule, ()).read(answer, now_us=courier.context.now_us)
    text = f"{courier.file.name} answered {status_text(answer.status)} about its list."
    if isinstance(read.stops, (Unauthorized, Deferred, Unreachable)):
        return read.stops
    return Refused(reason=f"rejected_by_destination: {text}", status=answer.status)
