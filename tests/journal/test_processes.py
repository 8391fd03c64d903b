"""Several processes on one file: readers beside a writer, writers beside each other, and SIGKILL at any moment."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from raywf.journal import open_journal, open_reader
from raywf.testing.journal_contract import LANE, SHARDS, a_command, an_owner

LONG_S = 1000.0

WRITER = """
import asyncio, sys
from raywf.journal import open_journal
from raywf.testing.journal_contract import *

async def main(url, owner, rows):
    journal = open_journal(url)
    epochs = await journal.claim(an_owner(owner), SHARDS, 1000.0, dead=["a", "b"])
    start = {each.row.key: each.events[-1].seq async for each in journal.load_open(LANE, SHARDS)}
    if not start:
        await journal.commit(a_batch(epochs, 5, 6, owner=owner, opened=[an_execution(5), an_execution(6)],
                                     events=[an_event(5, 1), an_event(6, 1)]))
    seq = start.get(5, 1)
    print("ready", seq, flush=True)
    while True:
        events = [an_event(key, seq + n, data=b"x" * 30) for key in (5, 6) for n in range(1, rows + 1)]
        await journal.commit(a_batch(epochs, 5, 6, owner=owner, events=events))
        seq += rows
        print(seq, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""

READER = """
import asyncio, sys, time
from raywf.journal import open_reader

async def main(url):
    reader = open_reader(url)
    seen, until = 0, time.monotonic() + 1.0
    while time.monotonic() < until:
        five, six = [row.seq for row in await reader.history(5)], len(await reader.history(6))
        assert five == list(range(1, len(five) + 1)), five
        assert seen <= len(five) <= six, "a later read sees no less, and never part of a batch"
        seen = len(five)
    await reader.close()
    print(seen)

asyncio.run(main(sys.argv[1]))
"""


@contextmanager
def writing(path: Path, owner: str = "a", rows: int = 50) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WRITER, f"sqlite:///{path}", owner, str(rows)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline().startswith("ready")
        yield writer
    finally:
        writer.kill()
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()


@pytest.mark.kill
@pytest.mark.parametrize("rows", [1, 500, 4000])
async def test_what_was_acknowledged_survives_sigkill(place: Path, rows: int) -> None:
    """Killed again and again at a random moment: all that was acknowledged is there, and only whole batches are."""
    path, chance = place / "x.db", random.Random(rows)
    for _ in range(3):
        with writing(path, rows=rows) as writer:
            time.sleep(chance.uniform(0.01, 0.1))
            writer.send_signal(signal.SIGKILL)
            said = writer.communicate()[0].split()
        acknowledged = int(said[-1]) if said else 1
        reader = open_reader(f"sqlite:///{path}")
        five, six = await reader.history(5), await reader.history(6)
        await reader.close()
        assert [row.seq for row in five] == list(range(1, len(five) + 1))
        assert len(five) == len(six)
        assert len(five) >= acknowledged
        assert (len(five) - 1) % rows == 0
    db = apsw.Connection(str(path))
    assert db.pragma("integrity_check") == "ok"
    db.close()


async def test_a_second_process_reads_while_the_first_writes(place: Path) -> None:
    path = place / "x.db"
    with writing(path):
        reading = [sys.executable, "-c", READER, f"sqlite:///{path}"]
        readers = [subprocess.Popen(reading, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for reader in readers:
            seen, _ = reader.communicate(timeout=30)
            assert reader.returncode == 0
            assert int(seen) > 50, "the reader kept up"


async def test_commands_from_other_processes_arrive_once_and_in_order(place: Path) -> None:
    path = place / "x.db"
    sender = (
        "import asyncio, sys; from raywf.journal import open_inbox; from raywf.testing.journal_contract import *\n"
        "async def main():\n"
        "    inbox = open_inbox(sys.argv[1])\n"
        "    for n in range(20):\n"
        "        await inbox.send(a_command('e-' + sys.argv[2], f'c-{n}'))\n"
        "        await inbox.send(a_command('e-shared', f'c-{n}'))\n"
        "    await inbox.close()\n"
        "asyncio.run(main())\n"
    )
    with writing(path):
        command = [sys.executable, "-c", sender, f"sqlite:///{path}"]
        senders = [subprocess.Popen([*command, str(number)]) for number in range(3)]
        assert [each.wait(timeout=30) for each in senders] == [0, 0, 0]
    journal = open_journal(f"sqlite:///{path}")
    rows = await journal.inbox(LANE, 0)
    await journal.close()
    for number in range(3):
        mine = [row.command_id for row in rows if row.execution == f"e-{number}"]
        assert mine == [f"c-{n}" for n in range(20)]
    assert sorted(row.command_id for row in rows if row.execution == "e-shared") == sorted(f"c-{n}" for n in range(20))


async def test_a_stopped_and_resumed_owner_cannot_write(place: Path) -> None:
    """SIGSTOP is the pause that no lease can tell from death; the epoch is what protects the journal."""
    path = place / "x.db"
    with writing(path, rows=1) as old:
        stop_outside_a_transaction(old, path)
        journal = open_journal(f"sqlite:///{path}")
        epochs = await journal.claim(an_owner("b"), SHARDS, LONG_S, dead=["a"])
        assert set(epochs.values()) == {2}
        before = await journal.history(5)
        old.send_signal(signal.SIGCONT)
        _, _ = old.communicate(timeout=30)
        assert old.returncode == 1, "LeaseLost ends it"
        assert await journal.history(5) == before
        await journal.close()


def stop_outside_a_transaction(writer: subprocess.Popen[str], path: Path) -> None:
    """Who is stopped with the write lock in hand holds up everybody until it goes on or dies: stop it elsewhere."""
    probe = apsw.Connection(str(path))
    for _ in range(200):
        writer.send_signal(signal.SIGSTOP)
        os.waitpid(writer.pid, os.WUNTRACED)
        try:
            probe.execute("BEGIN IMMEDIATE; ROLLBACK")
            break
        except apsw.BusyError:
            writer.send_signal(signal.SIGCONT)
            time.sleep(0.001)
    probe.close()


async def test_two_claimants_in_two_processes_share_without_overlap(place: Path) -> None:
    path = place / "x.db"
    claimant = (
        "import asyncio, sys, json; from raywf.journal import open_journal; from raywf.testing.journal_contract import *\n"
        "async def main():\n"
        "    journal, held = open_journal(sys.argv[1]), {}\n"
        "    shards = sorted(SHARDS, key=lambda shard: hash((sys.argv[2], shard)))\n"
        "    for start in range(0, 256, 8):\n"
        "        held |= await journal.claim(an_owner(sys.argv[2]), shards[start:start + 8], 1000.0)\n"
        "    print(json.dumps(sorted(held)))\n"
        "    await journal.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", claimant, f"sqlite:///{path}"]
    running = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("a", "b", "c")]
    held = [set(json.loads(each.communicate(timeout=60)[0])) for each in running]
    assert sum(map(len, held)) == 256
    assert set().union(*held) == set(SHARDS)


async def test_a_lock_holder_that_dies_holds_nobody_up(place: Path, opening: Callable[..., Any]) -> None:
    path = place / "x.db"
    journal = opening("journal", path)
    holder = (
        "import apsw, sys, time; db = apsw.Connection(sys.argv[1]); db.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    holding = subprocess.Popen([sys.executable, "-c", holder, str(path)], stdout=subprocess.PIPE, text=True)
    assert holding.stdout is not None
    holding.stdout.readline()
    sending = asyncio.create_task(journal.send(a_command("e-1", "c-1")))
    await asyncio.sleep(0.1)
    assert not sending.done()
    holding.kill()
    holding.communicate()
    assert await asyncio.wait_for(sending, 10)
