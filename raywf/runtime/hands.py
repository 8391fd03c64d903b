"""The hands of the host, as it sees them: what writes its events down, and what runs its attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from raywf.core.effects import StartAttempt
from raywf.core.plan import Node
from raywf.ports import CachedRow, DefinitionRow, EventRow, ExecutionRow, Redefinition, SnapshotRow, StatusChange

if TYPE_CHECKING:
    from raywf.runtime.live import Live


class Commits(Protocol):
    """The commit buffer, as the host uses it. Everything here is synchronous."""

    def add_events(self, shard: int, rows: list[EventRow]) -> None: ...
    def add_turn(self, shard: int, rows: list[EventRow], then: Callable[[], None]) -> None: ...
    def add_opened(self, row: ExecutionRow, definition: DefinitionRow | None) -> None: ...
    def add_definition(self, shard: int, definition: DefinitionRow) -> None: ...
    def add_changed(self, shard: int, change: StatusChange) -> None: ...
    def add_snapshot(self, shard: int, row: SnapshotRow) -> None: ...
    def add_cached(self, shard: int, row: CachedRow) -> None: ...
    def add_redefined(self, shard: int, row: Redefinition) -> None: ...
    def add_taken(self, inbox_id: int) -> None: ...
    def on_durable(self, callback: Callable[[], None]) -> None: ...
    async def drain(self) -> None: ...


class Work(Protocol):
    """Whoever runs attempts for the host: in this process, or as Ray tasks."""

    def start(self, live: Live, node: Node, effect: StartAttempt) -> Any:
        """Begin an attempt; its outcome comes back through ``Host.ended``, never before this has returned. Returns a
        handle for ``cancel``."""
        ...

    def has_begun(self, handle: Any) -> bool | None:
        """Whether the attempt has left the queue; None when it is not even in one."""
        ...

    def is_brief(self, handle: Any) -> bool:
        """Whether an attempt that has begun is expected to end in a moment: then nobody need know that it began."""
        ...

    def cancel(self, handle: Any) -> None:
        """Ask the attempt to end. Whichever way it ends is reported."""
        ...

    def aside(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Compute something beside the loop; ``done`` is called on it."""
        ...
