"""Handing shards over to another owner, in good order: nothing is lost, and nothing runs twice.

::

    held back: theirs start nothing new, what runs goes on, submits are accepted
        -> nothing of a shard runs -> let go: out of memory, its epoch forgotten -> what was written is on disk
        -> the other owner claims (epoch + 1), folds, issues what is outstanding

From letting go to the claim nobody has the shard: milliseconds, for its executions alone. Submits meanwhile are told that it
has moved, and clients ask the supervisor where to.

**Authority.** The lease in the store stays ours until the other one's claim takes it. Who dies in between has lost
nothing: what was let go is on disk, and whoever claims next goes on from there.

**Failure.** A shard in which something runs is not let go: it is given back its starts, or stays held back, until it is
forced; then what runs is stopped, and recorded as lost by nobody's fault.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from raywf.core.effects import Effect
from raywf.core.ids import shard_of
from raywf.runtime.live import Live
from raywf.runtime.spec import ActorSpec

if TYPE_CHECKING:
    from raywf.runtime.host import Host
    from raywf.runtime.owner import Owner

_LOOK_S = 0.005


class Busy(enum.StrEnum):
    """What becomes of a shard in which something still runs when the patience is over."""

    RESUME = "resume"
    """It stays, and goes on as before."""
    HOLD = "hold"
    """It stays for now, and starts nothing new: it is asked for again soon."""
    FORCE = "force"
    """What runs is stopped."""


class HeldBack:
    """Shards of a host that start nothing new, and what would have been started."""

    __slots__ = ("shards", "withheld")

    def __init__(self) -> None:
        self.shards: set[int] = set()
        self.withheld: list[tuple[Live, Effect]] = []

    def lets(self, live: Live, effect: Effect) -> bool:
        """Whether this may start. If not, it is kept until the shard is given its starts back."""
        if live.shard not in self.shards:
            return True
        self.withheld.append((live, effect))
        return False


def may_begin(host: Host) -> bool:
    """Whether what starts by itself may: some shards may be held back, but not all."""
    return host.may_act() and (not host.draining or host.held_back is not None)


def hold_back(host: Host, shards: Collection[int]) -> None:
    if host.held_back is None:
        host.held_back = HeldBack()
    host.held_back.shards.update(shards)
    host.draining = True


def give_starts_back(host: Host, shards: Collection[int]) -> None:
    held = host.held_back
    if held is None:
        return
    held.shards.difference_update(shards)
    withheld, held.withheld = held.withheld, []
    if not held.shards:
        host.held_back, host.draining = None, False
    for live, effect in withheld:
        host.release(live, (effect,))


def busy_shards(host: Host, shards: Collection[int]) -> set[int]:
    """Those of ``shards`` in which an attempt runs."""
    return {live.shard for live in host.open.values() if live.inflight and live.shard in shards and _runs(host, live)}


def _runs(host: Host, live: Live) -> bool:
    """Whether an attempt has begun, or may at any moment: a thread that has been handed one cannot be stopped."""
    handles = (live.inflight or {}).values()
    return any(host.work.has_begun(handle) or getattr(handle, "handed_out", False) for handle in handles)


async def give(owner: Owner, shards: Sequence[int], patience_s: float, busy: Busy) -> list[int]:
    """Let go of those of ``shards`` in which nothing runs within ``patience_s`` seconds. Returns them, once all that was
    written about them is on disk; shards that were not held here are among them. No shards: those that were held back get
    their starts again. Awaits the store."""
    host, clock = owner.host, owner.parts.clock
    if not shards and host.held_back is not None:  # it stays after all
        give_starts_back(host, set(host.held_back.shards))
    held = {shard for shard in shards if shard in owner.epochs}
    hold_back(host, held)
    until = clock.monotonic() + patience_s
    while busy_shards(host, held) and clock.monotonic() < until:
        await asyncio.sleep(_LOOK_S)
    async with owner.collectors.lock:  # it opens executions, and awaits in between
        held &= owner.epochs.keys()
        free = held if busy is Busy.FORCE else held - busy_shards(host, held)
        _let_go(owner, free)
    give_starts_back(host, free if busy is Busy.HOLD else held)
    owner.collectors.forget()
    await owner.commits.drain()
    if free and owner.epochs:
        _note(owner, sorted(owner.epochs))
        await owner.journal.claim(owner.me, [next(iter(owner.epochs))], owner.parts.settings.lease_s)
    return [shard for shard in shards if shard not in owner.epochs]


def _let_go(owner: Owner, shards: Collection[int]) -> None:
    host = owner.host
    told: set[str] = owner.outbox.leave(lambda id_: shard_of(id_) in shards)
    for live in [live for live in host.open.values() if live.shard in shards]:
        if _runs(host, live):
            host.put_down(live, "its shard moved to another workflow actor")
        told |= live.watchers or frozenset()
        host.on_stir(live)
        if live.state.plan.limits:
            owner.gate.done(str(live.key))
        host.drop(live)
    for shard in shards:
        del owner.epochs[shard]
    owner.outbox.say_moved(told, shards)


def _note(owner: Owner, held: Sequence[int]) -> None:
    """Which shards a successor takes up: written by the next claim."""
    spec = replace(ActorSpec.from_json(owner.me.spec), held=tuple(held))
    owner.me = owner.me._replace(spec=spec.to_json())


async def take(owner: Owner, shards: Sequence[int], dead: Sequence[str], clean: bool) -> list[int]:
    """Take over shards that ``dead`` held, who died or (``clean``) has let go of them. Returns all that are held here
    now. Awaits the store."""
    _note(owner, sorted({*owner.epochs, *shards}))
    await owner.claim(shards, dead=dead, clean=clean)
    return sorted(owner.epochs)
