"""raywf on its rows: each subcommand is one sample in a private Ray with one workflow actor, its store here."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import gc
import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import raywf
from benchmarks import processes, workflows
from benchmarks.figures import percentile
from benchmarks.group_commit import commit_p50_ms
from benchmarks.machine import busy_cores
from benchmarks.on_postgres import VARIABLE
from benchmarks.sample import emit

CHAINS = {
    "async": workflows.chain,
    "sync": workflows.chain_in_threads,
    "ray": workflows.chain_on_ray,
    "ray-cpu": workflows.chain_of_burning,
}


def connect() -> Any:
    """An engine on a store here; where the row runs beside a PostgreSQL server, on that one."""
    server = os.environ.get(VARIABLE)
    return raywf.connect(store=server or f"sqlite:///{Path.cwd() / 'raywf.db'}")


def expect(results: list[int], expected: list[int]) -> None:
    if results != expected:
        wrong = next((pair for pair in zip(results, expected, strict=False) if pair[0] != pair[1]), None)
        raise AssertionError(f"{len(results)} results for {len(expected)} executions; first wrong pair: {wrong}")


def throughput(kind: str, n: int, actors: int) -> None:
    """`submit_many` of n chains, from the call to the last result in the client."""
    os.environ["RAYWF_WORKFLOW_ACTORS"] = str(actors)
    definition = CHAINS[kind]
    with connect() as engine:
        expect([h.result(timeout=300) for h in engine.submit_many(definition, range(20))], list(range(5, 25)))
        inputs = list(range(n))
        with busy_cores() as busy:
            start = time.perf_counter()
            handles = engine.submit_many(definition, inputs)
            accepted_s = time.perf_counter() - start
            results = [handle.result(timeout=600) for handle in handles]
            taken_s = time.perf_counter() - start
        expect(results, [x + 5 for x in inputs])
        events = [len(handle.history()) for handle in handles[:: max(1, n // 20)]]
    figures = {"per_s": n / taken_s, "busiest": max(busy.cores, default=0), "idlest": min(busy.cores, default=0)}
    emit(figures, n=n, actors=actors, accepted_s=round(accepted_s, 3), events_per_execution=sorted(set(events)))


def single(n: int) -> None:
    """n executions of 5 tasks one after another; before and after, from here too, pings and bare commits."""
    with connect() as engine:
        for x in range(50):
            engine.run(workflows.chain, x)
        ping = Pinger()
        pings, commits = [ping.p50_ms()], [commit_p50_ms("single.db")]
        taken = []
        for x in range(n):
            start = time.perf_counter()
            result = engine.run(workflows.chain, x)
            taken.append((time.perf_counter() - start) * 1000)
            if result != x + 5:
                raise AssertionError(f"run({x}) gave {result}")
        pings.append(ping.p50_ms())
        commits.append(commit_p50_ms("single.db.after"))
    emit(
        {
            "p50_ms": percentile(taken, 0.5),
            "p99_ms": percentile(taken, 0.99),
            "ping_p50_ms": sum(pings) / 2,
            "commit_p50_ms": sum(commits) / 2,
        },
        n=n, latencies_ms=[round(ms, 3) for ms in taken],
    )  # fmt: skip


class Pinger:
    """An empty async actor in the engine's own Ray: what one round trip costs."""

    def __init__(self) -> None:
        import ray

        class Echo:
            async def ping(self) -> int:
                return 1

        self.ray = ray
        self.actor = ray.remote(num_cpus=0)(Echo).remote()
        self.p50_ms(50)

    def p50_ms(self, times: int = 300) -> float:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            self.ray.get(self.actor.ping.remote())
            taken.append((time.perf_counter() - start) * 1000)
        return percentile(taken, 0.5)


