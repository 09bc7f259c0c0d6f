"""Resolving: a mapping's value, compiled into a function from a payload to a value.

Raw values are copied, directives are computed, keys never are. What is compiled here depends on the mapping alone; the
directives themselves, one function each, are in `directives.py`.

Closures rather than generated source. On StackAdapt's default mapping (34 directives) one generated function is two to
three times as fast as these closures: it saves some 3 microseconds an event, where storing and sending it take a hundred.
The closures are several times as fast as Segment's own evaluator under node (`benchmarks/mapping.py` prints all three).
The saving is not worth a second language inside this one, in which a text of a mapping must never become code.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import NamedTuple

from gateway.core.javascript import UNDEFINED, in_key_order
from gateway.core.mapping.budget import Run
from gateway.core.mapping.problems import MappingError

Resolve = Callable[[object, Run], object]
Compile = Callable[[object], "Compiled"]


class Compiled(NamedTuple):
    """A value ready to be resolved.

    resolve: (payload, run) → value.
    settled: no object in what it gives has undefined for a key's value, so that the clean-up need not look inside.
    constant: it gives the same for every payload.
    changes_event: it contains a liquid `increment` or `decrement`, which write into the payload they are given.
    size: values in the mapping's text of it.
    """

    resolve: Resolve
    settled: bool = True
    constant: bool = False
    changes_event: bool = False
    size: int = 1


DIRECTIVES: dict[str, Compile] = {}  # filled by directives.py: name → compiler of its option
NO_DIRECTIVES: Mapping[str, Compile] = MappingProxyType({})
FURTHER_DIRECTIVES: ContextVar[Mapping[str, Compile]] = ContextVar("further_directives", default=NO_DIRECTIVES)
"""What else is a directive while a value is compiled that is not Segment's: the request bodies of HTTP definitions."""
OBSERVER: ContextVar[Callable[[object, Compiled], Compiled] | None] = ContextVar("observer", default=None)


def directive_name(record: dict[str, object]) -> str | None:
    """The directive an object is when it is resolved, or None for a raw object.

    Every key must begin with `@` or be the editor's `_metadata`; of several directives the first is run.
    """
    name = next((key for key in record if key.startswith("@")), None)
    if name is None or any(not key.startswith("@") and key != "_metadata" for key in record):
        return None
    return name


def compile_value(value: object) -> Compiled:
    """Any value of a mapping, as `resolve` treats it: undefined may stand in what it gives, for keys and list items."""
    return _observed(value, _compile(value))


def _observed(value: object, compiled: Compiled) -> Compiled:
    """For `explain` only: the compiled value with someone watching. Decided while compiling, so that `apply` never asks."""
    observe = OBSERVER.get()
    return compiled if observe is None else observe(value, compiled)


def _compile(value: object) -> Compiled:
    if isinstance(value, dict):
        name = directive_name(value)
        return compile_record(value) if name is None else compile_directive(name, value[name])
    if isinstance(value, list):
        return _compile_list(value)
    return Compiled(lambda _payload, _run: value, constant=True)


def compile_final(value: object) -> Compiled:
    """The same, for the end of a transform: no key has undefined for its value any more."""
    if isinstance(value, dict) and directive_name(value) is None:
        return _observed(value, compile_record(value, final=True))
    compiled = compile_value(value)
    if compiled.settled:
        return compiled
    resolve = compiled.resolve
    return compiled._replace(resolve=lambda payload, run: cleaned(resolve(payload, run)), settled=True)


def compile_whole(value: object) -> Compiled:
    """A whole mapping. Where liquid counts in the event, the clean-up waits for the end, as every part may see it."""
    compiled = compile_final(value)
    if not compiled.changes_event:
        return compiled
    resolve = compile_value(value).resolve
    return compiled._replace(resolve=lambda payload, run: cleaned(resolve(payload, run)))


def compile_directive(name: str, option: object) -> Compiled:
    """One directive. A name that does not exist fails when it is reached: validation does not look everywhere."""
    compiler = DIRECTIVES.get(name) or FURTHER_DIRECTIVES.get().get(name)
    if compiler is None:
        return failing(f"{name} is not a valid directive, got undefined")
    compiled = compiler(option)
    return compiled._replace(size=compiled.size + 1)


def failing(*messages: str) -> Compiled:
    """What can only fail, in a spot that only some events reach."""

    def fail(_payload: object, _run: Run) -> object:
        raise MappingError(messages)

    return Compiled(fail)


def compile_record(record: dict[str, object], *, final: bool = False) -> Compiled:
    """A raw object: the same keys, each value resolved in key order. final: undefined values take their key with them."""
    parts = {key: (compile_final if final else compile_value)(value) for key, value in in_key_order(record).items()}
    fields = [(key, compiled.resolve) for key, compiled in parts.items()]

    def resolve_all(payload: object, run: Run) -> object:
        return {key: resolve(payload, run) for key, resolve in fields}

    def resolve_present(payload: object, run: Run) -> object:
        present: dict[str, object] = {}
        for key, resolve in fields:
            value = resolve(payload, run)
            if value is not UNDEFINED:
                present[key] = value
        return present

    constant = all(compiled.constant for compiled in parts.values())
    return _containing(resolve_present if final else resolve_all, list(parts.values()), settled=final or constant)


def _compile_list(items: list[object]) -> Compiled:
    """A raw list: each item resolved. An undefined item keeps its place."""
    parts = [compile_value(item) for item in items]
    resolves = [compiled.resolve for compiled in parts]
    settled = all(compiled.settled for compiled in parts)
    return _containing(lambda payload, run: [resolve(payload, run) for resolve in resolves], parts, settled=settled)


def _containing(resolve: Resolve, parts: list[Compiled], *, settled: bool) -> Compiled:
    return Compiled(
        resolve,
        settled=settled,
        constant=all(part.constant for part in parts),
        changes_event=any(part.changes_event for part in parts),
        size=1 + sum(part.size for part in parts),
    )


def depending(resolve: Resolve, *parts: Compiled, settled: bool = True) -> Compiled:
    """A directive computed from resolved parts."""
    return _containing(resolve, list(parts), settled=settled)._replace(constant=False)


def cleaned(value: object) -> object:
    """The value without keys whose value is undefined, at any depth; undefined list items stay."""
    if isinstance(value, dict):
        return {key: cleaned(item) for key, item in value.items() if item is not UNDEFINED}
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    return value


def spend_on_all(value: object, run: Run) -> None:
    """Pay for every value inside, as often as it occurs: sharing must not make a small thing stand for a huge one."""
    if not isinstance(value, (dict, list)):
        return
    run.spend_on_values(1 + len(value))
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)):
            spend_on_all(item, run)
