"""Whole runs over real sockets to the fake's two listeners: every scenario that a build has to pass."""

import asyncio

import msgspec
import pytest
import structlog
from trade_desk_cases import people, performed, run_of

from gateway.core.http_messages import Request
from gateway.core.outcomes import Deferred, Delivered, Refused, Unauthorized, Unreachable
from gateway.destinations.base import AudienceFound, AudienceWanted, Batch, Context
from gateway.destinations.rehearsal import FreshNotes
from gateway.destinations.the_trade_desk import list_run
from gateway.destinations.the_trade_desk.lines import EMAIL, HASHED, person_key
from gateway.destinations.the_trade_desk.perform import THE_TRADE_DESK
from gateway.sandbox.faults import Down, Reset, Status, Timeout
from gateway.sandbox.the_trade_desk import Refusal, StorageRefusal, TheTradeDeskConfiguration

pytestmark = pytest.mark.anyio


def body_of(partner, number=-1):
    return partner.drops[number].body


@pytest.mark.parametrize("pii_type", [EMAIL, HASHED])
async def test_a_run_replaces_the_list_with_one_drop(partner, settings, http, pii_type):
    """Two calls; the members are the distinct lines; nothing that a careful client would not send."""
    segment = partner.create("adv123", "VIP customers")
    rows = [
        *people(1500, pii_type=pii_type),
        ("user_id:x", {"email": "PERSON1@example.org"}),
        ("user_id:y", {"email": "no"}),
    ]
    done = await performed(http, settings, run_of(pii_type=pii_type, external_id=segment.external_id), rows)
    assert done.outcomes == (Delivered(),)
    assert (done.requests, partner.calls(), partner.violations) == (2, ("drop", "upload"), ())
    emails = [row["email"] for _, row in rows[:-1]]
    latest = {person_key(email): email for email in emails}
    assert segment.members == (set(latest.values()) if pii_type == EMAIL else set(latest))
    assert done.counts == {"distinct": 1500, "lines": 1501, "bytes": len(body_of(partner)), "skipped": 1}
    assert f"reference {partner.drops[0].reference_id}" in done.answer
    assert done.request.endswith("1 values left out")
    asked = msgspec.json.decode(next(iter(partner.log)).body)
    assert asked == {"PiiType": pii_type, "MergeMode": "Replace", "RetentionEnabled": True}


@pytest.mark.parametrize("count", [0, 1, 1480, 1499])
async def test_below_the_minimum_nothing_is_sent_at_all(partner, settings, http, count):
    """Repeats do not count; even a segment that would have to be made is left alone."""
    rows = people(count) + people(min(count, 120))
    for owed in (run_of(external_id="cc9b84o"), run_of(create=True, region="EU")):
        done = await performed(http, settings, owed, rows)
        assert (done.skipped, done.requests, len(partner.log)) == ("below_minimum", 0, 0)
        (outcome,) = done.outcomes
        assert isinstance(outcome, Refused)
        assert not outcome.splittable
        assert f"{count} of 1500 distinct people" in outcome.reason
        assert "still holds the last list" in outcome.reason


async def test_the_minimum_itself_is_enough_and_a_drop_keeps_the_segment(partner, settings, http):
    """The next day too few are left: the old list stays where it is."""
    segment = partner.create("adv123", "VIP customers")
    assert (await performed(http, settings, run_of(external_id=segment.external_id), people(1500))).outcomes == (
        Delivered(),
    )
    assert (await performed(http, settings, run_of(external_id=segment.external_id), people(1499))).skipped
    assert len(segment.members) == 1500


async def test_two_days_give_equal_bytes_and_an_exit_removes(partner, settings, http):
    """Whatever order the members are in."""
    segment = partner.create("adv123", "VIP customers")
    owed = run_of(external_id=segment.external_id)
    await performed(http, settings, owed, people(1600))
    await performed(http, settings, owed, people(1600)[::-1])
    assert body_of(partner, 0) == body_of(partner, 1)
    await performed(http, settings, owed, people(1599))
    assert person_key("person1599@example.org") not in segment.members
    assert len(segment.members) == 1599


