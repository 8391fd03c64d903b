"""A discrete-event model of raywf's flow of executions, from costs measured in one run.

    client --batches--> actor's loop --rows--> commit buffer --group commit--> store --+--> next turn of the loop, or the client
       ^____________________________ endings ___________________________________________|

What is served one at a time: a core of a node (first come, first served, in slices), the loop of an actor, the commit in
flight of an actor, a writer of the store. An execution of k tasks goes through k + 1 turns, each followed by a commit.

Three things make the flow slower than its costs say, and a model without them foretells a third too much:

- What follows from a commit is the loop's work, and comes before the next commit (``GroupCommit``). So loop and writer of one
  actor take turns, and its rate is that of their sum.
- A client checks all inputs before it sends the first: until then nobody else has anything to do.
- It has at most ``IN_FLIGHT`` batches on their way that were not accepted yet.

Pure: no clock, no chance, no I/O.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

Then = Callable[[], None]


ROWS_PER_COMMIT = 4_000
IN_FLIGHT = 4
SLICE_S = 0.005
"""How long a core works on one thing while another waits."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Per execution, in µs of processor time: the client, the actor's loop, its writer thread, everybody else on the node
    (Ray's processes), the processes of a server. ``bind_us`` of the client's come before anything is sent. ``fixed_ms``: a
    commit of nothing, waiting for the disk. ``turns`` per execution."""

    client_us: float
    loop_us: float
    writer_us: float
    others_us: float
    fixed_ms: float
    server_us: float = 0.0
    bind_us: float = 0.0
    turns: int = 6

    @classmethod
    def of(cls, figures: Mapping[str, float]) -> Costs:
        """From the figures of a row ``throughput`` of ``scale_rows``."""
        names = ("client_us", "loop_us", "writer_us", "others_us", "fixed_ms")
        rest = {name: figures.get(name, 0.0) for name in ("server_us", "bind_us")}
        return cls(**{name: figures[name] for name in names}, **rest)

    def rows(self, left: int) -> int:
        """Of the commit of one execution's turn, ``left`` turns before its end: its own row, or its last status, is two."""
        return 3 if left in (self.turns, 1) else 1


@dataclass(frozen=True, slots=True)
class Shape:
    """``nodes`` of ``cores`` with ``actors`` each, and a client for every actor on a machine of its own unless
    ``client_here`` (then one, on the first node). ``stores`` with ``writers`` each. A store is a file whose writing is the
    actor's node's work; or a ``server``, with its work done on the first node (``here``) or on machines of its own."""

    nodes: int = 1
    cores: int = 2
    actors: int = 1
    client_here: bool = True
    stores: int = 1
    writers: int = 1
    server: str | None = None
    batch: int = 500


@dataclass(frozen=True, slots=True)
class Flow:
    """Executions per second, and how busy each kind of thing was: the mean share of its time."""

    per_s: float
    busy: dict[str, float]

    @property
    def saturated(self) -> str:
        return max(self.busy, key=lambda name: self.busy[name])


class _Events:
    """What happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Then]] = []
        self._number = itertools.count()

    def after(self, seconds: float, then: Then) -> None:
        heapq.heappush(self._heap, (self.now + seconds, next(self._number), then))

    def run(self) -> None:
        while self._heap:
            self.now, _, then = heapq.heappop(self._heap)
            then()


class _Servers:
    """``n`` servers and one queue."""

    def __init__(self, events: _Events, n: int) -> None:
        self._events, self._n, self._free = events, n, n
        self._queue: deque[Callable[[Then], None]] = deque()
        self._busy_since, self._busy_s = 0.0, 0.0

    def hold(self, work: Callable[[Then], None]) -> None:
        """Have ``work`` called with a server; it gives it back by calling what it is given."""
        self._queue.append(work)
        self._serve()

    def run(self, seconds: float, then: Then) -> None:
        def work(release: Then) -> None:
            def done() -> None:
                release()
                then()

            self._events.after(seconds, done)

        self.hold(work)

    def busy(self) -> float:
        self._count()
        return self._busy_s / (self._n * self._events.now) if self._events.now else 0.0

    def _count(self) -> None:
        self._busy_s += (self._n - self._free) * (self._events.now - self._busy_since)
        self._busy_since = self._events.now

    def _serve(self) -> None:
        while self._free and self._queue:
            self._count()
            self._free -= 1
            self._queue.popleft()(self._release)

    def _release(self) -> None:
        self._count()
        self._free += 1
        self._serve()


def _spend(cores: _Servers, seconds: float, then: Then) -> None:
    """Processor time, a slice at a time."""
    now = min(seconds, SLICE_S)
    left = seconds - now
    cores.run(now, then if left <= 0.0 else lambda: _spend(cores, left, then))


class _Thread:
    """Does one thing at a time, on some core."""

    def __init__(self, events: _Events, cores: _Servers) -> None:
        self._one, self._cores = _Servers(events, 1), cores

    def work(self, seconds: float, then: Then) -> None:
        def with_thread(release: Then) -> None:
            def done() -> None:
                release()
                then()

            _spend(self._cores, seconds, done)

        self._one.hold(with_thread)

    def busy(self) -> float:
        return self._one.busy()


class _Client:
    """Checks all inputs, then sends batches to its actors and hears of endings."""

    def __init__(self, events: _Events, cores: _Servers, costs: Costs, batch: int) -> None:
        self.thread, self._costs, self._batch = _Thread(events, cores), costs, batch

    def submit_many(self, actors: Sequence[_Actor], executions: int) -> None:
        """So many to each of the actors."""
        flights = [_Flights(actor) for actor in actors]
        sizes = [min(self._batch, executions - first) for first in range(0, executions, self._batch)]
        queue = deque((flight, size) for size in sizes for flight in flights)
        share_us = (self._costs.client_us - self._costs.bind_us) / 2  # of sending it; as much again of its ending

        def next_batch() -> None:
            if queue:
                flight, size = queue.popleft()
                self.thread.work(size * share_us / 1e6, lambda: made(flight, size))

        def made(flight: _Flights, size: int) -> None:
            flight.send(size, lambda: self.thread.work(size * share_us / 1e6, lambda: None))
            next_batch()

        self.thread.work(executions * len(actors) * self._costs.bind_us / 1e6, next_batch)


class _Flights:
    """A client's batches on their way to one actor."""

    def __init__(self, actor: _Actor) -> None:
        self._actor, self._flying = actor, 0
        self._queue: deque[tuple[int, Then]] = deque()

    def send(self, executions: int, ended: Then) -> None:
        self._queue.append((executions, ended))
        self._pump()

    def _pump(self) -> None:
        while self._queue and self._flying < IN_FLIGHT:
            self._flying += 1
            executions, ended = self._queue.popleft()
            self._actor.take(executions, self._accepted, ended)

    def _accepted(self) -> None:
        self._flying -= 1
        self._pump()


class _Batch(NamedTuple):
    """Executions that go through their turns together: how many are left, and whom to tell of their acceptance and end."""

    executions: int
    left: int
    accepted: Then
    ended: Then


@dataclass(slots=True)
class _Segment:
    """What one commit carries."""

    rows: int = 0
    turned: list[_Batch] = field(default_factory=list)


class _Actor:
    """A loop and a commit buffer, as ``journal.group_commit`` has it. ``write`` does a commit of so many turns."""

    def __init__(
        self, events: _Events, cores: _Servers, costs: Costs, write: Callable[[_Servers, int, Then], None]
    ) -> None:
        self._cores, self._costs, self._write = cores, costs, write
        self.loop = _Thread(events, cores)
        self._segments: deque[_Segment] = deque([_Segment()])
        self._committing = False

    def take(self, executions: int, accepted: Then, ended: Then) -> None:
        self._turn([_Batch(executions, self._costs.turns, accepted, ended)], self._commit)

    def _turn(self, batches: list[_Batch], then: Then) -> None:
        """A turn of each, and their rows in the buffer."""

        def turned() -> None:
            for batch in batches:
                segment = self._segments[-1]
                segment.turned.append(batch)
                segment.rows += batch.executions * self._costs.rows(batch.left)
                if segment.rows >= ROWS_PER_COMMIT:
                    self._segments.append(_Segment())
            then()

        share = sum(batch.executions for batch in batches) / self._costs.turns / 1e6
        _spend(self._cores, share * self._costs.others_us, lambda: None)
        self.loop.work(share * self._costs.loop_us, turned)

    def _commit(self) -> None:
        if not self._committing and self._segments[0].turned:
            self._committing = True
            self._write(self._cores, sum(batch.executions for batch in self._segments[0].turned), self._written)
            if len(self._segments) == 1:
                self._segments.append(_Segment())

    def _written(self) -> None:
        on_disk = self._segments.popleft().turned
        for batch in on_disk:
            if batch.left == self._costs.turns:
                batch.accepted()
            if batch.left == 1:
                batch.ended()

        def turned() -> None:
            self._committing = False
            self._commit()

        self._turn([batch._replace(left=batch.left - 1) for batch in on_disk if batch.left > 1], turned)


def _writing(events: _Events, store: _Servers, home: _Servers, costs: Costs, shape: Shape) -> Any:
    """How a commit is written to this store: ``(the actor's cores, executions' turns, then)``."""

    def write(cores: _Servers, turns: int, then: Then) -> None:
        share = turns / costs.turns / 1e6

        def with_writer(release: Then) -> None:
            def done() -> None:
                release()
                then()

            def synced() -> None:
                events.after(costs.fixed_ms / 1e3, done)

            if shape.server is None:
                _spend(cores, share * costs.writer_us, synced)
            elif shape.server == "here":
                _spend(home, share * costs.server_us, synced)
            else:
                events.after(share * costs.server_us, synced)

        if shape.server is None:
            store.hold(with_writer)
        else:  # encoding is the actor's, storing the server's
            _spend(cores, share * costs.writer_us, lambda: store.hold(with_writer))

    return write


def flow(costs: Costs, shape: Shape, executions: int) -> Flow:
    """``executions`` per actor, submitted at once by ``submit_many``, to the last ending in its client."""
    events = _Events()
    stores = [_Servers(events, shape.writers) for _ in range(shape.stores)]
    nodes = [_Servers(events, shape.cores) for _ in range(shape.nodes)]
    actors = []
    for number in range(shape.nodes * shape.actors):
        write = _writing(events, stores[number % shape.stores], nodes[0], costs, shape)
        actors.append(_Actor(events, nodes[number // shape.actors], costs, write))
    if shape.client_here:
        clients = [_Client(events, nodes[0], costs, shape.batch)]
        clients[0].submit_many(actors, executions)
    else:
        clients = [_Client(events, _Servers(events, 1), costs, shape.batch) for _ in actors]
        for client, actor in zip(clients, actors, strict=True):
            client.submit_many([actor], executions)
    events.run()
    kinds: dict[str, list[Any]] = {
        "client": [client.thread for client in clients],
        "actor": [actor.loop for actor in actors],
        "cores": nodes,
        "store": stores,
    }
    busy = {kind: sum(each.busy() for each in those) / len(those) for kind, those in kinds.items()}
    return Flow(executions * len(actors) / events.now, busy)


@dataclass(frozen=True, slots=True)
class Point:
    """A flow on some nodes. ``linear``: its share of so many times the flow of one node. ``store_busy``: of the stores' time."""

    nodes: int
    per_s: float
    linear: float
    store_busy: float
    saturated: str


def server(stores: int) -> Shape:
    """Nodes of two cores with two workflow actors each, their clients elsewhere, and so many servers."""
    return Shape(actors=2, client_here=False, stores=stores, server="elsewhere")


def growth(costs: Costs, shape: Shape, nodes: Sequence[int], executions: int) -> list[Point]:
    """The flow at each number of nodes, ``executions`` per actor."""
    one = flow(costs, replace(shape, nodes=1), executions).per_s
    flows = [(n, flow(costs, replace(shape, nodes=n), executions)) for n in nodes]
    return [Point(n, found.per_s, found.per_s / (n * one), found.busy["store"], found.saturated) for n, found in flows]
