"""``raywf.tasks.sql`` on PostgreSQL: a write happens once, also when two attempts meet."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("asyncpg")

from raywf.definition.context import TaskContext, entered
from raywf.tasks import SqlError, SqlResult, sql
from tests.journal.postgres_server import Admin, Server


@pytest.fixture
def bank(postgres: Server) -> Iterator[str]:
    name = f"bank_{uuid.uuid4().hex[:8]}"
    admin = Admin(postgres.url)
    admin.do(f"CREATE TABLE {name} (name text PRIMARY KEY, cents integer CHECK (cents >= 0))")
    admin.do(f"INSERT INTO {name} VALUES ('ann', 100)")
    yield name
    admin.do(f"DROP TABLE IF EXISTS {name}")
    admin.do("DROP TABLE IF EXISTS raywf_once")
    admin.close()


def as_attempt(number: int, url: str, statement: str, params: list[Any], key: str = "x1/sql") -> SqlResult:
    with entered(TaskContext("x1", "sql", number, key)):
        return sql(url, statement, params)


def test_a_write_happens_once(postgres: Server, bank: str) -> None:
    pay = f"UPDATE {bank} SET cents = cents - $1 WHERE name = $2 RETURNING cents"
    first = as_attempt(1, postgres.url, pay, [30, "ann"])
    assert first == SqlResult([{"cents": 70}], 1)
    assert as_attempt(2, postgres.url, pay, [30, "ann"]) == SqlResult([{"cents": 70}], 1, True)
    with pytest.raises(SqlError, match="another statement"):
        as_attempt(3, postgres.url, pay, [31, "ann"])
    assert as_attempt(1, postgres.url, pay, [30, "ann"], "x2/sql").rows == [{"cents": 40}]
    assert sql(postgres.url, f"SELECT cents FROM {bank} WHERE name = $1", ["ann"]).rows == [{"cents": 40}]


def test_attempts_that_meet_pay_once(postgres: Server, bank: str) -> None:
    pay = f"UPDATE {bank} SET cents = cents - $1 RETURNING cents, pg_sleep(0.2)::text"
    got: list[SqlResult] = []
    threads = [
        threading.Thread(target=lambda at=at: got.append(as_attempt(at, postgres.url, pay, [30]))) for at in range(1, 5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.repeated for each in got) == [False, True, True, True]
    assert {each.rows[0]["cents"] for each in got} == {70}


def test_what_fails_leaves_nothing_and_says_whether_to_try_again(postgres: Server, bank: str) -> None:
    take = f"UPDATE {bank} SET cents = cents - $1"
    with pytest.raises(SqlError, match="CheckViolationError") as failed:
        as_attempt(1, postgres.url, take, [300])
    assert failed.value.retryable is False
    assert as_attempt(2, postgres.url, take, [10]) == SqlResult([], 1)
    with pytest.raises(SqlError, match="ReadOnlySQLTransactionError"):
        sql(postgres.url, take, [10], write=False)
    with pytest.raises(SqlError) as away:
        sql("postgresql://127.0.0.1:1/none", "SELECT 1")
    assert away.value.retryable is True
