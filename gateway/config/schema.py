"""JSON Schema (2020-12) of a mapping file, made from the same definitions that check it, for editors to complete and mark."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import msgspec

from gateway.config.lane_bounds import CONCURRENCY_MAX, REQUESTS_PER_SECOND_MAX, REQUESTS_PER_SECOND_MIN
from gateway.core.alert_options import (
    ALERT_NAMES,
    MEASURES,
    MEDIAN,
    AlertName,
    Level,
    Measure,
    Occurrence,
    members_of,
)
from gateway.core.definitions import Action, Definition, Field
from gateway.core.schedules import EVERY_S, WEEKDAYS
from gateway.core.sync_options import Mode

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"

SLUG_PATTERN = "^[a-z0-9][a-z0-9-]*$"

DIRECTIVES = {
    "@path": "Value at a path of the event, such as `$.traits.email`.",
    "@template": "Text with `{{path}}` places filled in.",
    "@literal": "A value taken as it is.",
    "@if": "`exists` or `blank` chooses between `then` and `else`.",
    "@case": "Upper or lower case of a text.",
    "@replace": "A literal pattern of a text replaced.",
    "@arrayPath": "A list at a path, each item reshaped.",
    "@merge": "Several objects laid over each other.",
    "@transform": "A mapping applied to the result of another.",
    "@flatten": "Nested members made flat.",
    "@json": "A value as JSON text, or the other way round.",
    "@excludeWhenNull": "Null members left out.",
    "@liquid": "A Liquid template.",
}

_schedule = {
    "description": "When runs are due; exactly one form. Times of day are UTC, save with `cron` and `tz`.",
    "type": "object",
    "properties": {
        "manual": {"const": True},
        "every": {"enum": list(EVERY_S)},
        "at": {"type": "string", "description": "Goes with `every`: a time of day such as 00:05."},
        "hourly": {"type": ["boolean", "string"], "description": "`true`, or the minute as `:05`."},
        "daily": {"type": "string", "description": "A time of day such as 03:00."},
        "weekly": {
            "type": "object",
            "properties": {"on": {"enum": list(WEEKDAYS)}, "at": {"type": "string"}},
            "additionalProperties": False,
        },
        "cron": {"type": "string", "description": "Five fields, such as `0 9 * * 1-5`."},
        "tz": {"type": "string", "description": "Goes with `cron`, such as Europe/Berlin."},
        "continuous": {"type": "object", "description": '`{"max_delay": "30s", "reconcile": {"daily": "03:00"}}`.'},
    },
    "additionalProperties": False,
}


def _alert(name: AlertName) -> dict[str, object]:
    """One alert of `alerts`: a word, its threshold alone, or an object."""
    level: dict[str, object] = {"enum": list(get_args(Level))}
    percent: dict[str, object] = {"type": "number", "minimum": 0}
    duration: dict[str, object] = {"type": "string", "pattern": "^[1-9][0-9]*[smhd]$"}
    if name == "long_run":
        duration = {"type": "string", "pattern": f"^([1-9][0-9]*[smhd]|{MEDIAN})$"}
    members: dict[str, object] = {
        "level": level,
        "occurrence": {
            "enum": list(get_args(Occurrence)),
            "description": "every: told again by each run that meets it.",
        },
        "recovery": {"type": "boolean", "default": True, "description": "Whether its end is told."},
        "warning": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
        "critical": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
        "percent": percent,
        "runs": {"type": "integer", "minimum": 1},
        "after": duration,
    }
    shape = {
        "type": "object",
        "properties": {member: members[member] for member in members_of(name)},
        "additionalProperties": False,
    }
    alone: dict[Measure, list[dict[str, object]]] = {
        "none": [level], "share": [], "percent": [level, percent], "age": [level, duration],
    }  # fmt: skip
    return {"anyOf": [{"enum": ["on", "off"]}, *alone[MEASURES[name]], shape]}


SYNC = {
    "type": "object",
    "description": "Keeps a list equal by runs instead of forwarding each event.",
    "properties": {
        "mode": {"enum": list(get_args(Mode)), "default": "mirror"},
        "schedule": _schedule,
        "start": {"enum": ["now", "schedule"], "description": "When a new sync runs first."},
        "initial": {"enum": ["full", "adopt"], "description": "adopt: everybody in counts as listed already."},
        "overlap": {"enum": ["queue", "skip"], "description": "What a tick during a run does."},
        "missed": {"enum": ["once", "skip"], "description": "What ticks that passed unserved come to."},
        "guards": {
            "type": "object",
            "description": "What stops a plan and asks a person, such as max_removal_percent.",
        },
        "retry": {"type": "object", "description": "How members that did not get through are planned again."},
        "log": {"type": "object", "description": "keep, days, sample, skipped."},
        "snapshots": {"type": "object", "properties": {"keep": {"type": "integer", "minimum": 0}}},
        "hashing": {"enum": ["on", "off", "auto"]},
        "first_run_approval": {"type": "boolean", "default": False},
        "on_target_change": {"enum": ["leave", "clear_old"]},
        "alerts": {
            "type": "object",
            "description": "What a person is told of, from which threshold on, and how often.",
            "properties": {name: _alert(name) for name in ALERT_NAMES},
            "additionalProperties": False,
        },
        "resend_every": {
            "type": ["string", "null"],
            "pattern": "^[1-9][0-9]*[smhd]$",
            "description": "Add everybody again so often, for a platform that forgets people.",
        },
        "forget_after_days": {
            "type": "integer",
            "minimum": 1,
            "description": "Whole lists: who gave no event for so long.",
        },
        "filter": {"description": "FQL text or a condition tree: who counts as in.", "type": ["string", "object"]},
    },
    "additionalProperties": False,
}

_limits = {
    "type": "object",
    "description": "How hard the lane may press the platform; what is left out is the destination's own.",
    "properties": {
        "requests_per_second": {
            "type": "number",
            "minimum": REQUESTS_PER_SECOND_MIN,
            "maximum": REQUESTS_PER_SECOND_MAX,
        },
        "concurrency": {"type": "integer", "minimum": 1, "maximum": CONCURRENCY_MAX},
    },
    "additionalProperties": False,
}
_secret = {
    "description": "A reference; a secret never stands here in clear.",
    "oneOf": [
        {
            "type": "object",
            "properties": {"$env": {"type": "string"}},
            "required": ["$env"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"$file": {"type": "string"}},
            "required": ["$file"],
            "additionalProperties": False,
        },
    ],
}


def mapping_file_schema(definitions: Iterable[Definition]) -> dict[str, object]:
    """Build the schema of `mappings/<file>.json` for these destinations."""
    every = sorted(definitions, key=lambda one: one.slug)
    slugs = [slug for one in every for slug in (one.slug, *one.names)]
    return {
        "$schema": SCHEMA_ID,
        "title": "A configured destination with its mappings",
        "type": "object",
        "required": ["destination", "mappings"],
        "properties": {
            "$schema": {"type": "string"},
            "name": {"type": "string", "description": "What people call this destination."},
            "destination": {
                "description": "Which destination this file configures; or a definition of mappings/destinations/.",
                "anyOf": [{"enum": slugs}, {"type": "string", "pattern": SLUG_PATTERN}],
            },
            "enabled": {"type": "boolean", "default": True},
            "settings": {"type": "object"},
            "corrections": {"description": 'Switches, such as {"name": false}, or "off" for all.'},
            "limits": _limits,
            "mappings": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        },
        "additionalProperties": False,
        "allOf": [_of_destination(one) for one in every],
        "$defs": {"directive": _directive(), "condition": _condition(), "sync": SYNC},
    }


def _of_destination(definition: Definition) -> dict[str, object]:
    settings = {field.key: _secret if field.secret else _setting(field) for field in definition.settings}
    required = [field.key for field in definition.settings if field.required is True]
    corrections = {
        "oneOf": [
            {"enum": ["on", "off"]},
            {
                "type": "object",
                "properties": {
                    one.name: {"type": "boolean", "description": one.reason} for one in definition.corrections
                },
                "additionalProperties": False,
            },
        ]
    }
    return {
        "if": {"properties": {"destination": {"enum": [definition.slug, *definition.names]}}},
        "then": {
            "properties": {
                "settings": {
                    "type": "object",
                    "properties": settings,
                    "required": required,
                    "additionalProperties": False,
                },
                "corrections": corrections,
                "mappings": {"items": {"anyOf": [_mapping(definition, action) for action in definition.actions]}},
            }
        },
    }


def _setting(field: Field) -> dict[str, object]:
    return {"anyOf": [{**_plain(field), "description": field.description or field.label}, {"type": "object"}]}


def _mapping(definition: Definition, action: Action) -> dict[str, object]:
    needed = ["name"] if len(definition.actions) == 1 else ["name", "action"]
    audience = {field.key: _value(field) for field in action.audience_settings}
    return {
        "type": "object",
        "required": needed,
        "properties": {
            "name": {"type": "string", "description": "Makes the mapping's id; unique in the file."},
            "action": {"enum": [action.slug, action.title, *action.names]},
            "enabled": {"type": "boolean", "default": True},
            "trigger": {
                "description": f"FQL text or a condition tree. Default: {action.trigger}",
                "oneOf": [{"type": "string"}, {"$ref": "#/$defs/condition"}],
            },
            "fields": {
                "type": "object",
                "description": "Laid over the action's defaults; null takes a default away.",
                "properties": {field.key: _value(field) for field in action.fields},
                "patternProperties": {"^__segment_internal_": True},
                "additionalProperties": False,
            },
            "audiences": {
                "type": "object",
                "description": 'Audiences served, by id or key; "*" serves all others.',
                "minProperties": 1,
                "additionalProperties": {"type": "object", "properties": audience, "additionalProperties": False},
            },
            "integrations": {
                "enum": ["honour", "ignore"],
                "description": "Whether an event's `integrations` object counts.",
            },
            "accounts": {"type": "boolean", "description": "Forward memberships of accounts too.", "default": False},
            "hashing": {
                "enum": ["on", "off", "auto"],
                "description": "Whether the gateway hashes, for destinations described in a file.",
            },
            "sync_mode": {
                "enum": ["add", "update", "upsert", "delete", "mirror"],
                "description": "For Reverse-ETL events.",
            },
            **({"sync": {"$ref": "#/$defs/sync"}} if action.may_sync else {}),
        },
        "additionalProperties": False,
    }


def _value(field: Field) -> dict[str, object]:
    """A field's value: null, a directive unless only plain values are taken, or what its type allows."""
    options: list[dict[str, object]] = [_plain(field), {"type": "null"}]
    if not field.literal_only:
        options.append({"$ref": "#/$defs/directive"})
    schema: dict[str, object] = {"title": field.label, "anyOf": options}
    if field.description:
        schema["description"] = field.description
    if field.default is not msgspec.UNSET:
        schema["default"] = field.default
    return schema


