"""One delivery as the change of one audience that it asks for: whom, in or out, which audience. Pure; requests are `wire.py`'s."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from gateway.core.audience_ids import PREFIX as OWN_ID_PREFIX
from gateway.core.javascript import is_truthy, json_text, text_number, to_text, trim
from gateway.core.outcomes import Refused
from gateway.destinations.base import Owed
from gateway.destinations.taboola.clusters import Identifier, identifiers_of
from gateway.destinations.taboola.definition import CHECK_AUDIENCE_ID

AUDIENCE_ID_DIGITS_MAX: Final = 18  # ours: ids fit a signed 64-bit integer

Operation = Literal["ADD", "REMOVE"]

_AUDIENCE_ID = re.compile(rf"0*([1-9][0-9]{{0,{AUDIENCE_ID_DIGITS_MAX - 1}}})")
_ACCOUNT_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DOTS = re.compile(r"\.*")

# The first is the sentence of a checked payload that lacks a field: the reference finds this out there.
NO_AUDIENCE: Final = "The root value is missing the required field 'external_audience_id'."
NOT_AN_AUDIENCE: Final = (
    "The external audience id is no whole number from 1 on; nothing was sent. Give the id that Taboola shows."
)
NO_IDENTIFIERS: Final = "INVALID_REQUEST_DATA: neither an e-mail address nor a mobile device id; nothing was sent."
NO_SETTINGS: Final = (
    "INVALID_REQUEST_DATA: no audience settings; nothing was sent. Give `account_id` in the mapping's `audiences`."
)
NO_ACCOUNT: Final = (
    "INVALID_REQUEST_DATA: the audience settings have no usable `account_id`; nothing was sent. "
    "Give it in the mapping's `audiences`."
)
NO_DELETION: Final = "Taboola keeps no profile by user id; there is nothing to delete."


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One person into or out of one audience.

    position: of the delivery in its batch. account: Taboola's account id, as given.
    audience: the audience's number as it stands in JSON; empty where it must be made first, under the name `key` gives.
    audience_text: what the number was read from, where each writing of it has a request of its own; else empty.
    event_audience: used where `creates` and nothing was made before.
    """

    position: int
    operation: Operation
    identifiers: tuple[Identifier, ...]
    account: str
    audience: str
    audience_text: str = ""
    event_audience: str = ""
    creates: bool = False
    key: str = ""
    settings: dict[str, object] = {}


def change_of(position: int, owed: Owed, corrections: frozenset[str]) -> Change | Refused:
    """What a delivery asks for, or why it cannot be sent. Checked in the reference's order: audience, person, account."""
    if owed.operation == "delete":
        return Refused(reason=NO_DELETION)
    payload, settings = owed.payload, owed.audience_settings
    given = _audience_text(owed)
    # What was made for the audience comes before what the event says, not before what the operator says.
    creates = settings.get("create") is True and not owed.external_id
    audience = "" if creates and not trim(given or "") else audience_literal(given, corrections)
    if audience is None:
        return Refused(reason=NOT_AN_AUDIENCE if given else NO_AUDIENCE)
    identifiers = identifiers_of(payload, corrections)
    if not identifiers:
        return Refused(reason=NO_IDENTIFIERS)
    if not any(key in settings for key in ("account_id", "ttl_in_hours", "exclude_from_campaigns")):
        return Refused(reason=NO_SETTINGS)
    account = to_text(settings.get("account_id") or "")
    if _DOTS.fullmatch(account):  # A dot would be a step in the address, not an account.
        return Refused(reason=NO_ACCOUNT)
    return Change(
        position=position,
        operation="ADD" if is_add(owed) else "REMOVE",
        identifiers=identifiers,
        account=account,
        audience="" if creates else audience,
        # Unchecked ids are no numbers yet: the reference groups people by the text, and makes `null` of many.
        audience_text="" if creates or CHECK_AUDIENCE_ID in corrections else given or "",
        event_audience=audience if creates else "",
        creates=creates,
        key=owed.audience_key or to_text(payload.get("segment_computation_key") or ""),
        settings=settings if creates else {},
    )


def is_add(owed: Owed) -> bool:
    """A sync's plan decides; a forwarded event's own flag otherwise, by JavaScript's truth: the text "false" adds.

    An event without the flag removes. The key is looked up as it is: dots in it are no path.
    """
    if owed.planned:
        return owed.operation in ("enter", "update")
    flags = owed.payload.get("traits_or_props")
    key = owed.payload.get("segment_computation_key")
    return isinstance(flags, dict) and isinstance(key, str) and is_truthy(flags.get(key))


# --- The audience ---


def audience_literal(given: str | None, corrections: frozenset[str]) -> str | None:
    """The audience's number as it is written into JSON; None without one, and for no whole number from 1 on.

    With the check off it is what JavaScript's `Number` makes of the text, which may be `0`, `12.5` or `null`.
    """
    if given is None:
        return None
    if CHECK_AUDIENCE_ID not in corrections:
        return str(json_text(text_number(given)))
    found = _AUDIENCE_ID.fullmatch(trim(given))
    return found[1] if found else None


def _audience_text(owed: Owed) -> str | None:
    """The id known for the audience, else the event's; never one that the gateway itself gave out. None: no id at all."""
    if owed.external_id:
        return owed.external_id
    if "external_audience_id" not in owed.payload:
        return None
    given = to_text(owed.payload["external_audience_id"])
    return None if given.startswith(OWN_ID_PREFIX) else given


def account_id_warning(account_id: str) -> str:
    """Whether an account id looks as Taboola's do; empty when it does, else a sentence with the likely mend."""
    if _ACCOUNT_ID.fullmatch(account_id):
        return ""
    derived = re.sub(r"[^a-z0-9]", "", account_id.lower())
    mend = f" Should it be `{derived}`?" if derived else ""
    return f"`account_id` is usually small letters, digits and single dashes, such as `demo-advertiser`.{mend}"
