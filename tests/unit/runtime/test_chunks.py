"""Sending attempts to Ray in calls whose size adapts: nobody is lost, nobody runs twice, and a crash costs what it costs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

import raywf
from raywf.core.chunking import BRIEF_S
from raywf.core.effects import StartAttempt
from raywf.core.failures import Failure
from raywf.core.plan import FunctionRef, Node, NodeKind, TaskOptions
from raywf.definition import values
from raywf.errors import StoreUnavailable
from raywf.runtime import chunks
from raywf.runtime.bundle import Bundle
from raywf.runtime.chunks import MAX_UNBEGUN, ChunkDispatcher, Transport, WorkerDied
from raywf.runtime.clock import SystemClock
from raywf.runtime.code import Code
from raywf.runtime.data import MemoryBlobs, pack
from raywf.runtime.spool import Progress
from raywf.runtime.work import RemoteCall
from raywf.runtime.worker import Chunk
from tests.unit.runtime.engines import Engine, live_through, new_store

OPTIONS = TaskOptions(runs_on="ray")
FUNCTION = FunctionRef("m:f")
Outcome = list[Any]


class Sent:
    """One call to Ray, and how it is going."""

    def __init__(self, number: int, chunk: Chunk, sent: Any, hot: list[Any], options: TaskOptions) -> None:
        self.number, self.chunk, self.sent, self.hot, self.options = number, chunk, sent, hot, options
        self.future: asyncio.Future[tuple[float, list[Outcome]]] = asyncio.get_running_loop().create_future()
        self.progress: Progress | None = None

    @property
    def names(self) -> list[str]:
        return [context[1] for _, _, context, _, _ in self.chunk.items]

    def answer(self, seconds: float = 0.001) -> None:
        self.future.set_result((seconds, [["ok", args[0].decode()] for args, *_ in self.chunk.items]))

    def die(self, progress: Progress | None) -> None:
        self.progress = progress
        self.future.set_exception(WorkerDied("it was killed"))


class FakeRay:
    """``Transport``: calls wait until the test (or ``worker``) says what becomes of them."""

    def __init__(self, cpus: float = 1.0, worker: Callable[[Sent], None] = lambda sent: None) -> None:
        self.calls: list[Sent] = []
        self.stored: list[bytes] = []
        self.cancelled: list[Sent] = []
        self.worker = worker
        self.number_of_cpus = cpus
        self.refuse: Exception | None = None
        self.resources = [{"CPU": cpus}]

    def cpus(self) -> float:
        return self.number_of_cpus

    def nodes(self) -> list[dict[str, float]]:
        return self.resources

    def put(self, data: bytes) -> Any:
        self.stored.append(data)
        return f"object {len(self.stored)}"

    def send(self, chunk: Chunk, sent: Any, hot: list[Any], options: TaskOptions) -> Any:
        if self.refuse is not None:
            raise self.refuse
        call = Sent(len(self.calls) + 1, chunk, sent, hot, options)
        self.calls.append(call)
        self.worker(call)
        return call

    async def result(self, ref: Any) -> tuple[float, list[Any]]:
        return await cast(Sent, ref).future

    async def notes(self, path: Path, sent_at: float) -> Progress | None:
        number = int(path.name.rpartition("-")[2])
        return self.calls[number - 1].progress

    def cancel(self, ref: Any) -> None:
        self.cancelled.append(ref)


class Host:
    """Whoever is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.clock = SystemClock()

    def ended(self, live: Any, task: int, item: int | None, attempt: int, outcome: Any, at: Any) -> None:
        self.told.append((f"{live.name}", outcome))

    def note_missing(self, live: Any, missing: str | None) -> None:
        live.missing = missing
        self.told.append((f"{live.name}", missing))

    def lost(self, live: Any, task: int, item: int | None, attempt: int, reason: str, *, at: Any) -> None:
        self.told.append((f"{live.name}", f"lost: {reason}"))


