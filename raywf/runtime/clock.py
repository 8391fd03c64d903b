"""The real clock and real chance."""

from __future__ import annotations

import os
import random
import time


class SystemClock:
    """``raywf.ports.Clock`` on this machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


_CHANCE = random.Random()
os.register_at_fork(after_in_child=_CHANCE.seed)  # a forked process goes on with chance of its own


class SystemEntropy:
    """``raywf.ports.Entropy`` from a generator that the operating system seeded (Mersenne Twister: not for secrets), and that no
    task's ``random.seed`` reaches. To ask the system each time costs more than all the rest of an execution's key. A seed makes
    it repeatable."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = _CHANCE if seed is None else random.Random(seed)

    def uniform(self) -> float:
        return self._random.random()

    def bits(self, n: int) -> int:
        return self._random.getrandbits(n)
