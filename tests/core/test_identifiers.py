"""Normalising and hashing, held against published vectors: UID2's documents, the hash standards, E.164 numbers."""

import hashlib

import pytest

from gateway.core import identifiers
from gateway.core.identifiers import (
    digits_of,
    hashed,
    is_advertising_id,
    is_base64_digest,
    is_e164,
    is_email,
    is_hex_digest,
    is_zeroed_device_id,
    looks_hashed,
    normalise_country,
    normalise_email,
    normalise_email_uid2,
    normalise_name,
    normalise_phone,
    normalise_postal_code,
    raw_digest,
    reencoded,
    sha256_base64,
    sha256_hex,
    trim_lower,
)

# UID2, "Normalization and Encoding": the examples of that page.
UID2_VECTORS = [
    ("MyEmail@example.com", "myemail@example.com", "16c18d336f0b250f0e2d907452ceb9658a74ecdae8bc94864c23122a72cc27a5",
     "FsGNM28LJQ8OLZB0Us65ZYp07NrovJSGTCMSKnLMJ6U="),
    ("jane.doe@gmail.com", "janedoe@gmail.com", "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69",
     "1hFzBkhe0OUK+rOshx6Y+BaZFR8wKBUn1j/18jNlbGk="),
    ("JANE.Doe+home@gmail.com", "janedoe@gmail.com", "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69",
     "1hFzBkhe0OUK+rOshx6Y+BaZFR8wKBUn1j/18jNlbGk="),
    ("user@example.com", "user@example.com", "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514",
     "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ="),
    ("+12345678901", "+12345678901", "10e6f0b47054a83359477dcb35231db6de5c69fb1816e1a6b98e192de9e5b9ee",
     "EObwtHBUqDNZR33LNSMdtt5cafsYFuGmuY4ZLenlue4="),
]  # fmt: skip


@pytest.mark.parametrize(("given", "normal", "in_hex", "in_base64"), UID2_VECTORS)
def test_uid2_vectors(given, normal, in_hex, in_base64):
    """Normalised, then SHA-256 in both writings."""
    assert normalise_email_uid2(given) == normal
    assert sha256_hex(normal) == in_hex == hashed(normal)
    assert sha256_base64(normal) == in_base64 == hashed(normal, encoding="base64")
    assert reencoded(in_hex, encoding="base64") == in_base64
    assert reencoded(in_base64) == in_hex


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("maria+shop@example.org", "maria+shop@example.org"),
        ("M.A.R.I.A+shop@gmail.com", "maria@gmail.com"),
        ("maria@x@gmail.com", "maria@gmail.com"),
        ("+t@gmail.com", "@gmail.com"),
        ("ma.ria@googlemail.com", "ma.ria@googlemail.com"),
        ("ma.ria@mail.gmail.com", "ma.ria@mail.gmail.com"),
        ("ma.ria@gmail.co.uk", "ma.ria@gmail.co.uk"),
        ("\ufeff\u00a0Maria@Example.org\n", "maria@example.org"),
        ("\x85maria@example.org", "\x85maria@example.org"),
        ("ZOË@example.org", "zoë@example.org"),
        ("", ""),
    ],
)
def test_only_gmail_is_special(given, normal):
    """Dots and tags elsewhere stay; white space is JavaScript's."""
    assert normalise_email_uid2(given) == normal


# FIPS 180-4 and RFC 1321: the digests of "abc" and of nothing.
DIGESTS = [
    ("md5", "abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("md5", "", "d41d8cd98f00b204e9800998ecf8427e"),
    ("sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ("sha256", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("sha512", "abc", ("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                       "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f")),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "text", "digest"), DIGESTS)
def test_digests_are_the_standards_and_are_recognised(algorithm, text, digest):
    """In both writings, each by its own length only."""
    assert hashed(text, algorithm) == digest
    in_base64 = hashed(text, algorithm, "base64")
    assert raw_digest(digest, algorithm) == raw_digest(in_base64, algorithm) == bytes.fromhex(digest)
    assert is_hex_digest(digest, algorithm)
    assert is_hex_digest(digest.upper(), algorithm)
    assert is_base64_digest(in_base64, algorithm)
    assert looks_hashed(digest, algorithm)
    assert not looks_hashed(in_base64, algorithm)
    assert looks_hashed(in_base64, algorithm, "base64")
    for other in {"md5", "sha256", "sha512"} - {algorithm}:
        assert not looks_hashed(digest, other, "base64")


def test_text_is_hashed_as_utf8():
    """Beyond ASCII too; half a surrogate pair is U+FFFD, as JavaScript writes it."""
    for text in ("é", "ß", "李", "😀"):
        assert sha256_hex(text) == hashlib.sha256(text.encode()).hexdigest()
        assert hashed(text, "sha512") == hashlib.sha512(text.encode()).hexdigest()
    assert sha256_hex("a\ud800") == sha256_hex("a\ufffd") == hashed("a\ud800")
    assert sha256_base64("a\ud800") == sha256_base64("a\ufffd")


