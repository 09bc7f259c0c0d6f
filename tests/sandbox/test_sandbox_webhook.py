"""The fake receiver of webhooks: nothing unsigned, nothing old, nothing twice."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest

from gateway.sandbox.list_partner import ListPartner
from gateway.sandbox.platforms.webhook import SECRET

pytestmark = pytest.mark.anyio


def signed(body: bytes, *, message: str = "m-1", sent_at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    at = int(time.time()) if sent_at is None else sent_at
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": f"v1a,other {signature}"}


# --- Webhooks ---


@pytest.mark.parametrize(
    "change",
    [{"sent_at": 5}, {"secret": "whsec_b3RoZXI="}, {"message": ""}],
    ids=["old", "another secret", "no id"],
)
async def test_a_call_that_is_not_signed_now_and_rightly_is_refused(
    change: dict[str, Any], partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """Nothing of it is taken."""
    body = b'{"type":"audience.member.entered","data":{"audience":{"key":"vip"},"member":{"user_id":"1"}}}'
    answer = await caller.post("/webhook/hook", content=body, headers=signed(body, **change))
    assert (answer.status_code, partners["webhook"].lists) == (401, {})


async def test_a_receiver_keeps_what_it_is_told(
    partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """By any identifier; a repeated id changes nothing; the lists of a webhook audience have names and bounds."""
    webhook = partners["webhook"]

    async def call(method: str, path: str, value: object, message: str) -> httpx.Response:
        body = b"" if value is None else json.dumps(value).encode()
        return await caller.request(method, f"/webhook{path}", content=body, headers=signed(body, message=message))

    entered: dict[str, Any] = {
        "type": "audience.member.entered",
        "data": {"audience": {"key": "vip"}, "member": {"user_id": "1", "email": "a@example.com"}},
    }
    left = {"type": "audience.member.left", "data": {"audience": {"key": "vip"}, "member": {"email": "a@example.com"}}}
    assert (await call("POST", "/hook", entered, "m-1")).status_code == 204
    assert (await call("POST", "/hook", left, "m-2")).status_code == 204
    assert (await call("POST", "/hook", entered, "m-1")).status_code == 204
    assert webhook.members("vip") == frozenset()
    wrong = [
        {"type": "other"},
        {"data": {**entered["data"], "member": {}}},
        {"data": {**entered["data"], "audience": {}}},
    ]
    for number, change in enumerate(wrong):
        assert (await call("POST", "/hook", {**entered, **change}, f"m-3{number}")).status_code == 400
    made = (await call("POST", "/audiences", {"name": "VIP"}, "m-4")).json()["id"]
    assert (await call("GET", "/audiences?name=VIP", None, "m-5")).json() == {"id": made}
    assert (await call("GET", "/audiences?name=None", None, "m-6")).status_code == 404
    people = {"members": [{"index": 0, "user_id": "1"}, {"index": 1}]}
    assert (await call("POST", f"/audiences/{made}/members/add", people, "m-7")).json()["errors"][0]["index"] == 1
    assert webhook.members(made) == {"1"}
    many = {"members": [{"user_id": str(at)} for at in range(1_001)]}
    assert (await call("POST", f"/audiences/{made}/members/add", many, "m-8")).status_code == 413
    for number, name in enumerate((None, "", 5)):
        assert (await call("POST", "/audiences", {"name": name}, f"m-9{number}")).status_code == 400
    assert (await call("DELETE", f"/audiences/{made}", None, "m-10")).status_code == 204
    assert (await call("DELETE", f"/audiences/{made}", None, "m-11")).status_code == 404
