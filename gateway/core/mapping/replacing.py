"""`@replace`: literal text for literal text, with JavaScript's replacement patterns and its idea of ignoring case."""

import re

from gateway.core.javascript import code_units, joined, utf16_length
from gateway.core.mapping.budget import Run
from gateway.core.mapping.problems import MappingError

PATTERN_UNITS_MAX = 10  # UTF-16 units of `pattern` and of `replacement`, Segment's limit for both

_REFERENCES = re.compile(r"\$([$&`'])")


def replaced(text: str, pattern: str, replacement: str, *, ignore_case: bool, every: bool, run: Run) -> str:
    """`text` with `pattern` replaced, all of it or the first occurrence.

    In the replacement `$$` is a dollar, `$&` the match, ``$` `` what stands before it and `$'` what stands behind it.
    Raises MappingError where pattern or replacement have more than PATTERN_UNITS_MAX units.
    """
    for name, part in (("pattern", pattern), ("replacement", replacement)):
        if utf16_length(part) > PATTERN_UNITS_MAX:
            raise MappingError(f'@replace requires a "{name}" less than {PATTERN_UNITS_MAX} characters')
    if text.isascii() and not ignore_case and "$" not in replacement:
        run.spend(len(text) + text.count(pattern) * len(replacement))  # Nothing here needs units or patterns.
        return joined(text.replace(pattern, replacement, -1 if every else 1))
    units, wanted = code_units(text), code_units(pattern)
    searched = units
    if ignore_case:
        searched, wanted = _folded(units), _folded(wanted)
    pieces: list[str] = []
    done = 0
    while (start := searched.find(wanted, done)) >= 0:
        end = start + len(wanted)
        written = _filled(replacement, units, start, end, run)
        pieces += (units[done:start], written)
        done = end
        if not every:
            break
    pieces.append(units[done:])
    run.spend(len(units))
    return joined("".join(pieces))


def _filled(replacement: str, units: str, start: int, end: int, run: Run) -> str:
    """The replacement for the match from start to end."""
    if "$" not in replacement:
        run.spend(len(replacement))
        return replacement
    what = {"$": (0, 0), "&": (start, end), "`": (0, start), "'": (end, len(units))}
    run.spend(sum(stop - begin for begin, stop in (what[sign] for sign in _REFERENCES.findall(replacement))) + 1)
    return _REFERENCES.sub(
        lambda match: "$" if match[1] == "$" else units[slice(*what[match[1]])],
        replacement,
    )


def _folded(units: str) -> str:
    """Each unit by JavaScript's simple folding, so that lengths and places stay the same."""
    return units.upper() if units.isascii() else "".join(map(_folded_unit, units))


def _folded_unit(unit: str) -> str:
    """Upper case, where that is one unit and makes no letter of ASCII of one beyond it (long s, the Kelvin sign)."""
    upper = unit.upper()
    if len(upper) != 1 or (upper.isascii() and not unit.isascii()):
        return unit
    return upper
