"""A discrete-event model of raywf's flow of executions, from costs measured in one run.

    client --batches--> actor's loop --rows--> commit buffer --group commit--> store --+--> next turn of the loop, or the client
       ^____________________________ endings ___________________________________________|

What is served one at a time: a core of a node (first come, first served, in slices of a batch), the loop of an actor, the
commit in flight of an actor, a writer of the store. An execution of k tasks goes through k + 1 turns, each followed by
a commit; whatever has come while a commit was under way goes into the next. Pure: no clock, no chance, no I/O.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

Then = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Costs:
    """Per execution, in µs of processor time: the client, the actor's loop, its writer thread, everybody else on the node
    (Ray's processes). ``fixed_ms``: a commit of nothing, waiting for the disk. ``turns`` per execution."""

    client_us: float
    loop_us: float
    writer_us: float
    others_us: float
    fixed_ms: float
    turns: int = 6

    @classmethod
    def of(cls, figures: Mapping[str, float]) -> Costs:
        """From the figures of a row ``throughput`` of ``scale_rows``."""
        names = ("client_us", "loop_us", "writer_us", "others_us", "fixed_ms")
        return cls(**{name: figures[name] for name in names})


@dataclass(frozen=True, slots=True)
class Shape:
    """``nodes`` of ``cores`` with ``actors`` each, and a client for every actor on a machine of its own unless
    ``client_here`` (then one, on the first node). ``stores`` with ``writers`` each; their work is done on the actor's node
    (a file) unless ``server_us``, the store's own time per execution, is given."""

    nodes: int = 1
    cores: int = 2
    actors: int = 1
    client_here: bool = True
    stores: int = 1
    writers: int = 1
    server_us: float | None = None
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


class _Client:
    """Submits in batches and hears of endings; a core at a time."""

    def __init__(self, events: _Events, cores: _Servers, costs: Costs) -> None:
        self.thread, self._cores, self._costs = _Servers(events, 1), cores, costs

    def work(self, executions: int, then: Then) -> None:
        """Half of what an execution costs a client is its submission, the other half its ending."""
        seconds = executions * self._costs.client_us / 2e6

        def with_thread(release: Then) -> None:
            def done() -> None:
                release()
                then()

            self._cores.run(seconds, done)

        self.thread.hold(with_thread)


class _Actor:
    """A loop and a commit buffer."""

    def __init__(self, events: _Events, cores: _Servers, store: _Servers, costs: Costs, shape: Shape) -> None:
        self._events, self._cores, self._store, self._costs, self._shape = events, cores, store, costs, shape
        self.loop = _Servers(events, 1)
        self._buffer: list[tuple[int, Then]] = []
        self._committing = False

    def take(self, executions: int, ended: Then) -> None:
        self._turn(executions, self._costs.turns, ended)

    def _turn(self, executions: int, left: int, ended: Then) -> None:
        share = executions / self._costs.turns / 1e6

        def durable() -> None:
            self._turn(executions, left - 1, ended) if left > 1 else ended()

        def turned() -> None:
            self._buffer.append((executions, durable))
            self._commit()

        def with_loop(release: Then) -> None:
            def done() -> None:
                release()
                turned()

            self._cores.run(share * self._costs.loop_us, done)

        self._cores.run(share * self._costs.others_us, lambda: None)
        self.loop.hold(with_loop)

    def _commit(self) -> None:
        if self._committing or not self._buffer:
            return
        self._committing = True
        batch, self._buffer = self._buffer, []
        share = sum(executions for executions, _ in batch) / self._costs.turns / 1e6
        fixed_s = self._costs.fixed_ms / 1e3

        def done() -> None:
            self._committing = False
            for _, durable in batch:
                durable()
            self._commit()

        def finish(release: Then) -> Then:
            def finished() -> None:
                release()
                done()

            return finished

        def on_node(release: Then) -> None:
            self._cores.run(share * self._costs.writer_us, lambda: self._events.after(fixed_s, finish(release)))

        def on_server(release: Then) -> None:
            self._events.after(
                share * (self._shape.server_us or 0.0), lambda: self._events.after(fixed_s, finish(release))
            )

        if self._shape.server_us is None:
            self._store.hold(on_node)
        else:  # encoding is the node's work, storing is the server's, and the disk's wait holds nobody else up
            self._cores.run(share * self._costs.writer_us, lambda: self._store.hold(on_server))


def flow(costs: Costs, shape: Shape, executions: int) -> Flow:
    """``executions`` per actor, submitted at once by ``submit_many``, to the last ending in its client."""
    events = _Events()
    stores = [_Servers(events, shape.writers) for _ in range(shape.stores)]
    nodes = [_Servers(events, shape.cores) for _ in range(shape.nodes)]
    actors, clients = [], []
    near = _Client(events, nodes[0], costs)
    for number in range(shape.nodes * shape.actors):
        cores = nodes[number // shape.actors]
        actors.append(_Actor(events, cores, stores[number % shape.stores], costs, shape))
        clients.append(near if shape.client_here else _Client(events, _Servers(events, 1), costs))
    for first in range(0, executions, shape.batch):
        size = min(shape.batch, executions - first)
        for client, actor in zip(clients, actors, strict=True):
            _submit(client, actor, size)
    events.run()
    kinds = {
        "client": [client.thread for client in clients],
        "actor": [actor.loop for actor in actors],
        "cores": nodes,
        "store": stores,
    }
    busy = {kind: sum(each.busy() for each in those) / len(those) for kind, those in kinds.items()}
    return Flow(executions * len(actors) / events.now, busy)


def _submit(client: _Client, actor: _Actor, size: int) -> None:
    client.work(size, lambda: actor.take(size, lambda: client.work(size, lambda: None)))


@dataclass(frozen=True, slots=True)
class Point:
    """A flow on some nodes. ``linear``: its share of so many times the flow of one node. ``store_busy``: of the stores' time."""

    nodes: int
    per_s: float
    linear: float
    store_busy: float
    saturated: str


SERVER_PER_S = 16_000.0
"""What one PostgreSQL server takes of executions of five tasks by COPY: measured on two cores with nothing else to do."""


def server(stores: int) -> Shape:
    """Nodes of two cores with two workflow actors each, their clients elsewhere, and so many servers."""
    return Shape(actors=2, client_here=False, stores=stores, server_us=1e6 / SERVER_PER_S)


def growth(costs: Costs, shape: Shape, nodes: Sequence[int], executions: int) -> list[Point]:
    """The flow at each number of nodes, ``executions`` per actor."""
    one = flow(costs, replace(shape, nodes=1), executions).per_s
    flows = [(n, flow(costs, replace(shape, nodes=n), executions)) for n in nodes]
    return [Point(n, found.per_s, found.per_s / (n * one), found.busy["store"], found.saturated) for n, found in flows]
