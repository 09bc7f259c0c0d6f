"""Small rulebooks for tests: two invented destinations, one that takes events and one that keeps lists."""

from __future__ import annotations

from gateway.core.definitions import Action, Definition, Field
from gateway.core.events import Event, Place
from gateway.core.fql import compile_trigger
from gateway.core.mapping import compile_mapping
from gateway.core.payloads import compile_check
from gateway.core.rulebook import CompiledDestination, CompiledMapping, MembershipRules, Rulebook
from gateway.core.sources import Source

FIELDS = (
    Field(key="email", label="Email", type="string", required=True, default={"@path": "$.context.traits.email"}),
    Field(key="name", label="Name", type="string", default={"@path": "$.event"}),
)
TRIGGER = 'type = "track" or type = "identify"'
EVENTS = Definition(
    slug="mailer",
    title="Mailer",
    settings=(),
    actions=(Action(slug="send", title="Send", fields=FIELDS, trigger=TRIGGER),),
)
LISTS = Definition(
    slug="lister",
    title="Lister",
    settings=(),
    actions=(Action(slug="list", title="List", fields=FIELDS, trigger=TRIGGER, list_shaped=True),),
)
SHOP = Source(name="shop", kind="webhook", audience="buyers")
WEB = Source(name="web", kind="browser")
APP = Source(name="app", kind="server")


def mapping(
    key: str = "mailer/all",
    *,
    definition: Definition = EVENTS,
    trigger: str = TRIGGER,
    fields: dict[str, object] | None = None,
    action: Action | None = None,
    **more: object,
) -> CompiledMapping:
    """A mapping of the definition's first action, with its defaults unless `fields` says otherwise."""
    chosen = action or definition.actions[0]
    whole = fields if fields is not None else {field.key: field.default for field in chosen.fields}
    return CompiledMapping(
        key=key, name=key, action=chosen, trigger=compile_trigger(trigger), trigger_text=trigger,
        transform=compile_mapping(whole), check=compile_check(chosen.fields), fields=whole, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def destination(
    *mappings: CompiledMapping, key: str = "mailer", definition: Definition = EVENTS, **more: object
) -> CompiledDestination:
    """A configured destination of that file stem."""
    return CompiledDestination(
        key=key, name=key, definition=definition, settings={}, mappings=mappings or (mapping(),), corrections=frozenset(),
        integration_names=frozenset({definition.title, key}), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def rulebook(
    *destinations: CompiledDestination, sources: tuple[Source, ...] = (SHOP, WEB, APP), **more: object
) -> Rulebook:
    """All of it."""
    chosen = destinations or (destination(),)
    rules = MembershipRules(**more)  # type: ignore[arg-type]
    return Rulebook(
        version="1", destinations=chosen, sources={source.name: source for source in sources}, membership=rules
    )


def lister(key: str = "lister", **more: object) -> CompiledDestination:
    """A destination that keeps lists, with one mapping."""
    return destination(mapping(key + "/all", definition=LISTS, **more), key=key, definition=LISTS)


def audience_body(
    user: str = "u-1", *, is_member: object = True, key: str = "vip", **members: object
) -> dict[str, object]:
    """A Track event as Engage sends it."""
    return {
        "type": "track",
        "event": "Audience Entered" if is_member is True else "Audience Exited",
        "userId": user,
        "properties": {"audience_key": key, key: is_member},
        "context": {
            "personas": {
                "computation_class": "audience",
                "computation_id": "aud_" + key,
                "computation_key": key,
                "space_id": "spa",
            },
            "traits": {"email": user + "@example.com"},
        },
        **members,
    }


def event(
    body: dict[str, object], source: Source = SHOP, *, at_us: int = 1_000, received_us: int = 2_000, number: int = 0
) -> Event:
    """The body as the engine sees it."""
    return Event(
        source=source.name, source_kind=source.kind, space=source.space, place=Place(1, 1, number), type=str(body["type"]),
        message_id=f"m-{number}", body=body, received_us=received_us, at_us=at_us, id_hash=number, digest=number,
    )  # fmt: skip
