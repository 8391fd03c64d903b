"""What every part of an engine (``LimitsOfEngine`` and its like) needs of the whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from raywf.client.commands import Commands
from raywf.client.reading import Readings
from raywf.definition.workflows import Workflow

if TYPE_CHECKING:
    from raywf.client.lane import Lane


class OfEngine(ABC):
    """A part of ``AsyncWorkflowEngine``, which is made of them and has all that is abstract here."""

    namespace: str
    store: str

    @abstractmethod
    def _commands(self) -> Commands:
        """Raises ``NotConnected`` once the engine is closed, as ``_readings`` does."""

    @abstractmethod
    def _readings(self) -> Readings: ...

    @abstractmethod
    def _poke(self, execution_id: str) -> None:
        """Have whoever holds the execution look into the inbox now."""

    @abstractmethod
    async def _lane(self, isolated: str | None) -> Lane: ...

    @abstractmethod
    async def _prepare(self, lane: Lane, workflow: Workflow[..., Any]) -> None: ...
