"""What would be sent for records at hand: the real way through a destination, with a partner that is only imagined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from gateway.core.http_messages import Answer, Request
from gateway.core.outcomes import Delivered
from gateway.destinations.base import Batch, Context, Owed
from gateway.destinations.http_audience.dispatching import Dispatch
from gateway.destinations.http_audience.fields import Rejection
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_audience.shape import DefinitionFile, Hashing, RequestRule

REHEARSED_US: Final = (
    1_767_225_600_000_000  # 2026-01-01: a rehearsal's clock stands still, so that it gives the same bytes twice
)
REHEARSED_SYNC: Final[dict[str, object]] = {
    "sync_id": "preview", "sync_name": "Preview", "mode": "mirror", "run_id": "1", "run_started_at": "2026-01-01T00:00:00.000Z",
}  # fmt: skip
RECORDS_MAX: Final = 100_000
HIDDEN: Final = "***"
WEBHOOK_KEY: Final = "whsec_aGlkZGVuIGhpZGRlbiBoaWRkZW4h"  # Base64 of words; what is signed with it is hidden again


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it is handed in. action: add, update, remove, replace; problem: why it is none."""

    id: object
    action: str
    fields: dict[str, object]
    problem: Rejection | None = None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping file says: the entry of `audiences`, static values, the hashing switch, the destination's settings."""

    entry: dict[str, object] = {}
    static: dict[str, object] = {}
    hashing: Hashing = "on"
    settings: dict[str, object] = {}
    audience_key: str = ""


class _Notes:
    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self._values[key] = value


class _Imagined:
    """A partner that takes everything."""

    def __init__(self, destination: HttpAudience) -> None:
        self._destination = destination

    async def send(self, request: Request) -> Answer:
        return self._destination.success_answer(request)


def _stand_ins(file: DefinitionFile) -> dict[str, str]:
    """Something in place of every secret that must be there."""
    hidden = WEBHOOK_KEY if file.login.type == "standard_webhooks" else HIDDEN
    return {one.name: hidden for one in file.login.secrets.values() if not one.optional}


def records_of(value: object) -> list[Given] | str:
    """Records as a file gives them: `[{"id", "action", "fields"}]`; a sentence when the file is no list."""
    if not isinstance(value, list) or len(value) > RECORDS_MAX:
        return f"Records are a list of at most {RECORDS_MAX} objects with `id`, `action` and `fields`."
    return [_record(entry, index, {}, "fields") for index, entry in enumerate(value)]


def rudderstack_records_of(value: object) -> list[Given] | str:
    """The same as RudderStack hands them: `[{"action": insert|update|delete, "identifiers"}]`."""
    if not isinstance(value, list) or len(value) > RECORDS_MAX:
        return f"Records are a list of at most {RECORDS_MAX} objects with `action` and `identifiers`."
    names = {"insert": "add", "update": "update", "delete": "remove"}
    return [_record(entry, index, names, "identifiers") for index, entry in enumerate(value)]


def _record(entry: object, index: int, names: Mapping[str, str], member: str) -> Given:
    given = entry if isinstance(entry, dict) else {}
    record_id = given.get("id", index + 1)
    action = given.get("action")
    known = names or {name: name for name in ("add", "update", "remove", "replace")}
    fields = given.get(member)
    pointer = ""
    if not isinstance(entry, dict) or (names and given.get("type", "record") != "record"):
        pointer = "/type"
    elif action not in known:
        pointer = "/action"
    elif not isinstance(fields, dict):
        pointer = f"/{member}"
    if pointer:
        message = f"A record has an `action` ({', '.join(known)}) and `{member}`, an object."
        problem = Rejection(code="record_invalid", message=message, details={"pointer": pointer})
        return Given(id=record_id, action=str(action), fields={}, problem=problem)
    assert isinstance(fields, dict)
    return Given(id=record_id, action=known[str(action)], fields=fields)


