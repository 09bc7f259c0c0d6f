"""What a value gives: the vectors of the contract, the three patterns, and what a sync keeps of one member."""

import hashlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.identifiers import is_email, normalise_email_uid2, sha256_base64
from gateway.destinations.the_trade_desk.lines import (
    AT_US_MAX,
    EMAIL,
    HASHED,
    address_keys,
    are_addresses,
    emails_of,
    line_of,
    member_line,
    person_key,
    person_keys,
    timed_emails_of,
)

# The contract's white space, JavaScript's, one by one.
WHITE_SPACE = [
    *range(0x09, 0x0E), 0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF,
]  # fmt: skip

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


@pytest.mark.parametrize("code", WHITE_SPACE, ids=hex)
def test_white_space_anywhere_is_no_address(code):
    """At both ends and within; where Python counts other characters than JavaScript, JavaScript is right."""
    blank = chr(code)
    for value in (f"{blank}a@b.c", f"a@b.c{blank}", f"a{blank}a@b.c", f"a@b.{blank}c"):
        assert (line_of(value, EMAIL), line_of(value, HASHED)) == ("", "")
        assert not are_addresses(["x@y.z", value])
    ordinary = {0x85, 0x1C, 0x1D, 0x1E, 0x1F, 0x200B}
    assert not ordinary & set(WHITE_SPACE)
    assert all(line_of(f"a{chr(one)}@b.c", EMAIL) for one in ordinary)


TEXTS = st.one_of(
    st.text(max_size=12),
    st.text("aB1@.+\u0085\u200b\ufeff \nİςΣ", max_size=12),
    st.from_regex(re.compile(r"[A-Za-z.+]{1,8}@(gmail|Gmail|example)\.(com|ORG)"), fullmatch=True),
    st.sampled_from(["M.A+x@gmail.com", "ZOË@example.org", "a=", "", HASH, HASH[:-1], "ab" * 32, "x" * 320 + "@b.c"]),
)


@given(st.lists(TEXTS, max_size=6))
@example(["a@b.c", "d@e.f"])
@example(["x" * 317 + "@b.c"])
def test_values_in_bulk_give_what_they_give_one_by_one(values):
    """Whatever stands beside what."""
    assert person_keys(values) == [person_key(value) for value in values]
    if are_addresses(values):
        assert all(map(is_email, values))
        assert address_keys(values) == [sha256_base64(normalise_email_uid2(value)) for value in values]
    elif values and all(map(is_email, values)):
        assert any(character.isspace() for value in values for character in value)


def test_a_hash_of_another_length_gives_nothing():
    """MD5 and SHA-1 in hexadecimal, a SHA-256 without its padding or in the letters of URLs."""
    for digest in (hashlib.md5(b"x", usedforsecurity=False), hashlib.sha1(b"x", usedforsecurity=False)):
        assert person_key(digest.hexdigest()) == ""
    assert person_key(HASH.replace("+", "-").replace("/", "_").removesuffix("=")) == ""
    assert person_key("-_" * 21 + "A=") == ""


def test_times_of_any_shape_are_read():
    """What is no time is none, and counts as the oldest."""
    rows = [("m", {"email": 5, "at_us": at}) for at in (5, 0, -5, "5", True, None, AT_US_MAX, 2.5)] + [("n", {})]
    assert list(timed_emails_of(rows)) == [("5", 5)] + [("5", 0)] * 7 + [("", 0)]
    assert list(emails_of(rows)) == ["5"] * 8 + [""]


def test_gmail_ends_at_the_first_plus_and_may_leave_nothing():
    """Odd, and as the reference has it."""
    assert person_key("+t@gmail.com") == person_key("...@GMAIL.com")
    assert person_key("maria@mail.gmail.com") != person_key("m.aria@mail.gmail.com")


def test_an_unknown_pii_type_gives_nothing():
    """Nothing is guessed."""
    assert member_line({"email": "a@b.c", "pii_type": "email"}) is None
    assert member_line({"email": "a@b.c"}) is None
