"""History: an execution as a table, as Parquet once it is old, and as a file that a store takes in again.

    python examples/gallery/history.py

prints::

    4 events: execution_started, task_completed, task_completed, execution_completed
    archived 1 execution with 4 events; the store has 0 left
    in the archive: completed, and imported again: shipped 7 for 70 cents
"""

import tempfile
from pathlib import Path

import raywf
from raywf import task, workflow


@task
def charge(item: int) -> int:
    return 10 * item


@task
def ship(item: int, cents: int) -> str:
    return f"shipped {item} for {cents} cents"


@workflow
def order(item: int) -> str:
    return ship(item, charge(item))


def main(folder: Path) -> None:
    with raywf.connect(store=f"sqlite:///{folder}/raywf.db") as engine:
        handle = engine.submit(order, 7, execution_id="order-7")
        handle.result()
        kinds = engine.history_table(workflow="order").column("kind").to_pylist()
        print(f"{len(kinds)} events: {', '.join(kinds)}")
        handle.export().save(folder / "order-7.json")  # what `raywf import` and `raywf replay` read

        done = engine.archive(folder / "archive", older_than="0s")
        print(
            f"archived {done.executions} execution with {done.events} events; the store has {len(engine.list())} left"
        )

        kept = raywf.Archive(folder / "archive").export("order-7")
        status = engine.import_execution(kept)
        print(f"in the archive: {status}, and imported again: {engine.get('order-7').result()}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
