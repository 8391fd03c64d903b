"""An open execution goes on under another definition: at one point between two turns, and all at once.

::

    command --plan--> blocked? it is refused, and the history says why
               |
               hold: nothing new starts, what queues is withdrawn, what runs ends
               |
               plan again --> ExecutionMigrated, the new row and the definition in one commit --> what is outstanding

**Authority.** The history. Its last ``ExecutionMigrated`` says which definition counts, and everything that is kept; the index follows in
the same commit. The decision is ``core.migrating``'s, made from the state of this very moment: what the client saw may be old.

**Failure.** Dying before the commit leaves the command in the inbox, and an execution as it was: the next owner takes it anew. Dying
after it leaves a history that says so, with the command's id in it, so the command is a no-op. Nothing is in between.

The new part of the life is a ``Live`` of its own, so that whatever was on its way to the old one finds nobody.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raywf.core import events as ev
from raywf.core.effects import Announce, Effect, StartAttempt, StartChild
from raywf.core.execution import initial, outstanding, task_at
from raywf.core.migrating import Moves, Rules, plan_moves
from raywf.core.plan import Plan
from raywf.core.state import TaskStatus
from raywf.errors import LeaseLost
from raywf.ports import InboxRow, Redefinition
from raywf.runtime.live import Live
from raywf.runtime.pausing import children_of, withdraw

if TYPE_CHECKING:
    from raywf.runtime.owner import Owner

log = logging.getLogger("raywf.migrating")
LOOK_S = 0.05
"""How often it is looked at whether what runs has ended."""

_AGAIN_S = 5.0
_MAX_WORDS = 4000


def rules_data(rules: Rules) -> dict[str, Any]:
    """Rules as JSON, for a command."""
    return {
        "rename": dict(rules.rename),
        "values": {name: value.decode() for name, value in rules.values.items()},
        "misfits": dict(rules.misfits),
        "input": None if rules.input is None else rules.input.decode(),
        **{name: sorted(getattr(rules, name)) for name in ("rerun", "keep", "drop", "converts")},
    }


def rules_of(data: dict[str, Any]) -> Rules:
    """The rules that ``rules_data`` gave."""
    return Rules(
        rename=data["rename"],
        values={name: value.encode() for name, value in data["values"].items()},
        misfits=data["misfits"],
        input=None if data["input"] is None else data["input"].encode(),
        **{name: frozenset(data[name]) for name in ("rerun", "keep", "drop", "converts")},
    )


class Migrations:
    """The migrations of one owner's executions. Runs on its loop."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._held: set[str] = set()
        self._admit_first = owner.host.admit_first

    async def take(self, row: InboxRow) -> None:
        """Carry a command out; its row is settled when that is done. Awaits the store."""
        try:
            if not await self._carry_out(row):
                self._owner.again(row, 0.0)
                return
        except LeaseLost:
            return
        except Exception:
            log.exception("execution %s could not be migrated; trying again", row.execution)
            self._owner.again(row, _AGAIN_S)
            return
        self._owner.taken(row)

    async def _carry_out(self, row: InboxRow) -> bool:
        """False: the execution is not here any more, or stays only for as long as this engine."""
        owner, body = self._owner, json.loads(row.body)
        await owner.definitions.load(owner.journal, body["definition"])
        plan, rules = owner.definitions.plan(body["definition"]), rules_of(json.loads(body["rules"]))
        live = owner.host.open.get(row.execution)
        if live is None or owner.host.parked or row.execution in self._held:
            return False
        if row.command_id in live.state.seen or (live.row.definition == plan.definition and not rules.rerun):
            return True
        moves = plan_moves(live.state, plan, rules)
        if not moves.blocked:
            quiet = await self._quiet(live)
            if not quiet:
                return False
            moves = plan_moves(live.state, plan, rules)
        self._decide(live, plan, moves, row)
        return True

    def _decide(self, live: Live, plan: Plan, moves: Moves, row: InboxRow) -> None:
        if moves.blocked:
            reason = "; ".join(moves.blocked)[:_MAX_WORDS]
            self._owner.host.turn(live, ev.MigrationRefused(row.command_id, plan.definition, reason), row.by)
            if live.id in self._held:
                self._go_on_once_on_disk(live, 0)
            return
        self._held.discard(live.id)
        self._become(live, plan, moves.event(row.command_id, live.row.definition), row.by)

    def _go_on_once_on_disk(self, live: Live, seq: int) -> None:
        """Start what was held back. What is outstanding follows from all that has happened, so all of that must be on disk:
        it is looked at ``live.seq`` again until nothing has come meanwhile. While it is held, little does."""
        if live.seq != seq and self._is_here(live):
            self._owner.commits.on_durable(functools.partial(self._go_on_once_on_disk, live, live.seq))
            return
        self._held.discard(live.id)
        self._owner.host.release(live, tuple(outstanding(live.state)))

    # nothing starts

    async def _quiet(self, live: Live) -> bool:
        """Wait until no attempt of an execution is in flight, while none starts. False: it is not open here any more."""
        host = self._owner.host
        self._held.add(live.id)
        host.admit_first = self._hold_back
        live.gated = True
        withdraw(host, live, "withdrawn: its execution is migrated to another version")
        while live.inflight and self._is_here(live):
            await asyncio.sleep(LOOK_S)
        if not self._is_here(live):
            self._held.discard(live.id)
            return False
        return True

    def _is_here(self, live: Live) -> bool:
        return self._owner.host.open.get(live.id) is live and not self._owner.host.parked

    def _hold_back(self, live: Live, effects: Sequence[Effect]) -> Sequence[Effect]:
        """What may leave of an execution that is held: no starts, save those that are announced already."""
        if live.id in self._held:
            return [effect for effect in effects if not _starts(live, effect)]
        if not live.state.plan.limits:
            live.gated = False
            return effects
        return self._admit_first(live, effects)

    # going on

    def _become(self, live: Live, plan: Plan, event: ev.ExecutionMigrated, by: str | None) -> None:
        owner, host = self._owner, self._owner.host
        children = [
            (child, live.state.plan.nodes[child.parent[1]].id) for child in children_of(host, live) if child.parent
        ]
        host.let_go(live)
        host.on_stir(live)
        row = live.row._replace(definition=plan.definition, version=plan.version)
        now = Live(row, initial(plan), live.seq)
        now.status, now.waiting_for, now.wake_at = live.status, live.waiting_for, live.wake_at
        now.watchers, now.parent, now.snapshot_at = live.watchers, live.parent, live.snapshot_at
        if live.state.plan.limits and live.state.plan.limits != plan.limits:
            owner.gate.done(str(live.key))
        elif plan.limits and not owner.gate.holds(str(live.key)):
            owner.gate.done(str(live.key))  # it asks again, for the one that it is now
        owner.commits.add_definition(live.shard, owner.definitions.row(plan.definition))
        owner.commits.add_redefined(live.shard, Redefinition(live.key, plan.definition, plan.version))
        host.adopt(now)
        for child, name in children:  # a task whose child is open keeps its name
            at = plan.index.get(name)
            child.parent = None if at is None or child.parent is None else (now, at, child.parent[2])
        host.turn(now, event, by)


def _starts(live: Live, effect: Effect) -> bool:
    if isinstance(effect, StartAttempt):
        once = live.state.plan.nodes[effect.task].options.effect == "at_most_once"
        return not (once and task_at(live.state, effect.task, effect.item).status is TaskStatus.RUNNING)
    return isinstance(effect, (Announce, StartChild))
