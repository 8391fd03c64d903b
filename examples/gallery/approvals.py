"""Approvals: two of three must approve; and one that nobody answers is escalated, and ends in time. No Ray.

    python examples/gallery/approvals.py

prints::

    approved: refund 900
    failed: nobody answered in time: Refund 900? (it waited for an approval by 2 of ann, bob, cy or boss; escalated to boss)
"""

import raywf
import raywf.testing
from raywf import task, workflow


@task
async def pay(order: dict) -> str:
    return f"refund {order['amount']}"


@workflow
def refund(order: dict) -> str:
    checked = raywf.approval(
        f"Refund {order['amount']}?",
        order,
        timeout=86_400,
        approvers=["ann", "bob", "cy"],
        required=order["approvals"],
        escalate_after=3600,
        escalate_to=["boss"],
    )
    return pay(checked)


if __name__ == "__main__":
    order = {"amount": 900, "approvals": 2}
    print("approved:", raywf.testing.run(refund, order, approve=True))
    try:
        raywf.testing.run(refund, order)  # a whole day passes at once
    except raywf.WorkflowFailed as error:
        print("failed:", error.failure.message)
