"""Readers that differ, settled inside the merge: one sample more, two judges, and a person only if they do not agree. No Ray.

    python examples/gallery/settled.py

prints::

    clear:   2026-12-10 by majority (further samples: 0, questions to judges: 0)
    doubted: 2026-12-10 by majority (further samples: 1, questions to judges: 0)
    judged:  2026-12-10 by jury (further samples: 2, questions to judges: 4)
    nobody:  None, abstained

Every sample, every question and the approval is a task: after a crash nobody is asked twice.
"""

from typing import Any

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.aggregation import Abstain, AskJudge, AskPerson, Jury, MoreSamples, Policy

asked: dict[str, int] = {}


@task
def read(page: dict[str, Any], reader: str) -> str | None:
    asked[reader] = asked.get(reader, 0) + 1
    return page.get(reader)


@task
async def on_the_page(answers: list[str]) -> list[float]:
    """A judge gives a score to each answer; it does not hear whose they are."""
    asked["judge"] = asked.get("judge", 0) + 1
    return [float(answer == "2026-12-10") for answer in answers]


@task(retry=raywf.Retry(max_attempts=2))
async def is_later(answers: list[str]) -> dict[str, Any]:
    """Another one chooses, and says how sure it is. One that fails for good would be a voice less."""
    asked["judge"] = asked.get("judge", 0) + 1
    return {"choice": max(answers), "confidence": 0.9}


@workflow
def due_date(page: dict[str, Any]) -> Any:
    return raywf.aggregate(
        [read(page, "layout"), read(page, "words"), read(page, "model")],
        policy=Policy(
            MoreSamples(lambda: read(page, "fourth"), lambda: read(page, "fifth")),
            AskJudge(Jury(on_the_page, is_later)),
            AskPerson("Which date is right?", timeout=3600),
            Abstain(),
        ),
    )


def show(title: str, **page: str) -> None:
    asked.clear()
    found = raywf.testing.run(due_date, page)
    more = asked.get("fourth", 0) + asked.get("fifth", 0)
    how = f"by {found.strategy} (further samples: {more}, questions to judges: {asked.get('judge', 0)})"
    print(f"{title + ':':8} {found.value}{', abstained' if found.decision == 'abstained' else ' ' + how}")


if __name__ == "__main__":
    right, wrong = "2026-12-10", "2026-12-01"
    show("clear", layout=right, words=right, model=right)
    show("doubted", layout=right, words=right, model=wrong, fourth=right)
    show("judged", layout=right, words=wrong, model="2026-11-30", fourth=right, fifth="2026-10-10")
    show("nobody")
