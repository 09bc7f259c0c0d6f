"""Reading a definition file strictly: every problem of it with its place, and, when there is none, what it says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, cast

import msgspec

from gateway.destinations.http_audience.definition import BASE_URL, CREATE, EXTERNAL_ID, LIST_NAME, TOKEN_URL
from gateway.destinations.http_audience.format_access import (
    host_of,
    read_asked_address,
    read_base_url,
    read_capabilities,
    read_headers,
    read_limits,
    read_login,
)
from gateway.destinations.http_audience.format_actions import Surroundings, check_roots, read_actions, read_lists
from gateway.destinations.http_audience.format_fields import read_fields, read_settings, read_target
from gateway.destinations.http_audience.found import Findings, listed, step
from gateway.destinations.http_audience.shape import (
    ACTION_NAMES,
    AUDIENCE_ID,
    AUDIENCE_NAME,
    ActionName,
    ActionRule,
    DefinitionFile,
    FieldRule,
    Limits,
    Login,
    RequestRule,
    Sample,
    SettingKey,
    TargetKey,
    names_read,
)
from gateway.destinations.http_audience.templates import TextTemplate

KIND: Final = "http_audience"
SAMPLES_MAX: Final = 200
NAMES_MAX: Final = 20
LINES_MAX: Final = 50
DIGEST_CHARS: Final = 16
GIVEN_TARGET: Final = frozenset({"sync_id", "sync_name", "mode"})

_SLUG: Final = re.compile(r"[a-z0-9-]{1,64}")
_MEMBERS: Final = (
    "$schema", "kind", "slug", "name", "names", "docs", "description", "api_version", "checked_on", "notes", "sources",
    "base_url", "allow_http", "auth", "headers", "settings", "target", "fields", "actions", "response", "limits", "audience",
    "capabilities", "samples",
)  # fmt: skip


def read_definition(found: Findings) -> DefinitionFile | None:
    """What a parsed file says, or None with its problems in `found`; warnings do not keep it from being used."""
    if found.document is None:
        return None
    value = found.document.value
    if isinstance(value, dict) and "destination" in value and "kind" not in value:
        found.add("", "This is a mapping file, and a definition is wanted.", "`gateway check` looks at mapping files.")
        return None
    file = found.table(value, "", _MEMBERS, what="a destination definition")
    if file is None:
        return None
    if file.get("kind") != KIND:
        found.add("/kind" if "kind" in file else "", f'`kind` must be `"{KIND}"`.')
    slug = found.text(file, "slug", "")
    if slug and not _SLUG.fullmatch(slug):
        found.add("/slug", "A slug has 1 to 64 of a-z, 0-9 and `-`.")
    allow_http = found.flag(file, "allow_http", "", default=False)
    asked = read_asked_address(found, file)
    base_url = "" if asked is not None else read_base_url(found, file, allow_http=allow_http)
    settings = read_settings(found, file)
    login = read_login(found, file, allow_http=allow_http)
    limits = read_limits(found, file)
    _check_own_settings(found, settings, login, limits)
    around = Surroundings(
        base_url=base_url,
        hosts=limits.allow_hosts,
        allow_http=allow_http,
        secret_settings=_secret_settings(settings, _secret_names(login, limits)),
    )
    _check_token_url(found, login, around)
    headers = read_headers(found, file, "")
    for name, template in headers:
        check_roots(found, template, f"/headers{step(name)}", around, one_record=False)
    fields, target = read_fields(found, file), read_target(found, file)
    actions = read_actions(found, file, around)
    lists = read_lists(found, file, around)
    _check_entry_names(found, target, makes_lists=lists.create is not None)
    _check_names(found, fields, target, settings, actions, (lists.get, lists.create, lists.delete), headers)
    capabilities = read_capabilities(found, file, frozenset(actions))
    made = DefinitionFile(
        slug=slug,
        name=found.text(file, "name", "", default=slug),
        names=_names(found, file),
        docs=found.text(file, "docs", "", default=""),
        description=found.text(file, "description", "", default=""),
        api_version=found.text(file, "api_version", "", default=""),
        checked_on=found.text(file, "checked_on", "", default=""),
        notes=_lines(found, file, "notes"),
        sources=_lines(found, file, "sources"),
        base_url=base_url,
        asked_address=asked,
        login=login,
        headers=headers,
        settings=_with_secrets(settings, _secret_names(login, limits)),
        target=target,
        fields=fields,
        actions=actions,
        limits=limits,
        lists=lists,
        capabilities=capabilities,
        samples=_samples(found, file, actions),
        allow_http=allow_http,
        file=found.file,
        digest=_digest(file),
        fields_digest=_digest(file.get("fields")),
    )
    return None if any(problem.severity == "error" for problem in found.problems) else made


def _digest(value: object) -> str:
    """The same for files that differ in layout only."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted", enc_hook=str)).hexdigest()[:DIGEST_CHARS]


