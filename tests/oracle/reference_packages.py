"""Segment's npm packages, installed once into the checkout's cache; the tests and `make oracle` share them."""

import shutil
import subprocess
from pathlib import Path

PACKAGES = ("@segment/destination-subscriptions@3.37.0", "@segment/actions-core@3.170.0", "liquidjs@10.27.2")
CACHE = Path(__file__).parent.parent.parent / ".cache" / "oracle"
INSTALL_S = 300


def installed() -> tuple[Path | None, str]:
    """(folder with node_modules, "") or (None, why there is none)."""
    marker = CACHE / "installed"
    wanted = "\n".join(PACKAGES)
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None, "node or npm is not installed here"
    if marker.exists() and marker.read_text() == wanted:
        return CACHE, ""
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [
        "npm",
        "install",
        "--prefix",
        str(CACHE),
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--legacy-peer-deps",
    ]
    try:
        done = subprocess.run([*command, *PACKAGES], capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        return None, f"npm did not finish within {INSTALL_S} s"
    if done.returncode:
        return None, f"npm could not install Segment's packages: {done.stderr.strip()[-300:]}"
    marker.write_text(wanted)
    return CACHE, ""
