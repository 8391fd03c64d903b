"""The real clock and real chance."""

from __future__ import annotations

import random
import time


class SystemClock:
    """``raywf.ports.Clock`` on this machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class SystemEntropy:
    """``raywf.ports.Entropy`` from the operating system's generator; a seed makes it repeatable."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed) if seed is not None else random.SystemRandom()

    def uniform(self) -> float:
        return self._random.random()

    def bits(self, n: int) -> int:
        return self._random.getrandbits(n)
