"""From the bytes of a request to its GraphQL document, or to the answer that says why there is none."""

import msgspec
from graphql import DocumentNode, GraphQLSyntaxError

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.stackadapt.document import parse_document, root_fields

BODY_BYTES_MAX = 8 * 1024 * 1024

_KEYS = frozenset({"query", "variables", "operationName"})


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a body turned out to be: a document to execute, or a problem to answer.

    keys: of the JSON object, as far as there was one. names: the document's root fields.
    """

    problem: Answer | None = None
    keys: tuple[str, ...] = ()
    document: DocumentNode | None = None
    names: tuple[str, ...] = ()
    variables: dict[str, object] | None = None
    operation_name: str | None = None


class _Query(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    query: str
    variables: dict[str, object] | None = None
    operation_name: str | None = None


def read_body(content_type: str | None, body: bytes | None, *, unparsable_status: int) -> Reading:
    """Read a request's body; None stands for one of more than BODY_BYTES_MAX."""
    if body is None:
        return Reading(problem=_problem(413, f"The body is larger than {BODY_BYTES_MAX} bytes."))
    if not _is_json(content_type):
        return Reading(problem=_problem(400, "The Content-Type is not JSON."))
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Reading(problem=_problem(400, "The body is not valid JSON."))
    if not isinstance(whole, dict):
        return Reading(problem=_problem(400, "The body is not a JSON object."))
    keys = tuple(whole)
    for key in keys:
        if key not in _KEYS:
            return Reading(keys=keys, problem=_problem(400, f"Unexpected key in the body: {key}"))
    try:
        query = msgspec.convert(whole, _Query)
    except msgspec.ValidationError as error:
        return Reading(keys=keys, problem=_problem(400, str(error)))
    return _read_document(query, keys, unparsable_status)


def _read_document(query: _Query, keys: tuple[str, ...], unparsable_status: int) -> Reading:
    try:
        document = parse_document(query.query)
    except GraphQLSyntaxError as error:
        return Reading(keys=keys, problem=json_answer(unparsable_status, {"errors": [error.formatted]}))
    return Reading(
        keys=keys,
        document=document,
        names=tuple(field.name.value for field in root_fields(document)),
        variables=query.variables,
        operation_name=query.operation_name,
    )


def _problem(status: int, message: str) -> Answer:
    return json_answer(status, {"errors": [{"message": message}]})


def _is_json(content_type: str | None) -> bool:
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")
