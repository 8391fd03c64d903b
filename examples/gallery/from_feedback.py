"""A panel that learns from feedback: the stack in a workflow, before there is evidence and after. No Ray.

    python examples/gallery/from_feedback.py

With an engine the truths come from wherever they are found out, as `engine.aggregator("capitals").feedback(execution_id, "Bern")`;
here they are given beforehand. It prints::

    no truths:  Zurich 0.62, escalated, rung votes, not calibrated
    20 truths:  Zurich 0.52, escalated, rung votes, not calibrated
    80 truths:  Bern 0.94, accepted, calibrated by stack
"""

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.aggregation import Answer, FactSet, Gold


@task
def atlas(country: str) -> str:
    return "Bern"


@task
def rumour(country: str) -> str:
    return "Zurich"


@task
def hearsay(country: str) -> str:
    return "Zurich"


@workflow
def capital(country: str):
    asked = [atlas(country), rumour(country), hearsay(country)]
    return raywf.aggregate(asked, strategy="stack", aggregator="capitals")


def past(truths: int) -> FactSet:
    """What was said of other countries, and what was right: the atlas nearly always, the others half of the time."""
    facts = FactSet()
    for n in range(truths):
        right, wrong = f"city {n}", f"town {n}"
        for source, says in (("atlas", n % 20 != 7), ("rumour", n % 2 == 0), ("hearsay", n % 4 < 2)):
            facts.add(Answer(f"country {n}", source, right if says else wrong))
        facts.add(Gold(f"country {n}", right))
    return facts


def show(title: str, result: raywf.AggregateResult) -> None:
    how = f"calibrated by {result.strategy}" if result.calibrated else f"rung {result.rung}, not calibrated"
    print(f"{title + ':':11} {result.value} {result.confidence:.2f}, {result.decision}, {how}")


if __name__ == "__main__":
    show("no truths", raywf.testing.run(capital, "Switzerland"))
    show("20 truths", raywf.testing.run(capital, "Switzerland", aggregators={"capitals": past(20)}))
    show("80 truths", raywf.testing.run(capital, "Switzerland", aggregators={"capitals": past(80)}))
