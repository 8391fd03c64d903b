"""A conversation with a running execution: it is told something, which it accepts or refuses and answers; its words are followed as
they come, from any number; what it recorded is read by path.

    python examples/gallery/conversation.py

prints::

    refused: ValueError: 'essay' is too short for 'a'
    answer: {'topic': 'tea', 'words': 4}
    word 0: tea
    word 1: is
    word 2: a
    word 3: drink
    again, from 2: ['a', 'drink']
    the topic was tea
"""

import tempfile

import raywf
from raywf import task, workflow


def long_enough(topic: str) -> None:
    if len(topic) < 2:
        raise ValueError(f"'essay' is too short for {topic!r}")


@task
def plan(topic: str) -> dict:
    return {"topic": topic, "words": 4}


@task
async def write(plan: dict) -> int:
    for word in f"{plan['topic']} is a drink".split():
        raywf.current().emit(word)
    return plan["words"]


@workflow
def essay() -> int:
    planned = raywf.wait_update("topic", validator=long_enough, answer=plan)
    return write(planned)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, raywf.connect(store=f"sqlite:///{folder}/raywf.db") as engine:
        handle = engine.submit(essay)
        try:
            handle.update("topic", "a")
        except raywf.InvalidInput as error:
            print("refused:", str(error).partition("refused: ")[2])
        print("answer:", handle.update("topic", "tea", timeout=60))
        for item in handle.stream("write"):
            print(f"word {item.number}: {item.value}")
        handle.result(timeout=60)
        print("again, from 2:", [item.value for item in handle.stream("write", offset=2)])
        print("the topic was", handle.query("plan.topic"))
