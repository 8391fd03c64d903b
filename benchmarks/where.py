"""Where the time of an execution goes: µs of processor time for each part, per execution of five tasks on SQLite.

    python -m benchmarks.where              20,000 executions; a minute and a half
    python -m benchmarks.where --n 2000     fewer; the parts are then of few samples

Two runs are put together. One is real: a client, Ray, one workflow actor; what its processes and threads used is read from /proc,
which costs nothing. The other has the same owner, store and tasks in this process, without Ray and without a client, and is looked
at as often as the kernel's timer rings (1 to 4 ms of processor time): the innermost frame of raywf's says whose part it is, and the
loop's thread is charged with what it used since the last look. That is done once with looking and once without; both figures are
printed, so that the cost of looking can be seen.

What the loop of the real actor uses beyond the one in this process is Ray's calls to it, and what comes with having neighbours on
two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from benchmarks import machine, report, workflows
from benchmarks.figures import number
from benchmarks.sample import module, take
from raywf.config import Settings
from raywf.core.ids import SHARDS
from raywf.definition.inputs import bind_many
from raywf.journal.factory import make, open_blobs, open_journal
from raywf.journal.group_commit import GroupCommit
from raywf.ports import OwnerRow
from raywf.runtime.attempts import Threads
from raywf.runtime.clock import SystemClock, SystemEntropy
from raywf.runtime.definitions import definition_row
from raywf.runtime.owner import Owner
from raywf.runtime.parts import Parts, SubmitRequest
from raywf.telemetry import Telemetry
from raywf.testing.work import code_of

EVERY_S = 0.001
BATCH = 500
PARTS = (
    ("encoding", ("raywf/core/codec", "raywf/definition/values", "raywf/definition/inputs", "raywf/runtime/data")),
    ("brain", ("raywf/core/",)),
    ("commit, the buffer", ("raywf/journal/",)),
    (
        "tasks",
        (
            "benchmarks/workflows",
            "raywf/definition/",
            "raywf/runtime/attempts",
            "raywf/runtime/work",
            "raywf/runtime/code",
            "raywf/runtime/evaluate",
            "raywf/runtime/plain",
        ),
    ),
    ("submits and answers", ("raywf/runtime/owner", "raywf/runtime/outbox", "raywf/runtime/service")),
    ("hands", ("raywf/",)),
    ("asyncio", ("",)),
)
"""Whose a frame is, by the beginning of its file in the checkout; the first that fits."""


@dataclass(slots=True)
class Looks:
    """Seconds of the loop's thread by part."""

    spent: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    _before: float = 0.0

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look at this thread, which must be the main one, until the block ends."""
        self._before = time.thread_time()
        old = signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            signal.signal(signal.SIGPROF, old)

    def _look(self, number_: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        self.spent[part_of(frame)] += now - self._before  # type: ignore[assignment]
        self.looks += 1
        self._before = time.thread_time()


def part_of(frame: FrameType | None) -> str:
    """Whose the innermost frame is that is not the library's."""
    while frame is not None:
        part = _part_of_file(frame.f_code.co_filename)
        if part is not None:
            return part
        frame = frame.f_back
    return "asyncio"


@functools.cache
def _part_of_file(path: str) -> str | None:
    root = f"{machine.ROOT}/"
    if not path.startswith(root):
        return None
    inside = path.removeprefix(root).replace("actors/", "raywf/actors/", 1)
    if inside.startswith("benchmarks/where"):
        return None
    return next((part for part, beginnings in PARTS[:-1] if inside.startswith(beginnings)), None)


