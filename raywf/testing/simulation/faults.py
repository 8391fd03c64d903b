"""What goes wrong, as data: a schedule is a list of faults, so it can be printed, trimmed, kept and run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

CALM_AFTER_S = 12.0
"""No fault begins or lasts beyond this."""

KINDS = (
    "kill", "kill-at-commit", "kill-at-step", "pause", "stall", "cut-store", "cut-hosts", "full-disk", "slow-disk",
    "lost-commit-replies", "lost-answers", "doubled-calls", "slow-network", "deaf", "clock-jump", "kill-all",
)  # fmt: skip
"""Those that are drawn. ``leave`` is added by hand: a host is drained, with so long until its end, and comes back then."""

VICTIMS = ("owner", "owner", "owner", "supervisor", "client", "worker")


@dataclass(frozen=True, slots=True)
class Fault:
    """``at`` seconds after the start, for ``lasts`` seconds; ``whom`` is a role or a host; ``how`` is the kind's own number:
    which commit or step, which factor, how far a clock jumps. ``written``: whether the commit in which it dies is."""

    kind: str
    at: float = 0.0
    whom: str = "owner"
    lasts: float = 0.0
    how: float = 0.0
    written: bool = False

    def __str__(self) -> str:
        until = f" for {self.lasts:.2f} s" if self.lasts else ""
        number = f" ({self.how:g}{', written' if self.written else ''})" if self.how or self.written else ""
        return f"{self.at:7.3f} s  {self.kind} {self.whom}{number}{until}"


def draw(random: Random, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """A schedule. Few faults are the rule: one bug needs one or two, and many hide each other."""
    number = random.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 6))
    return sorted((_one(random, random.choice(kinds)) for _ in range(number)), key=lambda fault: fault.at)


def _one(random: Random, kind: str) -> Fault:
    at = round(random.choice((random.uniform(0, 0.3), random.uniform(0, 3.0), random.uniform(0, 8.0))), 4)
    lasts = round(min(random.choice((0.05, 0.5, 1.0, 2.6, 3.5, 5.0)) * random.uniform(0.5, 1.5), CALM_AFTER_S - at), 3)
    match kind:
        case "kill":
            return Fault(kind, at, random.choice(VICTIMS))
        case "kill-at-commit":
            return Fault(kind, 0.0, "owner", how=random.randint(1, 12), written=random.random() < 0.5)
        case "kill-at-step":
            return Fault(kind, at, random.choice(("owner", "owner", "supervisor", "client")), how=random.randint(1, 60))
        case "pause" | "stall":
            if random.random() < 0.5:  # long enough for the lease to lapse and a successor to be at work
                at, lasts = round(at / 4, 4), round(random.uniform(5.0, 9.0), 3)
            return Fault(kind, at, random.choice(("owner", "owner", "owner", "client", "supervisor")), lasts)
        case "cut-store":
            return Fault(kind, at, random.choice(("owner", "owner", "client", "supervisor")), lasts)
        case "lost-commit-replies":
            return Fault(kind, at, "owner", how=random.randint(1, 3))
        case "lost-answers" | "doubled-calls":
            return Fault(kind, at, "network", lasts, how=random.choice((0.2, 0.5, 1.0)))
        case "slow-disk" | "slow-network":
            return Fault(kind, at, kind[5:], lasts, how=random.choice((10, 50, 300)))
        case "clock-jump":
            far = random.choice((-30.0, -5.0, -1.0, 1.0, 2.5, 3600.0))
            return Fault(kind, at, random.choice(("here", "there")), how=far)
        case _:
            return Fault(kind, at, "all", 0.0 if kind == "kill-all" else lasts)


def to_json(faults: Iterable[Fault]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(fault).items() if value} for fault in faults]


def from_json(data: Iterable[dict[str, Any]] | str) -> list[Fault]:
    return [Fault(**each) for each in (json.loads(data) if isinstance(data, str) else data)]