async def preview(
    file: DefinitionFile,
    records: Sequence[Given],
    setting: Setting,
    *,
    variables: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """`{"requests": […], "rejected": […]}`; nothing is sent.

    variables: where secrets come from when they are to be shown; None hides them all.
    """
    hides = variables is None
    # Nothing is connected to, so no certificate is needed.
    file = msgspec.structs.replace(file, limits=msgspec.structs.replace(file.limits, tls=None))
    references = file.login.secrets.values()
    names = {one.name for one in references} | {one.key for one in file.settings if one.secret}
    settings = {key: value for key, value in setting.settings.items() if not hides or key not in names}
    destination = HttpAudience(file, variables=_stand_ins(file) if hides or variables is None else variables)
    done = [(place, one) for place, one in enumerate(records) if one.problem is None]
    batch = Batch(
        action=destination.definition.actions[0].slug,
        settings=settings,
        corrections=frozenset(),
        hashing=setting.hashing,
        sync=REHEARSED_SYNC,
        owed=tuple(
            Owed(
                id=place,
                operation=one.action,
                payload={**one.fields, **setting.static},
                audience_key=setting.audience_key,
                audience_settings=setting.entry,
                member=str(one.id),
            )
            for place, one in done
        ),
    )
    context = Context(http=_Imagined(destination), notes=_Notes(), now_us=REHEARSED_US)
    dispatch = await destination.deliver(batch, context)
    ids = [one.id for _, one in done]
    requests = [
        shown_request(
            file, rule, request, sent.made.action.name, [ids[item.place] for item in sent.made.items], hides=hides
        )
        for sent in dispatch.sent
        for rule, request in zip(sent.made.action.requests, sent.requests, strict=False)
    ]
    return {"requests": requests, "rejected": _rejected(records, done, dispatch)}


def _rejected(
    records: Sequence[Given], done: Sequence[tuple[int, Given]], dispatch: Dispatch
) -> list[dict[str, object]]:
    """In the order of the records."""
    found = {place: one.problem for place, one in enumerate(records) if one.problem is not None}
    for (place, _), rejection, outcome in zip(
        done, [dispatch.rejections.get(at) for at in range(len(done))], dispatch.outcomes, strict=True
    ):
        if rejection is not None:
            found[place] = rejection
        elif not isinstance(outcome, Delivered):
            code, _, message = outcome.reason.partition(": ")
            found[place] = Rejection(code=code, message=message or code)
    return [found[place].shown(records[place].id) for place in sorted(found)]


def shown_request(
    file: DefinitionFile, rule: RequestRule, request: Request, action: str, record_ids: list[object], *, hides: bool
) -> dict[str, object]:
    """A request for people: the body as JSON where it is, credentials hidden."""
    headers, url = dict(request.headers), request.url
    if hides and not rule.is_foreign:
        headers, url = _hidden(file, headers, url)
    body: object = None
    if rule.body is not None:
        body = msgspec.json.decode(request.body) if rule.format == "json" else request.body.decode("utf-8", "replace")
    return {
        "action": action,
        "method": request.method,
        "url": url,
        "headers": headers,
        "body": body,
        "record_ids": record_ids,
    }


def _hidden(file: DefinitionFile, headers: dict[str, str], url: str) -> tuple[dict[str, str], str]:
    login = file.login
    match login.type:
        case "basic":
            headers["Authorization"] = f"Basic {HIDDEN}"
        case "bearer" | "oauth2_client_credentials" | "oauth2_refresh_token":
            headers["Authorization"] = f"Bearer {HIDDEN}"
        case "hmac":
            headers[login.texts["header"]] = HIDDEN
        case "standard_webhooks":
            headers["webhook-signature"] = HIDDEN
        case "api_key":
            url = url.replace(
                f"{quote(login.texts['name'], safe='')}={quote(HIDDEN, safe='')}", f"{login.texts['name']}={HIDDEN}"
            )
    return headers, url


def refused_whole(records: Sequence[Given], pointers: Sequence[str]) -> dict[str, object]:
    """What a preview gives for a file that cannot be used: every record refused, with the places to mend."""
    rejection = Rejection(
        code="config_invalid",
        message="The configuration cannot be used; mend the places named, `destination check` tells more.",
        details={"pointers": list(pointers)},
    )
    return {"requests": [], "rejected": [rejection.shown(one.id) for one in records]}
