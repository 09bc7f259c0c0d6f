"""Request bodies: what the directives give, which records fail alone, and what `check` refuses."""

import json
import time
import tracemalloc

import pytest
from http_audience_cases import SMALL, adds, changed, findings_of, loaded, previewed, problems_of

from gateway.destinations.http_audience.loading import load_definition
from gateway.destinations.http_audience.reports import check_report
from gateway.destinations.http_audience.target import facts_of
from gateway.destinations.http_audience.wire import Facts, Item, batches


def definition(tree, **more):
    return changed(SMALL, actions__add__body=tree, **more)


def body_of(tree, *fields, **more):
    (request,) = previewed(definition(tree, **more), adds(*fields))["requests"]
    return request["body"]


def each(do, source="$.records", **more):
    return {"@each": {"in": source, "do": do, **more}}


def path(name):
    return {"@path": f"$.record.{name}"}


def test_check_3_a_batch_of_one_stays_a_list():
    """In objects and in rows."""
    tree = {
        "objects": each({"e": path("email")}),
        "rows": each([path("email"), path("note")]),
        "bare": each(path("email")),
    }
    assert body_of(tree, {"email": "a"}) == {"objects": [{"e": "a"}], "rows": [["a", None]], "bare": ["a"]}


def test_check_4_rows_keep_their_columns():
    """A missing value is null in a list and no key in an object."""
    tree = {"rows": each([path("email"), path("note"), path("n")]), "o": each({"a": path("note"), "n": path("n")})}
    assert body_of(tree, {"email": "a", "n": 1}, {"email": "b", "note": "x"}) == {
        "rows": [["a", None, 1], ["b", "x", None]],
        "o": [{"n": 1}, {"a": "x"}],
    }


def test_a_record_that_would_only_be_counted_is_refused():
    """A bare path without a value; the others go on."""
    shown = previewed(definition({"e": each(path("email"))}), adds({"email": "a"}, {"note": "x"}, {"email": "c"}))
    assert shown["requests"][0]["body"] == {"e": ["a", "c"]}
    assert [(one["record_id"], one["code"]) for one in shown["rejected"]] == [("m-2", "empty_record")]


CASTS = [
    ("number", "12", 12), ("number", " 1.5e3\t", 1500.0), ("number", 7, 7), ("number", "-0.5", -0.5), ("number", "007", None),
    ("number", "0x10", None), ("number", "", "absent"), ("number", "1e999", None), ("number", True, None), ("number", [1], None),
    ("number", "9" * 401, None), ("string", 1.0, "1"), ("string", 1e21, "1e+21"), ("string", False, "false"), ("string", {}, None),
    ("boolean", "TRUE", True), ("boolean", 0, False), ("boolean", "yes", None), ("boolean", 2, None),
]  # fmt: skip


@pytest.mark.parametrize(("to", "value", "given"), CASTS)
def test_casts(to, value, given):
    """What cannot be cast fails, absent stays absent; no message holds the value."""
    tree = {"x": each({"v": {"@cast": {"to": to, "value": path("n")}}})}
    shown = previewed(definition(tree), adds({"n": value, "email": "a"}))
    if given is None:
        assert shown["requests"] == []
        (rejected,) = shown["rejected"]
        assert rejected["code"] == "template_failed"
        assert rejected["pointer"] == "/actions/add/body/x/@each/do/v"
        assert str(value) not in rejected["message"]
    else:
        (item,) = shown["requests"][0]["body"]["x"]
        assert item == ({} if given == "absent" else {"v": given})
        assert given == "absent" or type(item["v"]) is type(given)


def test_check_5_one_bad_record_among_a_thousand_is_refused_alone():
    """The rest goes in one request, without it everywhere it would have stood."""
    tree = {"n": each({"@cast": {"to": "number", "value": path("n")}}), "e": each(path("email"))}
    fields = [{"email": f"e{number}", "n": "x" if number == 500 else number} for number in range(1000)]
    shown = previewed(definition(tree, actions__add__batch={"max_records": 1000}), adds(*fields))
    (request,) = shown["requests"]
    assert len(request["body"]["n"]) == len(request["body"]["e"]) == len(request["record_ids"]) == 999
    assert [(one["record_id"], one["code"]) for one in shown["rejected"]] == [("m-501", "template_failed")]


