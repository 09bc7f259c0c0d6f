"""What can be asked of syncs and runs and ordered of them, as the service hands it over; and what goes with an order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal, Protocol, Self

import msgspec

Shown = dict[str, object]
Place = tuple[int, int]

WAIT_S_MAX = 60.0
BY_CHARACTERS_MAX = 200


class RunOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run now. kind: "resend" adds everybody again. wait: seconds to wait for its end.

    while_paused: although the sync is paused. trigger: what the run says it was started by.
    """

    kind: Literal["", "diff", "resend"] = ""
    wait: Annotated[float, msgspec.Meta(ge=0, le=WAIT_S_MAX)] = 0.0
    while_paused: bool = False
    trigger: Literal["api", "manual"] = "api"


class PlanOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan. kind: as of a run. reveal: payloads and requests in clear."""

    kind: Literal["", "diff", "resend"] = ""
    reveal: bool = False


class PauseOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """now: stop the run that is open, too."""

    now: bool = False


class ResumeOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """run: start a run at once."""

    run: bool = False


class DeleteOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """clear: take everybody off the list first."""

    clear: bool = False


class ResolveOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """listed: whether those of whom nobody knows are on the list."""

    listed: bool


class ResetOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """forget_removals: said before a reset, since who left can not be removed then."""

    forget_removals: bool = False


class ApproveOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """by: who lets the run go; stands in its page."""

    by: Annotated[str, msgspec.Meta(max_length=BY_CHARACTERS_MAX)] = ""


class NoOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing goes with it."""


class Orders(Protocol):
    """Questions and orders. Names are sync ids. Raises OrderError with a status and a sentence."""

    def expecting(self, version: str) -> Self:
        """The same, each order refused with 412 where its sync or run is not of this version any more."""

    async def list_alerts(self) -> list[Shown]:
        """Alerts that stand, of all syncs."""

    async def list_syncs(self, *, deleted: bool = False, after: int = 0, limit: int = 0) -> list[Shown]:
        """Syncs by number."""

    async def show_sync(self, name: str) -> Shown:
        """One."""

    async def list_runs(self, name: str = "", *, before_id: int = 0, limit: int = 100) -> list[Shown]:
        """Runs, newest first."""

    async def show_run(self, run: int) -> Shown:
        """One run."""

    async def run_progress(self, run: int) -> Shown:
        """How far one run is."""

    async def run_log(self, run: int, *, after: int = 0, limit: int = 1000, status: str = "") -> list[Shown]:
        """The sync log of one run."""

    async def sync_log(
        self, name: str, *, since_us: int, until_us: int, after: Place, limit: int
    ) -> tuple[list[Shown], Place | None]:
        """A sync's log by time."""

    def exported_run(self, run: int, form: Literal["ndjson", "csv"], *, status: str = "") -> AsyncIterator[bytes]:
        """A run's whole log as a file, in pieces. status: only lines that ended so."""

    def exported_sync(
        self, name: str, form: Literal["ndjson", "csv"], *, since_us: int, until_us: int
    ) -> AsyncIterator[bytes]:
        """A sync's log by time as a file, in pieces."""

    async def diff_runs(self, older: int, newer: int) -> Shown:
        """What changed between two runs."""

    async def snapshots(self, name: str = "", *, before_run: int = 0, limit: int = 100) -> list[Shown]:
        """Kept snapshots, newest first."""

    async def problems(self, name: str, *, after: Place, limit: int = 100) -> tuple[list[Shown], Place | None]:
        """Members with whom something is wrong."""

    async def explain(self, name: str, key: str, *, reveal: bool = False) -> Shown:
        """One person and one sync."""

    async def audience_members(
        self, audience: int, *, after: int = 0, limit: int = 100, reveal: bool = False
    ) -> tuple[list[Shown], int | None]:
        """Who is in an audience."""

    async def plan(self, name: str, *, kind: str = "", reveal: bool = False) -> Shown:
        """What the next run would do."""

    async def run(self, name: str, *, kind: str = "", while_paused: bool = False, trigger: str = "manual") -> Shown:
        """Queue a run."""

    async def wait(self, run: int, *, seconds: float) -> tuple[Shown, bool]:
        """A run's page once it has ended or is held, or after the seconds; and whether it has."""

    async def pause(self, name: str, *, now: bool = False) -> Shown:
        """No more scheduled runs."""

    async def resume(self, name: str, *, run: bool = False) -> Shown:
        """Go on."""

    async def cancel(self, run: int) -> Shown:
        """Stop a run."""

    async def approve(self, run: int, *, by: str) -> Shown:
        """Let a held run go."""

    async def reject(self, run: int) -> Shown:
        """End a held run."""

    async def clear(self, name: str) -> Shown:
        """Take everybody off the list."""

    async def delete(self, name: str, *, clear: bool = False) -> Shown:
        """End a sync."""

    async def undelete(self, name: str) -> Shown:
        """Bring it back."""

    async def retry(self, name: str) -> Shown:
        """Try again what is quarantined, backing off or given up."""

    async def resolve(self, name: str, *, listed: bool) -> Shown:
        """Say of unsure members whether they are listed."""

    async def reset(self, name: str) -> Shown:
        """Forget what the platform holds."""

    async def restore_state(self, run: int) -> Shown:
        """Hold the records of a run's sync against the run's snapshot."""
