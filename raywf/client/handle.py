"""The handle of one execution, in asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raywf.client.exporting import ExportedExecution
from raywf.client.reading import ExecutionDescription, HistoryEvent
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

    async def approve(self, by: str, comment: str = "", task: str | None = None) -> None:
        """Approve what the execution waits for. ``task`` says which, where there are several."""
        await self._engine._commands().decide(self._id, True, by, comment, task)
        self._engine._poke(self._id)

    async def reject(self, by: str, comment: str = "", task: str | None = None) -> None:
        await self._engine._commands().decide(self._id, False, by, comment, task)
        self._engine._poke(self._id)