def test_a_failure_outside_the_records_refuses_the_batch():
    """There is nobody to blame."""
    tree = {"n": {"@cast": {"to": "number", "value": {"@path": "$.connection.kind"}}}, "e": each(path("email"))}
    shown = previewed(
        definition(tree, target={"kind": {"label": "Kind"}}), adds({"email": "a"}, {"email": "b"}), entry={"kind": "x"}
    )
    assert shown["requests"] == []
    assert [one["code"] for one in shown["rejected"]] == ["template_failed", "template_failed"]


@pytest.mark.parametrize(
    ("drop", "given"),
    [("absent", [None, "", {}, [], 1]), ("null", ["", {}, [], 1]), ("empty", [1])],
)
def test_compact_lists(drop, given):
    """Without absent items, without nulls too, without empties too."""
    items = [path("missing"), None, "", {"a": path("missing")}, [], 1]
    assert body_of({"x": each({"@compact": {"items": items, "drop": drop}})}, {"email": "a"}) == {"x": [given]}


def test_iterations_nest_two_deep():
    """The inner one names its item; the outer record stays in sight."""
    inner = each(
        {"d": {"@path": "$.device.id"}, "e": path("email"), "i": {"@path": "$.index"}},
        "$.record.devices",
        **{"as": "device"},
    )
    tree = {"x": each(inner)}
    got = body_of(tree, {"email": "a", "devices": [{"id": 1}, {"id": 2}]}, {"email": "b"})
    assert got == {"x": [[{"d": 1, "e": "a", "i": 0}, {"d": 2, "e": "a", "i": 1}], []]}


def test_the_mapping_kit_works_inside():
    """Conditions, cases, templates, merges, literals."""
    do = {
        "@merge": {
            "direction": "right",
            "objects": [
                {"t": {"@template": "<{{record.email}}>"}, "l": {"@literal": "$.record.email"}},
                {"c": {"@case": {"operator": "upper", "value": path("email")}},
                 "i": {"@if": {"exists": path("note"), "then": "yes", "else": {"@cast": {"to": "string", "value": path("n")}}}}},
            ],
        }
    }  # fmt: skip
    assert body_of({"x": each(do)}, {"email": "ab", "n": 5}) == {
        "x": [{"t": "<ab>", "l": "$.record.email", "c": "AB", "i": "5"}]
    }


def test_the_roots():
    """Connection, settings, audience, batch; nothing secret, and the same bytes on every try."""
    tree = {
        "c": {"@path": "$.connection.region"}, "s": {"@path": "$.settings.plan"}, "k": {"@path": "$.audience.key"},
        "a": {"@path": "$.audience.name"}, "n": {"@path": "$.batch.size"}, "w": {"@path": "$.batch.action"},
        "id": {"@path": "$.batch.id"}, "run": {"@path": "$.run.id"}, "i": each({"@path": "$.index"}),
    }  # fmt: skip
    given = definition(
        tree,
        target={"region": {"label": "Region", "default": "eu"}},
        settings={"plan": {"label": "Plan", "default": "p"}},
    )
    first, again = (previewed(given, adds({"email": "a"}, {"email": "b"}), audience_key="vip") for _ in range(2))
    assert first == again
    body = first["requests"][0]["body"]
    assert len(body.pop("id")) == 32
    assert body == {"c": "eu", "s": "p", "k": "vip", "a": "vip", "n": 2, "w": "add", "run": "1", "i": [0, 1]}


