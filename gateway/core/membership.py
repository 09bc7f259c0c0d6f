"""What an event says about who is in which audience: Segment's own rules, and the gateway's extensions of them.

Reads one event only. Which of two events wins is `core/audiences.py`'s; what is kept and sent is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gateway.core.decisions import MembershipChange
from gateway.core.events import Event
from gateway.core.identities import account_of, record_subject, subject_of
from gateway.core.javascript import is_number, number_text
from gateway.core.rulebook import MembershipRules
from gateway.core.sources import Source

Table = dict[str, object]

CLASSES = frozenset({"audience", "journey_step"})  # the computation classes that can mean membership
SYNC_MODES: dict[str, dict[str, bool]] = {  # sync mode → event name → membership, Segment's reverse ETL
    "add": {"new": True},
    "update": {"updated": True},
    "upsert": {"new": True, "updated": True},
    "mirror": {"new": True, "updated": True, "deleted": False},
    "delete": {"deleted": False},
}
AUDIENCE_EVENTS = {"Audience Entered": True, "Audience Exited": False}
SEGMENT_EVENTS = {"Segment Entered": True, "Segment Exited": False, "Segment Existed": False}  # Hightouch, its typo too
RECORD_ACTIONS = {"insert": True, "update": True, "delete": False}
_WORDS = {"true": True, "false": False}
_NAMED = {**AUDIENCE_EVENTS, **SEGMENT_EVENTS}


def resolve_upstream(body: Table, sync_mode: str | None = None, *, legacy_journeys: bool = False) -> bool | None:
    """Membership as Segment's connectors see it: entered, left, or nothing. Reads `null` where Segment's code throws."""
    personas = personas_of(body)
    found = _engage(body, personas)
    if found is None and sync_mode is not None and body.get("type") == "track":
        found = _by_name(SYNC_MODES.get(sync_mode, {}), body.get("event"))
    if found is None and legacy_journeys and personas.get("computation_class") == "journey_step":
        return True
    return found


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What one event says about membership.

    views: one body a change, where several people share the event and each change has its own view of it; else empty.
    is_member: what it says, also where it changes nothing because it names no person or no audience.
    is_trusted: its source may change membership; where it may not, there are no changes.
    """

    changes: tuple[MembershipChange, ...] = ()
    views: tuple[Table, ...] = ()
    warnings: tuple[str, ...] = ()
    is_member: bool | None = None
    is_trusted: bool = True


class MembershipReader:
    """The rules of one source, settled once: which extensions are on, and whether it may change membership at all."""

    def __init__(self, source: Source, rules: MembershipRules) -> None:
        self._source = source
        own = source.membership
        self._on = frozenset[str]() if own.strict else rules.extensions - own.off
        self._legacy = rules.legacy_journeys or own.legacy_journeys
        self._trusted = source.kind != "browser" or source.trust_membership
        self._nothing = Resolution(is_trusted=self._trusted)

    def read(self, event: Event) -> Resolution:
        """The changes one event asks for. Never raises, whatever the event's members are."""
        body = event.body
        if event.type in ("record", "audiencelist"):
            return self._listed(event) if "E7" in self._on and self._source.audience else self._nothing
        personas = personas_of(body)
        is_member, rule, key = self._person(body, personas, event.type)
        if is_member is None:
            return self._nothing
        named = _by_name(_NAMED, body.get("event")) if event.type == "track" else None
        warnings = ("membership_name_mismatch",) if named is not None and named is not is_member else ()
        if not self._trusted:
            return Resolution(warnings=(*warnings, "membership_not_trusted"), is_member=is_member, is_trusted=False)
        is_account = rule == "E8"
        member = account_of(body) if is_account else subject_of(body)
        computation_id = _text(personas.get("computation_id"))
        if not member or not (key or computation_id):
            return Resolution(warnings=warnings, is_member=is_member)
        settings = personas.get("audience_settings")
        change = MembershipChange(
            audience_space=_text(personas.get("space_id")) or event.source,
            audience_key=key or computation_id,
            computation_id=computation_id,
            member=member,
            is_member=is_member,
            rule=rule,
            is_account=is_account,
            settings=settings if isinstance(settings, dict) else None,
            external_audience_id=_text(personas.get("external_audience_id")),
        )
        return Resolution(changes=(change,), warnings=warnings, is_member=is_member)

    def _person(self, body: Table, personas: Table, kind: str) -> tuple[bool | None, str, str]:
        """(membership, rule, audience key) of an event about one person or account."""
        key = _key(personas)
        found = _engage(body, personas)
        if found is not None:
            return found, "6.1-1", key
        if self._legacy and personas.get("computation_class") == "journey_step":
            return True, "6.1-3", key
        return self._extended(body, personas, kind, key) if self._on else (None, "", "")

    def _extended(self, body: Table, personas: Table, kind: str, key: str) -> tuple[bool | None, str, str]:
        """The extensions, in their order, for what Segment's rules leave open."""
        computation_class = personas.get("computation_class")
        if computation_class in CLASSES if isinstance(computation_class, str) else False:
            for rule, used_key, value in self._places(body, kind, key):
                if rule in self._on and (value is True or value is False):
                    return value, rule, used_key
                if "E1" in self._on and rule in self._on and rule != "E8" and isinstance(value, str):
                    word = _WORDS.get(value.strip().lower())
                    if word is not None:
                        return word, rule, used_key
        elif computation_class is not None:
            return None, "", ""
        if kind != "track":
            return None, "", ""
        properties = _table(body, "properties")
        named_key = _text(properties.get("audience_key"))
        if "E4" in self._on and not personas and named_key:
            value = properties.get(named_key)
            if value is True or value is False:
                return value, "E4", named_key
        return self._by_event_name(body, key or named_key)

    def _places(self, body: Table, kind: str, key: str) -> Iterator[tuple[str, str, object]]:
        """(rule, key, value) of every place an extension looks at, in order."""
        if kind == "group":
            yield "E8", key, _table(body, "traits").get(key) if key else None
            return
        if kind not in ("track", "identify"):
            return
        values = _table(body, "properties" if kind == "track" else "traits")
        value = values.get(key) if key else None
        if value is not None:
            yield "E1", key, value
        else:
            named_key = _text(_table(body, "properties").get("audience_key"))
            if named_key and named_key != key:
                yield "E2", named_key, values.get(named_key)
        if kind == "identify" and key:
            yield "E3", key, _table(_table(body, "context"), "traits").get(key)

    def _by_event_name(self, body: Table, key: str) -> tuple[bool | None, str, str]:
        name = body.get("event")
        if "E5" in self._on and key:
            found = _by_name(AUDIENCE_EVENTS, name)
            if found is not None:
                return found, "E5", key
        if "E6" in self._on and self._source.audience:
            return _by_name(SEGMENT_EVENTS, name), "E6", self._source.audience
        return None, "", ""

    def _listed(self, event: Event) -> Resolution:
        """RudderStack's rows: one person of a `record`, every person of an `audiencelist`."""
        people = list(_people(event))
        if not people:
            return self._nothing
        if not self._trusted:
            return Resolution(warnings=("membership_not_trusted",), is_member=people[0][1], is_trusted=False)
        key = self._source.audience
        changes = tuple(
            MembershipChange(
                audience_space=event.source,
                audience_key=key,
                computation_id="",
                member=member,
                is_member=is_member,
                rule="E7",
            )
            for member, is_member, _ in people
        )
        return Resolution(changes=changes, views=tuple(view for _, _, view in people))


