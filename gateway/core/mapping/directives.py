"""The directives of the mapping kit, one function each: from a directive's option to the function that resolves it.

"Falsy" below is about the option as it is written in the mapping, before it is resolved. Options that are wrong beyond
what validation refuses fail only when they are reached; hence `failing`.
"""

from collections.abc import Callable

from gateway.core.javascript import (
    UNDEFINED,
    JsonDepthError,
    is_truthy,
    json_text,
    parse_json,
    to_text,
    type_name,
    utf16_length,
)
from gateway.core.mapping.budget import Run
from gateway.core.mapping.gathering import compile_array_path, compile_flatten, compile_merge, compile_transform
from gateway.core.mapping.liquid import LIQUID_UNITS_MAX, LiquidError, compile_liquid
from gateway.core.mapping.paths import compile_path, without_prefix
from gateway.core.mapping.problems import MappingError
from gateway.core.mapping.replacing import replaced
from gateway.core.mapping.resolving import (
    DIRECTIVES,
    Compiled,
    compile_value,
    depending,
    failing,
)
from gateway.core.mapping.templates import compile_template, render


def compile_path_directive(option: object) -> Compiled:
    """`@path`: what a path leads to, of any type. The path may itself be computed, and must then be a text."""
    if isinstance(option, str):
        return Compiled(compile_path(without_prefix(option)))
    text = _computed_text("@path", option)

    def resolve(payload: object, run: Run) -> object:
        return compile_path(without_prefix(text(payload, run)))(payload)

    return depending(resolve, compile_value(option))


def compile_template_directive(option: object) -> Compiled:
    """`@template`: a text with places to fill; always gives text."""
    if isinstance(option, str):
        return Compiled(compile_template(option))
    text = _computed_text("@template", option)
    return depending(lambda payload, run: render(text(payload, run), payload, run), compile_value(option))


def compile_literal(option: object) -> Compiled:
    """`@literal`: the option, resolved. Directives inside do run; what it protects from is an editor, not from us."""
    return compile_value(option)


def compile_if(option: object) -> Compiled:
    """`@if`: `then` where `exists` is neither undefined nor null, or `blank` is neither of them nor empty; else `else`.

    The name `blank` misleads: the condition holds when the value is *not* blank. `exists` makes `blank` ignored. A raw
    falsy `else` is no else at all; `then` may be anything.
    """
    if not isinstance(option, dict):
        return failing('@if requires an object with an "exists" key')
    if not is_truthy(option.get("exists")) and not is_truthy(option.get("blank")):
        return failing('@if requires an "exists" key or a "blank" key')
    tested = compile_value(option["exists"] if "exists" in option else option["blank"])
    on_true = compile_value(option["then"]) if "then" in option else _NOTHING
    on_false = compile_value(option["else"]) if is_truthy(option.get("else")) else _NOTHING
    test, then, otherwise = tested.resolve, on_true.resolve, on_false.resolve

    def resolve_tested(payload: object, run: Run) -> object:
        value = test(payload, run)
        return otherwise(payload, run) if value is None or value is UNDEFINED else value

    def resolve_exists(payload: object, run: Run) -> object:
        value = test(payload, run)
        return (otherwise if value is None or value is UNDEFINED else then)(payload, run)

    def resolve_blank(payload: object, run: Run) -> object:
        return (otherwise if _is_blank(test(payload, run)) else then)(payload, run)

    if "exists" not in option:
        resolve = resolve_blank
    elif option.get("then") == option["exists"] and _is_plain_path(option["exists"]):
        resolve = resolve_tested  # "this path if it exists": the common case looks only once
    else:
        resolve = resolve_exists
    return depending(resolve, tested, on_true, on_false, settled=on_true.settled and on_false.settled)


_NOTHING = Compiled(lambda _payload, _run: UNDEFINED, constant=True)


def _is_plain_path(option: object) -> bool:
    return isinstance(option, dict) and len(option) == 1 and isinstance(option.get("@path"), str)


def _is_blank(value: object) -> bool:
    """Whether a value is undefined, null, or loosely equal (`==`) to empty text: 0, false and `[]` are."""
    if isinstance(value, list):
        return to_text(value) == ""
    return not isinstance(value, dict) and (value is UNDEFINED or value is None or value in ("", 0))


def compile_case(option: object) -> Compiled:
    """`@case`: a text in lower or upper case; other types unchanged. A raw falsy `value` gives nothing."""
    if not isinstance(option, dict):
        return failing('@case requires an object with a "operator" key')
    if not is_truthy(option.get("operator")):
        return failing('@case requires a "operator" key')
    if not is_truthy(option.get("value")):
        return _NOTHING
    operator = option["operator"]
    changed = {"lower": str.lower, "upper": str.upper}.get(operator) if isinstance(operator, str) else None
    part = compile_value(option["value"])

    def resolve(payload: object, run: Run) -> object:
        value = part.resolve(payload, run)
        if not isinstance(value, str):
            return value
        if changed is None:
            raise MappingError('operator key should have a value of "lower" or "upper"')
        return changed(value)

    return depending(resolve, part, settled=part.settled)


