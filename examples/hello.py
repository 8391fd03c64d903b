"""The smallest useful workflow: a task, a fan-out over its result, and a task that waits for all of it.

    python examples/hello.py

prints::

    DURABLE WORKFLOWS ON RAY
"""

import raywf
from raywf import task, workflow


@task
def words(text: str) -> list[str]:
    return text.split()


@task
async def shout(word: str) -> str:
    return word.upper()


@task
def join(parts: list[str]) -> str:
    return " ".join(parts)


@workflow(version="1")
def hello(text: str) -> str:
    loud = shout.map(words(text))  # one call per word, as many as there turn out to be
    return join(loud)  # waits for all of them


if __name__ == "__main__":
    with raywf.connect() as engine:
        print(engine.run(hello, "durable workflows on ray"))
