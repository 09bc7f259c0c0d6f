"""What can be set on the fake Taboola: who may log in, which accounts they have, how long a token lasts."""

from typing import Annotated

import msgspec

from gateway.sandbox.configuring import Configuration, Text

CLIENTS_MAX = 100
ACCOUNTS_MAX = 1_000
MEMBERS_MAX = 1_000_000
TOKEN_LIFE_S_MAX = 10_000_000

AccountId = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=200)]


class Client(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API client and the alphabetic ids of the accounts it may use; the first is its own."""

    client_id: Text
    client_secret: Text
    accounts: Annotated[tuple[AccountId, ...], msgspec.Meta(min_length=1, max_length=ACCOUNTS_MAX)]


DEFAULT_CLIENT = Client(
    client_id="sandbox-client",
    client_secret="sandbox-secret",  # noqa: S106 - the sandbox guards nothing
    accounts=("demo-advertiser", "harbour-books"),
)


class TaboolaConfiguration(Configuration, frozen=True, kw_only=True):
    """Clients and switches.

    token_life_s: `expires_in` of tokens given from now on; None leaves it out of the answer (they last 43,200 s).
    first_audience_id: number of the first audience created.
    members_max: more members in one audience than these are refused.
    """

    clients: Annotated[tuple[Client, ...], msgspec.Meta(max_length=CLIENTS_MAX)] = (DEFAULT_CLIENT,)
    token_life_s: Annotated[int, msgspec.Meta(ge=0, le=TOKEN_LIFE_S_MAX)] | None = 43_200
    first_audience_id: Annotated[int, msgspec.Meta(ge=1, le=2**53)] = 1001
    members_max: Annotated[int, msgspec.Meta(ge=1, le=MEMBERS_MAX)] = 250_000

    def client(self, client_id: str, client_secret: str) -> Client | None:
        """The client with these credentials."""
        return next(
            (one for one in self.clients if one.client_id == client_id and one.client_secret == client_secret), None
        )
