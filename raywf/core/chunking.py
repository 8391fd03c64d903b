"""How many small Ray tasks of one kind travel in one call.

A Ray task costs two or three milliseconds of processor time however little it does (its worker, its owner and the raylet
together), so short ones travel together: as many as take about ``TARGET_S``, which keeps that cost below a twentieth, but
never so many that a core would idle while others still have work in hand. What is not measured yet, or takes long, travels
alone.
"""

from __future__ import annotations

from dataclasses import dataclass

TARGET_S = 0.05
MAX_CHUNK = 512
BRIEF_S = 5 * TARGET_S
"""A call of small tasks waits for the calls before it and takes ``TARGET_S``. One that is out for so long has met something:
then the history says of its attempts that they have begun, which otherwise costs as much as saying that they ended."""
_SMOOTHING = 0.3


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that one task of a kind takes: an exponentially weighted mean. None: never seen."""

    seconds: float | None = None

    def after(self, seconds: float, tasks: int) -> Pace:
        """The pace after a call of ``tasks`` tasks took ``seconds`` in its worker."""
        each = max(seconds, 1e-7) / max(tasks, 1)
        if self.seconds is None:
            return Pace(each)
        return Pace(self.seconds + _SMOOTHING * (each - self.seconds))


def chunk_size(pace: Pace, ready: int, idle_calls: int) -> int:
    """How many of ``ready`` tasks go into the next call, when ``idle_calls`` more calls may be in flight."""
    if ready <= 1 or pace.seconds is None:
        return min(ready, 1)
    fair = -(-ready // max(idle_calls, 1))
    return max(1, min(round(TARGET_S / pace.seconds), fair, MAX_CHUNK, ready))


def brief_s(pace: Pace, tasks: int) -> float:
    """For how long a call of so many tasks need not be told of, in seconds: ``BRIEF_S`` if it should take ``TARGET_S``, as
    small tasks travel, and is not known to be slower; else 0."""
    return BRIEF_S if pace.seconds is not None and pace.seconds * tasks <= 1.5 * TARGET_S else 0.0


def calls_in_flight(cpus: float, cpus_per_call: float) -> int:
    """How many calls of one kind to keep in flight: what fits into the cluster, and as many queued behind them, so
    that no core waits for us and the autoscaler sees a demand."""
    fits = cpus / cpus_per_call if cpus_per_call > 0 else cpus * 4
    return max(2, int(2 * fits))
