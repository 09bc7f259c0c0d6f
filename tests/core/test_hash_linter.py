"""Faults of hashes are found in a batch, and nothing that is found holds a value."""

import base64
import hashlib
from time import perf_counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.definitions import Field
from gateway.core.hash_linter import (
    FAULTS,
    VALUES_KEPT_MAX,
    FieldLinter,
    HashWarning,
    IdentifierField,
    identifier_fields,
    lint_identifiers,
    lint_payloads,
)

EMAIL = IdentifierField(key="email", kind="email", hash="sha256")
ANY_WRITING = IdentifierField(key="email", kind="email", hash="sha256", encodings=("hex", "base64"))
MD5 = IdentifierField(key="email", kind="email", hash="md5")
PLAIN_EMAIL = IdentifierField(key="email", kind="email")
PHONE = IdentifierField(key="phone", kind="phone", hash="sha256")
DEVICE = IdentifierField(key="device", kind="mobile_id")
OWN_ID = IdentifierField(key="user_id", kind="external")
HASHED_ID = IdentifierField(key="user_id", kind="external", hash="sha256")

MEI, IDA = "mei.tan@shop.example.com", "ida.moen@shop.example.org"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def in_base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


UUID = "3f2a9c1e-77aa-4b1c-9a51-aa09cd0e4411"

CASES: list[tuple[str, IdentifierField, list[object], dict[str, int]]] = [
    ("addresses", EMAIL, [MEI, IDA, " Mei.Tan@Shop.example.com "], {}),
    ("finished hashes", EMAIL, [sha256(MEI), sha256(IDA)], {}),
    ("no values", EMAIL, [None, "", 7, True, {"a": sha256("")}], {}),
    ("capitals", EMAIL, [sha256(MEI).upper(), sha256(IDA)], {"hash_upper_case": 1}),
    ("one capital", EMAIL, [sha256(MEI)[:-1] + "F"], {"hash_upper_case": 1}),
    ("digits have no case", EMAIL, ["12345678" * 8], {}),
    ("blanks around a hash", EMAIL, [f" {sha256(MEI).upper()}\n"], {"hash_upper_case": 1}),
    ("blanks within are no hash", EMAIL, ["ab " * 21 + "a"], {}),
    ("md5 for sha256", EMAIL, [md5(MEI), md5(IDA)], {"hash_wrong_algorithm": 2}),
    ("sha1 for sha256", EMAIL, [sha1(MEI)], {"hash_wrong_algorithm": 1}),
    ("sha512 for sha256", EMAIL, [hashlib.sha512(MEI.encode()).hexdigest()], {"hash_wrong_algorithm": 1}),
    ("sha256 for md5", MD5, [sha256(MEI)], {"hash_wrong_algorithm": 1}),
    ("md5 for md5", MD5, [md5(MEI)], {}),
    ("sha1 in Base64", ANY_WRITING, [in_base64(sha1(MEI))], {"hash_wrong_algorithm": 1}),
    ("Base64 for hexadecimal", EMAIL, [in_base64(sha256(MEI))], {"hash_wrong_encoding": 1}),
    ("Base64 where it passes", ANY_WRITING, [in_base64(sha256(MEI)), sha256(IDA)], {}),
    ("a field without a hash judges no length", PLAIN_EMAIL, [md5(MEI)], {}),
    *[
        (f"{name} of {text!r}", IdentifierField(key="email", kind="email"), [make(text)], {"hash_of_nothing": 1})
        for name, make in {
            "sha256": sha256,
            "md5": md5,
            "sha1": sha1,
            "Base64": lambda text: in_base64(sha256(text)),
        }.items()
        for text in ("", "null", "NULL", "undefined", "none", "None", "n/a", "N/A", " ")
    ],
    ("words", EMAIL, ["null", "N/A", "Undefined", " none "], {"hash_of_nothing": 4}),
    ("blanks alone", EMAIL, ["   "], {"hash_of_nothing": 1}),
    ("a hash of zeros", EMAIL, ["0" * 64], {"hash_of_nothing": 1}),
    ("a zeroed device", DEVICE, ["00000000-0000-0000-0000-000000000000", UUID], {"hash_of_nothing": 1}),
    ("a device without dashes", DEVICE, [UUID, UUID.replace("-", "").upper()], {}),
    ("a hashed device among devices", DEVICE, [UUID, UUID, sha256(UUID)], {"hashed_and_plain": 1}),
    ("ids of one's own look like anything", OWN_ID, ["u-1", md5("u-2"), sha256("u-3").upper()], {}),
    ("an own id that is a word", OWN_ID, ["u-1", "undefined"], {"hash_of_nothing": 1}),
    ("a hashed own id", HASHED_ID, [sha256("u-3").upper()], {"hash_upper_case": 1}),
    ("plain among hashes", EMAIL, [sha256(MEI), sha256(IDA), "lou@shop.example.net"], {"hashed_and_plain": 1}),
    (
        "two algorithms",
        PLAIN_EMAIL,
        [sha256(MEI), sha256(IDA), md5("lou@shop.example.net")],
        {"hashed_and_plain": 1},
    ),
    ("both of a person", EMAIL, [MEI, sha256(MEI)], {"hashed_and_plain": 1}),
    (
        "hashed as typed",
        EMAIL,
        ["Mei.Tan@shop.example.com", sha256("Mei.Tan@shop.example.com")],
        {"hashed_and_plain": 1, "hash_not_normalised": 1},
    ),
    (
        "hashed with a line end",
        EMAIL,
        [MEI, sha256(MEI + "\n")],
        {"hashed_and_plain": 1, "hash_not_normalised": 1},
    ),
    (
        "a number hashed as typed",
        PHONE,
        ["+1 (555) 010-0199", sha256("+1 (555) 010-0199")],
        {"hashed_and_plain": 1, "hash_not_normalised": 1},
    ),
    ("a number hashed in E.164", PHONE, ["+15550100199", sha256("+15550100199")], {"hashed_and_plain": 1}),
    ("hashed twice", EMAIL, [sha256(MEI), sha256(sha256(MEI))], {"hashed_twice": 1}),
    ("hashed twice, capitals", EMAIL, [sha256(MEI).upper(), sha256(sha256(MEI))], {"hash_upper_case": 1, "hashed_twice": 1}),
    (
        "Base64 hashed again",
        ANY_WRITING,
        [in_base64(sha256(MEI)), in_base64(sha256(in_base64(sha256(MEI))))],
        {"hashed_twice": 1},
    ),
    ("md5 of md5", MD5, [md5(MEI), md5(md5(MEI))], {"hashed_twice": 1}),
    ("a list is its values", EMAIL, [[sha256(MEI).upper(), IDA], "null"], {
        "hash_upper_case": 1, "hash_of_nothing": 1, "hashed_and_plain": 1,
    }),
]  # fmt: skip


