"""URLs, query values and headers: what data gives can never change their structure."""

import pytest
from http_audience_cases import SMALL, Scripted, adds, changed, loaded, owed_of, performed, previewed, problems_of, said

from gateway.destinations.http_audience.templates import (
    TemplateError,
    TextTemplate,
    UnresolvedError,
    header_text,
    path_text,
    query_text,
)

HOSTILE = [
    "../../x",
    "a?b",
    "a%2Fb",
    "a#b",
    "a/b",
    "a b",
    "\r\nX: y",
    "é",
    "..%2f",
    "a;b",
    "a&b=c",
    "{{x}}",
    "%00",
    "\x00",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_check_10_a_value_stays_one_segment(value):
    """Whatever it holds; the segment decodes to exactly it."""
    from urllib.parse import unquote

    text = path_text(TextTemplate("/a/{{record.x}}/b"), {"record": {"x": value}})
    head, middle, tail = text.strip("/").split("/")
    assert (head, unquote(middle), tail) == ("a", value, "b")
    assert text.isascii()
    assert not set(text) & set("?#\r\n {}")


@pytest.mark.parametrize(
    ("template", "scope"),
    [
        ("/{{record.x}}/b", {"record": {}}), ("/{{record.x}}/b", {"record": {"x": None}}),
        ("/{{record.x}}/b", {"record": {"x": ""}}),
        ("/{{record.x}}/b", {"record": {"x": "."}}), ("/{{record.x}}/b", {"record": {"x": ".."}}),
        ("/{{record.x}}/b", {"record": {"x": [1]}}), ("/{{record.x}}/b", {"record": {"x": {}}}),
        ("/{{record.x}}/b", {"record": {"x": "y" * 2001}}), ("/{{record.x}}", {"record": {"x": "\ud800"}}),
        ("/.{{record.x}}/b", {"record": {"x": "."}}), ("/{{record.x}}{{record.y}}/b", {"record": {"x": ".", "y": "."}}),
    ],
)  # fmt: skip
def test_check_10_what_cannot_be_a_segment_is_refused(template, scope):
    """Absent, empty, dots, lists, endless ones, and two values that make dots together."""
    with pytest.raises(UnresolvedError) as error:
        path_text(TextTemplate(template), scope)
    assert "record.x" in str(error.value)


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (1.5, "1.5"), (True, "true"), ("x", "x")])
def test_numbers_and_words_have_a_text(value, text):
    """Blanks inside the braces do not count, the `$.` may stand."""
    for template in ("/{{record.x}}", "/{{ record.x }}", "/{{ $.record.x }}"):
        assert path_text(TextTemplate(template), {"record": {"x": value}}) == f"/{text}"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00b", "\u0141ukasz", "a\x7fb", "日本"])
def test_check_10_a_header_stays_one_line_of_latin_1(value):
    """CR, LF, NUL, other controls and what Latin-1 lacks are refused."""
    with pytest.raises(UnresolvedError):
        header_text(TextTemplate("x {{connection.a}}"), {"connection": {"a": value}})


def test_query_values_are_encoded_and_empty_ones_left_out():
    """Names too."""
    parameters = (
        ("a b", TextTemplate("{{connection.x}}")),
        ("e", TextTemplate("{{connection.e}}")),
        ("s", TextTemplate("1&2")),
    )
    assert query_text(parameters, {"connection": {"x": "é&=?", "e": ""}}) == "a%20b=%C3%A9%26%3D%3F&s=1%262"


@pytest.mark.parametrize(
    "text",
    [
        "{{{record.x}}}",
        "{{record.x",
        "record.x}}",
        "{{}}",
        "{{nobody.x}}",
        "{{ record.x }",
        "{{ {{record.x}} }}",
        "x" * 4001,
    ],
)
def test_templates_that_cannot_be_read(text):
    """With the column."""
    with pytest.raises(TemplateError) as error:
        TextTemplate(text)
    assert error.value.at >= 1


