"""`raywf nodes` and `raywf drain` as people type them, beside a program that runs on a cluster of two nodes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_cli import Shell
from tests.kill.machine import Head, until

pytestmark = [pytest.mark.cluster, pytest.mark.kill, pytest.mark.long, pytest.mark.timeout(400)]
MANY = 60
PROGRAM = """
    import asyncio, os, sys, time

    import raywf
    from raywf import task, workflow

    HERE = os.path.dirname(os.path.abspath(__file__))  # tasks run elsewhere

    def note(what):
        with open(HERE + "/ledger", "a", buffering=1) as ledger:
            ledger.write(f"{raywf.current().execution_id} {raywf.current().task_id} {what}\\n")

    @task
    async def think(n: int) -> int:
        note("think")
        await asyncio.sleep(8.0)
        return n

    @task(num_cpus=0.05)
    def work(n: int) -> int:
        note("work")
        time.sleep(2.0)
        return n

    @workflow
    def answer(n: int):
        return think(work(think(n)))

    if __name__ == "__main__":
        with raywf.connect(sys.argv[1], actors="per-node") as engine:
            handles = engine.submit_many(answer, range(int(sys.argv[2])))
            print("submitted", flush=True)
            print(sum(handle.result(timeout=200) for handle in handles), flush=True)
            while not os.path.exists(HERE + "/enough"):  # however fast this machine is, its engine is there to be looked at
                time.sleep(0.1)
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    import textwrap

    shell = Shell(tmp_path)
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    yield shell
    for started in shell.started:
        if started.poll() is None:
            started.kill()
            started.communicate()


def nodes(shell: Shell) -> list[dict[str, Any]]:
    code, out, err = shell.raywf("nodes", "--json")
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def test_nodes_are_listed_and_one_is_drained_while_a_program_runs(shell: Shell) -> None:
    code, out, err = shell.raywf("nodes")
    assert (code, out) == (4, "") and "no engine runs" in err, "before the program"
    head = Head()
    try:
        head.start().add_node()
        command = [sys.executable, "program.py", head.address, str(MANY)]
        program = subprocess.Popen(
            command, cwd=shell.place, env=shell.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        shell.started.append(program)
        until(lambda: (shell.place / "ledger").exists(), 60, "the program runs")
        until(lambda: [node["shards"] for node in nodes(shell)] == [128, 128], 60, "each node holds half")

        code, out, err = shell.raywf("nodes")
        assert code == 0, err
        print("\n" + out)
        lines = out.splitlines()
        assert len(lines) == 3 and "(head)" in lines[1] and all("ready" in line for line in lines[1:])

        first, second = nodes(shell)
        code, out, err = shell.raywf("drain", first["id"][:12])
        assert (code, out) == (2, "") and "head of the Ray cluster" in err
        code, out, err = shell.raywf("drain", "nowhere")
        assert (code, out) == (3, "") and second["id"][:12] in err
        code, out, err = shell.raywf("drain", second["address"])
        assert code == 2 and "give the beginning of its id" in err, "both nodes of one host have its address"

        began = time.monotonic()
        code, out, err = shell.raywf("drain", second["id"][:12], "--deadline", "60")
        print(f"drained after {time.monotonic() - began:.1f} s\n{err}")
        assert code == 0 and "it can be ended" in out, err
        left = {node["id"]: node for node in nodes(shell)}
        assert left[first["id"]]["shards"] == 256
        assert second["id"] not in left or left[second["id"]]["state"] == "drained"

        (shell.place / "enough").touch()
        out, err = program.communicate(timeout=200)
        assert program.returncode == 0, err
        assert str(sum(range(MANY))) in out.split()  # Ray prints its warnings there as well
        began_tasks = (shell.place / "ledger").read_text().splitlines()
        assert len(began_tasks) == len(set(began_tasks)) == 3 * MANY, "nothing ran twice"
        code, out, err = shell.raywf("nodes")
        assert (code, out) == (4, "") and "no engine runs" in err, "after the program"
    finally:
        head.end()
