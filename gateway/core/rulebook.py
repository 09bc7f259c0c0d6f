"""All of `mappings/`, checked and compiled: what routing reads. Built by `config`, swapped whole, never changed."""

from __future__ import annotations

from collections.abc import Mapping as Table
from typing import Literal

import msgspec

from gateway.core.definitions import Action, Definition
from gateway.core.fql import Trigger
from gateway.core.mapping import Transform
from gateway.core.payloads import PayloadCheck
from gateway.core.sources import Source
from gateway.core.sync_options import SINGLE_CHANGES, Capabilities, SyncOptions


class MembershipRules(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the gateway's membership extensions (E1 to E8) are on, and the legacy-journeys switch."""

    extensions: frozenset[str] = frozenset({"E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8"})
    legacy_journeys: bool = False


class CompiledMapping(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping of one destination, ready to run.

    key: `<file stem>/<slug of its name>`, the id operators use.
    trigger.matches(body) and transform.apply(body) are the compiled functions; check turns a raw payload into a valid one.
    fields: the mapping as laid over the action's defaults, for explaining.
    audiences: computation id or key (or "*") → its audience settings; None serves every matching event.
    batching: False sends events one by one (`enable_batching` false).
    honour_integrations: None follows the source (on for /v1 sources, off for webhooks).
    forward_accounts: account memberships (E8) are forwarded too.
    hashing: whether values are hashed here, for destinations described in a file.
    sync: the mapping keeps lists by runs instead of forwarding; sync_filter: who counts as in (None: everybody);
    capabilities: what the platform can do to a list; version: digest of what decides how a member is rendered.
    """

    key: str
    name: str
    action: Action
    trigger: Trigger
    trigger_text: str
    transform: Transform
    check: PayloadCheck
    fields: dict[str, object]
    audiences: Table[str, dict[str, object]] | None = None
    batching: bool = True
    batch_events_max: int = 1000
    batch_bytes_max: int = 4_000_000
    honour_integrations: bool | None = None
    forward_accounts: bool = False
    sync_mode: str | None = None
    hashing: Literal["on", "off", "auto"] = "on"
    enabled: bool = True
    sync: SyncOptions | None = None
    sync_filter: Trigger | None = None
    capabilities: Capabilities = SINGLE_CHANGES
    version: str = ""


class LaneBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping file allows its lane; None leaves a bound to the destination. concurrency: requests at once."""

    requests_per_second: float | None = None
    concurrency: int | None = None


class CompiledDestination(msgspec.Struct, frozen=True, kw_only=True):
    """One file of `mappings/`: one configured destination, one lane.

    key: the file's stem. settings: values with secrets resolved. secrets: the resolved secret texts, for redaction.
    corrections: names of the corrections that are on.
    integration_names: names by which an event's `integrations` object may switch it off (definition title, file name, slug).
    limits: how hard the file lets its lane press the partner; None takes the destination's own bounds.
    """

    key: str
    name: str
    definition: Definition
    settings: dict[str, object]
    mappings: tuple[CompiledMapping, ...]
    corrections: frozenset[str]
    secrets: frozenset[str] = frozenset()
    integration_names: frozenset[str] = frozenset()
    enabled: bool = True
    file: str = ""
    limits: LaneBounds | None = None


class Rulebook(msgspec.Struct, frozen=True, kw_only=True):
    """Everything routing needs. version: a digest of the files it was made from."""

    version: str
    destinations: tuple[CompiledDestination, ...]
    sources: dict[str, Source]
    membership: MembershipRules = MembershipRules()

    def destination(self, key: str) -> CompiledDestination | None:
        """Return the configured destination of that file stem."""
        return next((one for one in self.destinations if one.key == key), None)

    def mapping(self, key: str) -> tuple[CompiledDestination, CompiledMapping] | None:
        """Return the destination and mapping of `<file stem>/<slug>`."""
        for destination in self.destinations:
            for mapping in destination.mappings:
                if mapping.key == key:
                    return destination, mapping
        return None
