"""The `tokenInfo` query: which advertisers a token reaches and with which scopes, page by page."""

from collections.abc import Callable
from typing import cast

from graphql import GraphQLError, GraphQLResolveInfo

from gateway.sandbox.stackadapt.configuration import AccessToken, StackAdaptConfiguration

_CURSOR = "advertiser:"

Json = dict[str, object]


def token_info(token: AccessToken, configuration: StackAdaptConfiguration) -> Json:
    """What the default resolver needs to answer `tokenInfo` for this token."""
    nodes: list[Json] = [
        {"advertiser": {"id": advertiser.id, "name": advertiser.name}, "scopes": list(token.scopes[advertiser.id])}
        for advertiser in configuration.advertisers
        if advertiser.id in token.scopes
    ]

    def scopes_by_advertiser(
        info: GraphQLResolveInfo[None],  # noqa: ARG001 - the library passes it
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Json:
        return page_of(nodes, first=first, after=after, last=last, before=before)

    resolver: Callable[..., Json] = scopes_by_advertiser
    return {
        "name": token.name,
        "createdAt": "2026-01-01T00:00:00Z",
        "expiresAt": None,
        "scopesByAdvertiser": resolver,
    }


def page_of(nodes: list[Json], *, first: int | None, after: str | None, last: int | None, before: str | None) -> Json:
    """A connection: the nodes after and before the given cursors, at most the `first` or the `last` of them.

    Raises GraphQLError for a negative count and for a cursor that is not a node's.
    """
    cursors = [_CURSOR + str(cast("Json", node["advertiser"])["id"]) for node in nodes]
    start = 0 if after is None else _place(after, cursors) + 1
    end = len(nodes) if before is None else _place(before, cursors)
    if first is not None:
        end = min(end, start + _count(first, "first"))
    if last is not None:
        start = max(start, end - _count(last, "last"))
    shown = range(start, max(start, end))
    return {
        "nodes": [nodes[place] for place in shown],
        "edges": [{"cursor": cursors[place], "node": nodes[place]} for place in shown],
        "pageInfo": {
            "hasNextPage": end < len(nodes),
            "hasPreviousPage": start > 0,
            "startCursor": cursors[shown[0]] if shown else None,
            "endCursor": cursors[shown[-1]] if shown else None,
        },
        "totalCount": len(nodes),
    }


def _place(cursor: str, cursors: list[str]) -> int:
    if cursor not in cursors:
        raise GraphQLError(f"`{cursor}` is not a cursor of this connection.")
    return cursors.index(cursor)


def _count(count: int, name: str) -> int:
    if count < 0:
        raise GraphQLError(f"`{name}` must not be negative.")
    return count
