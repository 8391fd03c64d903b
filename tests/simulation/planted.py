"""Bugs, each as a small change of the real code, to see whether simulation finds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from raywf.client.lane import Lane
from raywf.core.effects import ArmTimer, StartAttempt, StartChild
from raywf.core.execution import outstanding
from raywf.core.plan import NodeKind
from raywf.core.timers import Timers
from raywf.errors import StoreUnavailable
from raywf.journal import memory
from raywf.journal.group_commit import GroupCommit
from raywf.runtime import children, host
from raywf.runtime.alarms import Alarms
from raywf.runtime.host import Host, address
from raywf.runtime.leases import LeaseKeeper
from raywf.runtime.owner import Owner
from raywf.runtime.supervision import Supervisor
from raywf.runtime.work import LocalWork

Change = tuple[Any, str, Any]
PLANTED: dict[str, Callable[[], list[Change]]] = {}


def plant(name: str) -> Callable[[Callable[[], list[Change]]], Callable[[], list[Change]]]:
    def keep(make: Callable[[], list[Change]]) -> Callable[[], list[Change]]:
        PLANTED[name] = make
        return make

    return keep


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The real code with one bug in it."""
    before = []
    try:
        for where, attribute, changed in PLANTED[name]():
            before.append((where, attribute, getattr(where, attribute)))
            setattr(where, attribute, changed)
        yield
    finally:
        for where, attribute, original in reversed(before):
            setattr(where, attribute, original)


async def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


@plant("a submit is acknowledged before its commit")
def _() -> list[Change]:
    return [(Owner, "durable", _nothing)]


