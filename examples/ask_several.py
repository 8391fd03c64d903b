"""Ask several, merge what they say, and let a person decide only where the panel does not agree.

    python examples/ask_several.py

prints::

    billing: 3 of 3 say so, accepted
    a person says bug: 1 of 3 said so, escalated
"""

from typing import Any

import raywf
from raywf import task, workflow


@task
def by_words(ticket: str) -> str:
    return "billing" if "invoice" in ticket else "bug"


@task
def by_sender(ticket: str) -> str | None:
    return "billing" if "accounts@" in ticket else None  # None abstains


@task
async def by_model(ticket: str) -> dict[str, Any]:
    """A model says how sure it is."""
    sure = "invoice" in ticket
    return {"source": "tiny-model", "value": "billing" if sure else "question", "confidence": 0.95 if sure else 0.4}


@task
def decide(merged: raywf.AggregateResult, answer: str) -> str:
    voices = [each for each in merged.provenance if each.value == answer]
    said = f"{len(voices)} of {len(merged.provenance)}"
    if merged.decision == "accepted":
        return f"{answer}: {said} say so, accepted"
    return f"a person says {answer}: {said} said so, {merged.decision}"


@workflow
def triage(ticket: str) -> str:
    merged = raywf.aggregate([by_words(ticket), by_sender(ticket), by_model(ticket)], strategy="majority")
    answer = raywf.when(
        merged.decision == "accepted",
        then=lambda: merged.value,
        otherwise=lambda: raywf.wait_signal("person", timeout=1, default="bug"),  # nobody is there: the default
    )
    return decide(merged, answer)


if __name__ == "__main__":
    with raywf.connect() as engine:
        print(engine.run(triage, "accounts@example.org: the invoice is wrong"))
        print(engine.run(triage, "ann@example.org: it does not start"))
