"""`mappings/sources.json` → sources. Ingest reads this file and nothing else of `mappings/`."""

from __future__ import annotations

import re

from gateway.config.files import Findings, RawFile, kind, parse_file
from gateway.config.positions import escape
from gateway.config.secrets import SecretSource, is_reference, resolve
from gateway.core.errors import Problem
from gateway.core.signatures import auth_problems
from gateway.core.sources import Source, SourceKind, SourceMembership, WebhookAuth

SOURCES_MAX = 1000
EXTENSIONS = ("E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8")

_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_token = re.compile(r"[A-Za-z0-9_~.-]{8,200}")
_members = (
    "kind", "enabled", "write_keys", "auth", "extras_keys", "require_full_signature", "origins", "rate_per_s",
    "strict_limits", "audience", "trust_membership", "membership", "format", "space",
)  # fmt: skip
_auth_lists = ("x_signature", "bearer", "path_token", "standard_webhooks", "jitsu_signature")


def read_sources(raw: RawFile, secrets: SecretSource) -> tuple[dict[str, Source], list[Problem]]:
    """Read all sources, reporting every problem. The table holds the sources that are whole."""
    findings = parse_file(raw)
    if findings.document is None:
        return {}, findings.problems
    entries = findings.document.value
    if not isinstance(entries, dict):
        findings.add("", f"sources.json must be an object of sources by name, but it is {kind(entries)}.")
        return {}, findings.problems
    if len(entries) > SOURCES_MAX:
        findings.add("", f"There are more than {SOURCES_MAX} sources.")
    sources: dict[str, Source] = {}
    key_owners: dict[str, str] = {}
    for name, entry in entries.items():
        pointer = f"/{escape(name)}"
        if name == "$schema":
            continue
        if not _name.fullmatch(name):
            findings.add(
                pointer, f"`{name}` cannot be the name of a source.", "Use letters, digits, `_`, `.`, `-`; at most 64."
            )
        source = _source(name, entry, pointer, findings, secrets)
        if source is not None:
            for problem in auth_problems(source):
                findings.add(f"{pointer}/auth", problem)
            sources[name] = source
            _check_shared_keys(source, pointer, key_owners, findings)
    return sources, findings.problems


def _source(name: str, entry: object, pointer: str, findings: Findings, secrets: SecretSource) -> Source | None:
    members = findings.table(entry, pointer, _members, what="a source")
    if members is None:
        return None
    source_kind: SourceKind = findings.choice(members, "kind", pointer, ("server", "browser", "webhook"), "server")  # type: ignore[assignment] # choice returns one of the three
    auth = _auth(members.get("auth"), f"{pointer}/auth", findings, secrets)
    write_keys = tuple(_texts(members, "write_keys", pointer, findings, secrets))
    if source_kind == "webhook" and not auth.is_configured:
        findings.add(
            pointer,
            "A webhook source must say how its requests are authenticated.",
            'Add for example `"auth": {"x_signature": [{"$env": "NAME"}]}`, or `"auth": "none"` if anyone may post.',
        )
    if source_kind != "webhook" and not write_keys and not auth.is_configured:
        findings.add(
            pointer, "This source has no write key, so nothing could ever reach it.", 'Add `"write_keys": ["…"]`.'
        )
    origins = tuple(_texts(members, "origins", pointer, findings, None))
    rate = findings.number(members, "rate_per_s", pointer, 0, 1_000_000, 0)
    source_format = findings.choice(members, "format", pointer, ("segment", "mparticle"), "segment")
    return Source(
        name=name,
        kind=source_kind,
        enabled=findings.flag(members, "enabled", pointer, default=True),
        write_keys=write_keys,
        auth=auth,
        extras_keys=tuple(_texts(members, "extras_keys", pointer, findings, None)),
        require_full_signature=findings.flag(members, "require_full_signature", pointer, default=False),
        origins=origins,
        rate_per_s=float(rate),
        strict_limits=findings.flag(members, "strict_limits", pointer, default=False),
        audience=findings.text(members, "audience", pointer, default=""),
        trust_membership=findings.flag(members, "trust_membership", pointer, default=False),
        membership=_membership(members.get("membership", {}), f"{pointer}/membership", findings),
        format=source_format,  # type: ignore[arg-type] # choice returns one of the two
        space=findings.text(members, "space", pointer, default="default"),
    )