@plant("effects leave before their commit")
def _() -> list[Change]:
    def at_once(self: GroupCommit, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    return [(GroupCommit, "on_durable", at_once)]


@plant("a commit does not check its epochs")
def _() -> list[Change]:
    original = memory._check

    def unchecked(store: Any, batch: Any, where: str) -> None:
        epochs, batch.epochs = batch.epochs, {}
        try:
            original(store, batch, where)
        finally:
            batch.epochs = epochs

    return [(memory, "_check", unchecked)]


@plant("a claim does not raise the epoch")
def _() -> list[Change]:
    original = memory.MemoryJournal.claim

    async def claim(self: Any, owner: Any, shards: Any, lease_s: float, *, dead: Any = ()) -> Any:
        before = dict(self._store.leases)
        held = await original(self, owner, shards, lease_s, dead=dead)
        for shard in held:
            _, epoch = before.get((owner.lane, shard), ("", 1))
            self._store.leases[owner.lane, shard] = (owner.owner, epoch)
            held[shard] = epoch
        return held

    return [(memory.MemoryJournal, "claim", claim)]


@plant("timers are armed from now after a take-over")
def _() -> list[Change]:
    original = Owner.resume

    def resume(self: Owner, live: Any, clean: bool) -> None:
        original(self, live, clean)
        for effect in outstanding(live.state):
            if isinstance(effect, ArmTimer):
                self.host.alarms.at((live.id, effect.task, effect.item, "wait"), self.host.clock.now() + 4.0)

    return [(Owner, "resume", resume)]


@plant("timers are not armed after a take-over")
def _() -> list[Change]:
    return [(Owner, "resume", _resume_without(ArmTimer))]


@plant("ready attempts are forgotten by recovery")
def _() -> list[Change]:
    return [(Owner, "resume", _resume_without(StartAttempt))]


@plant("children are forgotten by recovery")
def _() -> list[Change]:
    return [(Owner, "resume", _resume_without(StartChild))]


def _resume_without(kind: type) -> Any:
    original_outstanding = outstanding

    def resume(self: Owner, live: Any, clean: bool) -> None:
        effects = [effect for effect in original_outstanding(live.state) if not isinstance(effect, kind)]
        for effect in [effect for effect in effects if isinstance(effect, StartAttempt)]:
            self.host.lost(live, effect.task, effect.item, effect.attempt, "the workflow actor died")
        self.host.release(live, [effect for effect in effects if not isinstance(effect, StartAttempt)])

    return resume


@plant("every take-over is taken for one in good order")
def _() -> list[Change]:
    original = Owner.resume
    return [(Owner, "resume", lambda self, live, clean: original(self, live, True))]


@plant("a deadline is not armed after a take-over")
def _() -> list[Change]:
    def adopt(self: Host, live: Any) -> None:
        self.open[live.id] = live

    return [(Host, "adopt", adopt)]


@plant("a lease is not renewed")
def _() -> list[Change]:
    return [(LeaseKeeper, "_keep", _nothing)]


@plant("a command leaves the inbox before it is in the history")
def _() -> list[Change]:
    def take(self: Owner, row: Any) -> None:
        live = self.host.open.get(row.execution)
        self._taking.add(row.id)
        self._taken(row)
        if live is not None:
            self.commits.on_durable(lambda: self._command(live, row))

    return [(Owner, "_take", take)]


@plant("a repeated command counts twice")
def _() -> list[Change]:
    from raywf.core import events as ev

    original = memory.MemoryJournal.send

    def signal(self: Host, live: Any, name: str, value: bytes, id_: str, by: str | None) -> None:
        self.turn(live, ev.SignalReceived(name, value, id_), by)

    async def send(self: Any, row: Any) -> bool:
        self._store.commands.clear()
        return await original(self, row)

    return [(Host, "signal", signal), (memory.MemoryJournal, "send", send)]


@plant("a lost acknowledgement is not recognised")
def _() -> list[Change]:
    async def never(self: GroupCommit, batch: Any) -> bool:
        return False

    return [(GroupCommit, "_was_written", never)]


@plant("a commit that failed is taken for one that did not")
def _() -> list[Change]:
    original = GroupCommit._commit

    async def commit(self: GroupCommit, batch: Any) -> None:
        try:
            await self._journal.commit(batch)
        except StoreUnavailable:
            return
        except Exception:
            await original(self, batch)

    return [(GroupCommit, "_commit", commit)]


@plant("a child that runs is started again")
def _() -> list[Change]:
    return [(host, "start_child", children.open_child)]


@plant("children are not cancelled with their parent")
def _() -> list[Change]:
    from raywf.core import events as ev

    original = Host._cancel

    def cancel(self: Host, live: Any, task: int, item: int | None, attempt: int) -> None:
        if live.state.plan.nodes[task].kind is NodeKind.CHILD:
            self.turn(live, ev.AttemptCancelled(address(live, task, item), attempt))
        else:
            original(self, live, task, item, attempt)

    return [(Host, "_cancel", cancel)]


@plant("a lost attempt is run again under its old number")
def _() -> list[Change]:
    def lost(
        self: Host, live: Any, task: int, item: int | None, attempt: int, reason: str, *, counted: bool = True
    ) -> None:
        self._landed(live, task, item)
        self.release(live, (StartAttempt(task, item, attempt),))

    return [(Host, "lost", lost)]


@plant("the last event on disk is overlooked by recovery")
def _() -> list[Change]:
    original = Owner.folded

    async def folded(self: Owner, loaded: Any) -> Any:
        return await original(
            self, loaded._replace(events=loaded.events[:-1] if len(loaded.events) > 1 else loaded.events)
        )

    return [(Owner, "folded", folded)]


@plant("a timer rings half a second early")
def _() -> list[Change]:
    original_at, original_pop = Alarms.at, Timers.pop_due

    def at(self: Alarms, key: Any, due_at: float) -> None:
        original_at(self, key, due_at)
        self._within(due_at - 0.5 - self._clock.now())

    return [(Timers, "pop_due", lambda self, now: original_pop(self, now + 0.5)), (Alarms, "at", at)]


@plant("an actor that died is not replaced")
def _() -> list[Change]:
    return [(Supervisor, "_replace", _nothing)]


@plant("a submit whose answer was lost is not sent again")
def _() -> list[Change]:
    return [(Lane, "_again", _nothing)]


@plant("a client hears of an end before it is on disk")
def _() -> list[Change]:
    original = Host._closed

    def closed(self: Host, live: Any, last: Any) -> None:
        told, self.on_closed = self.on_closed, lambda live, last: None
        told(live, last)
        original(self, live, last)
        self.on_closed = told

    return [(Host, "_closed", closed)]


@plant("each attempt has a key of its own")
def _() -> list[Change]:
    from dataclasses import replace

    original = LocalWork.context

    def context(self: LocalWork, live: Any, node: Any, effect: Any) -> Any:
        made = original(self, live, node, effect)
        return replace(made, idempotency_key=f"{made.idempotency_key}/{made.attempt}")

    return [(LocalWork, "context", context)]
