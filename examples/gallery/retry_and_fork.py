"""Retry and fork: what failed runs again, and a variant begins with what was done already. Nothing is computed twice.

    python examples/gallery/retry_and_fork.py

prints::

    failed: the model is down
    after the retry: draft of 2 notes, formal
    of the fork: draft of 2 notes, friendly
    search ran 1 time, write 3 times
"""

import tempfile
from pathlib import Path

import raywf
from raywf import task, workflow


@task
def search(question: str, folder: str) -> list[str]:
    note(folder, "search")
    return [f"{question}: one", f"{question}: two"]


@task
def write(notes: list[str], tone: str, folder: str) -> str:
    note(folder, "write")
    if not (Path(folder) / "model-is-up").exists():
        raise ConnectionError("the model is down")
    return f"draft of {len(notes)} notes, {tone}"


@workflow
def report(question: str, tone: str, folder: str) -> str:
    return write(search(question, folder), tone, folder)


def note(folder: str, what: str) -> None:
    with open(Path(folder) / what, "a") as calls:
        calls.write("called\n")


def count(folder: str, what: str) -> int:
    return len((Path(folder) / what).read_text().splitlines())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, raywf.connect(store=f"sqlite:///{folder}/raywf.db") as engine:
        handle = engine.submit(report, "sky", "formal", folder)
        try:
            handle.result()
        except raywf.WorkflowFailed as error:
            print(f"failed: {error.failure.message}")
        (Path(folder) / "model-is-up").touch()
        handle.retry()
        print("after the retry:", handle.result())
        fork = engine.fork(handle.id, from_task="write", args=["sky", "friendly", folder])
        print("of the fork:", fork.result())
        print(f"search ran {count(folder, 'search')} time, write {count(folder, 'write')} times")
