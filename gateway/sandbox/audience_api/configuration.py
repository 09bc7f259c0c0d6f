"""What can be set on the fake audience API: who may call it, its limits, and how it speaks of bad records."""

from typing import Annotated, Literal

import msgspec

from gateway.sandbox.configuring import Configuration, Text

USERS_MAX = 1_000_000
LISTS_MAX = 10_000


class AudienceApiConfiguration(Configuration, frozen=True, kw_only=True):
    """Credentials of three kinds, lists that exist from the start, limits.

    lists: id → name. users_max: records in one request; more are a 413. body_bytes_max: the same for bytes.
    bad_records: "listed" answers 207 and takes the others; "refused" answers 400 to the whole request and takes nobody.
    token_life_s: of the tokens that `/oauth/token` gives out.
    """

    tokens: tuple[Text, ...] = ("sandbox-token",)
    user: Text = "sandbox"
    password: Text = "sandbox-password"  # noqa: S105 - the sandbox guards nothing
    api_key: Text = "sandbox-key"
    lists: dict[str, Text] = msgspec.field(default_factory=lambda: {"9001": "Northwind buyers"})
    users_max: Annotated[int, msgspec.Meta(ge=1, le=USERS_MAX)] = 1000
    body_bytes_max: Annotated[int, msgspec.Meta(ge=100, le=64 * 1024 * 1024)] = 8 * 1024 * 1024
    bad_records: Literal["listed", "refused"] = "listed"
    token_life_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 3600
