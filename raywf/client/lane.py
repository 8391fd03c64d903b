"""The client's end of a lane: batches submits to the actors that hold it, and hears from them how executions end.

Whatever is asked may be asked again: a submit whose answer was lost is sent again under the same id, endings are
acknowledged by number, and what an actor does not know any more is read from the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from raywf.core.ids import shard_of
from raywf.errors import NotConnected, RaywfError
from raywf.ports import DefinitionRow, Entropy
from raywf.runtime.parts import SubmitRequest
from raywf.runtime.spec import ActorSpec

log = logging.getLogger("raywf.client")
BATCH = 500
IN_FLIGHT = 4
POLL_S = 20.0
PATIENCE_S = 60.0
_LONGEST_PAUSE_S = 2.0


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


class Member:
    """One workflow actor of the lane, as seen from here."""

    def __init__(self, lane: Lane, index: int, handle: Any) -> None:
        self.lane = lane
        self.index = index
        self.handle = handle
        self.known: set[str] = set()
        self.queue: list[tuple[_Pending, int]] = []
        self.flying = 0
        self.acknowledged = 0
        self.poller: asyncio.Task[None] | None = None


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
        self._relinking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self.broken: RaywfError | None = None

    async def open(self) -> None:
        names = await self._patiently(lambda: self._supervisor.ensure.remote(self.spec))
        await self._link(names)

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

    async def _link(self, names: list[str]) -> None:
        for index, name in enumerate(names):
            handle = self._reach.find_actor(name, self.spec.ray_namespace)
            if handle is None:
                raise NotConnected(f"the workflow actor {name} vanished while this client connected: connect again")
            member = Member(self, index, handle)
            for blob in self._code():
                await handle.receive.remote(blob)
            if index < len(self._members):
                before = self._members[index]
                member.queue = before.queue
                if before.poller is not None:
                    before.poller.cancel()
                self._members[index] = member
            else:
                self._members.append(member)
            member.poller = self._spawn(self._poll(member))

    def _member(self, execution_id: str) -> Member:
        return self._members[shard_of(execution_id) % len(self._members)]

    # submitting

    async def submit(self, requests: Sequence[SubmitRequest]) -> list[tuple[str, str]]:
        """Start executions. Answers per request ("new" | "same" | "closed" | "taken", detail) once they are on disk."""
        if self.broken is not None:
            raise self.broken
        pending = _Pending(requests, self._loop)
        touched: dict[int, Member] = {}
        for index, request in enumerate(requests):
            member = self._member(request.id)
            member.queue.append((pending, index))
            touched[member.index] = member
        for member in touched.values():
            self._pump(member)
        await pending.missing
        return [answer for answer in pending.answers if answer is not None]

    def _pump(self, member: Member) -> None:
        while member.queue and member.flying < IN_FLIGHT and self._members[member.index] is member:
            batch, member.queue = member.queue[:BATCH], member.queue[BATCH:]
            member.flying += 1
            self._spawn(self._send(member, batch))

    async def _send(self, member: Member, batch: list[tuple[_Pending, int]]) -> None:
        requests = [pending.requests[index] for pending, index in batch]
        wanted = {request.definition for request in requests} - member.known
        definitions = [row for hash_ in wanted for row in self._definitions(hash_)]
        try:
            answers = await member.handle.submit.remote(
                self.client, definitions, [tuple(request) for request in requests], True
            )
        except self._reach.OutOfReach as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, RaywfError) and not isinstance(cause, NotConnected):
                self._fail(batch, cause)
                return
            await self._again(member, batch)
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
        if moved:
            await self._again(member, moved)
        self._pump(member)

    def _answer(self, pending: _Pending, index: int, answer: tuple[str, str]) -> None:
        pending.answers[index] = answer
        pending.left -= 1
        if pending.left == 0 and not pending.missing.done():
            pending.missing.set_result(None)

    def _fail(self, batch: list[tuple[_Pending, int]], error: Exception) -> None:
        for pending, _ in batch:
            if not pending.missing.done():
                pending.missing.set_exception(error)

    async def _again(self, member: Member, batch: list[tuple[_Pending, int]]) -> None:
        """The answer was lost: send the same again, as requests that may have been accepted already."""
        by_pending = {id(pending): pending for pending, _ in batch}
        for pending in by_pending.values():
            pending.requests = [request._replace(fresh=False) for request in pending.requests]
        try:
            await self._relink(member)
        except RaywfError as error:
            self._fail(batch, error)
            return
        current = self._members[member.index]
        current.queue.extend(batch)
        self._pump(current)

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
                    self._ended(id_, kind, task, data)

    # when an actor is gone

    async def _relink(self, member: Member) -> None:
        """Wait until somebody else has taken this member's place. Its successor may die, too, while we take up with it."""
        while self._members[member.index] is member and not self._closed:
            if self._relinking is None or self._relinking.done():
                self._relinking = self._spawn(self._link_again())
            await asyncio.shield(self._relinking)

    async def _link_again(self) -> None:
        """Take up with the lane's actors where we were with their predecessors."""
        try:
            while True:
                names = await self._patiently(lambda: self._supervisor.members.remote(self.spec.lane))
                if len(names) < self.spec.count:
                    names = await self._patiently(lambda: self._supervisor.ensure.remote(self.spec))
                try:
                    await self._link(names)
                    await self._watch_again()
                    break
                except self._reach.OutOfReach:
                    pass
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
        for member in self._members:
            self._pump(member)

    async def _watch_again(self) -> None:
        """Ask the new actors how what we wait for ends; what they do not hold has ended, and the store tells how."""
        watched = self._watched(self.spec.lane)
        for member in self._members:
            mine = [id_ for id_ in watched if self._member(id_) is member]
            for start in range(0, len(mine), 5000):
                missing = await member.handle.watch.remote(self.client, mine[start : start + 5000])
                await self._look(missing)

    async def watch(self, execution_id: str) -> bool:
        """Hear of the end of an execution that was started elsewhere. False: it is not open here."""
        member = self._member(execution_id)
        try:
            return not await member.handle.watch.remote(self.client, [execution_id])
        except self._reach.OutOfReach:
            await self._relink(member)
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
            self._member(execution_id).handle.poke.remote()

    async def close(self) -> None:
        self._closed = True
        for member in self._members:
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
