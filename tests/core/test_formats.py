"""Text formats and date texts: what the reference takes and refuses, and that nothing hangs on a hostile text."""

import time

import pytest

from gateway.core.dates import parse_date
from gateway.core.formats import FORMAT_NAMES, NUMBER_FORMATS, TEXT_FORMATS

TAKEN = {
    "email": ["kit@host.x", "kit@8.9", "KIT.o'neil+a@x-y.example", "!#$%&'*+/=?^_`{|}~-@a.b"],
    "date": ["2024-02-29", "2000-02-29"],
    "time": ["10:00:00", "10:00:00Z", "23:59:60", "10:00:00.123+05:30", "10:00:00+05"],
    "date-time": ["2024-02-29T10:00:00Z", "2024-02-29 10:00:00", "2024-02-29t10:00:00"],
    "date-like": [
        "1700000000000", "-5", "1.5", "2024-13-45", "20241345", "2024 5", "12345", "2024-03-05T07:08:09Z", "Mar 5",
        "3/5/2024", "Tue, 05 Mar 2024 07:08:09 GMT", "2024",
    ],
    "duration": ["P1Y2M3DT4H5M6S", "P3W", "PT1H"],
    "uri": ["https://shop.example/a?b#c", "urn:x:y", "mailto:kit@shop.example", "http://[::1]:80/"],
    "uri-reference": ["/a/b", "?q", "", "#x", "//host"],
    "uri-template": ["/a/{x}", "{+p*}/{a,b:3}"],
    "url": ["http://shop.example/p", "ftp://8.9.10.11", "https://u:p@shop.example:8080/x"],
    "hostname": ["a.b.c", "A1.example."],
    "ipv4": ["1.2.3.4", "01.2.3.4"],
    "ipv6": ["::1", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4"],
    "regex": ["^a+$", "(?<name>x)"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "urn:uuid:123e4567-e89b-12d3-a456-426614174000"],
    "json-pointer": ["", "/a~1b/~0"],
    "json-pointer-uri-fragment": ["#/a%41"],
    "relative-json-pointer": ["0#", "1/a"],
    "byte": ["YWJj", "YQ==", ""],
}  # fmt: skip
REFUSED = {
    "email": ["kit@host", "kit@my_host.io", " kit@host.x", "kit@host.x ", "kit@host.x\n", '"kit"@host.x', "kit@-a.b",
              "a..b@x.y", "kit@[1.2.3.4]", "zoë@host.x", "\u017f@host.x", "kit@host.\u212a", ""],
    "date": ["2023-02-29", "1900-02-29", "2024-2-9", "2024-02-29T00:00:00Z", "", "٢٠٢٤-02-29", "2024-02-29\n"],
    "time": ["24:00:00", "10:60:00", "10:00"],
    "date-time": ["2024-02-29", "2024-02-30T10:00:00Z", "2024-02-29T10:00:00Z x"],
    "date-like": ["x", "07:08", "1e3", "2024-13-45Z", "", "2024-W01", "99999999999999"],
    "duration": ["P", "PT", "1Y"],
    "uri": ["//host", "shop.example", "http://a b", "/a"],
    "uri-reference": ["a b", "{}"],
    "uri-template": ["{}", "a{"],
    "url": ["http://10.1.1.1", "shop.example", "http://a--b.example"],
    "hostname": ["a-.b", "a_b", "a" * 64],
    "ipv4": ["256.1.1.1", "1.2.3"],
    "ipv6": ["fe80::1%en0", "1::2::3", ":"],
    "regex": ["(", "a\\Z", "(" * 2000],
    "uuid": ["123e4567"],
    "json-pointer": ["a", "/~2"],
    "json-pointer-uri-fragment": ["/a"],
    "relative-json-pointer": ["01/a"],
    "byte": ["a", "YQ="],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TAKEN.items() for text in texts])
def test_a_format_takes(name: str, text: str):
    """Texts the reference takes."""
    assert TEXT_FORMATS[name](text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts])
def test_a_format_refuses(name: str, text: str):
    """Texts the reference refuses."""
    assert not TEXT_FORMATS[name](text)


def test_every_format_is_in_both_tables():
    """A new format comes with its examples."""
    assert TAKEN.keys() == REFUSED.keys() == TEXT_FORMATS.keys() == FORMAT_NAMES - NUMBER_FORMATS.keys() - {
        "text", "password", "binary",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(TEXT_FORMATS))
def test_no_format_hangs_on_a_hostile_text(name: str):
    """A hundred thousand characters of what makes slow patterns slow are answered at once."""
    started = time.perf_counter()
    for piece in ("a", "-", "a-", "a.", "1:", "/a", "{a}", "%41", "@", "a@", " ", "\u2028", "(", "~0", "0"):
        for size in (1_000, 60_000, 100_000):
            TEXT_FORMATS[name](piece * (size // len(piece)) + "\x00")
            TEXT_FORMATS[name]("http://" + piece * (size // len(piece)) + "\x00")
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    ("name", "number", "fits"),
    [
        ("int32", 2**31 - 1, True),
        ("int32", 2**31, False),
        ("int32", 1.5, False),
        ("int64", 2.0**53, True),
        ("float", 1.5, True),
    ],
)
def test_number_formats(name: str, number: float, fits: bool):
    """Whole numbers of a width."""
    assert NUMBER_FORMATS[name](number) is fits


MARCH_5 = 1709596800000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024", 1704067200000),
        ("2024-03", 1709251200000),
        ("2024-03-05", MARCH_5),
        ("2024-03-05T07:08", MARCH_5 + 25_680_000),
        ("2024-03-05T07:08:09.1239567+05:30", MARCH_5 + 25_689_123 - 19_800_000),
        ("2024-03-05T24:00:00Z", MARCH_5 + 86_400_000),
        ("+012024-01-01T00:00:00Z", 317273587200000),
        ("2024-02-30", 1709251200000),
        ("2024-03-05 07:08:09", MARCH_5 + 25_689_000),
        ("2024/3/5 7:08 PM", MARCH_5 + 68_880_000),
        ("Tue, 05 Mar 2024 07:08:09 +0530", MARCH_5 + 25_689_000 - 19_800_000),
        ("5 Mar 2024", MARCH_5),
        ("Mar 5 2024", MARCH_5),
        ("March 5, 2024", MARCH_5),
        ("3/5/2024", MARCH_5),
        ("1969-12-31", -86_400_000),
        ("2024-13-01", None),
        ("2024-03-05T07", None),
        ("2024-03-05T07:60", None),
        ("20240305", None),
        ("2024-W01", None),
        ("07:08", None),
        ("soon", None),
        ("", None),
        ("1" * 10_000, None),
    ],
)
def test_date_texts_are_read_as_javascript_reads_them(text: str, moment: float | None):
    """ISO forms exactly, the usual spellings besides."""
    assert parse_date(text) == moment