def waiting(n: int) -> None:
    """Memory of n executions that wait for a signal, over the idle engine: PSS of all its processes, Ray's included."""
    mark = os.environ[processes.MARK]
    with connect() as engine:
        expect([h.result(timeout=120) for h in engine.submit_many(workflows.chain, range(200))], list(range(5, 205)))
        idle = settled_without_rubbish(mark)
        ids = [handle.id for handle in engine.submit_many(workflows.until_told, range(n))]
        for id_ in itertools.chain(ids[:: max(1, n // 100)], ids[-1:]):
            wait_for_status(engine, id_, "waiting", timeout_s=120)
        full = settled_without_rubbish(mark)
        told = ids[:: max(1, n // 20)]
        for id_ in told:
            engine.get(id_).signal("go", 7)
        expect([engine.get(id_).result(timeout=60) for id_ in told], [7] * len(told))
    by_title: dict[str, float] = collections.defaultdict(float)
    for sizes, sign in ((full, 1), (idle, -1)):
        for process, megabytes in sizes.items():
            by_title[process.name] += sign * megabytes
    before = {process.pid: megabytes for process, megabytes in idle.items()}
    same = [megabytes - before[process.pid] for process, megabytes in full.items() if process.pid in before]
    emit(
        {
            "over_idle_mb": sum(full.values()) - sum(idle.values()),
            "over_idle_same_processes_mb": sum(same),
            "idle_mb": sum(idle.values()),
        },
        n=n, processes_idle=len(idle), processes_full=len(full),
        over_idle_mb_by_title={title: round(by_title[title], 2) for title in sorted(by_title)},
    )  # fmt: skip


def settled_without_rubbish(mark: str) -> dict[processes.Process, float]:
    gc.collect()
    return processes.settled_memory_mb(mark)


def wait_for_status(engine: Any, execution_id: str, status: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while (now := engine.get(execution_id).status()) != status:
        if time.monotonic() > deadline:
            raise AssertionError(f"{execution_id} is {now}, not {status}, after {timeout_s:.0f} s")
        time.sleep(0.02)


def kill(n: int, seconds: float) -> None:
    """SIGKILL of the workflow actor with n executions inside a task: when has the last its next history event?"""
    ledger = Path.cwd() / "ledger.txt"
    with connect() as engine:
        expect([h.result(timeout=120) for h in engine.submit_many(workflows.chain, range(20))], list(range(5, 25)))
        handles = engine.submit_many(workflows.lingering, [[x, seconds, str(ledger)] for x in range(n)])
        pids = wait_for_starts(ledger, n, timeout_s=seconds * 0.6)
        if len(pids) != 1:
            raise AssertionError(f"one workflow actor was asked for, but tasks run in {len(pids)} processes")
        time.sleep(0.5)
        killed_at = time.time()
        os.kill(pids.pop(), signal.SIGKILL)
        next_events = {handle.id: next_event_at(handle, killed_at) for handle in handles}
        expect([handle.result(timeout=seconds + 120) for handle in handles], list(range(n)))
    starts = read_ledger(ledger)
    runs = collections.Counter(execution for execution, _, _ in starts)
    again = sorted(at - killed_at for _, _, at in starts if at > killed_at)
    emit(
        {
            "next_event_s": max(next_events.values()) - killed_at,
            "first_next_event_s": min(next_events.values()) - killed_at,
            "last_start_again_s": again[-1] if again else 0.0,
            "most_runs_of_an_attempt": max(runs.values()),
            "started_again": len(again),
        },
        n=n, seconds=seconds,
    )  # fmt: skip


def next_event_at(handle: Any, after: float, timeout_s: float = 60.0) -> float:
    """The recorded time of its first history event after an instant; polling adds nothing to it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        later = [at for at in map(instant, handle.history()) if at > after]
        if later:
            return min(later)
        time.sleep(0.05)
    raise AssertionError(f"{handle.id} has no event {timeout_s:.0f} s after the kill")


def instant(event: Any) -> float:
    at = event.at
    return at.timestamp() if isinstance(at, dt.datetime) else float(at)


def wait_for_starts(ledger: Path, n: int, timeout_s: float) -> set[int]:
    deadline = time.monotonic() + timeout_s
    while True:
        starts = list(read_ledger(ledger))
        if len(starts) >= n:
            return {pid for _, pid, _ in starts}
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(starts)} of {n} tasks have started after {timeout_s:.0f} s")
        time.sleep(0.05)


def read_ledger(ledger: Path) -> list[tuple[str, int, float]]:
    """(execution, process, time) of each start."""
    return list(_ledger_lines(ledger.read_text().splitlines())) if ledger.exists() else []


def _ledger_lines(lines: Iterable[str]) -> Iterator[tuple[str, int, float]]:
    for line in lines:
        execution, pid, _attempt, at = line.split()
        yield execution, int(pid), float(at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    rows = parser.add_subparsers(dest="row", required=True)
    for name, n in (("throughput", 5_000), ("single", 500), ("waiting", 10_000), ("kill", 1_000)):
        row = rows.add_parser(name)
        row.add_argument("--n", type=int, default=n)
        if name == "throughput":
            row.add_argument("kind", choices=CHAINS)
            row.add_argument("--actors", type=int, default=1)
        if name == "kill":
            row.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    match given.row:
        case "throughput":
            throughput(given.kind, given.n, given.actors)
        case "single":
            single(given.n)
        case "waiting":
            waiting(given.n)
        case "kill":
            kill(given.n, given.seconds)
        case other:
            raise AssertionError(f"no row is called {other}")


if __name__ == "__main__":
    main()