async def test_the_worked_example(partner, settings, http):
    """A segment of another name is there; ours is created at the first run, remembered, and filled with 70,200 bytes."""
    for name in ("Old", "Older"):
        partner.create("adv123", name)
    notes = FreshNotes()
    owed = run_of(create=True, region="EU", name="VIP customers")
    done = await performed(http, settings, owed, people(1560), notes=notes)
    assert done.outcomes == (Delivered(),)
    assert partner.calls() == ("list", "list", "create", "drop", "upload")
    create, drop = (msgspec.json.decode(one.body) for one in list(partner.log)[2:4])
    assert create == {
        "AdvertiserId": "adv123", "SegmentName": "VIP customers", "Region": "EU", "DataProviderId": "twilio",
    }  # fmt: skip
    assert drop == {"PiiType": "EmailHashedUnifiedId2", "MergeMode": "Replace", "RetentionEnabled": True}
    upload = dict(list(partner.log)[4].headers)
    assert (upload["content-type"], upload["content-length"], "ttd-auth" in upload) == ("text/plain", "70200", False)
    assert all(dict(one.headers)["ttd-auth"] == "sandbox-token" for one in list(partner.log)[:4])
    created = next(one for one in partner.segments.values() if one.name == "VIP customers")
    assert (created.region, created.data_provider, len(created.members)) == ("EU", "twilio", 1560)
    assert done.counts["bytes"] == 70_200
    await performed(http, settings, owed, people(1560), notes=notes)
    assert partner.calls()[5:] == ("drop", "upload")
    short = await performed(http, settings, owed, people(1490), notes=notes)
    assert (short.skipped, short.requests, "1490 of 1500" in short.outcomes[0].reason) == ("below_minimum", 0, True)


async def test_large_lists_are_streamed_with_their_length(partner, settings, http, monkeypatch):
    """From disk, in one PUT; the host refuses chunks and would tell."""
    monkeypatch.setattr(list_run, "BODY_BYTES_MAX", 1000)
    segment = partner.create("adv123", "VIP customers")
    done = await performed(http, settings, run_of(external_id=segment.external_id), people(9000))
    assert (done.outcomes, len(segment.members)) == ((Delivered(),), 9000)
    upload = list(partner.log)[-1]
    assert dict(upload.headers)["content-length"] == str(9000 * 45)
    assert "transfer-encoding" not in dict(upload.headers)


async def test_the_token_goes_to_the_storage_host_only_with_the_correction_off(partner, settings, http):
    """As the reference does."""
    segment = partner.create("adv123", "VIP customers")
    owed = run_of(external_id=segment.external_id)
    await performed(http, settings, owed, people(1500), corrections=frozenset())
    assert [one.rule for one in partner.violations] == ["token_at_upload"]


# --- Segments ---


async def connect(http, settings, notes=None, **given):
    context = Context(http=http, notes=notes or FreshNotes(), now_us=0)
    wanted = AudienceWanted(settings=settings, entry=given, key="vip")
    return await THE_TRADE_DESK.keep_audience("create", wanted, context)


async def test_a_name_on_a_later_page_is_adopted(partner, settings, http):
    """The paging tokens are full of characters that have to be encoded; the advertiser's segments only."""
    made = [partner.create("adv123", name) for name in ("a", "b", "c", "vip", "d")]
    partner.create("harbour-books", "vip")
    assert await connect(http, settings, region="EU") == AudienceFound(
        external_id=made[3].external_id, origin="partner"
    )
    assert partner.calls() == ("list",) * 4


async def test_a_name_that_several_have_is_refused_with_their_ids(partner, settings, http):
    """As is one of another region; nothing is created."""
    first, second = partner.create("adv123", "vip"), partner.create("adv123", "vip")
    refused = await connect(http, settings, region="EU")
    assert isinstance(refused, Refused)
    assert first.external_id in refused.reason
    assert second.external_id in refused.reason
    partner.create("adv123", "other", region="US")
    assert "region" in (await connect(http, settings, region="EU", name="other")).reason
    assert len(partner.segments) == 3


async def test_a_create_call_without_answer_is_looked_for_and_not_repeated(partner, settings, http):
    """It had worked: the name is in the list now."""
    partner.faults.add(Reset(target="create", carried_out=True))
    connected = await connect(http, settings, region="EU")
    assert (connected.origin, list(partner.segments)) == ("partner", [connected.external_id])
    assert partner.calls() == ("list", "create", "list", "list")


async def test_a_create_call_that_failed_is_tried_again_later(partner, settings, http):
    """The next attempt begins with the list, too."""
    partner.faults.add(Status(status=500, target="create"))
    assert isinstance(await connect(http, settings, region="EU"), Unreachable)
    assert (await connect(http, settings, region="EU")).origin == "created"