REFUSED = [
    ({"x": {"@liquid": "{{ a }}"}}, "/x"), ({"x": {"@transform": {"apply": {}, "mapping": {}}}}, "/x"),
    ({"x": {"@pth": "$.record.email"}}, "/x"), ({"x": {"@path": "$.record.email", "y": 1}}, "/x"),
    ({"x": {"@path": "$.record.email"}}, "/x/@path"), ({"x": {"@path": "$.nobody.email"}}, "/x/@path"),
    ({"x": {"@path": "record"}}, "/x/@path"), ({"x": {"@path": {"@literal": "$.connection.x"}}}, "/x/@path"),
    ({"x": {"@template": "{{{connection.x}}}"}}, "/x/@template"), ({"x": {"@template": "{{secrets.x}}"}}, "/x/@template"),
    ({"x": {"@template": "{{$.connection.x}}"}}, "/x/@template"), ({"x": {"@template": "a {{ $.batch.id }}"}}, "/x/@template"),
    ({"x": {"@arrayPath": ["$.settings.KEYS", {"n": {"@template": "{{$.name}}"}}]}}, "/x/@arrayPath/1/n/@template"),
    ({"x": {"@template": 5}}, "/x/@template"), ({"x": {"@each": []}}, "/x/@each"),
    ({"x": {"@each": {"in": "$.records"}}}, "/x/@each"),
    (each(each(path("email"))), "/@each/do/@each"),
    (each(each(each({}, "$.b.x", **{"as": "c"}), "$.record.x", **{"as": "b"})), "/@each/do/@each/do/@each"),
    (each(each({}, "$.record.x")), "/@each/do/@each"), (each({}, **{"as": "x"}), "/@each/as"),
    (each({}, "$.record.x", **{"as": "record"}), "/@each/as"), ({"x": {"@cast": {"to": "date", "value": 1}}}, "/x/@cast/to"),
    ({"x": {"@cast": {"to": "number"}}}, "/x/@cast"), ({"x": {"@compact": {"items": {}}}}, "/x/@compact"),
    ({"x": {"@compact": {"items": [], "drop": "all"}}}, "/x/@compact/drop"),
    ({"x": {"@case": {"operator": "title", "value": "a"}}}, "/x/@case/operator"),
    ({"x": {"@if": {"exists": {"@cast": {"to": "number"}}}}}, "/x/@if/exists/@cast"),
    ({"x": {"@literal": {"@nope": 1}}}, "/x/@literal"),
    ({"x": {"@path": "$.settings.KEY"}}, ""), ({"x": {"@path": "$.connection.nowhere"}}, None), ("text", ""), (5, ""),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "place"), REFUSED)
def test_check_9_bad_trees_are_refused_with_their_place(tree, place):
    """At load, all of them; nothing refused can run."""
    pointers = [
        pointer for pointer, _ in problems_of(definition(tree, settings={"KEY": {"label": "Key", "secret": True}}))
    ]
    assert pointers
    if place is not None:
        assert any(pointer == f"/actions/add/body{place}" for pointer in pointers), pointers


def test_trees_have_bounds():
    """Depth, values, bytes."""
    deep = {"x": 1}
    for _ in range(24):
        deep = {"x": deep}
    for tree in (deep, {"x": [1] * 10_001}, {"x": "y" * 65_537}):
        ((pointer, what),) = problems_of(definition(tree))
        assert pointer == "/actions/add/body"
        assert "body" in what


def test_check_tells_what_is_read_and_what_is_not_used():
    """Fields per action, target keys, and warnings for both kinds of mistake."""
    value = changed(
        SMALL,
        target={"audience_id": {"label": "Id"}, "audience_name": {"label": "Name"}},
        actions__add__path="/l/{{connection.audience_id}}",
        actions__add__body={"x": each({"e": path("email"), "z": path("unknown")})},
    )
    made, problems = load_definition(findings_of(value), variables={})
    shown = check_report(made.file, problems)
    assert (shown["valid"], shown["record_fields"], shown["target_keys"]) == (
        True, {"add": ["email", "unknown"]}, ["audience_id"]
    )  # fmt: skip
    assert [(one["pointer"], one["message"].split("`")[1]) for one in shown["warnings"]] == [
        ("/actions/add", "unknown"), ("/fields/note", "note"), ("/fields/n", "n"),
    ]  # fmt: skip


FORMATS = [
    ("form", {"a": path("email"), "b": 1, "c": True, "d": path("no")}, "a=x+y%26z&b=1&c=true"),
    ("ndjson", each({"e": path("email")}), '{"e":"x y&z"}\n'),
    ("lines", each(path("email")), "x y&z\n"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "tree", "text"), FORMATS)
def test_other_formats(name, tree, text):
    """A form of a flat object, lines of a list; each with its own content type."""
    given = definition(tree, actions__add__format=name, actions__add__batch={"max_records": 1})
    (request,) = previewed(given, adds({"email": "x y&z"}))["requests"]
    assert request["body"] == text
    kinds = {
        "form": "application/x-www-form-urlencoded",
        "ndjson": "application/x-ndjson",
        "lines": "text/plain; charset=utf-8",
    }
    assert request["headers"]["Content-Type"] == kinds[name]


