"""RudderStack's destination and connection configuration as a definition and a mapping file of ours, or every reason why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from gateway.core.placeholders import TO_FILL_IN
from gateway.destinations.http_audience.rudderstack.bodies import (
    KEY_NAMES,
    WHOLE,
    BodyError,
    connection_keys,
    record_names,
    tree_of,
)
from gateway.destinations.http_audience.rudderstack.grammar import parse
from gateway.destinations.http_audience.rudderstack.places import base_url_problem

ACTIONS: Final = {"insert": "add", "update": "update", "delete": "remove"}
METHODS: Final = ("POST", "PUT", "PATCH", "GET", "DELETE")
HASH_TYPES: Final = {"NONE": "none", "SHA256": "sha256", "SHA512": "sha512", "MD5": "md5"}
BATCH_MAX: Final = 5000

_ACTION_KEYS: Final = frozenset({"method", "endpoint", "requestBody", "batchSize", "fields", "useInsertConfig"})
_PLACEHOLDER: Final = re.compile(r"\{\{(connection)((?:\.\w+)+)\}\}")
_CREDENTIALS: Final[dict[str, dict[str, tuple[str, str]]]] = {  # type → key of `auth` → (their key, name of the secret)
    "noAuth": {},
    "basicAuth": {"username": ("basicAuthUserName", "USERNAME"), "password": ("basicAuthPassword", "PASSWORD")},
    "bearerToken": {"token": ("bearerToken", "TOKEN")},
    "apiKey": {"value": ("apiKeyValue", "API_KEY")},
}
_TYPES: Final = {"noAuth": "none", "basicAuth": "basic", "bearerToken": "bearer", "apiKey": "api_key"}


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a pair. problems: (pointer into their file, sentence); with any, the files are empty.

    secrets: name → value, for the operator to store; they are in neither file.
    """

    definition: dict[str, object]
    mapping: dict[str, object]
    secrets: dict[str, str]
    problems: tuple[tuple[str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()


def convert(config: object, connection: object = None, *, slug: str = "") -> Imported:
    """Check a pair and convert it. connection: None gives a mapping file with places to fill in."""
    importer = _Importer()
    definition, mapping = importer.run(config, connection, slug)
    if importer.problems:
        return Imported(
            definition={}, mapping={}, secrets={}, problems=tuple(importer.problems), warnings=tuple(importer.warnings)
        )
    return Imported(definition=definition, mapping=mapping, secrets=importer.secrets, warnings=tuple(importer.warnings))


class _Importer:
    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []
        self.warnings: list[tuple[str, str]] = []
        self.secrets: dict[str, str] = {}
        self._used: dict[str, None] = {}
        self._record_fields: dict[str, None] = {}
        self._literals: dict[str, object] = {}

    def _wrong(self, pointer: str, what: str) -> None:
        self.problems.append((pointer, what))

    def run(self, config: object, connection: object, slug: str) -> tuple[dict[str, object], dict[str, object]]:
        linked = self._connection(connection)
        if not isinstance(config, dict):
            self._wrong("/destination", "The destination configuration must be an object.")
            return {}, {}
        whole = next((one for key in ("config", "Config") if isinstance(one := config.get(key), dict)), config)
        base_url = whole.get("baseUrl")
        if not isinstance(base_url, str) or not base_url:
            self._wrong("/destination/baseUrl", "`baseUrl` is missing.")
            base_url = ""
        elif problem := base_url_problem(base_url):
            self._wrong("/destination/baseUrl", problem)
        slug = slug or _slug_of(base_url)
        definition: dict[str, object] = {
            "kind": "http_audience",
            "slug": slug,
            "name": config.get("name") if isinstance(config.get("name"), str) else slug,
            "base_url": base_url,
        }
        if base_url.startswith("http://"):
            definition["allow_http"] = True
        definition["auth"] = self._auth(whole, slug)
        if headers := self._headers(whole.get("headers", [])):
            definition["headers"] = headers
        blocks = self._blocks(whole.get("actions"))
        actions = {ACTIONS[name]: self._action(name, block) for name, block in blocks.items()}
        fields = self._fields(blocks, linked)
        definition["target"] = self._target()
        definition["fields"] = fields
        definition["actions"] = actions
        return definition, self._mapping(slug, linked, fields)

    # --- The connection ---

    def _connection(self, connection: object) -> dict[str, object]:
        if connection is None:
            return {}
        if not isinstance(connection, dict):
            self._wrong("/connection", "The connection configuration must be an object.")
            return {}
        whole = next((one for key in ("config", "Config") if isinstance(one := connection.get(key), dict)), connection)
        if not isinstance(whole.get("audienceId"), str) or not whole["audienceId"]:
            self._wrong("/connection/audienceId", "`audienceId` must be a text.")
        if not isinstance(whole.get("isHashRequired"), bool):
            self._wrong("/connection/isHashRequired", "`isHashRequired` must be true or false.")
        mappings = whole.get("customMappings", [])
        if not isinstance(mappings, list):
            self._wrong("/connection/customMappings", "`customMappings` must be a list.")
            mappings = []
        for index, entry in enumerate(mappings):
            pair = entry if isinstance(entry, dict) else {}
            if any(not isinstance(pair.get(key), str) or not pair[key] for key in ("from", "to")):
                self._wrong(
                    f"/connection/customMappings/{index}",
                    "A static value needs a `from` and a `to` that are not empty.",
                )
        self._literals = {key: value for key, value in whole.items() if not isinstance(value, str)}
        return whole

    def _target(self) -> dict[str, object]:
        target: dict[str, object] = {"audience_id": {"label": "Audience id", "required": True}}
        for key in self._used:
            if key not in self._literals:
                name = KEY_NAMES.get(key, key)
                target.setdefault(name, {"label": "Audience name" if name == "audience_name" else key})
        target.setdefault("audience_name", {"label": "Audience name"})
        return target

    def _mapping(self, slug: str, linked: dict[str, object], fields: dict[str, object]) -> dict[str, object]:
        static = {key: value for key, value in _static(linked).items() if key in fields}
        entry: dict[str, object] = {"external_id": linked.get("audienceId", TO_FILL_IN)}
        if isinstance(linked.get("audienceName"), str) and linked["audienceName"]:
            entry["name"] = linked["audienceName"]
        entry.update(
            {key: linked[key] for key in self._used if key not in KEY_NAMES and isinstance(linked.get(key), str)}
        )
        mapped: dict[str, object] = {
            key: {"@if": {"exists": {"@path": f"$.traits.{key}"}, "then": {"@path": f"$.traits.{key}"},
                          "else": {"@path": f"$.context.traits.{key}"}}}
            for key in fields if key not in static
        }  # fmt: skip
        mapping: dict[str, object] = {
            "name": "Imported audience",
            "action": "syncAudience",
            "fields": {**mapped, **static},
            "hashing": "on" if linked.get("isHashRequired", True) else "off",
            "audiences": {TO_FILL_IN: entry},
        }
        return {
            "destination": slug,
            "settings": {name: {"$env": name} for name in self.secrets},
            "mappings": [mapping],
        }

    # --- The destination ---

    def _auth(self, config: Mapping[str, object], slug: str) -> dict[str, object]:
        kind = config.get("authenticationType")
        if kind is None and config.get("rudderAccountId"):
            self._wrong(
                "/destination/rudderAccountId",
                "The credentials are in a linked account and are not exported; enter them here.",
            )
            return {}
        if not isinstance(kind, str) or kind not in _CREDENTIALS:
            self._wrong("/destination/authenticationType", f"This must be one of {', '.join(_CREDENTIALS)}.")
            return {}
        auth: dict[str, object] = {"type": _TYPES[kind]}
        if kind == "apiKey":
            name = config.get("apiKeyName")
            if not isinstance(name, str) or not name:
                self._wrong("/destination/apiKeyName", "`apiKeyName` is missing.")
            auth |= {"in": "header", "name": name}
        prefix = re.sub(r"[^A-Z0-9]+", "_", slug.upper()).strip("_") or "AUDIENCE"
        for key, (theirs, suffix) in _CREDENTIALS[kind].items():
            value = config.get(theirs)
            if not isinstance(value, str) or not value:
                self._wrong(f"/destination/{theirs}", f"`{theirs}` is missing.")
                continue
            name = f"{prefix}_{suffix}" if not prefix[0].isdigit() else f"AUDIENCE_{prefix}_{suffix}"
            self.secrets[name] = value
            auth[key] = {"$secret": name}
        return auth

    def _headers(self, headers: object) -> dict[str, object]:
        if not isinstance(headers, list):
            self._wrong("/destination/headers", "`headers` must be a list.")
            return {}
        kept: dict[str, tuple[str, str]] = {}
        for index, entry in enumerate(headers):
            if not isinstance(entry, dict) or not isinstance(entry.get("value"), str):
                self._wrong(f"/destination/headers/{index}", "A header has a `key` and a `value`.")
            elif "{{" in entry["value"] or "}}" in entry["value"]:
                what = "`{{` and `}}` are sent as they stand by theirs, and would be a place to fill in here."
                self._wrong(f"/destination/headers/{index}/value", what)
            elif isinstance(entry.get("key"), str) and entry["key"]:
                kept.pop(entry["key"].lower(), None)
                kept[entry["key"].lower()] = (entry["key"], entry["value"])
        return dict(kept.values())

    def _blocks(self, actions: object) -> dict[str, dict[str, object]]:
        if not isinstance(actions, dict) or not actions:
            self._wrong("/destination/actions", "`actions` is missing.")
            return {}
        blocks: dict[str, dict[str, object]] = {}
        for name, block in actions.items():
            pointer = f"/destination/actions/{name}"
            if name not in ACTIONS:
                self._wrong(pointer, f"An action is one of {', '.join(ACTIONS)}.")
            elif not isinstance(block, dict):
                self._wrong(pointer, "An action is an object.")
            else:
                for key in block.keys() - _ACTION_KEYS:
                    self._wrong(f"{pointer}/{key}", f"`{key}` is no member of an action.")
                if name != "update" and "useInsertConfig" in block:
                    self._wrong(f"{pointer}/useInsertConfig", "`useInsertConfig` is for `update` only.")
                blocks[name] = block
        return {name: blocks[name] for name in ACTIONS if name in blocks}

    def _action(self, name: str, block: dict[str, object]) -> dict[str, object]:
        pointer = f"/destination/actions/{name}"
        if name == "update" and block.get("useInsertConfig") is True:
            return {"same_as": "add"}
        if block.get("method") not in METHODS:
            self._wrong(f"{pointer}/method", f"`method` must be one of {', '.join(METHODS)}.")
        size = block.get("batchSize")
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= BATCH_MAX:
            self._wrong(f"{pointer}/batchSize", f"`batchSize` must be a whole number from 1 to {BATCH_MAX}.")
        return {
            "method": block.get("method"),
            "path": self._path(block.get("endpoint"), f"{pointer}/endpoint"),
            "batch": {"max_records": size},
            "body": self._body(block.get("requestBody"), f"{pointer}/requestBody"),
        }

    def _path(self, endpoint: object, pointer: str) -> str:
        if not isinstance(endpoint, str):
            self._wrong(pointer, "`endpoint` must be a text.")
            return ""

        def placed(match: re.Match[str]) -> str:
            names = match[2].split(".")[1:]
            self._used[names[0]] = None
            if names[0] in self._literals:
                self._wrong(pointer, f"`connection.{names[0]}` is no text and cannot stand in a path.")
            return "{{connection." + ".".join((KEY_NAMES.get(names[0], names[0]), *names[1:])) + "}}"

        if "://" in endpoint:
            self._wrong(pointer, "`endpoint` is a path behind `baseUrl`; an address would go elsewhere here.")
        path = _PLACEHOLDER.sub(placed, endpoint)
        if "{{" in _PLACEHOLDER.sub("", endpoint):
            self._wrong(
                pointer, "A placeholder is `{{connection.name}}`, without blanks; this one would have stayed as it is."
            )
        return path

    def _body(self, template: object, pointer: str) -> object:
        if not isinstance(template, str) or not template:
            self._wrong(pointer, "`requestBody` is missing.")
            return {}
        node, faults = parse(template)
        for fault in faults:
            line = template.count("\n", 0, fault.at) + 1
            column = fault.at - (template.rfind("\n", 0, fault.at) + 1) + 1
            self._wrong(pointer, f"Line {line}, column {column}: {fault.what}")
        if node is None:
            return {}
        self._used.update(dict.fromkeys(connection_keys(node)))
        self._record_fields.update(dict.fromkeys(record_names(node)))
        try:
            return tree_of(node, self._literals)
        except BodyError as error:
            self._wrong(pointer, f"This cannot be imported: {error}.")
            return {}

    def _fields(self, blocks: dict[str, dict[str, object]], linked: dict[str, object]) -> dict[str, object]:
        """`fields` of all actions as one; a field that only some declare is sent in those only."""
        own = {name: block for name, block in blocks.items() if block.get("useInsertConfig") is not True}
        declared: dict[str, dict[str, dict[str, object]]] = {}
        for name, block in own.items():
            entries = block.get("fields", [])
            if not isinstance(entries, list):
                self._wrong(f"/destination/actions/{name}/fields", "`fields` must be a list.")
                continue
            for index, entry in enumerate(entries):
                pointer = f"/destination/actions/{name}/fields/{index}"
                if self._is_field(entry, pointer):
                    declared.setdefault(str(entry["name"]), {})[name] = entry
        fields: dict[str, object] = {
            key: self._field(key, by_action, blocks, own) for key, by_action in declared.items()
        }
        # Fields that a template reads and no list declares pass as they are, unhashed: here they have to be declared.
        fields.update((key, {"label": key}) for key in self._record_fields if key not in fields and key != WHOLE)
        if WHOLE in self._record_fields:
            fields.update((key, {"label": key, "static": True}) for key in _static(linked) if key not in fields)
        return fields

    def _is_field(self, entry: object, pointer: str) -> bool:
        given = entry if isinstance(entry, dict) else {}
        fine = isinstance(given.get("name"), str) and given["name"] and given.get("hashType") in tuple(HASH_TYPES)
        fine = fine and all(isinstance(given.get(key), bool) for key in ("isRequired", "isCustom"))
        if not fine:
            self._wrong(
                pointer, "A field has `name`, `isRequired`, `isCustom` and a `hashType` of NONE, SHA256, SHA512 or MD5."
            )
        return bool(fine)

    def _field(
        self,
        key: str,
        by_action: dict[str, dict[str, object]],
        blocks: dict[str, dict[str, object]],
        own: dict[str, dict[str, object]],
    ) -> dict[str, object]:
        entries = list(by_action.values())
        first = entries[0]
        if any(one["hashType"] != first["hashType"] for one in entries):
            self._wrong(
                "/destination/actions", f"`{key}` is hashed differently in its actions; a field has one way here."
            )
        field: dict[str, object] = {"label": key}
        needing = [name for name, one in by_action.items() if one.get("isRequired") is True]
        if needing:
            field["required"] = True if len(needing) == len(by_action) else self._renamed(needing, blocks, own)
        if any(one.get("isCustom") is True for one in entries):
            field["static"] = True
        hash_name = HASH_TYPES[str(first["hashType"])]
        if hash_name != "none":
            field["hash"] = hash_name
        if len(by_action) < len(own):
            field["actions"] = self._renamed(list(by_action), blocks, own)
        return field

    @staticmethod
    def _renamed(
        names: list[str], blocks: dict[str, dict[str, object]], own: dict[str, dict[str, object]]
    ) -> list[str]:
        """Their actions by our names; an update that uses the insert's block goes where the insert goes."""
        renamed = [ACTIONS[name] for name in names]
        if "insert" in names and "update" in blocks and "update" not in own:
            renamed.insert(1, "update")
        return renamed


def _static(linked: Mapping[str, object]) -> dict[str, str]:
    """Static values by their fields, of the last one for each."""
    pairs = linked.get("customMappings")
    return {
        pair["to"]: pair["from"]
        for pair in (pairs if isinstance(pairs, list) else ())
        if isinstance(pair, dict) and isinstance(pair.get("to"), str) and isinstance(pair.get("from"), str)
    }


def _slug_of(base_url: str) -> str:
    """A name from the host: its label before the ending."""
    try:
        labels = (urlsplit(base_url).hostname or "").split(".")
    except ValueError:
        labels = []
    name = labels[-2] if len(labels) > 1 else (labels[0] if labels else "")
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "imported"
