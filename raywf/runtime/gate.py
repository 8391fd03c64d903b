"""The gate: starts that must ask first, because a limit is declared for them.

::

    start --ask--> waits here --admit, one transaction for everybody's--> starts --ends--> gives its slot up

The decision is ``core.admission``'s, taken in the store, so it holds across workflow actors and projects. A slot belongs to
this owner and lapses with it; whoever adopts its executions asks anew. A start without limits never comes here.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from raywf.core.admission import Slot
from raywf.core.claims import claims_of, words
from raywf.core.effects import Announce, Effect, StartAttempt, StartChild
from raywf.core.plan import LimitUse
from raywf.errors import LeaseLost, RaywfError
from raywf.ports import Clock, Journal, LimitRow
from raywf.runtime.live import Live

if TYPE_CHECKING:
    from raywf.runtime.host import Host

log = logging.getLogger("raywf.gate")
_STARTS = (StartAttempt, Announce, StartChild)
LOOK_S = 0.1
"""How soon it is seen that somebody else has given a slot up. More when many wait here: looking costs what they are."""


class _Waiting(NamedTuple):
    slot: Slot
    start: Callable[[], None]
    note: Callable[[str | None], None]


class Gate:
    """The starts of one owner that need a slot. Everything runs on the loop; nothing here raises."""

    def __init__(
        self, journal: Journal, namespace: str, owner: str, clock: Clock, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._journal = journal
        self._namespace = namespace
        self._owner = owner
        self._clock = clock
        self._loop = loop
        self._waiting: dict[str, _Waiting] = {}
        self._held: set[str] = set()
        self._asks: dict[str, Slot] = {}
        self._done: dict[str, None] = {}
        self._declared: dict[str, LimitRow] = {}
        self._noted: dict[str, tuple[str, str]] = {}
        self._kept: dict[str, list[Effect]] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def holds(self, id_: str) -> bool:
        return id_ in self._held

    def ask(
        self,
        id_: str,
        live: Live,
        task: str | None,
        limits: tuple[LimitUse, ...],
        start: Callable[[], None],
        note: Callable[[str | None], None],
    ) -> None:
        """Call ``start`` when the slot is held; ``note`` says meanwhile in words what is waited for. Raises
        ``ValueError`` where the units of a start are no number."""
        scope = {"input": json.loads(live.state.input), "tags": dict(live.row.tags)}
        claims = claims_of(limits, scope)
        for use in limits:
            known = self._declared.get(use.name)
            if known is None or known.rule != use.rule:
                self._declared[use.name] = LimitRow(self._namespace, use.name, use.rule, None)
        now = self._clock.now()
        slot = self._asks[id_] = Slot(id_, self._owner, live.row.priority, now, claims, None, live.id, task)
        self._waiting[id_] = _Waiting(slot, start, note)
        self._done.pop(id_, None)
        self._wake()

    def done(self, id_: str) -> None:
        """The slot is not needed any more, held or not."""
        known = id_ in self._held or id_ in self._waiting
        self._held.discard(id_)
        self._waiting.pop(id_, None)
        self._noted.pop(id_, None)
        self._asks.pop(id_, None)
        self._kept.pop(id_, None)
        if known:
            self._done[id_] = None
            self._wake()

    # executions of workflows that have limits

    def admit_first(self, host: Host, live: Live, effects: Sequence[Effect]) -> Sequence[Effect]:
        """Of the effects of an execution that must be admitted as a whole, those that may leave before: nothing starts."""
        id_ = str(live.key)
        if self.holds(id_):
            live.gated = False
            return effects
        starts: list[Effect] = [effect for effect in effects if isinstance(effect, _STARTS)]
        if starts and id_ in self._kept:
            self._kept[id_] += starts
        elif starts:
            self._kept[id_] = starts
            note = functools.partial(host.note_missing, live)
            self._ask_for(live, id_, functools.partial(self._admitted, host, live), note)
        return [effect for effect in effects if not isinstance(effect, _STARTS)]

    def _ask_for(self, live: Live, id_: str, start: Callable[[], None], note: Callable[[str | None], None]) -> None:
        limits = live.state.plan.limits
        try:
            self.ask(id_, live, None, limits, start, note)
        except ValueError as error:
            log.warning("execution %s counts as one unit: %s", live.id, error)
            self.ask(id_, live, None, tuple(replace(use, units=1.0) for use in limits), start, note)

    def _admitted(self, host: Host, live: Live) -> None:
        live.gated = False
        host.release(live, self._kept.pop(str(live.key), ()))

    def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        self._news.set()
        if self._task is None and not self._closed:
            self._task = self._loop.create_task(self._run(), name="raywf-gate")

    async def _run(self) -> None:
        while not self._closed:
            self._news.clear()
            pause = await self._turn() if self._waiting or self._done else None
            try:
                await asyncio.wait_for(self._news.wait(), pause)
            except TimeoutError:
                continue

    async def _turn(self) -> float:
        """One transaction. Returns after how many seconds to look again unless there is news."""
        asks, done, self._asks, self._done = self._asks, self._done, {}, {}
        began = self._clock.monotonic()
        try:
            answer = await self._journal.admit(
                self._namespace, self._owner, list(asks.values()), list(done), list(self._declared.values())
            )
        except LeaseLost:
            return 1.0
        except RaywfError as error:
            log.warning("limits cannot be asked now, trying again: %s", error)
            # What came meanwhile is newer: a start that is not wanted any more is not asked for again.
            self._asks = {id_: ask for id_, ask in asks.items() if id_ in self._waiting} | self._asks
            self._done = {id_: None for id_ in done if id_ not in self._waiting} | self._done
            return 1.0
        for id_ in answer.held:
            waiting = self._waiting.pop(id_, None)
            if waiting is not None:
                self._held.add(id_)
                if self._noted.pop(id_, None) is not None:
                    waiting.note(None)
                waiting.start()
        for id_, why in answer.blocked.items():
            if id_ in self._waiting and self._noted.get(id_) != (why.limit, why.key):
                self._noted[id_] = (why.limit, why.key)
                self._waiting[id_].note(words(why))
        for id_, lapsed in self._waiting.items():
            if id_ not in answer.blocked and id_ not in self._asks:
                self._asks[id_] = lapsed.slot  # it lapsed while this owner was silent
        pause = max(LOOK_S, 10 * (self._clock.monotonic() - began))
        if answer.look_at is not None:
            pause = min(pause, max(0.001, answer.look_at - self._clock.now()))
        return pause
