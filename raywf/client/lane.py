"""The client's end of a lane: batches submits to the actors that hold it, and hears from them how executions end.

Whatever is asked may be asked again: a submit whose answer was lost is sent again under the same id, endings are
acknowledged by number, and what an actor does not know any more is read from the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from raywf.core.ids import shard_of
from raywf.errors import NotConnected, RaywfError
from raywf.ports import DefinitionRow, Entropy
from raywf.runtime.outbox import MOVED
from raywf.runtime.parts import SubmitRequest
from raywf.runtime.spec import ActorSpec, Layout

log = logging.getLogger("raywf.client")
BATCH = 500
IN_FLIGHT = 4
POLL_S = 20.0
PATIENCE_S = 60.0
LOOK_S = 2.0
_LONGEST_PAUSE_S = 2.0
_BREATH_S = 0.02
"""The least time from one question for the lane's actors to the next."""


class Reach(Protocol):
    """How actors are reached (Ray). Handles are as Ray's: ``handle.method.remote(…)`` gives something to await."""

    @property
    def OutOfReach(self) -> tuple[type[BaseException], ...]:  # noqa: N802 - a tuple of classes, as ``except`` takes it
        """What a call raises when its actor cannot answer; ``.cause`` is what the actor itself raised, if it did."""
        ...

    def find_actor(self, name: str, namespace: str) -> Any:
        """The handle of a named actor; None when there is none."""
        ...


class _Pending:
    """Requests that travel together, and their answers."""

    __slots__ = ("answers", "left", "missing", "requests")

    def __init__(self, requests: Sequence[SubmitRequest], loop: asyncio.AbstractEventLoop) -> None:
        self.requests = requests
        self.answers: list[tuple[str, str] | None] = [None] * len(requests)
        self.left = len(requests)
        self.missing: asyncio.Future[None] = loop.create_future()


def _may_be_accepted(batch: list[tuple[_Pending, int]]) -> None:
    """What is sent again may have been accepted already."""
    for pending in {id(pending): pending for pending, _ in batch}.values():
        pending.requests = [request._replace(fresh=False) for request in pending.requests]


class Member:
    """One workflow actor of the lane, as seen from here. ``current``: the lane still sends to it; ``broken``: it has
    failed to answer, so that whoever bears its name is taken up with anew."""

    def __init__(self, name: str, handle: Any) -> None:
        self.name = name
        self.handle = handle
        self.current = True
        self.broken = False
        self.known: set[str] = set()
        self.queue: list[tuple[_Pending, int]] = []
        self.flying = 0
        self.acknowledged = 0
        self.poller: asyncio.Task[None] | None = None
        self.sends: dict[asyncio.Task[None], list[tuple[_Pending, int]]] = {}


