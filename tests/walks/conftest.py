"""A sandbox in a thread and a gateway in processes of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from walks_running import Walk

from gateway.sandbox.server import SandboxThread
from gateway.sandbox.stackadapt import StackAdapt


@pytest.fixture
def partner() -> StackAdapt:
    """The fake StackAdapt behind the walk."""
    return StackAdapt()


@pytest.fixture
def walk(tmp_path: Path, partner: StackAdapt) -> Iterator[Walk]:
    """A project folder that points at the sandbox; nothing runs yet."""
    with SandboxThread([partner], port=0, upload_port=0) as sandbox:
        made = Walk(tmp_path / "project", sandbox.url)
        yield made
        made.stop()