PATHS = [
    ("", "https://api.small.example/v1"), ("people", "https://api.small.example/v1/people"),
    ("/people", "https://api.small.example/v1/people"), ("?a=1", "https://api.small.example/v1?a=1"),
    ("/p?a={{connection.r}}", "https://api.small.example/v1/p?a=x%2Fy"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "url"), PATHS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_paths_are_joined_to_the_base(path, url, slash):
    """One slash between, however many are written; an empty path is the base."""
    given = changed(
        SMALL, base_url=f"https://api.small.example/v1{slash}", actions__add__path=path, target={"r": {"label": "R"}}
    )
    (request,) = previewed(given, adds({"email": "a"}), entry={"r": "x/y"})["requests"]
    assert request["url"] == url


def test_query_and_key_follow_a_question_mark():
    """In that order, behind what the path has."""
    auth = {"type": "api_key", "in": "query", "name": "api key", "value": {"$secret": "K"}}
    given = changed(SMALL, auth=auth, actions__add__path="/p?a=1", actions__add__query={"b": "2"})
    (request,) = previewed(given, adds({"email": "a"}))["requests"]
    assert request["url"] == "https://api.small.example/v1/p?a=1&b=2&api key=***"
    partner = Scripted(said(200))
    performed(loaded(given, K="s&e"), owed_of([{"email": "a"}]), partner)
    assert partner.requests[0].url == "https://api.small.example/v1/p?a=1&b=2&api%20key=s%26e"


REFUSED = [
    {"actions__add__path": "/{{record.email}}"}, {"actions__add__headers": {"X": "{{record.email}}"}},
    {"actions__add__query": {"q": "{{record.email}}"}}, {"actions__add__path": "/../x"}, {"actions__add__path": "/a/./b"},
    {"actions__add__path": "//evil.example/x"}, {"actions__add__path": "/a b"},
    {"actions__add__path": "https://{{connection.h}}/x"},
    {"actions__add__path": "https://evil.example/x"}, {"actions__add__path": "https://api{{connection.h}}.example/x"},
    {"actions__add__path": "http://api.small.example/x"}, {"actions__add__path": "{{steps.url}}"},
    {"actions__add__path": "/{{settings.K}}"}, {"actions__add__path": 5}, {"headers": {"Host": "evil.example"}},
    {"headers": {"Content-Length": "1"}}, {"headers": {"X-A": "1", "x-a": "2"}}, {"headers": {"X A": "1"}},
    {"headers": {"X": "a\nb"}},
    {"headers": {"X": "{{record.email}}"}}, {"headers": []}, {"actions__add__query": {"q": 1}},
    {"base_url": "http://api.small.example"}, {"base_url": "https://u:p@api.small.example"},
    {"base_url": "https://api.small.example?x=1"},
    {"base_url": "https://api.small.example#x"}, {"base_url": "ftp://api.small.example"}, {"base_url": "https://"},
    {"base_url": "https://a b.example"},
    {"base_url": "https://{{connection.h}}.example"}, {"base_url": None}, {"base_url": "https://api.small.example:99999"},
]  # fmt: skip


@pytest.mark.parametrize("change", REFUSED, ids=str)
def test_addresses_that_data_could_choose_are_refused_at_load(change):
    """Hosts are written out, records have no place in the address of a batch, framing headers are ours."""
    secret = {"type": "bearer", "token": {"$secret": "K"}}
    assert problems_of(changed(SMALL, **{"auth": secret, "target": {"h": {"label": "H"}}, **change}))


def test_absent_places_refuse_the_batch_and_name_the_place():
    """Never the value."""
    given = changed(SMALL, actions__add__path="/{{connection.h}}/x", target={"h": {"label": "H"}})
    shown = previewed(given, adds({"email": "a"}, {"email": "b"}))
    assert shown["requests"] == []
    assert [(one["code"], one["placeholder"]) for one in shown["rejected"]] == [
        ("endpoint_unresolved", "{{connection.h}}")
    ] * 2


def test_the_login_replaces_any_header_of_its_name():
    """In any case; a custom content type stays."""
    given = changed(
        SMALL,
        auth={"type": "bearer", "token": {"$secret": "K"}},
        headers={"authorization": "mine", "content-type": "application/x"},
    )
    (request,) = previewed(given, adds({"email": "a"}))["requests"]
    assert request["headers"] == {"content-type": "application/x", "Authorization": "Bearer ***"}
