"""Kill it and start it again: tasks that have ended are not run again.

    python examples/crash.py &      # appends a line to ledger.txt whenever a step runs
    kill -9 $!                      # after a few seconds
    python examples/crash.py        # goes on, and prints the result

Left alone it prints::

    6
"""

import time
from pathlib import Path

import raywf
from raywf import task, workflow


@task
def step(number: int, so_far: int = 0) -> int:
    with Path("ledger.txt").open("a") as ledger:
        ledger.write(f"step {number}, attempt {raywf.current().attempt}\n")
    time.sleep(3)
    return so_far + number


@workflow(version="1")
def steps() -> int:
    return step(3, step(2, step(1)))


if __name__ == "__main__":
    with raywf.connect() as engine:
        print(engine.run(steps, execution_id="steps-1"))  # the same id: the same execution
