"""What to ask the cluster's autoscaler for while Ray tasks wait. Pure: the backlog in, the request out.

Ray scales for the Ray tasks that it has been given, and raywf gives it only about twice what fits (``chunking``): ten thousand that wait
here look like two per core. So the whole backlog is turned into a request: as many bundles of each kind as have it done in ``CLEAR_S``,
because a node takes minutes to come and is not worth it for less, never more than there are tasks, and never more than a limit.

More is asked for at once, less only when less has been enough for ``KEEP_S``, and nothing once nothing waits for so long: nodes must
not come and go with every lull.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CLEAR_S = 60.0
KEEP_S = 30.0
Bundle = tuple[tuple[str, float], ...]
"""Resources by name, sorted: what one call needs."""


class Demand(NamedTuple):
    """Ray tasks of one kind that wait or run: what each needs, how many, and how long one takes (None: not known)."""

    needs: Bundle
    tasks: int
    seconds: float | None


def wanted(demands: Iterable[Demand], most: int) -> dict[Bundle, int]:
    """How many bundles of each kind to have, ``most`` in all: where that is too few, each kind gets its part and at least one
    while there are any."""
    calls: dict[Bundle, int] = defaultdict(int)
    for demand in demands:
        if demand.tasks > 0 and any(amount > 0 for _, amount in demand.needs):
            worth = demand.tasks if demand.seconds is None else math.ceil(demand.tasks * demand.seconds / CLEAR_S)
            calls[demand.needs] += max(1, min(demand.tasks, worth))
    total = sum(calls.values())
    if total <= most:
        return dict(calls)
    found: dict[Bundle, int] = {}
    for needs in sorted(
        calls, key=lambda each: (calls[each], each)
    ):  # small ones first: what they leave is for the others
        mine = min(calls[needs], max(1, calls[needs] * most // total), most - sum(found.values()))
        if mine > 0:
            found[needs] = mine
    return found


class Request(NamedTuple):
    """What is asked for now, and since when less would have been enough (epoch seconds; None: it would not)."""

    bundles: Mapping[Bundle, int] = {}
    less_since: float | None = None


def decide(request: Request, now_wanted: Mapping[Bundle, int], now: float) -> Request:
    """The request from now on."""
    more = {
        needs: max(now_wanted.get(needs, 0), request.bundles.get(needs, 0)) for needs in {*now_wanted, *request.bundles}
    }
    if dict(now_wanted) == more:
        return Request(more)
    since = now if request.less_since is None else request.less_since
    if now - since >= KEEP_S:
        return Request(dict(now_wanted))
    return Request(more, since)


def as_list(request: Request) -> list[dict[str, float]]:
    """The bundles one by one, as Ray wants them."""
    return [dict(needs) for needs, count in sorted(request.bundles.items()) for _ in range(count)]
