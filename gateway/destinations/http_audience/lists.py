"""The optional life cycle of a list: found by name or made at first need, its id kept in notes; deleted only when told to."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final, Literal
from weakref import WeakValueDictionary

import msgspec

from gateway.core.answers import status_text
from gateway.core.http_messages import Answer, NoAnswerError
from gateway.core.outcomes import Deferred, Outcome, Refused, Unauthorized, Unreachable
from gateway.destinations.http_audience.answers import envelope_of, is_success, saved_values
from gateway.destinations.http_audience.bodies import body_bytes
from gateway.destinations.http_audience.delivering import REHEARSED, Courier
from gateway.destinations.http_audience.fields import Rejection
from gateway.destinations.http_audience.format_access import host_of
from gateway.destinations.http_audience.login import LoginError
from gateway.destinations.http_audience.shape import AUDIENCE_ID, AUDIENCE_NAME, AnswerError, RequestRule
from gateway.destinations.http_audience.tokens import TokenRefusedError
from gateway.destinations.http_audience.wire import Facts, build_request

ID_CHARS_MAX = 500

_NO_PLACE: Final = frozenset({AUDIENCE_ID, AUDIENCE_NAME, "sync_id", "sync_name", "mode"})
"""What a list is called, and who asks: no part of where it is."""

_MAKING: Final[WeakValueDictionary[tuple[int, str, str], asyncio.Lock]] = WeakValueDictionary()
"""By event loop, address and note: who holds one is looking for a list, or making it."""


class ListError(Exception):
    """The list could not be found, made or deleted. outcome: what that means for the records that wait for it."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(getattr(outcome, "reason", ""))


async def found_or_made(courier: Courier, facts: Facts) -> tuple[str, Literal["kept", "partner", "created"]]:
    """The id of the list for an audience: as noted, else found by `audience.get`, else made. Raises ListError.

    Batches that need the same list at the same time, and an operator who asks for it meanwhile, get the same one.
    """
    place = (id(asyncio.get_running_loop()), courier.access.base_url, _note_of(courier, facts))
    async with _MAKING.setdefault(place, asyncio.Lock()):
        noted = await noted_list(courier, facts)
        if noted:
            return noted, "kept"
        found = await find_list(courier, facts)
        return (found, "partner") if found else (await make_list(courier, facts), "created")


async def noted_list(courier: Courier, facts: Facts) -> str:
    """The id kept for an audience, or nothing."""
    return (await courier.context.notes.get(_note_of(courier, facts)) or b"").decode()


async def find_list(courier: Courier, facts: Facts) -> str:
    """The id that `audience.get` gives, which is kept; nothing where there is no such request or no such list. Raises ListError."""
    rule = courier.file.lists.get
    found = await _found(courier, rule, facts) if rule is not None else ""
    if found:
        await courier.context.notes.put(_note_of(courier, facts), found.encode())
    return found


async def make_list(courier: Courier, facts: Facts) -> str:
    """The id of a list made now, which is kept. Raises ListError."""
    rule = courier.file.lists.create
    if rule is None:
        raise ListError(Refused(reason="action_not_configured: The definition has no `audience.create`."))
    made = _id_of(courier, rule, await _asked(courier, rule, facts))
    await courier.context.notes.put(_note_of(courier, facts), made.encode())
    return made


async def delete_list(courier: Courier, facts: Facts) -> None:
    """Delete a list at the partner; one that is gone already is deleted. Raises ListError."""
    rule = courier.file.lists.delete
    if rule is None:
        raise ListError(Refused(reason="action_not_configured: The definition has no `audience.delete`."))
    await _asked(courier, rule, facts, accepted=frozenset({404, 410}))
    await courier.context.notes.put(_note_of(courier, facts), b"")


def _note_of(courier: Courier, facts: Facts) -> str:
    """Under this note stands the id of an audience's list: at this host, and in the place that its requests name.

    So the list of a sandbox is not taken for the real one, nor one account's for another's. Versions in an address, and
    settings that only say what a new list is like, make no other list of it.
    """
    rules = [one for one in (courier.file.lists.get, courier.file.lists.create) if one is not None]
    named = [path[1] for one in rules for path in one.address.paths if path[0] == "connection" and len(path) > 1]
    within = {
        name: facts.connection[name] for name in sorted(named) if name in facts.connection and name not in _NO_PLACE
    }
    place = msgspec.json.encode([host_of(courier.access.base_url), facts.audience.get("key", ""), within])
    return f"list/{hashlib.blake2b(place, digest_size=12).hexdigest()}"


async def _found(courier: Courier, rule: RequestRule, facts: Facts) -> str:
    """The id that `get` gives; nothing when there is no such list."""
    answer = await _asked(courier, rule, facts, accepted=frozenset({404}))
    if answer.status == 404 or answer is REHEARSED:
        return ""
    if not isinstance(envelope_of(answer)["body"], (dict, list)):
        # A page of a proxy or of maintenance: taken for "there is none" it would have a second list made.
        raise ListError(_unreadable(courier, answer, "answered about its list, and the body is not JSON"))
    try:
        return _checked_id(saved_values(rule, answer))
    except AnswerError:
        return ""


def _id_of(courier: Courier, rule: RequestRule, answer: Answer) -> str:
    if answer is REHEARSED:
        return next((one.example for one in courier.file.target if one.key == AUDIENCE_ID and one.example), "0")
    try:
        return _checked_id(saved_values(rule, answer))
    except AnswerError as error:
        raise ListError(_unreadable(courier, answer, f"made a list, and {error}")) from None


def _unreadable(courier: Courier, answer: Answer, what: str) -> Unreachable:
    return Unreachable(reason=f"response_unreadable: {courier.file.name} {what}.", status=answer.status)


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