class Bench:
    benches: ClassVar[list[Bench]] = []

    def __init__(self, cpus: float = 1.0) -> None:
        self.benches.append(self)
        self.ray = FakeRay(cpus)
        self.host = Host()
        self.blobs = MemoryBlobs()
        self.code = Code()
        bundle = Bundle((), "hash", "project")
        self.dispatcher = ChunkDispatcher(
            cast(Any, self.host), self.ray, bundle, self.code, self.blobs, None, "", "unit-chunks"
        )

    def call(self, name: str, priority: int = 0, options: TaskOptions = OPTIONS, *, isolated: bool = False,
             function: FunctionRef = FUNCTION, arg: bytes | None = None) -> RemoteCall:  # fmt: skip
        node = Node(0, name, NodeKind.CALL, function=function, options=options)
        state = SimpleNamespace(plan=SimpleNamespace(nodes=[node]))
        live: Any = SimpleNamespace(name=name, row=SimpleNamespace(priority=priority), state=state, missing=None)
        call = RemoteCall(live, node, StartAttempt(0, None, 1, isolated), function)
        call.args, call.context = [arg or values.encode(name)], ("x", name, 1, f"x/{name}", None)
        self.dispatcher.submit(call)
        return call

    def many(self, count: int, **more: Any) -> list[RemoteCall]:
        return [self.call(f"t{number}", **more) for number in range(count)]

    async def measured(self, seconds: float = 0.001) -> None:
        """One task has run, so its kind has a pace."""
        self.call("first")
        await turns()
        self.ray.calls[0].answer(seconds)
        await turns()
        assert self.host.told.pop() == ("first", b'"first"')
        self.ray.calls.clear()
        self.dispatcher._numbers = iter(range(1, 1000))  # type: ignore[assignment]


@pytest.fixture(autouse=True)
async def _nothing_left_flying() -> AsyncIterator[None]:
    yield
    tasks = [task for bench in Bench.benches for task in bench.dispatcher._tasks]
    Bench.benches.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_the_fake_is_a_transport() -> None:
    transport: Transport = FakeRay()
    assert transport.cpus() == 1.0


async def test_what_was_never_measured_travels_alone_and_no_more_calls_fly_than_fit() -> None:
    bench = Bench(cpus=2)
    calls = bench.many(10)
    await turns()
    assert [sent.names for sent in bench.ray.calls] == [["t0"], ["t1"], ["t2"], ["t3"]]
    assert [call.begun for call in calls] == [True] * 4 + [False] * 6
    for number in range(10):
        bench.ray.calls[number].answer(10.0)
        await turns()
    assert bench.host.told == [(f"t{number}", f'"t{number}"'.encode()) for number in range(10)]


async def test_short_tasks_of_one_kind_travel_together_and_in_fair_shares() -> None:
    bench = Bench(cpus=1)
    await bench.measured()
    bench.many(20)
    await turns()
    assert [len(sent.chunk.items) for sent in bench.ray.calls] == [10, 10]
    for sent in list(bench.ray.calls):
        sent.answer()
    await turns()
    assert Counter(name for name, _ in bench.host.told) == Counter(f"t{number}" for number in range(20))


async def test_a_call_of_small_tasks_is_expected_to_end_in_a_moment_and_a_first_one_is_not() -> None:
    bench = Bench(cpus=1)
    (first,) = bench.many(1)
    await turns()
    assert (first.begun, first.brief_until) == (True, bench.dispatcher._flights[1].sent_at)
    bench.ray.calls[0].answer(0.001)
    await turns()
    calls = bench.many(20)
    await turns()
    now = bench.host.clock.monotonic()
    assert all(call.begun and now < call.brief_until <= now + BRIEF_S for call in calls)


async def test_the_most_urgent_go_first_and_equals_in_order() -> None:
    bench = Bench(cpus=1)
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        bench.call(name, priority)
    await turns()
    for number in range(4):
        bench.ray.calls[number].answer(1.0)
        await turns()
    assert [sent.names for sent in bench.ray.calls] == [["b"], ["d"], ["a"], ["c"]]


async def test_tasks_of_different_kinds_never_share_a_call() -> None:
    bench = Bench(cpus=8)
    await bench.measured()
    more = dataclasses.replace(OPTIONS, num_cpus=2)
    for number in range(4):
        bench.call(f"f{number}")
        bench.call(f"g{number}", function=FunctionRef("m:g"))
        bench.call(f"o{number}", options=more)
        bench.call(f"i{number}", isolated=True)
    await turns()
    for sent in bench.ray.calls:
        assert len({name[0] for name in sent.names}) == 1
    assert [sent.names for sent in bench.ray.calls if sent.names[0][0] == "i"] == [["i0"], ["i1"], ["i2"], ["i3"]]
    assert {sent.options for sent in bench.ray.calls if sent.names[0][0] == "o"} == {more}


