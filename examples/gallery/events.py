"""An event starts what waits for it: by name, where a condition holds, once per event. No Ray.

    python examples/gallery/events.py

prints::

    where: {"op": ">", "left": {"$ref": "event.amount"}, "right": 100}
    a signed request is the event shop.order.created with id msg_1
    a forged one is refused
    billed o1

With an engine: ``engine.register(billing)``, then ``engine.emit("shop.order.created", {...}, id="msg_1")`` from anywhere, or
``raywf emit shop.order.created '{...}' --id msg_1``, or ``engine.receive(shop, request.headers, body)`` behind an HTTP door.
"""

import base64
import hashlib
import hmac
import json
import time

import raywf
import raywf.testing
from raywf import task, workflow


@task
def bill(order: str) -> str:
    return f"billed {order}"


@workflow(
    triggers=[
        raywf.on_event(
            "shop.order.created", where=lambda event: event["amount"] > 100, args=lambda event: event["order"]
        )
    ]
)
def billing(order: str) -> str:
    return bill(order)


shop = raywf.Webhook("a-secret-of-both-sides", event="shop.{type}")

if __name__ == "__main__":
    print("where:", json.dumps(billing.definition.triggers[0]["where"]))
    body = json.dumps({"type": "order.created", "order": "o1", "amount": 150}).encode()
    now = time.time()
    signed = f"msg_1.{now:.0f}.".encode() + body
    signature = base64.b64encode(hmac.new(b"a-secret-of-both-sides", signed, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": f"{now:.0f}", "webhook-signature": f"v1,{signature}"}
    event = shop.event(headers, body, now)
    print(f"a signed request is the event {event.name} with id {event.id}")
    try:
        shop.event(headers, body.replace(b"150", b"999"), now)
    except raywf.PermissionDenied:
        print("a forged one is refused")
    print(raywf.testing.run(billing, event.payload["order"]))
