"""Where a mapping works and surely does not do what its author meant, with what to write instead.

Only sure things: an ordinary mapping gets no warning. Whether a path exists in real events is no matter of the mapping.
"""

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches

from gateway.core.javascript import is_truthy, trim
from gateway.core.mapping.liquid import LiquidError, compile_liquid
from gateway.core.mapping.paths import pieces_of, without_prefix
from gateway.core.mapping.problems import MappingError, MappingWarning, Place
from gateway.core.mapping.surveying import Part, Reader, parts_of
from gateway.core.mapping.templates import split_places
from gateway.core.mapping.transforming import ROOT_DIRECTIVE_KEY, oversize, rooted_mapping

Findings = Iterator[tuple[str, str]]  # option ("" is the directive itself) and message

# The keys of Segment's events (Spec: Common Fields, Identify, Track, Page, Group, Alias).
EVENT_KEYS = (
    "anonymousId", "channel", "context", "event", "groupId", "integrations", "messageId", "name", "originalTimestamp",
    "previousId", "projectId", "properties", "receivedAt", "sentAt", "timestamp", "traits", "type", "userId", "version",
    "writeKey", "category",
)  # fmt: skip
NEAR_MISS = 0.82  # how alike two keys are, from 0 to 1, for one to be a misspelling of the other

_WILDCARD = re.compile(r"\[\*\]|\[-[0-9]+\]|\[\?|\.\.[A-Za-z]|\.\*(?:\.|$)")
_PLACE = re.compile(r"\{\{[^{}]+\}\}")
_PATH_TEXT = re.compile(r"\$\.[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")

OPTIONS: dict[str, tuple[str, ...]] = {
    "@if": ("exists", "blank", "then", "else"),
    "@case": ("operator", "value"),
    "@replace": ("pattern", "replacement", "pattern2", "replacement2", "value", "ignorecase", "global"),
    "@merge": ("direction", "objects"),
    "@transform": ("apply", "mapping"),
    "@flatten": ("value", "separator", "omitArrays"),
    "@json": ("mode", "value"),
}


def mapping_warnings(mapping: object) -> list[MappingWarning]:
    """The surprises of a mapping, in its order; for a mapping that does not compile, of the parts that can be read."""
    if oversize(mapping) or not isinstance(mapping, dict):
        return []
    try:
        rooted = rooted_mapping(mapping)
    except MappingError:
        return []
    found: list[MappingWarning] = []
    for part in parts_of(rooted if rooted is mapping else mapping, Place()):
        if part.place.steps[:1] == (ROOT_DIRECTIVE_KEY,) and not part.place.steps[1:]:
            continue
        reads = Reader.RESULT if rooted is not mapping else part.reads
        for key, message in _surprises(part, reads):
            inside = part.place.key(part.directive) if part.directive else part.place
            where = inside.key(key) if key else inside
            found.append(MappingWarning(pointer=where.pointer, message=message))
    return found


def _surprises(part: Part, reads: Reader) -> Findings:
    if part.directive is None:
        yield from _raw_surprises(part)
        return
    known = OPTIONS.get(part.directive)
    if known is not None and isinstance(part.option, dict):
        for key in part.option:
            if key not in known and not key.startswith("@"):
                yield key, f"`{part.directive}` has no option `{key}`; it is ignored. Its options: {', '.join(known)}."
    if look := _SURPRISES.get(part.directive):
        yield from look(part.option, reads)


def _raw_surprises(part: Part) -> Findings:
    value = part.value
    if isinstance(value, dict):
        names = [key for key in value if key.startswith("@")]
        if names and not part.is_checked:
            yield "", f"`{names[0]}` is no directive beside other keys, and is sent as it stands. Let it stand alone."
    if not isinstance(value, str) or part.is_literal or (part.place.steps and part.place.steps[-1].startswith("@")):
        return
    if _PLACE.search(value):
        yield "", f'A plain text is not filled in: `{value}` is sent as it stands. Write {{"@template": …}} around it.'
    elif _PATH_TEXT.fullmatch(value):
        yield "", f'A plain text is no path: `{value}` is sent as it stands. Write {{"@path": "{value}"}}.'


def _path_surprises(option: object, reads: Reader) -> Findings:
    if isinstance(option, str):
        yield from (("", message) for message in _about_path(option, without_prefix(option), reads))


def _about_path(shown: str, path: str, reads: Reader) -> Iterator[str]:
    if _WILDCARD.search(shown):
        yield f"Paths have no wildcards, no negative indexes and no search: `{shown}` finds nothing. Use `@arrayPath`."
        return
    pieces = pieces_of(path)
    if reads is not Reader.EVENT or not pieces or pieces[0] in EVENT_KEYS:
        if reads is Reader.EVENT and pieces[:1] == ("event",) and len(pieces) > 1 and pieces[1] in EVENT_KEYS:
            rest = ".".join(pieces[1:])
            yield f"Paths start inside the event; `event` is its name. Write `$.{rest}`."
        return
    near = get_close_matches(pieces[0], EVENT_KEYS, n=1, cutoff=NEAR_MISS)
    same = [key for key in EVENT_KEYS if key.lower() == pieces[0].lower().replace("_", "")]
    if near or same:
        key = (same or near)[0]
        yield f"Events have no `{pieces[0]}`: `{shown}` finds nothing. Did you mean `$.{'.'.join((key, *pieces[1:]))}`?"


