"""The version of a fake partner's state and the ways to wait for the next one; it knows nothing of what changed."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator


class Changes:
    """A number that grows with every change, safe to read, to change and to wait on from any thread or loop."""

    def __init__(self) -> None:
        self.version = 0
        self._condition = threading.Condition(threading.RLock())
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Hold the state while it is changed, then raise the version and wake everyone who waits."""
        with self._condition:
            yield
            self.version += 1
            self._condition.notify_all()
            waiting, self._waiting = self._waiting, set()
        for loop, future in waiting:
            with contextlib.suppress(RuntimeError):  # A loop that has closed has nobody left to wake.
                loop.call_soon_threadsafe(_wake, future)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the state still while it is read from another thread than the server's."""
        with self._condition:
            yield

    async def wait_for(self, predicate: Callable[[], bool], timeout_s: float) -> None:
        """Return once `predicate` holds; it is asked now and after every change, with the state held still.

        Raises TimeoutError when it does not hold within `timeout_s`.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            while True:
                with self._condition:
                    if predicate():
                        return
                    ticket = (loop, loop.create_future())
                    self._waiting.add(ticket)
                try:
                    await ticket[1]
                finally:
                    with self._condition:
                        self._waiting.discard(ticket)

    def wait_for_blocking(self, predicate: Callable[[], bool], timeout_s: float) -> None:
        """Do as `wait_for` does, for a thread without a loop. Raises TimeoutError."""
        until = time.monotonic() + timeout_s
        with self._condition:
            if not self._condition.wait_for(predicate, until - time.monotonic()):
                raise TimeoutError(f"The sandbox did not get there within {timeout_s} s.")


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
