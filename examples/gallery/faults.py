"""Faults by name: a test in which a card is charged once, although its process dies and its bank is slow. No Ray.

    python examples/gallery/faults.py

prints::

    shipped 7 for 70 cents
    charge was called by attempts 1, 2, under 1 key; ship by attempts 2
    the test took 65 minutes of its own time
"""

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.testing import Clock, Fault, Ledger


@task(timeout=4000)
def charge(item: int) -> int:
    return 10 * item  # a payment service would be handed raywf.current().idempotency_key


@task(retry=raywf.Retry(max_attempts=2, initial=0.001), timeout=300)
async def ship(item: int, cents: int) -> str:
    return f"shipped {item} for {cents} cents"


@workflow
def order(item: int) -> str:
    return ship(item, charge(item))


if __name__ == "__main__":
    clock, ledger = Clock(), Ledger()
    faults = {"charge": ["crash_before_commit", Fault("delay", seconds=3600)], "ship": "timeout"}
    print(raywf.testing.run(order, 7, faults=faults, clock=clock, ledger=ledger))
    attempts = {name: ", ".join(str(call.attempt) for call in ledger.of(name)) for name in ("charge", "ship")}
    keys = len(ledger.keys("charge"))
    print(f"charge was called by attempts {attempts['charge']}, under {keys} key; ship by attempts {attempts['ship']}")
    print(f"the test took {clock.elapsed_s / 60:.0f} minutes of its own time")
