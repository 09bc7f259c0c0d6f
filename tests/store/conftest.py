"""The stores that the behavioural suite runs against: today SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import store


class SqliteStores:
    """Opens everything in one data folder, and closes what a test left open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = []

    def inbox_writer(self, writer=0, **settings):
        return self._keep(store.open_inbox_writer(self.folder, writer, **settings))

    def inbox_reader(self):
        return self._keep(store.open_inbox_reader(self.folder))

    def state(self, **settings):
        return self._keep(store.open_state(self.folder, **settings))

    def _keep(self, opened):
        self._open.append(opened)
        return opened

    async def close(self):
        for opened in reversed(self._open):
            closing = opened.close()
            if closing is not None:
                await closing


STORES = [SqliteStores]


@pytest.fixture(params=STORES, ids=lambda made: made.__name__)
async def stores(request, tmp_path, anyio_backend) -> AsyncIterator[SqliteStores]:
    opened = request.param(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def state(stores):
    return stores.state()
