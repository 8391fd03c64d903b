"""The work that raw Ray tasks and raywf's Ray tasks both do."""

from __future__ import annotations

import time

TASK_CPU_S = 0.02


def burn(cpu_s: float = TASK_CPU_S) -> None:
    """Computes until this thread has used so much processor time, however many others want the core."""
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        sum(range(500))


def plus_one(x: int) -> int:
    return x + 1


def burn_and_plus_one(x: int) -> int:
    burn()
    return x + 1
