"""Who writes to an inbox rings, and its owners hear it: ``NOTIFY`` and ``LISTEN``.

::

    sender ──row──> inbox        owner ──LISTEN──> channel of the lane
       └───after its commit───NOTIFY shard──────────────┘   look at the inbox

**Authority.** The rows. A ring is a hint: the owner looks at the inbox after each (re)connection and, whatever it hears, once a
second; so a ring that is lost costs a second and nothing else.

**Cost.** ``NOTIFY`` makes its transaction hold a lock of the whole server until its commit is on disk (``PreCommit_Notify`` in
PostgreSQL's ``async.c``), so all that ring would be synced one after another, other programs' too. Therefore it is a
statement of its own, after the commit that it tells of, and asks for no sync: there is nothing in it to lose. History is
committed without a ring: an owner does not ring for itself.

**A connection of its own.** What is heard comes between statements; and one that was silently cut is found out by asking.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from raywf.core.ids import shard_of
from raywf.errors import StoreUnavailable
from raywf.journal.addresses import take_apart
from raywf.journal.postgres import making
from raywf.journal.postgres.link import Link

ASK_S = 10.0
"""How often the connection is asked whether it is still there."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


async def ring(db: Any, schema: str, lane: str, execution: str) -> None:
    """Tell the owner of an execution that its inbox has something."""
    # set_config(…, true) is for this statement's own transaction
    sql = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"
    await db.execute(sql, channel(schema, lane), str(shard_of(execution)))


def channel(schema: str, lane: str) -> str:
    """Where the rings of a lane are heard: a name that any lane fits into (PostgreSQL's have 63 bytes at most)."""
    return "raywf_" + hashlib.sha256(f"{schema}\0{lane}".encode()).hexdigest()[:32]


class PostgresBell:
    """Hears the rings of some lanes. Belongs to one event loop."""

    def __init__(self, url: str, lanes: Sequence[str]) -> None:
        self._schema = take_apart(url)[1]
        self._channels = [channel(self._schema, lane) for lane in lanes]
        self._link = Link(url, self._prepare)
        self._ring: Callable[[int | None], None] = lambda shard: None
        self._lost = asyncio.Event()
        self.is_heard = False

    async def listen(self, ring: Callable[[int | None], None]) -> None:
        """Call ``ring`` with the shard of each ring, and with None when there may be something of any shard. Returns when
        it is cancelled; meanwhile it connects again for as long as it takes."""
        self._ring = ring
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                self._lost.clear()
                try:
                    await self._link.run(lambda db: db.execute("SELECT 1"))
                    wait_s = ASK_S
                    pause_s = _FIRST_PAUSE_S
                except StoreUnavailable:
                    self.is_heard = False
                    wait_s, pause_s = pause_s, min(pause_s * 2, _LONGEST_PAUSE_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._lost.wait(), wait_s)
                    await asyncio.sleep(_FIRST_PAUSE_S)
        finally:
            self.is_heard = False
            await self._link.close()

    async def _prepare(self, db: Any) -> None:
        await making.require(db, self._schema, self._link.shown)
        db.add_termination_listener(self._gone)
        for name in self._channels:
            await db.add_listener(name, self._rung)
        self.is_heard = True
        self._ring(None)  # what was sent before is not rung for

    def _rung(self, db: Any, pid: int, channel: str, shard: str) -> None:
        self._ring(int(shard) if shard.isdigit() else None)

    def _gone(self, db: Any) -> None:
        self.is_heard = False
        self._lost.set()
