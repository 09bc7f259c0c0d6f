"""Request bodies: a JSON tree with the mapping kit's directives and three of our own, compiled once and rendered for each batch.

`@each` makes a list of something for every item of a list, `@compact` a list without its absent items, `@cast` a value of
another type. Values come only from the scope it is given (records, connection, settings …); `tree_checks.py` has refused
everything else before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from gateway.core.javascript import UNDEFINED, double, is_number, number_text, trim
from gateway.core.mapping.budget import Run
from gateway.core.mapping.paths import compile_path, pieces_of, without_prefix
from gateway.core.mapping.problems import MappingError
from gateway.core.mapping.resolving import FURTHER_DIRECTIVES, Compile, Compiled, cleaned, compile_value

Scope = dict[str, object]
Paths = tuple[tuple[str, ...], ...]

CASTS: Final = ("number", "string", "boolean")
DROPS: Final = ("absent", "null", "empty")
NUMBER_CHARS_MAX: Final = 400  # ours: a double has 17 digits that matter, and exponents of three

_FAILED: Final = "\0failed"  # A root that no path can name: records that could not be rendered, by their place.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_IMPORTED_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record, or the whole body, could not be rendered. pointer: where in the tree. is_empty: it would count unsent."""

    pointer: str
    why: str
    is_empty: bool = False


class TreeError(MappingError):
    """A directive of the tree failed on the data; the message never holds a value."""

    def __init__(self, pointer: str, why: str) -> None:
        self.pointer = pointer
        self.why = why
        super().__init__(f"{pointer}: {why}")


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """What a tree gave. failed: by the record's place in the batch. whole: the body failed outside any record."""

    value: object = None
    failed: Mapping[int, Failure]
    whole: Failure | None = None


class Body:
    """A compiled tree. paths: everything it looks up, from the root on; pointer: where the tree stands in its file."""

    def __init__(self, tree: object, *, pointer: str, paths: Paths, uses_records: bool) -> None:
        tree = msgspec.json.decode(msgspec.json.encode(tree))  # No part of it stands in two places.
        self.tree: object = tree
        self.paths = paths
        self.pointer = pointer
        self.uses_records = uses_records
        compiler = _Compiler(tree, pointer)
        token = FURTHER_DIRECTIVES.set(compiler.directives)
        try:
            self._resolve = compile_value(tree).resolve
        finally:
            FURTHER_DIRECTIVES.reset(token)

    def render(self, scope: Scope) -> Rendered:
        """Render for a batch. Nothing in the scope is changed; equal scopes give equal values."""
        failed: dict[int, Failure] = {}
        try:
            value = cleaned(self._resolve({**scope, _FAILED: failed}, Run(scope, 0)))
        except TreeError as error:
            return Rendered(failed=failed, whole=Failure(pointer=error.pointer, why=error.why))
        except (MappingError, RecursionError):
            return Rendered(
                failed=failed, whole=Failure(pointer=self.pointer, why="the body cannot be made of this data")
            )
        return Rendered(value=value, failed=failed)