async def test_two_that_need_the_same_segment_make_it_once(partner, settings, http):
    """The second finds what the first has made; the lists of two names are asked for side by side."""
    notes = FreshNotes()
    first, second = await asyncio.gather(*(connect(http, settings, notes, region="EU") for _ in range(2)))
    assert {first.origin, second.origin} == {"created", "kept"}
    assert first.external_id == second.external_id
    assert partner.calls() == ("list", "create")


async def test_a_list_refused_keeps_an_id_from_being_verified(partner, settings, http):
    """And one that names the id under another name, then an empty page, is good."""
    segment = partner.create("adv123", "another name")
    partner.faults.add(Refusal(status=400, target="list"))
    assert isinstance(await connect(http, settings, external_id=segment.external_id), Refused)
    assert (await connect(http, settings, external_id=segment.external_id)).origin == "mapping"
    assert partner.calls() == ("list", "list", "list")


@pytest.mark.parametrize(
    ("given", "word"),
    [({"name": " ", "region": "EU"}, "MISSING_REQUIRED_FIELD"), ({}, "region"), ({"region": "eu"}, "region")],
)
async def test_a_segment_needs_name_and_region_before_any_call(partner, settings, http, given, word):
    """Regions are in capitals."""
    refused = await connect(http, settings, **given)
    assert word in refused.reason
    assert len(partner.log) == 0


async def test_verifying_looks_at_ids_only(partner, settings, http):
    """Two segments of one name are fine; an unknown id is refused, naming id and advertiser."""
    one, _two = partner.create("adv123", "vip"), partner.create("adv123", "vip")
    assert await connect(http, settings, external_id=one.external_id) == AudienceFound(
        external_id=one.external_id, origin="mapping"
    )
    refused = await connect(http, settings, external_id="nosuch1")
    assert "INVALID_REQUEST_DATA" in refused.reason
    assert "nosuch1" in refused.reason
    assert "adv123" in refused.reason
    partner.faults.add(Refusal(status=400, target="list"))
    assert isinstance(await connect(http, settings, external_id=one.external_id), Refused)
    assert "CrmDataId" in (await connect(http, settings, external_id="../../x")).reason


async def test_a_segment_that_is_gone_is_told_and_made_anew_by_the_next_run(partner, settings, http):
    """A drop is answered 404: the list decides. With `create` what was remembered is forgotten."""
    notes = FreshNotes()
    owed = run_of(create=True, region="EU")
    await performed(http, settings, owed, people(1500), notes=notes)
    (gone,) = partner.segments
    del partner.store.by_id[gone]
    done = await performed(http, settings, owed, people(1500), notes=notes)
    assert isinstance(done.outcomes[0], Refused)
    assert gone in done.outcomes[0].reason
    assert (await performed(http, settings, owed, people(1500), notes=notes)).outcomes == (Delivered(),)
    partner.faults.add(Refusal(status=404, target="drop"))
    assert isinstance((await performed(http, settings, owed, people(1500), notes=notes)).outcomes[0], Unreachable)


async def test_which_external_id(partner, settings, http):
    """The operator's, else what was made, else the event's; never one that the gateway gave out."""
    mine, theirs = partner.create("adv123", "mine"), partner.create("adv123", "theirs")
    await performed(http, settings, run_of(external_id=mine.external_id, event_id=theirs.external_id), people(1500))
    assert len(mine.members) == 1500
    await performed(http, settings, run_of(event_id=theirs.external_id, create=True, region="EU"), people(1500))
    assert len(theirs.members) == 1500
    from gateway.core.audience_ids import PREFIX

    none = await performed(http, settings, run_of(event_id=f"{PREFIX}abc"), people(1500))
    assert (none.requests, "no external id" in none.outcomes[0].reason) == (0, True)
    (_, first), *rest = people(1500)
    rows = [("user_id:0", {**first, "external_id": theirs.external_id}), *rest]
    bare = msgspec.structs.replace(run_of(), payload={})
    assert (await performed(http, settings, bare, rows)).outcomes == (Delivered(),)


# --- Faults ---

