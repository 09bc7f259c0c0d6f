"""Our shortcut through long string literals reads what the library reads, and is fast enough for batches."""

import time

import pytest
from graphql import GraphQLSyntaxError, parse, print_ast
from hypothesis import given
from hypothesis import strategies as st
from sandbox_documents import mutation, profile, profiles_field

from gateway.sandbox.stackadapt.document import parse_document, raw_literal, root_fields, shape_of

PIECES = st.sampled_from(
    [
        '"',
        "\\",
        '\\"',
        "\\\\",
        "\\n",
        "\\u0041",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\u{1F600}",
        "\\x",
        "\n",
        "\t",
        "\x01",
        "é",
        "😀",
        "a",
        " ",
        "#",
    ]
)


@given(st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join))
def test_any_string_literal_reads_as_the_library_reads_it(text):
    """Same tree, or a syntax error at the same place."""
    document = f'{{ f(a: "{text}", b: """{text}""") }}'
    assert outcome_of(parse_document, document) == outcome_of(parse, document)


def outcome_of(reader, document):
    """The tree and its text, or where the error is."""
    try:
        tree = reader(document)
    except GraphQLSyntaxError as error:
        return error.message, error.positions
    return tree, print_ast(tree)


def test_the_raw_literal_is_what_stands_between_the_quotes():
    """Escapes as they were written; block strings have three quotes."""
    plain, block, none = root_fields(
        parse_document('{ a(input: {p: "x\\"\\u0041"}) b(input: {p: """y "q" """}) c(input: {p: 7, q: "z"}) d }')
    )[:3]
    assert raw_literal(plain, "p") == 'x\\"\\u0041'
    assert raw_literal(block, "p") == 'y "q" '
    assert raw_literal(none, "p") is None


@given(st.lists(PIECES | st.sampled_from(["b", ":", "(", ")"]), max_size=12).map("".join))
def test_documents_of_one_shape_differ_in_their_strings_only(text):
    """Whatever stands in and around the strings: emptying them in the tree gives the same tree as the shape's."""
    document = f'{{ f(a: "{text}", b: "x") c }}'
    try:
        tree = parse(document)
    except GraphQLSyntaxError:
        return
    shape = shape_of(tree)
    if shape is not None:
        assert tokens(parse(shape)) == tokens(tree)


def tokens(tree):
    """The document's tokens, all strings alike."""
    found, token = [], tree.loc.start_token
    while token is not None:
        found.append((token.kind, None if token.kind.name == "STRING" else token.value))
        token = token.next
    return found


@pytest.mark.parametrize(
    "document", ['{ a(b: "\\u{41}") }', '{ a } # "', '{ a(b: """x""") }', "{ " + "a " * 10_000 + "}"]
)
def test_a_document_whose_shape_is_not_plain_has_none(document):
    """It is validated each time."""
    assert shape_of(parse(document)) is None


@pytest.mark.parametrize("document", ["{ a " * 5000, "{ a(b: " + "[" * 20000, "#\n" * 200_000])
def test_a_document_without_measure_is_a_syntax_error(document):
    """Depth and number of tokens are bounded."""
    with pytest.raises(GraphQLSyntaxError):
        parse_document(document)


def test_a_batch_of_a_thousand_profiles_parses_in_a_fraction_of_the_librarys_time():
    """A ratio, so that a busy machine does not matter: less than half, where we measured about an eighth."""
    people = [profile(f"person{i}@shop.example", city="Łódź", first_name="Mei") for i in range(1000)]
    document = mutation(profiles_field(people))
    assert best_s(parse_document, document) < best_s(parse, document) / 2


def best_s(reader, document):
    """The shortest of three readings."""
    took_s = []
    for _ in range(3):
        started = time.perf_counter()
        reader(document)
        took_s.append(time.perf_counter() - started)
    return min(took_s)
