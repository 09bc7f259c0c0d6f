"""What a value gives: the vectors of the contract, the three patterns, and what a sync keeps of one member."""

import pytest

from gateway.destinations.the_trade_desk.definition import EMAIL, HASHED
from gateway.destinations.the_trade_desk.lines import (
    EMAILS_PER_MEMBER_MAX,
    line_of,
    member_line,
    payloads_of,
    person_key,
    with_payload,
)

SAME = object()
MARIA = "j/VO6rQV3BqYxHLWBRlSaAFTUqi0YqsXT+JSWxRg6dY="
LOPEZ = "BVI7djz7QFPi9qOfVwKb7bj1kQP0exgfKE+x9b9M2jY="
HASH = "yhI0QL7dpdaHFq6DEyKlqKPn2vj7KX91BQeqhniYRvI="

VECTORS = [  # value, line in Email mode, line in hashed mode; None is nothing
    ("user@example.com", SAME, "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ="),
    ("testing@testing.com", SAME, "WExEI8Qh30mVV1lJinFJWrpJuHgOuTh9/zM7bwmCx3c="),
    ("maria.lopez@example.org", SAME, LOPEZ),
    ("Maria.Lopez@Example.org", SAME, LOPEZ),
    ("maria+shop@example.org", SAME, "Z1MRPZlil4bjDGw1wxDVD3lhdzGeP4sMR6Jhqa4k7SE="),
    ("maria@gmail.com", SAME, MARIA),
    ("M.A.R.I.A+shop@gmail.com", SAME, MARIA),
    ("maria@x@gmail.com", SAME, MARIA),
    ("maria@googlemail.com", SAME, "7zRBPPO/FJmmvRg4GoLNPBLi96omj6iBeaEwx74tEek="),
    ("ZOË@example.org", SAME, "JNdYwOpT6qD5yE47liJUn3a4iL7dP2S0GZ8ErxF/Ksk="),
    ("0123456789abcdef" * 4, None, "ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8="),
    ("A" * 64, None, "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="),
    ("ca123440bedda5d68716ae831322a5a8a3e7daf8fb297f750507aa86789846f2", None, HASH),
    (HASH, None, SAME),
    ("a=", None, SAME),
    ("abcd", None, None),
    (" maria@example.org", None, None),
    ("maria@localhost", None, None),
    ("", None, None),
    (None, None, None),
]


@pytest.mark.parametrize(("value", "plain", "hashed"), VECTORS)
def test_the_vectors_of_the_contract(value, plain, hashed):
    """Both modes."""
    for pii_type, wanted in ((EMAIL, plain), (HASHED, hashed)):
        payload = {"email": value, "pii_type": pii_type}
        assert member_line(payload, frozenset()) == (value if wanted is SAME else wanted)


@pytest.mark.parametrize("value", ["a@b.c", "x@y@z.org", "Ann<ann@x.org>", "a@b\u0085.c", "a@b\u200b.c", "a@b\x1c.c"])
def test_what_counts_as_an_address(value):
    """As in JavaScript: more than one at sign is fine, and so are characters that only Python calls white space."""
    assert line_of(value, EMAIL) == value
    assert len(person_key(value)) == 44


@pytest.mark.parametrize(
    "value",
    [
        "a@b", "a@b.", "a@.c", "@b.c", "a@b.c\n", "a@b .c", "a\t@b.c", "\ufeffa@b.c", "a@b.c\u00a0", "a@b.c\u3000",
        f"{'a' * 315}@b.org",
    ],
)  # fmt: skip
def test_what_does_not(value):
    """No dot behind the at sign, white space anywhere, a trailing line feed, too long."""
    assert line_of(value, EMAIL) == ""
    assert person_key(value) == ""


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("=", "="), ("password=", "password="), ("ab==", "ab=="), ("ab===", ""), ("ab=\n", ""), ("a-b=", ""), (HASH[:-1], ""),
        ("A" * 87 + "=", "A" * 87 + "="), ("A" * 88 + "=", ""), ("f" * 63, ""), ("g" * 64, ""), ("f" * 32, ""),
    ],
)  # fmt: skip
def test_hashes_and_what_looks_like_one(value, line):
    """Base64 stays untouched whatever it spells, up to 88 characters; without padding it is nothing."""
    assert person_key(value) == line


def test_gmail_ends_at_the_first_plus_and_may_leave_nothing():
    """Odd, and as the reference has it."""
    assert person_key("+t@gmail.com") == person_key("...@GMAIL.com")
    assert person_key("maria@mail.gmail.com") != person_key("m.aria@mail.gmail.com")


def test_an_unknown_pii_type_gives_nothing():
    """Nothing is guessed."""
    assert member_line({"email": "a@b.c", "pii_type": "email"}) is None
    assert member_line({"email": "a@b.c"}) is None


def test_a_record_holds_one_payload_for_each_person_key():
    """The latest event's, whatever the order of arrival; one that names nobody changes nothing."""
    payload = {"email": "Maria@Example.org", "pii_type": EMAIL, "batch_size": 5}
    record = with_payload(None, payload, 10)
    assert record == {"payloads": [{"pii_type": EMAIL, "email": "Maria@Example.org", "at_us": 10}]}
    record = with_payload(record, {"email": "second@example.org", "pii_type": EMAIL}, 20)
    record = with_payload(record, {"email": "maria@example.org", "pii_type": EMAIL}, 30)
    stale = with_payload(record, {"email": "MARIA@example.org", "pii_type": EMAIL}, 5)
    assert [one["email"] for one in payloads_of(stale)] == ["second@example.org", "maria@example.org"]
    assert with_payload(record, {"email": "nobody", "pii_type": EMAIL}, 40) == record
    assert with_payload(None, {"pii_type": EMAIL}, 40) is None
    assert list(payloads_of(payload)) == [payload]


def test_a_record_is_bounded():
    """The oldest address goes."""
    record = None
    for number in range(EMAILS_PER_MEMBER_MAX + 2):
        record = with_payload(record, {"email": f"p{number}@example.org"}, number)
    emails = [one["email"] for one in payloads_of(record)]
    assert (len(emails), emails[0]) == (EMAILS_PER_MEMBER_MAX, "p2@example.org")
