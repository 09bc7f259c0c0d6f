"""The sandbox's own API and pages: reading, waiting, arming faults, configuring; for programs and for people."""

import asyncio
import re

import msgspec
import pytest
from sandbox_documents import GRAPHQL, PLAN, mutation, profile, profiles_field, upsert

from gateway.sandbox.request_log import REQUESTS_MAX
from gateway.sandbox.stackadapt import StackAdaptConfiguration

pytestmark = pytest.mark.anyio
CONTROL = "/sandbox/stackadapt"
EVIL = '<script>alert("x")</script>'


async def test_the_state_shows_profiles_memberships_mappings_and_counters(client, post):
    """Everything a test in another process asserts on."""
    await post(upsert(profile(plan="pro"), profile("kit@shop.example", "exit", user_id="u-9"), entries=[PLAN]))
    state = (await client.get(f"{CONTROL}/state")).json()
    assert state["profiles_total"] == 2
    assert state["profiles"][0] == {
        "advertiser_id": "12345",
        "provider": "segment_io",
        "email": "mei@shop.example",
        "external_id": "u-204",
        "is_opted_in": True,
        "values": {"email": "mei@shop.example", "plan": "pro"},
    }
    assert state["audiences"] == {
        "aud_7Hx": {
            "name": "cart_rescue",
            "in_total": 1,
            "out_total": 1,
            "in": [{"advertiser_id": "12345", "email": "mei@shop.example"}],
            "out": [{"advertiser_id": "12345", "email": "kit@shop.example"}],
        }
    }
    assert [entry["incomingKey"] for entry in state["profile_mappings"][0]["entries"]][-1] == "plan"
    assert len(state["audience_mappings"][0]["entries"]) == 2
    assert state["counters"] == {
        "requests": 1,
        "profiles": 2,
        "replays": 0,
        "user_errors": 0,
        "violations": 0,
        "dropped": 0,
        "deleted": 0,
        "faults": 0,
        "status_200": 1,
    }
    short = (await client.get(f"{CONTROL}/state?limit=1")).json()
    assert (len(short["profiles"]), short["profiles_total"]) == (1, 2)


async def test_a_request_is_logged_with_raw_body_headers_and_decoded_profiles(client, post):
    """As it came and as it was understood."""
    document = mutation(profiles_field([profile()]))
    await post(document)
    (logged,) = (await client.get(f"{CONTROL}/requests")).json()["requests"]
    assert (logged["method"], logged["path"], logged["status"], logged["is_done"]) == ("POST", "/graphql", 200, True)
    assert ["authorization", "Bearer sandbox-token"] in logged["headers"]
    assert msgspec.json.decode(logged["body"]) == {"query": document}
    (field,) = logged["fields"]
    assert field["name"] == "upsertProfiles"
    assert field["arguments"]["input"]["profiles"] == [profile()]
    assert [violation["rule"] for violation in logged["violations"]] == ["root_fields"]


@pytest.mark.parametrize("configuration", [StackAdaptConfiguration(record="counts")])
async def test_a_light_log_keeps_counts_and_violations_but_no_bodies(client, post, partner):
    """For throughput tests."""
    await post(mutation(profiles_field([profile()])))
    (logged,) = (await client.get(f"{CONTROL}/requests")).json()["requests"]
    assert (logged["body"], logged["headers"], logged["fields"]) == (None, [], [])
    assert logged["body_bytes"] > 100
    assert logged["violations"]
    assert partner.counts()["profiles"] == 1
    assert (await client.get("/stackadapt")).status_code == 200


async def test_the_log_keeps_the_latest_requests_only(client, partner):
    """Its bound is REQUESTS_MAX; numbers go on."""
    for _ in range(REQUESTS_MAX + 5):
        partner.log.arrived(method="POST", path="/graphql", headers=())
    assert len(partner.log) == REQUESTS_MAX
    assert next(iter(partner.log)).number == 6
    answer = await client.get(f"{CONTROL}/requests?limit=2")
    assert [logged["number"] for logged in answer.json()["requests"]] == [REQUESTS_MAX + 4, REQUESTS_MAX + 5]


async def test_the_log_drops_the_oldest_bodies_first(partner, monkeypatch):
    """Bytes are bounded as well as entries."""
    monkeypatch.setattr("gateway.sandbox.request_log.LOGGED_BYTES_MAX", 10)
    kept = [partner.log.arrived(method="POST", path="/", headers=()) for _ in range(3)]
    for logged in kept:
        partner.log.keep_body(logged, b"12345")
    assert [logged.body for logged in kept] == [None, b"12345", b"12345"]


