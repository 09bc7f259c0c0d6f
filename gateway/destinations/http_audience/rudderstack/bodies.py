"""A parsed RudderStack template as a request body of ours."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.destinations.http_audience.rudderstack.grammar import Each, Items, Literal, Members, Node, Number, Path

KEY_NAMES = {"audienceId": "audience_id", "audienceName": "audience_name"}
WHOLE = "*"
"""Among the names a template reads: `$$.records`, and with it every field of a record."""


class BodyError(Exception):
    """A part of a template that has no counterpart here; the text says which and why."""


def tree_of(node: Node, literals: Mapping[str, object]) -> object:
    """The tree. literals: values of the connection that are no texts, written into it. Raises BodyError."""
    return _Converter(literals).value(node)


class _Converter:
    def __init__(self, literals: Mapping[str, object]) -> None:
        self._literals = literals

    def value(self, node: Node, *, is_row: bool = False) -> object:
        match node:
            case Literal(value=value):
                return value
            case Path():
                return self._path(node)
            case Number(value=value):
                return {"@cast": {"to": "number", "value": self.value(value), "leading_zeros": True}}
            case Members(pairs=pairs):
                if any(key.startswith("@") for key, _ in pairs):
                    raise BodyError("a key that begins with `@` would be a directive here")
                return {key: self.value(item) for key, item in pairs}
            case Each(names=names, made=made):
                if names[0] == "connection" and (len(names) < 2 or names[1] in self._literals):
                    raise BodyError("a list of the connection cannot be gone through, since its values are texts here")
                source = "$." + ".".join(_plain(name) for name in _renamed(names))
                return {"@each": {"in": source, "do": self.value(made, is_row=True)}}
            case Items(items=items):
                return self._list(items, is_row=is_row)

    def _list(self, items: tuple[Node, ...], *, is_row: bool) -> object:
        if len(items) == 1 and isinstance(items[0], Path) and items[0].is_rooted and items[0].names[0] == "records":
            return self.value(items[0])
        made = [self.value(item) for item in items]
        return {"@compact": {"items": made}} if not is_row and any(map(_may_be_absent, items)) else made

    def _path(self, path: Path) -> object:
        if not path.is_rooted:
            return {"@path": "$.record." + ".".join(_plain(name) for name in path.names)}
        if path.names[0] == "records":
            if len(path.names) == 1:
                return {"@path": "$.records"}
            return {"@each": {"in": "$.records", "do": {"@path": f"$.record.{_plain(path.names[1])}"}}}
        if path.names[1] in self._literals:
            return self._literal(path)
        return {"@path": "$." + ".".join(_plain(name) for name in _renamed(path.names))}

    def _literal(self, path: Path) -> object:
        value = self._literals[path.names[1]]
        for name in path.names[2:]:
            value = value.get(name) if isinstance(value, dict) else None
        return {"@literal": value}


def connection_keys(node: Node) -> list[str]:
    """The connection's keys that a template reads, in order."""
    found: dict[str, None] = {}
    pending = [node]
    while pending:
        current = pending.pop(0)
        match current:
            case Path(names=names, is_rooted=True) if names[0] == "connection":
                found[names[1]] = None
            case Each(names=names, made=made):
                if names[0] == "connection" and len(names) > 1:
                    found[names[1]] = None
                pending.append(made)
            case Number(value=value):
                pending.append(value)
            case Members(pairs=pairs):
                pending.extend(item for _, item in pairs)
            case Items(items=items):
                pending.extend(items)
            case _:
                pass
    return list(found)


def record_names(node: Node) -> list[str]:
    """The record fields that a template reads, in order; WHOLE where it reads all of them."""
    found: dict[str, None] = {}
    pending = [node]
    while pending:
        current = pending.pop(0)
        match current:
            case Path(names=names, is_rooted=False):
                found[names[0]] = None
            case Path(names=("records",), is_rooted=True):
                found[WHOLE] = None
            case Path(names=("records", name), is_rooted=True):
                found[name] = None
            case Each(names=names, made=made) if names[0] == "records":
                pending.append(made)
            case Number(value=value):
                pending.append(value)
            case Members(pairs=pairs):
                pending.extend(item for _, item in pairs)
            case Items(items=items):
                pending.extend(items)
            case _:
                pass
    return list(found)


def _may_be_absent(node: Node) -> bool:
    return isinstance(node, (Path, Number)) and not (isinstance(node, Number) and isinstance(node.value, Literal))


def _renamed(names: tuple[str, ...]) -> tuple[str, ...]:
    if names[0] == "connection" and len(names) > 1:
        return (names[0], KEY_NAMES.get(names[1], names[1]), *names[2:])
    return names


def _plain(name: str) -> str:
    """A name that our paths can hold: they know no escapes."""
    if not name or any(character in name for character in ".[]\"'{}") or name.strip() != name:
        raise BodyError(f"the name `{name}` cannot stand in a path here; rename the field")
    return name
