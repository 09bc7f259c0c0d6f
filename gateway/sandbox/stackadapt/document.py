"""A GraphQL document read by a real parser, with what the checks ask of it; nothing here knows StackAdapt's fields."""

import functools
import json
import re
from pathlib import Path

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    Lexer,
    Node,
    ObjectFieldNode,
    OperationDefinitionNode,
    Source,
    StringValueNode,
    Token,
    TokenKind,
    build_schema,
)
from graphql.language.parser import Parser

TOKENS_MAX = 150_000  # A literal list of 1,000 profiles with 30 keys each has about 100,000.

SHAPE_CHARACTERS_MAX = 20_000

_EASY_STRING = re.compile(r'"((?:[^"\\\r\n\ud800-\udfff]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*+)"')


@functools.cache
def load_schema() -> GraphQLSchema:
    """The schema the fake validates against, from `schema.graphql` beside this file."""
    return build_schema((Path(__file__).parent / "schema.graphql").read_text(encoding="utf-8"))


class _Lexer(Lexer):
    r"""The library's lexer with one shortcut: it reads strings one character at a time, far too slow for a batch.

    A string whose escapes GraphQL and JSON read alike is cut out by one expression and decoded as JSON. All others
    (errors, surrogates, `\u{…}`) go the library's way.
    """

    def read_string(self, start: int) -> Token:
        """The string token that starts at `start`."""
        match = _EASY_STRING.match(self.source.body, start)
        if match is None:
            return super().read_string(start)
        text = match[1]
        value = json.loads(f'"{text}"', strict=False) if "\\" in text else text
        return self.create_token(TokenKind.STRING, start, match.end(), value)


def parse_document(text: str) -> DocumentNode:
    """Parse a document. Raises GraphQLSyntaxError, also for one nested too deeply or of more than TOKENS_MAX tokens."""
    source = Source(text)
    try:
        return Parser(source, max_tokens=TOKENS_MAX, lexer=_Lexer(source)).parse_document()
    except RecursionError as error:
        raise GraphQLSyntaxError(source, 0, "The document is nested too deeply.") from error


def shape_of(document: DocumentNode) -> str | None:
    """The document's text with every string emptied, None where that is not safely told without lexing.

    Whether a document fits a schema that takes any text where it takes a string depends on its shape alone.
    """
    text = document.loc.source.body if document.loc else '"""'
    shape = _EASY_STRING.sub('""', text)
    if len(shape) > SHAPE_CHARACTERS_MAX or "\\" in shape or "#" in shape or '"""' in shape:
        return None
    return shape


def root_fields(document: DocumentNode) -> tuple[FieldNode, ...]:
    """The fields written directly under the document's operations, in order."""
    return tuple(
        selection
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode)
        for selection in operation.selection_set.selections
        if isinstance(selection, FieldNode)
    )


def raw_literal(field: FieldNode, key: str) -> str | None:
    """The characters between the quotes of the string literal at `input.<key>`; None if there is no such literal."""
    for argument in field.arguments or ():
        for entry in getattr(argument.value, "fields", ()):
            value = entry.value
            if entry.name.value == key and isinstance(value, StringValueNode) and value.loc is not None:
                quotes = 3 if value.block else 1
                return value.loc.source.body[value.loc.start + quotes : value.loc.end - quotes]
    return None


def with_path(error: GraphQLError, document: DocumentNode) -> dict[str, object]:
    """The error as JSON; one found by validation gets the path of names that leads to it in the document."""
    value: dict[str, object] = {**error.formatted}
    if error.path is None and error.positions:
        value["path"] = _path_to(document, next(iter(error.positions)))
    return value


def _path_to(document: DocumentNode, position: int) -> list[str]:
    path: list[str] = []
    node: Node | None = document
    while node is not None:
        match node:
            case OperationDefinitionNode():
                path.append(node.operation.value)
            case FieldNode() | ArgumentNode() | ObjectFieldNode():
                path.append(node.name.value)
            case _:
                pass
        node = next((child for child in _children(node) if _covers(child, position)), None)
    return path


def _children(node: Node) -> list[Node]:
    children: list[Node] = []
    for key in node.keys:
        value = getattr(node, key, None)
        if isinstance(value, Node):
            children.append(value)
        elif isinstance(value, list | tuple):
            children.extend(child for child in value if isinstance(child, Node))
    return children


def _covers(node: Node, position: int) -> bool:
    return node.loc is not None and node.loc.start <= position < node.loc.end