API_FAULTS = [
    (Refusal(status=401), Unauthorized), (Refusal(status=403), Unauthorized), (Refusal(status=429), Deferred),
    (Refusal(status=429, bare=True, retry_after=7), Deferred), (Refusal(status=400, property_name="PiiType"), Refused),
    (Refusal(status=422), Refused), (Refusal(status=501), Refused), (Refusal(status=408), Unreachable),
    (Refusal(status=423), Unreachable), (Status(status=503), Unreachable), (Down(), Unreachable), (Reset(), Unreachable),
    (Refusal(status=409), Refused), (Refusal(status=410), Refused), (Refusal(status=418), Refused),
    (Refusal(status=500), Unreachable), (Refusal(status=502), Unreachable), (Refusal(status=504), Unreachable),
    (Reset(carried_out=True), Unreachable), (Status(status=505), Unreachable),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "kind"), API_FAULTS)
async def test_faults_of_the_api(partner, settings, http, fault, kind):
    """A login refused holds the lane, 429 waits, what passes is tried again, the rest is refused whole."""
    segment = partner.create("adv123", "VIP customers")
    partner.faults.add(fault)
    done = await performed(http, settings, run_of(external_id=segment.external_id), people(1500))
    (outcome,) = done.outcomes
    assert type(outcome) is kind
    assert done.requests == 1
    match outcome:
        case Deferred():
            assert outcome.wait_s == (7 if fault.bare else 30)
        case Refused():
            assert not outcome.splittable
            assert ("PiiType" in outcome.reason) == (fault.property_name == "PiiType")
            assert "told" not in outcome.reason
        case _:
            assert outcome.reason


UPLOAD_FAULTS = [
    (StorageRefusal(status=503, code="SlowDown"), Unreachable), (StorageRefusal(status=405, code="MethodNotAllowed"), Refused),
    (StorageRefusal(status=411, code="MissingContentLength"), Refused),
    (StorageRefusal(status=400, code="EntityTooLarge"), Refused), (Reset(), Unreachable),
    (StorageRefusal(status=400, code="RequestTimeout"), Unreachable), (StorageRefusal(status=503), Unreachable),
    (StorageRefusal(status=500, code="InternalError"), Unreachable), (StorageRefusal(status=408, code="X"), Unreachable),
    (StorageRefusal(status=429, code="X"), Unreachable), (StorageRefusal(status=401, code="X"), Refused),
    (StorageRefusal(status=501, code="NotImplemented"), Refused), (StorageRefusal(status=400, code="X"), Refused),
    (StorageRefusal(status=404, code="X"), Refused), (Status(status=302), Refused),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "kind"), UPLOAD_FAULTS)
async def test_faults_of_the_storage_host(partner, settings, http, fault, kind):
    """None of them is about the login; the next attempt begins with a new address."""
    segment = partner.create("adv123", "VIP customers")
    partner.faults.add(msgspec.structs.replace(fault, target="upload"))
    owed = run_of(external_id=segment.external_id)
    done = await performed(http, settings, owed, people(1500))
    assert type(done.outcomes[0]) is kind
    assert segment.members == frozenset()
    assert (await performed(http, settings, owed, people(1500))).outcomes == (Delivered(),)
    assert partner.calls() == ("drop", "upload", "drop", "upload")


async def test_a_stale_address_is_asked_for_anew_once(partner, settings, http):
    """403 at the upload is no login problem; twice in a row is tried again later."""
    segment = partner.create("adv123", "VIP customers")
    owed = run_of(external_id=segment.external_id)
    partner.faults.add(StorageRefusal(status=403, code="AccessDenied", target="upload"))
    assert (await performed(http, settings, owed, people(1500))).outcomes == (Delivered(),)
    assert partner.calls() == ("drop", "upload", "drop", "upload")
    partner.faults.add(StorageRefusal(status=403, code="AccessDenied", target="upload", times=2))
    (outcome,) = (await performed(http, settings, owed, people(1500))).outcomes
    assert isinstance(outcome, Unreachable)
    assert outcome.status == 403
    assert len(partner.log) == 8


async def test_too_large_a_file_is_refused(partner, settings, http):
    """By the storage host's rule."""
    segment = partner.create("adv123", "VIP customers")
    partner.configure(b'{"size_max": 1000}')
    (outcome,) = (await performed(http, settings, run_of(external_id=segment.external_id), people(1500))).outcomes
    assert isinstance(outcome, Refused)
    assert "EntityTooLarge" in outcome.reason


