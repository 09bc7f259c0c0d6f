"""A source: one configured inbound feed with its own credentials, as `mappings/sources.json` describes it."""

from __future__ import annotations

from typing import Literal

import msgspec

SourceKind = Literal["server", "browser", "webhook"]


class WebhookAuth(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook source's requests must show; all that are configured must pass. Secrets are lists, any may match.

    none: said in so many words, nothing is checked.
    """

    none: bool = False
    x_signature: tuple[str, ...] = ()
    bearer: tuple[str, ...] = ()
    basic: tuple[tuple[str, str], ...] = ()
    header: tuple[tuple[str, tuple[str, ...]], ...] = ()
    path_token: tuple[str, ...] = ()
    standard_webhooks: tuple[str, ...] = ()
    jitsu_signature: tuple[str, ...] = ()

    @property
    def is_configured(self) -> bool:
        """Something is checked, or it was said that nothing is."""
        return self.none or any(
            (
                self.x_signature,
                self.bearer,
                self.basic,
                self.header,
                self.path_token,
                self.standard_webhooks,
                self.jitsu_signature,
            )
        )


class SourceMembership(msgspec.Struct, frozen=True, kw_only=True):
    """Overrides of the membership extensions for one source. strict: all extensions off."""

    strict: bool = False
    off: frozenset[str] = frozenset()
    legacy_journeys: bool = False


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One feed. write_keys: for /v1; auth: for /webhook. All secrets resolved.

    space: separates ids; sources that share it share their people.
    audience: computation key that RudderStack records and Hightouch events belong to.
    trust_membership: a browser source may change membership.
    rate_per_s: requests a second before 429; 0 is no limit.
    """

    name: str
    kind: SourceKind = "server"
    enabled: bool = True
    write_keys: tuple[str, ...] = ()
    auth: WebhookAuth = WebhookAuth()
    extras_keys: tuple[str, ...] = ()
    require_full_signature: bool = False
    origins: tuple[str, ...] = ()
    rate_per_s: float = 0.0
    strict_limits: bool = False
    audience: str = ""
    trust_membership: bool = False
    membership: SourceMembership = SourceMembership()
    format: Literal["segment", "mparticle"] = "segment"
    space: str = "default"