def compile_replace(option: object) -> Compiled:
    """`@replace`: one or two literal patterns replaced in a text. What is no text, number or boolean becomes ""."""
    if not isinstance(option, dict):
        return failing('@replace requires an object with a "pattern" key')
    if not is_truthy(option.get("pattern")):
        return failing('@replace requires a "pattern" key')
    if not is_truthy(option.get("value")):
        return _NOTHING
    part = compile_value(option["value"])
    ignore_case = False if option.get("ignorecase") is None else option["ignorecase"]
    every = True if option.get("global") is None else option["global"]
    pairs = _replacements(option)
    if not pairs or not isinstance(ignore_case, bool) or not isinstance(every, bool):
        return depending(lambda payload, run: (part.resolve(payload, run), "")[1], part)

    def resolve(payload: object, run: Run) -> object:
        value = part.resolve(payload, run)
        text = to_text(value) if isinstance(value, (bool, int, float)) else value
        if not isinstance(text, str):
            return ""
        for pattern, replacement in pairs:
            text = replaced(text, pattern, replacement, ignore_case=ignore_case, every=every, run=run)
        return text

    return depending(resolve, part)


def _replacements(option: dict[str, object]) -> list[tuple[str, str]]:
    """The pairs of pattern and replacement: the first, and the second where it is given and of text; none if the first is not."""
    pairs: list[tuple[str, str]] = []
    for suffix in ("", "2"):
        pattern, replacement = option.get(f"pattern{suffix}"), option.get(f"replacement{suffix}")
        replacement = "" if replacement is None else replacement
        if not isinstance(pattern, str) or not isinstance(replacement, str) or not pattern:
            break
        pairs.append((pattern, replacement))
    return pairs


def compile_json(option: object) -> Compiled:
    """`@json`: a value as JSON text, or what JSON text says. Text that is no JSON comes out of `decode` unchanged."""
    if not isinstance(option, dict):
        return failing('@json requires an object with a "value" key')
    for key in ("mode", "value"):
        if not is_truthy(option.get(key)):
            return failing(f'@json requires a "{key}" key')
    part = compile_value(option["value"])
    if option["mode"] == "encode":
        return depending(lambda payload, run: _encoded(part.resolve(payload, run), run), part)
    if option["mode"] == "decode":
        return depending(lambda payload, run: _decoded(part.resolve(payload, run)), part, settled=part.settled)
    return depending(lambda payload, run: (part.resolve(payload, run), UNDEFINED)[1], part)


def _encoded(value: object, run: Run) -> object:
    text = json_text(value)
    if isinstance(text, str):
        run.spend(len(text))
    return text


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except JsonDepthError as error:
        raise MappingError(f"@json: {error}") from error
    except ValueError:
        return value


def compile_exclude_when_null(option: object) -> Compiled:
    """`@excludeWhenNull`: null becomes undefined, in objects too at any depth, though not inside lists."""
    part = compile_value(option)

    def resolve(payload: object, run: Run) -> object:
        value = part.resolve(payload, run)
        return UNDEFINED if value is None else _without_nulls(value, run)

    return depending(resolve, part, settled=False)


def _without_nulls(value: object, run: Run) -> object:
    if not isinstance(value, dict):
        return value
    run.spend_on_values(len(value))
    return {key: UNDEFINED if item is None else _without_nulls(item, run) for key, item in value.items()}


def compile_liquid_directive(option: object) -> Compiled:
    """`@liquid`: a template of the Liquid language, rendered with the current payload as its variables; always text.

    The template is parsed here, once; one that does not parse fails when it is reached, as every problem of liquid does.
    """
    if not isinstance(option, str):
        return failing("liquid template value must be a string")
    if not option:
        return Compiled(lambda _payload, _run: "", constant=True)
    if utf16_length(option) > LIQUID_UNITS_MAX:
        return failing(f"liquid template values are limited to {LIQUID_UNITS_MAX} characters")
    try:
        template = compile_liquid(option)
    except LiquidError as error:
        return failing(str(error))

    def resolve(payload: object, run: Run) -> object:
        try:
            text = template.render(payload, now_ms=run.now_ms)
        except LiquidError as error:
            raise MappingError(str(error)) from error
        run.spend(len(text))
        return text

    return Compiled(resolve, changes_event=template.changes_environment)


def _computed_text(name: str, option: object) -> Callable[[object, Run], str]:
    """An option that must resolve to text."""
    part = compile_value(option)

    def resolve(payload: object, run: Run) -> str:
        text = part.resolve(payload, run)
        if not isinstance(text, str):
            raise MappingError(f"{name}: expected string, got {type_name(text)}")
        return text

    return resolve


DIRECTIVES.update(
    {
        "@path": compile_path_directive,
        "@template": compile_template_directive,
        "@literal": compile_literal,
        "@if": compile_if,
        "@case": compile_case,
        "@replace": compile_replace,
        "@arrayPath": compile_array_path,
        "@merge": compile_merge,
        "@transform": compile_transform,
        "@flatten": compile_flatten,
        "@json": compile_json,
        "@excludeWhenNull": compile_exclude_when_null,
        "@liquid": compile_liquid_directive,
    }
)
