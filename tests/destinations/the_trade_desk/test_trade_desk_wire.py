"""Requests byte for byte, answers of any shape, settings, and the reference's facts about a whole batch."""

import asyncio
import json

import pytest
from trade_desk_cases import NOW_US, ON, SETTINGS, Scripted, people, performed, run_of

from gateway.core.http_messages import Answer, NoAnswerError, Request
from gateway.core.outcomes import Refused, Unreachable
from gateway.core.payloads import PayloadError, compile_check, defaults_of
from gateway.destinations.base import AudienceWanted, Context
from gateway.destinations.rehearsal import FreshNotes, MemberCase, WireCase, member_result, wire_result
from gateway.destinations.the_trade_desk.answers import Drop, Page, read_drop, read_page
from gateway.destinations.the_trade_desk.definition import DEFINITION, FIELDS
from gateway.destinations.the_trade_desk.lines import person_key
from gateway.destinations.the_trade_desk.perform import THE_TRADE_DESK
from gateway.destinations.the_trade_desk.wire import (
    create_request,
    drop_request,
    list_request,
    success_answer,
    upload_request,
)

HEADERS = {"TTD-Auth": "T0", "Content-Type": "application/json"}
API = "https://api.thetradedesk.com/v3"
MAPPING = {**defaults_of(FIELDS), "pii_type": "EmailHashedUnifiedId2"}
HASH = "yhI0QL7dpdaHFq6DEyKlqKPn2vj7KX91BQeqhniYRvI="
HEX = "ca123440bedda5d68716ae831322a5a8a3e7daf8fb297f750507aa86789846f2"


# --- Requests ---


def test_requests_are_the_references():
    """Method, address, headers, the very bytes of the body."""
    assert list_request(SETTINGS) == Request(method="GET", url=f"{API}/crmdata/segment/adv123", headers=HEADERS)
    assert list_request(SETTINGS, "a+b/c==").url == f"{API}/crmdata/segment/adv123?pagingToken=a%2Bb%2Fc%3D%3D"
    assert create_request("VIP customers", "EU", SETTINGS) == Request(
        method="POST",
        url=f"{API}/crmdata/targeting/segment",
        headers=HEADERS,
        body=b'{"AdvertiserId":"adv123","SegmentName":"VIP customers","Region":"EU","DataProviderId":"twilio"}',
    )
    assert b"DataProviderId" not in create_request("V", "EU", {**SETTINGS, "data_provider_id": None}).body
    assert drop_request("cc9b84o", "Email", SETTINGS) == Request(
        method="POST",
        url=f"{API}/crmdata/segment/adv123/cc9b84o",
        headers=HEADERS,
        body=b'{"PiiType":"Email","MergeMode":"Replace","RetentionEnabled":true}',
    )
    other = {**SETTINGS, "advertiser_id": "a/../b c", "api_base_url": "http://127.0.0.1:1/v3/"}
    assert list_request(other).url == "http://127.0.0.1:1/v3/crmdata/segment/a%2F..%2Fb%20c"


def test_an_upload_has_the_token_only_where_the_reference_is_followed():
    """It may take fifty minutes as long as it moves, and stand still for one."""
    request = upload_request("https://x/?a&", SETTINGS, ON, body=b"12345")
    assert (request.headers, request.timeout_s, request.idle_s) == ({"Content-Type": "text/plain"}, 3000.0, 60.0)
    assert upload_request("https://x/?a&", SETTINGS, frozenset(), body=b"12345").headers["TTD-Auth"] == "T0"


# --- Answers ---


def answered(value, status=200):
    return Answer(status=status, body=json.dumps(value).encode())


