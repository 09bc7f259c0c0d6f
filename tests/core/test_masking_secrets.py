"""Secrets are hidden however they were written, and short ones do not eat the text around them."""

from __future__ import annotations

import pytest

from gateway.core.masking_secrets import hide_in_headers, hide_secrets

BODY = '{"a":"x","apple":"banana","query":"mutation { upsert(a: 1) }"}'


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("token=s3cret-key&x=1", ["s3cret-key"], "token=<secret>&x=1"),
        ("https://a.example/?key=s3%2Fcret%3D&x=1", ["s3/cret="], "https://a.example/?key=<secret>&x=1"),
        ("client_secret=two+words", ["two words"], "client_secret=<secret>"),
        ('{"key":"a\\"quoted\\"one"}', ['a"quoted"one'], '{"key":"<secret>"}'),
        (BODY, ["a"], BODY),
        (BODY, ["x"], BODY.replace('"x"', '"<secret>"')),
        ("grant_type=client_credentials&client_secret=c&client_id=abc", ["c"],
         "grant_type=client_credentials&client_secret=<secret>&client_id=abc"),
        ("key=abc", ["abc"], "key=<secret>"),
        ("longer-secret", ["longer", "longer-secret"], "<secret>"),
        ("text", [""], "text"),
        ("text", [], "text"),
    ],
)  # fmt: skip
def test_a_text_without_secrets_stays_readable(text: str, secrets: list[str], shown: str) -> None:
    """Long ones wherever they are, short ones as whole values."""
    assert hide_secrets(text, secrets) == shown


def test_of_a_login_only_the_scheme_is_shown() -> None:
    """A bearer's token of one letter, a password in Base64, a key in a header of its own."""
    headers = {"Authorization": "Bearer a", "accept": "application/json", "X-Key": "a", "X-Name": "banana"}
    assert hide_in_headers(headers, ["a"]) == {**headers, "Authorization": "Bearer <secret>", "X-Key": "<secret>"}
    assert hide_in_headers({"authorization": "Basic Z2F0ZXdheTphYmM="}, ["abc"]) == {"authorization": "Basic <secret>"}
    assert hide_in_headers({"Authorization": "Bearer x"}, []) == {"Authorization": "Bearer x"}