def _names(found: Findings, file: Mapping[str, object]) -> tuple[str, ...]:
    names = listed(found, file, "names", "", most=NAMES_MAX)
    good = tuple(name for name in names if isinstance(name, str) and _SLUG.fullmatch(name))
    if len(good) != len(names):
        found.add("/names", "`names` lists other slugs that mean the same.")
    return good


def _lines(found: Findings, file: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of texts for people."""
    lines = listed(found, file, key, "", most=LINES_MAX)
    if any(not isinstance(line, str) or not line for line in lines):
        found.add(f"/{key}", f"`{key}` lists texts.")
    return tuple(line for line in lines if isinstance(line, str))


def _secret_names(login: Login, limits: Limits) -> tuple[str, ...]:
    """Every name that a `$secret` of the file gives, each once."""
    sources = limits.tls.sources if limits.tls is not None else ()
    names = [one.name for one in login.secrets.values()] + [one.name for one in sources if one.kind == "secret"]
    return tuple(dict.fromkeys(names))


def _secret_settings(settings: tuple[SettingKey, ...], names: tuple[str, ...]) -> frozenset[str]:
    known = {one.key for one in settings}
    return frozenset([one.key for one in settings if one.secret] + [name for name in names if name not in known])


def _with_secrets(settings: tuple[SettingKey, ...], names: tuple[str, ...]) -> tuple[SettingKey, ...]:
    """The settings, and one for every secret that the file names and `settings` does not list."""
    known = {one.key for one in settings}
    missing = [name for name in names if name not in known]
    return (*settings, *(SettingKey(key=name, label=_spoken(name), secret=True) for name in missing))


def _spoken(name: str) -> str:
    words = name.replace("-", "_").split("_")
    return " ".join(word.capitalize() for word in words if word) or name


def _check_own_settings(found: Findings, settings: tuple[SettingKey, ...], login: Login, limits: Limits) -> None:
    """The addresses that every definition has as settings are nobody else's names."""
    own = {BASE_URL: "the file's address", TOKEN_URL: "the address of `auth.token_url`"}
    if "://" not in login.texts.get(TOKEN_URL, ""):
        del own[TOKEN_URL]
    for name, meaning in own.items():
        if name in {one.key for one in settings}:
            found.add(f"/settings/{name}", f"`{name}` is a setting of this definition already; it replaces {meaning}.")
        if name in _secret_names(login, limits):
            found.add(
                "/auth", f"`{name}` names a secret here and is the setting that replaces {meaning}.", "Rename it."
            )


def _check_entry_names(found: Findings, target: tuple[TargetKey, ...], *, makes_lists: bool) -> None:
    """Under these names an entry of `audiences` gives what all destinations share."""
    keys = {one.key for one in target}
    shared = {EXTERNAL_ID: AUDIENCE_ID in keys, LIST_NAME: AUDIENCE_NAME in keys or makes_lists, CREATE: makes_lists}
    for name, is_taken in shared.items():
        if is_taken and name in keys:
            found.add(f"/target/{name}", f"`{name}` has a meaning of its own in `audiences`.", "Rename it.")


def _check_token_url(found: Findings, login: Login, around: Surroundings) -> None:
    url = login.texts.get("token_url", "")
    if not url or url.startswith("/") or not around.base_url or "://" not in url:
        return
    if host_of(url) not in around.hosts | {host_of(around.base_url)}:
        found.add(
            "/auth/token_url",
            f"`{host_of(url)}` is not among the hosts this definition may talk to.",
            "Add it to `limits.allow_hosts`.",
        )


def _check_names(
    found: Findings,
    fields: dict[str, FieldRule],
    target: tuple[TargetKey, ...],
    settings: tuple[SettingKey, ...],
    actions: dict[str, ActionRule],
    lists: tuple[RequestRule | None, ...],
    headers: tuple[tuple[str, TextTemplate], ...],
) -> None:
    """What requests look up against what is declared: unknown targets and settings are errors, fields warnings."""
    known = {one.key for one in target} | GIVEN_TARGET
    known_settings = {one.key for one in settings}
    used: set[str] = set()
    own = {name: action for name, action in actions.items() if action.name == name}
    for name, action in own.items():
        pointer = f"/actions/{name}"
        used |= set(action.record_fields) | set(action.group_by)
        for field in (*action.record_fields, *action.group_by):
            if field not in fields and field != "*":
                found.warn(pointer, f"`{field}` is used here, but it is not declared in `fields`.", "Add it there.")
            elif field in fields and not any(
                fields[field].is_sent_in(one) for one, shared in actions.items() if shared is action
            ):
                found.warn(pointer, f"`{field}` is used here, but `fields` does not list it for this action.")
        _check_declared(found, _read_by(action.requests), pointer, known, known_settings)
    for request in lists:
        if request is not None:
            _check_declared(found, _read_by((request,)), request.pointer, known, known_settings)
    for header, template in headers:
        read = [(path[0], path[1] if len(path) > 1 else "*") for path in template.paths]
        pointer = f"/headers{step(header)}"
        _check_declared(found, read, pointer, known, known_settings)
        if any(root == "steps" for root, _ in read):
            found.add(pointer, "These headers go out with the first step too, which has saved nothing.")
    if own and "*" not in used:
        for field in fields:
            if field not in used:
                found.warn(f"/fields{step(field)}", f"`{field}` is declared, but no action uses it.")


def _read_by(requests: tuple[RequestRule, ...]) -> list[tuple[str, str]]:
    return [(root, key) for root in ("connection", "settings") for key in names_read(requests, root)]


def _check_declared(
    found: Findings, read: list[tuple[str, str]], pointer: str, known: set[str], known_settings: set[str]
) -> None:
    """read: root and name of what is looked up there."""
    for root, names, place in (("connection", known, "target"), ("settings", known_settings, "settings")):
        for key in [key for one, key in read if one == root and key not in names and key != "*"]:
            found.add(pointer, f"`{root}.{key}` is used here, but it is not declared in `{place}`.", "Add it there.")


def _samples(found: Findings, file: Mapping[str, object], actions: dict[str, ActionRule]) -> tuple[Sample, ...]:
    samples: list[Sample] = []
    seen: set[str] = set()
    for index, entry in enumerate(listed(found, file, "samples", "", most=SAMPLES_MAX)):
        pointer = f"/samples/{index}"
        members = found.table(entry, pointer, ("id", "action", "fields", "rejected"), what="a sample")
        if members is None:
            continue
        action = found.choice(members, "action", pointer, ACTION_NAMES, "add")
        if action not in actions and actions:
            found.add(f"{pointer}/action", f"There is no action `{action}`.")
        fields = members.get("fields")
        if not isinstance(fields, dict):
            found.add(pointer, "A sample has `fields`, an object of values.")
            continue
        sample_id = found.text(members, "id", pointer, default=f"sample-{index + 1}")
        if sample_id in seen:
            found.add(f"{pointer}/id", f"`{sample_id}` is another sample's id already.")
        seen.add(sample_id)
        samples.append(
            Sample(
                id=sample_id,
                action=cast("ActionName", action),
                fields=fields,
                rejected=found.text(members, "rejected", pointer, default=""),
                pointer=pointer,
            )
        )
    return tuple(samples)
