"""What the StackAdapt tests share: an invented event, mappings over the defaults, and requests read with a real parser."""

import json

from graphql import parse
from graphql.language import ast

from gateway.core.mapping import compile_mapping
from gateway.core.payloads import compile_check, defaults_of
from gateway.destinations.base import Owed
from gateway.destinations.stackadapt.definition import CORRECTIONS, FIELDS
from gateway.destinations.stackadapt.wire import upsert_request

ON = frozenset(correction.name for correction in CORRECTIONS)
SETTINGS = {"apiKey": "tok_demo", "advertiser_id": "31337"}
CHECK = compile_check(FIELDS)


def event(kind="identify", key="cart_rescue", flag=True, **more):
    """An audience event of Mei's; what is given lies over it."""
    values = {key: flag, "email": "mei@shop.example", "first_name": "Mei", "street": "9 Quay St", "plan": "pro"}
    return {
        "type": kind,
        "userId": "u-204",
        "context": {"personas": {"computation_class": "audience", "computation_id": "aud_7Hx", "computation_key": key}},
        "traits" if kind == "identify" else "properties": values,
        **more,
    }


def mapping(**fields):
    """The defaults, opted in, with fields laid over them."""
    return {**defaults_of(FIELDS), "marketing_status": "Opted-in", **fields}


def payload(given=None, *, batched=False, **fields):
    """The checked payload of one event."""
    return CHECK.check(compile_mapping(mapping(**fields)).apply(given or event()), batched=batched)


def owed(*payloads, **more):
    """Deliveries of these payloads."""
    return [Owed(id=place, operation="send", payload=one, **more) for place, one in enumerate(payloads)]


def document(request):
    """The GraphQL text of a request."""
    body = json.loads(request.body)
    assert list(body) == ["query"]
    return body["query"]


def fields_of(text):
    """Root field → its `input` as plain values; enum literals come as ("enum", name), integers as ("int", digits)."""
    (operation,) = parse(text).definitions
    return {
        node.name.value: next(_plain(one.value) for one in node.arguments if one.name.value == "input")
        for node in operation.selection_set.selections
    }


def _plain(node):
    match node:
        case ast.ObjectValueNode():
            return {field.name.value: _plain(field.value) for field in node.fields}
        case ast.ListValueNode():
            return [_plain(value) for value in node.values]
        case ast.EnumValueNode():
            return ("enum", node.value)
        case ast.IntValueNode():
            return ("int", node.value)
        case ast.NullValueNode():
            return None
        case _:
            return node.value


def sent(*payloads, corrections=ON):
    """The root fields of one request for these payloads."""
    return fields_of(document(upsert_request(owed(*payloads), SETTINGS, "31337", corrections)))


def profiles(*payloads, corrections=ON):
    """The decoded profiles of one request."""
    return json.loads(sent(*payloads, corrections=corrections)["upsertProfiles"]["profiles"])


def custom_schema(*payloads, corrections=ON):
    """name → (label, type) of the entries after the eleven standard ones."""
    entries = sent(*payloads, corrections=corrections)["upsertProfileMapping"]["mappingSchemaV2"][11:]
    assert all(entry["incomingKey"] == entry["destinationKey"] and not entry["isPii"] for entry in entries)
    return {entry["incomingKey"]: (entry["label"], entry["type"][1]) for entry in entries}
