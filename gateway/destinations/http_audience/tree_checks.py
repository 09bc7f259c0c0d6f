"""Checking a request body's tree before it is compiled: nothing that passes can fail for its form, nothing else can run.

It also tells what a tree looks up, for the mapping form and for warnings.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

import msgspec

from gateway.core.javascript import depth
from gateway.core.mapping import validate_mapping
from gateway.core.mapping.templates import split_places
from gateway.destinations.http_audience.found import Findings, step
from gateway.destinations.http_audience.templates import ROOTS
from gateway.destinations.http_audience.trees import CASTS, DROPS, Body, path_of

TREE_BYTES_MAX: Final = 64 * 1024
TREE_DEPTH_MAX: Final = 24
TREE_VALUES_MAX: Final = 10_000
EACH_DEPTH_MAX: Final = 2

KIT: Final = (
    "@path", "@template", "@literal", "@if", "@case", "@replace", "@arrayPath", "@merge", "@flatten", "@json",
    "@excludeWhenNull",
)  # fmt: skip
OURS: Final = {"@each": ("in", "do", "as"), "@compact": ("items", "drop"), "@cast": ("to", "value", "leading_zeros")}
REFUSED: Final = {
    "@liquid": "Use `@template`, `@case` and `@replace`.",
    "@transform": "Shape the value in the mapping of the sync instead.",
}


def compile_body(found: Findings, tree: object, pointer: str, *, one_record: bool) -> Body | None:
    """Check a tree and compile it; None after reporting what is wrong. one_record: batches have one record only."""
    if problem := _oversize(tree):
        found.add(pointer, problem)
        return None
    checker = _Checker(found, one_record=one_record)
    before = len(found.problems)
    checker.check(tree, pointer, _Place())
    if any(problem.severity == "error" for problem in found.problems[before:]):
        return None
    return Body(tree, pointer=pointer, paths=tuple(checker.paths), uses_records=checker.uses_records)


class _Place(msgspec.Struct, frozen=True):
    """Where a value stands: inside how many `@each`, with which names, and whether paths start at an item of `@arrayPath`."""

    each: int = 0
    in_records: bool = False
    names: frozenset[str] = frozenset()
    in_item: bool = False


class _Checker:
    def __init__(self, found: Findings, *, one_record: bool) -> None:
        self.paths: dict[tuple[str, ...], None] = {}
        self.uses_records = False
        self._found = found
        self._one_record = one_record

    def check(self, value: object, pointer: str, place: _Place) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.check(item, f"{pointer}/{index}", place)
        elif isinstance(value, dict):
            names = [key for key in value if key.startswith("@")]
            if not names:
                for key, item in value.items():
                    self.check(item, pointer + step(key), place)
            elif len(value) > 1:
                other = next(key for key in value if key != names[0])
                self._found.add(
                    pointer,
                    f"`{names[0]}` must stand alone in its object, but `{other}` stands beside it.",
                    "Keep one key that begins with `@`, and move the others out.",
                )
            else:
                self._directive(names[0], value, pointer, place)

    def _directive(self, name: str, value: dict[str, object], pointer: str, place: _Place) -> None:
        option, inside = value[name], pointer + step(name)
        if name in OURS:
            if not isinstance(option, dict):
                self._found.add(inside, f"`{name}` takes an object of options.")
            elif self._found.table(option, inside, OURS[name], what=f"`{name}`") is not None:
                {"@each": self._each, "@compact": self._compact, "@cast": self._cast}[name](option, inside, place)
        elif name not in KIT:
            near = get_close_matches(name, (*KIT, *OURS), n=1)
            mend = REFUSED.get(name) or (f"Did you mean `{near[0]}`?" if near else f"Use {', '.join((*KIT, *OURS))}.")
            self._found.add(pointer, f"`{name}` is no directive of request bodies.", mend)
        else:
            for problem in validate_mapping({"body": {name: _stripped(option)}}):
                self._found.add(pointer + problem.pointer.removeprefix("/body"), problem.message)
            self._kit(name, option, inside, place)

    def _kit(self, name: str, option: object, pointer: str, place: _Place) -> None:
        if name == "@path":
            self._path(option, pointer, place)
        elif name == "@template":
            self._template(option, pointer, place)
        elif name == "@arrayPath" and isinstance(option, list) and option:
            self._path(option[0], f"{pointer}/0", place)
            for item in option[1:2]:
                self.check(item, f"{pointer}/1", msgspec.structs.replace(place, in_item=True))
        elif isinstance(option, (dict, list)):
            self.check(option, pointer, place)

    def _path(self, option: object, pointer: str, place: _Place) -> None:
        if not isinstance(option, str):
            self._found.add(pointer, "A path must be a text here: what a body reads is known before any record.")
            return
        if place.in_item:
            return
        self._use(path_of(option), option, pointer, place)

    def _template(self, option: object, pointer: str, place: _Place) -> None:
        if not isinstance(option, str):
            self._found.add(pointer, "A template must be a text here: what a body reads is known before any record.")
            return
        if "{{{" in option or "}}}" in option:
            self._found.add(pointer, "Triple braces are not allowed.", "Write `{{ path }}`.")
            return
        for inside in (one.strip() for one in split_places(option, 2)[1::2]):
            if inside.startswith("$"):  # The mapping kit looks for a member of that name, and writes nothing.
                mend = f"Write `{{{{{inside.removeprefix('$').removeprefix('.')}}}}}`."
                self._found.add(pointer, f"`{inside}`: the path in a template begins without `$.`.", mend)
            elif not place.in_item:
                self._use(path_of(inside), inside, pointer, place)

    def _use(self, pieces: tuple[str, ...], text: str, pointer: str, place: _Place) -> None:
        roots = (ROOTS - {"job"}) | place.names
        if not pieces or pieces[0] not in roots:
            self._found.add(
                pointer,
                f"`{text}` does not begin with a root.",
                f"Roots here: {', '.join(f'$.{one}' for one in sorted(roots))}.",
            )
            return
        if pieces[0] in {"record", "index"} and not place.each and not self._one_record:
            self._found.add(
                pointer,
                f"`{text}` is known only inside `@each`, or where `batch.max_records` is 1.",
                'Put this into `{"@each": {"in": "$.records", "do": …}}`.',
            )
        if pieces[0] == "records":
            self.uses_records = True
        self.paths[("record",) if pieces == ("records",) else pieces] = None

    def _each(self, option: dict[str, object], pointer: str, place: _Place) -> None:
        source, name = option.get("in"), option.get("as")
        over_records = source == "$.records"
        if not isinstance(source, str) or "do" not in option:
            self._found.add(
                pointer, "`@each` needs `in`, a path such as `$.records`, and `do`, what to make of an item."
            )
            return
        if over_records:
            self.uses_records = True
        else:
            self._use(path_of(source), source, f"{pointer}/in", place)
        if place.each >= EACH_DEPTH_MAX:
            self._found.add(pointer, f"`@each` may stand inside another, but not more than {EACH_DEPTH_MAX} deep.")
        if (over_records and place.each) or place.in_item:
            self._found.add(pointer, "Records are gone through on the outside only.")
        if name is None and place.each:
            self._found.add(pointer, "An `@each` inside another must name its item.", 'Add `"as": "item"`.')
        names = place.names
        if name is not None:
            if over_records or not isinstance(name, str) or not name.isidentifier() or name in ROOTS:
                self._found.add(
                    f"{pointer}/as", "`as` must be a plain name of its own, and records are always `$.record`."
                )
            else:
                names = names | {name}
        inner = _Place(each=place.each + 1, in_records=place.in_records or over_records, names=names)
        self.check(option["do"], f"{pointer}/do", inner)

    def _compact(self, option: dict[str, object], pointer: str, place: _Place) -> None:
        items = option.get("items")
        if not isinstance(items, list):
            self._found.add(pointer, "`@compact` needs `items`, a list.")
            return
        self._found.choice(option, "drop", pointer, DROPS, "absent")
        self.check(items, f"{pointer}/items", place)

    def _cast(self, option: dict[str, object], pointer: str, place: _Place) -> None:
        if "value" not in option or "to" not in option:
            self._found.add(pointer, "`@cast` needs `to` and `value`.")
            return
        self._found.choice(option, "to", pointer, CASTS, "number")
        self._found.flag(option, "leading_zeros", pointer, default=False)
        self.check(option["value"], f"{pointer}/value", place)


def _stripped(value: object) -> object:
    """A directive's option with our own directives, which the mapping kit does not know, replaced by a plain path."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)) in OURS:
            return {"@path": "$.records"}
        return {key: _stripped(item) for key, item in value.items()}
    return [_stripped(item) for item in value] if isinstance(value, list) else value


def _oversize(tree: object) -> str:
    if depth(tree) > TREE_DEPTH_MAX:
        return f"The body is nested deeper than {TREE_DEPTH_MAX} levels."
    if sum(1 for _ in _values(tree)) > TREE_VALUES_MAX:
        return f"The body has more than {TREE_VALUES_MAX} values."
    if len(msgspec.json.encode(tree)) > TREE_BYTES_MAX:
        return f"The body is larger than {TREE_BYTES_MAX} bytes."
    return ""


def _values(value: object) -> Iterator[object]:
    yield value
    if isinstance(value, dict):
        for item in value.values():
            yield from _values(item)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item)
