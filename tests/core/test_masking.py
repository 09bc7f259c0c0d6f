"""What is hidden before a person reads it."""

import pytest

from gateway.core.masking import TEXT_CHARS_MAX, mask_identifier, mask_key, mask_text, mask_value, words_of


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Locked", "Locked"),
        ("Profile mei@shop.example is locked", "Profile … is locked"),
        ('No such value "Mei Tan" here', "No such value … here"),
        ('An open quote "Mei Tan', "An open quote …"),
        ("Unknown argument 'foo' on field upsertProfiles", "Unknown argument … on field upsertProfiles"),
        ("Call +44 20 7946 0000 now", "Call … now"),
        ("id 20399104 at 192.168.1.20", "id … at …"),
        ("see https://shop.example/u/204?e=mei", "see …"),
        ("user 3f2a9c1e-77aa-4b1c-9a51-aa09cd0e4411", "user …"),
        ("Łódź is bad\n\tvery", "… is bad very"),
    ],
)
def test_a_partners_text_loses_what_may_be_a_person(text: str, masked: str):
    """Words of the language stay, so that the operator can still act."""
    assert mask_text(text) == masked


def test_a_long_text_is_cut_and_a_known_name_hidden():
    """A plain name looks like any word, but we know what we sent."""
    assert len(mask_text("word " * 100_000)) == TEXT_CHARS_MAX
    known = words_of([{"first_name": "Mei", "n": 7, "tags": ["Tan"], "on": True}])
    assert known == {"mei", "7", "tan"}
    assert mask_text("mei TAN is locked, 7 times", known=known) == "… … is locked, … times"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mei@shop.example", "m***@s***.example"),
        ("mei@shop", "m***@***"),
        ("u-204", "u***"),
        ("", ""),
        ("3f2a9c1e77aa4b1c9a51aa09cd0e4411", "3f***32"),
        ("user_id:u-204", "user_id:u***"),
        ("email:mei@shop.example", "email:m***@s***.example"),
    ],
)
def test_an_identifier_keeps_its_look(text: str, masked: str):
    """Enough to tell two people apart on a page, not enough to know either."""
    assert mask_identifier(text) == masked


def test_a_payload_keeps_its_shape():
    """Flags and the audience's own names stay; people do not."""
    event = {
        "type": "identify",
        "userId": "u-204",
        "traits": {"email": "mei@shop.example", "cart_rescue": True, "age": 41, "none": None, "tags": ["Tan"]},
        "context": {"personas": {"computation_key": "cart_rescue"}},
    }
    assert mask_value(event) == {
        "type": "identify",
        "userId": "u***",
        "traits": {"email": "m***@s***.example", "cart_rescue": True, "age": "***", "none": None, "tags": ["T***"]},
        "context": {"personas": {"computation_key": "cart_rescue"}},
    }


def test_depth_is_bounded_and_keys_can_be_hidden_too():
    """A key that is an address or a number is somebody."""
    deep: object = "x"
    for _ in range(500):
        deep = {"k": deep}
    assert "(1 members)" in str(mask_value(deep))
    assert (mask_key("mei@shop.example"), mask_key("4420794600"), mask_key("first_name")) == (
        "***",
        "***",
        "first_name",
    )
