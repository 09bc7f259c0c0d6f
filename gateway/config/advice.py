"""What a destination itself says of its settings and audiences, shown with the place in the mapping file it is about.

`config` knows no destination, so it is handed somebody who does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from gateway.config.files import Findings
from gateway.config.positions import escape
from gateway.config.secrets import is_reference
from gateway.core.definitions import Definition

_NAMED: Final = re.compile(r"`([A-Za-z_][A-Za-z0-9_-]*)`")


class Advisor(Protocol):
    """Knows the destinations by slug. Each sentence begins with, or soon names, the key it is about, in back-quotes."""

    def setting_problems(self, slug: str, settings: dict[str, object], corrections: frozenset[str]) -> Sequence[str]:
        """Why nothing could be sent with these resolved settings."""

    def audience_warnings(self, slug: str, entry: dict[str, object]) -> Sequence[str]:
        """What looks odd about one entry of a mapping's `audiences`."""


def tell_setting_problems(
    advisor: Advisor,
    definition: Definition,
    findings: Findings,
    given: object,
    settings: dict[str, object],
    corrections: frozenset[str],
    *,
    is_strict: bool,
) -> None:
    """Report them. given: `settings` as the file has them; settings: resolved.

    Where secrets may be missing (not strict), what does not stand in the file itself is a warning: it may be there in time.
    """
    written = given if isinstance(given, dict) else {}
    for sentence in advisor.setting_problems(definition.slug, settings, corrections):
        key = _named(sentence)
        pointer = f"/settings/{escape(key)}" if key in written else "/settings"
        stands_here = key in written and not is_reference(written[key])
        findings.add(pointer, sentence, severity="error" if is_strict or stands_here else "warning")


def tell_audience_warnings(
    advisor: Advisor,
    definition: Definition,
    findings: Findings,
    pointer: str,
    audiences: Mapping[str, dict[str, object]],
) -> None:
    """Warn of entries. pointer: of the mapping's `audiences`."""
    for name, entry in audiences.items():
        for sentence in advisor.audience_warnings(definition.slug, entry):
            key = _named(sentence)
            place = f"{pointer}/{escape(name)}"
            findings.warn(f"{place}/{escape(key)}" if key in entry else place, sentence)


def _named(sentence: str) -> str:
    """The first name in back-quotes."""
    found = _NAMED.search(sentence)
    return found[1] if found else ""