async def test_what_must_run_at_most_once_travels_alone() -> None:
    bench, once = Bench(cpus=1), dataclasses.replace(OPTIONS, effect="at_most_once")
    bench.call("first", options=once)
    await turns()
    bench.ray.calls[0].answer(0.0001)
    await turns()
    bench.many(3, options=once)
    await turns()
    assert [sent.names for sent in bench.ray.calls[1:]] == [["t0"], ["t1"]]


# crashes


async def flying(bench: Bench, count: int = 5) -> tuple[Sent, list[RemoteCall]]:
    bench.ray.number_of_cpus = 0.5
    await bench.measured()
    calls = bench.many(count * 2)
    await turns()
    assert len(bench.ray.calls[0].chunk.items) == count
    return bench.ray.calls[0], calls


async def test_a_task_that_kills_its_worker_costs_exactly_its_own_attempt() -> None:
    """Before it: results that were noted count. After it: what never began queues again as if nothing had happened."""
    bench = Bench()
    sent, _ = await flying(bench)
    sent.die(Progress({0: ["ok", '"noted"'], 1: ["failed", Failure("E", "m").to_data()]}, running=2, running_since=1.0))
    await turns()
    assert bench.host.told == [("t0", b'"noted"'), ("t1", Failure("E", "m")), ("t2", "lost: it was killed")]
    bench.ray.calls[1].answer()
    await turns()
    again = bench.ray.calls[2]
    assert {"t3", "t4"} <= set(again.names)
    again.answer()
    await turns()
    assert Counter(name for name, _ in bench.host.told) == Counter({f"t{number}": 1 for number in range(10)})


@pytest.mark.parametrize("running", range(5))
async def test_whichever_task_it_was(running: int) -> None:
    bench = Bench()
    sent, _ = await flying(bench)
    sent.die(Progress({number: ["ok", "1"] for number in range(running)}, running=running, running_since=1.0))
    await turns()
    told = dict(bench.host.told)
    assert told == {**{f"t{number}": b"1" for number in range(running)}, f"t{running}": "lost: it was killed"}


async def test_without_notes_every_task_of_the_call_may_have_run_and_is_lost() -> None:
    bench = Bench()
    sent, _ = await flying(bench)
    sent.die(None)
    await turns()
    assert bench.host.told == [(f"t{number}", "lost: it was killed") for number in range(5)]


async def test_notes_that_cannot_be_fetched_are_no_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    sent, _ = await flying(bench)

    async def refuse(path: Path, sent_at: float) -> None:
        raise OSError("the node is gone")

    monkeypatch.setattr(bench.ray, "notes", refuse)
    sent.die(Progress())
    await turns()
    assert bench.host.told == [(f"t{number}", "lost: it was killed") for number in range(5)]


async def test_a_worker_that_died_before_its_first_task_took_nobody_along() -> None:
    bench = Bench()
    sent, _ = await flying(bench)
    sent.die(Progress())
    await turns()
    assert bench.host.told == []
    assert {name for call in bench.ray.calls[1:] for name in call.names} >= set(sent.names), "they are sent again"


async def test_workers_that_always_die_before_their_first_task_do_cost_it_in_the_end() -> None:
    """As code does that ends its process when it is imported."""
    bench = Bench()
    bench.ray.worker = lambda sent: sent.die(Progress())
    bench.call("t0")
    for _ in range(MAX_UNBEGUN):
        await turns()
    assert bench.host.told == [("t0", "lost: it was killed")]
    assert len(bench.ray.calls) == MAX_UNBEGUN


async def test_a_worker_that_died_between_tasks_took_nobody_along() -> None:
    bench = Bench()
    sent, _ = await flying(bench)
    sent.die(Progress({0: ["ok", "1"]}, running=None))
    await turns()
    assert bench.host.told == [("t0", b"1")]
    assert not [name for name, what in bench.host.told if "lost" in str(what)]


