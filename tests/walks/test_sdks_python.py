"""Unmodified Python SDKs of two vendors, pointed at the gateway: they flush without an error and every event is kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ingest_harness import Gateway
from rudderstack.analytics.client import Client as RudderClient
from segment.analytics.client import Client as SegmentClient

from gateway.core.events import Event
from gateway.core.sources import Source

KEY = "wk_sdk"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway([Source(name="sdk", write_keys=(KEY,))], folder=tmp_path) as running:
        yield running


def send_everything(client: Any) -> None:
    """One of each call, a float that is no number, and a numeric id."""
    client.identify("usr_1", {"email": "ann@example.com", "vip": True})
    client.track("usr_1", "Bought", {"price": float("nan"), "what": "a 🎈"})
    client.track(12345678901234567890, "Numbered")
    client.page("usr_1", "shop", "start")
    client.screen("usr_1", "app", "start")
    client.group("usr_1", "grp_1", {"plan": "pro"})
    client.alias("anon_1", "usr_1")
    for number in range(250):
        client.track("usr_1", "Repeated", {"number": number})
    client.flush()
    client.join()


def read(gateway: Gateway) -> list[Event]:
    return gateway.events(gateway.take())


@pytest.mark.parametrize("is_zipped", [False, True])
def test_segments_python_sdk_delivers_every_event(gateway: Gateway, is_zipped: bool) -> None:
    """Several batches, plain and gzipped; NaN becomes null, ids keep their digits."""
    errors: list[Any] = []
    client = SegmentClient(
        KEY,
        host=f"http://127.0.0.1:{gateway.port}",
        on_error=lambda error, items: errors.append((error, items)),
        gzip=is_zipped,
        max_retries=0,
    )
    send_everything(client)
    events = read(gateway)
    assert errors == []
    assert sorted({event.type for event in events}) == ["alias", "group", "identify", "page", "screen", "track"]
    assert len({event.message_id for event in events}) == len(events) == 257
    bought = next(event for event in events if event.body.get("event") == "Bought")
    assert (bought.body["properties"], bought.warnings) == ({"price": None, "what": "a 🎈"}, ("non_finite_number",))
    assert any(event.body.get("userId") == "12345678901234567890" for event in events)


def test_rudderstacks_python_sdk_delivers_every_event(gateway: Gateway) -> None:
    """Gzipped by default, traits of an identify in its context only."""
    errors: list[Any] = []
    client = RudderClient(
        KEY,
        host=f"http://127.0.0.1:{gateway.port}",
        on_error=lambda error, items: errors.append((error, items)),
        gzip=True,
        max_retries=0,
    )
    send_everything(client)
    events = read(gateway)
    assert errors == []
    assert len({event.message_id for event in events}) == len(events) == 257
    identify = next(event for event in events if event.type == "identify")
    context = identify.body["context"]
    assert isinstance(context, dict)
    assert context["traits"] == {"email": "ann@example.com", "vip": True}


def test_a_wrong_key_is_given_up_at_once(gateway: Gateway) -> None:
    """A permanent refusal that the SDK understands: one attempt, one error, no endless retry."""
    errors: list[Any] = []
    client = SegmentClient(
        "wk_wrong",
        host=f"http://127.0.0.1:{gateway.port}",
        on_error=lambda error, _: errors.append(error),
        max_retries=3,
    )
    client.track("usr_1", "Lost")
    client.flush()
    client.join()
    assert [error.status for error in errors] == [401]
    assert read(gateway) == []
