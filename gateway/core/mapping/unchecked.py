"""All problems of a mapping: what Segment refuses, and what it lets pass and then fails on, event by event."""

from collections.abc import Callable, Iterator

from gateway.core.javascript import is_truthy, utf16_length
from gateway.core.mapping.liquid import LIQUID_UNITS_MAX, LiquidError, compile_liquid
from gateway.core.mapping.problems import MappingError, MappingProblem, Place
from gateway.core.mapping.replacing import PATTERN_UNITS_MAX
from gateway.core.mapping.surveying import parts_of
from gateway.core.mapping.transforming import ROOT_DIRECTIVE_KEY, oversize, rooted_mapping
from gateway.core.mapping.validation import CHECKS, reference_problems, unknown_directive


def validate_mapping(mapping: object) -> list[MappingProblem]:
    """Every problem of a mapping with its place, those that Segment refuses first, in its order.

    `reference_message` is None for a problem in a spot that Segment does not validate: it fails there too, later. An empty
    list means that `compile_mapping` takes the mapping and that no directive fails whatever the event.
    """
    if too_large := oversize(mapping):
        return [_late("", f"Cut it down: {too_large}.")]
    if not isinstance(mapping, dict):
        return [_late("", "A mapping is an object: one key for each field of the action.")]
    try:
        rooted = rooted_mapping(mapping)
    except MappingError as error:
        problem = _late(f"/{ROOT_DIRECTIVE_KEY}", f"{error}. Give it one directive, whose option is an object.")
        return [problem]
    found = {problem.pointer: problem for problem in _late_problems(rooted)}
    refused = reference_problems(rooted)
    late = [problem for pointer, problem in found.items() if pointer not in {each.pointer for each in refused}]
    return [_at_its_place(problem, rooted, mapping) for problem in (*refused, *late)]


def _late(pointer: str, message: str) -> MappingProblem:
    return MappingProblem(pointer=pointer, message=message, reference_message=None)


def _at_its_place(problem: MappingProblem, rooted: object, mapping: dict[str, object]) -> MappingProblem:
    """The problem with its place in the mapping as written, where a root directive has moved it."""
    if rooted is mapping or not isinstance(rooted, dict):
        return problem
    inner = f"/{next(iter(rooted))}/mapping"
    if problem.pointer.startswith(inner + "/"):
        pointer = problem.pointer.removeprefix(inner)
    else:
        pointer = f"/{ROOT_DIRECTIVE_KEY}{problem.pointer}"
    return MappingProblem(pointer=pointer, message=problem.message, reference_message=problem.reference_message)


def _late_problems(mapping: object) -> Iterator[MappingProblem]:
    """What fails when it is reached: wrong directives in unvalidated spots, and options no check asks for."""
    for part in parts_of(mapping, Place()):
        if part.directive is None or not isinstance(part.value, dict):
            continue
        if part.directive not in CHECKS:
            if not part.is_checked:
                yield _late(part.place.pointer, unknown_directive(part.directive))
            continue
        if not part.is_checked:
            for problem in CHECKS[part.directive](part.option, part.place.key(part.directive)):
                yield _late(problem.pointer, problem.message)
        if look := _LATE_CHECKS.get(part.directive):
            inside = part.place.key(part.directive)
            yield from (
                _late(inside.key(key).pointer if key else inside.pointer, message) for key, message in look(part.option)
            )


Findings = Iterator[tuple[str, str]]  # option and message


def _late_if(option: object) -> Findings:
    if isinstance(option, dict) and not is_truthy(option.get("exists")) and not is_truthy(option.get("blank")):
        yield (
            "",
            "`@if` needs `exists` or `blank`, and a plain empty, null, false or 0 does not count. Give it a directive.",
        )


def _late_case(option: object) -> Findings:
    if not isinstance(option, dict):
        return
    if not is_truthy(option.get("operator")):
        yield "", "`@case` needs `operator`: `lower` or `upper`."
    elif isinstance(option["operator"], str) and option["operator"] not in ("lower", "upper"):
        yield "operator", f"`{option['operator']}` fails for every text. Write `lower` or `upper`."


def _late_replace(option: object) -> Findings:
    if not isinstance(option, dict):
        return
    for key in ("pattern2", "replacement2"):
        text = option.get(key)
        if isinstance(text, str) and option.get("pattern2") and utf16_length(text) > PATTERN_UNITS_MAX:
            yield key, f"This has {utf16_length(text)} characters, and {PATTERN_UNITS_MAX} are the most. Shorten it."


def _late_merge(option: object) -> Findings:
    if isinstance(option, dict) and not is_truthy(option.get("direction")):
        yield "", "`@merge` needs `direction`: `right` (later objects win) or `left` (earlier ones win)."


def _late_flatten(option: object) -> Findings:
    if isinstance(option, dict) and not is_truthy(option.get("separator")):
        yield "", "`@flatten` needs a `separator` that is not empty, such as `.`."


def _late_json(option: object) -> Findings:
    if isinstance(option, dict) and "value" in option and not is_truthy(option["value"]):
        yield "value", "A plain empty, null, false or 0 does not count as a value here. Wrap it in `@literal`."


def _late_liquid(option: object) -> Findings:
    if not isinstance(option, str):
        return
    units = utf16_length(option)
    if units > LIQUID_UNITS_MAX:
        yield "", f"The template has {units} characters, and {LIQUID_UNITS_MAX} are the most. Shorten it."
        return
    try:
        compile_liquid(option)
    except LiquidError as error:
        yield "", f"The template cannot be read: {error}."


_LATE_CHECKS: dict[str, Callable[[object], Findings]] = {
    "@if": _late_if,
    "@case": _late_case,
    "@replace": _late_replace,
    "@merge": _late_merge,
    "@flatten": _late_flatten,
    "@json": _late_json,
    "@liquid": _late_liquid,
}
