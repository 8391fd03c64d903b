"""Three readers of one invoice are merged field by field; what they do not agree on goes to a jury, and only then to a person. No Ray.

    python examples/gallery/merge_records.py

prints::

    readers: {'vendor': 'Acme Ltd', 'total': 1200.0, 'due': '2026-12-10'} (escalated)
      /vendor 0.88
      /total 0.75
      /due 0.50, against ['2026-12-01']
    settled: 2026-12-10 by jury: 2 of 2 judges for it
"""

from typing import Any

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.aggregation import AskJudge, AskPerson, Candidate, Jury, Policy, ResultAggregator, Step

PAGE = "Acme Ltd - total 1,200.00 - due 2026-12-10"


@task
def by_layout(page: str) -> dict[str, Any]:
    return {"vendor": "Acme Ltd", "total": 1200.0, "due": "2026-12-01"}


@task
def by_words(page: str) -> dict[str, Any]:
    return {"vendor": "Acme Ltd", "total": 1200.0, "due": "2026-12-10"}


@task
def by_model(page: str) -> dict[str, Any]:
    return {"vendor": "Acme Ltd", "total": 1200.0}  # it saw no date


async def stands_on_the_page(answers: list[str]) -> list[float]:
    """A judge gives a score to each answer."""
    return [float(answer in PAGE) for answer in answers]


def is_later(answers: list[str]) -> dict[str, Any]:
    """Another one chooses, and says how sure it is."""
    return {"choice": max(answers), "confidence": 0.9}


async def nobody(step: Step) -> None:
    """Whom a person would be asked by; here nobody is at home."""


@task
async def settle(merged: raywf.AggregateResult) -> str:
    (doubtful,) = [part for part in merged.parts if part.confidence < 0.7]
    field = doubtful.path.removeprefix("/")
    said = [Candidate(each.value.get(field), each.source) for each in merged.candidates()]
    policy = Policy(AskJudge(Jury(stands_on_the_page, is_later)), AskPerson("Which date is right?"))
    result = await ResultAggregator().resolve_async(said, policy, nobody)
    return f"{result.value} by {result.strategy}: {result.why}"


@task
def told(merged: raywf.AggregateResult) -> str:
    lines = [f"readers: {merged.value} ({merged.decision})"]
    for part in merged.parts:
        against = [each.value for each in merged.conflicts if each.path == part.path and each.kind == "contradiction"]
        lines.append(f"  {part.path} {part.confidence:.2f}" + (f", against {against}" if against else ""))
    return "\n".join(lines)


@workflow
def read_invoice(page: str) -> list[str]:
    merged = raywf.aggregate([by_layout(page), by_words(page), by_model(page)])
    settled = raywf.when(
        merged.decision == "accepted", then=lambda: "nothing to settle", otherwise=lambda: settle(merged)
    )
    return [told(merged), f"settled: {settled}"]


if __name__ == "__main__":
    print("\n".join(raywf.testing.run(read_invoice, PAGE)))
