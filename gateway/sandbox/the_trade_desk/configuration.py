"""What can be set on the fake Trade Desk: who may do what, how large things may be, when an upload takes effect."""

from typing import Annotated, Literal

import msgspec

ADVERTISERS_MAX = 1_000
PAGE_SIZE_MAX = 10_000
SIZE_BYTES_MAX = 512 * 1024 * 1024  # a fake keeps an upload in memory

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class TheTradeDeskConfiguration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The token, the advertisers, and switches.

    page_size: segments a page. distinct_min: fewer distinct good lines fail a drop. size_max: bytes of an upload.
    process_at_once: an upload takes effect before it is answered; else when `process` is commanded.
    record: "counts" keeps neither headers nor bodies in the request log.
    """

    token: Text = "sandbox-token"  # noqa: S105 - the sandbox guards nothing
    advertisers: Annotated[tuple[Text, ...], msgspec.Meta(max_length=ADVERTISERS_MAX)] = ("adv123", "harbour-books")
    page_size: Annotated[int, msgspec.Meta(ge=1, le=PAGE_SIZE_MAX)] = 2
    distinct_min: Annotated[int, msgspec.Meta(ge=0)] = 1_500
    size_max: Annotated[int, msgspec.Meta(ge=0, le=SIZE_BYTES_MAX)] = 256 * 1024 * 1024
    process_at_once: bool = True
    record: Literal["full", "counts"] = "full"

    def changed_by(self, changed: bytes) -> "TheTradeDeskConfiguration":
        """The configuration with the keys of a JSON object laid over it. Raises msgspec.DecodeError, ValidationError."""
        keys = msgspec.json.decode(changed, type=dict[str, msgspec.Raw])
        whole = {**msgspec.json.decode(msgspec.json.encode(self), type=dict[str, msgspec.Raw]), **keys}
        return msgspec.json.decode(msgspec.json.encode(whole), type=TheTradeDeskConfiguration)