class Lane:
    """A lane as one client sees it. Belongs to one event loop."""

    def __init__(
        self,
        supervisor: Any,
        spec: ActorSpec,
        definitions: Callable[[str], list[DefinitionRow]],
        ended: Callable[[str, str, str | None, bytes | None], None],
        watched: Callable[[str], list[str]],
        look: Callable[[Sequence[str]], Any],
        code: Callable[[], list[bytes]],
        reach: Reach,
        entropy: Entropy,
    ) -> None:
        self.spec = spec
        self.client = f"{entropy.bits(128):032x}"
        self._reach = reach
        self._entropy = entropy
        self._supervisor = supervisor
        self._definitions = definitions
        self._ended = ended
        self._watched = watched
        self._look = look
        self._code = code
        self._loop = asyncio.get_running_loop()
        self._members: list[Member] = []
        self._routes = b""
        self._linked_at = float("-inf")
        self._moved: set[int] = set()
        self._relinking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self.broken: RaywfError | None = None

    async def open(self) -> None:
        await self._link(Layout(*await self._patiently(lambda: self._supervisor.ensure.remote(self.spec))))
        self._spawn(self._look_after())

    async def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Ask the supervisor; while it is being restarted, ask again."""
        give_up_at, longest_s = self._loop.time() + PATIENCE_S, 0.1
        while True:
            try:
                return await ask()
            except self._reach.OutOfReach as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, RaywfError):
                    raise cause from None
                if self._loop.time() >= give_up_at:
                    raise NotConnected(
                        f"the engine at {self.spec.ray_address} does not answer any more ({type(error).__name__}). "
                        "Nothing that was accepted is lost: connect again to go on."
                    ) from error
            await asyncio.sleep(self._entropy.uniform() * longest_s)
            longest_s = min(2 * longest_s, _LONGEST_PAUSE_S)

    async def _link(self, layout: Layout) -> None:
        """Take up with the actors of a layout; those that are known and well stay as they are."""
        known = {member.name: member for member in self._members if not member.broken}
        members = [known.get(name) or await self._meet(name) for name in layout.names]
        before, self._members, self._routes = self._members, members, layout.routes
        waiting: list[tuple[_Pending, int]] = []
        for member in before:
            if member not in members:
                member.current = False
                waiting += member.queue
                member.queue = []
                for task, batch in list(member.sends.items()):  # it may be long until Ray says that nobody answers
                    task.cancel()
                    _may_be_accepted(batch)
                    waiting += batch
                if member.poller is not None:
                    member.poller.cancel()
        for member in members:
            if member.poller is None:
                member.poller = self._spawn(self._poll(member))
        self._queue(waiting)

    async def _meet(self, name: str) -> Member:
        handle = self._reach.find_actor(name, self.spec.ray_namespace)
        if handle is None:
            raise NotConnected(f"the workflow actor {name} vanished while this client connected: connect again")
        for blob in self._code():
            await handle.receive.remote(blob)
        return Member(name, handle)

    def _member(self, execution_id: str) -> Member:
        return self._members[self._routes[shard_of(execution_id)]]

    def _queue(self, waiting: list[tuple[_Pending, int]]) -> None:
        for pending, index in waiting:
            self._member(pending.requests[index].id).queue.append((pending, index))
        for member in self._members:
            self._pump(member)

    # submitting

    async def submit(self, requests: Sequence[SubmitRequest]) -> list[tuple[str, str]]:
        """Start executions. Answers per request ("new" | "same" | "closed" | "taken", detail) once they are on disk."""
        if self.broken is not None:
            raise self.broken
        pending = _Pending(requests, self._loop)
        members, routes = self._members, self._routes
        for index, request in enumerate(requests):
            members[routes[shard_of(request.id)]].queue.append((pending, index))
        for member in members:
            self._pump(member)
        await pending.missing
        return [answer for answer in pending.answers if answer is not None]

    def _pump(self, member: Member) -> None:
        while member.queue and member.flying < IN_FLIGHT and member.current:
            batch, member.queue = member.queue[:BATCH], member.queue[BATCH:]
            member.flying += 1
            task = self._spawn(self._send(member, batch))
            member.sends[task] = batch
            task.add_done_callback(member.sends.pop)

    async def _send(self, member: Member, batch: list[tuple[_Pending, int]]) -> None:
        requests = [pending.requests[index] for pending, index in batch]
        wanted = {request.definition for request in requests} - member.known
        definitions = [row for hash_ in wanted for row in self._definitions(hash_)]
        try:
            # Ray packs a list item by item through Python, and a tuple in one go.
            sent = tuple(map(tuple, requests))
            answers = await member.handle.submit.remote(self.client, definitions, sent, True)
        except self._reach.OutOfReach as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, RaywfError) and not isinstance(cause, NotConnected):
                self._fail(batch, cause)
                return
            await self._again(batch, member)
            return
        finally:
            member.flying -= 1
        member.known.update(wanted)
        moved = []
        for (pending, index), answer in zip(batch, answers, strict=True):
            if answer[0] == "moved":
                moved.append((pending, index))
            else:
                self._answer(pending, index, answer)
        self._pump(member)
        if moved:
            await self._again(moved)

    def _answer(self, pending: _Pending, index: int, answer: tuple[str, str]) -> None:
        pending.answers[index] = answer
        pending.left -= 1
        if pending.left == 0 and not pending.missing.done():
            pending.missing.set_result(None)

    def _fail(self, batch: list[tuple[_Pending, int]], error: Exception) -> None:
        for pending, _ in batch:
            if not pending.missing.done():
                pending.missing.set_exception(error)

    async def _again(self, batch: list[tuple[_Pending, int]], gone: Member | None = None) -> None:
        """The answer was lost, or somebody else has the shard: send the same again, as requests that may have been
        accepted already."""
        _may_be_accepted(batch)
        try:
            await (self._reroute() if gone is None else self._relink(gone))
        except RaywfError as error:
            self._fail(batch, error)
            return
        self._queue(batch)

    # endings

    async def _poll(self, member: Member) -> None:
        while not self._closed:
            try:
                endings = await member.handle.poll.remote(self.client, member.acknowledged, POLL_S)
            except self._reach.OutOfReach:
                await self._relink(member)
                return
            for number, id_, kind, task, data in endings:
                if number > member.acknowledged:
                    member.acknowledged = number
                    if kind == MOVED:
                        self._moved.update(data or b"")
                        self._spawn(self._reroute())
                    else:
                        self._ended(id_, kind, task, data)

    # when an actor is gone

    async def _look_after(self) -> None:
        """Ray tells of an actor that dies with its node only when it sees that the node is dead, which takes many seconds. The
        supervisor has replaced it by then."""
        while not self._closed:
            await asyncio.sleep(LOOK_S)
            try:
                layout = Layout(*await self._supervisor.members.remote(self.spec.lane))
            except self._reach.OutOfReach:
                continue
            if layout.names and any(member.name not in layout.names for member in self._members):
                await self._round()

    async def _relink(self, member: Member) -> None:
        """Wait until we have taken up with somebody else in this member's place. Its successor may die, too, while we do."""
        member.broken = True
        while member.current and not self._closed:
            await self._round()

    async def _reroute(self) -> None:
        """Learn who holds which shard now. What moved before this call is known after it."""
        if self._relinking is not None and not self._relinking.done():
            await asyncio.shield(self._relinking)
        await self._round()

    async def _round(self) -> None:
        if self._relinking is None or self._relinking.done():
            self._relinking = self._spawn(self._link_again(self._linked_at + _BREATH_S - self._loop.time()))
        await asyncio.shield(self._relinking)

    async def _link_again(self, wait_s: float) -> None:
        """Take up with the lane's actors where we were with their predecessors."""
        await asyncio.sleep(max(0.0, wait_s))
        before = dict(enumerate([self._members[where] for where in self._routes]))
        try:
            while True:
                layout = Layout(*await self._patiently(lambda: self._supervisor.members.remote(self.spec.lane)))
                if not layout.names:
                    layout = Layout(*await self._patiently(lambda: self._supervisor.ensure.remote(self.spec)))
                self._linked_at = self._loop.time()
                moved = set(self._moved)
                try:
                    await self._link(layout)
                    await self._watch_again(before, moved)
                    self._moved -= moved
                    break
                except self._reach.OutOfReach:
                    for member in self._members:
                        member.broken = True
                except NotConnected:
                    pass
                await asyncio.sleep(0.1)
        except RaywfError as error:
            self.broken = error
            for member in self._members:
                self._fail(member.queue, error)
                member.queue.clear()
            await self._look(self._watched(self.spec.lane))
            raise

    async def _watch_again(self, before: Mapping[int, Member], moved: Collection[int]) -> None:
        """Ask the new actors how what we wait for ends; what they do not hold has ended, and the store tells how.
        ``before``: who held which shard when we last asked; those of ``moved`` forgot about us since."""
        by_member: dict[str, list[str]] = {}
        for id_ in self._watched(self.spec.lane):
            member, shard = self._member(id_), shard_of(id_)
            if before.get(shard) is not member or shard in moved:
                by_member.setdefault(member.name, []).append(id_)
        for member in list(self._members):
            mine = by_member.get(member.name, [])
            for start in range(0, len(mine), 5000):
                missing = await member.handle.watch.remote(self.client, mine[start : start + 5000])
                await self._look(missing)

    async def watch(self, execution_id: str) -> bool:
        """Hear of the end of an execution that was started elsewhere. False: it is not open here."""
        while True:
            member = self._member(execution_id)
            try:
                if not await member.handle.watch.remote(self.client, [execution_id]):
                    return True
            except self._reach.OutOfReach:
                await self._relink(member)
                return False
            await self._reroute()
            if self._member(execution_id) is member:
                return False

    async def send_code(self, blob: bytes) -> None:
        for member in list(self._members):
            try:
                await member.handle.receive.remote(blob)
            except self._reach.OutOfReach as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, RaywfError) and not isinstance(cause, NotConnected):
                    raise cause from None
                await self._relink(member)

    async def ask(self, execution_id: str, question: Callable[[Any], Any]) -> Any:
        """Ask the actor that owns an execution, or its successor: the question may be asked again."""
        while True:
            member = self._member(execution_id)
            try:
                return await question(member.handle)
            except self._reach.OutOfReach as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, RaywfError) and not isinstance(cause, NotConnected):
                    raise cause from None
                await self._relink(member)

    def poke(self, execution_id: str) -> None:
        """A command was sent: let the owner look at once."""
        if self._members:
            with contextlib.suppress(*self._reach.OutOfReach):  # it looks by itself, a little later
                self._member(execution_id).handle.poke.remote()

    async def close(self) -> None:
        self._closed = True
        for member in self._members:
            with contextlib.suppress(*self._reach.OutOfReach):
                member.handle.forget.remote(self.client)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, RaywfError):
            log.error("internal work of the client failed", exc_info=error)
