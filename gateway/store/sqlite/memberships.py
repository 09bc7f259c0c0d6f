"""The ledger: audiences, people as integers, who is in which audience, and who was deleted."""

# ruff: noqa: S608 - what is put into statements are constants of this module and numbers of tables, never a caller's text

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.store.rows import AudienceRow, MembershipRow, TombstoneRow
from gateway.store.sqlite.places import pack_place, unpack_place
from gateway.store.sqlite.session import (
    MEMBERS_KNOWN_MAX,
    Session,
    json_list,
    member_hash,
    member_key,
    pieces,
)

TOMBSTONES_BY_TIME = "CREATE INDEX tombstone_deleted ON tombstone (deleted_us)"
"""Migration: the old ones are found without looking at all."""

_AUDIENCE = "id, space, name, key, first_us, external_id, members, last_event_us"
_MEMBERSHIP = "audience, member, is_member, at_us, arrived_us, since_us, place"


class MembershipReads(Session):
    """Questions about the ledger."""

    def audiences(self) -> list[AudienceRow]:
        """All audiences with their member counts."""
        return [self._audience_row(row) for row in self._rows(f"SELECT {_AUDIENCE} FROM audience ORDER BY id")]

    def audience(self, space: str, name: str) -> AudienceRow | None:
        """One audience by its space and name."""
        known = self._text_id(space)
        if known is None:
            return None
        row = self._row(f"SELECT {_AUDIENCE} FROM audience WHERE space = ? AND name = ?", (known, name))
        return None if row is None else self._audience_row(row)

    def audience_by_id(self, audience: int) -> AudienceRow | None:
        """One audience by its number."""
        row = self._row(f"SELECT {_AUDIENCE} FROM audience WHERE id = ?", (audience,))
        return None if row is None else self._audience_row(row)

    def membership(self, audience: int, member_space: str, member: str) -> MembershipRow | None:
        """What the ledger holds of one person in one audience."""
        known = self._member_id(member_space, member)
        if known is None:
            return None
        row = self._row(f"SELECT {_MEMBERSHIP} FROM membership WHERE audience = ? AND member = ?", (audience, known))
        return None if row is None else _membership_row(row)

    def members(self, audience: int, *, after: int = 0, limit: int = 1000) -> list[tuple[int, str, MembershipRow]]:
        """Members that are in: (member id, canonical id text, row) by member id."""
        rows = self._rows(
            f"SELECT canonical, {_MEMBERSHIP} FROM membership JOIN member ON member.id = membership.member "
            "WHERE audience = ? AND membership.member > ? AND is_member = 1 ORDER BY membership.member LIMIT ?",
            (audience, after, limit),
        )
        return [(row[2], row[0], _membership_row(row[1:])) for row in rows]

    def memberships_of(self, member_space: str, member: str) -> list[tuple[AudienceRow, MembershipRow]]:
        """Every audience the ledger connects a person with, in or out."""
        known = self._member_id(member_space, member)
        if known is None:
            return []
        rows = self._rows(
            f"SELECT {_MEMBERSHIP}, {_AUDIENCE} FROM membership INDEXED BY membership_member "
            "JOIN audience ON audience.id = membership.audience WHERE member = ? ORDER BY audience.id",
            (known,),
        )
        return [(self._audience_row(row[7:]), _membership_row(row[:7])) for row in rows]

    def tombstone(self, member_space: str, member: str) -> TombstoneRow | None:
        """Whether and when the person was deleted."""
        key = member_key(member_space, member)
        row = self._row("SELECT deleted_us FROM tombstone WHERE member = ?", (key,))
        return None if row is None else TombstoneRow(key, row[0])

    def member_id(self, member_space: str, member: str) -> int | None:
        """The integer of a person met before."""
        return self._member_id(member_space, member)

    def _member_id(self, space: str, canonical: str) -> int | None:
        known = self._text_id(space)
        if known is None:
            return None
        row = self._row(
            "SELECT id FROM member WHERE hash = ? AND space = ? AND canonical = ?",
            (member_hash(space, canonical), known, canonical),
        )
        return None if row is None else int(row[0])

    def _audience_row(self, row: Sequence[Any]) -> AudienceRow:
        return AudienceRow(row[0], self._text(row[1]), *row[2:8])


