"""A docs page for each shipped definition, made whole from its file: what to set, what is sent, what is not confirmed.

`python -m gateway.destinations.http_audience.page` brings the pages up to date; a test keeps them so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from gateway.destinations.http_audience.catalog import PAGES, catalog
from gateway.destinations.http_audience.definition import audience_settings_of
from gateway.destinations.http_audience.reports import sample_report, stand_in
from gateway.destinations.http_audience.shape import ActionRule, DefinitionFile, FieldRule

_STATED: Final = "Not confirmed: "

_LOGINS: Final = {
    "none": "none",
    "basic": "HTTP Basic",
    "bearer": "a bearer token",
    "api_key": "an API key",
    "oauth2_client_credentials": "OAuth 2.0, client credentials; the gateway fetches and keeps the token",
    "oauth2_refresh_token": "OAuth 2.0, refresh token; the gateway fetches and keeps access tokens",
    "hmac": "a signature over the body",
    "standard_webhooks": "Standard Webhooks: id, time and signature of every call",
}


def page(file: DefinitionFile) -> str:
    """The page of one definition."""
    parts = [
        f"# {file.name}",
        file.description,
        _table(("", ""), _facts(file)),
        "## A mapping",
        "What one entry of a mapping file needs; fields without an entry take their defaults.",
        _code(_mapping(file)),
        "## Settings",
        _table(("setting", "what", "required"), _settings(file)),
        "## An audience",
        "What an entry of `audiences` may say:",
        _table(("key", "what", "required"), _audience(file)),
        "## Fields",
        _table(("field", "what", "needed", "normalised", "checked", "hashed", "sent in"), _fields(file)),
        "## Requests",
        _table(("for", "request", "people in one", "limit of the body"), _requests(file)),
        *_answers(file),
        "## What goes out",
        "The definition's own samples, credentials hidden:",
        *_samples(file),
        *_notes(file),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(file: DefinitionFile) -> list[tuple[str, str]]:
    names = ", ".join(f"`{name}`" for name in file.names)
    address = f"`{file.base_url}`" if file.base_url else "each account has its own: the setting `base_url`"
    return [
        ("`destination`", f"`{file.slug}`" + (f"; {names} mean the same" if names else "")),
        ("built on", file.api_version),
        ("last checked", file.checked_on),
        ("address", address),
        ("login", _LOGINS[file.login.type]),
        ("pace", f"{file.limits.requests_per_second:g} requests a second, {file.limits.concurrency} at a time"),
        ("the platform's documentation", f"<{file.docs}>" if "://" in file.docs else f"`{file.docs}`"),
    ]


def _mapping(file: DefinitionFile) -> dict[str, object]:
    setting = stand_in(file)
    settings: dict[str, object] = {}
    for one in file.settings:
        if one.secret and one.required:
            settings[one.key] = {"$env": f"{file.slug}_{one.key}".replace("-", "_").upper()}
        elif one.required or (one.example and one.default is None):
            settings[one.key] = setting.settings[one.key]
    if file.asked_address is not None:
        settings["base_url"] = setting.settings["base_url"]
    required = {one.key for one in audience_settings_of(file) if one.required is True} | {"external_id"}
    entry = {key: value for key, value in setting.entry.items() if key in required}
    return {
        "name": file.name,
        "destination": file.slug,
        "settings": settings,
        "mappings": [{"name": f"Sync to {file.name}", "audiences": {"big_spenders": entry}}],
    }


def _settings(file: DefinitionFile) -> Iterable[tuple[str, ...]]:
    if file.asked_address is not None:
        yield "`base_url`", f"{file.asked_address.label}. {file.asked_address.help}".strip(), "yes"
    for one in file.settings:
        secret = ' A secret: give it as `{"$env": …}` or `{"$file": …}`.' if one.secret else ""
        default = f" Default: `{one.default}`." if one.default is not None else ""
        yield f"`{one.key}`", f"{one.label}.{default}{secret}", "yes" if one.required else "no"


def _audience(file: DefinitionFile) -> Iterable[tuple[str, ...]]:
    for one in audience_settings_of(file):
        label = f"{one.label}." + (f" {one.description}" if one.description else "")
        yield f"`{one.key}`", label, "yes" if one.required is True else "no"


def _fields(file: DefinitionFile) -> Iterable[tuple[str, ...]]:
    for rule in file.fields.values():
        checks = ", ".join(name for name, _ in rule.validate)
        actions = ", ".join(name for name in file.actions if rule.is_sent_in(name))
        what = f"{rule.label}." + (f" {rule.help}" if rule.help else "")
        normaliser = "" if rule.normalizer == "none" else f"`{rule.normalizer}`"
        yield f"`{rule.key}`", what, _needed(rule), normaliser, checks, rule.hash or "", actions


def _needed(rule: FieldRule) -> str:
    if rule.required:
        return "yes"
    return "one of these" if rule.any_of else "no"


def _requests(file: DefinitionFile) -> Iterable[tuple[str, ...]]:
    for name, action in file.actions.items():
        if action.name != name:
            yield f"`{name}`", f"as `{action.name}`", "", ""
        else:
            yield f"`{name}`", _told(action), f"{action.records_max:,}", f"{action.body_bytes_max:,} bytes"
    for name, request in (("find", file.lists.get), ("make", file.lists.create), ("delete", file.lists.delete)):
        if request is not None:
            yield f"{name} the list", f"`{request.method} {request.address_text or '/'}`", "", ""


def _told(action: ActionRule) -> str:
    told = ", then ".join(f"`{one.method} {one.address_text or '/'}`" for one in action.requests)
    return f"{told}; as many as the list takes, in one session" if action.session is not None else told


def _answers(file: DefinitionFile) -> list[str]:
    rules = [(name, request.response) for name, one in file.actions.items() for request in one.requests]
    lines: list[str] = []
    if any(rule.tells_records for _, rule in rules):
        named = dict.fromkeys(f"`{name}`" for name, rule in rules if rule.tells_records)
        lines.append(
            f"Answers to {', '.join(named)} tell of single people: those listed are refused, the others count."
        )
    else:
        lines.append("Answers tell nothing of single people: a request counts as a whole.")
    halved = sorted({status for _, rule in rules for status in rule.split_statuses})
    if halved and any(one.records_max > 1 for one in file.actions.values()):
        lines.append(f"A request refused with {', '.join(map(str, halved))} is halved until the culprit is alone.")
    if any(rule.whole_when for _, rule in rules):
        lines.append("It is not where the answer lays the fault on the whole request.")
    if any(rule.retry_when for _, rule in rules):
        lines.append("Some refusals are tried again for what their body says, whatever their status.")
    return ["## Answers", " ".join(lines)]


def _samples(file: DefinitionFile) -> Iterable[str]:
    report = asyncio.run(sample_report(file))
    requests, samples = report["requests"], report["samples"]
    assert isinstance(requests, list)
    assert isinstance(samples, list)
    for request in requests:
        yield f"`{request['method']} {request['url']}` for {', '.join(f'`{one}`' for one in request['record_ids'])}"
        if request["body"] is not None:
            yield _code(request["body"])
    for sample in samples:
        if sample["got"] != "sent":
            yield f"`{sample['id']}` is not sent: `{sample['got']}`."


def _notes(file: DefinitionFile) -> Iterable[str]:
    known = [note for note in file.notes if not note.startswith(_STATED)]
    open_ones = [note for note in file.notes if note.startswith(_STATED)]
    if known:
        yield "## Good to know"
        yield "\n".join(f"- {note}" for note in known)
    if open_ones:
        yield "## Not confirmed"
        yield "\n".join(
            f"- {note.removeprefix(_STATED)[:1].upper()}{note.removeprefix(_STATED)[1:]}" for note in open_ones
        )
    if file.sources:
        yield "## Sources"
        yield "\n".join(f"- <{source}>" for source in file.sources)


def _code(value: object) -> str:
    return f"```json\n{msgspec.json.format(msgspec.json.encode(value), indent=2).decode()}\n```"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [heads, ["---"] * len(heads), *rows]
    if len(lines) == 2:
        return "None."
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def contents() -> dict[str, str]:
    """Every page by its path, and the list of them."""
    pages = {one.file.page: page(one.file) for one in catalog().values()}
    rows = [
        (f"[{one.file.name}]({slug}.md)", f"`{slug}`", one.file.api_version, one.file.checked_on)
        for slug, one in catalog().items()
    ]
    head = "# Catalogue\n\nDestinations that ship as definition files; each page is made from its file.\n\n"
    table = _table(("platform", "`destination`", "built on", "last checked"), rows)
    return {f"{PAGES}/README.md": f"{head}{table}\n", **pages}


def refresh(root: Path) -> list[Path]:
    """Write the pages that are not current. root: the folder that holds `docs/`. Returns what was written."""
    written: list[Path] = []
    for name, text in contents().items():
        path = root / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            written.append(path)
    return written


if __name__ == "__main__":
    refresh(Path())
