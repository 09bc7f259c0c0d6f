"""Segment's unmodified Node SDK, pointed at the gateway. Left out, and said so, where Node or the package cannot be had."""

import json
import shutil
import subprocess
from pathlib import Path

from ingest_harness import Gateway

from gateway.core.sources import Source

PACKAGE = "@segment/analytics-node@3"
FOLDER = Path(__file__).parents[2] / ".cache" / "node"
INSTALL_S = 120
RUN_S = 60

SCRIPT = """
const { Analytics } = require('@segment/analytics-node');
const analytics = new Analytics({ writeKey: process.argv[1], host: process.argv[2], maxRetries: 0 });
const errors = [];
analytics.on('error', (error) => errors.push(String(error.code) + ' ' + String(error.reason)));
analytics.identify({ userId: 'usr_1', traits: { email: 'ann@example.com', vip: true } });
analytics.track({ userId: 'usr_1', event: 'Bought', properties: { what: 'a 🎈', half: '\\ud800' } });
analytics.track({ anonymousId: 'anon_1', event: 'Dated', timestamp: '2020-01-01' });
analytics.page({ userId: 'usr_1', name: 'start' });
analytics.screen({ userId: 'usr_1', name: 'start' });
analytics.group({ userId: 'usr_1', groupId: 'grp_1' });
analytics.alias({ userId: 'usr_1', previousId: 'anon_1' });
for (let number = 0; number < 50; number += 1) analytics.track({ userId: 'usr_1', event: 'Repeated', properties: { number } });
analytics.closeAndFlush({ timeout: 20000 }).then(() => process.stdout.write(JSON.stringify(errors)));
"""


def installed_package() -> str:
    """ "" when the SDK can be run, else why not. Installs it once, into the repository's cache folder."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if (FOLDER / "node_modules" / "@segment" / "analytics-node").is_dir() and node:
        return ""
    if node is None or npm is None:
        return "node and npm are not installed"
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(FOLDER), PACKAGE],
        capture_output=True,
        timeout=INSTALL_S,
        check=False,
    )
    return "" if done.returncode == 0 else f"npm could not install {PACKAGE}"


def test_segments_node_sdk_delivers_every_event(tmp_path: Path, left_out: list[str]) -> None:
    """All calls, a string timestamp that passes through, half a surrogate pair, and several batches."""
    if reason := installed_package():
        left_out.append(f"Segment's Node SDK: {reason}")
        return
    with Gateway([Source(name="sdk", write_keys=("wk_sdk",))], folder=tmp_path) as gateway:
        done = subprocess.run(
            ["node", "-e", SCRIPT, "wk_sdk", f"http://127.0.0.1:{gateway.port}"],
            cwd=FOLDER,
            capture_output=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout) == []
        events = gateway.events(gateway.take())
    assert len({event.message_id for event in events}) == len(events) == 57
    assert {event.type for event in events} == {"identify", "track", "page", "screen", "group", "alias"}
    dated = next(event for event in events if event.body.get("event") == "Dated")
    assert dated.body["originalTimestamp"] == "2020-01-01"
    bought = next(event for event in events if event.body.get("event") == "Bought")
    assert bought.body["properties"] == {"what": "a 🎈", "half": "\ufffd"}
