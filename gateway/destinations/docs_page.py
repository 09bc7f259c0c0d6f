"""The tables of a destination's docs page, made from its definition; the prose around them is written by people.

`python -m gateway.destinations.docs_page` brings the pages below `docs/` up to date; a test keeps them so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from gateway.core.definitions import Action, Definition, Field

_BLOCK = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refreshed(page: str, definition: Definition) -> str:
    """The page with each block `<!-- table: name --> … <!-- end -->` made anew. Raises KeyError for an unknown name."""
    made = tables(definition)
    return _BLOCK.sub(lambda block: f"{block[1]}\n{made[block[2]]}\n\n{block[3]}", page)


def tables(definition: Definition) -> dict[str, str]:
    """Markdown by name: facts, settings, actions, fields, corrections."""
    return {
        "facts": _table(("", ""), _facts(definition)),
        "settings": _table(("setting", "label", "required", "what for"), map(_setting_row, definition.settings)),
        "actions": _table(
            ("action", "title", "trigger when a mapping gives none", "most in a batch"),
            map(_action_row, definition.actions),
        ),
        "fields": "\n\n".join(_fields(action, alone=len(definition.actions) == 1) for action in definition.actions),
        "corrections": _table(("switch", "why"), [(f"`{one.name}`", one.reason) for one in definition.corrections]),
    }


def _facts(definition: Definition) -> list[tuple[str, str]]:
    names = ", ".join(f"`{name}`" for name in definition.names)
    return [
        ("`destination`", f"`{definition.slug}`; {names} mean the same" if names else f"`{definition.slug}`"),
        ("built on", definition.api_version),
        ("last checked", definition.checked_on),
    ]


def _setting_row(field: Field) -> tuple[str, ...]:
    secret = ' A secret: give it as `{"$env": …}` or `{"$file": …}`.' if field.secret else ""
    default = f" Default: `{field.default}`." if field.default is not msgspec.UNSET else ""
    return (
        f"`{field.key}`",
        field.label,
        "yes" if field.required else "no",
        f"{field.description}{default}{secret}".strip(),
    )


def _action_row(action: Action) -> tuple[str, ...]:
    return (
        f"`{action.slug}`",
        action.title,
        f"`{action.trigger}`",
        f"{action.batch_events_max:,} events, {action.batch_bytes_max / 1_000_000:g} MB",
    )


def _fields(action: Action, *, alone: bool) -> str:
    table = _table(("field", "label", "type", "required", "takes", "default"), _field_rows(action.fields))
    return table if alone else f"### `{action.slug}`\n\n{table}"


def _field_rows(
    fields: Sequence[Field], prefix: str = "", defaults: Mapping[str, object] = MappingProxyType({})
) -> Iterator[tuple[str, ...]]:
    """A row for each field, members below their object. defaults: what the object's own default maps its members to."""
    for field in fields:
        name = f"{prefix}{field.key}{'[]' if field.multiple else ''}"
        kind = f"list of {field.type}" if field.multiple else field.type
        required = {True: "yes", False: "no"}[field.required] if isinstance(field.required, bool) else "at times"
        default = defaults.get(field.key, field.default)
        inner = default if field.properties and isinstance(default, dict) else {}
        shown = "" if inner or default is msgspec.UNSET else _source(default)
        yield f"`{name}`", field.label, kind, required, _takes(field), shown
        yield from _field_rows(field.properties, f"{name}.", inner)


def _takes(field: Field) -> str:
    choices = ", ".join(f"`{choice.value}`" for choice in field.choices)
    format_name = f"format `{field.format}`" if field.format else ""
    literal = "a plain value only" if field.literal_only else ""
    rules = "; ".join(part for part in (choices, format_name, literal) if part)
    return " ".join(part for part in (f"{rules[:1].upper()}{rules[1:]}." if rules else "", field.description) if part)


def _source(value: object) -> str:
    """A default mapping in words where it is a path or the usual choice between two; else as JSON."""
    match value:
        case {"@path": str(path)}:
            return f"`{path}`"
        case {
            "@if": {"exists": {"@path": str(first)}, "then": {"@path": str(then)}, "else": {"@path": str(other)}}
        } if first == then:
            return f"`{first}`, else `{other}`"
        case _:
            return f"`{msgspec.json.encode(value).decode()}`"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def refresh_all(root: Path) -> list[Path]:
    """Bring the page of every destination up to date. root: the folder that holds `docs/`. Returns what was changed."""
    from gateway.destinations import REGISTRY  # noqa: PLC0415 (the registry is of no use to `refreshed`)

    changed: list[Path] = []
    for destination in REGISTRY.values():
        path = root / destination.definition.docs_page
        page = path.read_text("utf-8")
        new = refreshed(page, destination.definition)
        if new != page:
            path.write_text(new, "utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    refresh_all(Path())
