"""Who talks next: one client at a time, the others in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class WaitingLine:
    """Clients of one model. A client's place is the number of those before it: 0 talks, 1 is next."""

    def __init__(self) -> None:
        self._clients: list[asyncio.Event] = []

    @asynccontextmanager
    async def turn(self, tell: Callable[[int], Awaitable[None]]) -> AsyncIterator[bool]:
        """Wait for the model, which is the client's own inside the block; yields whether there was a wait.

        tell: called with each new place while waiting. Leaving the block, or being cancelled before it, moves up
        everyone behind.
        """
        moved = asyncio.Event()
        self._clients.append(moved)
        told = 0
        try:
            while place := self._clients.index(moved):
                moved.clear()
                if place != told:
                    await tell(place)
                    told = place
                await moved.wait()
            yield told > 0
        finally:
            self._clients.remove(moved)
            for client in self._clients:
                client.set()
