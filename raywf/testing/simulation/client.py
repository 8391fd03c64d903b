"""A program that uses the engine: submits, commands, waits; and, when it dies, its successor that does the same again.

``client.Lane`` is the real one. What ``AsyncWorkflowEngine`` adds to it (finding an engine, results as objects) is not
simulated; asking again, as its ``submit`` and ``result`` do, is done here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from raywf.client.lane import Lane
from raywf.core.migrating import Rules
from raywf.definition.inputs import bind_input
from raywf.definition.model import WorkflowDefinition
from raywf.errors import AlreadyExists, RaywfError, StoreUnavailable
from raywf.ports import InboxRow
from raywf.runtime.definitions import definition_row
from raywf.runtime.migrating import rules_data
from raywf.runtime.parts import SubmitRequest
from raywf.testing.simulation.cast import LANE, Stage, spec_for
from raywf.testing.simulation.catalogue import Case
from raywf.testing.simulation.loop import EPOCH, Process

RECHECK_S = 5.0


class Client:
    """One life of the program. ``wanted``: execution id -> case, and when it is submitted."""

    def __init__(self, stage: Stage, process: Process, wanted: dict[str, tuple[Case, float]], count: int) -> None:
        self.stage = stage
        self.process = process
        self.wanted = wanted
        self.spec = spec_for(count)
        self.journal = stage.journal(process)
        self.endings: dict[str, tuple[str, str | None, bytes | None]] = {}
        self.waiting: set[str] = set()
        self.retried: set[str] = set()
        self.lane: Lane | None = None

    async def main(self, done: Callable[[], None]) -> None:
        await asyncio.gather(*(self._one(id_, case, at) for id_, (case, at) in self.wanted.items()))
        done()

    async def _one(self, id_: str, case: Case, at: float) -> None:
        await asyncio.sleep(at)
        self.waiting.add(id_)
        await self._until_accepted(id_, case)
        commands = asyncio.ensure_future(self._commands(id_, case))
        await self._until_ended(id_)
        if any(kind == "fork" for _, kind, _ in case.commands):
            await commands
            while not await self._is_over(f"{id_}-fork"):
                await asyncio.sleep(0.2)
        commands.cancel()
        for number in range(1, case.retries + 1):
            if self.endings[id_][0] != "execution_completed":
                await self._retry(id_, number)
        stored = self.stage.judge.ending(id_)
        kind = self.endings[id_][0].removeprefix("execution_")
        if stored is None or stored[0] != kind:
            self.stage.judge.fail("answers are true", f"{id_} was told to be {kind}, and on disk it is {stored}")

    async def _until_ended(self, id_: str) -> None:
        while id_ not in self.endings:
            await asyncio.sleep(0.2)
            if id_ in self.retried or self.process.chance.random() < 0.2 / RECHECK_S:
                await self._look([id_])

    async def _retry(self, id_: str, number: int) -> None:
        """Ask for retry ``number`` of an execution, unless a former life of this program has, and wait for the new end.
        What is pushed may be the end before: from here on only the store is believed, as ``client.results`` does."""
        self.retried.add(id_)
        command = f"{id_}-retry-{number}"
        row = InboxRow(0, "default", id_, LANE, "retry", b"{}", command, "me", self.process.clock.now())
        await self._send(row)
        if self.lane is not None and self.process.chance.random() < 0.7:
            self.lane.poke(id_)
        while await self._rounds(id_) < number:
            await asyncio.sleep(0.2)
        self.endings.pop(id_, None)
        await self._until_ended(id_)

    async def _is_over(self, id_: str) -> bool:
        try:
            row = (await self.journal.existing("default", [id_])).get(id_)
        except StoreUnavailable:
            return False
        return row is not None and row.ended_at is not None

    async def _rounds(self, id_: str) -> int:
        """How often an execution was retried, by its history."""
        try:
            rows = await self.journal.existing("default", [id_])
            history = await self.journal.history(rows[id_].key)
        except StoreUnavailable:
            return 0
        return sum(row.kind == "execution_retried" for row in history)

    async def _send(self, row: InboxRow) -> None:
        while True:
            try:
                await self.journal.send(row)
                break
            except StoreUnavailable:
                await asyncio.sleep(0.3)
        self.stage.judge.sent(row.execution, row.command_id, row.kind)

    async def _open(self) -> Lane:
        if self.lane is None or self.lane.broken is not None:
            lane = Lane(
                self.stage.supervisor_of(self.process),
                self.spec,
                definitions=lambda hash_: [self._definitions[hash_]],
                ended=self._ended,
                watched=lambda lane: sorted(self.waiting - set(self.endings)),
                look=self._look,
                code=list,
                reach=self.stage.ray(self.process),
                entropy=self.process.entropy,
            )
            await lane.open()
            self.lane = lane
        return self.lane

    @property
    def _definitions(self) -> dict[str, Any]:
        models = (case.workflow.definition for case, _ in self.wanted.values())
        return {model.content_hash: definition_row(model) for model in models}

    async def _until_accepted(self, id_: str, case: Case) -> None:
        # By a clock that is right: one that is an hour fast sets deadlines that are an hour late, and nobody could know.
        deadline = None if case.deadline_s is None else EPOCH + self.stage.world.now + case.deadline_s
        definition = case.workflow.definition
        input_ = bind_input(case.workflow, (case.x,), {})
        request = SubmitRequest(id_, False, definition.content_hash, input_, "f", 0, deadline, None, None, None)
        while True:
            try:
                lane = await self._open()
                [(answer, detail)] = await lane.submit([request])
                break
            except RaywfError as error:
                if isinstance(error, AlreadyExists):
                    raise
                await asyncio.sleep(0.5)
        if answer == "taken":
            self.stage.judge.fail("the same id is the same execution", f"{id_} is said to belong to {detail}")
        self.stage.judge.accept(id_, answer)
        if answer == "closed":
            await self._look([id_])

    async def _commands(self, id_: str, case: Case) -> None:
        begun = self.stage.world.now
        for number, (at, kind, body) in enumerate(case.commands):
            await asyncio.sleep(max(0.0, begun + at - self.stage.world.now))
            if kind in ("approve", "reject"):  # nobody answers before being asked
                await self._until_waiting(id_)
            command, target = f"{id_}-{number}", id_
            if kind == "fork":
                target, body = f"{id_}-fork", {"source": id_, "input": None, "fingerprint": "f", **body}
            if kind == "migrate":
                body = await self._migration(body["to"].definition)
            row = InboxRow(
                0, "default", target, LANE, kind, json.dumps(body).encode(), command, "me", self.process.clock.now()
            )
            await self._send(row)
            if self.lane is not None and self.process.chance.random() < 0.7:
                self.lane.poke(id_)

    async def _migration(self, definition: WorkflowDefinition) -> dict[str, Any]:
        """The body of a migration, once its definition is in the store."""
        while True:
            try:
                await self.journal.put_definition(definition_row(definition))
                break
            except StoreUnavailable:
                await asyncio.sleep(0.3)
        return {"definition": definition.content_hash, "rules": json.dumps(rules_data(Rules()))}

    async def _until_waiting(self, id_: str) -> None:
        while id_ not in self.endings:
            try:
                rows = await self.journal.existing("default", [id_])
            except StoreUnavailable:
                rows = {}
            if id_ in rows and rows[id_].status == "waiting":
                return
            await asyncio.sleep(0.3)

    def _ended(self, id_: str, kind: str, task: str | None, data: bytes | None) -> None:
        if id_ not in self.retried:
            self.endings.setdefault(id_, (kind, task, data))

    async def _look(self, ids: Sequence[str]) -> None:
        try:
            rows = await self.journal.existing("default", ids) if ids else {}
            closings = await self.journal.closings([row.key for row in rows.values()]) if rows else {}
        except StoreUnavailable:
            return
        for id_, row in rows.items():
            closing = closings.get(row.key)
            if closing is not None:
                self.endings.setdefault(id_, (closing.kind, closing.task, closing.data))