class _Compiler:
    """Compiles our directives. It knows where each option stands, so that failures can be named."""

    def __init__(self, tree: object, pointer: str) -> None:
        self._places: dict[int, str] = {}
        self._note(tree, pointer)
        self.directives: Mapping[str, Compile] = {
            "@each": self.compile_each,
            "@compact": self.compile_compact,
            "@cast": self.compile_cast,
        }

    def _note(self, value: object, pointer: str) -> None:
        if isinstance(value, dict):
            self._places[id(value)] = pointer
            for key, item in value.items():
                self._note(item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._note(item, f"{pointer}/{index}")

    def compile_each(self, option: object) -> Compiled:
        """`@each`: `do` for every item of `in`. Over `$.records` a failure costs its record only."""
        assert isinstance(option, dict)
        source = str(option["in"])
        look = compile_path(without_prefix(source))
        do, name = option["do"], str(option.get("as", "record"))
        part = compile_value(do).resolve
        place = f"{self._places.get(id(option), '')}/do"
        is_bare = isinstance(do, dict) and list(do) == ["@path"]
        if source == "$.records":
            return Compiled(_each_record(look, part, place, is_bare=is_bare), settled=False)

        def each_item(payload: object, run: Run) -> object:
            items = look(payload)
            assert isinstance(payload, dict)
            if items is UNDEFINED or items is None:
                return []
            found = items if isinstance(items, list) else [items]
            run.spend_on_values(len(found))
            made = [part({**payload, name: item, "index": index}, run) for index, item in enumerate(found)]
            return [one for one in made if one is not UNDEFINED] if is_bare else made

        return Compiled(each_item, settled=False)

    def compile_compact(self, option: object) -> Compiled:
        """`@compact`: a list without absent items, without nulls, or without empties too."""
        assert isinstance(option, dict)
        items = option["items"]
        assert isinstance(items, list)
        parts = [compile_value(item).resolve for item in items]
        drop = option.get("drop", "absent")
        is_kept = {"absent": _is_there, "null": _is_something, "empty": _is_full}[str(drop)]
        return Compiled(
            lambda payload, run: [one for part in parts if is_kept(one := cleaned(part(payload, run)))], settled=False
        )

    def compile_cast(self, option: object) -> Compiled:
        """`@cast`: the value as a number, a text or a boolean; absent stays absent, and what cannot be cast fails."""
        assert isinstance(option, dict)
        part = compile_value(option["value"]).resolve
        target = str(option["to"])
        cast = {"number": cast_number, "string": cast_text, "boolean": cast_boolean}[target]
        if option.get("leading_zeros") is True and target == "number":
            cast = cast_imported_number
        place = f"{self._places.get(id(option), '').removesuffix('/@cast')}"

        def resolve(payload: object, run: Run) -> object:
            value = part(payload, run)
            if value is UNDEFINED:
                return value
            given = cast(value)
            if given is UNDEFINED:
                raise TreeError(place, f"the value cannot be read as a {target}")
            return given

        return Compiled(resolve)


def _each_record(
    look: Callable[[object], object], part: Callable[[object, Run], object], place: str, *, is_bare: bool
) -> Callable[[object, Run], object]:
    def each_record(payload: object, _run: Run) -> object:
        assert isinstance(payload, dict)
        records, failed = look(payload), payload[_FAILED]
        assert isinstance(records, list)
        assert isinstance(failed, dict)
        made: list[object] = []
        inner = dict(payload)
        for index, record in enumerate(records):
            inner["record"], inner["index"] = record, index
            try:
                value = part(inner, Run(inner, 0))  # Each record has a purse of its own.
            except TreeError as error:
                failed.setdefault(index, Failure(pointer=error.pointer, why=error.why))
                continue
            except (MappingError, RecursionError):
                failed.setdefault(index, Failure(pointer=place, why="it cannot be made of this record"))
                continue
            if is_bare and value is UNDEFINED:
                failed.setdefault(index, Failure(pointer=place, why="the record has no such value", is_empty=True))
                continue
            made.append(value)
        return made

    return each_record


# --- Casts: UNDEFINED where the value cannot be cast ---


def cast_number(value: object) -> object:
    """Numbers stay; text as JSON writes numbers, white space around it aside; nothing else."""
    return _number_of(value, _NUMBER)


def cast_imported_number(value: object) -> object:
    """The same, leading zeros allowed: what RudderStack's `$number` takes of it."""
    return _number_of(value, _IMPORTED_NUMBER)


def _number_of(value: object, pattern: re.Pattern[str]) -> object:
    if is_number(value):
        return value
    text = trim(value) if isinstance(value, str) else ""
    if not text or len(text) > NUMBER_CHARS_MAX or not pattern.fullmatch(text):
        return UNDEFINED
    number = int(text) if text.lstrip("-").isdigit() else float(text)
    return number if math.isfinite(double(number)) else UNDEFINED


def cast_text(value: object) -> object:
    """Texts stay; numbers in their shortest decimal form, `true`, `false`; nothing else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if is_number(value) else UNDEFINED  # type: ignore[arg-type] # it is a number


def cast_boolean(value: object) -> object:
    """Booleans stay; the texts `true` and `false` in any case; 1 and 0; nothing else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False, "1": True, "0": False}.get(trim(value).lower(), UNDEFINED)
    return {1: True, 0: False}.get(value, UNDEFINED) if is_number(value) else UNDEFINED  # type: ignore[call-overload]


def _is_there(value: object) -> bool:
    return value is not UNDEFINED


def _is_something(value: object) -> bool:
    return value is not UNDEFINED and value is not None


def _is_full(value: object) -> bool:
    return _is_something(value) and not (isinstance(value, (str, list, dict)) and not value)


def path_of(text: str) -> tuple[str, ...]:
    """What a body's path looks up, from the root on."""
    return pieces_of(without_prefix(text))
