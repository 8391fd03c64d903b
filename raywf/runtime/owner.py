"""An owner of shards: holds their leases, adopts their executions, takes their commands, answers clients.

This is what a ``WorkflowActor`` is made of; without Ray it runs as it stands (``local.py``).
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from raywf.core import snapshot
from raywf.core.codec import from_record, last_part
from raywf.core.effects import StartAttempt
from raywf.core.execution import fold_on, initial, outstanding, task_at
from raywf.core.ids import shard_of
from raywf.core.plan import Node
from raywf.core.state import CLOSED, TaskStatus, grown_parts
from raywf.definition.continuation import read_continuation
from raywf.errors import LeaseLost, NotConnected, StoreUnavailable
from raywf.ports import (
    DefinitionRow,
    EventRow,
    ExecutionRow,
    InboxRow,
    Journal,
    Loaded,
    OwnerRow,
)
from raywf.runtime import reopening
from raywf.runtime.adopting import adopt_imported
from raywf.runtime.collecting import Collectors
from raywf.runtime.commands import carry_out
from raywf.runtime.evaluate import Evaluator
from raywf.runtime.gate import Gate
from raywf.runtime.handing import may_begin
from raywf.runtime.host import Host
from raywf.runtime.leases import LeaseKeeper
from raywf.runtime.listening import pause_s
from raywf.runtime.live import Live
from raywf.runtime.migrating import Migrations
from raywf.runtime.outbox import Outbox
from raywf.runtime.parts import MeasuredJournal, Parts, SubmitRequest
from raywf.runtime.recalling import Recall
from raywf.runtime.sleeping import Sleepers
from raywf.runtime.triggers import KINDS as TRIGGER_KINDS
from raywf.runtime.triggers import Triggers
from raywf.runtime.updates import Updates

log = logging.getLogger("raywf.owner")
PATIENCE_S = 2.0
"""How long a submit waits for a store that cannot be written, before it is refused."""
_AGAIN_S = 5.0
"""How long a command waits that could not be given to its execution, before that is tried again."""
_MAYBE = (
    "What was being submitted may still be accepted once the store can be written: submit it again under the same "
    "execution_id to be sure."
)


NO_TAGS: Mapping[str, str] = {}


class Owner:
    """Owns shards of one lane. Every method runs on the loop; those that await say so."""

    def __init__(self, me: OwnerRow, namespace: str, parts: Parts) -> None:
        self.me = me
        self.namespace = namespace
        self.parts = parts
        self.loop = asyncio.get_running_loop()
        self.journal = parts.journal
        self.definitions = parts.definitions()
        self.epochs: dict[int, int] = {}
        self.outbox = Outbox(self.loop)
        self._refused: set[int] = set()
        self.trouble: str | None = None
        self._troubled_since: float | None = None
        self._accepting: dict[asyncio.Future[None], None] = {}  # in order: who came first is told first
        self.commits = parts.commit_buffer(
            cast(Journal, MeasuredJournal(parts.journal, parts.telemetry, parts.clock)),
            me.owner,
            me.lane,
            self.epochs,
            rows_per_commit=parts.settings.rows_per_commit,
            on_lost=self._shards_lost,
            on_trouble=self._trouble,
            on_refused=self._note_refused,
        )
        evaluator = Evaluator(parts.code, parts.blobs, parts.settings.max_iterations, parts.settings.approval_timeout_s)
        self.host = Host(
            commits=self.commits,
            evaluator=evaluator,
            clock=parts.clock,
            entropy=parts.entropy,
            loop=self.loop,
            plan_of=self.definitions.plan,
            telemetry=parts.telemetry,
        )
        self.work = parts.work(self.host, evaluator, parts.code, self.loop, parts.threads, parts.dispatcher)
        self.host.work = self.work
        self.host.on_closed = self._closed
        self.gate = self.work.gate = Gate(parts.journal, namespace, me.owner, parts.clock, self.loop)
        self.host.admit_first = functools.partial(self.gate.admit_first, self.host)
        self.recall = self.work.recall = Recall(self.host, self.work, self.gate, parts.journal, namespace, parts.clock)
        self.host.on_landed = self.work.landed
        self.host.keep_result = self.recall.keep
        self.host.on_orphan_child = self._orphan_child
        self.host.grow = self._grow  # type: ignore[method-assign]
        self.host.child_input = self._child_input  # type: ignore[method-assign]
        self.sleepers = Sleepers(
            self.host,
            parts.journal,
            parts.clock,
            self.outbox,
            me.lane,
            self.epochs,
            parts.settings.resident,
            self.folded,
            self.spawn,
        )
        self._start_by_itself()
        self._taking: set[int] = set()
        self.opening = asyncio.Lock()
        self.updates, self.migrations = Updates(self), Migrations(self)
        self._background: set[asyncio.Task[Any]] = set()
        self._inbox_wanted = asyncio.Event()
        self.keeper: LeaseKeeper | None = None
        self._keep = False
        self.gone = asyncio.Event()

    def _start_by_itself(self) -> None:
        """What starts executions without a client that waits for them: schedules, events, submits that are collected."""
        parts, namespace, me = self.parts, self.namespace, self.me
        self.triggers = Triggers(
            parts.journal,
            namespace,
            me.lane,
            self.epochs,
            parts.clock,
            self.definitions,
            self.submit,
            functools.partial(may_begin, self.host),
        )
        self.collectors = self.triggers.collectors = Collectors(
            parts.journal,
            namespace,
            me.lane,
            self.epochs,
            parts.clock,
            self.definitions,
            self.commits,
            lambda request: self._open(request, shard_of(request.id)),
            self.host.open.__contains__,
            self.durable,
            functools.partial(may_begin, self.host),
        )

    # leases

    async def claim(self, shards: Sequence[int], *, dead: Sequence[str] = (), clean: bool = False) -> int:
        """Take the leases of ``shards`` that may be taken and adopt their open executions. Awaits the store.

        ``clean``: the owner before parked in good order, so nothing was running. Returns how many were adopted.
        """
        asked_at = self.parts.clock.monotonic()
        held = await self.journal.claim(self.me, shards, self.parts.settings.lease_s, dead=dead)
        new = [shard for shard in held if shard not in self.epochs]
        self.epochs.update(held)
        if new:
            self.collectors.forget()
            self.triggers.poke()
        if self._keep and self.keeper is None and held:
            self._keep_leases(asked_at)
        return await self._recover(new, clean) if new else 0

    def keep_leases_soon(self) -> None:
        """Renew beside the loop from the first claim on."""
        self._keep = True

    def _keep_leases(self, claimed_at: float) -> None:
        def lost() -> None:
            self.loop.call_soon_threadsafe(self._all_lost)

        parts = self.parts
        self.keeper = LeaseKeeper(
            parts.open_journal, self.me.owner, parts.settings.lease_s, parts.clock, lost, parts.beside()
        )
        self.keeper.start(claimed_at)
        self.host.may_act = lambda: self.keeper is None or self.keeper.held

    def _note_refused(self, keys: tuple[int, ...]) -> None:
        """Another lane was first with these execution ids: forget ours."""
        self._refused.update(keys)
        for live in [live for live in self.host.open.values() if live.key in self._refused]:
            self.host.drop(live)

    def _trouble(self, error: StoreUnavailable | None) -> None:
        """The store cannot be written: say so once, and once more when it can. Who submits waits a little for it."""
        now = self.parts.clock.monotonic()
        if error is None:
            if self.trouble is not None:
                log.warning("the store can be written again")
            self.trouble, self._troubled_since = None, None
            return
        if self._troubled_since is None:
            self._troubled_since = now
            log.error("nothing is lost, but nothing goes on until the store can be written: %s", error)
        self.trouble = str(error)
        if now - self._troubled_since >= PATIENCE_S:
            self._refuse_waiting(StoreUnavailable(f"{error} {_MAYBE}"))

    def _refuse_waiting(self, error: Exception) -> None:
        """Who waits for an execution to be accepted is told that nobody knows when."""
        for done in self._accepting:
            if not done.done():
                done.set_exception(error)

    def _all_lost(self) -> None:
        self._shards_lost(tuple(self.epochs))

    def _shards_lost(self, shards: Sequence[int]) -> None:
        lost = set(shards)
        for shard in lost:
            self.epochs.pop(shard, None)
        for live in list(self.host.open.values()):
            if live.shard in lost:
                self.host.drop(live)
        log.warning("lost the lease of %d shards: another owner holds them now", len(lost))
        self._refuse_waiting(NotConnected("this owner lost its leases: ask the supervisor who holds them now"))
        if not self.epochs:
            self.gone.set()
            self.triggers.poke()
            self.collectors.forget()
            if self.keeper is not None:
                self.keeper.stop_soon()

    # recovery

    async def _recover(self, shards: Sequence[int], clean: bool) -> int:
        adopted: list[Live] = []
        async for loaded in self.journal.load_open(self.me.lane, shards):
            row = loaded.row
            try:
                adopted.append(await self.folded(loaded))
            except (LeaseLost, StoreUnavailable):
                raise
            except Exception:  # one damaged history must not keep the others from going on
                log.exception("execution %s cannot be resumed; its history stays as it is", row.id)
        for live in adopted:
            self.host.adopt(live)
        for live in adopted:
            try:
                self.resume(live, clean)
            except LeaseLost:
                raise
            except Exception:
                log.exception("execution %s cannot go on; its history stays as it is", live.id)
                self.host.drop(live)
        self.sleepers.look_by(self.parts.clock.now())
        return len(adopted)

    async def folded(self, loaded: Loaded) -> Live:
        """An execution as its history says; a snapshot that cannot be used costs the longer way and nothing else."""
        row, rows, kept = loaded.given()
        definition, part = last_part(rows, row.definition)
        await self.definitions.load(self.journal, definition)
        plan = self.definitions.plan(definition)
        if part is not rows:
            row, kept = row._replace(definition=definition, version=plan.version), None
        state, seq = initial(plan), 0
        if kept is not None:
            try:
                state, seq = snapshot.decode(kept.data or b"", plan), kept.seq
            except snapshot.Unreadable as error:
                log.warning("execution %s is folded from its beginning: its snapshot is %s", row.id, error)
                rows = await self.journal.history(row.key)
                _, part = last_part(rows, definition)
        state = fold_on(state, (from_record(each.kind, each.task, each.attempt, each.data) for each in part))
        for grown in grown_parts(state):
            await self.definitions.load(self.journal, grown.definition)
        live = Live(row, state, rows[-1].seq if rows else seq)
        if kept is not None:
            live.snapshot_at = snapshot.next_at(kept.seq, snapshot.size_of(state))
        return live

    def resume(self, live: Live, clean: bool = False) -> None:
        """Issue what is outstanding. After a crash nobody knows whether a ready attempt had begun: it counts as lost."""
        remaining = []
        for effect in list(outstanding(live.state)):
            current = None
            if isinstance(effect, StartAttempt):
                current = task_at(live.state, effect.task, effect.item)
            if current is None or (clean and current.status is not TaskStatus.RUNNING):
                remaining.append(effect)
                continue
            assert isinstance(effect, StartAttempt)
            # Alone in a process the task cannot have taken this one along: such a loss is not the task's fault.
            counted = current.lost < 2
            self.host.lost(
                live, effect.task, effect.item, effect.attempt, "the workflow actor died", counted=counted, at=effect.at
            )
        self.host.release(live, remaining)

    def _orphan_child(self, live: Live, task: int, item: int | None, attempt: int) -> None:
        self.spawn(reopening.find_child(self, live, task, item, attempt))

    # clients

    async def submit(
        self, client: str, definitions: Sequence[DefinitionRow], requests: Sequence[SubmitRequest], watch: bool
    ) -> list[tuple[str, str]]:
        """Start executions; answers when they are on disk. Awaits the store. Raises ``StoreUnavailable`` while it cannot
        be written, and ``NotConnected`` when the leases were lost meanwhile.

        For each request ``("new" | "same" | "closed" | "taken" | "moved", detail)``: started; running already with the
        same arguments; ended already with the same arguments; the id belongs to something else (detail: what); the
        shard has another owner.
        """
        if self._troubled_since is not None and self.parts.clock.monotonic() - self._troubled_since >= PATIENCE_S:
            raise StoreUnavailable(self.trouble or "")
        for row in definitions:
            self.definitions.add(row)
        named = [request.id for request in requests if not request.fresh]
        existing = await self.journal.existing(self.namespace, named) if named else {}
        if any(row.ended_at is not None for row in existing.values()):
            await self.hear()
            existing = await self.journal.existing(self.namespace, named)
        replies: list[tuple[str, str]] = []
        opened: dict[int, int] = {}
        for request in requests:
            shard = shard_of(request.id)
            if shard not in self.epochs:
                replies.append(("moved", ""))
                continue
            live = self.host.open.get(request.id)
            known = live.row if live is not None else existing.get(request.id)
            if known is None or (request.fresh and live is None):
                live = self._open(request, shard)
                opened[live.key] = len(replies)
                replies.append(("new", ""))
            elif known.fingerprint != request.fingerprint:
                replies.append(("taken", f"{known.workflow} {known.version}"))
                continue
            else:
                replies.append(("same" if live is not None or known.ended_at is None else "closed", ""))
            if watch and replies[-1][0] != "closed":
                self._watch(client, request.id)
        if opened or ("same", "") in replies:  # it may be here and not on disk yet
            await self.durable()
        for key in self._refused.intersection(opened):
            self._refused.discard(key)
            replies[opened[key]] = ("taken", "an execution of another project")
        return replies

    def _open(self, request: SubmitRequest, shard: int) -> Live:
        definition = self.definitions.row(request.definition)
        row = ExecutionRow(
            key=self.host.new_key(shard),
            id=request.id,
            namespace=self.namespace,
            lane=self.me.lane,
            shard=shard,
            workflow=definition.workflow,
            version=definition.version,
            definition=definition.hash,
            fingerprint=request.fingerprint,
            status="running",
            priority=request.priority,
            parent=None,
            tags=request.tags or NO_TAGS,
            created_at=self.parts.clock.now(),
            deadline=request.deadline,
            traceparent=request.traceparent,
        )
        return self.host.open_execution(row, request.input, definition, by=request.by)

    async def durable(self) -> None:
        """Returns when everything decided so far is on disk."""
        done: asyncio.Future[None] = self.loop.create_future()
        self._accepting[done] = None
        self.commits.on_durable(functools.partial(_resolve, done))
        try:
            await done
        finally:
            self._accepting.pop(done, None)

    async def watch(self, client: str, ids: Sequence[str]) -> list[str]:
        """Tell this client how these end. Returns those that are not open here: look into the store. Awaits the store."""
        away = [id_ for id_ in ids if not self._watch(client, id_)]
        rows = await self.journal.existing(self.namespace, away) if away else {}
        missing = []
        for id_ in away:
            row = rows.get(id_)
            if row is None or row.ended_at is not None or row.shard not in self.epochs:
                self.outbox.kept(id_)
                missing.append(id_)
        return missing

    def tell_of(self, client: str, id_: str) -> None:
        """Tell this client how an execution ends that runs, or will."""
        self._watch(client, id_)

    def _watch(self, client: str, id_: str) -> bool:
        """Tell this client how an execution ends, whether it is in memory (True) or asleep."""
        live = self.host.open.get(id_)
        if live is None:
            self.outbox.watch_asleep(client, id_)
        else:
            self.outbox.watch(client, live)
        return live is not None

    def _closed(self, live: Live, last: EventRow) -> None:
        if live.state.plan.limits:
            self.gate.done(str(live.key))
        watchers, kept = live.watchers, self.outbox.kept(live.id)
        if kept:
            watchers = kept | (watchers or frozenset())
        if watchers:
            self.outbox.post(watchers, live.id, last)

    def _grow(self, outcome: bytes) -> tuple[DefinitionRow, bytes]:
        definition, input_ = read_continuation(outcome)
        return self.definitions.row(self.definitions.add_model(definition)), input_

    def _child_input(self, live: Live, node: Node, item: int | None) -> tuple[DefinitionRow, bytes]:
        grown = task_at(live.state, node.index, item).grown
        if grown is not None:
            return self.definitions.row(grown.definition), grown.input
        args, kwargs = self.work.arguments(live, node, item)
        return self.definitions.child_input(node, args, kwargs)

    # commands

    async def take_commands(self) -> None:
        """Look into the inbox until the owner is gone. Runs as long as the owner."""
        while not self.gone.is_set():
            try:
                await self._take_once()
            except LeaseLost:
                return
            except Exception:
                log.exception("reading the inbox failed; trying again")
            self._inbox_wanted.clear()
            try:
                await asyncio.wait_for(self._inbox_wanted.wait(), pause_s(self.parts))
            except TimeoutError:
                continue

    def poke(self) -> None:
        """There may be a command: look now."""
        self._inbox_wanted.set()
        self.collectors.look_soon()

    async def _take_once(self) -> None:
        waiting = await self.journal.inbox(self.me.lane, 0)
        rows = [row for row in waiting if row.id not in self._taking and shard_of(row.execution) in self.epochs]
        away = {row.execution for row in rows if row.execution not in self.host.open}
        if away:
            await self.sleepers.wake(self.namespace, away)
        for row in rows:
            self._take(row)
        self.sleepers.settle(away)

    async def hear(self) -> None:
        """Returns when the retries and forks that lie in the inbox have opened their executions: who submits one of them
        again means the new round, or the fork. Awaits the store."""
        await self._take_once()
        await asyncio.sleep(0)  # whoever was spawned stands in line now
        async with self.opening:
            pass

    def _take(self, row: InboxRow) -> None:
        live = self.host.open.get(row.execution)
        self._taking.add(row.id)
        if row.kind in TRIGGER_KINDS:
            self.spawn(self._trigger(row))
            return
        if row.kind == "adopt" or (row.kind == "migrate" and live is not None):
            self.spawn(adopt_imported(self, row) if row.kind == "adopt" else self.migrations.take(row))
            return
        if live is None:
            self.spawn(self._not_here(row))
            return
        try:
            if row.kind == "update":
                self.updates.take(live, row)
                return
            carry_out(self.host, live, row)
        except Exception:
            log.exception("command %s to %s could not be carried out", row.kind, row.execution)
        self.taken(row)

    async def _trigger(self, row: InboxRow) -> None:
        try:
            await self.triggers.take(row)
        except Exception as error:
            log.warning("command %s of %s waits, trying again: %s", row.kind, row.execution, error)
            self.again(row, _AGAIN_S)
        else:
            self.taken(row)

    def again(self, row: InboxRow, after_s: float) -> None:
        """Look at a command once more, later."""
        self.loop.call_later(after_s, self._taking.discard, row.id)

    def taken(self, row: InboxRow) -> None:
        self.commits.add_taken(row.id)
        self.commits.on_durable(lambda: self._taking.discard(row.id))

    async def _not_here(self, row: InboxRow) -> None:
        """A retry opens a closed execution, a fork a new one. Any other command to a closed one has come too late; one
        to an execution that could not be resumed waits."""
        try:
            if row.kind in reopening.OPENING and await reopening.open_by(self, row):
                self.taken(row)
                return
            found = await self.journal.execution(row.namespace, row.execution)
        except Exception:
            log.exception("command %s to %s could not be carried out; trying again", row.kind, row.execution)
            self.again(row, _AGAIN_S)
            return
        if found is None or found.status in CLOSED:
            self.taken(row)
        else:
            self.again(row, _AGAIN_S)

    # the end

    async def drain(self, grace_s: float) -> None:
        """Start nothing new, and wait up to ``grace_s`` seconds for what runs to end."""
        self.host.draining, self.host.held_back = True, None
        until = self.parts.clock.monotonic() + grace_s
        while self.host.is_busy and self.parts.clock.monotonic() < until:
            await asyncio.sleep(0.02)

    async def park(self) -> int:
        """Stop in good order and give the leases up. Returns how many executions stay open."""
        parked = sum(live.wake_at is None for live in self.host.park())
        self.sleepers.stop()
        await self.work.runners.close()
        self.gate.close()
        self.recall.close()
        await self.commits.close()
        if self.keeper is not None:
            self.keeper.stop()
        parked += await self.sleepers.count()
        await self.journal.release(self.me.owner)
        self.gone.set()
        self.triggers.poke()
        self.collectors.forget()
        return parked

    def spawn(self, work: Any) -> None:
        """Start internal work whose failure is not silent."""
        task = self.loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("internal work failed", exc_info=task.exception())


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