async def test_a_worker_that_ended_itself_at_the_timeout_is_a_timeout_with_its_last_words() -> None:
    bench = Bench()
    bench.call("a", options=dataclasses.replace(OPTIONS, timeout=5.0))
    await turns()
    bench.ray.calls[0].die(Progress(running=0, running_since=1.0, last_words="File x, line 3"))
    await turns()
    [(name, failure)] = bench.host.told
    assert (name, failure.type, failure.traceback) == ("a", "TimeoutError", "File x, line 3")
    assert "longer than its timeout of 5 s" in failure.message


async def test_whatever_else_a_call_ends_with_no_attempt_is_left_without_an_end() -> None:
    bench = Bench()
    sent, _ = await flying(bench)
    sent.future.set_exception(RuntimeError("out of the blue"))
    await turns()
    assert [what for _, what in bench.host.told] == ["lost: RuntimeError: out of the blue"] * 5


# what cannot be sent or kept


async def test_what_cannot_be_sent_fails_and_the_rest_goes_on() -> None:
    bench = Bench()
    gone = pack(b"x" * 100_000, bench.blobs)
    bench.blobs._blobs.clear()
    bench.call("bad", arg=gone)
    bench.call("good")
    await turns()
    bench.ray.calls[0].answer()
    await turns()
    told = dict(bench.host.told)
    assert told["good"] == b'"good"'
    assert isinstance(told["bad"], Failure)
    assert told["bad"].type == "raywf.errors.StoreUnavailable"


async def test_a_call_that_ray_refuses_fails_with_its_reason() -> None:
    bench = Bench()
    bench.ray.refuse = ValueError("memory must be positive")
    bench.call("a")
    await turns()
    [(_, failure)] = bench.host.told
    assert (failure.type, failure.message) == ("ValueError", "memory must be positive")


async def test_a_result_that_cannot_be_kept_fails_alone() -> None:
    bench = Bench()
    sent, _ = await flying(bench)

    def full(data: bytes) -> str:
        raise StoreUnavailable("the disk is full")

    bench.blobs.put = full  # type: ignore[method-assign]
    big = '"' + "x" * 100_000 + '"'
    sent.future.set_result((0.001, [["ok", "1"], ["ok", big], ["ok", "3"], ["ok", "4"], ["ok", "5"]]))
    await turns()
    told = dict(bench.host.told)
    assert isinstance(told.pop("t1"), Failure)
    assert told == {"t0": b"1", "t2": b"3", "t3": b"4", "t4": b"5"}


async def test_large_arguments_are_stored_once_and_sent_along() -> None:
    bench = Bench()
    big = pack(b"x" * 100_000, bench.blobs)
    for name in "ab":
        bench.call(name, arg=big)
    await turns()
    assert len(bench.ray.stored) == 1
    assert [(sent.hot, len(sent.chunk.hot)) for sent in bench.ray.calls] == [(["object 1"], 1)] * 2


async def test_functions_by_value_travel_as_one_object() -> None:
    bench = Bench()
    function = FunctionRef("__main__:f", "h", by_value=True)
    bench.code.blobs[("__main__:f", "h")] = b"pickled"
    for name in "ab":
        bench.call(name, function=function)
    await turns()
    bench.code.blobs[("__main__:f", "h")] = bytes(bytearray(b"pickled"))  # the same, received again
    for sent in list(bench.ray.calls):
        sent.answer()
    bench.call("c", function=function)
    await turns()
    assert bench.ray.stored == [b"pickled"]
    assert [sent.sent for sent in bench.ray.calls] == ["object 1"] * 3


# cancelling


async def test_a_queued_call_is_dropped() -> None:
    bench = Bench(cpus=1)
    calls = bench.many(3)
    await turns()
    bench.dispatcher.cancel(calls[2])
    await turns()
    assert bench.host.told == [("t2", None)]
    for number in range(2):
        bench.ray.calls[number].answer()
    await turns()
    assert [sent.names for sent in bench.ray.calls] == [["t0"], ["t1"]]


