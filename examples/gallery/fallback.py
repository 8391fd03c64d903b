"""A fallback: when the attempts of a task are used up, another function gets the same arguments. No Ray.

    python examples/gallery/fallback.py

prints::

    live: THE SKY
    from the cache: THE SEA, after 3 attempts
"""

import raywf
import raywf.testing
from raywf import task, workflow

attempts: list[int] = []


def cached(question: str) -> str:
    return f"from the cache: {question.upper()}, after {len(attempts)} attempts"


@task(retry=raywf.Retry(max_attempts=3), fallback=cached)
def ask(question: str) -> str:
    attempts.append(raywf.current().attempt)
    if question == "the sea":
        raise ConnectionError("nobody answers")
    return f"live: {question.upper()}"


@workflow
def answer(question: str) -> str:
    return ask(question)


if __name__ == "__main__":
    for question in ("the sky", "the sea"):
        attempts.clear()
        print(raywf.testing.run(answer, question))
