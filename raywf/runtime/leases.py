"""Keeping leases alive beside the owner's loop, and giving them up before they lapse.

Safety never depends on this: every commit asserts its epoch in the store. The lease only says when others may take
over, and when we must stop starting work that a successor may start as well.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from raywf.errors import StoreUnavailable
from raywf.ports import Clock, Journal

log = logging.getLogger("raywf.leases")
MARGIN = 0.2
"""Share of the lease that is given up at its end."""


class Beside(Protocol):
    """Runs one piece of work beside the owner's loop, so that a loop that hangs does not hold it up."""

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None: ...

    async def pause(self, seconds: float) -> bool:
        """Called by the work: wait so long, or until it is to stop. True: stop."""
        ...

    def stop_soon(self) -> None:
        """Ask the work to stop; does not wait for it."""
        ...

    def stop(self, patience_s: float) -> None:
        """Ask the work to stop, and wait so long for it."""
        ...


class ThreadBeside:
    """``Beside`` as a thread with a loop of its own."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(work()), name="raywf-leases", daemon=True)
        self._thread.start()

    async def pause(self, seconds: float) -> bool:
        return self._stop.wait(seconds)  # nothing else runs on this loop

    def stop_soon(self) -> None:
        self._stop.set()

    def stop(self, patience_s: float) -> None:
        self._stop.set()
        thread = self._thread
        if thread is not None and thread.is_alive() and threading.current_thread() is not thread:
            thread.join(timeout=patience_s)


class LeaseKeeper:
    """Renews the leases of one owner every third of their length.

    ``held`` is False from shortly before the lease would lapse until it is renewed. ``on_lost`` is called (beside the
    owner's loop) once, when the store says that this owner holds nothing any more.
    """

    def __init__(
        self,
        open_journal: Callable[[], Journal],
        owner: str,
        lease_s: float,
        clock: Clock,
        on_lost: Callable[[], None],
        beside: Beside,
    ) -> None:
        self._open_journal = open_journal
        self._owner = owner
        self._lease_s = lease_s
        self._clock = clock
        self._on_lost = on_lost
        self._beside = beside
        self._until = clock.monotonic() + lease_s * (1 - MARGIN)

    @property
    def held(self) -> bool:
        return self._clock.monotonic() < self._until

    def start(self, claimed_at: float) -> None:
        """``claimed_at`` is the monotonic time before the claim was sent: the store counts from its arrival."""
        self._until = claimed_at + self._lease_s * (1 - MARGIN)
        self._beside.start(self._keep)

    def stop_soon(self) -> None:
        """Renew no more; does not wait for the thread."""
        self._beside.stop_soon()

    def stop(self) -> None:
        self._beside.stop(self._lease_s)

    async def _keep(self) -> None:
        journal = self._open_journal()
        try:
            while not await self._beside.pause(self._lease_s / 3):
                asked_at = self._clock.monotonic()
                try:
                    kept = await journal.renew(self._owner, self._lease_s)
                except StoreUnavailable as error:
                    log.warning("the lease could not be renewed: %s", error)
                    continue
                if not kept:
                    self._until = 0.0
                    self._on_lost()
                    return
                self._until = asked_at + self._lease_s * (1 - MARGIN)
        finally:
            await journal.close()