@pytest.mark.parametrize(
    ("body", "page"),
    [
        ({"Segments": []}, Page()),
        ({"Segments": [], "PagingToken": "p2"}, Page()),
        ({"Segments": [5, {}], "PagingToken": None}, "no token"),
        ({"Segments": [{}], "PagingToken": "p2"}, "p2"),
        ({"Segments": [{}], "PagingToken": 5}, "no token"),
        ({"Segments": [{}], "PagingToken": "x" * 5000}, "no token"),
        ({"Segments": None}, None),
        ({}, None),
        ([], None),
    ],
)
def test_pages_of_any_shape(body, page):
    """An empty page is the last; so is one whose token is missing, null, empty or no text."""
    found = read_page(answered(body))
    if isinstance(page, str):
        assert found.paging_token == page.removeprefix("no token")
    else:
        assert found == page


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://s3.example.com/x?a=%2F&", True), ("http://s3.example.com/x", False), ("ftp://x/y", False), ("", False),
        ("https://s3.example.com/a b", False), ("https://s3.example.com/\n", False), ("https://" + "x" * 20_000, False),
        (None, False), (5, False),
    ],
)  # fmt: skip
def test_upload_addresses_are_looked_at(url, is_good):
    """Without encryption only where the API is reached so, too; a strange reference id is not repeated."""
    drop = read_drop(answered({"Url": url, "ReferenceId": "maria@example.org"}), {})
    assert drop == (Drop(url=url) if is_good else None)
    plain = {"api_base_url": "http://127.0.0.1/v3"}
    assert read_drop(answered({"Url": "http://127.0.0.1/x"}), plain) == Drop(url="http://127.0.0.1/x")


def connect(*answers, **given):
    http = Scripted(*answers)
    context = Context(http=http, notes=FreshNotes(), now_us=NOW_US)
    wanted = AudienceWanted(settings=SETTINGS, entry={"region": "EU", **given}, key="vip")
    return asyncio.run(THE_TRADE_DESK.keep_audience("create", wanted, context)), http.requests


EMPTY = answered({"Segments": []})


@pytest.mark.parametrize("status", [201, 202, 204])
def test_only_200_is_a_creation(status):
    """Another success is a failure, told as such."""
    refused, _ = connect(EMPTY, answered({"CrmDataId": "cc9b84o"}, status))
    assert isinstance(refused, Refused)
    assert "INVALID_RESPONSE" in refused.reason


@pytest.mark.parametrize("body", [{}, {"CrmDataId": None}, {"CrmDataId": ""}, {"CrmDataId": "a/b"}, []])
def test_a_creation_without_an_id_is_refused(body):
    """Whatever else it says."""
    assert "INVALID_RESPONSE" in connect(EMPTY, answered(body))[0].reason


def test_a_list_that_never_ends_is_given_up():
    """A repeated token ends it; ever new ones end after a thousand pages."""

    class Endless(Scripted):
        async def send(self, request):
            self.requests.append(request)
            return answered({"Segments": [{"CrmDataId": "x"}], "PagingToken": str(len(self.requests))})

    http = Endless()
    context = Context(http=http, notes=FreshNotes(), now_us=NOW_US)
    wanted = AudienceWanted(settings=SETTINGS, entry={"external_id": "y"}, key="")
    refused = asyncio.run(THE_TRADE_DESK.keep_audience("find", wanted, context))
    assert "1000 pages" in refused.reason
    assert len(http.requests) == 1000
    same = answered({"Segments": [{"CrmDataId": "x"}], "PagingToken": "p"})
    verified, requests = connect(same, external_id="x")
    assert isinstance(verified, Refused)  # the same segment twice: the id is not unique
    assert len(requests) == 2


def test_a_later_page_that_is_none_is_an_error():
    """The reference breaks there."""
    first = answered({"Segments": [{"CrmDataId": "x"}], "PagingToken": "p"})
    assert "INVALID_RESPONSE" in connect(first, answered({}))[0].reason


def test_a_create_call_without_an_answer_and_no_such_name_is_tried_again():
    """Not within the attempt: the list is asked once more, and that is all."""
    unreachable, requests = connect(EMPTY, NoAnswerError("no answer within 10 s", sent=True), EMPTY)
    assert isinstance(unreachable, Unreachable)
    assert [request.method for request in requests] == ["GET", "POST", "GET"]


def test_a_drop_without_an_address_is_refused():
    """An unexpected answer."""
    done = asyncio.run(
        performed(Scripted(answered({"ReferenceId": "x"})), SETTINGS, run_of(external_id="a"), people(1500))
    )
    assert isinstance(done.outcomes[0], Refused)


