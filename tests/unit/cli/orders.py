"""Three versions of one workflow, and how open executions come from one to the next."""

from __future__ import annotations

import raywf


@raywf.task
def rate(order: str) -> float:
    return 0.5


@raywf.task
def scored(order: str) -> dict[str, float]:
    return {"value": 0.5}


@raywf.task
def ship(order: str, rating: float) -> str:
    return f"{order} {rating}"


@raywf.task
def pack(order: str, rating: dict[str, float]) -> str:
    return f"{order} {rating}"


@raywf.workflow(id="orders")
def one(order: str):
    rating = rate(order)
    return ship(order, raywf.approval("Ship?", data=rating))


@raywf.workflow(id="orders", version="2")
def two(order: str):
    rating = rate.with_options(timeout=5.0)(order)
    approved = raywf.approval("Ship it?", data=rating)
    return ship(order, approved)


@raywf.workflow(id="orders", version="3")
def three(order: str):
    score = scored.with_options(id="score")(order)
    return pack(order, raywf.approval("Ship?", data=score))


better = raywf.migration(three, from_="1", rename={"rate": "score"}, keep=["approval"], drop=["approval"])


@better.convert("score")
def as_dict(rating: float) -> dict[str, float]:
    return {"value": rating}


@raywf.workflow(id="orders", version="4")
def typo(order: str):
    return ship(order, rate(order))


raywf.migration(typo, rename={"raet": "rate"})


@raywf.workflow(id="orders", version="5")
def needs_more(order: str, country: str):
    return ship(order, raywf.approval("Ship?", data=rate(order)))


@raywf.task
def rate_strictly(order: str) -> int:
    return 1
