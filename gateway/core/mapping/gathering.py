"""The directives that build lists and objects from others: `@arrayPath`, `@merge`, `@flatten`, `@transform`."""

from gateway.core.javascript import UNDEFINED, code_units, in_key_order, is_truthy, type_name
from gateway.core.mapping.budget import INDEX_KEY_UNITS, VALUE_UNITS, Run
from gateway.core.mapping.paths import compile_path, without_prefix
from gateway.core.mapping.problems import MappingError
from gateway.core.mapping.resolving import Compiled, Resolve, compile_value, depending, failing, spend_on_all
from gateway.core.mapping.transforming import compile_transform_of


def compile_array_path(option: object) -> Compiled:
    """`@arrayPath`: a list, each item reshaped by a mapping of its own. Inside the shape all paths start at the item.

    An object counts as a list of one. A root that is neither, and a shape that is no object or has no keys, leave the
    root as it is. A computed root is not looked up again, even if it is a text.
    """
    if not isinstance(option, list):
        return failing(f"@arrayPath expected array, got {type_name(option)}")
    path, shape = (*option, UNDEFINED, UNDEFINED)[:2]
    root = Compiled(compile_path(without_prefix(path))) if isinstance(path, str) else compile_value(path)
    if not isinstance(shape, dict) or not shape:
        return depending(root.resolve, root, settled=root.settled)
    item = compile_value(shape)

    def resolve(payload: object, run: Run) -> object:
        value = root.resolve(payload, run)
        if not isinstance(value, (list, dict)):
            return value
        items = value if isinstance(value, list) else [value]
        run.spend_on_values(len(items) * item.size)
        return [item.resolve(each, run) for each in items]

    return depending(resolve, root, item, settled=root.settled and item.settled)


def compile_merge(option: object) -> Compiled:
    """`@merge`: objects laid over each other, the later over the earlier, or with `left` the earlier over the later.

    Shallow. Lists and texts add their items and units under their indexes, other values nothing. An undefined value wins
    like any other, and then takes the key with it.
    """
    if not isinstance(option, dict):
        return failing('@merge requires an object with an "objects" key and a "direction" key')
    if not is_truthy(option.get("direction")):
        return failing('@merge requires a "direction" key')
    direction = compile_value(option["direction"])
    objects = option.get("objects")
    if not isinstance(objects, list):
        complaint = (
            f"@merge: expected opts.array, got {type_name(objects)}"
            if is_truthy(objects)
            else '@merge requires a "objects" key'
        )
        return depending(_first(direction, failing(complaint)), direction)
    parts = [compile_value(each) for each in objects]

    def resolve(payload: object, run: Run) -> object:
        leftwards = direction.resolve(payload, run) == "left"
        values = [part.resolve(payload, run) for part in parts]
        merged: dict[str, object] = {}
        for value in reversed(values) if leftwards else values:
            run.spend(_merge_units(value))
            merged.update(_members(value))
        return in_key_order(merged)

    return depending(resolve, direction, *parts, settled=all(part.settled for part in parts))


def _first(part: Compiled, then: Compiled) -> Resolve:
    """Resolve one part for the errors it may raise, and give the other."""
    return lambda payload, run: (part.resolve(payload, run), then.resolve(payload, run))[1]


def _merge_units(value: object) -> int:
    """What merging a value costs; keys made of indexes must be sorted, and are dear."""
    if isinstance(value, dict):
        return len(value) * VALUE_UNITS
    return len(value) * INDEX_KEY_UNITS if isinstance(value, (str, list)) else 0


def _members(value: object) -> dict[str, object]:
    """What a value adds to an object it is copied into."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        value = list(code_units(value))
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value)}
    return {}


def compile_flatten(option: object) -> Compiled:
    """`@flatten`: nested objects and lists as one object, the keys on the way joined by a separator.

    Lists are kept whole with `omitArrays`, which is never resolved: any truthy spelling counts. Empty ones vanish.
    """
    if not isinstance(option, dict):
        return failing('@flatten requires an object with a "separator" key')
    if not is_truthy(option.get("separator")):
        return failing('@flatten requires a "separator" key')
    separator, part = compile_value(option["separator"]), compile_value(option.get("value", UNDEFINED))
    containers = (dict,) if is_truthy(option.get("omitArrays")) else (dict, list)

    def resolve(payload: object, run: Run) -> object:
        between = separator.resolve(payload, run)
        if not isinstance(between, str):
            raise MappingError("@flatten requires a string separator")
        flat: dict[str, object] = {}
        _flatten(part.resolve(payload, run), "", between, containers, flat, run)
        return in_key_order(flat)

    return depending(resolve, separator, part, settled=False)


def _flatten(
    value: object, prefix: str, separator: str, containers: tuple[type, ...], flat: dict[str, object], run: Run
) -> None:
    if not isinstance(value, containers):
        flat[prefix] = value
        return
    for key, item in in_key_order(_members(value)).items():
        name = f"{prefix}{separator}{key}" if prefix else key
        run.spend(len(name))
        run.spend_on_values(1)
        _flatten(item, name, separator, containers, flat, run)


def compile_transform(option: object) -> Compiled:
    """`@transform`: a whole mapping (`apply`) on the payload, and a second one (`mapping`) on what the first gives."""
    if not isinstance(option, dict):
        return failing('@transform requires an object with an "apply" key and a "mapping" key')
    for key in ("mapping", "apply"):
        if not is_truthy(option.get(key)):
            return failing(f'@transform requires a "{key}" key')
    if not isinstance(option["apply"], dict):
        return failing('@transform "apply" key should be an object')
    apply, mapping = compile_transform_of(option["apply"]), compile_value(option["mapping"])

    def resolve(payload: object, run: Run) -> object:
        inner = apply.resolve(payload, run)
        spend_on_all(inner, run)
        return mapping.resolve(inner, run)

    return depending(resolve, apply, mapping, settled=mapping.settled)
