"""What `gateway tail` says of an event: names, verdicts and answers in words, whatever the store still knows."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.cli.cases import event_of
from gateway.cli.event_lines import Answered, Told, line_of, look_up, printable
from gateway.core.decisions import Skipped
from gateway.core.events import Place
from gateway.core.summaries import ChangeSummary, Summary, write_summary
from gateway.store import open_state, open_state_reader
from gateway.store.api import StateTx
from gateway.store.rows import TraceRow


def trace(summary: Summary, *, outcome: str = "decided", first: int = 0, deliveries: int = 0) -> TraceRow:
    """The trace of one event."""
    return TraceRow(1, 1, Place(1, 1, 0), 1, outcome, write_summary(summary), first, deliveries, "local")


def told(summary: Summary, *answered: Answered, outcome: str = "decided", deliveries: int = 0) -> Told:
    """With an audience 7 that is called vip."""
    row = trace(summary, outcome=outcome, deliveries=deliveries or len(answered))
    return Told(row=row, summary=summary, audiences={7: "vip"}, answered=answered)


def change(verdict: str, *, is_member: bool = True) -> Summary:
    """One change of audience 7."""
    return Summary(changes=(ChangeSummary(audience=7, is_member=is_member, verdict=verdict, rule="E1"),))


DELIVERED = Answered(mapping="a/b", how="delivered")
SENTENCES = [
    (told(Summary()), "no mapping matches"),
    (told(change("entered")), "vip: entered; nothing to send now"),
    (told(change("left", is_member=False), DELIVERED), "vip: left; a/b → delivered"),
    (told(change("unknown_exit", is_member=False), DELIVERED), "vip: left, though never seen in it; a/b → delivered"),
    (told(change("repeat"), DELIVERED), "vip: was in it already; a/b → delivered"),
    (told(change("repeat", is_member=False), DELIVERED), "vip: was out of it already; a/b → delivered"),
    (told(change("a new word"), DELIVERED), "vip: a new word; a/b → delivered"),
    (told(Summary(), DELIVERED, deliveries=9), "a/b → delivered, and 8 more"),
    (
        told(Summary(skipped=(Skipped(destination="a", mapping="a/b", code="payload_invalid", detail="email"),))),
        "a/b → not sent, the payload lacks what the action needs (payload_invalid: email)",
    ),
    (
        told(Summary(skipped=(Skipped(destination="a", mapping="a/b", code="of_tomorrow"),))),
        "a/b → not sent, of_tomorrow",
    ),
    (told(Summary(withheld=1)), "1 delivery kept back by the ledger"),
    (told(Summary(deletions=1)), "1 person forgotten"),
    (told(Summary(code="invalid_json", pointer="/a"), outcome="rejected"), "invalid_json at /a"),
    (told(Summary(warnings=("type_mismatch",))), "no mapping matches; warning: type_mismatch"),
    (
        told(Summary(changes=change("entered").changes * 6, more_changes=100), DELIVERED),
        "vip: entered, vip: entered, vip: entered, vip: entered, and 102 more changes; a/b → delivered",
    ),
]


@pytest.mark.parametrize(("given", "says"), SENTENCES, ids=[says[:40] for _, says in SENTENCES])
def test_a_trace_is_a_sentence(given: Told, says: str) -> None:
    """Without the event, whose bytes may be gone."""
    assert line_of(given, None) == says


def test_an_event_is_named_and_nobody_in_it() -> None:
    """Addresses in names and message ids are left out; long ones are cut."""
    body = {"type": "track", "event": "ann@example.com\nbought", "messageId": "bob@example.com-1", "userId": "u-1"}
    assert (
        line_of(told(Summary()), event_of(msgspec.json.encode(body)))
        == 'track "…�bought" (message …); no mapping matches'
    )
    body = {"type": "page", "name": "Profile of Ann", "messageId": "m" * 40, "userId": "u-1"}
    assert (
        line_of(told(Summary()), event_of(msgspec.json.encode(body)))
        == f"page (message {'m' * 11}…); no mapping matches"
    )


def test_a_name_cannot_move_the_cursor() -> None:
    """Names come from senders; a line stays one."""
    assert printable("vip\n\x1b[2J\u202e") == "vip��[2J�"


@pytest.mark.anyio
async def test_numbers_become_names_where_the_store_knows_them(tmp_path: Path) -> None:
    """An audience by its key; one that is gone by its number; a delivery without attempt is no longer owed."""

    def made(tx: StateTx) -> int:
        return tx.intern_audiences([("local", "aud_vip", "vip")], now_us=1)[("local", "aud_vip")].id

    state = open_state(tmp_path, disk_free_bytes_min=0)
    number = await state.write(made)
    await state.close()
    reader = open_state_reader(tmp_path)
    changes = tuple(ChangeSummary(audience=one, is_member=True, verdict="entered", rule="E1") for one in (number, 99))
    row = trace(Summary(changes=changes), first=5, deliveries=1)
    (found,) = reader.read(lambda view: look_up(view, [row]))
    reader.close()
    assert line_of(found, None) == "vip: entered, audience 99: entered; a mapping → no longer owed"
