"""A record's values: the hashing switch, normalising, validating, required and static ones."""

import hashlib
import json

import pytest
from http_audience_cases import SMALL, adds, changed, loaded, previewed

from gateway.destinations.http_audience.fields import Rejection, prepare

HEX = {"md5": 32, "sha256": 64, "sha512": 128}
BASE64 = {"md5": 24, "sha256": 44, "sha512": 88}


def rules(**fields):
    definition = changed(SMALL, fields=fields, actions__add__body={"all": {"@path": "$.records"}})
    return loaded(definition).file.fields


def prepared(fields, values, *, hashing="on", action="add", **more):
    return prepare(values, action, rules(**fields), hashing=hashing, **more)


def digest(algorithm, text):
    return hashlib.new(algorithm, text.encode()).hexdigest()


@pytest.mark.parametrize("algorithm", HEX)
@pytest.mark.parametrize("text", ["plain", "é", "ß", "漢字", "👩‍🚀"])
def test_check_6_hashes_are_over_utf8(algorithm, text):
    """For every algorithm and every kind of character."""
    assert prepared({"x": {"hash": algorithm}}, {"x": text}) == {"x": digest(algorithm, text)}


OWN, OTHER = "own length", "other length"
SWITCH = [
    ("on", "plain", "hashed"), ("on", OWN, "already_hashed"), ("on", OTHER, "hashed"),
    ("off", "plain", "not_hashed"), ("off", OWN, "passed"), ("off", OTHER, "not_hashed"),
    ("auto", "plain", "hashed"), ("auto", OWN, "passed"), ("auto", OTHER, "hashed"),
]  # fmt: skip


@pytest.mark.parametrize("algorithm", HEX)
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(("hashing", "what", "result"), SWITCH)
def test_check_7_the_hashing_switch(algorithm, upper, hashing, what, result):
    """All nine cells: the switch by plain text, a digest of the own length in both cases, a digest of another length."""
    digits = "0123456789abcdef" * 8
    text = {
        "plain": "Ana", OWN: digits[: HEX[algorithm]], OTHER: digits[: 32 if algorithm != "md5" else 64],
    }[what]  # fmt: skip
    text = text.upper() if upper else text
    got = prepared({"x": {"hash": algorithm}}, {"x": f" {text} "}, hashing=hashing)
    if result == "hashed":
        assert got == {"x": digest(algorithm, f" {text} ")}
    elif result == "passed":
        assert got == {"x": text.lower()}
    else:
        assert isinstance(got, Rejection)
        assert (got.code, got.details) == (result, {"fields": ["x"]})
        assert text not in got.message


@pytest.mark.parametrize("algorithm", HEX)
def test_a_digest_for_a_base64_field_is_written_anew_and_not_hashed_again(algorithm):
    """Hexadecimal or Base64 in, Base64 out."""
    field = {"x": {"hash": algorithm, "hash_encoding": "base64"}}
    plain = prepared(field, {"x": "ana"})["x"]
    assert len(plain) == BASE64[algorithm]
    for given in (digest(algorithm, "ana"), digest(algorithm, "ana").upper(), plain):
        assert prepared(field, {"x": given}, hashing="auto") == {"x": plain}
        assert prepared(field, {"x": given}, hashing="off") == {"x": plain}
        assert prepared(field, {"x": given}).code == "already_hashed"


@pytest.mark.parametrize(
    ("value", "text"), [(4070, "4070"), (4070.0, "4070"), (0.5, "0.5"), (False, "false"), (True, "true"), ("0", "0")]
)
def test_other_types_are_hashed_by_their_text(value, text):
    """Numbers in shortest decimal form, booleans as words."""
    assert prepared({"x": {"hash": "sha256"}}, {"x": value}) == {"x": digest("sha256", text)}


@pytest.mark.parametrize("value", [{"a": 1}, [["a"]], [{}]])
def test_lists_and_objects_cannot_be_hashed(value):
    """The record is invalid."""
    assert prepared({"x": {"hash": "sha256"}}, {"x": value}).code == "record_invalid"


@pytest.mark.parametrize(
    ("normalize", "given", "text"),
    [
        ("none", " A ", " A "), ("trim", " A ", "A"), ("lower", " A ", " a "), ("trim_lower", " A ", "a"),
        ("email", " Ana. Reyes@Example.com ", "ana.reyes@example.com"),
        ("email_uid2", "A.na+x@gmail.com", "ana@gmail.com"), ("phone_e164", "+46 70 555 01 02", "+46705550102"),
        ("digits", "(1) 2-3", "123"), ("name", " O'Brien-Šíp ", "obrienšíp"), ("country2", " SE ", "se"),
        ("postal", "12345-6789", "12345"),
    ],
)  # fmt: skip
def test_normalisers(normalize, given, text):
    """Alone, and before hashing."""
    assert prepared({"x": {"normalize": normalize}}, {"x": given}) == {"x": text}
    assert prepared({"x": {"normalize": normalize, "hash": "sha256"}}, {"x": given}) == {"x": digest("sha256", text)}


def test_numbers_written_without_country_need_one():
    """Without a default country nothing is left of them, and a required field is missing."""
    phone = {"normalize": "phone_e164", "required": True}
    assert prepared({"p": phone}, {"p": "070 555 01 02"}).code == "missing_required_field"
    assert prepared({"p": {**phone, "default_country": "se"}}, {"p": "070 555 01 02"}) == {"p": "+46705550102"}


