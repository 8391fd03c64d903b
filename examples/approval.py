"""A person decides. The question is on disk: it waits for a day, whether this program runs or not.

    python examples/approval.py

asks at the terminal; with nobody there (`python examples/approval.py </dev/null`) it answers itself and prints::

    waiting for an approval (cashier): refund 120 EUR for order 17
    {'order': 17, 'amount': 120, 'paid': True}
"""

import sys
import time
from typing import Any

import raywf
from raywf import task, workflow


@task
def look_up(order: int) -> dict[str, Any]:
    return {"order": order, "amount": 120}


@task
def pay(refund: dict[str, Any]) -> dict[str, Any]:
    return {**refund, "paid": True}


@workflow
def refund(order: int) -> dict[str, Any]:
    found = look_up(order)
    asked = raywf.when(
        found["amount"] > 100,
        then=lambda: raywf.approval(
            f"refund {found['amount']} EUR for order {found['order']}", data=found, timeout=24 * 3600, id="cashier"
        ),
        otherwise=lambda: found,
    )
    return pay(asked)


if __name__ == "__main__":
    with raywf.connect() as engine:
        handle = engine.submit(refund, 17)
        while handle.status() == "running":
            time.sleep(0.05)
        print("waiting for", handle.describe().waiting_for)
        if not sys.stdin.isatty() or input("approve? [y/n] ") == "y":
            handle.approve(by="you", comment="fine")
        else:
            handle.reject(by="you")  # without on_reject= this fails the execution
        print(handle.result(timeout=60))