def test_an_upload_that_did_not_leave_says_so():
    """So that nobody wonders whether it arrived."""
    http = Scripted(success_answer(drop_request("a", "Email", SETTINGS)), NoAnswerError("no connection", sent=False))
    done = asyncio.run(performed(http, SETTINGS, run_of(external_id="a"), people(1500)))
    assert done.outcomes == (Unreachable(reason="The upload host gave no answer: no connection", sent=False),)
    assert done.request == "POST drop EmailHashedUnifiedId2 segment a; PUT 1500 people, 67500 bytes"


# --- Settings and fields ---


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"auth_token": " "}, "auth_token"), ({"auth_token": "a\nb"}, "auth_token"), ({"advertiser_id": ""}, "advertiser_id"),
        ({"api_base_url": "api.example.com"}, "api_base_url"), ({"sync_hour_utc": 24}, "sync_hour_utc"),
        ({"sync_hour_utc": -1}, "sync_hour_utc"), ({"sync_hour_utc": True}, "sync_hour_utc"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_told(settings, word):
    """Each in a sentence."""
    (problem,) = THE_TRADE_DESK.check_settings({**SETTINGS, **settings}, ON)
    assert word in problem


def test_settings_exported_from_segment_load():
    """The platform's own flags are taken, and taken as true when they are absent."""
    check, defaults = compile_check(DEFINITION.settings), defaults_of(DEFINITION.settings)
    flags = [field.key for field in DEFINITION.settings if field.key.startswith("__segment_internal_")]
    assert len(flags) == 2
    assert all(check.check_settings({**defaults, **SETTINGS})[flag] is True for flag in flags)
    assert check.check_settings({**SETTINGS, flags[0]: False})[flags[0]] is False
    assert check.check_settings({**SETTINGS, "data_provider_id": None})["data_provider_id"] is None
    assert "sync_hour_utc" not in defaults
    assert THE_TRADE_DESK.check_settings({**defaults, **SETTINGS, "sync_hour_utc": 0}, ON) == []


def test_fields_and_their_defaults():
    """As the reference declares them; old names pass, others do not survive; pii_type is checked."""
    assert [field.key for field in FIELDS] == [
        "external_id", "pii_type", "email", "enable_batching", "event_name", "batch_size", "name", "region",
    ]  # fmt: skip
    assert defaults_of(FIELDS) == {
        "external_id": {"@path": "$.context.personas.external_audience_id"},
        "email": {"@path": "$.context.traits.email"},
        "enable_batching": True,
        "event_name": {"@path": "$.event"},
        "batch_size": 100_000,
    }
    check = compile_check(FIELDS)
    checked = check.check({"pii_type": "Email", "name": "VIP", "region": "US", "email": 5, "more": 1}, batched=True)
    assert checked == {"pii_type": "Email", "name": "VIP", "region": "US", "email": "5"}
    for pii_type in (None, "email", ""):
        with pytest.raises(PayloadError, match=r"PII Type|pii_type"):
            check.check({"pii_type": pii_type, "email": "a@b.c"}, batched=True)


# --- The reference's facts ---


def event(email="user@example.com", *, external_id="personas_test_id", is_member=True, **personas):
    personas = {"computation_class": "audience", "computation_key": "vip", **personas}
    if external_id:
        personas["external_audience_id"] = external_id
    return {
        "type": "track",
        "event": "Audience Entered",
        "userId": "u1",
        "properties": {"vip": is_member},
        "context": {"traits": {"email": email} if email else {}, "personas": personas},
    }


def wire(events, **more):
    case = WireCase(
        **{
            "destination": "the-trade-desk-crm",
            "settings": SETTINGS,
            "mapping": MAPPING,
            "events": events,
            "batch": True,
        }
        | more
    )
    return asyncio.run(wire_result(case))


@pytest.mark.parametrize("computation_class", ["audience", "journey_step"])
def test_1501_events_make_exactly_two_calls(computation_class):
    """1,500 plain addresses and one with a tag at Gmail; old mapping keys do nothing, nor does the flag, nor the class."""
    events = [
        event(f"person{n}@example.com", is_member=n % 2 == 0, computation_class=computation_class) for n in range(1500)
    ] + [event("some.one+tag@gmail.com", computation_class=computation_class, computation_id="aud_77")]
    result = wire(events, mapping={**MAPPING, "name": "Old", "region": "US"})
    drop, upload = result["requests"]
    assert (drop["method"], drop["url"]) == ("POST", f"{API}/crmdata/segment/adv123/personas_test_id")
    assert json.loads(drop["body"]) == {
        "PiiType": "EmailHashedUnifiedId2",
        "MergeMode": "Replace",
        "RetentionEnabled": True,
    }
    assert (upload["method"], upload["headers"]) == ("PUT", {"Content-Type": "text/plain"})
    keys = [person_key(one["context"]["traits"]["email"]) for one in events]
    assert upload["body"] == "".join(f"{key}\n" for key in sorted(keys))
    assert result["results"] == [{"status": 200}] * 1501
    assert "TTD-Auth" in wire(events, corrections="off")["requests"][1]["headers"]


@pytest.mark.parametrize("batch", [True, False])
def test_a_single_event_fails_for_the_minimum(batch):
    """Stating how many are needed and how many there are."""
    result = wire([event()], batch=batch)
    (only,) = result["results"]
    assert (result["requests"], only["status"]) == ([], 400)
    assert "PAYLOAD_VALIDATION_FAILED: 1 of 1500" in only["error"]


def test_without_an_external_id_that_is_told_before_the_minimum():
    """As an event without personas."""
    (only,) = wire([event(external_id="")])["results"]
    assert "no external id" in only["error"]


@pytest.mark.parametrize("value", [HASH, HEX])
def test_hashes_count_once_whichever_way_they_are_written(value):
    """The reference's minimum counts payloads; ours, people: 1,500 without an address and one hash are one."""
    result = wire([event("")] * 1500 + [event(value)])
    assert "1 of 1500" in result["results"][0]["error"]
    events = [event(f"p{n}@example.org") for n in range(1499)] + [event(value)]
    assert f"{HASH}\n" in wire(events)["requests"][1]["body"]


def test_values_that_give_nothing_do_not_fail_the_others():
    """Success is told for them too, as in the reference; in the mode Email that is every hash."""
    events = [event(f"p{n}@example.org") for n in range(1500)] + [event(HASH), event(HEX), event("nobody"), event("")]
    result = wire(events, mapping={**MAPPING, "pii_type": "Email"})
    assert len(result["requests"][1]["body"].splitlines()) == 1500
    assert [one["status"] for one in result["results"]] == [200] * 1504


def test_a_payload_without_pii_type_is_refused_alone():
    """The rest of the batch goes on."""
    mapping = {**MAPPING, "pii_type": {"@path": "$.properties.kind"}}
    events = [event(f"p{n}@example.org") for n in range(1501)]
    for one in events[:1500]:
        one["properties"]["kind"] = "Email"
    result = wire(events, mapping=mapping)
    assert [one["status"] for one in result["results"]] == [200] * 1500 + [400]
    assert "pii_type" in result["results"][1500]["error"]
    assert len(result["requests"]) == 2


def test_created_at_the_first_list():
    """With `create` and no id: list, create, drop, upload."""
    events = [event(f"p{n}@example.org", external_id="") for n in range(1500)]
    requests = wire(events, audience_settings={"region": "EU", "create": True, "name": "VIP"})["requests"]
    assert [one["method"] for one in requests] == ["GET", "POST", "POST", "PUT"]
    assert json.loads(requests[1]["body"])["Region"] == "EU"


@pytest.mark.parametrize("corrections", ["on", "off"])
def test_the_member_kind_gives_the_line(corrections):
    """As text, or nothing."""
    for email, line in (
        ("user@example.com", "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ="),
        ("abcd", None),
        (None, None),
    ):
        payload = {"pii_type": "EmailHashedUnifiedId2", "email": email}
        case = MemberCase(destination="actions-the-trade-desk-crm", payload=payload, corrections=corrections)
        assert member_result(case) == line
