"""One server for all tests of a module that need no limits of their own."""

from collections.abc import Iterator

import fixtures_manifest as manifest
import pytest
from ingest_harness import Gateway, webhook

from gateway.core.sources import Source, WebhookAuth

SOURCES = (
    Source(name="server", write_keys=(manifest.SERVER_KEY,)),
    Source(name="browser", kind="browser", write_keys=(manifest.BROWSER_KEY,), origins=("https://shop.example.com",)),
    Source(name="disabled", write_keys=("wk_disabled",), enabled=False),
    Source(name="strict", write_keys=("wk_strict",), strict_limits=True, auth=WebhookAuth(none=True)),
    Source(name="slow", write_keys=("wk_slow",), rate_per_s=0.5),
    webhook(manifest.WEBHOOK_SOURCE),
    webhook("signed", x_signature=("an older secret", manifest.SHARED_SECRET)),
    Source(
        name="extras",
        kind="webhook",
        auth=WebhookAuth(x_signature=(manifest.SHARED_SECRET,)),
        extras_keys=("region", "team"),
    ),
    Source(
        name="signed-whole",
        kind="webhook",
        auth=WebhookAuth(x_signature=(manifest.SHARED_SECRET,)),
        require_full_signature=True,
    ),
    webhook("tokened", path_token=("tok-1", "tok-2")),
    webhook("bearer", bearer=("b-1", "b-2")),
    webhook("basic", basic=(("ann", "pass:word"),)),
    webhook("header", header=(("X-Shop", ("one", "two")),)),
    webhook("standard", standard_webhooks=("whsec_c2VjcmV0IG9mIGV4YW1wbGUgaG9va3M=",)),
    webhook("jitsu", jitsu_signature=("jitsu secret",)),
    webhook("both", bearer=("b-1",), path_token=("tok-1",)),
    Source(name="off", kind="webhook", enabled=False, auth=WebhookAuth(none=True)),
    Source(name="mparticle", kind="webhook", format="mparticle", auth=WebhookAuth(none=True)),
    Source(name="unset", kind="webhook"),
)


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with Gateway(SOURCES, metrics_token="tok-admin") as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """The module's server, its inbox empty."""
    running.take()
    running.inbox.failing = None
    return running
