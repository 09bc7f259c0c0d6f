"""The file of a drop: its form, its order, who is in it, and that it does not grow in memory."""

import random

import pytest

from gateway.destinations.the_trade_desk import listing
from gateway.destinations.the_trade_desk.lines import EMAIL, HASHED, line_of, person_key
from gateway.destinations.the_trade_desk.listing import ListFile, write_list


def written(tmp_path, rows, pii_type):
    path = tmp_path / "list"
    path.unlink(missing_ok=True)
    told = write_list(rows, pii_type, path)
    assert [one.name for one in tmp_path.iterdir()] == ["list"]
    return told, path.read_bytes()


def rows_of(*emails, **more):
    return [(f"user_id:{n}", {"email": email, **more}) for n, email in enumerate(emails)]


def test_lines_are_sorted_by_person_key_and_each_person_is_there_once(tmp_path):
    """Every line ends with one line feed; what gives nothing is counted."""
    emails = ["b@example.org", "a@example.org", "A@Example.org", "nobody", "", "a=", "b@example.org"]
    told, body = written(tmp_path, rows_of(*emails), HASHED)
    lines = sorted({person_key(email) for email in emails} - {""})
    assert body == "".join(f"{line}\n" for line in lines).encode()
    assert told == ListFile(distinct=3, lines=5, bytes=len(body), skipped=2)


def test_plain_addresses_keep_the_latest_spelling(tmp_path):
    """Of one person's the latest event's, of equal times the later row's; hashes are left out."""
    rows = [
        ("a", {"email": "Maria@example.org", "at_us": 50}),
        ("a", {"email": "other@example.org", "at_us": 1}),
        ("b", {"email": "maria@example.org", "at_us": 40}),
        ("c", {"email": "OTHER@example.org", "at_us": 1}),
        ("d", {"email": "ca123440bedda5d68716ae831322a5a8a3e7daf8fb297f750507aa86789846f2"}),
        ("e", {"email": "zo\ud800e@example.org"}),
    ]
    told, body = written(tmp_path, rows, EMAIL)
    wanted = sorted(["Maria@example.org", "OTHER@example.org", "zo\ufffde@example.org"], key=person_key)
    assert body.decode().split("\n") == [*wanted, ""]
    assert (told.distinct, told.lines, told.skipped) == (3, 5, 1)


def test_nobody_is_an_empty_file(tmp_path):
    """Which is never uploaded."""
    assert written(tmp_path, [], HASHED) == (ListFile(distinct=0, lines=0, bytes=0, skipped=0), b"")


@pytest.mark.parametrize("pii_type", [EMAIL, HASHED])
@pytest.mark.parametrize("runs_max", [2, 128])
def test_many_runs_give_the_same_bytes_as_sorting_everything(tmp_path, monkeypatch, pii_type, runs_max):
    """Tiny runs and blocks, repeats across them; once so many runs that they are merged in between."""
    monkeypatch.setattr(listing, "RUN_PEOPLE", 50)
    monkeypatch.setattr(listing, "CHUNK", 7)
    monkeypatch.setattr(listing, "BLOCK_BYTES", 200)
    monkeypatch.setattr(listing, "RUNS_MAX", runs_max)
    chance = random.Random(7)
    emails = [
        chance.choice(["Person{}@example.org", "person{}@example.org"]).format(chance.randrange(900))
        for _ in range(2000)
    ]
    told, body = written(tmp_path, rows_of(*emails), pii_type)
    latest = {person_key(email): line_of(email, pii_type) for email in emails}
    assert body.decode() == "".join(f"{latest[key]}\n" for key in sorted(latest))
    assert (told.distinct, told.lines, told.bytes) == (len(latest), 2000, len(body))
    chance.shuffle(emails)
    if pii_type == HASHED:
        assert written(tmp_path, rows_of(*emails), pii_type)[1] == body
