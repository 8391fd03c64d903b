"""Many submits, few executions: debounce, batch and singleton. Starts a small private Ray.

    python examples/gallery/collecting.py

prints::

    reindexed ann at revision 3
    stored [1, 2, 3], and [4] when nothing more came
    one synchronisation for two who asked
"""

import tempfile

import raywf
from raywf import task, workflow


@task
def index(user: str, revision: int) -> str:
    return f"reindexed {user} at revision {revision}"


@task
def store(rows: list[int]) -> list[int]:
    return rows


@workflow(start=raywf.Debounce(key="input.user", quiet_s=1, max_wait_s=30))
def reindex(user: str, revision: int) -> str:
    return index(user, revision)


@workflow(start=raywf.Batch(max_size=3, timeout=1))
def ingest(rows: list[int]) -> list[int]:
    return store(rows)


@workflow(start=raywf.Singleton(key="input.user", on_conflict="join"))
def synchronise(user: str) -> str:
    return index(raywf.sleep(1, user), 0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, raywf.connect(store=f"sqlite:///{place}/raywf.db") as engine:
        handles = [engine.submit(reindex, "ann", revision) for revision in (1, 2, 3)]
        print(handles[0].result(timeout=60))
        first, *_, last = [handle.result(timeout=60) for handle in engine.submit_many(ingest, [1, 2, 3, 4])]
        print(f"stored {first}, and {last} when nothing more came")
        one, other = engine.submit(synchronise, "ann"), engine.submit(synchronise, "ann")
        assert one.id == other.id
        other.result(timeout=60)
        print("one synchronisation for two who asked")
