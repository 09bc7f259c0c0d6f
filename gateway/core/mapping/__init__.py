"""Segment's mapping kit: from an event to the payload of an action.

A mapping is a JSON value of raw parts, which are copied, and directives (`{"@path": "$.userId"}`), which are computed.
`compile_mapping` checks one and makes a `Transform` of it, once; `Transform.apply` is then all an event costs.

    paths, templates, replacing, liquid/    what single directives are made of
    directives, gathering                   the directives, one function each
    resolving, transforming                 values, objects, lists; the whole of a transform
    validation, unchecked, warning          what is wrong with a mapping; what Segment lets pass; what surprises
    surveying                               the walk over a whole mapping that the last two share
    explaining, value_keys                  where a value came from; what a mapping reads
    budget                                  every bound
"""

from gateway.core.mapping import directives as _directives  # noqa: F401  (registers the directives)
from gateway.core.mapping.budget import MAPPING_DEPTH_MAX, MAPPING_VALUES_MAX, RESOLVE_UNITS_MAX
from gateway.core.mapping.explaining import FieldTrace, PathTrace, shape_of
from gateway.core.mapping.problems import MappingError, MappingProblem, MappingWarning
from gateway.core.mapping.transforming import Transform, compile_mapping, transform, transform_batch
from gateway.core.mapping.unchecked import validate_mapping
from gateway.core.mapping.value_keys import value_keys
from gateway.core.mapping.warning import mapping_warnings

__all__ = [
    "MAPPING_DEPTH_MAX",
    "MAPPING_VALUES_MAX",
    "RESOLVE_UNITS_MAX",
    "FieldTrace",
    "MappingError",
    "MappingProblem",
    "MappingWarning",
    "PathTrace",
    "Transform",
    "compile_mapping",
    "mapping_warnings",
    "shape_of",
    "transform",
    "transform_batch",
    "validate_mapping",
    "value_keys",
]
