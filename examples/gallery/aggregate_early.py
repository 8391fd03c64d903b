"""Asking several and not waiting for all: a quorum, a timeout, and an early stop that cancels the losers. No Ray.

    python examples/gallery/aggregate_early.py

prints::

    quorum of 2:    Paris, cancelled ['slow']
    3 seconds:      Lyon, cancelled ['slow', 'usual']
    early stop:     Paris, cancelled ['slow']
    one failed:     Paris, cancelled []
"""

import asyncio

import raywf
import raywf.testing
from raywf import task, workflow

cancelled: list[str] = []


@task
async def model(name: str, says: str, seconds: float) -> str:
    try:
        await asyncio.sleep(seconds)  # the clock of raywf.testing jumps over it
    except asyncio.CancelledError:
        cancelled.append(name)
        raise
    if not says:
        raise ValueError("no answer")
    return says


def panel(**how):
    @workflow
    def capital(fast: str, usual: str, slow: str):
        asked = [model("fast", fast, 1), model("usual", usual, 5), model("slow", slow, 60)]
        return raywf.aggregate(asked, strategy="majority", **how).value

    return capital


def show(title: str, how: dict, *says: str) -> None:
    cancelled.clear()
    answer = raywf.testing.run(panel(**how), *says)
    print(f"{title + ':':15} {answer}, cancelled {sorted(cancelled)}")


if __name__ == "__main__":
    show("quorum of 2", {"quorum": 2}, "Paris", "Paris", "Lyon")
    show("3 seconds", {"timeout": 3}, "Lyon", "Paris", "Paris")
    show("early stop", {"early_stop": True}, "Paris", "Paris", "Lyon")
    show("one failed", {"quorum": 2}, "", "Paris", "Paris")
