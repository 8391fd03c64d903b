"""Keeping leases alive from a thread of its own, and giving them up before they lapse.

Safety never depends on this: every commit asserts its epoch in the store. The lease only says when others may take
over, and when we must stop starting work that a successor may start as well.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from raywf.errors import StoreUnavailable
from raywf.ports import Clock, Journal

log = logging.getLogger("raywf.leases")
MARGIN = 0.2
"""Share of the lease that is given up at its end."""


class LeaseKeeper:
    """Renews the leases of one owner every third of their length.

    ``held`` is False from shortly before the lease would lapse until it is renewed. ``on_lost`` is called (in the
    keeper's thread) once, when the store says that this owner holds nothing any more.
    """

    def __init__(
        self, open_journal: Callable[[], Journal], owner: str, lease_s: float, clock: Clock, on_lost: Callable[[], None]
    ) -> None:
        self._open_journal = open_journal
        self._owner = owner
        self._lease_s = lease_s
        self._clock = clock
        self._on_lost = on_lost
        self._until = clock.monotonic() + lease_s * (1 - MARGIN)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="raywf-leases", daemon=True)

    @property
    def held(self) -> bool:
        return self._clock.monotonic() < self._until

    def start(self) -> None:
        self._until = self._clock.monotonic() + self._lease_s * (1 - MARGIN)
        self._thread.start()

    def stop_soon(self) -> None:
        """Renew no more; does not wait for the thread."""
        self._stop.set()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=self._lease_s)

    def _run(self) -> None:
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        journal = self._open_journal()
        try:
            while not self._stop.wait(self._lease_s / 3):
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
