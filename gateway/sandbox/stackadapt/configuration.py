"""What can be set on the fake StackAdapt: who may do what, and the switches for what nobody knows of the real one."""

from typing import Annotated, Literal

import msgspec

from gateway.sandbox.configuring import Configuration

ADVERTISERS_MAX = 10_000
TOKENS_MAX = 1_000
PROFILES_MAX = 1_000_000
PROFILES_MAX_DEFAULT = 250_000
INGESTION_DELAY_S_MAX = 600.0

AdvertiserId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}$")]
Scope = Literal["READ", "WRITE"]


class Advertiser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An advertiser account: its number as text, its name."""

    id: AdvertiserId
    name: Annotated[str, msgspec.Meta(max_length=200)]


class AccessToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bearer token and its scopes by advertiser id."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    name: Annotated[str, msgspec.Meta(max_length=200)] = "Sandbox token"
    scopes: dict[AdvertiserId, tuple[Scope, ...]]


DEFAULT_ADVERTISERS = (
    Advertiser(id="12345", name="Sandbox Advertiser"),
    Advertiser(id="31337", name="Harbour Books"),
    Advertiser(id="20202", name="Read-only Advertiser"),
)
DEFAULT_TOKEN = AccessToken(
    token="sandbox-token",  # noqa: S106 - the sandbox guards nothing
    scopes={"12345": ("READ", "WRITE"), "31337": ("READ", "WRITE"), "20202": ("READ",)},
)


class StackAdaptConfiguration(Configuration, frozen=True, kw_only=True):
    """Advertisers, tokens and switches.

    unparsable_status, unfit_status: the HTTP status for a document that does not parse, or not fit the schema.
    ingestion_delay_s: accepted changes take effect that much later; None holds them until `ingest` is commanded.
    profiles_first: within one document profiles take effect before the mapping that came with them.
    ignore_replays: a `syncId` seen before changes nothing; otherwise its profiles are applied again, which changes
    nothing either unless something else came between.
    profiles_max: more profiles than these are refused with a user error.
    """

    advertisers: Annotated[tuple[Advertiser, ...], msgspec.Meta(max_length=ADVERTISERS_MAX)] = DEFAULT_ADVERTISERS
    tokens: Annotated[tuple[AccessToken, ...], msgspec.Meta(max_length=TOKENS_MAX)] = (DEFAULT_TOKEN,)
    unparsable_status: Literal[200, 400] = 200
    unfit_status: Literal[200, 400] = 200
    ingestion_delay_s: Annotated[float, msgspec.Meta(ge=0, le=INGESTION_DELAY_S_MAX)] | None = 0.0
    profiles_first: bool = False
    ignore_replays: bool = False
    profiles_max: Annotated[int, msgspec.Meta(ge=0, le=PROFILES_MAX)] = PROFILES_MAX_DEFAULT

    def token(self, text: str) -> AccessToken | None:
        """The known token of this text."""
        return next((token for token in self.tokens if token.token == text), None)

    def is_writable(self, advertiser_id: str, token: AccessToken) -> bool:
        """The advertiser exists and the token may write to it."""
        is_known = any(advertiser.id == advertiser_id for advertiser in self.advertisers)
        return is_known and "WRITE" in token.scopes.get(advertiser_id, ())
