"""The rows of ``scale.py``: each subcommand is one sample in a private Ray, its store here."""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from benchmarks import processes, workflows
from benchmarks.figures import percentile
from benchmarks.group_commit import commit_p50_ms
from benchmarks.on_postgres import VARIABLE
from benchmarks.postgres_limit import server_commit_p50_ms
from benchmarks.private_ray import private_ray
from benchmarks.raywf_rows import connect, expect, settled_without_rubbish, wait_for_starts, wait_for_status
from benchmarks.sample import emit
from raywf.definition.inputs import bind_many

BATCH = 5_000
CHAIN = 5
"""Tasks in ``workflows.chain``."""


def store() -> apsw.Connection:
    return apsw.Connection(
        f"file:{Path.cwd() / 'raywf.db'}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )


def asked(sql: str, *values: Any) -> list[Any]:
    db = store()
    try:
        return list(db.execute(sql, values))
    finally:
        db.close()


def mark() -> str:
    return os.environ.get(processes.MARK) or uuid.uuid4().hex


def wait_until(true: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.05)


def ray_init_s() -> float:
    """What a Ray that is started as ours is takes by itself, here and now."""
    start = time.perf_counter()
    with private_ray():
        return time.perf_counter() - start


# waiting


def sleepers(n: int) -> None:
    """n executions that wait for a signal: memory over the idle engine; what others cost meanwhile; and how long a new engine
    takes to be there."""
    with connect() as engine:
        expect([h.result(timeout=60) for h in engine.submit_many(workflows.chain, range(20))], list(range(5, 25)))
        idle = settled_without_rubbish(mark())
        began = time.perf_counter()
        ids = [
            h.id
            for first in range(0, n, BATCH)
            for h in engine.submit_many(workflows.until_told, range(first, min(first + BATCH, n)))
        ]
        accepted_s = time.perf_counter() - began
        wait_until(lambda: asked("SELECT count(*) FROM executions WHERE wake_at IS NOT NULL")[0][0] == n, 60, "asleep")
        full = settled_without_rubbish(mark())
        told = ids[:: max(1, n // 50)]
        answers = []
        for id_ in told:
            start = time.perf_counter()
            engine.get(id_).signal("go", 7)
            if engine.get(id_).result(timeout=60) != 7:
                raise AssertionError(f"{id_} did not give what it was told")
            answers.append(time.perf_counter() - start)
        start = time.perf_counter()
        handles = engine.submit_many(workflows.chain, range(BATCH))
        expect([handle.result(timeout=300) for handle in handles], list(range(5, BATCH + 5)))
        per_task_s = (time.perf_counter() - start) / BATCH / CHAIN
    base = ray_init_s()
    began = time.perf_counter()
    with connect() as engine:
        connected = time.perf_counter() - began
        last = ids[1]
        engine.get(last).signal("go", 7)
        expect([engine.get(last).result(timeout=60)], [7])
        ready = time.perf_counter() - began
    emit(
        {
            "over_idle_mb": sum(full.values()) - sum(idle.values()),
            "idle_mb": sum(idle.values()),
            "restart_s": connected - base,
            "restart_to_first_result_s": ready - base,
            "answer_p50_ms": percentile(answers, 0.5) * 1000,
            "per_task_us": per_task_s * 1e6,
            "submit_per_s": n / accepted_s,
        },
        n=n, ray_init_s=round(base, 2), connected_s=round(connected, 2),
    )  # fmt: skip


def timers(n: int, spread: float) -> None:
    """n executions asleep until moments spread evenly over some seconds: how late do they go on?"""
    with connect() as engine:
        expect([h.result(timeout=60) for h in engine.submit_many(workflows.chain, range(20))], list(range(5, 25)))
        began = time.time()
        first_due = began + n / 2500 + 10
        for first in range(0, n, BATCH):
            now = time.time()
            engine.submit_many(
                workflows.nap, [first_due + spread * i / n - now for i in range(first, min(first + BATCH, n))]
            )
        accepted = time.time()
        closed = "SELECT count(*) FROM executions WHERE ended_at IS NOT NULL"
        wait_until(lambda: asked(closed)[0][0] >= n + 20, first_due - accepted + spread + 120, "all awake and done")
    due = {
        key: json.loads(data)["due_at"]
        for key, data in asked("SELECT key, data FROM events WHERE kind = 'timer_started'")
    }
    late = [at - due[key] for key, at in asked("SELECT key, at FROM events WHERE kind = 'timer_fired'")]
    if len(late) != n or min(late) < 0:
        raise AssertionError(f"{len(late)} of {n} timers fired, the earliest {min(late):.3f} s late")
    emit(
        {"late_p50_s": percentile(late, 0.5), "late_p99_s": percentile(late, 0.99), "late_max_s": max(late)},
        n=n, spread_s=spread, accepted_s=round(accepted - began, 1), first_due_s=round(first_due - began, 1),
    )  # fmt: skip


# long and wide


def history(n: int) -> None:
    """One execution with n events: what a step costs early and late, and how long it takes to be resumed."""
    inner = n - 2 * workflows.STEPS - 10
    with connect() as engine:
        expect([engine.run(workflows.wide, [1, 2])], [3])
        handle = engine.submit(workflows.long, list(range(inner)), 0)
        wait_for_status(engine, handle.id, "waiting", timeout_s=180)
        key, events = asked(
            "SELECT key, (SELECT max(seq) FROM events e WHERE e.key = x.key) FROM executions x WHERE id = ?", handle.id
        )[0]
        kept = asked("SELECT seq, length(data) FROM snapshots WHERE key = ?", key)
    at = dict(
        asked("SELECT task, at FROM events WHERE key = ? AND kind = 'task_completed' AND task LIKE 'plus_one%'", key)
    )
    name = ["plus_one", *[f"plus_one-{k}" for k in range(2, 2 * workflows.STEPS + 1)]]
    early = (at[name[workflows.STEPS - 1]] - at[name[0]]) / (workflows.STEPS - 1)
    late = (at[name[-1]] - at[name[workflows.STEPS]]) / (workflows.STEPS - 1)
    with connect() as engine:
        expect([engine.run(workflows.wide, [1, 2])], [3])
        start = time.perf_counter()
        engine.get(handle.id).signal("go", 1)
        result = engine.get(handle.id).result(timeout=60)
        resumed_s = time.perf_counter() - start
        if result != [workflows.STEPS, sum(range(inner)), sum(range(inner)) + workflows.STEPS, 2]:
            raise AssertionError(f"wrong result {result!r:.200}")
    emit(
        {"resume_s": resumed_s, "step_early_ms": early * 1000, "step_late_ms": late * 1000, "step_ratio": late / early},
        n=n, events=events, snapshots=kept,
    )  # fmt: skip


def fan(n: int, small: int, rounds: int) -> None:
    """Fan-outs of n tasks and of a few, interleaved: cost per task, and the memory of the widest."""
    with connect() as engine:
        expect([engine.run(workflows.wide, list(range(100)))], [sum(range(100))])
        idle = sum(settled_without_rubbish(mark()).values())
        few, many, peak = [], [], 0.0
        for _ in range(rounds):
            handles = []
            for _ in range(10):
                handles.append(engine.submit(workflows.wide, list(range(small))))
                expect([handles[-1].result(timeout=60)], [sum(range(small))])
            few.append(statistics.median(map(took_s, handles)) / small)
            handle = engine.submit(workflows.wide, list(range(n)))
            while handle.status() == "running":
                peak = max(peak, sum(processes.memory_mb(processes.of_sample(mark())).values()))
                time.sleep(0.4)
            expect([handle.result(timeout=300)], [sum(range(n))])
            many.append(took_s(handle) / n)
    emit(
        {
            "per_task_us": statistics.median(many) * 1e6,
            "per_task_small_us": statistics.median(few) * 1e6,
            "ratio": statistics.median(many) / statistics.median(few),
            "peak_over_idle_mb": peak - idle,
        },
        n=n, small=small, rounds=rounds, many_us=[round(x * 1e6, 1) for x in many], few_us=[round(x * 1e6, 1) for x in few],
    )  # fmt: skip


def took_s(handle: Any) -> float:
    """From accepted to ended, by the store's own record."""
    [(created, ended)] = asked("SELECT created_at, ended_at FROM executions WHERE id = ?", handle.id)
    return float(ended - created)


def chain40(n: int) -> None:
    """n executions, one after another, of 40 tasks of 10 ms each."""
    with connect() as engine:
        expect([engine.run(workflows.chain_of_40, 0) for _ in range(3)], [40] * 3)
        taken = []
        for _ in range(n):
            start = time.perf_counter()
            expect([engine.run(workflows.chain_of_40, 0)], [40])
            taken.append(time.perf_counter() - start)
    emit({"p50_s": percentile(taken, 0.5), "max_s": max(taken)}, n=n)


# taking over


def takeover(n: int, how: str) -> None:
    """Two workflow actors hold n executions in flight; one dies (kill), or goes silent while Ray believes in it (stop)."""
    os.environ["RAYWF_WORKFLOW_ACTORS"] = "2"
    ledger, seconds = Path.cwd() / "ledger.txt", 60.0
    with connect() as engine:
        expect([h.result(timeout=60) for h in engine.submit_many(workflows.chain, range(20))], list(range(5, 25)))
        handles = engine.submit_many(workflows.lingering, [[x, seconds, str(ledger)] for x in range(n)])
        pids = sorted(wait_for_starts(ledger, n, timeout_s=60))
        if len(pids) != 2:
            raise AssertionError(f"two workflow actors were asked for, but tasks run in {len(pids)} processes")
        begun = "SELECT count(*) FROM events WHERE kind = 'attempt_started'"
        wait_until(lambda: asked(begun)[0][0] >= n, 30, "all attempts in the history")
        victim = pids[0]
        mine = {line.split()[0] for line in ledger.read_text().splitlines() if line.split()[1] == str(victim)}
        time.sleep(1.0)
        killed_at = time.time()
        os.kill(victim, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        lost = "SELECT count(*) FROM events WHERE kind = 'attempt_lost' AND at > ?"
        wait_until(lambda: asked(lost, killed_at)[0][0] >= len(mine), 60, "everybody goes on")
        if how == "stop":
            os.kill(victim, signal.SIGKILL)
        moments = dict(
            asked(
                "SELECT x.id, min(e.at) FROM events e JOIN executions x ON x.key = e.key WHERE e.at > ? GROUP BY 1",
                killed_at,
            )
        )
        after = sorted(moments[id_] - killed_at for id_ in mine)
        for handle in handles:
            handle.cancel()
    emit({"next_event_s": after[-1], "first_next_event_s": after[0]}, n=n, held_by_the_dead=len(mine), how=how)


# what the model is made of


def throughput(n: int, actors: int) -> None:
    """n chains of 5 on some workflow actors; and what each thread spent, for the model of growth."""
    os.environ["RAYWF_WORKFLOW_ACTORS"] = str(actors)
    url = os.environ.get(VARIABLE)
    with connect() as engine:
        expect([h.result(timeout=300) for h in engine.submit_many(workflows.chain, range(200))], list(range(5, 205)))
        servers = {process.pid for process in processes.of_sample(mark()) if process.name.startswith("postgres")}
        before = _cpu_s()
        start = time.perf_counter()
        handles = engine.submit_many(workflows.chain, range(n))
        expect([handle.result(timeout=600) for handle in handles], list(range(5, n + 5)))
        taken_s = time.perf_counter() - start
        spent = {thread: seconds - before.get(thread, 0.0) for thread, seconds in _cpu_s().items()}
    by_process: dict[int, list[float]] = {}
    for (pid, _), seconds in spent.items():
        by_process.setdefault(pid, []).append(seconds)
    client = sum(by_process.pop(os.getpid()))
    server = sum(sum(by_process.pop(pid, [])) for pid in servers)
    busiest = sorted(by_process.values(), key=sum, reverse=True)
    # An actor's busiest thread is its loop; what its other threads do is nearly all the writer of the store.
    loops = sum(max(threads) for threads in busiest[:actors])
    writers = sum(map(sum, busiest[:actors])) - loops
    emit(
        {
            "per_s": n / taken_s,
            "per_task_us": taken_s / n / CHAIN * 1e6,
            "client_us": client / n * 1e6,
            "loop_us": loops / n * 1e6,
            "writer_us": writers / n * 1e6,
            "others_us": sum(map(sum, busiest[actors:])) / n * 1e6,
            "server_us": server / n * 1e6,
            "bind_us": bind_us(n),
            "fixed_ms": commit_p50_ms(str(Path.cwd() / "single.db")) if url is None else server_commit_p50_ms(url),
        },
        n=n, actors=actors, cores=os.cpu_count(),
    )  # fmt: skip


def bind_us(n: int) -> float:
    """What a client does with each input before it sends the first, in µs."""
    began = time.thread_time()
    bind_many(workflows.chain, range(n))
    return (time.thread_time() - began) / n * 1e6


def _cpu_s() -> dict[tuple[int, int], float]:
    """CPU seconds by (process, thread) of this sample."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for process in processes.of_sample(mark()):
        for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[process.pid, int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    rows = parser.add_subparsers(dest="row", required=True)
    sizes = {
        "sleepers": 100_000,
        "timers": 100_000,
        "history": 100_000,
        "fan": 50_000,
        "chain40": 20,
        "takeover": 10_000,
        "throughput": 5_000,
    }
    for name, n in sizes.items():
        rows.add_parser(name).add_argument("--n", type=int, default=n)
    rows.choices["timers"].add_argument("--spread", type=float, default=60.0)
    rows.choices["fan"].add_argument("--small", type=int, default=1000)
    rows.choices["fan"].add_argument("--rounds", type=int, default=5)
    rows.choices["takeover"].add_argument("how", choices=["kill", "stop"])
    rows.choices["throughput"].add_argument("--actors", type=int, default=1)
    given = vars(parser.parse_args())
    {
        "sleepers": sleepers,
        "timers": timers,
        "history": history,
        "fan": fan,
        "chain40": chain40,
        "takeover": takeover,
        "throughput": throughput,
    }[given.pop("row")](**given)


if __name__ == "__main__":
    main()
