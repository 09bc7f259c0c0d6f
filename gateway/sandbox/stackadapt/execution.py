"""From a document that was read to its answer: does it fit the schema, and what its root fields say (checks 7 and 8)."""

from collections import OrderedDict
from collections.abc import Sequence

from graphql import DocumentNode, ExecutionResult, GraphQLError, GraphQLSchema, execute_sync, validate

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.stackadapt.document import shape_of, with_path
from gateway.sandbox.stackadapt.mutations import DocumentCall
from gateway.sandbox.stackadapt.request_body import Reading

SHAPES_MAX = 256


class Validator:
    """Checks documents against the schema, and remembers the shapes that fit: deliveries differ in their texts only."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self._fitting: OrderedDict[str, None] = OrderedDict()

    def errors(self, document: DocumentNode) -> list[GraphQLError]:
        """What does not fit, in the library's words."""
        shape = shape_of(document)
        if shape in self._fitting:
            return []
        errors = validate(self.schema, document)
        if shape is not None and not errors:
            self._fitting[shape] = None
            if len(self._fitting) > SHAPES_MAX:
                self._fitting.popitem(last=False)
        return errors


def answer_document(validator: Validator, reading: Reading, call: DocumentCall, *, unfit_status: int) -> Answer:
    """Validate and execute; `call` collects what the root fields accepted. A mistake of the sandbox itself is raised."""
    document = reading.document
    assert document is not None
    if errors := validator.errors(document):
        return _unfit(errors, document, unfit_status)
    try:
        result = execute_sync(
            validator.schema,
            document,
            root_value=call.root_value(),
            variable_values=reading.variables,
            operation_name=reading.operation_name,
        )
    except RecursionError:
        result = ExecutionResult(data=None, errors=[GraphQLError("The document is nested too deeply.")])
    for error in result.errors or ():
        if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
            raise error.original_error
    if result.data is None:
        return _unfit(result.errors or [], document, unfit_status)
    return json_answer(200, result.formatted)


def _unfit(errors: Sequence[GraphQLError], document: DocumentNode, status: int) -> Answer:
    return json_answer(status, {"errors": [with_path(error, document) for error in errors]})