async def test_a_poll_waits_for_the_next_version(client, post, partner):
    """It returns with the change, not with the clock."""
    version = (await client.get(f"{CONTROL}/state")).json()["version"]
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(client.get(f"{CONTROL}/state?after_version={version}&wait_s=10"))
        while not partner.changes._waiting:  # noqa: ASYNC110 - nothing tells that somebody waits
            await asyncio.sleep(0)
        await post(upsert(profile()))
    assert waiting.result().json()["version"] > version
    past = await client.get(f"{CONTROL}/state?after_version=0")
    assert past.json()["version"] >= waiting.result().json()["version"]


async def test_a_poll_without_a_change_returns_the_state_as_it_is(client):
    """After `wait_s`."""
    state = (await client.get(f"{CONTROL}/state?after_version=1000&wait_s=0.01")).json()
    assert state["version"] < 1000


async def test_waiting_in_process_ends_with_the_change_or_with_a_timeout(post, partner):
    """The same feed, without HTTP."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(partner.wait_for(lambda: len(partner.members("aud_7Hx")) == 2))
        for email in ("a@shop.example", "b@shop.example"):
            await post(upsert(profile(email)))
    with pytest.raises(TimeoutError):
        await partner.wait_for(lambda: False, timeout_s=0.01)


async def test_faults_are_armed_listed_and_cleared(client, post, partner):
    """By JSON."""
    body = {"kind": "status", "status": 429, "body": "html", "retry_after": 7, "times": 2, "target": "upsertProfiles"}
    armed = await client.post(f"{CONTROL}/faults", json=body)
    assert armed.status_code == 201
    assert armed.json() == {"number": 1, "left": 2, "fault": body | {"carried_out": False}}
    assert (await post(upsert(profile()))).status_code == 429
    assert (await client.get(f"{CONTROL}/faults")).json()["faults"] == [armed.json() | {"left": 1}]
    assert (await client.delete(f"{CONTROL}/faults")).json() == {"faults": []}
    assert partner.faults.armed == ()


KINDS = [
    "latency",
    "bandwidth",
    "slow_close",
    "timeout",
    "reset",
    "slices",
    "truncate",
    "down",
    "status",
    "errors",
]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_fault_can_be_armed_by_its_name_alone(client, partner, kind):
    """All other keys have defaults."""
    assert (await client.post(f"{CONTROL}/faults", json={"kind": kind})).status_code == 201
    assert [armed.fault.kind for armed in partner.faults.armed] == [kind]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b"{}", b'{"kind": "gremlin"}', b'{"kind": "latency", "delay": 1}', b'{"kind": "latency", "delay_s": -1}',
        b'{"kind": "latency", "delay_s": 1e9}', b'{"kind": "status", "status": 99}', b'{"kind": "status", "times": 0}',
        b'{"kind": "status", "retry_after": "a\\nb"}', b'{"kind": "user_errors"}', b'{"kind": "bandwidth", "bytes_per_s": 0}',
    ],
)  # fmt: skip
async def test_a_fault_that_makes_no_sense_is_refused_with_a_reason(client, partner, body):
    """Unknown kinds and keys, numbers out of bounds, a header that would break."""
    answer = await client.post(f"{CONTROL}/faults", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert partner.faults.armed == ()


async def test_every_form_of_the_page_arms_its_fault(client, partner):
    """Sent as a browser would send it, untouched, each form works and leads back to the page."""
    page = (await client.get("/stackadapt")).text
    forms = re.findall(r'<form method="post" action="/sandbox/stackadapt/faults">(.*?)</form>', page, re.DOTALL)
    assert len(forms) == len(KINDS) + 1
    for form in forms:
        filled = dict(re.findall(r'<input[^>]* name="(\w+)" value="([^"]*)"', form))
        for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', form, re.DOTALL):
            value, text = re.findall(r'<option(?: selected)?(?: value="([^"]*)")?(?: selected)?>([^<]*)', options)[0]
            filled[name] = value or ("" if text == "any request" else text)
        answer = await client.post(f"{CONTROL}/faults", data=filled | {"times": "null"})
        assert (answer.status_code, answer.headers.get("location")) == (303, "/stackadapt"), filled
    assert {armed.fault.kind for armed in partner.faults.armed} == {*KINDS, "user_errors"}
    assert {armed.left for armed in partner.faults.armed} == {None}
    assert (await client.post(f"{CONTROL}/faults/clear", data={"x": ""})).status_code == 303
    assert partner.faults.armed == ()


async def test_json_that_curl_calls_a_form_is_read_as_json(client, partner):
    """`curl -d '{…}'`, as the docs have it."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.post(f"{CONTROL}/faults", content=b'{"kind": "down", "times": 2}', headers=form)
    assert (answer.status_code, answer.json()["left"], len(partner.faults.armed)) == (201, 2, 1)


