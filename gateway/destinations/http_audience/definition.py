"""What config, console and docs know of a definition file: settings, one action, its fields, an audience's settings."""

from __future__ import annotations

from typing import Final

from gateway.core.definitions import Action, Definition, Field, IdentifierKind
from gateway.core.sync_options import Capabilities
from gateway.destinations.http_audience import shape
from gateway.destinations.http_audience.shape import (
    ACTION_NAMES,
    AUDIENCE_ID,
    AUDIENCE_NAME,
    DefinitionFile,
    FieldRule,
    Login,
    TargetKey,
)

DOCS_PAGE: Final = "docs/destinations/http-audience.md"
ACTION: Final = "syncAudience"
TRIGGER: Final = 'type = "track" or type = "identify"'
EVENTS_MAX: Final = 5_000  # deliveries handed over at once; an action's own bound cuts them further

_REPLACES: Final = "Replaces the definition's address, for instance by the sandbox's; one given here may be private."

EXTERNAL_ID: Final = "external_id"
LIST_NAME: Final = "name"
CREATE: Final = "create"
BASE_URL: Final = "base_url"
TOKEN_URL: Final = "token_url"  # noqa: S105 (an address)


def secrets_in_headers(login: Login) -> frozenset[str]:
    """Names of the secrets that a login sends in a header as they stand, neither encoded nor as a signature."""
    sent = {"bearer": "token", "api_key": "value" if login.texts.get("in") == "header" else ""}.get(login.type, "")
    return frozenset({login.secrets[sent].name} if sent in login.secrets else ())


def definition_of(file: DefinitionFile) -> Definition:
    """The definition of a destination made from a file."""
    in_headers = secrets_in_headers(file.login)
    settings = [
        Field(
            key=one.key,
            label=one.label,
            type="password" if one.secret else "string",
            required=one.required and one.default is None,
            secret=one.secret,
            in_header=one.key in in_headers,
            **({} if one.default is None else {"default": one.default}),  # type: ignore[arg-type] # a Field's default
        )
        for one in file.settings
    ]
    settings.append(
        Field(
            key=BASE_URL,
            label=file.asked_address.label if file.asked_address else "Address",
            type="string",
            format="uri",
            description=file.asked_address.help if file.asked_address else _REPLACES,
            required=file.asked_address is not None,
        )
    )
    if "://" in file.login.texts.get("token_url", ""):
        settings.append(Field(key=TOKEN_URL, label="Token address", type="string", format="uri", description=_REPLACES))
    return Definition(
        slug=file.slug,
        title=file.name,
        names=file.names,
        description=file.description or f"An HTTP audience API: {file.name}.",
        settings=tuple(settings),
        actions=(_action(file),),
        docs_page=file.page or DOCS_PAGE,
        api_version=file.api_version or "as its definition file says",
        checked_on=file.checked_on or "as its definition file says",
        run_retry=file.limits.retry,
        run_breaker=file.limits.breaker,
        may_be_private=file.limits.allow_private,
        digest=file.digest,
        rendering=file.fields_digest,
    )


def _action(file: DefinitionFile) -> Action:
    return Action(
        slug=ACTION,
        title="Sync Audience",
        description="People who enter an audience are added to the list, people who leave it are removed.",
        fields=tuple(_field(file, rule) for rule in file.fields.values()),
        trigger=TRIGGER,
        batch_events_max=min(max(one.records_max for one in file.actions.values()), EVENTS_MAX),
        list_shaped=True,
        sync_only=set(file.actions) == {"replace"},
        audience_settings=audience_settings_of(file),
        needs_audience_id=file.needs_audience_id,
        capabilities=_capabilities(file.capabilities),
        request_records={name: rule.records_max for name, rule in file.actions.items()},
    )


def _capabilities(said: shape.Capabilities) -> Capabilities:
    """The same as syncs read it."""
    return Capabilities(
        add=said.add,
        remove=said.remove,
        update=said.update,
        replace=said.replace,
        idempotent=said.idempotent,
        full_replace_every_s=None if said.full_replace_every_s is None else int(said.full_replace_every_s),
        min_distinct=said.min_distinct,
    )


def _field(file: DefinitionFile, rule: FieldRule) -> Field:
    everywhere = rule.actions is None or rule.actions >= set(file.actions) or rule.actions >= set(ACTION_NAMES)
    return Field(
        key=rule.key,
        label=rule.label,
        type="any",
        description=rule.help or _described(rule),
        required=rule.required and rule.required_in is None and everywhere,
        default=rule.default,
        identifier=_identifier_kind(rule) if rule.identifier else None,
        hash=rule.hash,
        hash_encodings=("hex",) if rule.hash_encoding == "hex" else ("hex", "base64"),
    )


def _identifier_kind(rule: FieldRule) -> IdentifierKind:
    """What an identifier is, by the way it is normalised and checked."""
    names = {rule.normalizer.partition("_")[0], *(name for name, _ in rule.validate)}
    if "email" in names:
        return "email"
    if "phone" in names:
        return "phone"
    return "mobile_id" if "maid" in names else "external"


def _described(rule: FieldRule) -> str:
    """What becomes of the value, where the file has no words of its own for it."""
    parts = [
        "A plain value, the same for everybody." if rule.static else "",
        f"Normalised ({rule.normalizer})." if rule.normalizer != "none" else "",
        f"Hashed ({rule.hash})." if rule.hash else "",
        f"Only in {', '.join(sorted(rule.actions))}." if rule.actions else "",
    ]
    return " ".join(part for part in parts if part)


def audience_settings_of(file: DefinitionFile) -> tuple[Field, ...]:
    """What one entry of a mapping's `audiences` may say: the list's id and name under the names all destinations share."""
    fields: list[Field] = []
    known = {one.key: one for one in file.target}
    listed = known.get(AUDIENCE_ID)
    if listed is not None:
        fields.append(_target_field(EXTERNAL_ID, listed, required=False))
    named = known.get(AUDIENCE_NAME)
    if named is not None or file.lists.create is not None:
        fields.append(
            _target_field(LIST_NAME, named, required=named.required)
            if named is not None
            else Field(key=LIST_NAME, label="List name", type="string")
        )
    if file.lists.create is not None:
        fields.append(
            Field(
                key=CREATE,
                label="Create the list",
                type="boolean",
                description="Make the list at first need when its id is not known.",
            )
        )
    fields.extend(
        _target_field(key, one, required=one.required)
        for key, one in known.items()
        if key not in {AUDIENCE_ID, AUDIENCE_NAME}
    )
    return tuple(fields)


def _target_field(key: str, target: TargetKey, *, required: bool) -> Field:
    return Field(
        key=key,
        label=target.label,
        type="string",
        description=f"Fits `{target.pattern}`." if target.pattern else "",
        required=required and target.default is None,
        literal_only=True,
    )


def form_of(file: DefinitionFile) -> list[dict[str, object]]:
    """The mapping form as plain values."""
    return [
        {
            "name": rule.key,
            "label": rule.label,
            "help": rule.help,
            "required": rule.required,
            "static": rule.static,
            "identifier": rule.identifier,
            "hash": rule.hash or "none",
            "hash_encoding": rule.hash_encoding,
            "normalize": rule.normalizer,
            "actions": [name for name in file.actions if rule.is_sent_in(name)],
        }
        for rule in file.fields.values()
    ]
