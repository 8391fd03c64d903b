"""Two levels of fan-out: a workflow per chapter, a task per sentence, and retries for a task that fails now and then.

    python examples/fan_out.py

prints::

    one: 7 words, sentences: 2
    two: 2 words, sentences: 1
    9 words in all
"""

import raywf
from raywf import task, workflow

BOOK = {"one": "It was late. Nobody was at home", "two": "Rain fell"}


@task
def sentences(text: str) -> list[str]:
    return [part.strip() for part in text.split(".")]


@task(retry=raywf.Retry(max_attempts=3, initial=0.05))
async def count(sentence: str) -> int:
    if raywf.current().attempt == 1:
        raise ConnectionError("the first attempt fails here, and is tried again")
    return len(sentence.split())


@task
def chapter_line(title: str, counts: list[int]) -> tuple[str, int]:
    return f"{title}: {sum(counts)} words, sentences: {len(counts)}", sum(counts)


@workflow
def chapter(title: str, text: str) -> tuple[str, int]:
    return chapter_line(title, count.map(sentences(text)))


@task
def report(chapters: list[tuple[str, int]]) -> list[str]:
    return [line for line, _ in chapters] + [f"{sum(words for _, words in chapters)} words in all"]


@workflow
def book(titles: list[str], texts: list[str]) -> list[str]:
    return report(chapter.map(titles, texts))  # one child execution per chapter


if __name__ == "__main__":
    with raywf.connect() as engine:
        print(*engine.run(book, list(BOOK), list(BOOK.values())), sep="\n")
