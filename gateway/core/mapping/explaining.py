"""Where each field of a payload came from: the directive, the paths and their values, or why there is nothing.

The mapping is compiled once more with a watcher around every part and run once; nothing of the directives' meaning is
told twice here. `Transform.apply` knows nothing of it and costs the same with and without.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from gateway.core.javascript import UNDEFINED, in_key_order, is_truthy, member, trim, type_name
from gateway.core.mapping.budget import Run
from gateway.core.mapping.liquid import LiquidError, compile_liquid
from gateway.core.mapping.paths import look_up, pieces_of, without_prefix
from gateway.core.mapping.problems import MappingError, Place
from gateway.core.mapping.resolving import OBSERVER, Compiled, compile_whole, directive_name
from gateway.core.mapping.templates import split_places

EXPLAINED_PARTS_MAX = 5_000  # parts of one trace; what comes after them is computed, and not told

Mask = Callable[[object], object]


class PathTrace(msgspec.Struct, frozen=True, kw_only=True):
    """A path that was looked up, and what it led to.

    value: UNDEFINED where it led nowhere; missing then says which piece was not there, otherwise it is empty.
    """

    path: str
    value: object
    missing: str


class FieldTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a mapping and what it gave for one event.

    pointer: JSON Pointer to the part, in the mapping. name: the key or index it fills, or the option it is.
    directive: its name, or None for raw values. value: UNDEFINED where the field is absent.
    reason: one sentence. error: why the event has no payload, if this is the part that failed.
    """

    pointer: str
    name: str
    directive: str | None
    value: object
    reason: str
    error: str | None = None
    paths: tuple[PathTrace, ...] = ()
    parts: "tuple[FieldTrace, ...]" = ()

    @property
    def is_absent(self) -> bool:
        """Whether the payload lacks this field."""
        return self.value is UNDEFINED

    def masked(self, mask: Mask | None = None) -> "FieldTrace":
        """The same trace without people's data: every value of the event as `mask` shows it, by default its type and size."""
        shown = shape_of if mask is None else mask
        return msgspec.structs.replace(
            self,
            value=shown(self.value),
            paths=tuple(msgspec.structs.replace(path, value=shown(path.value)) for path in self.paths),
            parts=tuple(part.masked(shown) for part in self.parts),
        )


def shape_of(value: object) -> object:
    """What may be shown of a value to anyone: its type and size. Null, undefined and booleans are shown as they are."""
    if value is None or value is UNDEFINED or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    if isinstance(value, (int, float)):
        return "a number"
    return f"a list of {len(value)}" if isinstance(value, list) else "an object"


def explain(mapping: object, body: object, now_ms: float | None = None) -> FieldTrace:
    """The trace of a checked mapping for one event. Never raises for what an event does: the failing part says so."""
    watcher = _Watcher()
    token = OBSERVER.set(watcher.observe)
    try:
        compiled = compile_whole(mapping)
    finally:
        OBSERVER.reset(token)
    try:
        compiled.resolve(body, Run(body, now_ms))
    except (MappingError, RecursionError) as error:
        failure = str(error) if isinstance(error, MappingError) else "the event is nested too deeply"
        for step in watcher.top.parts:
            step.error = step.error or failure
    if not watcher.top.parts:
        return FieldTrace(pointer="", name="", directive=None, value=mapping, reason=_WRITTEN)
    return _trace(watcher.top.parts[0], Place(), "")


@dataclass
class _Step:
    """One evaluation of one part of the mapping."""

    source: object
    payload: object
    value: object = UNDEFINED
    error: str | None = None
    parts: "list[_Step]" = field(default_factory=list)


class _Watcher:
    """Notes every evaluation of an object or list of the mapping, inside the one it happens in."""

    def __init__(self) -> None:
        self.top = _Step(None, None)
        self.current = self.top
        self.left = EXPLAINED_PARTS_MAX

    def observe(self, source: object, compiled: Compiled) -> Compiled:
        if not isinstance(source, (dict, list)):
            return compiled
        resolve = compiled.resolve

        def watched(payload: object, run: Run) -> object:
            if self.left <= 0:
                return resolve(payload, run)
            self.left -= 1
            outer, step = self.current, _Step(source, payload)
            outer.parts.append(step)
            self.current = step
            try:
                step.value = resolve(payload, run)
            except MappingError as error:
                step.error = str(error)
                raise
            finally:
                self.current = outer
            return step.value

        return compiled._replace(resolve=watched)


# --- From steps to sentences ---

_WRITTEN = "Written in the mapping as it is."


def _trace(step: _Step, place: Place, name: str) -> FieldTrace:
    source = step.source
    directive = directive_name(source) if isinstance(source, dict) else None
    if directive is None or not isinstance(source, dict):
        return FieldTrace(
            pointer=place.pointer,
            name=name,
            directive=None,
            value=step.value,
            reason="Each field by itself." if isinstance(source, dict) else "Each item by itself.",
            error=step.error,
            parts=tuple(_raw_parts(step, place)),
        )
    inside = place.key(directive)
    paths = tuple(_paths(directive, source[directive], step))
    return FieldTrace(
        pointer=place.pointer,
        name=name,
        directive=directive,
        value=step.value,
        reason=_reason(directive, source[directive], step, paths),
        error=step.error,
        paths=paths,
        parts=tuple(_directive_parts(step, source[directive], inside)),
    )