class MembershipWrites(MembershipReads):
    """What the engine and the operator change in the ledger."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._was_member: dict[tuple[int, int], bool] = {}  # as read in this transaction, for the audiences' counts

    def intern_audiences(
        self, keys: Iterable[tuple[str, str, str]], *, now_us: int
    ) -> dict[tuple[str, str], AudienceRow]:
        """(space, name, key) → rows by (space, name), made where missing; `key` is remembered as the latest."""
        latest = {(space, name): key for space, name, key in keys}
        return {(space, name): self._audience(space, name, key, now_us) for (space, name), key in latest.items()}

    def _audience(self, space: str, name: str, key: str, now_us: int) -> AudienceRow:
        known = self._names.audiences.get((space, name))
        if known is None:
            row = self.audience(space, name)
            if row is None:
                made = self._connection.execute(
                    "INSERT INTO audience (space, name, key, first_us) VALUES (?, ?, ?, ?)",
                    (self._intern(space), name, key, now_us),
                ).lastrowid
                known = (made or 0, key, now_us, "")
            else:
                known = (row.id, row.key, row.first_us, row.external_id)
        if known[1] != key:
            self._run("UPDATE audience SET key = ? WHERE id = ?", (key, known[0]))
            known = (known[0], key, known[2], known[3])
        self._names.audiences[space, name] = known
        return AudienceRow(known[0], space, name, *known[1:])

    def set_external_id(self, audience: int, external_id: str) -> None:
        """Remember a partner's id of an audience."""
        self._run("UPDATE audience SET external_id = ? WHERE id = ?", (external_id, audience))
        self._names.audiences.clear()

    def intern_members(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """(space, canonical id) → integer ids, made where missing."""
        met = self._names.members
        if len(met) > MEMBERS_KNOWN_MAX:
            met.clear()
        found: dict[tuple[str, str], int] = {}
        wanted: dict[int, list[tuple[str, str]]] = {}
        for key in dict.fromkeys(keys):
            known = met.get(key)
            if known is None:
                wanted.setdefault(member_hash(*key), []).append(key)
            else:
                found[key] = known
        for piece in pieces(sorted(wanted)):
            for identifier, space, canonical in self._connection.execute(
                "SELECT id, space, canonical FROM member WHERE hash IN (SELECT value FROM json_each(?))",
                (json_list(piece),),
            ).fetchall():
                found[self._text(space), canonical] = identifier
        missing = [(hashed, key) for hashed, keys_of in wanted.items() for key in keys_of if key not in found]
        if missing:
            first = self._take_ids("member", len(missing))
            self._run_many(
                "INSERT INTO member (id, hash, space, canonical) VALUES (?, ?, ?, ?)",
                [(first + at, hashed, self._intern(key[0]), key[1]) for at, (hashed, key) in enumerate(missing)],
            )
            found.update((key, first + at) for at, (_hashed, key) in enumerate(missing))
        met.update(found)
        return found

    def memberships(self, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], MembershipRow]:
        """Ledger rows of (audience, member) pairs that exist."""
        found: dict[tuple[int, int], MembershipRow] = {}
        by_audience: dict[int, set[int]] = {}
        for audience, member in pairs:
            by_audience.setdefault(audience, set()).add(member)
            self._was_member[audience, member] = False
        for audience, members in by_audience.items():
            for piece in pieces(sorted(members)):
                for row in self._connection.execute(
                    f"SELECT {_MEMBERSHIP} FROM membership WHERE audience = ? AND member IN (SELECT value FROM json_each(?))",
                    (audience, json_list(piece)),
                ):
                    found[audience, row[1]] = _membership_row(row)
                    self._was_member[audience, row[1]] = row[2] == 1
        return found

    def save_memberships(self, rows: Sequence[MembershipRow]) -> None:
        """Write rows, replacing those of the same pair; the audiences' counts and times of their last event follow."""
        was = self._was_member
        unread = [(row.audience, row.member) for row in rows if (row.audience, row.member) not in was]
        if unread:
            self.memberships(unread)
        change: dict[int, int] = {}
        latest_us: dict[int, int] = {}
        for row in rows:
            pair = (row.audience, row.member)
            latest_us[row.audience] = max(latest_us.get(row.audience, 0), row.arrived_us)
            if was[pair] != row.is_member:
                change[row.audience] = change.get(row.audience, 0) + (1 if row.is_member else -1)
                was[pair] = row.is_member
        self._run_many(
            "INSERT INTO membership VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (audience, member) DO UPDATE SET "
            "is_member = excluded.is_member, at_us = excluded.at_us, arrived_us = excluded.arrived_us, "
            "since_us = excluded.since_us, place = excluded.place",
            [
                (
                    row.audience,
                    row.member,
                    int(row.is_member),
                    row.at_us,
                    row.arrived_us,
                    row.since_us,
                    pack_place(row.place),
                )
                for row in rows
            ],
        )
        self._count_members(change)
        self._run_many(  # once for an audience and a block of events
            "UPDATE audience SET last_event_us = ?2 WHERE id = ?1 AND last_event_us < ?2", sorted(latest_us.items())
        )

    def tombstones(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """(space, canonical id) → deletion time of those that were deleted; cheap when there are none at all."""
        if self._names.has_tombstones is None:
            self._names.has_tombstones = self._row("SELECT 1 FROM tombstone LIMIT 1") is not None
        if not self._names.has_tombstones:
            return {}
        found: dict[tuple[str, str], int] = {}
        for key in dict.fromkeys(keys):
            row = self._row("SELECT deleted_us FROM tombstone WHERE member = ?", (member_key(*key),))
            if row is not None:
                found[key] = row[0]
        return found

    def add_tombstone(self, member_space: str, member: str, *, deleted_us: int) -> None:
        """Keep that a person was deleted, as a hash; the latest deletion counts."""
        self._run(
            "INSERT INTO tombstone VALUES (?, ?) "
            "ON CONFLICT (member) DO UPDATE SET deleted_us = max(deleted_us, excluded.deleted_us)",
            (member_key(member_space, member), deleted_us),
        )
        self._names.has_tombstones = True

    def _forget_in_ledger(self, member_space: str, member: str, identifier: int) -> None:
        """Remove a person's memberships and identifiers."""
        left = self._rows("SELECT audience FROM membership WHERE member = ? AND is_member = 1", (identifier,))
        self._count_members({audience: -1 for (audience,) in left})
        self._run("DELETE FROM membership WHERE member = ?", (identifier,))
        self._run("DELETE FROM member WHERE id = ?", (identifier,))
        self._names.members.pop((member_space, member), None)
        self._was_member.clear()

    def _count_members(self, change: dict[int, int]) -> None:
        for audience, by in change.items():
            if by:
                self._run("UPDATE audience SET members = members + ? WHERE id = ?", (by, audience))


def _membership_row(row: Sequence[Any]) -> MembershipRow:
    return MembershipRow(row[0], row[1], row[2] == 1, row[3], row[4], row[5], unpack_place(row[6]))
