"""Chaos: a workflow is killed once at every boundary of its journal, and always ends the same. No Ray.

    python examples/gallery/chaos.py

prints::

    transfer was killed 12 times and always completed
    nothing that was on disk was computed again, and nobody was paid twice

``raywf chaos examples/gallery/chaos.py:transfer --input '["ann", 5]'`` says the same, boundary by boundary.
"""

import raywf.testing
from raywf import task, workflow


@task
def reserve(account: str, cents: int) -> str:
    return f"{account}-{cents}"


@task(effect="at_most_once")
def pay(reservation: str) -> str:
    return f"paid {reservation}"


@workflow
def transfer(account: str, cents: int) -> str:
    return pay(reserve(account, cents))


if __name__ == "__main__":
    report = raywf.testing.chaos(transfer, "ann", 5)
    assert report.ok, report.wrong
    print(f"transfer was killed {len(report.kills)} times and always {report.ended}")
    print("nothing that was on disk was computed again, and nobody was paid twice")