async def test_configuration_is_laid_over_key_by_key(client, partner):
    """What is not named stays."""
    answer = await client.post(f"{CONTROL}/config", json={"advertisers": [{"id": "7", "name": "Seven"}]})
    assert answer.json()["advertisers"] == [{"id": "7", "name": "Seven"}]
    assert partner.configuration.tokens == StackAdaptConfiguration().tokens
    assert (await client.get(f"{CONTROL}/config")).json() == answer.json()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"surprise": 1}',
        b'{"record": "all"}',
        b'{"unfit_status": 500}',
        b'{"advertisers": [{"id": "x", "name": ""}]}',
    ],
)
async def test_a_bad_configuration_changes_nothing(client, partner, body):
    """It is refused whole."""
    assert (await client.post(f"{CONTROL}/config", content=body)).status_code == 400
    assert partner.configuration == StackAdaptConfiguration()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/sandbox/nobody/state", 404),
        ("POST", f"{CONTROL}/nothing", 404),
        ("GET", f"{CONTROL}/state?limit=x", 400),
        ("GET", f"{CONTROL}/state?after_version=0&wait_s=1000", 400),
        ("GET", f"{CONTROL}/state?limit=nan", 400),
        ("GET", f"{CONTROL}/reset", 404),
        ("GET", "/nowhere", 404),
    ],
)
async def test_calls_that_make_no_sense_are_refused(client, method, path, status):
    """With a status that says why."""
    answer = await client.request(method, path)
    assert answer.status_code in (status, 405)


async def test_other_sites_may_not_change_the_sandbox(client, partner):
    """A page elsewhere could post a form to this machine; browsers say so."""
    answer = await client.post(f"{CONTROL}/faults", data={"kind": "down"}, headers={"sec-fetch-site": "cross-site"})
    assert (answer.status_code, partner.faults.armed) == (403, ())


async def test_the_control_api_bounds_its_bodies(client):
    """A mebibyte is plenty."""
    assert (await client.post(f"{CONTROL}/config", content=b" " * (1024 * 1024 + 1))).status_code == 413


async def test_the_page_shows_people_requests_violations_and_faults(client, post):
    """In and out, problems in red, what is armed."""
    await post(mutation(profiles_field([profile(), profile("kit@shop.example", "exit")])))
    await client.post(f"{CONTROL}/faults", json={"kind": "latency", "times": 3})
    page = (await client.get("/stackadapt")).text
    for text in (
        "mei@shop.example",
        '<li class="out">kit@shop.example',
        "1 in",
        "1 out",
        "root_fields",
        "3 more",
        "latency",
    ):
        assert text in page
    assert "sandbox-token" in page


async def test_everything_on_the_page_is_escaped(client, post):
    """Names, ids and bodies come from outside."""
    await post(upsert(profile(audience=EVIL, name=EVIL, user_id=EVIL)))
    await client.post("/stackadapt/" + EVIL, content=EVIL.encode())
    await client.post(GRAPHQL, content=EVIL.encode(), headers={"authorization": EVIL})
    await client.post(f"{CONTROL}/faults", json={"kind": "status", "target": EVIL})
    page = (await client.get("/stackadapt")).text
    assert "alert(" in page
    assert "<script>" not in page
    assert EVIL not in page


@pytest.mark.parametrize("path", ["/", "/stackadapt"])
async def test_pages_need_nothing_from_elsewhere_and_their_policy_says_so(client, path):
    """One nonce for the page's own style and script; no address but this host's."""
    answer = await client.get(path)
    policy = answer.headers["content-security-policy"]
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
    assert policy.startswith("default-src 'none'")
    assert all(f'nonce="{nonce}"' in tag for tag in re.findall(r"<(?:style|script)[^>]*>", answer.text))
    assert not re.search(r'(?:src|href|action)="(?!/)', answer.text)
    assert " style=" not in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert (await client.get(path)).headers["content-security-policy"] != policy


async def test_a_long_request_and_a_crowd_are_cut_on_the_page(client, post):
    """A browser gets a page of a bearable size."""
    await post(upsert(*[profile(f"p{i}@shop.example") for i in range(1000)]))
    page = (await client.get("/stackadapt")).text
    assert "1000 in" in page
    assert "characters more" in page
    assert len(page) < 100_000


async def test_reading_state_does_not_disturb_the_log(client):
    """Only the partner's own traffic is logged."""
    for path in ("/", "/stackadapt", f"{CONTROL}/state", f"{CONTROL}/requests"):
        assert (await client.get(path)).status_code == 200
    assert (await client.get(f"{CONTROL}/requests")).json()["requests"] == []