async def in_one_process(n: int, directory: Path, looks: Looks | None) -> tuple[float, float]:
    """n chains by an owner in this process. Returns the seconds that its loop's thread used, and those of all threads."""
    url = f"sqlite:///{directory / 'where.db'}"
    await make(url)
    loop, clock = asyncio.get_running_loop(), SystemClock()
    journal = open_journal(url)
    parts = Parts(
        journal=journal,
        open_journal=lambda: open_journal(url),
        commit_buffer=GroupCommit,
        clock=clock,
        entropy=SystemEntropy(),
        settings=Settings(store=url, lease_s=1e6),
        blobs=open_blobs(url),
        threads=Threads(loop, 4),
        telemetry=Telemetry(),
        code=code_of(workflows.chain),
    )
    now = clock.now()
    owner = Owner(OwnerRow("where", "default/where", "here", 1, b"{}", now, now + 1e6, False), "default", parts)
    await owner.claim(range(SHARDS))
    requests, row = _requests(n), definition_row(workflows.chain.definition)
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)  # as in a workflow actor
    before = time.thread_time(), time.process_time()
    with contextlib.nullcontext() if looks is None else looks.looking():
        submitting = asyncio.gather(
            *(owner.submit("here", [row], requests[first : first + BATCH], True) for first in range(0, n, BATCH))
        )
        heard, acknowledged = 0, 0
        while heard < n:
            endings = await owner.outbox.poll("here", acknowledged, 5.0)
            heard += len(endings)
            acknowledged = endings[-1][0] if endings else acknowledged
        await submitting
    spent = time.thread_time() - before[0], time.process_time() - before[1]
    completed = sum(each.status == "completed" for each in await journal.executions("default", limit=n + 1))
    if completed != n:
        raise AssertionError(f"{completed} of {n} executions have completed")
    await owner.commits.close()
    await journal.close()
    return spent


def _requests(n: int) -> list[SubmitRequest]:
    inputs = bind_many(workflows.chain, range(n))
    hash_ = workflows.chain.definition.content_hash
    return [
        SubmitRequest(f"where-{i}", True, hash_, input_, "f", 0, None, None, None, None)
        for i, input_ in enumerate(inputs)
    ]


def once(n: int, base: Path, looks: Looks | None) -> tuple[float, float]:
    directory = Path(tempfile.mkdtemp(dir=base))
    try:
        return asyncio.run(in_one_process(n, directory, looks))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def table(n: int, looks: Looks, quiet: tuple[float, float], looked: tuple[float, float], real: dict[str, float]) -> str:
    """The parts, in µs per execution. Shares are those that were seen; their sum is what the loop used unseen."""
    loop_us, all_us = (seconds / n * 1e6 for seconds in quiet)
    seen = sum(looks.spent.values())
    lines = [["client", real["client_us"], "its process: inputs, calls, results"]]
    beyond = real["loop_us"] - loop_us
    lines.append(["call", beyond + real["others_us"], "the actor's loop beyond the one here, and Ray's processes"])
    lines.extend([part, looks.spent[part] / seen * loop_us, "the loop"] for part, _ in PARTS)
    lines.append(["commit, the writer", real["writer_us"], "its thread: SQLite and the disk's system calls"])
    total = sum(float(us) for _, us, _ in lines)
    rows = [[name, number(float(us)), f"{float(us) / total:.0%}", where] for name, us, where in lines]
    rows.append(
        ["all", number(total), "", f"{1e6 / real['per_s']:.0f} µs of time at {real['per_s']:,.0f} executions/s"]
    )
    text = report.table(["part", "µs per execution", "share", "where"], rows, frozenset({1, 2}))
    looked_us = looked[0] / n * 1e6
    return (
        f"{text}\n\nthe loop in this process: {loop_us:.1f} µs per execution, {looked_us:.1f} while looked at {looks.looks:,} times; "
        f"with its writer {all_us:.1f}; the loop of the real actor {real['loop_us']:.1f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="executions (default 20,000)")
    parser.add_argument("--dir", type=Path, default=Path(".bench"), help="where stores are; a real disk")
    given = parser.parse_args(arguments)
    base = given.dir.resolve()
    machine.check_disk(base)
    base.mkdir(parents=True, exist_ok=True)
    (base / ".gitignore").write_text("*\n")
    print(report.facts_text(machine.facts(base)), end="\n\n")
    real = take("where", 1, [*module("scale_rows"), "throughput", "--n", str(given.n)], base, timeout_s=300)
    if real.error:
        raise SystemExit(f"the real run failed: {real.error}")
    looks = Looks()
    once(min(given.n, 2_000), base, None)  # warm
    quiet, looked = once(given.n, base, None), once(given.n, base, looks)
    print(table(given.n, looks, quiet, looked, dict(real.figures)))


if __name__ == "__main__":
    main()
