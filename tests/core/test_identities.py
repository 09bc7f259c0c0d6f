"""Whom an event is about, and by which identifiers a platform may know them."""

from __future__ import annotations

import pytest

from gateway.core.identities import (
    ZERO_ADVERTISING_ID,
    account_of,
    deleted_people,
    identifiers_hash,
    identifiers_of,
    record_subject,
    subject_of,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"userId": "u", "anonymousId": "a", "traits": {"email": "e@example.com"}}, "user_id:u"),
        ({"userId": None, "anonymousId": "a"}, "anonymous_id:a"),
        ({"traits": {"email": " Kofi@Example.org "}}, "email:kofi@example.org"),
        ({"properties": {"email": "p@example.org"}, "context": {"traits": {"email": "c@example.org"}}}, "email:c@example.org"),
        ({"traits": {"email": "  "}, "email": "t@example.org"}, "email:t@example.org"),
        ({"context": {"externalIds": [{"type": "email", "id": "X@example.org"}]}}, "email:x@example.org"),
        ({"context": {"externalIds": [None, {"type": "ios.idfa", "id": "AB"}, {"type": "other", "id": "1"}]}}, "ios.idfa:AB"),
        ({"context": {"externalIds": "none"}, "traits": [], "properties": None}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_a_person_is_known_by_the_first_of(body: dict[str, object], expected: str) -> None:
    """User id, anonymous id, e-mail, external id."""
    assert subject_of(body) == expected


def test_an_account_is_known_by_its_group_id() -> None:
    """Numbers count by their digits."""
    assert (account_of({"groupId": "g"}), account_of({"groupId": 5}), account_of({})) == (
        "group_id:g",
        "group_id:5",
        "",
    )


def test_a_deletion_names_both_ids() -> None:
    """Each of them is forgotten."""
    assert deleted_people({"userId": "u", "anonymousId": "a"}) == ("user_id:u", "anonymous_id:a")
    assert deleted_people({"anonymousId": "a"}) == ("anonymous_id:a",)


def test_a_row_is_known_by_its_identifiers_before_its_fields() -> None:
    """In the order of a person's; the first member with text stands for an external id."""
    assert record_subject({"email": "A@example.com"}, {"user_id": "u"}) == "user_id:u"
    assert record_subject({"email": " A@example.com"}, {"email": "b@example.com"}) == "email:a@example.com"
    assert record_subject({"n": None, "madid": "m"}, {}) == "madid:m"
    assert record_subject(None, []) == ""


def test_every_identifier_is_found_in_its_place() -> None:
    """In the order to be tried, each once."""
    body: dict[str, object] = {
        "userId": "u", "anonymousId": "a", "email": "top@example.com", "traits": {"email": "t@example.com", "phone": 491701234567},
        "properties": {"email": "t@example.com", "android_idfa": "AND-1"},
        "context": {
            "traits": {"phone": "+49 170"},
            "device": {"type": "iOS", "advertisingId": "IOS-1", "id": "D-1", "token": "T-1", "adTrackingEnabled": True},
            "externalIds": [
                {"type": "ios.idfa", "id": "IOS-2"}, {"type": "crm", "id": "9"}, {"type": "email", "id": "x@example.com"}],
        },
    }  # fmt: skip
    assert identifiers_of(body) == (
        ("email", "t@example.com"), ("email", "top@example.com"), ("email", "x@example.com"),
        ("phone", "+49 170"), ("phone", "491701234567"), ("user_id", "u"), ("anonymous_id", "a"),
        ("idfa", "IOS-1"), ("idfa", "IOS-2"), ("gaid", "AND-1"), ("ios.device_id", "D-1"), ("ios.push_token", "T-1"), ("crm", "9"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "device",
    [
        {"type": "ios", "advertisingId": "IOS-1", "adTrackingEnabled": False},
        {"type": "ios", "advertisingId": ZERO_ADVERTISING_ID},
        {"advertisingId": "IOS-1"},
    ],
)
def test_an_advertising_id_that_means_nothing_is_left_out(device: dict[str, object]) -> None:
    """Tracking refused, all zeros, or no platform to tell which id it is."""
    assert identifiers_of({"context": {"device": device}}) == ()


def test_the_hash_knows_a_set_of_identifiers() -> None:
    """Order does not matter; what belongs to which kind does."""
    one = (("email", "a"), ("phone", "b"))
    assert identifiers_hash(one) == identifiers_hash(tuple(reversed(one)))
    assert identifiers_hash(one) != identifiers_hash((("email", "b"), ("phone", "a")))
    assert identifiers_hash((("e", "mail"),)) != identifiers_hash((("em", "ail"),))
