"""The handle of one execution, in asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from raywf.client.exporting import ExportedExecution
from raywf.client.queries import query
from raywf.client.reading import ExecutionDescription, HistoryEvent
from raywf.client.streams import StreamItem, stream
from raywf.client.updates import answer
from raywf.client.why import Explanation

if TYPE_CHECKING:
    from raywf.client.engine import AsyncWorkflowEngine


class AsyncExecutionHandle:
    """One execution. Cheap to make; every method may be called any number of times."""

    __slots__ = ("_engine", "_id", "_waiting")

    def __init__(self, engine: AsyncWorkflowEngine, execution_id: str) -> None:
        self._engine = engine
        self._id = execution_id
        self._waiting = engine._results.of(execution_id)

    @property
    def id(self) -> str:
        return self._id

    def __repr__(self) -> str:
        return f"<execution {self._id}>"

    async def status(self) -> str:
        """The execution's status, from the store."""
        return (await self._engine._readings().row(self._id)).status

    async def result(self, timeout: float | None = None) -> Any:
        """The result, once the execution has ended.

        Raises ``WorkflowFailed``, ``WorkflowCancelled``, or ``ResultTimeout`` after ``timeout`` seconds (the execution
        goes on).
        """
        return await self._engine._results.wait(self._id, self._waiting, timeout)

    async def describe(self) -> ExecutionDescription:
        return await self._engine._readings().describe(self._id)

    async def why(self) -> Explanation:
        """What the execution waits for and who holds it, in words."""
        return await self._engine.why(self._id)

    async def history(self) -> list[HistoryEvent]:
        return await self._engine._readings().history(self._id)

    async def export(self) -> ExportedExecution:
        """The execution with its children as it is now: ``save(path)`` writes it. Raises ``InvalidInput`` for a child."""
        return await self._engine.export(self._id)

    async def graph(self) -> str:
        """Mermaid, with the state of each task."""
        return await self._engine._readings().graph(self._id)

    async def cancel(self, reason: str = "") -> bool:
        """Ask the execution to end. Returns at once; a no-op, and False, on one that has ended or is compensating."""
        asked = await self._engine._commands().cancel(self._id, reason)
        self._engine._poke(self._id)
        return asked

    async def pause(self, reason: str = "") -> bool:
        """Let nothing new start: what runs ends and is kept, signals are kept, no timer fires. Returns at once; False if
        it is paused already. Raises ``ExecutionClosed``."""
        asked = await self._engine._commands().pause(self._id, reason)
        self._engine._poke(self._id)
        return asked

    async def resume(self) -> None:
        """Let a paused execution go on. Raises ``ExecutionClosed``."""
        await self._engine._commands().resume(self._id)
        self._engine._poke(self._id)

    async def retry(self) -> bool:
        """Open the execution again, if it failed or was cancelled: what completed is kept, what did not is run, and what
        was taken back is run once more. ``result()`` then waits for the new end. Returns at once; False where this end has
        been retried already. Raises ``ExecutionClosed`` for a completed one, ``InvalidInput`` for one that is open."""
        from raywf.client.rerunning import retry

        asked = await retry(self._engine._commands(), self._id)
        self._waiting.again(asked.end)
        await self._engine._hold((await self._engine._readings().row(self._id)).lane)
        self._engine._poke(self._id)
        return asked.new

    async def resolve(
        self, task: str, outcome: str, value: Any = None, *, by: str | None = None, comment: str = ""
    ) -> None:
        """Say what became of an at-most-once task in doubt: ``outcome`` is ``"retry"``, ``"completed"`` (its result is
        ``value``) or ``"failed"``. The first answer counts."""
        await self._engine._commands().resolve(self._id, task, outcome, value, comment, by)
        self._engine._poke(self._id)

    async def signal(self, name: str, payload: Any = None, id: str | None = None) -> None:
        """Send a signal. With an ``id``, a repeat is a no-op."""
        await self._engine._commands().signal(self._id, name, payload, id)
        self._engine._poke(self._id)

    async def update(self, name: str, payload: Any = None, timeout: float | None = None, id: str | None = None) -> Any:
        """Send an update, and wait for its answer: what the task that ``raywf.wait_update`` names gave, or None where the
        workflow only takes it. With an ``id`` a repeat counts once and gets the same answer. Raises ``InvalidInput`` when the
        validator refuses it, ``ResultTimeout`` after ``timeout`` seconds, ``ExecutionClosed``, and what ``result`` raises
        where the execution ends without an answer."""
        sent = await self._engine._commands().update(self._id, name, payload, id)
        self._engine._poke(self._id)
        return await answer(self._engine._readings(), self._id, name, sent, timeout)

    async def query(self, path: str) -> Any:
        """The recorded value at a path, of an open or a closed execution: ``input.user``, ``result``, or a task and the keys
        inside its result, as in ``write.title``, ``score[3].value``, ``step@2``. Raises ``NotFound`` where there is none (yet),
        ``InvalidInput`` for what is no path."""
        return await query(self._engine._readings(), self._id, path)

    def stream(self, task: str | None = None, offset: int = 0, wait: bool = True) -> AsyncIterator[StreamItem]:
        """What ``task`` (or every task) emits, from item ``offset`` on, until it or the execution has ended; afterwards too.
        ``wait=False``: what is there now. Raises ``NotFound``, ``InvalidInput``."""
        return stream(self._engine._readings(), self._id, task, offset, wait)

    async def approve(self, by: str, comment: str = "", task: str | None = None) -> bool:
        """Approve what the execution waits for. ``task`` says which, where there are several. False: ``by`` has approved it
        before. Raises ``PermissionDenied`` for a person who is not asked, ``InvalidInput`` where nothing is asked or ``by``
        has rejected it, ``ExecutionClosed``."""
        new = await self._engine._commands().decide(self._id, True, by, comment, task)
        self._engine._poke(self._id)
        return new

    async def reject(self, by: str, comment: str = "", task: str | None = None) -> bool:
        """Reject it; as ``approve``."""
        new = await self._engine._commands().decide(self._id, False, by, comment, task)
        self._engine._poke(self._id)
        return new
