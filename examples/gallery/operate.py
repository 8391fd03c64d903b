"""Many executions at once: found by tag and status, paused, resumed and cancelled; and one that runs out of time.

    python examples/gallery/operate.py

prints::

    waiting: 3, of ann: 2
    paused 2 of ann, who hear nothing meanwhile
    completed: page 1 told go, page 3 told go
    cancelled 1 of bob: the book is withdrawn
    late: DeadlineExceeded
"""

import datetime as dt
import tempfile
import time

import raywf
from raywf import task, workflow


@task
async def read(page: int, word: str) -> str:
    return f"page {page} told {word}"


@workflow
def proof(page: int) -> str:
    return read(page, raywf.wait_signal("word"))


def wait_until(engine: raywf.WorkflowEngine, status: str, many: int) -> None:
    while len(engine.list(status=status)) < many:
        time.sleep(0.05)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, raywf.connect(store=f"sqlite:///{folder}/raywf.db") as engine:
        pages = [
            engine.submit(proof, page, tags={"reader": reader}) for page, reader in ((1, "ann"), (2, "bob"), (3, "ann"))
        ]
        wait_until(engine, "waiting", 3)
        print(f"waiting: {len(engine.list(status='waiting'))}, of ann: {len(engine.list(tags={'reader': 'ann'}))}")
        paused = engine.bulk("pause", tags={"reader": "ann"})
        print(f"paused {paused.sent} of ann, who hear nothing meanwhile")
        for page in (pages[0], pages[2]):
            page.signal("word", "go")
        engine.bulk("resume", tags={"reader": "ann"})
        print("completed:", ", ".join(page.result(timeout=30) for page in (pages[0], pages[2])))
        cancelled = engine.bulk("cancel", status="waiting", workflow="proof", reason="the book is withdrawn")
        try:
            pages[1].result(timeout=30)
        except raywf.WorkflowCancelled as error:
            print(f"cancelled {cancelled.sent} of bob: {error.reason}")
        late = engine.submit(proof, 4, deadline=dt.timedelta(seconds=0.2))
        try:
            late.result(timeout=30)
        except raywf.WorkflowFailed as error:
            print("late:", error.failure.type.rpartition(".")[2])
