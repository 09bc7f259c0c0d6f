"""Rehearsals: the very request, one result for each event, and nothing sent."""

import asyncio
import json

import pytest

from gateway.core.mapping import MappingError
from gateway.core.payloads import defaults_of
from gateway.destinations.rehearsal import WireCase, wire_result
from gateway.destinations.stackadapt.definition import FIELDS

SETTINGS = {"apiKey": "tok_demo", "advertiser_id": 31337}
MAPPING = {**defaults_of(FIELDS), "marketing_status": "Opted-in"}


def event(email="mei@shop.example", **more):
    personas = {"computation_class": "audience", "computation_id": "aud_7Hx", "computation_key": "cart_rescue"}
    return {
        "type": "identify",
        "userId": "u-204",
        "context": {"personas": personas},
        "traits": {"cart_rescue": True, "email": email},
        **more,
    }


def result(*events, **more):
    case = WireCase(
        **{
            "destination": "stackadapt-audience",
            "settings": SETTINGS,
            "mapping": MAPPING,
            "events": list(events),
            **more,
        }
    )
    return asyncio.run(wire_result(case))


def test_a_batch_is_one_request_and_single_events_are_one_each():
    """Secrets stand in the request as on the wire."""
    batch = result(event(), event("tomas@shop.example"), batch=True)
    assert batch["results"] == [{"status": 200}, {"status": 200}]
    (request,) = batch["requests"]
    assert (request["method"], request["url"]) == ("POST", "https://api.stackadapt.com/graphql")
    assert request["headers"]["Authorization"] == "Bearer tok_demo"
    assert "tomas@shop.example" in json.loads(request["body"])["query"]
    assert len(result(event(), event())["requests"]) == 2


def test_an_invalid_event_has_its_own_result():
    """The others go out all the same; when none is left nothing is sent."""
    mixed = result(event(), event(email="kit@host"), batch=True)
    assert [one["status"] for one in mixed["results"]] == [200, 400]
    assert "email" in mixed["results"][1]["error"].lower()
    assert len(mixed["requests"]) == 1
    assert result(event(email="kit@host"), batch=True)["requests"] == []


def test_an_event_that_does_not_match_is_skipped_alone_and_refused_among_others():
    """As the reference reports it."""
    page = event(type="page")
    trigger = 'type = "identify"'
    assert result(page, trigger=trigger) == {"requests": [], "results": [{"status": 200, "skipped": "not subscribed"}]}
    mixed = result(page, event(), trigger=trigger, batch=True)
    assert [one["status"] for one in mixed["results"]] == [400, 200]


def test_without_a_mapping_the_defaults_are_taken():
    """They lack the marketing status, which has no default."""
    (only,) = result(event(), mapping=None)["results"]
    assert only["status"] == 400
    assert "marketing_status" in only["error"]


@pytest.mark.parametrize(
    ("corrections", "status"), [("on", 400), ({}, 400), ("off", 200), ({"check_advertiser_id": False}, 200)]
)
def test_corrections_are_switched_together_or_one_by_one(corrections, status):
    """A bad advertiser id is a settings error only while it is checked."""
    shown = result(event(), settings={**SETTINGS, "advertiser_id": "12a"}, corrections=corrections)
    assert ([one["status"] for one in shown["results"]], len(shown["requests"])) == ([status], int(status == 200))


def test_missing_settings_send_nothing():
    """Every event gets the reason."""
    shown = result(event(), event(), settings={}, batch=True)
    assert shown["requests"] == []
    assert [one["status"] for one in shown["results"]] == [400, 400]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"destination": "no-such"}, LookupError),
        ({"action": "no-such"}, LookupError),
        ({"mapping": {"a": {"@no-such": 1}}}, MappingError),
    ],
)
def test_what_does_not_compile_is_the_callers_to_report(more, error):
    """Before anything is made of any event."""
    with pytest.raises(error):
        result(event(), **more)
