"""The admin API's own answers: who may ask, what is refused with which words, and that nothing unbounded is read."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.admin.api import BODY_BYTES_MAX, AdminApi
from gateway.admin.operations import Changed, DeadFilter, LaneShown, ReplayOrder, ReplayResult, Status
from gateway.core.errors import Problem, StoreError
from gateway.store import open_state

TOKEN = {"Authorization": "Bearer the-token"}


class Orders:
    """Operations of an engine with one lane; the store of `status` can be taken away."""

    def __init__(self) -> None:
        self.paused = False
        self.is_ready = True

    async def status(self) -> Status:
        return Status(
            ready=self.is_ready,
            rulebook="v1",
            destinations=1,
            mappings=1,
            problems=[],
            backlog_frames=0,
            backlog_age_s=0.0,
            lanes=await self.lanes(),
        )

    async def lanes(self) -> list[LaneShown]:
        standing = "paused" if self.paused else "idle"
        row = LaneShown(
            lane="us", standing=standing, reason="", due=0, in_flight=0, dead=0, paused=self.paused, hold="",
            breaker="closed", oldest_due_us=0,
        )  # fmt: skip
        return [row]

    async def set_paused(self, lane: str, *, paused: bool) -> bool:
        self.paused = paused
        return lane == "us"

    async def probe(self, lane: str) -> bool:
        return lane == "us"

    async def retry_dead(self, chosen: DeadFilter) -> Changed:
        return Changed(changed=len(chosen.ids))

    async def drop_dead(self, chosen: DeadFilter) -> Changed:
        return Changed(changed=len(chosen.ids))

    async def replay(self, order: ReplayOrder) -> ReplayResult:
        raise StoreError("The store is locked.", retry_after_s=7)

    async def reload(self) -> list[Problem]:
        return []


@pytest.fixture
def orders() -> Orders:
    """What the API orders from."""
    return Orders()


@pytest.fixture
async def api(tmp_path: Path, orders: Orders) -> AsyncIterator[httpx.AsyncClient]:
    """The app on a real, empty store."""
    state = open_state(tmp_path, disk_free_bytes_min=0)
    app = AdminApi(token="the-token", state=state, operations=orders).app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin.example.org") as client:
        yield client
    await state.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "given", [{}, {"Authorization": "Bearer other"}, {"Authorization": "Basic the-token"}, {"Authorization": "é"}]
)
async def test_nobody_asks_without_the_token(api: httpx.AsyncClient, given: dict[str, str]) -> None:
    """401 with the way to the token; health and metrics are for everybody who reaches the port."""
    headers = {name: value.encode("latin-1") for name, value in given.items()}
    for method, path in (("GET", "/api/status"), ("GET", "/api/deliveries"), ("POST", "/api/replays")):
        answer = await api.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert [(await api.get(path)).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]


REFUSED = [
    ("GET", "/api/deliveries?limit=0", None, 400, "invalid_request"),
    ("GET", "/api/deliveries?limit=1001", None, 400, "invalid_request"),
    ("GET", "/api/deliveries?after=-1", None, 400, "invalid_request"),
    ("GET", "/api/deliveries?after=" + "9" * 5000, None, 400, "invalid_request"),
    ("GET", "/api/deliveries?limit=٣", None, 400, "invalid_request"),
    ("GET", "/api/deliveries?state=lost", None, 400, "invalid_request"),
    ("GET", "/api/deliveries/1", None, 404, "unknown_delivery"),
    ("GET", "/api/deliveries/" + "9" * 30, None, 404, "unknown_delivery"),
    ("GET", "/api/deliveries/" + "9" * 5000, None, 404, "unknown_path"),
    ("POST", "/api/lanes/nowhere/pause", None, 404, "unknown_lane"),
    ("POST", "/api/lanes/no/where/resume", None, 404, "unknown_lane"),
    ("POST", "/api/lanes/nowhere/probe", None, 404, "unknown_lane"),
    ("POST", "/api/dead/retry", b"{}", 400, "no_filter"),
    ("POST", "/api/dead/drop", b"", 400, "no_filter"),
    ("POST", "/api/dead/retry", b'{"lanes": "us"}', 400, "invalid_request"),
    ("POST", "/api/dead/retry", b'{"ids": [0]}', 400, "invalid_request"),
    ("POST", "/api/dead/retry", b'{"ids": [99999999999999999999]}', 400, "invalid_request"),
    ("POST", "/api/dead/retry", b"{", 400, "invalid_request"),
    ("POST", "/api/dead/retry", b"\xff", 400, "invalid_request"),
    ("POST", "/api/dead/retry", b" " * (BODY_BYTES_MAX + 1), 413, "payload_too_large"),
    ("POST", "/api/replays", b'{"from_us": -1, "to_us": 5}', 400, "invalid_request"),
    ("POST", "/api/replays", b'{"from_us": 1, "to_us": 5}', 503, "storage_unavailable"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    REFUSED,
    ids=[f"{row[1][:40]}-{row[2] and row[2][:30]}" for row in REFUSED],
)
async def test_what_cannot_be_used_is_refused_with_a_code_and_a_sentence(
    api: httpx.AsyncClient, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    """Never a 500, never a page of HTML."""
    answer = await api.request(method, path, headers=TOKEN, content=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["success"]) == (status, code, False)
    assert answer.json()["message"]
    assert (answer.headers.get("retry-after") == "7") is (status == 503)


@pytest.mark.anyio
async def test_lanes_are_shown_paused_and_resumed(api: httpx.AsyncClient, orders: Orders) -> None:
    """Each order answers with the lane as it stands then."""
    paused = await api.post("/api/lanes/us/pause", headers=TOKEN)
    assert (paused.json()["standing"], orders.paused) == ("paused", True)
    resumed = await api.post("/api/lanes/us/resume", headers=TOKEN)
    assert (resumed.json()["standing"], orders.paused) == ("idle", False)
    assert (await api.get("/api/lanes", headers=TOKEN)).json()["lanes"] == [resumed.json()]
    assert (await api.post("/api/dead/retry", headers=TOKEN, json={"ids": [1, 2]})).json() == {"changed": 2}


@pytest.mark.anyio
async def test_an_engine_whose_store_cannot_be_used_is_not_ready(api: httpx.AsyncClient, orders: Orders) -> None:
    """503 on /readyz, while /healthz says that the process lives."""
    orders.is_ready = False
    assert ((await api.get("/readyz")).status_code, (await api.get("/healthz")).status_code) == (503, 200)