def _template_surprises(option: object, reads: Reader) -> Findings:
    if not isinstance(option, str):
        return
    for text in split_places(option.replace("{{{", "{{").replace("}}}", "}}"), 2)[1::2]:
        place = trim(text)
        if place.startswith("$."):
            yield "", f"In a template a path has no `$.`: `{{{{{place}}}}}` stays empty. Write `{{{{{place[2:]}}}}}`."
        elif "|" in place:
            yield "", f"`@template` has no filters: `{{{{{place}}}}}` stays empty. Use `@liquid`."
        else:
            yield from (("", message) for message in _about_path(place, place, reads))


def _if_surprises(option: object, _reads: Reader) -> Findings:
    if not isinstance(option, dict):
        return
    tested = "exists" if "exists" in option else "blank"
    if tested in option and is_truthy(option[tested]) and not isinstance(option[tested], (dict, list)):
        yield tested, "A plain value always exists, so this decides nothing. Test a directive, such as a `@path`."
    if "exists" in option and "blank" in option:
        yield "blank", "`blank` is ignored where there is `exists`. Keep one of them."
    if "else" in option and not is_truthy(option["else"]):
        yield "else", "A plain empty, null, false or 0 here gives no value at all. Wrap it in `@literal`."
    if "then" not in option and "else" not in option:
        yield "", "There is neither `then` nor `else`, so this never gives a value."


def _json_surprises(option: object, _reads: Reader) -> Findings:
    mode = option.get("mode") if isinstance(option, dict) else None
    if isinstance(mode, str) and mode not in ("encode", "decode") and mode.lower() in ("encode", "decode"):
        yield "mode", f"`{mode}` gives no value at all. Write `{mode.lower()}`."


def _merge_surprises(option: object, _reads: Reader) -> Findings:
    direction = option.get("direction") if isinstance(option, dict) else None
    if isinstance(direction, str) and direction != "left" and direction.lower() == "left":
        yield "direction", f"`{direction}` counts as `right`. Write `left` in lower case."


def _array_path_surprises(option: object, reads: Reader) -> Findings:
    if not isinstance(option, list):
        return
    if option and isinstance(option[0], str):
        yield from (("0", message) for message in _about_path(option[0], without_prefix(option[0]), reads))
    if len(option) > 1 and not (isinstance(option[1], dict) and option[1]):
        yield "1", "This is no shape, and items are left as they are. A shape is an object with keys, or a directive."
    if len(option) > 2:
        yield "2", "`@arrayPath` takes a path and a shape; what follows is ignored."


def _transform_surprises(option: object, _reads: Reader) -> Findings:
    """Paths of `mapping` that start at a key which `apply` does not make."""
    if not isinstance(option, dict):
        return
    apply, mapping = option.get("apply"), option.get("mapping")
    if not isinstance(apply, dict) or any(key.startswith(("@", "__segment")) for key in apply):
        return
    for part in parts_of(mapping, Place(), reads=Reader.EVENT):
        if part.directive == "@path" and isinstance(part.option, str) and part.reads is Reader.EVENT:
            pieces = pieces_of(without_prefix(part.option))
            if pieces and pieces[0] not in apply:
                where = "/".join(("mapping", *part.place.steps, "@path"))
                yield "mapping", f"At {where}: `apply` makes no `{pieces[0]}`, and the event is out of reach here."


def _liquid_surprises(option: object, _reads: Reader) -> Findings:
    if not isinstance(option, str):
        return
    try:
        template = compile_liquid(option)
    except LiquidError:
        return
    for name, is_disabled in template.strange_filters():
        if is_disabled:
            yield "", f"Segment has switched off the filter `{name}`: it fails every event that reaches it."
        else:
            yield "", f"There is no filter `{name}`, and the value passes through unchanged."
    for name in template.variables():
        first, _, second = name.partition(".")
        if first == "event" and second.split(".")[0].split("[")[0] in EVENT_KEYS:
            yield "", f"Variables start inside the event: `{name}` is empty. Write `{second}`."


_SURPRISES: dict[str, Callable[[object, Reader], Findings]] = {
    "@path": _path_surprises,
    "@template": _template_surprises,
    "@if": _if_surprises,
    "@json": _json_surprises,
    "@merge": _merge_surprises,
    "@arrayPath": _array_path_surprises,
    "@transform": _transform_surprises,
    "@liquid": _liquid_surprises,
}
