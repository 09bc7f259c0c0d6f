"""A canary person goes the whole way, failures included; nothing that operators read names her."""

import hashlib
import json

from walks_running import WAIT_S, Role, Walk

from gateway.sandbox.faults import Status
from gateway.sandbox.stackadapt import StackAdapt
from gateway.sandbox.stackadapt.partner_faults import Errors, UserErrors

EMAIL = "Canary.Bird@example.com"
CANARY = {
    "userId": "uid-canary-7f3a9",
    "anonymousId": "anon-canary-55d1",
    "traits": {
        "email": EMAIL,
        "phone": "+4915199887766",
        "first_name": "Kanarienvogel",
        "last_name": "Zitronengelb",
        "plan": "canarygold",
        "address": {"city": "Canaryville", "postal_code": "CNRY1"},
    },
    "context": {
        "ip": "203.0.113.77",
        "device": {"advertisingId": "AAAACANARY-0000-4000-8000-1D1D1D1D1D1D"},
        "personas": {
            "computation_class": "audience",
            "computation_id": "aud_cart_rescue",
            "computation_key": "cart_rescue",
        },
    },
}
PERSONAL = (
    "canary",  # in the addresses, ids, traits and device id above
    "15199887766",
    "kanarienvogel",
    "zitronengelb",
    "cnry1",
    "203.0.113.77",
    *(hashlib.new(name, EMAIL.lower().encode()).hexdigest() for name in ("sha256", "md5")),
    "sandbox-token",
    "walk-token",
)
ENTER = {"type": "identify", **CANARY, "traits": {**CANARY["traits"], "cart_rescue": True}}

# Mappings that fail on her in every way a mapping can fail.
BROKEN = [
    {
        "name": "No address",
        "action": "forwardAudienceEvent",
        "fields": {"marketing_status": "Opted-in", "email": {"@path": "$.traits.first_name"}},
    },
    {
        "name": "Wrong type",
        "action": "forwardAudienceEvent",
        "fields": {"marketing_status": "Opted-in", "email": {"@path": "$.traits.address"}},
    },
    {
        "name": "Broken Liquid",
        "action": "forwardAudienceEvent",
        "fields": {"marketing_status": "Opted-in", "email": {"@liquid": "{{ traits.email | round: traits.phone }}"}},
    },
    {"name": "Never", "action": "forwardAudienceEvent", "trigger": 'traits.email = "nobody@example.org"',
     "fields": {"marketing_status": "Opted-in"}},
    {"name": "Number", "action": "forwardAudienceEvent", "trigger": 'traits.first_name >= 3 or traits.email != "x"',
     "fields": {"marketing_status": "Opted-in"}, "audiences": {"other": {}}},
]  # fmt: skip

# What senders get wrong with her data in it: (path, body).
BAD: list[tuple[str, bytes]] = [
    ("/v1/identify", b'{"userId": "uid-canary-7f3a9", "traits": {"email": "Canary.Bird@example.com"'),
    ("/v1/identify", json.dumps({**ENTER, "traits": "Canary.Bird@example.com"}).encode()),
    ("/v1/identify", json.dumps({**ENTER, "userId": {"canary": EMAIL}}).encode()),
    ("/v1/track", json.dumps({**ENTER, "type": "track", "event": {"canary": 1}}).encode()),
    ("/v1/identify", json.dumps({**ENTER, "timestamp": "canary o'clock"}).encode()),
    ("/v1/identify", json.dumps({**ENTER, "userId": "canary" * 500}).encode()),
    (
        "/v1/batch",
        json.dumps({"batch": [{**ENTER, "type": "Canary.Bird@example.com"}, "canary", {"type": "track"}]}).encode(),
    ),
    ("/v1/canary/" + "uid-canary-7f3a9", b"{}"),
    ("/webhook/canary", b'["Canary.Bird@example.com"]'),
    ("/v1/identify?email=Canary.Bird%40example.com", json.dumps({**ENTER, "type": "canary"}).encode()),
]


def leaks(text: str) -> list[str]:
    """Which of her values a text names, with the words around the first."""
    plain = text.lower()
    return [text[max(0, plain.index(one) - 80) : plain.index(one) + 80] for one in PERSONAL if one in plain]