@pytest.mark.parametrize(
    "text",
    ["", "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n", " " + "a" * 63, "٣" * 64, "=" * 44, "A" * 44, "A" * 43 + "*"],
)
def test_what_only_resembles_a_digest_is_none(text):
    """Wrong length, wrong letters, a newline behind it, digits of another script, Base64 of another length."""
    assert raw_digest(text) is None
    assert reencoded(text) == ""
    assert not looks_hashed(text, encoding="base64")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a@b.c", True), ("x@y@z.org", True), ("Ann<ann@x.org>", True), ("a@b", False), ("a@b.", False), ("a@.c", False),
     ("@b.c", False), ("a b@c.d", False), ("a@b.c\n", False), ("a@b.c\ufeff", False), ("a\u200b@b.c", True),
     ("\x85a@b.c", True), ("a" * 310 + "@exam.org", True), ("a" * 320 + "@exam.org", False), ("", False)],
)  # fmt: skip
def test_what_counts_as_an_address(text, expected):
    """The connectors' pattern over the whole text."""
    assert is_email(text) is expected


def test_an_address_of_dots_and_at_signs_does_not_take_long():
    """The pattern meets at most EMAIL_CHARS_MAX characters."""
    assert is_email("@." * 160) is True
    assert is_email("@" * 5_000_000) is False
    assert is_email("@" * 320) is False


def test_email_normalisers_differ_in_blanks():
    """One trims the ends, one takes out every blank."""
    assert trim_lower(" Ma ria@Example.org\ufeff") == "ma ria@example.org"
    assert normalise_email(" Ma ria@Example.org\ufeff") == "maria@example.org"


ADVERTISING_ID = "6D92078A-8246-4BA4-AE5B-76104861E7DC"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (ADVERTISING_ID, True),
        (ADVERTISING_ID.lower(), True),
        (f" {ADVERTISING_ID}", False),
        (f"{ADVERTISING_ID}\n", False),
        ("00000000-0000-0000-0000-000000000000", False),
        ("6D92078A82464BA4AE5B76104861E7DC", False),
        ("AND-1", False),
        ("", False),
    ],
)
def test_advertising_ids(text, is_one):
    """UUIDs in either case and nothing around them; zeroed ones name nobody."""
    assert is_advertising_id(text) is is_one


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00000000-0000-0000-0000-000000000000", True), (" 00000000-0000-0000-0000-000000000000 ", True), ("0" * 32, True),
     ("0", True), ("{00000000-0000-0000-0000-000000000000}", True), ("", False), ("-", False), ("{}", False),
     ("00000000-0000-0000-0000-000000000001", False), ("AND-0", False), ("O" * 32, False)],
)  # fmt: skip
def test_zeroed_device_ids(text, expected):
    """Whatever its form: what holds a letter or another digit is not zeroed."""
    assert is_zeroed_device_id(text) is expected


@pytest.mark.parametrize(
    ("text", "country", "normal"),
    [
        ("+1 (234) 567-8901", "", "+12345678901"),
        ("(234) 567-8901", "us", "+12345678901"),
        ("030 123456", "DE", "+4930123456"),
        ("00492111234567", "DE", "+492111234567"),
        ("tel:+1-201-555-0123", "", "+12015550123"),
        ("+1234567890123456789", "", ""),
        ("(234) 567-8901", "", ""),
        ("(234) 567-8901", "nowhere", ""),
        ("call me", "US", ""),
        ("12", "US", ""),
        ("", "US", ""),
        ("+12345678901" + " " * 100, "", ""),
    ],
)
def test_telephone_numbers(text, country, normal):
    """E.164, or nothing; a number without plus needs a country."""
    assert normalise_phone(text, country) == normal
    assert is_e164(normal) is bool(normal)


def test_telephone_numbers_are_remembered_within_a_bound():
    """The memory never grows beyond PHONES_REMEMBERED."""
    for number in range(50):
        normalise_phone(f"+1234567{number:04}")
    info = identifiers._phone.cache_info()
    assert info.maxsize == identifiers.PHONES_REMEMBERED
    assert info.currsize <= identifiers.PHONES_REMEMBERED


@pytest.mark.parametrize("text", ["+0123456789", "+123456", "+1234567890123456", "12345678", "+1234567\n", "+١٢٣٤٥٦٧٨"])
def test_what_is_no_e164(text):
    """Too short, too long, no plus, a leading zero, other scripts' digits."""
    assert not is_e164(text)


def test_names_countries_postal_codes_and_digits():
    """Letters of any script; two-letter codes; five American digits."""
    assert normalise_name(" Zoë O'Brien-Smith 3rd ") == "zoëobriensmithrd"
    assert normalise_name("李 小龙") == "李小龙"
    assert normalise_name("हिन्दी 2") == "हिन्दी"
    assert normalise_name("x" * 257) == ""
    assert [normalise_country(text) for text in (" US ", "de", "Germany", "", "ß")] == ["us", "de", "", "", ""]
    assert normalise_postal_code("94105-1234") == normalise_postal_code("941051234") == "94105"
    assert normalise_postal_code(" SW1A 1AA ") == "sw1a1aa"
    assert normalise_postal_code("00-950") == "00950"
    assert digits_of("+1 (234) 567-8901 ext ٣") == "12345678901"
