"""What can be set on the fake Trade Desk: who may do what, how large things may be, when an upload takes effect."""

from typing import Annotated

import msgspec

from gateway.sandbox.configuring import Configuration, Text

ADVERTISERS_MAX = 1_000
PAGE_SIZE_MAX = 10_000
SIZE_BYTES_MAX = 512 * 1024 * 1024  # a fake keeps an upload in memory


class TheTradeDeskConfiguration(Configuration, frozen=True, kw_only=True):
    """The token, the advertisers, and switches.

    page_size: segments a page. distinct_min: fewer distinct good lines fail a drop. size_max: bytes of an upload.
    process_at_once: an upload takes effect before it is answered; else when `process` is commanded.
    """

    token: Text = "sandbox-token"  # noqa: S105 - the sandbox guards nothing
    advertisers: Annotated[tuple[Text, ...], msgspec.Meta(max_length=ADVERTISERS_MAX)] = ("adv123", "harbour-books")
    page_size: Annotated[int, msgspec.Meta(ge=1, le=PAGE_SIZE_MAX)] = 2
    distinct_min: Annotated[int, msgspec.Meta(ge=0)] = 1_500
    size_max: Annotated[int, msgspec.Meta(ge=0, le=SIZE_BYTES_MAX)] = 256 * 1024 * 1024
    process_at_once: bool = True
