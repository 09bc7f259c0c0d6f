"""What records of one list share: the target a mapping names, checked against the definition, and where the list's id is from."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.javascript import is_number, number_text
from gateway.destinations.http_audience.definition import EXTERNAL_ID, LIST_NAME
from gateway.destinations.http_audience.fields import Rejection
from gateway.destinations.http_audience.shape import AUDIENCE_ID, AUDIENCE_NAME, DefinitionFile
from gateway.destinations.http_audience.wire import Facts

EVENT_EXTERNAL_ID = "event_external_id"


def facts_of(
    file: DefinitionFile,
    entry: Mapping[str, object],
    *,
    external_id: str = "",
    audience_key: str = "",
    sync: Mapping[str, object] | None = None,
    without_id: bool = False,
) -> Facts | Rejection:
    """`$.connection`, `$.audience` and `$.run` for one list, or what the target lacks.

    entry: the mapping's entry of `audiences`, laid over the event's own settings. external_id: when the entry has none;
    the id that the event named (EVENT_EXTERNAL_ID in the entry) is the last to be tried.
    without_id: the list is still to be found or made, so everything but its id must be right.
    """
    facts = sync or {}
    connection: dict[str, object] = {}
    for key in file.target:
        if without_id and key.key == AUDIENCE_ID:
            continue
        given = _given(key.key, entry, external_id)
        text = _text_of(given) if given is not None else key.default
        if not text:
            if key.required:
                return _invalid(f"`{_entry_name(key.key)}` ({key.label}) is missing; name it in `audiences`.", key.key)
            continue
        if key.fits is not None and not key.fits(text):
            return _invalid(f"`{_entry_name(key.key)}` ({key.label}) does not fit `{key.pattern}`; mend it.", key.key)
        connection[key.key] = text
    connection |= {name: facts[name] for name in ("sync_id", "sync_name", "mode") if name in facts}
    name = _text_of(entry.get(LIST_NAME, entry.get(AUDIENCE_NAME)))
    return Facts(
        connection=connection,
        audience={
            "key": audience_key,
            "name": name or audience_key,
            "id": connection.get(AUDIENCE_ID, external_id),
        },
        run={
            short: facts[name] for short, name in (("id", "run_id"), ("started_at", "run_started_at")) if name in facts
        },
    )


def entry_warnings(file: DefinitionFile, entry: Mapping[str, object]) -> list[str]:
    """What an entry of `audiences` names that its list can never have; the rest may come with the events."""
    given = {key.key: _text_of(_given(key.key, entry, "")) for key in file.target}
    return [
        f"`{_entry_name(key.key)}` ({key.label}) does not fit `{key.pattern}`, so nothing can be sent; mend it."
        for key in file.target
        if key.fits is not None and given[key.key] and not key.fits(given[key.key])
    ]


def given_id(entry: Mapping[str, object], external_id: str) -> str:
    """The list's id as far as it is known without asking anybody, and may keep a list from being made: the event's may not."""
    return _text_of(entry.get(EXTERNAL_ID) or entry.get(AUDIENCE_ID) or external_id)


def _given(key: str, entry: Mapping[str, object], external_id: str) -> object:
    if key == AUDIENCE_ID:
        return entry.get(EXTERNAL_ID) or entry.get(AUDIENCE_ID) or external_id or entry.get(EVENT_EXTERNAL_ID) or None
    if key == AUDIENCE_NAME:
        return entry.get(LIST_NAME, entry.get(AUDIENCE_NAME))
    return entry.get(key)


def _entry_name(key: str) -> str:
    return {AUDIENCE_ID: EXTERNAL_ID, AUDIENCE_NAME: LIST_NAME}.get(key, key)


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value
    return number_text(value) if is_number(value) and not isinstance(value, bool) else ""  # type: ignore[arg-type] # a number


def _invalid(message: str, key: str) -> Rejection:
    return Rejection(code="config_invalid", message=message, details={"pointers": [f"/target/{key}"]})
