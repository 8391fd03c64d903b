"""Workflows of ready tasks, importable by workers."""

from __future__ import annotations

from typing import Any

from raywf import tasks, workflow


@workflow
def order_and_record(shop: str, database: str, folder: str) -> Any:
    made = tasks.http("POST", shop, json={"cup": 1}, headers={"X-Trace": "1"})
    noted = tasks.sql(database, "INSERT INTO orders (number) VALUES (?)", [made.json["order"]])
    large = tasks.http("GET", f"{shop}/large").after(noted)
    put = tasks.object_put(f"file://{folder}/large", large.content)
    return made.json["order"], noted.count, put.size, tasks.object_get(put.uri, sha256=put.sha256)
