"""SQLite and its twin in memory cannot be told apart: a machine looks for the order of calls that shows a difference."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raywf.errors import LeaseLost
from raywf.journal import KeysTaken
from raywf.journal.memory import MemoryJournal, forget
from raywf.journal.sqlite import SqliteJournal
from raywf.ports import Batch, DefinitionRow, Journal, SnapshotRow, StatusChange
from raywf.testing.journal_contract import LEASE_S, ManualClock, a_command, an_event, an_execution, an_owner

OWNERS = st.sampled_from(["a", "b", "c"])
LANES = st.sampled_from(["lane-1", "lane-2"])
SHARDS = st.lists(st.integers(0, 3), max_size=4)
KEYS = st.integers(1, 6)
IDS = st.integers(1, 6).map("e-{}".format)
EVENTS = st.lists(st.tuples(KEYS, st.integers(1, 4)), max_size=4)
STATUSES = st.sampled_from(["running", "waiting", "completed", "failed"])


def execution(key: int, id_: str, lane: str) -> Any:
    return an_execution(key, id=id_, lane=lane, shard=key % 4, tags={"odd": str(key % 2)})


def change(key: int, status: str) -> StatusChange:
    ended_at = 1_000_000.5 if status in ("completed", "failed") else None
    wake_at = 10.0 * key if status == "waiting" else None
    return StatusChange(key, status, ended_at, "a signal" if status == "waiting" else None, wake_at)


class Twins(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.folder = Path(tempfile.mkdtemp(prefix="raywf-twins-", dir="/tmp"))
        self.name = uuid.uuid4().hex
        self.memory = MemoryJournal(self.name, clock=self.clock)
        self.sqlite = SqliteJournal(self.folder / "x.db", clock=self.clock)
        self.believed: dict[tuple[str, str], dict[int, int]] = {}

    def teardown(self) -> None:
        self.loop.run_until_complete(self.sqlite.close())
        self.loop.close()
        shutil.rmtree(self.folder)
        forget(self.name)

    def both(self, call: Callable[[Journal], Awaitable[Any]]) -> Any:
        """What both answer, or how both refuse."""
        answers = [self.loop.run_until_complete(self._outcome(call, each)) for each in (self.memory, self.sqlite)]
        assert answers[0] == answers[1]
        return answers[0]

    @staticmethod
    async def _outcome(call: Callable[[Journal], Awaitable[Any]], journal: Journal) -> Any:
        try:
            return await call(journal)
        except LeaseLost as error:
            return "LeaseLost", error.shards
        except KeysTaken as error:
            return "KeysTaken", error.keys

    @rule(owner=OWNERS, lane=LANES, shards=SHARDS, dead=st.lists(OWNERS, max_size=2))
    def claim(self, owner: str, lane: str, shards: list[int], dead: list[str]) -> None:
        name = f"{owner}-{lane}"
        held = self.both(
            lambda journal: journal.claim(
                an_owner(name, lane), shards, LEASE_S, dead=[f"{each}-{lane}" for each in dead]
            )
        )
        self.believed.setdefault((name, lane), {}).update(held)

    @rule(owner=OWNERS, lane=LANES)
    def renew(self, owner: str, lane: str) -> None:
        self.both(lambda journal: journal.renew(f"{owner}-{lane}", LEASE_S))

    @rule(owner=OWNERS, lane=LANES)
    def release(self, owner: str, lane: str) -> None:
        self.both(lambda journal: journal.release(f"{owner}-{lane}"))

    @rule(seconds=st.sampled_from([0.5, 1.0, LEASE_S]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(
        owner=OWNERS,
        lane=LANES,
        opened=st.lists(st.tuples(KEYS, IDS), max_size=3),
        events=EVENTS,
        changed=st.lists(st.tuples(KEYS, STATUSES), max_size=3),
        taken=st.lists(st.integers(1, 6), max_size=2),
        definition=st.sampled_from([None, "one", "two"]),
        snapshots=st.lists(st.tuples(KEYS, st.integers(1, 3), st.none() | st.just(b"x")), max_size=3),
    )
    def commit(
        self,
        owner: str,
        lane: str,
        opened: list[tuple[int, str]],
        events: list[tuple[int, int]],
        changed: list[tuple[int, str]],
        taken: list[int],
        definition: str | None,
        snapshots: list[tuple[int, int, bytes | None]],
    ) -> None:
        """A batch under the epochs this owner believes in, true or not."""
        name = f"{owner}-{lane}"
        believed = self.believed.get((name, lane), {})
        touched = {each[0] % 4 for each in (*opened, *events, *changed, *snapshots)}
        batch = Batch(
            lane,
            name,
            {shard: believed.get(shard, 1) for shard in touched},
            [DefinitionRow(definition, "answer", "1", b"{}")] if definition else [],
            [execution(key, id_, lane) for key, id_ in opened],
            [an_event(key, seq) for key, seq in events],
            [change(key, status) for key, status in changed],
            taken,
            [SnapshotRow(*each) for each in snapshots],
        )
        self.both(lambda journal: journal.commit(batch))

    @rule(id_=IDS, lane=LANES, command=st.integers(1, 3))
    def send(self, id_: str, lane: str, command: int) -> None:
        self.both(lambda journal: journal.send(a_command(id_, f"c-{command}", lane=lane)))

    @rule(
        status=st.none() | STATUSES,
        tags=st.none() | st.sampled_from([{}, {"odd": "1"}, {"odd": "x"}]),
        limit=st.integers(1, 4),
        after=st.none() | IDS,
    )
    def look(self, status: str | None, tags: dict[str, str] | None, limit: int, after: str | None) -> None:
        self.both(lambda journal: journal.executions("default", status=status, tags=tags, limit=limit, after=after))

    @rule(lane=LANES, shards=SHARDS)
    def load(self, lane: str, shards: list[int]) -> None:
        async def loaded(journal: Journal) -> list[Any]:
            return [item async for item in journal.load_open(lane, shards)]

        self.both(loaded)

    @rule(lane=LANES, shards=SHARDS, until=st.sampled_from([5.0, 30.0, 99.0]), limit=st.integers(1, 3))
    def sleep(self, lane: str, shards: list[int], until: float, limit: int) -> None:
        self.both(lambda journal: journal.due(lane, shards, until, limit))
        self.both(lambda journal: journal.next_wake(lane, shards, until - 5.0))
        self.both(lambda journal: journal.load(range(1, 7)))

    @invariant()
    def they_agree(self) -> None:
        for key in range(1, 7):
            self.both(lambda journal, key=key: journal.history(key))  # type: ignore[misc]
        self.both(lambda journal: journal.closings(range(1, 7)))
        self.both(lambda journal: journal.executions("default"))
        self.both(lambda journal: journal.existing("default", [f"e-{n}" for n in range(7)]))
        self.both(lambda journal: journal.owners())
        self.both(lambda journal: journal.count_open("default"))
        self.both(lambda journal: journal.open_lanes("default"))
        for lane in ("lane-1", "lane-2"):
            self.both(lambda journal, lane=lane: journal.inbox(lane, 0))  # type: ignore[misc]
        for name in ("one", "two"):
            self.both(lambda journal, name=name: journal.definition(name))  # type: ignore[misc]


class TestTwins(Twins.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.long
@pytest.mark.timeout(900)
class TestTwinsAtLength(Twins.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(
        max_examples=600, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
