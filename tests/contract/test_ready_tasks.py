"""Ready tasks against a real server on the loopback, alone and by an engine."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import raywf
from raywf import tasks
from raywf.definition.context import TaskContext, entered
from raywf.tasks import HttpError, http
from tests.contract.http_server import Shop, open_shop
from tests.contract.ready_flows import order_and_record


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as opened:
        yield opened


def test_an_order_whose_answer_was_lost_is_the_same_order(shop: Shop) -> None:
    """The server acts and dies before it answers: the next attempt has the same key, and nothing is ordered twice."""

    async def attempts() -> list[int]:
        shop.troubles = ["gone", "busy"]
        numbers = []
        for attempt in (1, 2, 3):
            with entered(TaskContext("x1", "http", attempt, "x1/http")):
                try:
                    numbers.append((await http.function("POST", shop.url, json={})).json["order"])
                except HttpError as error:
                    assert error.retryable, error
                    assert error.retry_after == (0.0 if attempt == 2 else None)
        return numbers

    assert asyncio.run(attempts()) == [1]
    assert len(shop.orders) == 1
    assert len(shop.seen) == 3


def test_connections_are_kept_and_cookies_are_not(shop: Shop) -> None:
    async def orders() -> None:
        for number in range(3):
            with entered(TaskContext(f"x{number}", "http", 1, f"x{number}/http")):
                answer = await http.function("POST", shop.url)
                assert "set-cookie" not in answer.headers

    asyncio.run(orders())
    assert len(shop.orders) == 3
    assert not [headers for _, _, headers in shop.seen if "cookie" in headers]


def test_a_slow_server_is_given_up_on_in_time(shop: Shop) -> None:
    began = time.monotonic()
    with pytest.raises(HttpError, match=r"no answer within 0\.3 s") as failed:
        asyncio.run(http.function("GET", f"{shop.url}/slow", timeout=0.3))
    assert failed.value.retryable
    assert time.monotonic() - began < 1.5


def test_nobody_there_is_worth_another_try_even_without_a_key() -> None:
    with open_shop() as closed:
        url = closed.url
    with pytest.raises(HttpError, match="ConnectError") as failed:
        asyncio.run(http.function("POST", url, idempotency_header=None))
    assert failed.value.retryable


def test_redirects_and_large_answers(shop: Shop) -> None:
    answer = asyncio.run(http.function("GET", f"{shop.url}/moved"))
    assert (answer.url, len(answer.content)) == (f"{shop.url}/large", 200_000)
    with pytest.raises(HttpError, match="more than max_bytes=1,000"):
        asyncio.run(http.function("GET", f"{shop.url}/large", max_bytes=1000))


def test_an_engine_runs_them(engine: raywf.WorkflowEngine, shop: Shop, tmp_path: Path) -> None:
    shop.troubles = ["busy"]
    database = tmp_path / "shop.db"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE orders (number INTEGER)")
    handle = engine.submit(order_and_record, shop.url, f"sqlite:///{database}", str(tmp_path))
    number, count, size, content = handle.result(timeout=60)
    assert (number, count, size, content) == (1, 1, 200_000, b"x" * 200_000)
    assert db.execute("SELECT number FROM orders").fetchall() == [(1,)]
    db.close()
    (failed,) = [event for event in handle.history() if event.kind == "attempt_failed"]
    assert failed.data["failure"]["retry_after"] == 0.0
    assert handle.describe().tasks["http"].attempt == 2
    assert tasks.HttpResponse.__name__ in repr(handle.describe().results["http"])