def _plain(field: Field) -> dict[str, object]:
    one = _single(field)
    return {"anyOf": [{"type": "array", "items": one}, one]} if field.multiple else one


def _single(field: Field) -> dict[str, object]:
    if field.choices:
        return {"enum": [choice.value for choice in field.choices]}
    if field.type == "object":
        if not field.properties:
            return {"type": "object"}
        members = {inner.key: _value(inner) for inner in field.properties}
        return {"type": "object", "properties": members, "additionalProperties": field.additional_properties}
    types = {"number": ["number", "string"], "integer": ["integer", "string"], "boolean": ["boolean", "string"]}
    return {"type": types.get(field.type, ["string", "number", "boolean"])}


def _directive() -> dict[str, object]:
    return {
        "description": "Exactly one directive.",
        "type": "object",
        "properties": {**{name: {"description": text} for name, text in DIRECTIVES.items()}, "_metadata": True},
        "minProperties": 1,
        "additionalProperties": False,
    }


def _condition() -> dict[str, object]:
    return {
        "description": "Segment's condition tree.",
        "type": "object",
        "required": ["operator"],
        "properties": {
            "type": {"type": "string"},
            "name": {"type": "string"},
            "operator": {"type": "string"},
            "value": True,
            "children": {"type": "array", "items": {"$ref": "#/$defs/condition"}},
        },
        "additionalProperties": False,
    }