VALIDATE = [
    ("email", "a@b.example", "a@b"), ("phone_e164", "+46705550102", "0705550102"),
    ("uuid", "9a7b3c1d-5e2f-4a68-8b90-c1d2e3f4a5b6", "9a7b"), ("maid", "9A7B3C1D-5E2F-4A68-8B90-C1D2E3F4A5B6",
    "00000000-0000-0000-0000-000000000000"), ("number", "12.5", "twelve"), ("number", 3, True), ("boolean", "true", "yes"),
    ("max_length:3", "abc", "abcd"), ("one_of:[a, b]", "b", "c"), ({"one_of": ["a", 1]}, 1, True),
    ({"max_length": 2}, "ab", "abc"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "good", "bad"), VALIDATE)
def test_validation_drops_or_refuses(rule, good, bad):
    """A bad value goes, or its record does; of a required field always the record."""
    other = {"y": {}}
    assert prepared({"x": {"validate": rule}, **other}, {"x": good, "y": 1}) == {"x": good, "y": 1}
    assert prepared({"x": {"validate": rule}, **other}, {"x": bad, "y": 1}) == {"y": 1}
    for more in ({"on_invalid": "reject"}, {"required": True}):
        got = prepared({"x": {"validate": [rule], **more}, **other}, {"x": bad, "y": 1})
        assert (got.code, got.details["fields"]) == ("invalid_value", ["x"])
        assert not isinstance(bad, str) or f"`{bad}`" not in got.message


def test_a_field_is_as_strict_as_the_action_that_needs_it():
    """Required for adding only, a value that is not valid refuses an addition and is left out of a removal."""
    fields = {"x": {"validate": "number", "required": ["add"]}, "y": {}}
    assert prepared(fields, {"x": "twelve", "y": 1}).code == "invalid_value"
    assert prepared(fields, {"x": "twelve", "y": 1}, action="remove") == {"y": 1}


@pytest.mark.parametrize(
    ("multiple", "values", "got"),
    [
        ("first", ["", None, "a", "b"], "a"), ("all", ["a", None, "b"], ["a", "b"]), ("reject", ["a"], "a"),
        ("reject", ["a", "b"], "invalid_value"), ("first", [], "missing"), ("all", [None], "missing"),
    ],
)  # fmt: skip
def test_lists_where_one_value_is_meant(multiple, values, got):
    """For identifiers and hashed fields; other fields keep their lists."""
    field = {"x": {"identifier": True, "multiple": multiple}, "y": {}}
    found = prepared(field, {"x": values, "y": [1, [2]]})
    if got == "missing":
        assert found == {"y": [1, [2]]}
    elif got == "invalid_value":
        assert found.code == got
    else:
        assert found == {"x": got, "y": [1, [2]]}
    if isinstance(got, list):
        hashed = prepared({"x": {"hash": "sha256", "multiple": "all"}}, {"x": values})
        assert hashed == {"x": [digest("sha256", one) for one in got]}


def test_empties_go_and_types_stay():
    """Null, absent and empty text are no values; 0, false and a blank are."""
    values = {"a": None, "b": "", "c": 0, "d": False, "e": " ", "f": [1], "g": {"h": None}}
    assert prepared({}, values) == {"c": 0, "d": False, "e": " ", "f": [1], "g": {"h": None}}
    assert prepared({}, {"a": None, "b": ""}).code == "empty_record"


def test_required_and_groups_tell_everything_missing():
    """Before and after normalising; only in the actions a field is sent in."""
    fields = {
        "a": {"required": True}, "b": {"required": True, "actions": ["remove"]}, "c": {"any_of": "who"},
        "d": {"any_of": "who", "normalize": "digits"}, "e": {},
    }  # fmt: skip
    assert prepared(fields, {"e": 1}).details == {"fields": ["a", "c", "d"]}
    assert prepared(fields, {"a": 1, "d": "no digits"}).details == {"fields": ["c", "d"]}
    assert prepared(fields, {"a": 1, "d": "7", "b": 2}) == {"a": 1, "d": "7"}


def test_check_8_static_values_come_first():
    """A required field that only a static value feeds has a value; static values win over the record's."""
    fields = {"origin": {"required": True, "static": True}, "x": {}}
    assert prepared(fields, {"x": 1}, static={"origin": "crm"}) == {"x": 1, "origin": "crm"}
    assert prepared(fields, {"origin": "old"}, static={"origin": "crm"}) == {"origin": "crm"}


def test_the_first_bad_value_in_record_order_is_named():
    """One is enough to refuse the record."""
    fields = {"a": {"hash": "sha256"}, "b": {"hash": "md5"}}
    assert prepared(fields, {"b": "0" * 32, "a": "0" * 64}).details == {"fields": ["b"]}


def test_planned_removals_are_not_hashed_again():
    """They hold what was accepted before; forwarded ones hold what the event had."""
    destination = loaded(changed(SMALL, fields__email__hash="sha256", actions__remove={"method": "DELETE"}))
    accepted = destination.prepared("enter", {"email": "ana@example.com"})
    assert destination.prepared("exit", accepted, planned=True) == accepted
    assert destination.prepared("erase", accepted, planned=True) == accepted
    assert destination.prepared("exit", accepted).code == "already_hashed"
    assert destination.prepared("update", accepted).code == "action_not_configured"


def test_undeclared_fields_pass_as_they_are():
    """As do lists and objects in them."""
    tree = {"x": {"@each": {"in": "$.records", "do": {"@path": "$.record"}}}}
    shown = previewed(changed(SMALL, actions__add__body=tree), adds({"extra": {"deep": [1]}, "email": "a"}))
    assert shown["requests"][0]["body"] == {"x": [{"extra": {"deep": [1]}, "email": "a"}]}
    assert json.dumps(shown["rejected"]) == "[]"