def test_nothing_that_operators_read_names_a_person(walk: Walk, partner: StackAdapt) -> None:
    """Delivered, refused with her address quoted, rejected, unauthorized, dead, replayed, restarted: all of it is searched."""
    mapping = walk.read("stackadapt.json")
    mapping["mappings"] += BROKEN
    walk.write("stackadapt.json", mapping)
    walk.start_ingest(GATEWAY_LOG_LEVEL="debug")
    engine = walk.start_engine(GATEWAY_LOG_LEVEL="debug")
    sent = {"number": 0}
    heard: dict[str, str] = {}

    def enter(**more: object) -> None:
        sent["number"] += 1
        status, _ = walk.post({**ENTER, "messageId": f"m-{sent['number']}", **more}, "/v1/identify")
        assert status == 200

    def attempted(outcome: str, *, times: int = 1) -> None:
        engine.wait_for("delivery.attempted", outcome=outcome, times=times)

    enter()
    attempted("delivered")
    enter(messageId="m-1")  # the same once more
    enter(messageId="m-1", traits={"cart_rescue": False, "email": EMAIL})  # the same id, another content
    attempted("delivered", times=2)

    quoted = (
        f"Profile {EMAIL} (uid-canary-7f3a9, +4915199887766) of Kanarienvogel Zitronengelb in Canaryville is not valid"
    )
    partner.faults.add(UserErrors(target="upsertProfiles", times=1, message=quoted, path=("input", EMAIL)))
    partner.faults.add(Errors(times=None, message=quoted))
    enter()
    attempted("refused")
    partner.faults.clear()
    partner.faults.add(Status(status=500, body="html"))
    enter()
    attempted("unreachable")
    partner.faults.clear()
    partner.faults.add(Status(status=401, times=None))
    enter()
    engine.wait_for("lane.held")
    partner.faults.clear()

    for path, body in BAD:
        heard[f"answer to {path}"] = walk.exchange(body, path).body.decode()
    wrong = {"Authorization": "Basic dWlkLWNhbmFyeS03ZjNhOTo="}
    heard["answer to bad credentials"] = walk.exchange(b"{", "/webhook/canary", key="", headers=wrong).body.decode()
    # The last event's trace is there once the one behind it is decided.
    enter()
    for path in ("/api/status", "/api/lanes", "/api/deliveries", "/api/deliveries?state=dead", "/api/attempts",
                 "/api/audiences", "/api/deliveries/1", "/api/deliveries/5", "/readyz"):  # fmt: skip
        heard[path] = json.dumps(walk.admin("GET", path)[1])
    heard["orders"] = json.dumps(
        [
            walk.admin("POST", "/api/lanes/uid-canary/pause")[0],
            walk.admin("POST", "/api/dead/retry", {"lane": "stackadapt", "nonsense": EMAIL}),
            walk.admin("POST", "/api/replays", {"from_us": EMAIL}),
        ]
    )
    for name, port, path in (("ingest", walk.port, "/metrics"), ("engine", walk.admin_port, "/metrics")):
        shown = Walk.metrics(port, path)
        assert "gateway_" in shown
        heard[f"{name} metrics"] = shown
    commands = (
        ("explain", "m-1"),
        ("explain", "m-1", "--json"),
        ("explain", "--place", "1.1.0"),
        ("tail", "--no-follow", "--limit", "100"),
        ("tail", "--no-follow", "--json"),
        ("deliveries",),
        ("dead", "--json"),
        ("lanes",),
        ("retry", "--reason", "userErrors"),
        ("replay", "--from", "2020-01-01"),
        ("doctor",),
        ("backup", "saved"),
    )
    for arguments, ran in zip(commands, walk.together(*commands), strict=True):
        heard[" ".join(arguments)] = ran.stdout + ran.stderr
    assert "cart_rescue" in heard["explain m-1"]
    assert "rejected" in heard["tail --no-follow --limit 100"]

    for role in (walk.ingest, walk.engine):
        assert role is not None
        role.kill()
    again = walk.serve("--single", GATEWAY_LOG_LEVEL="debug")
    assert walk.admin("POST", "/api/lanes/stackadapt/resume")[0] == 200
    again.wait_for("delivery.attempted")
    again.stop()
    for role in walk.roles:
        heard[f"log of process {role.process.pid}"] = _log(role)
    assert sum(len(text) for text in heard.values()) > 10_000
    found = {where: leaks(text.replace("cart_rescue", "")) for where, text in heard.items() if leaks(text)}
    assert found == {}
    revealed = walk.command("explain", "m-1", "--reveal")
    assert EMAIL in revealed.stdout


def _log(role: Role) -> str:
    role.process.wait(WAIT_S)
    return role.everything()
