"""At most once: the process dies while a payment is made, and nobody pays twice. No Ray.

    python examples/gallery/in_doubt.py

prints::

    paid 1 time, though the process died: raywf.errors.InDoubt
    asked a ledger first, and paid 1 time: paid 40

A task with ``effect="at_most_once"`` is never run again by itself. What then becomes of it is ``in_doubt``: ``"ask"``, which
waits for ``handle.resolve`` or ``raywf resolve``, ``"fail"``, or ``"retry"`` for a task that looks before it leaps.
"""

import raywf
import raywf.testing
from raywf import task, workflow

account: dict[str, int] = {}
calls: list[str] = []


@task(effect="at_most_once", in_doubt="fail")
def pay(amount: int) -> str:
    calls.append(raywf.current().idempotency_key)
    return f"paid {amount}"


@task(effect="at_most_once", in_doubt="retry")
def pay_unless_paid(amount: int) -> str:
    key = raywf.current().idempotency_key
    if key not in account:
        account[key] = amount
        calls.append(key)
    return f"paid {account[key]}"


@workflow
def carelessly(amount: int) -> str:
    return pay(amount)


@workflow
def carefully(amount: int) -> str:
    return pay_unless_paid(amount)


if __name__ == "__main__":
    dies = raywf.testing.Fault("crash_before_commit")
    try:
        raywf.testing.run(carelessly, 40, faults={"pay": dies})
    except raywf.WorkflowFailed as error:
        print(f"paid {len(calls)} time, though the process died: {error.failure.type}")
    calls.clear()
    result = raywf.testing.run(carefully, 40, faults={"pay_unless_paid": dies})
    print(f"asked a ledger first, and paid {len(calls)} time: {result}")
