"""Audiences that the gateway creates at Taboola, once each, and what it remembers of them between batches."""

from __future__ import annotations

import hashlib
from functools import partial

import msgspec

from gateway.core.http_messages import Answer
from gateway.core.javascript import to_text
from gateway.core.masking import words_of
from gateway.core.outcomes import Outcome, Refused
from gateway.core.payloads import PayloadError
from gateway.destinations.base import Context
from gateway.destinations.taboola.answers import NOT_READY_US, Created, read_created
from gateway.destinations.taboola.session import Session
from gateway.destinations.taboola.wire import base_url, create_request, creation_settings


class Made(msgspec.Struct, frozen=True):
    """A note: the audience's id, and when (µs) it was made or found."""

    external_id: str
    created_us: int


_read_note = msgspec.json.Decoder(Made).decode


async def remembered(given: dict[str, object], key: str, session: Session, context: Context) -> str | Refused | None:
    """The id of the audience made before for these settings and this key; a refusal where it cannot even be named."""
    wanted = _wanted(given, key, session)
    if isinstance(wanted, Refused):
        return wanted
    name, asked = wanted
    note = await context.notes.get(_note_key("name", session, asked["account_id"], name))
    return None if note is None else _read_note(note).external_id


async def create(given: dict[str, object], key: str, session: Session, context: Context) -> Created | Outcome:
    """Create the audience, or find the one of its name, and remember it. Creating twice gives the same one.

    given: account_id, ttl_in_hours, exclude_from_campaigns, name. key: the audience's; the setting chooses key or name.
    """
    wanted = _wanted(given, key, session)
    if isinstance(wanted, Refused):
        return wanted
    name, asked = wanted
    answer = await session.call(partial(create_request, name, asked, session.settings))
    if not isinstance(answer, Answer):
        return answer
    created = read_created(answer, asked=asked, now_us=session.now_us, known=words_of([given, key]))
    if isinstance(created, Created):
        note = msgspec.json.encode(Made(created.external_id, session.now_us))
        await context.notes.put(_note_key("name", session, asked["account_id"], name), note)
        await context.notes.put(_note_key("id", session, asked["account_id"], created.external_id), note)
    return created


async def is_new(account: str, audience: str, session: Session, context: Context) -> bool:
    """Made by the gateway less than NOT_READY_US ago, so that Taboola may not know it yet."""
    note = await context.notes.get(_note_key("id", session, account, audience))
    return note is not None and session.now_us - _read_note(note).created_us < NOT_READY_US


def _wanted(given: dict[str, object], key: str, session: Session) -> tuple[str, dict[str, object]] | Refused:
    name = given.get("name")
    try:
        return creation_settings(given, session.settings, key, name if isinstance(name, str) else "")
    except PayloadError as error:
        return Refused(reason=str(error))


def _note_key(kind: str, session: Session, account: object, name: str) -> str:
    """Of bounded length, whatever the name."""
    # Half a surrogate pair goes out as another sign, too: see `wire.py`.
    parts = [text.encode("utf-8", "replace").decode() for text in (base_url(session.settings), to_text(account), name)]
    return f"audience_{kind}/{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()}"
