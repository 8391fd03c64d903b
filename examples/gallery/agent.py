"""Graphs that grow while they run: an agent calls tools until it knows, and a loop refines a text until it is short. No Ray.

    python examples/gallery/agent.py

prints::

    the answer is 42, after add, multiply
    too long by far -> too long by -> too long

An agent's next step is known only when the last one has ended: ``think`` answers, or goes on as ``act`` and another ``think``.
Each of them is a task with a result on disk, so an agent that is killed in step 7 has not paid for the first six in vain.
"""

from typing import Any

import raywf
import raywf.testing
from raywf import task, workflow

TOOLS = {"add": lambda a, b: a + b, "multiply": lambda a, b: a * b}
PLAN = [("add", 6), ("multiply", 3)]


@task
def act(notes: list[dict[str, Any]], tool: str, by: int) -> list[dict[str, Any]]:
    value = notes[-1]["value"] if notes else 8
    return [*notes, {"tool": tool, "value": TOOLS[tool](value, by)}]


@task
def think(notes: list[dict[str, Any]]) -> str:
    """A model would choose here; this one follows a plan."""
    if len(notes) < len(PLAN):
        return raywf.continuation(step, notes, *PLAN[len(notes)])
    return f"the answer is {notes[-1]['value']}, after {', '.join(note['tool'] for note in notes)}"


@workflow
def step(notes: list[dict[str, Any]], tool: str, by: int) -> str:
    return think(act(notes, tool, by))


@workflow
def agent() -> str:
    return think([])


@task
def shorten(text: str) -> str:
    return text.rsplit(" ", 1)[0]


@task
def measure(text: str) -> int:
    return len(text)


@task
def note(drafts: list[str], text: str) -> list[str]:
    return [*drafts, text]


@workflow
def refine(text: str) -> list[str]:
    def once(state: Any) -> Any:
        shorter = shorten(state["text"])
        return {"text": shorter, "length": measure(shorter), "drafts": note(state["drafts"], shorter)}

    first = {"text": text, "length": 1000, "drafts": [text]}
    return raywf.loop(once, first, until=lambda state: state["length"] <= 8, max_iterations=10)["drafts"]


if __name__ == "__main__":
    print(raywf.testing.run(agent))
    print(" -> ".join(raywf.testing.run(refine, "too long by far")))
