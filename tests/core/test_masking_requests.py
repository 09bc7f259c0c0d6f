"""Requests shown to operators: the platform's words stay, people are hidden however the platform spells them."""

from __future__ import annotations

import json

import pytest

from gateway.core.masking_requests import BODY_BYTES_MAX, RequestMask

ADA = {"email": "Ada.Lovelace@Example.com", "phone": "+49 30 1234567", "first_name": "Zoë", "last_name": "Möller-Ångström",
       "city": "Köln", "ltv": 1234.5, "nested": {"ids": ["u-17", "idfa-9"]}}  # fmt: skip
HASH = "ab12cd34" + "0" * 56
PLAIN = ["9001", "Northwind buyers", "audience-gateway"]
SPELLINGS = [
    "ada.lovelace",
    "Lovelace",
    "1234567",
    "Zoë",
    "zoe",
    "moller",
    "mollerangstrom",
    "koln",
    "1234.5",
    "u-17",
    HASH,
]

BODIES = [
    json.dumps({"records": [{"email": "ada.lovelace@example.com", "fn": "zoe", "ln": "mollerangstrom", "ct": "koln"}]}),
    json.dumps({"operation": "ADD", "users": [{"h": HASH, "tel": "+49301234567", "v": 1234.5}], "who": "Zoë"}),
    json.dumps(
        {
            "query": 'mutation { add(list: "9001", rows: "[{\\"em\\":\\"ada.lovelace@example.com\\",\\"fn\\":\\"Zoë\\"}]") }'
        }
    ),
    "email=ada.lovelace%40example.com&fn=zoe&list=9001",
    f"email,first\nada.lovelace@example.com,zoe\n{HASH},moller\n",
    '{"email":"ada.lovelace@example.com"}\n{"email":"ada.lovelace@example.com","fn":"Zoë"}\n',
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_no_spelling_of_a_person_is_left(body: str) -> None:
    """JSON, GraphQL with quoted JSON, forms, CSV and lines of JSON."""
    shown = RequestMask([ADA], PLAIN).body(body.encode())
    assert [one for one in SPELLINGS if one in shown] == []
    assert "example.com" not in shown


def test_what_is_the_operators_own_and_the_platforms_words_stay() -> None:
    """Ids of lists, static values, names of operations; a hash is cut to what two can be told apart by."""
    given = {"operation": "ADD", "audience_id": "9001", "id": 9001, "name": "Northwind buyers", "origin": "audience-gateway",
             "hash": HASH, "flag": True, "none": None}  # fmt: skip
    shown = json.loads(RequestMask([ADA], PLAIN).body(json.dumps(given).encode()))
    assert shown == {**given, "hash": "ab12cd34…"}
    query = {"query": 'mutation ($rows: [Row!]!) { upsert(list: "9001", rows: $rows) { errors { message } } }'}
    assert json.loads(RequestMask([ADA], PLAIN).body(json.dumps(query).encode())) == query


def test_urls_lose_their_query_and_people_in_their_path() -> None:
    """Versions and lists stay."""
    mask = RequestMask([ADA], PLAIN)
    assert (
        mask.path("https://api.example.com/v1/lists/9001/u-17?token=x") == "https://api.example.com/v1/lists/9001/u***"
    )
    assert mask.path(f"https://api.example.com/v1/{HASH}") == "https://api.example.com/v1/ab12cd34…"
    assert "lovelace" not in mask.path("https://api.example.com/u/ada.lovelace%40example.com")


def test_a_long_body_is_cut_and_counted() -> None:
    """Whatever its form."""
    shown = RequestMask([ADA], PLAIN).body(b'{"a":"' + b"x" * BODY_BYTES_MAX + b'"}')
    assert shown.endswith("8 more bytes")