def _auth(value: object, pointer: str, findings: Findings, secrets: SecretSource) -> WebhookAuth:
    if value is None:
        return WebhookAuth()
    if value == "none":
        return WebhookAuth(none=True)
    members = findings.table(value, pointer, (*_auth_lists, "basic", "header"), what="auth")
    if members is None:
        return WebhookAuth()
    lists = {name: tuple(_texts(members, name, pointer, findings, secrets, secret=True)) for name in _auth_lists}
    for index, path_part in enumerate(lists["path_token"]):
        if path_part == "audiences" or not _token.fullmatch(path_part):
            findings.add(f"{pointer}/path_token/{index}", "A path token needs 8 to 200 letters, digits, `_ ~ . -`.")
    basic = tuple(_basic(members.get("basic", []), f"{pointer}/basic", findings, secrets))
    header = tuple(_headers(members.get("header", {}), f"{pointer}/header", findings, secrets))
    auth = WebhookAuth(
        x_signature=lists["x_signature"],
        bearer=lists["bearer"],
        path_token=lists["path_token"],
        standard_webhooks=lists["standard_webhooks"],
        jitsu_signature=lists["jitsu_signature"],
        basic=basic,
        header=header,
    )
    if not auth.is_configured:
        findings.add(pointer, "`auth` names no check.", 'Configure one, or write `"auth": "none"`.')
    return auth


def _texts(
    members: dict[str, object],
    key: str,
    pointer: str,
    findings: Findings,
    secrets: SecretSource | None,
    *,
    secret: bool = False,
) -> list[str]:
    """Texts of a list member (a single one may stand without the list); references allowed where `secrets` is given."""
    if key not in members:
        return []
    value = members[key]
    listed = value if isinstance(value, list) else [value]
    found: list[str] = []
    for index, one in enumerate(listed):
        place = f"{pointer}/{key}/{index}" if isinstance(value, list) else f"{pointer}/{key}"
        if secrets is not None and is_reference(one):
            text = resolve(one, place, findings, secrets)
            if text is not None:
                found.append(text)
        elif not isinstance(one, str) or not one:
            findings.add(place, f"`{key}` holds texts, but here is {kind(one)}.")
        elif secret:
            findings.add(
                place, "A secret stands here in clear.", 'Write `{"$env": "NAME"}` or `{"$file": "/path"}` instead.'
            )
        else:
            found.append(one)
    return found


def _basic(value: object, pointer: str, findings: Findings, secrets: SecretSource) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for index, one in enumerate(value if isinstance(value, list) else [value]):
        place = f"{pointer}/{index}" if isinstance(value, list) else pointer
        members = findings.table(one, place, ("username", "password"), what="basic")
        if members is None:
            continue
        username = findings.text(members, "username", place)
        passwords = _texts(members, "password", place, findings, secrets, secret=True)
        found.extend((username, password) for password in passwords)
    return found


def _headers(
    value: object, pointer: str, findings: Findings, secrets: SecretSource
) -> list[tuple[str, tuple[str, ...]]]:
    if not isinstance(value, dict):
        findings.add(pointer, "`header` must be an object of header name → secret.")
        return []
    return [
        (name.lower(), tuple(_texts(value, name, pointer, findings, secrets, secret=True)))
        for name in value
        if isinstance(name, str)
    ]


def _membership(value: object, pointer: str, findings: Findings) -> SourceMembership:
    members = findings.table(value, pointer, ("strict", "off", "legacy_journeys"), what="membership")
    if members is None:
        return SourceMembership()
    off = _texts(members, "off", pointer, findings, None)
    for name in off:
        if name not in EXTENSIONS:
            findings.add(f"{pointer}/off", f"`{name}` is not a membership rule.", f"Rules: {', '.join(EXTENSIONS)}.")
    return SourceMembership(
        strict=findings.flag(members, "strict", pointer, default=False),
        off=frozenset(off),
        legacy_journeys=findings.flag(members, "legacy_journeys", pointer, default=False),
    )


def _check_shared_keys(source: Source, pointer: str, owners: dict[str, str], findings: Findings) -> None:
    for index, key in enumerate(source.write_keys):
        if key in owners:
            findings.add(f"{pointer}/write_keys/{index}", f"This write key is also a key of `{owners[key]}`.")
        owners[key] = source.name
