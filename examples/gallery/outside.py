"""Ready tasks: an order by HTTP whose first answer is lost, a row that is written once, and a file. No Ray, no network.

    python examples/gallery/outside.py

prints::

    ordered 1 time under 1 key, in 2 attempts
    rows written: [(7,)]
    receipt: order 7
"""

import sqlite3
import tempfile
from pathlib import Path

import httpx

import raywf.testing
from raywf import tasks, workflow

orders: dict[str, int] = {}
asked: list[str] = []


def shop(request: httpx.Request) -> httpx.Response:
    """Acts once per key; the answer to the first request is lost on its way."""
    key = request.headers["idempotency-key"]
    asked.append(key)
    orders.setdefault(key, 7)
    if len(asked) == 1:
        raise httpx.ReadError("the connection was lost")
    return httpx.Response(201, json={"number": orders[key]})


@workflow
def order(database: str, receipt: str):  # type: ignore[no-untyped-def]
    made = tasks.http("POST", "https://shop.example/orders", json={"cups": 1})
    noted = tasks.sql(database, "INSERT INTO orders VALUES (?)", [made.json["number"]])
    return tasks.object_put(receipt, f"order {made.json['number']}").after(noted)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, tasks.answering(shop):
        db = sqlite3.connect(f"{folder}/shop.db")
        db.execute("CREATE TABLE orders (number INTEGER)")
        faults = {
            "sql": "crash_before_commit"
        }  # the process dies after it has written: the next attempt writes nothing
        put = raywf.testing.run(order, f"sqlite:///{folder}/shop.db", f"{folder}/receipt", faults=faults)
        print(f"ordered {len(orders)} time under {len(set(asked))} key, in {len(asked)} attempts")
        print("rows written:", db.execute("SELECT number FROM orders").fetchall())
        print("receipt:", Path(put.uri).read_text())
        db.close()