@pytest.mark.parametrize(("field", "values", "found"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_fault_is_counted(field: IdentifierField, values: list[object], found: dict[str, int]):
    """Each by its code, and nothing else beside it."""
    assert {one.code: one.count for one in lint_identifiers(values, field)} == found


def test_batches_of_one_list_add_up():
    """A linter that is kept compares what came in different batches, and its memory is bounded."""
    linter = FieldLinter(EMAIL)
    linter.take([sha256(MEI)])
    assert linter.warnings() == []
    linter.take([IDA, sha256(sha256(MEI))])
    assert {one.code for one in linter.warnings()} == {"hashed_and_plain", "hashed_twice"}
    linter.take([sha256(str(number)) for number in range(VALUES_KEPT_MAX + 10)])
    linter.take([f"{number}@example.com" for number in range(VALUES_KEPT_MAX + 10)])
    assert len(linter._digests) == len(linter._plain) == VALUES_KEPT_MAX


def test_a_field_is_found_by_its_declaration():
    """In the action's fields and one object deep; what is not declared is not looked at."""
    fields = identifier_fields(
        (
            Field(key="mail", label="Mail", type="string", identifier="email", hash="sha256"),
            Field(
                key="traits",
                label="Traits",
                type="object",
                properties=(
                    Field(key="phone", label="Phone", type="string", identifier="phone"),
                    Field(key="city", label="City", type="string"),
                ),
            ),
        )
    )
    assert [one.key for one in fields] == ["mail", "traits.phone"]
    payloads = [
        {"mail": sha256(MEI).upper(), "traits": {"phone": "null", "city": "null"}},
        {"mail": sha256(IDA), "traits": "no object"},
        {},
    ]
    assert lint_payloads(payloads, fields) == [
        HashWarning(field="mail", code="hash_upper_case", count=1),
        HashWarning(field="traits.phone", code="hash_of_nothing", count=1),
    ]


@given(st.lists(st.one_of(st.text(), st.binary(min_size=16, max_size=64).map(bytes.hex), st.none(), st.integers())))
def test_nothing_makes_it_raise(values: list[object]):
    """Whatever strangers send."""
    for field in (EMAIL, ANY_WRITING, PHONE, DEVICE, OWN_ID):
        for warning in lint_identifiers(values, field):
            assert 0 < warning.count <= len(values)


def test_no_warning_holds_a_value():
    """Codes, counts and sentences of ours are all there is."""
    values: list[object] = [case_value for case in CASES for case_value in case[2]]
    text = " ".join(
        f"{one.sentence} {one.mend} {msgspec.json.encode(one).decode()}"
        for field in (EMAIL, ANY_WRITING, PHONE, DEVICE)
        for one in lint_identifiers(values, field)
    )
    for value in values:
        if isinstance(value, str) and len(value.strip()) > 9:
            assert value.strip() not in text


def test_every_fault_says_what_and_how_to_mend_it():
    """Two sentences at least, ended by a full stop."""
    assert all(what.endswith(".") and mend.endswith(".") for what, mend in FAULTS.values())


def test_it_is_cheap():
    """Well below what building the request costs; the bound leaves room for a busy machine."""
    values = [sha256(str(number)) for number in range(5_000)] + [f"{number}@example.com" for number in range(5_000)]
    best_s = 1.0
    for _ in range(5):
        started_s = perf_counter()
        lint_identifiers(values, EMAIL)
        best_s = min(best_s, perf_counter() - started_s)
    assert best_s / len(values) < 3e-6