def _raw_parts(step: _Step, place: Place) -> Iterator[FieldTrace]:
    """The fields of a raw object or the items of a raw list, plain values included, as far as evaluation came."""
    source = step.source
    items = in_key_order(source).items() if isinstance(source, dict) else enumerate(_listed(source))
    for key, item in items:
        part = next((each for each in step.parts if each.source is item), None)
        if part is not None:
            yield _trace(part, place.key(str(key)), str(key))
        elif not isinstance(item, (dict, list)):
            yield FieldTrace(
                pointer=place.key(str(key)).pointer, name=str(key), directive=None, value=item, reason=_WRITTEN
            )


def _listed(source: object) -> list[object]:
    return source if isinstance(source, list) else []


def _directive_parts(step: _Step, option: object, place: Place) -> Iterator[FieldTrace]:
    """What a directive evaluated: its option, or its options' values, each under the name it has there."""
    for index, part in enumerate(step.parts):
        where, name = _found_in(option, part.source, place)
        yield _trace(part, where, name or str(index))


def _found_in(option: object, wanted: object, place: Place) -> tuple[Place, str]:
    """The place of a part inside a directive's option, to two levels (`objects` of `@merge`)."""
    if option is wanted:
        return place, ""
    items = option.items() if isinstance(option, dict) else enumerate(_listed(option))
    for key, item in items:
        if item is wanted:
            return place.key(str(key)), str(key)
        for index, inner in enumerate(_listed(item)):
            if inner is wanted:
                return place.key(str(key)).key(str(index)), f"{key}/{index}"
    return place, ""


def _paths(directive: str, option: object, step: _Step) -> Iterator[PathTrace]:
    """The paths a directive looked up itself, with their values."""
    text = step.parts[0].value if step.parts and directive in ("@path", "@template") else option
    if directive == "@arrayPath" and isinstance(option, list) and option:
        text = option[0]
    if not isinstance(text, str):
        return
    if directive in ("@path", "@arrayPath"):
        yield path_trace(text, without_prefix(text), step.payload)
    elif directive == "@template":
        for braces in (3, 2):
            for place in split_places(text, braces)[1::2]:
                yield path_trace(trim(place.strip("{")), trim(place.strip("{")), step.payload)
            text = "".join(split_places(text, braces)[0::2])
    elif directive == "@liquid":
        for name in _liquid_variables(text):
            yield path_trace(name, name, step.payload)


def _liquid_variables(template: str) -> list[str]:
    try:
        return compile_liquid(template).variables()
    except LiquidError:
        return []


def path_trace(shown: str, path: str, payload: object) -> PathTrace:
    """What a path leads to, and if to nothing, at which piece."""
    value = look_up(payload, pieces_of(path))
    return PathTrace(path=shown, value=value, missing=_missing(path, payload) if value is UNDEFINED else "")


def _missing(path: str, payload: object) -> str:
    current, walked = payload, "the event"
    for piece in pieces_of(path):
        if not is_truthy(current):
            break
        following = member(current, piece)
        if following is UNDEFINED:
            what = {"array": "a list", "object": "an object"}.get(type_name(current), f"a {type_name(current)}")
            return f"{walked} is {what} without `{piece}`" if walked != "the event" else f"the event has no `{piece}`"
        current, walked = following, f"`{piece}`" if walked == "the event" else f"{walked[:-1]}.{piece}`"
    return f"{walked} has no value"


def _reason(directive: str, option: object, step: _Step, paths: tuple[PathTrace, ...]) -> str:
    """Why the value is what it is, in a sentence."""
    if step.error is not None:
        return f"The event has no payload: {step.error}."
    if directive == "@if" and isinstance(option, dict):
        return _reason_of_if(option, step)
    if directive == "@path" and paths:
        path = paths[0]
        if path.value is UNDEFINED:
            return f"Nothing at `{path.path}`: {path.missing}."
        return f"`{path.path}` is null." if path.value is None else f"The value at `{path.path}`."
    if directive in ("@template", "@liquid"):
        missing = [f"`{path.path}`" for path in paths if path.value is UNDEFINED or path.value is None]
        return "The text with its places filled" + (f"; nothing at {', '.join(missing)}." if missing else ".")
    if step.value is UNDEFINED:
        return _ABSENT.get(directive, "What it is made of has no value.")
    return _GIVEN[directive]


def _reason_of_if(option: dict[str, object], step: _Step) -> str:
    tested = "exists" if "exists" in option else "blank"
    test = next((part for part in step.parts if part.source is option[tested]), None)
    value = option[tested] if test is None else test.value
    chosen = next((part for part in step.parts if part is not test), None)
    says = "is missing" if value is UNDEFINED else "is null" if value is None else "has a value"
    holds = value is not None and value is not UNDEFINED
    if tested == "blank":
        holds = chosen is not None and chosen.source is option.get("then") if step.parts else holds
        says = "is not blank" if holds else "is blank"
    branch = "then" if holds else "else"
    if holds and "then" not in option:
        return f"`{tested}` {says}, and there is no `then`."
    if not holds and not is_truthy(option.get("else")):
        return f"`{tested}` {says}, and there is no `else`."
    return f"`{tested}` {says}, so `{branch}`."


_GIVEN = {
    "@path": "The value its computed path leads to.",
    "@literal": "The value it holds.",
    "@case": "Its value in another case, if that is a text.",
    "@replace": "Its value with the pattern replaced.",
    "@arrayPath": "The list, each item reshaped.",
    "@merge": "Its objects laid over each other.",
    "@transform": "A mapping of what another mapping made.",
    "@flatten": "Its value as one flat object.",
    "@json": "Its value to or from JSON text.",
    "@excludeWhenNull": "Its value without nulls.",
}
_ABSENT = {
    "@excludeWhenNull": "Its value is null or missing.",
    "@arrayPath": "There is no list at its path.",
    "@json": "Its value is missing, or its mode is not spelled `encode` or `decode`.",
}
