"""A whole transform: the root directive, validation, resolving and clean-up, compiled into one function.

`compile_mapping` is the gateway's way in: everything that depends on the mapping alone is done there, once.
"""

from copy import deepcopy
from typing import final

from gateway.core.javascript import UNDEFINED, code_units, depth, type_name
from gateway.core.mapping.budget import MAPPING_DEPTH_MAX, MAPPING_VALUES_MAX, Run
from gateway.core.mapping.explaining import FieldTrace, explain
from gateway.core.mapping.problems import MappingError
from gateway.core.mapping.resolving import Compiled, compile_whole, failing
from gateway.core.mapping.validation import reference_messages

ROOT_DIRECTIVE_KEY = "__segment_internal_directive"  # Segment's key for a directive that wraps the whole mapping


@final
class Transform:
    """A mapping ready for events.

    apply(body, now_ms=None) gives the payload of one event; MappingError where the event gives none. The event is left
    as it is; the payload may share parts with it. now_ms: what `"now"` means to liquid's dates, milliseconds since 1970;
    None is the event's own `receivedAt`, so that the same event gives the same payload whenever it is replayed.
    """

    __slots__ = ("_compiled", "mapping")

    def __init__(self, mapping: object, compiled: Compiled) -> None:
        self.mapping = mapping
        self._compiled = compiled

    def apply(self, body: object, now_ms: float | None = None) -> object:
        """The payload of one event: nearly always an object, but a mapping that is itself a directive may give anything."""
        payload = deepcopy(body) if self._compiled.changes_event else body
        try:
            return self._compiled.resolve(payload, Run(payload, now_ms))
        except RecursionError as error:
            raise MappingError("the event, or what the mapping makes of it, is nested too deeply") from error

    def explain(self, body: object, now_ms: float | None = None) -> FieldTrace:
        """Where each field came from for one event, or why it is absent; never raises for what an event does."""
        return explain(self.mapping, deepcopy(body) if self._compiled.changes_event else body, now_ms)


def compile_mapping(mapping: object) -> Transform:
    """Check a mapping and make it ready for events.

    mapping: a JSON value as Segment stores it. Raises MappingError with all of Segment's messages where Segment refuses
    it, and where it is deeper than MAPPING_DEPTH_MAX or larger than MAPPING_VALUES_MAX.
    """
    if too_large := oversize(mapping):
        raise MappingError(too_large)
    checked = _checked(_unshared(mapping))
    return Transform(checked, compile_whole(checked))


def transform(mapping: object, event: object = UNDEFINED, now_ms: float | None = None) -> object:
    """Segment's `transform(mapping, event)` in one call; an absent event counts as an empty one."""
    if event is UNDEFINED:
        event = {}
    if not isinstance(event, dict):
        raise MappingError(f"data must be an object, got {type_name(event)}")
    return compile_mapping(mapping).apply(event, now_ms)


def transform_batch(mapping: object, events: object = UNDEFINED, now_ms: float | None = None) -> list[object]:
    """Segment's `transformBatch(mapping, events)`: one payload an event; the first event that fails, fails them all."""
    if events is UNDEFINED:
        events = []
    if not isinstance(events, list):
        raise MappingError(f"data must be an array, got {type_name(events)}")
    compiled = compile_mapping(mapping)
    return [compiled.apply(event, now_ms) for event in events]


def compile_transform_of(mapping: dict[str, object]) -> Compiled:
    """The transform inside `@transform`: it checks its data and its mapping when it is reached, as the outer one does."""
    try:
        rooted = rooted_mapping(mapping)
        messages = reference_messages(rooted)
        inner = failing(*messages) if messages else compile_whole(rooted)
    except MappingError as error:
        inner = failing(*error.messages)

    def resolve(payload: object, run: Run) -> object:
        if not isinstance(payload, dict) and payload is not UNDEFINED:
            raise MappingError(f"data must be an object, got {type_name(payload)}")
        return inner.resolve({} if payload is UNDEFINED else payload, run)

    return inner._replace(resolve=resolve)


def oversize(mapping: object) -> str | None:
    """What is too much about a mapping, if anything."""
    if depth(mapping) > MAPPING_DEPTH_MAX:
        return f"the mapping is nested deeper than {MAPPING_DEPTH_MAX} levels"
    if _size(mapping) > MAPPING_VALUES_MAX:
        return f"the mapping has more than {MAPPING_VALUES_MAX:,} values"
    return None


def _checked(mapping: object) -> object:
    """The mapping that is to be resolved, known to be valid."""
    rooted = rooted_mapping(_spread(mapping))
    messages = reference_messages(rooted)
    if messages:
        raise MappingError(messages)
    return rooted


def _unshared(value: object) -> object:
    """A copy in which no object or list stands in two places, so that each has one place to be explained by."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _size(value: object) -> int:
    """How many values there are in a value of bearable depth, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def _spread(mapping: object) -> dict[str, object]:
    """`{...mapping}`: what JavaScript makes of a mapping that is no object."""
    if isinstance(mapping, dict):
        return mapping
    if mapping is None or mapping is UNDEFINED:
        raise MappingError("Cannot convert undefined or null to object")
    items = list(code_units(mapping)) if isinstance(mapping, str) else mapping
    return {str(index): item for index, item in enumerate(items)} if isinstance(items, list) else {}


def rooted_mapping(mapping: dict[str, object]) -> object:
    """The mapping, or, where it has one, its root directive with all other keys as the directive's option `mapping`."""
    if ROOT_DIRECTIVE_KEY not in mapping:
        return mapping
    rest = {key: value for key, value in mapping.items() if key != ROOT_DIRECTIVE_KEY}
    root = mapping[ROOT_DIRECTIVE_KEY]
    if root is None:
        raise MappingError("Cannot convert undefined or null to object")
    record = _spread(root)
    if len(record) > 1:
        raise MappingError("The root mapping must only have a single directive object")
    for name, option in record.items():
        if isinstance(option, dict):
            directive: object = {**option, "mapping": rest}
            return [directive] if isinstance(root, list) else {name: directive}
        if isinstance(option, list):
            return root  # In JavaScript the list would carry the other keys as a property that nothing reads.
    raise MappingError("The root directive must be an object")