async def test_an_upload_without_answer_is_repeated_harmlessly(partner, settings, http):
    """It had arrived, and was sent once: the list is the same after the second time."""
    segment = partner.create("adv123", "VIP customers")
    owed = run_of(external_id=segment.external_id)
    partner.faults.add(Reset(target="upload", carried_out=True))
    (outcome,) = (await performed(http, settings, owed, people(1500))).outcomes
    assert isinstance(outcome, Unreachable)
    assert outcome.sent
    assert partner.calls() == ("drop", "upload")
    await performed(http, settings, owed, people(1500))
    assert len(segment.members) == 1500


async def test_nobody_is_in_reasons_summaries_or_logs(partner, settings, http, caplog, capsys):
    """Addresses in clear, faults of every kind, a host that answers nothing."""
    segment = partner.create("adv123", "VIP customers")
    owed = run_of(pii_type=EMAIL, external_id=segment.external_id)
    texts = []
    with structlog.testing.capture_logs() as logs, caplog.at_level(0):
        for fault in (
            Refusal(status=400),
            Timeout(hold_s=0),
            StorageRefusal(status=404, code="X", target="upload"),
            Down(),
        ):
            partner.faults.add(fault)
            done = await performed(http, settings, owed, people(1500, pii_type=EMAIL))
            texts.append(str(done))
    told = "".join([*texts, str(logs), caplog.text, *capsys.readouterr()])
    assert "example.org" not in told
    assert "sandbox-token" not in told


# --- What is refused before any call ---


async def test_single_changes_are_not_sent(partner, settings, http):
    """Forwarding is not for a platform of whole lists, and the answer says so."""
    for operation in ("enter", "exit", "send", "delete"):
        owed = msgspec.structs.replace(run_of(external_id="cc9b84o"), operation=operation)
        done = await performed(http, settings, owed, people(1500))
        assert "whole lists only" in done.outcomes[0].reason
    assert len(partner.log) == 0


@pytest.mark.parametrize(
    ("owed", "word"),
    [
        (run_of(pii_type="MD5", external_id="a"), "pii_type"),
        (run_of(external_id="a", region="eu"), "region"),
        (run_of(external_id="a/b"), "CrmDataId"),
        (run_of(), "PAYLOAD_VALIDATION_FAILED"),
    ],
)
async def test_what_cannot_be_sent(partner, settings, http, owed, word):
    """Each with its sentence; no call."""
    done = await performed(http, settings, owed, people(1500))
    assert word in done.outcomes[0].reason
    assert (done.requests, len(partner.log)) == (0, 0)


async def test_a_run_without_a_snapshot_is_refused(settings, http):
    """It would be a fault of ours."""
    batch = Batch(action="syncAudience", settings=settings, owed=(run_of(external_id="a"),), corrections=frozenset())
    done = await THE_TRADE_DESK.perform(batch, Context(http=http, notes=FreshNotes(), now_us=0))
    assert "no snapshot" in done.outcomes[0].reason


async def test_the_credentials_test(partner, settings, http):
    """A list is good; a refusal is told with status and phrase."""
    context = Context(http=http, notes=FreshNotes(), now_us=0)
    assert await THE_TRADE_DESK.test(settings, context) == []
    problems = await THE_TRADE_DESK.test({**settings, "auth_token": "wrong"}, context)
    assert "403 Forbidden" in problems[0]
    assert "404" in (await THE_TRADE_DESK.test({**settings, "advertiser_id": "no one"}, context))[0]


async def test_the_upload_address_is_used_byte_for_byte(partner, settings, http):
    """One that a client would tidy up: encoded slashes and pluses, an empty last pair. The fake compares raw bytes."""
    segment = partner.create("adv123", "VIP customers")
    await performed(http, settings, run_of(external_id=segment.external_id), people(1500))
    drop = partner.drops[0]
    assert drop.url.endswith("&")
    assert "%2F" in drop.url
    assert "%2B" in drop.url
    tidied = drop.url.removesuffix("&")
    answer = await http.send(Request(method="PUT", url=tidied, headers={"Content-Type": "text/plain"}, body=b"x"))
    assert answer.status == 403


@pytest.mark.parametrize("configuration", [TheTradeDeskConfiguration(process_at_once=False)])
async def test_an_upload_takes_effect_later(partner, settings, http):
    """Delivered means taken, not yet in effect."""
    segment = partner.create("adv123", "VIP customers")
    done = await performed(http, settings, run_of(external_id=segment.external_id), people(1500))
    assert (done.outcomes, len(segment.members)) == ((Delivered(),), 0)
    partner.process()
    assert len(segment.members) == 1500