def resolve(event: Event, source: Source, rules: MembershipRules) -> Resolution:
    """What one event of a source says; `MembershipReader` is the same, prepared for many."""
    return MembershipReader(source, rules).read(event)


def personas_of(body: Table) -> Table:
    """`context.personas` as an object, empty where anything on the way is not one."""
    return _table(_table(body, "context"), "personas")


def _engage(body: Table, personas: Table) -> bool | None:
    """Segment's first rule: a real boolean under the computation key, where the event's type keeps its values."""
    if personas.get("computation_class") not in ("audience", "journey_step"):
        return None
    key = _key(personas)
    if not key:
        return None
    kind = body.get("type")
    if kind not in ("identify", "track"):
        return None
    values = body.get("traits" if kind == "identify" else "properties")
    value = values.get(key) if isinstance(values, dict) else None
    return value if value is True or value is False else None


def _people(event: Event) -> Iterator[tuple[str, bool, Table]]:
    """(member, membership, body as mappings see it) of each person in a record or audiencelist."""
    body = event.body
    if event.type == "record":
        is_member = _by_name(RECORD_ACTIONS, body.get("action"))
        member = record_subject(body.get("identifiers"), body.get("fields"))
        own = body.get("userId")
        if isinstance(own, str) and own:
            member = "user_id:" + own
        if is_member is not None and member:
            yield member, is_member, body
        return
    listed = _table(_table(body, "properties"), "listData")
    for name, is_member in (("add", True), ("remove", False)):
        rows = listed.get(name)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and (member := record_subject(row)):
                yield member, is_member, _one_row(body, row)


def _one_row(body: Table, row: Table) -> Table:
    """An audiencelist as a mapping sees it for one person: the row is its `properties`, the ids are the row's own."""
    view: Table = {key: value for key, value in body.items() if key not in ("userId", "anonymousId")}
    view["properties"] = row
    for name, old_name in (("userId", "user_id"), ("anonymousId", "anonymous_id")):
        value = _text(row.get(name)) or _text(row.get(old_name))
        if value:
            view[name] = value
    return view


def _by_name(table: dict[str, bool], name: object) -> bool | None:
    return table.get(name) if isinstance(name, str) else None


def _key(personas: Table) -> str:
    """The computation key; a number counts by its text, as it does when JavaScript looks a member up."""
    key = personas.get("computation_key")
    if type(key) is str:
        return key
    return number_text(key) if key and is_number(key) else ""  # type: ignore[arg-type] # is_number has looked


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _table(body: Table, name: str) -> Table:
    value = body.get(name)
    return value if isinstance(value, dict) else _EMPTY


_EMPTY: Table = {}