def test_a_line_break_in_a_line_refuses_its_record():
    """It would be two lines."""
    given = definition(each(path("email")), actions__add__format="lines")
    shown = previewed(given, adds({"email": "a"}, {"email": "b\nc"}))
    assert shown["requests"][0]["body"] == "a\n"
    assert [one["record_id"] for one in shown["rejected"]] == ["m-2"]


def test_check_11_a_batch_is_cut_before_its_body_grows_too_large():
    """As many as fit, never more; a record too large alone is refused."""
    fields = [{"email": f"{number:03}" + "x" * (600 if number == 7 else 20)} for number in range(50)]
    given = definition({"e": each(path("email"))}, actions__add__batch={"max_records": 100, "max_bytes": 300})
    shown = previewed(given, adds(*fields))
    sent = [record_id for one in shown["requests"] for record_id in one["record_ids"]]
    assert sent == [f"m-{number + 1}" for number in range(50) if number != 7]
    sizes = [len(one["body"]["e"]) for one in shown["requests"]]
    # {"e":[…]} has 8 bytes, an item 26 with its comma: eleven fit into 300, fewer only before the bad one and at the end.
    assert sizes[0] == 7
    assert set(sizes[1:-1]) == {11}
    (rejected,) = shown["rejected"]
    assert (rejected["code"], rejected["limit"], rejected["bytes"]) == ("record_too_large", 300, 613)


def test_groups_are_kept_apart_and_sent_by_their_first_record():
    """By the values of `group_by`, by action, by list."""
    given = changed(
        SMALL, actions__add__batch={"max_records": 10, "group_by": ["note"]}, actions__remove={"method": "DELETE"}
    )
    records = adds({"email": "a", "note": "x"}, {"email": "b", "note": "y"}, {"email": "c", "note": "x"})
    records.insert(1, {"id": "r", "action": "remove", "fields": {"email": "d"}})
    shown = previewed(given, records)
    assert [one["record_ids"] for one in shown["requests"]] == [["m-1", "m-3"], ["r"], ["m-2"]]


PEOPLE, IN_A_BATCH = 40_000, 2_000  # `make bench` does it with 100,000 and 5,000


def rendering(people):
    """A body like the worked example's, and records for it."""
    tree = {"users": each({"e": path("email"), "n": {"@cast": {"to": "number", "value": path("n")}}})}
    destination = loaded(
        definition(tree, fields__email__hash="sha256", actions__add__batch={"max_records": IN_A_BATCH})
    )
    facts = facts_of(destination.file, {})
    assert isinstance(facts, Facts)
    items = [
        Item(
            place=number, id=number, asked="add", action=destination.file.actions["add"], facts=facts,
            record={"email": f"{number:064x}", "n": str(number)},
        )
        for number in range(people)
    ]  # fmt: skip
    return destination.file, items


def test_check_15_rendering_holds_one_batch_at_a_time():
    """All records need hardly more memory than a tenth of them do, and each batch is whole."""
    file, items = rendering(PEOPLE)
    peaks = []
    for few in (items[: PEOPLE // 10], items):
        tracemalloc.start()
        sizes = [len(one.items) for one in batches(file, few, {})]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sizes == [IN_A_BATCH] * (len(few) // IN_A_BATCH)
    waiting = (
        PEOPLE * 8 * 3
    )  # The places of the records that wait, as a queue keeps them; the records are there before.
    assert peaks[1] < peaks[0] * 1.3 + waiting, peaks


def test_check_15_rendering_costs_a_few_times_what_writing_the_json_costs():
    """As a ratio, since machines differ; best of three. 5 s for 100,000 on two cores leave 30 times."""
    file, items = rendering(10_000)
    plain = [{"e": one.record["email"], "n": int(str(one.record["n"]))} for one in items]

    def best_s(work):
        taken = []
        for _ in range(3):
            started = time.process_time()
            work()
            taken.append(time.process_time() - started)
        return min(taken)

    bare = best_s(lambda: [json.dumps({"users": [dict(one) for one in plain]}).encode()])
    ours = best_s(lambda: [len(one.items) for one in batches(file, items, {})])
    assert ours < bare * 30, (ours, bare)