async def test_one_that_flies_alone_is_stopped_by_force() -> None:
    bench = Bench()
    call = bench.call("a")
    await turns()
    bench.dispatcher.cancel(call)
    assert bench.ray.cancelled == [bench.ray.calls[0]]
    bench.ray.calls[0].die(Progress(running=0, running_since=1.0))
    await turns()
    assert bench.host.told == [("a", None)]


async def test_one_among_others_ends_with_them() -> None:
    bench = Bench()
    sent, calls = await flying(bench)
    bench.dispatcher.cancel(calls[1])
    bench.dispatcher.cancel(calls[4])
    assert bench.ray.cancelled == []
    sent.die(Progress({0: ["ok", "1"]}, running=1, running_since=1.0))
    await turns()
    assert bench.host.told == [("t0", b"1"), ("t1", None), ("t4", None)]


# from end to end

RUNS: Counter[int] = Counter()


@raywf.task(runs_on="ray")
def square(x: int) -> int:
    RUNS[x] += 1
    if x == 7 and RUNS[x] == 1:
        raise KeyboardInterrupt  # the worker dies
    return x * x


@raywf.task(runs_on="ray")
def deadly(x: int) -> int:
    RUNS[x] += 1
    raise KeyboardInterrupt


@raywf.workflow
def squares(n: list[int]):
    return square.map(n)


@raywf.workflow
def doomed(x: int):
    return deadly(x)


def work(function: Callable[[int], int]) -> Callable[[Sent], None]:
    """A worker that runs a call on the spot and keeps notes; a task that kills it leaves those."""

    def run(sent: Sent) -> None:
        notes = Progress()
        for index, (args, *_) in enumerate(sent.chunk.items):
            notes.running, notes.running_since = index, 1.0
            try:
                notes.outcomes[index] = ["ok", values.encode(function(values.decode(args[0]))).decode()]
            except KeyboardInterrupt:
                sent.die(notes)
                return
            notes.running = None
        sent.future.set_result((0.0001, list(notes.outcomes.values())))

    return run


def run_on_fake_ray(workflow: Any, function: Callable[[int], int], *args: Any) -> tuple[Any, list[str]]:
    RUNS.clear()

    async def main() -> tuple[Any, list[str]]:
        engine = Engine(workflow, new_store())
        ray = FakeRay(2.0, work(function))
        engine.owner.work.dispatcher = ChunkDispatcher(
            engine.host, ray, Bundle((), "", ""), Code(), engine.blobs, None, "", "unit-chunks-end"
        )
        await engine.claim()
        await engine.submit(*args)
        return await engine.to_the_end(), await engine.kinds()

    return cast(tuple[Any, list[str]], live_through(main))


def test_a_fan_out_in_chunks_with_a_task_that_kills_its_worker_once() -> None:
    ended, kinds = run_on_fake_ray(squares, square.function, list(range(200)))
    assert ended == ("execution_completed", [x * x for x in range(200)])
    assert {kind for kind in kinds if kind.startswith("attempt_lost")} == {"attempt_lost square[7]"}
    assert {x: count for x, count in RUNS.items() if count != 1} == {7: 2}


def test_a_task_that_always_kills_its_worker_is_lost_three_times_and_then_fails() -> None:
    ended, kinds = run_on_fake_ray(doomed, deadly.function, 5)
    kind, (task, type_, message) = ended
    assert (kind, task, type_) == ("execution_failed", "deadly", "raywf.errors.WorkerLost")
    assert "died 3 times with it, the last time alone in a process" in message
    assert RUNS == {5: 3}
    assert kinds.count("attempt_lost deadly") == 2


async def test_a_task_that_no_node_can_take_says_so_until_one_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "LOOK_S", 0.0)
    bench = Bench(cpus=2)
    bench.call("train", options=TaskOptions(runs_on="ray", num_gpus=1.0))
    await turns()
    words = (
        "resources: no node of the Ray cluster can take train: it asks for GPU 1, and the node with most of it has 0"
    )
    assert bench.host.told[0] == ("train", words)
    bench.ray.resources.append({"CPU": 2.0, "GPU": 1.0})
    await turns()
    assert bench.host.told[-1] == ("train", None)
    told = len(bench.host.told)
    await turns()
    assert len(bench.host.told) == told
    bench.ray.calls[0].answer(1.0)
